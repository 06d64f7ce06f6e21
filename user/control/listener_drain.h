/* SPDX-License-Identifier: MIT */
/*
 * listener_drain.h - a single listener taken out of service and back: no new connections, while
 * those it has finish their calls. Holds over reloads, until it is undone or sluiced restarts.
 */
#ifndef SLUICE_CONTROL_LISTENER_DRAIN_H
#define SLUICE_CONTROL_LISTENER_DRAIN_H

#include <stddef.h>

struct supervisor;

/* From now on SYNs to the listener are dropped; a tenth of a second later, when handshakes under way
 * are done, its workers send GOAWAY and the kernel refuses. 0, also where it drains already; -ENOENT. */
int listener_drain(struct supervisor *supervisor, const char *name);
/* Listens again. 0, also where it was not drained; -ENOENT, or -errno of bind or listen with why. */
int listener_undrain(struct supervisor *supervisor, const char *name, char *why, size_t size);

#endif
