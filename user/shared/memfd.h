/* SPDX-License-Identifier: MIT */
/*
 * memfd.h - memory files that never change size: what state.c maps without BPF and channel.c
 * sends as configs. Nobody outside shared/ needs it.
 */
#ifndef SLUICE_SHARED_MEMFD_H
#define SLUICE_SHARED_MEMFD_H

#include <stddef.h>

/* Size is rounded up to whole pages only by the mapping, not here. Close-on-exec, not sealed
 * yet. The descriptor or -errno. */
int memfd_new(const char *name, size_t size);
/* Adds seals (F_SEAL_*) and seals the seals. 0 or -errno. */
int memfd_seal(int fd, unsigned seals);

#endif
