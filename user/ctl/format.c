/* SPDX-License-Identifier: MIT */
/*
 * format.c - see format.h. Used by table.c and the commands; prints nothing itself.
 */
#include <inttypes.h>
#include <stdio.h>

#include "ctl/format.h"

const char *format_count(uint64_t count, char *text, size_t size)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, count);
	size_t at = 0;

	for (int i = 0; i < len && at + 2 < size; i++) {
		if (i && (len - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = digits[i];
	}
	text[at] = '\0';
	return text;
}

const char *format_bytes(uint64_t bytes, char *text, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double value = (double)bytes;
	unsigned unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(text, size, unit && value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}

const char *format_seconds(double seconds, char *text, size_t size)
{
	uint64_t s = seconds > 0 ? (uint64_t)seconds : 0;

	if (seconds < 10)
		snprintf(text, size, "%.1fs", seconds > 0 ? seconds : 0);
	else if (s < 60)
		snprintf(text, size, "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(text, size, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, size, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(text, size, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
	return text;
}
