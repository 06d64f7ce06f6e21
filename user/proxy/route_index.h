/* SPDX-License-Identifier: MIT */
/*
 * route_index.h - from a text to the numbers that were put under it, by hash. Keys are the
 * configuration's only, so that clients can look long for a chain and not make one. For route.c.
 */
#ifndef SLUICE_PROXY_ROUTE_INDEX_H
#define SLUICE_PROXY_ROUTE_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct route_numbers {
	uint32_t *items; /* ascending */
	size_t n, cap;
};

struct route_index_entry;

struct route_index {
	struct route_index_entry *entries;
	uint32_t *buckets; /* entry + 1 that begins its chain; 0: none */
	size_t n, cap;	   /* of entries; as many buckets as cap, a power of two */
};

/* Puts number, not below those that key has already, under key. 0 or -ENOMEM. */
int route_index_add(struct route_index *index, const char *key, size_t len, uint32_t number);
/* NULL: nothing under key. */
const struct route_numbers *route_index_find(const struct route_index *index, const char *key,
					     size_t len);
void route_index_done(struct route_index *index);
/* Adds number, not below the last, once. 0 or -ENOMEM. */
int route_numbers_add(struct route_numbers *numbers, uint32_t number);

#endif
