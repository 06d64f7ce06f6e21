/* SPDX-License-Identifier: MIT */
/*
 * nearest.c - see nearest.h: the optimal string alignment distance.
 */
#include "config/nearest.h"

#include <limits.h>
#include <string.h>

static unsigned nearest_least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned nearest_distance(const char *a, const char *b)
{
	unsigned d[NEAREST_WORD_MAX + 1][NEAREST_WORD_MAX + 1];
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > NEAREST_WORD_MAX || b_len > NEAREST_WORD_MAX)
		return UINT_MAX;
	for (size_t i = 0; i <= a_len; i++)
		d[i][0] = (unsigned)i;
	for (size_t j = 0; j <= b_len; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		for (size_t j = 1; j <= b_len; j++) {
			unsigned cost = a[i - 1] != b[j - 1];

			d[i][j] = nearest_least(d[i - 1][j - 1] + cost,
						nearest_least(d[i - 1][j], d[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = nearest_least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[a_len][b_len];
}

int nearest_is_slip(const char *word, const char *known, unsigned distance)
{
	size_t len = strlen(word), known_len = strlen(known);

	if (len >= 3 && len < known_len && strncmp(word, known, len) == 0)
		return 1; /* health for health_check */
	return distance <= (known_len < 6 ? 2 : known_len / 3) && distance < known_len;
}
