/* SPDX-License-Identifier: MIT */
/*
 * top_text.c - see top_text.h. Called by top_lines.c.
 */
#include "ctl/top_text.h"

#include <string.h>
#include <wchar.h>

/* The next character: its bytes and columns. One that cannot be shown: 1 byte, and columns -1. */
static size_t next_character(const char *text, int *columns)
{
	mbstate_t state = { 0 };
	wchar_t wide;
	size_t bytes = mbrtowc(&wide, text, strlen(text), &state);

	if (bytes == (size_t)-1 || bytes == (size_t)-2 || !bytes) {
		*columns = -1;
		return 1;
	}
	*columns = wcwidth(wide);
	return bytes;
}

int top_text_width(const char *text)
{
	int sum = 0, columns;

	for (; *text; sum += columns < 0 ? 1 : columns)
		text += next_character(text, &columns);
	return sum;
}

static void append(char *dst, size_t size, const char *bytes, size_t len)
{
	size_t at = strlen(dst);

	if (at + len + 1 > size)
		return;
	memcpy(dst + at, bytes, len);
	dst[at + len] = '\0';
}

static void pad(char *dst, size_t size, int columns)
{
	while (columns-- > 0)
		append(dst, size, " ", 1);
}

void top_text_put(char *dst, size_t size, const char *text, int columns, bool right)
{
	int width = top_text_width(text), used = 0;

	if (right)
		pad(dst, size, columns - width);
	while (*text) {
		int wide;
		size_t bytes = next_character(text, &wide);

		if (used + (wide < 0 ? 1 : wide) > columns)
			break;
		append(dst, size, wide < 0 ? "?" : text, wide < 0 ? 1 : bytes);
		used += wide < 0 ? 1 : wide;
		text += bytes;
	}
	if (!right || width > columns)
		pad(dst, size, columns - used);
}
