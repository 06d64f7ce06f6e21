/* SPDX-License-Identifier: MIT */
/*
 * wrr.c - smooth weighted round robin in O(log n) a pick, by earliest eligible deadline first.
 * The proxy's groups call it. Pure: no clock, no I/O, no allocation after wrr_new.
 *
 * Think of an endless row of slots, W = sum(weights) to a period. Entry i's turn number k may not
 * begin before slot kW/w, and is due by slot (k+1)W/w. Each slot goes to the entry whose turn has
 * begun and is due first. No entry is then ever a whole pick ahead of its share or behind it, and
 * after W slots each had exactly w. (The usual smooth algorithm, nginx's, looks at every entry
 * for every pick, and can be further off.) An entry that is not usable lets its turns pass, so
 * the others keep their proportions among themselves, and it has no claim afterwards.
 */
#include "balance/wrr.h"

#include <assert.h>
#include <stdlib.h>

/* After so many turns that passed unused, one look at all entries is cheaper than going on. */
#define PASSED_MAX 32

struct entry {
	uint32_t index; /* the caller's */
	uint32_t weight;
	uint32_t turn;	 /* next turn within the period, < weight */
	uint64_t period; /* ... of that turn */
	uint64_t begin;	 /* slot from which on that turn may be taken */
};

struct heap {
	struct entry **at;
	uint32_t len;
};

struct wrr {
	uint64_t slot;
	uint64_t sum; /* of weights: the slots of a period */
	uint32_t n;   /* entries with weight */
	struct heap ready;   /* turns that have begun, by when they are due */
	struct heap waiting; /* the others, by when they begin */
	struct entry *entries;
};

typedef bool (*entry_before)(const struct entry *a, const struct entry *b);

static inline bool due_before(const struct entry *a, const struct entry *b)
{
	uint64_t due_a = (uint64_t)(a->turn + 1) * b->weight;
	uint64_t due_b = (uint64_t)(b->turn + 1) * a->weight;

	if (a->period != b->period)
		return a->period < b->period;
	return due_a != due_b ? due_a < due_b : a->index < b->index;
}

static inline bool begins_before(const struct entry *a, const struct entry *b)
{
	return a->begin < b->begin;
}

static inline void heap_push(struct heap *heap, struct entry *entry, entry_before before)
{
	uint32_t i = heap->len++;

	while (i > 0 && before(entry, heap->at[(i - 1) / 2])) {
		heap->at[i] = heap->at[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	heap->at[i] = entry;
}

static inline struct entry *heap_pop(struct heap *heap, entry_before before)
{
	struct entry *top = heap->at[0], *last = heap->at[--heap->len];
	uint32_t i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= heap->len)
			break;
		if (child + 1 < heap->len && before(heap->at[child + 1], heap->at[child]))
			child++;
		if (!before(heap->at[child], last))
			break;
		heap->at[i] = heap->at[child];
		i = child;
	}
	heap->at[i] = last;
	return top;
}

static void entry_enqueue(struct wrr *wrr, struct entry *entry)
{
	uint64_t within = (uint64_t)entry->turn * wrr->sum;

	entry->begin = entry->period * wrr->sum + (within + entry->weight - 1) / entry->weight;
	if (entry->begin <= wrr->slot)
		heap_push(&wrr->ready, entry, due_before);
	else
		heap_push(&wrr->waiting, entry, begins_before);
}

static void entry_next_turn(struct entry *entry)
{
	if (++entry->turn == entry->weight) {
		entry->turn = 0;
		entry->period++;
	}
}

/* Gives one slot away. */
static struct entry *next_slot(struct wrr *wrr)
{
	struct entry *entry;

	while (wrr->waiting.len && wrr->waiting.at[0]->begin <= wrr->slot)
		heap_push(&wrr->ready, heap_pop(&wrr->waiting, begins_before), due_before);
	assert(wrr->ready.len);
	entry = heap_pop(&wrr->ready, due_before);
	wrr->slot++;
	entry_next_turn(entry);
	entry_enqueue(wrr, entry);
	return entry;
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

struct wrr *wrr_new(const uint32_t *weights, uint32_t n, uint32_t offset)
{
	struct wrr *wrr = calloc(1, sizeof(*wrr));
	uint32_t i, divisor = 0;

	if (!wrr)
		return NULL;
	wrr->entries = calloc(n ? n : 1, sizeof(*wrr->entries));
	wrr->ready.at = calloc(n ? n : 1, sizeof(*wrr->ready.at));
	wrr->waiting.at = calloc(n ? n : 1, sizeof(*wrr->waiting.at));
	if (!wrr->entries || !wrr->ready.at || !wrr->waiting.at) {
		wrr_free(wrr);
		return NULL;
	}
	for (i = 0; i < n; i++) {
		/* So that no product of turns, weights and their sum leaves 64 bits. */
		assert(weights[i] <= BALANCE_WEIGHT_MAX);
		divisor = gcd(divisor, weights[i]);
	}
	for (i = 0; i < n; i++) {
		if (!weights[i])
			continue;
		wrr->entries[wrr->n++] = (struct entry){ .index = i,
							 .weight = weights[i] / divisor };
		wrr->sum += weights[i] / divisor;
	}
	for (i = 0; i < wrr->n; i++)
		entry_enqueue(wrr, &wrr->entries[i]);
	if (wrr->n)
		for (offset %= wrr->sum; offset > 0; offset--)
			next_slot(wrr);
	return wrr;
}

void wrr_free(struct wrr *wrr)
{
	if (!wrr)
		return;
	free(wrr->entries);
	free(wrr->ready.at);
	free(wrr->waiting.at);
	free(wrr);
}

/* Lets all turns of entry pass that began before picked's: it stands where its share of the time
 * until then puts it. */
static void entry_pass_until(struct entry *entry, const struct entry *picked)
{
	uint32_t turn = (uint32_t)((uint64_t)picked->turn * entry->weight / picked->weight);

	if (entry->period > picked->period ||
	    (entry->period == picked->period && entry->turn >= turn))
		return;
	entry->period = picked->period;
	entry->turn = turn;
}

/* Most entries are not usable: takes the usable one that is due first, and moves the others up. */
static int pick_among_few(struct wrr *wrr, balance_usable usable, void *ctx)
{
	struct entry *picked = NULL;
	uint32_t i;

	for (i = 0; i < wrr->n; i++) {
		struct entry *entry = &wrr->entries[i];

		if (usable(ctx, entry->index) && (!picked || due_before(entry, picked)))
			picked = entry;
	}
	if (!picked)
		return -1;
	/* Usable ones are due later, so less than a turn behind: passing costs them nothing. */
	wrr->slot = 0;
	for (i = 0; i < wrr->n; i++) {
		entry_pass_until(&wrr->entries[i], picked);
		wrr->slot += wrr->entries[i].period * wrr->entries[i].weight + wrr->entries[i].turn;
	}
	wrr->slot++;
	entry_next_turn(picked);
	wrr->ready.len = wrr->waiting.len = 0;
	for (i = 0; i < wrr->n; i++)
		entry_enqueue(wrr, &wrr->entries[i]);
	return (int)picked->index;
}

int wrr_pick(struct wrr *wrr, balance_usable usable, void *ctx)
{
	uint32_t passed;

	for (passed = 0; passed < wrr->n && passed < PASSED_MAX; passed++) {
		struct entry *entry = next_slot(wrr);

		if (usable(ctx, entry->index))
			return (int)entry->index;
	}
	return pick_among_few(wrr, usable, ctx);
}
