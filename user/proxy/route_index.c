/* SPDX-License-Identifier: MIT */
/*
 * route_index.c - see route_index.h. Chained, grown by doubling while it is built; read-only and
 * without allocation afterwards.
 */
#include "proxy/route_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"

struct route_index_entry {
	char *key;
	size_t len;
	uint64_t hash;
	uint32_t next; /* in its chain, as in buckets */
	struct route_numbers numbers;
};

/* Not secret: what is put in is the operator's. */
static const uint8_t hash_key[16] = "sluice's routes";

int route_numbers_add(struct route_numbers *numbers, uint32_t number)
{
	if (numbers->n && numbers->items[numbers->n - 1] == number)
		return 0;
	if (numbers->n == numbers->cap) {
		size_t cap = numbers->cap ? numbers->cap * 2 : 1;
		uint32_t *items = realloc(numbers->items, cap * sizeof(*items));

		if (!items)
			return -ENOMEM;
		numbers->items = items;
		numbers->cap = cap;
	}
	numbers->items[numbers->n++] = number;
	return 0;
}

static struct route_index_entry *find(const struct route_index *index, const char *key, size_t len,
				      uint64_t hash)
{
	uint32_t at = index->cap ? index->buckets[hash & (index->cap - 1)] : 0;

	while (at) {
		struct route_index_entry *entry = &index->entries[at - 1];

		if (entry->hash == hash && entry->len == len && !memcmp(entry->key, key, len))
			return entry;
		at = entry->next;
	}
	return NULL;
}

static int grow(struct route_index *index)
{
	size_t cap = index->cap ? index->cap * 2 : 16;
	struct route_index_entry *entries = realloc(index->entries, cap * sizeof(*entries));
	uint32_t *buckets;

	if (!entries)
		return -ENOMEM;
	index->entries = entries;
	buckets = calloc(cap, sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	free(index->buckets);
	index->buckets = buckets;
	index->cap = cap;
	for (size_t i = 0; i < index->n; i++) {
		uint32_t *bucket = &buckets[entries[i].hash & (cap - 1)];

		entries[i].next = *bucket;
		*bucket = (uint32_t)i + 1;
	}
	return 0;
}

int route_index_add(struct route_index *index, const char *key, size_t len, uint32_t number)
{
	uint64_t hash = siphash(hash_key, key, len);
	struct route_index_entry *entry = find(index, key, len, hash);
	uint32_t *bucket;

	if (entry)
		return route_numbers_add(&entry->numbers, number);
	if (index->n == index->cap && grow(index))
		return -ENOMEM;
	entry = &index->entries[index->n];
	memset(entry, 0, sizeof(*entry));
	entry->key = malloc(len + 1);
	if (!entry->key || route_numbers_add(&entry->numbers, number)) {
		free(entry->key);
		return -ENOMEM;
	}
	memcpy(entry->key, key, len);
	entry->len = len;
	entry->hash = hash;
	bucket = &index->buckets[hash & (index->cap - 1)];
	entry->next = *bucket;
	*bucket = (uint32_t)++index->n;
	return 0;
}

const struct route_numbers *route_index_find(const struct route_index *index, const char *key,
					     size_t len)
{
	const struct route_index_entry *entry;

	if (!index->n)
		return NULL;
	entry = find(index, key, len, siphash(hash_key, key, len));
	return entry ? &entry->numbers : NULL;
}

void route_index_done(struct route_index *index)
{
	for (size_t i = 0; i < index->n; i++) {
		free(index->entries[i].key);
		free(index->entries[i].numbers.items);
	}
	free(index->entries);
	free(index->buckets);
	memset(index, 0, sizeof(*index));
}
