/* SPDX-License-Identifier: MIT */
/*
 * base64.c - see base64.h. Only the standard alphabet, as gRPC's wire format says; bits left over in
 * the last character are not looked at, as most readers do.
 */
#include "base/base64.h"

#include <errno.h>
#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t base64_decode(void *dst, size_t size, const char *src, size_t len)
{
	uint8_t *out = dst;
	uint32_t bits = 0;
	size_t n = 0;

	if (len && len % 4 == 0 && src[len - 1] == '=')
		len -= src[len - 2] == '=' ? 2 : 1;
	if (len % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int value = digit(src[i]);

		if (value < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)value;
		if (i % 4 == 0)
			continue;
		if (n == size)
			return -ENOSPC;
		out[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	return (ssize_t)n;
}

size_t base64_encode(char *dst, const void *src, size_t len)
{
	const uint8_t *in = src;
	size_t n = 0, i;

	for (i = 0; i + 3 <= len; i += 3) {
		uint32_t bits = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];

		for (int shift = 18; shift >= 0; shift -= 6)
			dst[n++] = alphabet[bits >> shift & 63];
	}
	if (len - i == 1) {
		dst[n++] = alphabet[in[i] >> 2];
		dst[n++] = alphabet[in[i] << 4 & 63];
	} else if (len - i == 2) {
		dst[n++] = alphabet[in[i] >> 2];
		dst[n++] = alphabet[(in[i] << 4 | in[i + 1] >> 4) & 63];
		dst[n++] = alphabet[in[i + 1] << 2 & 63];
	}
	return n;
}
