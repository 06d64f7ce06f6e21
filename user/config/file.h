/* SPDX-License-Identifier: MIT */
/*
 * file.h - reads a whole small file.
 */
#ifndef SLUICE_CONFIG_FILE_H
#define SLUICE_CONFIG_FILE_H

#include <stddef.h>
#include <stdint.h>

/* *bytes: malloced, the caller's. 0, or -errno; -EISDIR for a directory, -EINVAL for what is no
 * plain file (a pipe or device is not waited for), -EFBIG over max bytes. */
int file_read(const char *path, size_t max, uint8_t **bytes, size_t *len);

#endif
