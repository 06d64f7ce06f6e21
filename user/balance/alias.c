/* SPDX-License-Identifier: MIT */
/*
 * alias.c - see alias.h. Each column of the table belongs to one entry and is filled up from one
 * other; a draw is one random word: its upper half chooses the column, its lower half the side.
 */
#include "balance/alias.h"

#include <assert.h>
#include <stdlib.h>

/* Draws before scanning: with half of the weight usable, one pick in 65,536 scans. */
#define DRAWS_MAX 16

struct column {
	uint32_t threshold; /* below: own, else alias; in 2^-32 of the column */
	uint32_t alias;
};

struct alias {
	uint32_t n;
	uint32_t *weights;
	struct column *columns; /* NULL where no entry has weight */
};

/* splitmix64: every step a new uniform word. */
static uint64_t next_random(uint64_t *random)
{
	uint64_t z = *random += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Every column holds sum; entry i brings weights[i] * n. Columns that stay short are filled up
 * from one that has too much. share and todo are scratch. */
static void fill_columns(struct alias *alias, uint64_t sum, uint64_t *share, uint32_t *todo)
{
	uint32_t i, n_short = 0, n_long = 0;

	/* todo: the short ones from the front, the long ones from the back. */
	for (i = 0; i < alias->n; i++) {
		share[i] = (uint64_t)alias->weights[i] * alias->n;
		alias->columns[i] = (struct column){ .threshold = UINT32_MAX, .alias = i };
		if (share[i] < sum)
			todo[n_short++] = i;
		else
			todo[alias->n - ++n_long] = i;
	}
	while (n_short && n_long) {
		uint32_t from = todo[alias->n - n_long], to = todo[--n_short];

		alias->columns[to].threshold =
			(uint32_t)((double)share[to] / (double)sum * 4294967296.0);
		alias->columns[to].alias = from;
		share[from] -= sum - share[to];
		if (share[from] < sum) {
			n_long--;
			todo[n_short++] = from;
		}
	}
}

struct alias *alias_new(const uint32_t *weights, uint32_t n)
{
	struct alias *alias = calloc(1, sizeof(*alias));
	uint64_t *share = calloc(n ? n : 1, sizeof(*share));
	uint32_t *todo = calloc(n ? n : 1, sizeof(*todo));
	uint64_t sum = 0;
	uint32_t i;

	if (!alias || !share || !todo)
		goto out;
	alias->weights = calloc(n ? n : 1, sizeof(*alias->weights));
	alias->columns = calloc(n ? n : 1, sizeof(*alias->columns));
	if (!alias->weights || !alias->columns)
		goto out;
	for (i = 0; i < n; i++) {
		assert(weights[i] <= BALANCE_WEIGHT_MAX);
		alias->weights[i] = weights[i];
		sum += weights[i];
	}
	alias->n = sum ? n : 0;
	fill_columns(alias, sum, share, todo);
	free(share);
	free(todo);
	return alias;
out:
	free(share);
	free(todo);
	alias_free(alias);
	return NULL;
}

void alias_free(struct alias *alias)
{
	if (!alias)
		return;
	free(alias->weights);
	free(alias->columns);
	free(alias);
}

uint32_t alias_weight(const struct alias *alias, uint32_t index)
{
	return alias->weights[index];
}

static uint32_t draw(const struct alias *alias, uint64_t *random)
{
	uint64_t word = next_random(random);
	uint32_t i = (uint32_t)(((word >> 32) * alias->n) >> 32);

	return (uint32_t)word < alias->columns[i].threshold ? i : alias->columns[i].alias;
}

/* Any usable entry but `other` (-1: any), by weight, or -1. */
static int scan(const struct alias *alias, balance_usable usable, void *ctx, int other,
		uint64_t *random)
{
	uint64_t seen = 0;
	int picked = -1;
	uint32_t i;

	/* Each entry takes the place of the one held with chance weight / weight seen so far. */
	for (i = 0; i < alias->n; i++) {
		if (!alias->weights[i] || (int)i == other || !usable(ctx, i))
			continue;
		seen += alias->weights[i];
		if ((((next_random(random) >> 32) * seen) >> 32) < alias->weights[i])
			picked = (int)i;
	}
	return picked;
}

int alias_draw(const struct alias *alias, balance_usable usable, void *ctx, int other,
	       uint64_t *random)
{
	unsigned draws;

	if (!alias->n)
		return -1;
	for (draws = 0; draws < DRAWS_MAX; draws++) {
		uint32_t i = draw(alias, random);

		if ((int)i != other && usable(ctx, i))
			return (int)i;
	}
	return scan(alias, usable, ctx, other, random);
}
