/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cookie_seen.h - the cookies that came back a moment ago. A client sends the first data right behind
 * the acknowledgement that brings its cookie: both can pass here before the stack has made the
 * connection of the first, and both are valid cookies by themselves. The limits are to count them once.
 * A table of fixed size in the program's own memory; what it forgets is counted twice, no more. Called
 * by the gate for valid cookies only.
 */
#ifndef SLUICE_BPF_COOKIE_SEEN_H
#define SLUICE_BPF_COOKIE_SEEN_H

#include "maps.h"
#include "parse.h"
#include "sluice/source.h"

#define COOKIE_SEEN_ENTRIES 4096
#define COOKIE_SEEN_TICK_SHIFT 24 /* of nanoseconds: 17 ms; an entry holds for one to two of these */
#define COOKIE_SEEN_TICK_MASK ((1ull << 24) - 1)

/* A keyed hash of the handshake in the upper 40 bits, the tick in the lower 24. */
__u64 cookies_seen[COOKIE_SEEN_ENTRIES];

static __always_inline __u64 cookie_seen_hash(const struct packet *packet,
					      const struct sluice_switches *on)
{
	__u64 hash = source_hash(packet->source, on->hash_key) * 3;

	hash += source_hash(packet->destination, on->hash_key);
	hash += ((__u64)packet->sequence << 32) | ((__u32)packet->source_port << 16) |
		packet->key.port;
	hash ^= hash >> 32;
	hash *= on->hash_key[0] | 1;
	return hash ^ hash >> 29;
}

/* Is this the second segment of a handshake that was admitted? It is so once. */
static __always_inline bool cookie_seen_take(__u64 hash, __u64 now_ns)
{
	__u64 *entry = &cookies_seen[hash % COOKIE_SEEN_ENTRIES], found = *entry;
	__u64 age = ((now_ns >> COOKIE_SEEN_TICK_SHIFT) - found) & COOKIE_SEEN_TICK_MASK;

	if (!found || (found ^ hash) & ~COOKIE_SEEN_TICK_MASK || age > 1)
		return false;
	*entry = 0;
	return true;
}

static __always_inline void cookie_seen_put(__u64 hash, __u64 now_ns)
{
	cookies_seen[hash % COOKIE_SEEN_ENTRIES] =
		(hash & ~COOKIE_SEEN_TICK_MASK) |
		((now_ns >> COOKIE_SEEN_TICK_SHIFT) & COOKIE_SEEN_TICK_MASK);
}

#endif
