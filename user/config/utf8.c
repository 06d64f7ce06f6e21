/* SPDX-License-Identifier: MIT */
/*
 * utf8.c - see utf8.h.
 */
#include "config/utf8.h"

size_t utf8_sequence(const uint8_t *bytes, size_t len)
{
	uint32_t point, least;
	size_t n;

	if (bytes[0] < 0x80)
		return 1;
	if ((bytes[0] & 0xe0) == 0xc0) {
		n = 2;
		least = 0x80;
		point = bytes[0] & 0x1f;
	} else if ((bytes[0] & 0xf0) == 0xe0) {
		n = 3;
		least = 0x800;
		point = bytes[0] & 0x0f;
	} else if ((bytes[0] & 0xf8) == 0xf0) {
		n = 4;
		least = 0x10000;
		point = bytes[0] & 0x07;
	} else {
		return 0;
	}
	if (n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (bytes[i] & 0x3f);
	}
	if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	return n;
}

enum utf8_fault utf8_check(const uint8_t *bytes, size_t len, struct config_place *place,
			   uint8_t *byte)
{
	size_t n;

	*place = (struct config_place){ 1, 1 };
	for (size_t i = 0; i < len; i += n) {
		uint8_t c = bytes[i];

		n = utf8_sequence(bytes + i, len - i);
		*byte = c;
		if (!n)
			return UTF8_MALFORMED;
		if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
			return UTF8_CONTROL;
		if (c == '\n' || (c == '\r' && (i + 1 == len || bytes[i + 1] != '\n'))) {
			place->line++;
			place->column = 1;
		} else {
			place->column++;
		}
	}
	return UTF8_OK;
}
