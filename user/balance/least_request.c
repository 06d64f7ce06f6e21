/* SPDX-License-Identifier: MIT */
/*
 * least_request.c - power of two choices by weight, in constant time: draws come from an alias
 * table (Vose), and only where those keep hitting what cannot be used from one scan with the
 * very same chances. The proxy's groups call it. Pure: no clock, no I/O, no allocation after
 * least_request_new, and all randomness grows from the word passed in.
 */
#include "balance/least_request.h"

#include <assert.h>
#include <stdlib.h>

/* Draws before scanning: with half of the weight usable, one pick in 65,536 scans. */
#define DRAWS_MAX 16

struct column {
	uint32_t threshold; /* below: own, else alias; in 2^-32 of the column */
	uint32_t alias;
};

struct least_request {
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
static void fill_columns(struct least_request *lr, uint64_t sum, uint64_t *share, uint32_t *todo)
{
	uint32_t i, n_short = 0, n_long = 0;

	/* todo: the short ones from the front, the long ones from the back. */
	for (i = 0; i < lr->n; i++) {
		share[i] = (uint64_t)lr->weights[i] * lr->n;
		lr->columns[i] = (struct column){ .threshold = UINT32_MAX, .alias = i };
		if (share[i] < sum)
			todo[n_short++] = i;
		else
			todo[lr->n - ++n_long] = i;
	}
	while (n_short && n_long) {
		uint32_t from = todo[lr->n - n_long], to = todo[--n_short];

		lr->columns[to].threshold =
			(uint32_t)((double)share[to] / (double)sum * 4294967296.0);
		lr->columns[to].alias = from;
		share[from] -= sum - share[to];
		if (share[from] < sum) {
			n_long--;
			todo[n_short++] = from;
		}
	}
}

struct least_request *least_request_new(const uint32_t *weights, uint32_t n)
{
	struct least_request *lr = calloc(1, sizeof(*lr));
	uint64_t *share = calloc(n ? n : 1, sizeof(*share));
	uint32_t *todo = calloc(n ? n : 1, sizeof(*todo));
	uint64_t sum = 0;
	uint32_t i;

	if (!lr || !share || !todo)
		goto out;
	lr->weights = calloc(n ? n : 1, sizeof(*lr->weights));
	lr->columns = calloc(n ? n : 1, sizeof(*lr->columns));
	if (!lr->weights || !lr->columns)
		goto out;
	for (i = 0; i < n; i++) {
		assert(weights[i] <= BALANCE_WEIGHT_MAX);
		lr->weights[i] = weights[i];
		sum += weights[i];
	}
	lr->n = sum ? n : 0;
	fill_columns(lr, sum, share, todo);
	free(share);
	free(todo);
	return lr;
out:
	free(share);
	free(todo);
	least_request_free(lr);
	return NULL;
}

void least_request_free(struct least_request *lr)
{
	if (!lr)
		return;
	free(lr->weights);
	free(lr->columns);
	free(lr);
}

static uint32_t draw(const struct least_request *lr, uint64_t *random)
{
	uint64_t word = next_random(random);
	uint32_t i = (uint32_t)(((word >> 32) * lr->n) >> 32);

	return (uint32_t)word < lr->columns[i].threshold ? i : lr->columns[i].alias;
}

/* Any usable entry but `other` (-1: any), by weight, or -1. */
static int scan(const struct least_request *lr, balance_usable usable, void *ctx, int other,
		uint64_t *random)
{
	uint64_t seen = 0;
	int picked = -1;
	uint32_t i;

	/* Each entry takes the place of the one held with chance weight / weight seen so far. */
	for (i = 0; i < lr->n; i++) {
		if (!lr->weights[i] || (int)i == other || !usable(ctx, i))
			continue;
		seen += lr->weights[i];
		if ((((next_random(random) >> 32) * seen) >> 32) < lr->weights[i])
			picked = (int)i;
	}
	return picked;
}

static int draw_usable(const struct least_request *lr, balance_usable usable, void *ctx, int other,
		       uint64_t *random)
{
	unsigned draws;

	for (draws = 0; draws < DRAWS_MAX; draws++) {
		uint32_t i = draw(lr, random);

		if ((int)i != other && usable(ctx, i))
			return (int)i;
	}
	return scan(lr, usable, ctx, other, random);
}

int least_request_pick(const struct least_request *lr, balance_usable usable,
		       uint32_t (*active)(void *ctx, uint32_t index), void *ctx, uint64_t random)
{
	uint64_t load_first, load_second;
	int first, second;

	if (!lr->n)
		return -1;
	first = draw_usable(lr, usable, ctx, -1, &random);
	if (first < 0 || lr->n == 1)
		return first;
	second = draw_usable(lr, usable, ctx, first, &random);
	if (second < 0)
		return first;
	/* active / weight, without dividing. Equal: the first, which came by weight. */
	load_first = (uint64_t)active(ctx, (uint32_t)first) * lr->weights[second];
	load_second = (uint64_t)active(ctx, (uint32_t)second) * lr->weights[first];
	return load_second < load_first ? second : first;
}
