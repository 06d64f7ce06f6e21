/* SPDX-License-Identifier: MIT */
/*
 * nearest.h - the known word that a mistyped one probably meant.
 */
#ifndef SLUICE_CONFIG_NEAREST_H
#define SLUICE_CONFIG_NEAREST_H

#include <stddef.h>

/* How many edits (a letter added, lost, changed, or two neighbours swapped) lie between a and b;
 * words over NEAREST_WORD_MAX are as far away as can be. */
#define NEAREST_WORD_MAX 32
unsigned nearest_distance(const char *a, const char *b);
/* Whether word is near enough to known to be a slip of it. */
int nearest_is_slip(const char *word, const char *known, unsigned distance);

#endif
