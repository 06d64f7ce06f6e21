/* SPDX-License-Identifier: MIT */
/*
 * base64.h - RFC 4648's base64 as gRPC uses it for "-bin" metadata: padded or not when read, not
 * padded when written.
 */
#ifndef SLUICE_BASE_BASE64_H
#define SLUICE_BASE_BASE64_H

#include <stddef.h>
#include <sys/types.h>

/* Bytes written; -EINVAL: not base64; -ENOSPC: more than size. dst must not overlap src. */
ssize_t base64_decode(void *dst, size_t size, const char *src, size_t len);

#define BASE64_LEN(bytes) (((bytes) * 4 + 2) / 3)
/* Writes BASE64_LEN(len) bytes and no NUL; how many. */
size_t base64_encode(char *dst, const void *src, size_t len);

#endif
