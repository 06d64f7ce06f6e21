/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cookie_seen.h - handshakes that the limits have counted a moment ago, and whose cookie may come (once
 * more): they are to be counted once. A client sends the first data right behind the acknowledgement
 * that brings its cookie, so both can pass here before the stack has made the connection of the first.
 * And a SYN that was let through may have got a cookie from the stack itself. A table of fixed size in
 * the program's own memory; what it forgets is counted twice, no more. Called by the gate, only while
 * cookies may come back.
 */
#ifndef SLUICE_BPF_COOKIE_SEEN_H
#define SLUICE_BPF_COOKIE_SEEN_H

#include "maps.h"
#include "parse.h"
#include "sluice/source.h"

#define COOKIE_SEEN_ENTRIES 4096
#define COOKIE_SEEN_TICK_SHIFT 24 /* of nanoseconds: 17 ms */
#define COOKIE_SEEN_TICK_MASK ((1ull << 24) - 1)
/* How many ticks an entry holds beyond that in which it was made. */
#define COOKIE_SEEN_ACK_TICKS 1	 /* the data is right behind */
#define COOKIE_SEEN_SYN_TICKS 64 /* the ACK is a round trip away */

/* A keyed hash of the handshake in the upper 40 bits, the last tick in the lower 24. */
__u64 cookies_seen[COOKIE_SEEN_ENTRIES];

/* sequence: the client's, as it is in the segment that brings the cookie. */
static __always_inline __u64 cookie_seen_hash(const struct packet *packet, __be32 sequence,
					      const struct sluice_switches *on)
{
	__u64 hash = source_hash(packet->source, on->hash_key) * 3;

	hash += source_hash(packet->destination, on->hash_key);
	hash += ((__u64)sequence << 32) | ((__u32)packet->source_port << 16) |
		packet->key.port;
	hash ^= hash >> 32;
	hash *= on->hash_key[0] | 1;
	return hash ^ hash >> 29;
}

/* Is this a handshake that was admitted before? It is so once. */
static __always_inline bool cookie_seen_take(__u64 hash, __u64 now_ns)
{
	__u64 *entry = &cookies_seen[hash % COOKIE_SEEN_ENTRIES], found = *entry;
	__u64 left = (found - (now_ns >> COOKIE_SEEN_TICK_SHIFT)) & COOKIE_SEEN_TICK_MASK;

	if (!found || (found ^ hash) & ~COOKIE_SEEN_TICK_MASK || left > COOKIE_SEEN_SYN_TICKS)
		return false;
	*entry = 0;
	return true;
}

static __always_inline void cookie_seen_put(__u64 hash, __u64 now_ns, __u32 ticks)
{
	cookies_seen[hash % COOKIE_SEEN_ENTRIES] =
		(hash & ~COOKIE_SEEN_TICK_MASK) |
		(((now_ns >> COOKIE_SEEN_TICK_SHIFT) + ticks) & COOKIE_SEEN_TICK_MASK);
}

#endif
