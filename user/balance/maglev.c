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
} sizes[] = { { 64, 65537 }, { 1024, 262139 }, { UINT16_MAX, 1048573 } };

/* Whose slots are whose; may be several maglevs' with the same entries. As narrow as the entries'
 * indices allow: 16, 8 or 4 bits a slot. */
struct table {
	unsigned refs;
	unsigned bits;
	uint16_t slots[];
};

struct maglev {
	uint32_t n;
	uint32_t with_weight;
	uint32_t slots;	     /* 0 where no entry has weight */
	struct table *table; /* NULL until the first pick */
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

static void take_slot(uint16_t *owners, uint32_t slots, struct turn *turn)
{
	while (owners[turn->next] != NOBODY) {
		turn->next += turn->skip;
		if (turn->next >= slots)
			turn->next -= slots;
	}
	owners[turn->next] = (uint16_t)turn->index;
}

static void fill(uint16_t *owners, uint32_t slots, struct turn *turns, uint32_t n)
{
	uint32_t heaviest = 0, taken = 0;

	memset(owners, 0xff, slots * sizeof(*owners));
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
			take_slot(owners, slots, &turns[i]);
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

static uint32_t owner_of(const struct table *table, uint32_t slot)
{
	const uint8_t *bytes = (const uint8_t *)table->slots;

	switch (table->bits) {
	case 4:
		return bytes[slot / 2] >> slot % 2 * 4 & 15;
	case 8:
		return bytes[slot];
	default:
		return table->slots[slot];
	}
}

/* In place: what is written lies before what is still to be read. */
static struct table *narrow(struct table *table, uint32_t slots, uint32_t n)
{
	uint8_t *bytes = (uint8_t *)table->slots;
	struct table *smaller;

	table->bits = n <= 16 ? 4 : n <= 256 ? 8 : 16;
	if (table->bits == 16)
		return table;
	for (uint32_t i = 0; i < slots; i++) {
		uint8_t owner = (uint8_t)table->slots[i];

		if (table->bits == 8)
			bytes[i] = owner;
		else if (i % 2 == 0)
			bytes[i / 2] = owner;
		else
			bytes[i / 2] |= (uint8_t)(owner << 4);
	}
	smaller = realloc(table, sizeof(*table) + (slots * table->bits + 7) / 8);
	return smaller ? smaller : table;
}

/* False: no memory. */
static bool build(struct maglev *maglev)
{
	size_t bytes = maglev->slots * sizeof(maglev->table->slots[0]);
	struct turn *turns = calloc(maglev->with_weight, sizeof(*turns));
	struct table *table = malloc(sizeof(*table) + bytes);

	if (!turns || !table) {
		free(turns);
		free(table);
		return false;
	}
	table->refs = 1;
	begin_turns(maglev, turns);
	fill(table->slots, maglev->slots, turns, maglev->with_weight);
	free(turns);
	maglev->table = narrow(table, maglev->slots, maglev->n);
	return true;
}

static void table_unref(struct table *table)
{
	if (table && --table->refs == 0)
		free(table);
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
	table_unref(maglev->table);
	free(maglev->hashes);
	free(maglev->weights);
	free(maglev);
}

void maglev_inherit(struct maglev *maglev, const struct maglev *from)
{
	if (!from->table || maglev->table || maglev->n != from->n ||
	    memcmp(maglev->hashes, from->hashes, from->n * sizeof(*from->hashes)) ||
	    memcmp(maglev->weights, from->weights, from->n * sizeof(*from->weights)))
		return;
	maglev->table = from->table;
	maglev->table->refs++;
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
	if (!maglev->table && !build(maglev))
		return pick_among_few(maglev, usable, ctx, key); /* in the wrong place, but served */
	for (uint32_t passed = 0; passed < PASSED_MAX; passed++) {
		uint32_t slot = (uint32_t)(((word >> 32) * maglev->slots) >> 32);
		uint32_t index = owner_of(maglev->table, slot);

		if (usable(ctx, index))
			return (int)index;
		/* Not the slot beside it: neighbours' owners depend on each other, and the keys of an
		 * entry that is gone would all go to a few. */
		word = mix(word + 0x9e3779b97f4a7c15ull);
	}
	return pick_among_few(maglev, usable, ctx, key);
}
