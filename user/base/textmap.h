/* SPDX-License-Identifier: MIT */
/*
 * textmap.h - a hash table of things that are known by a name, upper and lower case being one.
 * Intrusive: a link is embedded in its owner, whose text it points to. Grows by itself.
 */
#ifndef SLUICE_BASE_TEXTMAP_H
#define SLUICE_BASE_TEXTMAP_H

#include <stdint.h>

struct textmap_link {
	struct textmap_link *next;
	const char *text; /* the owner's */
	uint32_t hash;
};

/* Zeroed: empty. */
struct textmap {
	struct textmap_link **buckets;
	uint32_t n_buckets, n; /* a power of two; links in it */
};

/* Frees the table, not the owners. */
void textmap_done(struct textmap *map);
/* NULL: not there. */
struct textmap_link *textmap_find(const struct textmap *map, const char *text);
/* The text must not be there yet. 0 or -ENOMEM. */
int textmap_add(struct textmap *map, struct textmap_link *link, const char *text);
/* The link must be there. */
void textmap_del(struct textmap *map, struct textmap_link *link);

#endif
