/* SPDX-License-Identifier: MIT */
/*
 * route_split.c - the group of a call whose route has several, and the hash of what calls are told
 * apart by. Called by dispatch for each call on such a route.
 *
 * By turns, a split is exact over any run of calls of one worker. Sticky, each key draws a number
 * for each group, and the group with the least number for its weight has it (weighted rendezvous
 * hashing): when one group's weight changes, keys move to or from that group and between no others.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "balance/wrr.h"
#include "base/siphash.h"
#include "proxy/route_internal.h"
#include "proxy/tls.h"

/* The same on every node, or they would send one key to different places. */
static const uint8_t hash_key[16] = "sluice: one key";

int route_split_new(struct route_compiled *compiled, const struct config *config, uint32_t slot)
{
	const struct config_route *route = compiled->route.config;
	uint32_t *weights;

	if (route->n_splits < 2)
		return 0;
	weights = calloc(route->n_splits, sizeof(*weights));
	compiled->parts = calloc(route->n_splits, sizeof(*compiled->parts));
	if (!weights || !compiled->parts) {
		free(weights);
		return -ENOMEM;
	}
	for (size_t i = 0; i < route->n_splits; i++) {
		const struct config_split *split = &route->splits[i];
		const char *name = config->groups[split->group].name;

		weights[i] = split->weight;
		compiled->parts[i] = (struct route_split_part){
			.group = split->group, .weight = split->weight,
			.seed = siphash(hash_key, name, strlen(name)),
		};
	}
	compiled->route.split = wrr_new(weights, (uint32_t)route->n_splits, slot);
	free(weights);
	return compiled->route.split ? 0 : -ENOMEM;
}

void route_split_free(struct route_compiled *compiled)
{
	wrr_free(compiled->route.split);
	free(compiled->parts);
}

/* -log2(hash / 2^64) with 32 binary digits: exponentially distributed, and the same on every
 * machine, which floating point would not promise. */
static uint64_t minus_log2(uint64_t hash)
{
	uint64_t mantissa, fraction = 0;
	unsigned zeros;

	if (!hash)
		hash = 1;
	zeros = (unsigned)__builtin_clzll(hash);
	mantissa = hash << zeros; /* 1 <= mantissa / 2^63 < 2 */
	for (int i = 0; i < 32; i++) {
		unsigned __int128 square = (unsigned __int128)mantissa * mantissa;

		fraction <<= 1;
		if (square >> 127) {
			fraction |= 1;
			mantissa = (uint64_t)(square >> 64);
		} else {
			mantissa = (uint64_t)(square >> 63);
		}
	}
	return ((uint64_t)(zeros + 1) << 32) - fraction;
}

static uint32_t sticky_group(const struct route_compiled *compiled, uint64_t key)
{
	const struct route_split_part *best = NULL;
	uint64_t best_draw = 0;

	for (size_t i = 0; i < compiled->route.config->n_splits; i++) {
		const struct route_split_part *part = &compiled->parts[i];
		uint64_t seeds[2] = { htole64(key), htole64(part->seed) };
		uint64_t draw = minus_log2(siphash(hash_key, seeds, sizeof(seeds)));

		/* draw / weight is least; 39 and 14 bits, so the products fit. */
		if (part->weight &&
		    (!best || draw * best->weight < best_draw * part->weight)) {
			best = part;
			best_draw = draw;
		}
	}
	return best ? best->group : compiled->parts[0].group;
}

static bool any(void *ctx, uint32_t index)
{
	return true;
}

/* ---- keys ---- */

struct key_bytes {
	const void *bytes; /* NULL: the call has none */
	size_t len;
	uint8_t address[16];
};

static void read_header(struct key_bytes *to, const struct route_facts *facts, const char *name)
{
	const struct h2_header *header =
		h2_header_find(facts->headers, facts->n, name, strlen(name));

	if (header) {
		to->bytes = header->value;
		to->len = header->value_len;
	}
}

/* Or every query would be a caller, or a place, of its own. */
static void read_until_query(struct key_bytes *path)
{
	const char *query = path->bytes ? memchr(path->bytes, '?', path->len) : NULL;

	if (query)
		path->len = (size_t)(query - (const char *)path->bytes);
}

static void read_key(struct key_bytes *to, const struct config_key *key,
		     const struct route_facts *facts)
{
	to->bytes = NULL;
	to->len = 0;
	switch (key->source) {
	case KEY_NONE:
		break;
	case KEY_SOURCE:
		if (facts->source) {
			addr_to_mapped(facts->source, to->address);
			to->bytes = to->address;
			to->len = IN6_IS_ADDR_V4MAPPED((struct in6_addr *)to->address) ? 16 : 8;
		}
		break;
	case KEY_METADATA:
		read_header(to, facts, key->metadata);
		break;
	case KEY_PATH:
		read_header(to, facts, ":path");
		read_until_query(to);
		break;
	case KEY_SAN:
		if (facts->peer && facts->peer->n_sans) {
			to->bytes = facts->peer->sans[0];
			to->len = strlen(facts->peer->sans[0]);
		}
		break;
	}
}

uint64_t route_key_hash(const struct config_key *key, const struct route_facts *facts)
{
	struct key_bytes bytes;

	read_key(&bytes, key, facts);
	return bytes.bytes ? siphash(hash_key, bytes.bytes, bytes.len) : 0;
}

uint64_t route_key_secret_hash(const struct config_key *key, const struct route_facts *facts,
			       const uint8_t secret[16], uint32_t route_id)
{
	struct key_bytes bytes;
	uint64_t words[2];

	read_key(&bytes, key, facts);
	words[0] = route_id;
	words[1] = bytes.bytes ? siphash(secret, bytes.bytes, bytes.len) : 0;
	return siphash(secret, words, sizeof(words));
}

uint32_t route_group(const struct route *route, const struct route_facts *facts)
{
	const struct config_route *config = route->config;
	struct key_bytes bytes;
	int turn;

	if (!route->split)
		return config->splits[0].group;
	read_key(&bytes, &config->sticky, facts);
	/* Calls without the key are not one caller: they go by turns. */
	if (bytes.bytes)
		return sticky_group((const struct route_compiled *)route,
				    siphash(hash_key, bytes.bytes, bytes.len));
	turn = wrr_pick(route->split, any, NULL);
	return config->splits[turn < 0 ? 0 : turn].group;
}
