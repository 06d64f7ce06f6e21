/* SPDX-License-Identifier: MIT */
/*
 * top_text.h - text in columns of a terminal: what a character takes is asked of the locale.
 */
#ifndef SLUICE_CTL_TOP_TEXT_H
#define SLUICE_CTL_TOP_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* How many columns it takes. */
int top_text_width(const char *text);
/* Appends text to dst in exactly so many columns: cut, or padded with spaces (in front where right is
 * set). What cannot be shown becomes a '?'. Nothing is appended that does not fit in size. */
void top_text_put(char *dst, size_t size, const char *text, int columns, bool right);

#endif
