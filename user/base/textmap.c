/* SPDX-License-Identifier: MIT */
/*
 * textmap.c - see textmap.h. Used by the supervisor and the monitor for DNS names, which come from our
 * own configuration: the hash needs no secret.
 */
#include "base/textmap.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#define FIRST_BUCKETS 16

static uint32_t text_hash(const char *text)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *text; text++)
		hash = (hash ^ (uint32_t)tolower((unsigned char)*text)) * 16777619u;
	return hash;
}

void textmap_done(struct textmap *map)
{
	free(map->buckets);
	*map = (struct textmap){ 0 };
}

struct textmap_link *textmap_find(const struct textmap *map, const char *text)
{
	struct textmap_link *link;
	uint32_t hash;

	if (!map->n)
		return NULL;
	hash = text_hash(text);
	for (link = map->buckets[hash & (map->n_buckets - 1)]; link; link = link->next)
		if (link->hash == hash && !strcasecmp(link->text, text))
			return link;
	return NULL;
}

static void put(struct textmap *map, struct textmap_link *link)
{
	struct textmap_link **bucket = &map->buckets[link->hash & (map->n_buckets - 1)];

	link->next = *bucket;
	*bucket = link;
}

static int grow(struct textmap *map)
{
	struct textmap larger = { .n_buckets = map->n_buckets ? map->n_buckets * 2 : FIRST_BUCKETS,
				  .n = map->n };

	larger.buckets = calloc(larger.n_buckets, sizeof(struct textmap_link *));
	if (!larger.buckets)
		return -ENOMEM;
	for (uint32_t i = 0; i < map->n_buckets; i++) {
		struct textmap_link *link = map->buckets[i];

		while (link) {
			struct textmap_link *next = link->next;

			put(&larger, link);
			link = next;
		}
	}
	free(map->buckets);
	*map = larger;
	return 0;
}

int textmap_add(struct textmap *map, struct textmap_link *link, const char *text)
{
	if (map->n >= map->n_buckets && grow(map))
		return -ENOMEM;
	link->text = text;
	link->hash = text_hash(text);
	put(map, link);
	map->n++;
	return 0;
}

void textmap_del(struct textmap *map, struct textmap_link *link)
{
	struct textmap_link **at = &map->buckets[link->hash & (map->n_buckets - 1)];

	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	map->n--;
}
