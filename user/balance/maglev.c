/* SPDX-License-Identifier: MIT */
/*
 * maglev.c - see maglev.h. The proxy's groups with balance: consistent_hash call it.
 *
 * The slots' number must not change with each entry that comes or goes, or all keys would move; so
 * there are three sizes, each with enough slots an entry that a change of one of N moves at most
 * 1/N + 1 % of the keys, and small enough for a thousand groups.
 */
#include "balance/maglev.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY UINT16_MAX
/* After so many unusable entries one look at all of them is cheaper than going on. */
#define PASSED_MAX 64

static const struct size {
	uint32_t entries; /* up to so many */
	uint32_t slots;	  /* a prime */
} sizes[] = { { 64, 40961 }, { 1024, 262139 }, { UINT16_MAX, 1048573 } };

struct maglev {
	uint32_t n;
	uint32_t with_weight;
	uint32_t slots;	 /* 0 where no entry has weight */
	uint8_t *narrow; /* the table of a small group; NULL until the first pick */
	uint16_t *wide;	 /* or of a larger one */
	uint64_t *hashes;
	uint32_t *weights;
};

/* An entry while the table is filled. */
struct turn {
	uint64_t hash;
	uint32_t index;
	uint32_t weight;
	uint32_t credit; /* of weight, since its last slot */
	uint32_t next;	 /* slot it looks at next */
	uint32_t skip;
};

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Turns are taken in the order of the hashes, so the file's order does not matter. */
static int by_hash(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static void take_slot(uint16_t *table, uint32_t slots, struct turn *turn)
{
	while (table[turn->next] != NOBODY) {
		turn->next += turn->skip;
		if (turn->next >= slots)
			turn->next -= slots;
	}
	table[turn->next] = (uint16_t)turn->index;
}

static void fill(uint16_t *table, uint32_t slots, struct turn *turns, uint32_t n)
{
	uint32_t heaviest = 0, taken = 0;

	memset(table, 0xff, slots * sizeof(*table));
	for (uint32_t i = 0; i < n; i++)
		if (turns[i].weight > heaviest)
			heaviest = turns[i].weight;
	/* A round gives each entry its weight's part of a slot. */
	for (;;) {
		for (uint32_t i = 0; i < n; i++) {
			turns[i].credit += turns[i].weight;
			if (turns[i].credit < heaviest)
				continue;
			turns[i].credit -= heaviest;
			take_slot(table, slots, &turns[i]);
			if (++taken == slots)
				return;
		}
	}
}

static void begin_turns(const struct maglev *maglev, struct turn *turns)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < maglev->n; i++) {
		uint64_t word = mix(maglev->hashes[i] + 0x9e3779b97f4a7c15ull);

		if (maglev->weights[i])
			turns[n++] = (struct turn){
				.hash = maglev->hashes[i],
				.index = i,
				.weight = maglev->weights[i],
				.next = (uint32_t)((word >> 32) % maglev->slots),
				.skip = (uint32_t)word % (maglev->slots - 1) + 1,
			};
	}
	qsort(turns, n, sizeof(*turns), by_hash);
}

/* False: no memory. */
static bool build(struct maglev *maglev)
{
	struct turn *turns = calloc(maglev->with_weight, sizeof(*turns));
	uint16_t *table = malloc(maglev->slots * sizeof(*table));
	bool narrow = maglev->n <= UINT8_MAX + 1;

	if (narrow)
		maglev->narrow = malloc(maglev->slots);
	if (!turns || !table || (narrow && !maglev->narrow)) {
		free(turns);
		free(table);
		free(maglev->narrow);
		maglev->narrow = NULL;
		return false;
	}
	begin_turns(maglev, turns);
	fill(table, maglev->slots, turns, maglev->with_weight);
	free(turns);
	if (!narrow) {
		maglev->wide = table;
		return true;
	}
	for (uint32_t i = 0; i < maglev->slots; i++)
		maglev->narrow[i] = (uint8_t)table[i];
	free(table);
	return true;
}

struct maglev *maglev_new(const uint64_t *hashes, const uint32_t *weights, uint32_t n)
{
	struct maglev *maglev = calloc(1, sizeof(*maglev));
	const struct size *size = sizes;

	assert(n < NOBODY);
	if (!maglev)
		return NULL;
	maglev->n = n;
	maglev->hashes = calloc(n ? n : 1, sizeof(*maglev->hashes));
	maglev->weights = calloc(n ? n : 1, sizeof(*maglev->weights));
	if (!maglev->hashes || !maglev->weights) {
		maglev_free(maglev);
		return NULL;
	}
	for (uint32_t i = 0; i < n; i++) {
		assert(weights[i] <= BALANCE_WEIGHT_MAX);
		maglev->hashes[i] = hashes[i];
		maglev->weights[i] = weights[i];
		maglev->with_weight += weights[i] > 0;
	}
	while (size->entries < n) /* not with_weight: to set a weight to 0 moves no others */
		size++;
	maglev->slots = maglev->with_weight ? size->slots : 0;
	return maglev;
}

void maglev_free(struct maglev *maglev)
{
	if (!maglev)
		return;
	free(maglev->narrow);
	free(maglev->wide);
	free(maglev->hashes);
	free(maglev->weights);
	free(maglev);
}

/* Few are usable: of those the one that comes first by the hash of it and the key (rendezvous). This
 * too moves only the keys of entries that come or go. */
static int pick_among_few(const struct maglev *maglev, balance_usable usable, void *ctx,
			  uint64_t key)
{
	double soonest = 0;
	int picked = -1;

	for (uint32_t i = 0; i < maglev->n; i++) {
		double chance, due;

		if (!maglev->weights[i] || !usable(ctx, i))
			continue;
		/* Like waiting times: whoever has twice the weight is first twice as often. */
		chance = ((double)(mix(maglev->hashes[i] ^ key) >> 12) + 0.5) * 0x1p-52;
		due = -log(chance) / maglev->weights[i];
		if (picked < 0 || due < soonest) {
			soonest = due;
			picked = (int)i;
		}
	}
	return picked;
}

int maglev_pick(struct maglev *maglev, balance_usable usable, void *ctx, uint64_t key)
{
	uint64_t word = key;

	if (!maglev->slots)
		return -1;
	if (!maglev->narrow && !maglev->wide && !build(maglev))
		return pick_among_few(maglev, usable, ctx, key); /* in the wrong place, but served */
	for (uint32_t passed = 0; passed < PASSED_MAX; passed++) {
		uint32_t slot = (uint32_t)(((word >> 32) * maglev->slots) >> 32);
		uint32_t index = maglev->narrow ? maglev->narrow[slot] : maglev->wide[slot];

		if (usable(ctx, index))
			return (int)index;
		/* Not the slot beside it: neighbours' owners depend on each other, and the keys of an
		 * entry that is gone would all go to a few. */
		word = mix(word + 0x9e3779b97f4a7c15ull);
	}
	return pick_among_few(maglev, usable, ctx, key);
}
