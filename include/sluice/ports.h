/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * ports.h - the gate's own copy of the listeners map, in its global data: what a look-up in a hash map
 * costs (a call of the kernel's, three more inside) is a good half of all that the gate costs a packet of
 * an established connection. The loader writes it, user/control/bpf_loader_ports.c; the gate reads it,
 * bpf/ports.h. A set-associative table: the set is the hash of a listener's key, each of its ways names
 * a row. A row that is named does not change: a changed listener gets another row.
 */
#ifndef SLUICE_PORTS_H
#define SLUICE_PORTS_H

#include <linux/types.h>

#include "abi.h"

#define SLUICE_PORTS_SETS 1024
#define SLUICE_PORTS_WAYS 4
#define SLUICE_PORTS_ROWS (4 * SLUICE_MAX_LISTENERS) /* twice the most entries that there can be */

struct sluice_ports_row {
	struct sluice_listener_key key;
	__u32 pad;
	struct sluice_listener listener;
};

struct sluice_ports {
	__u32 complete; /* 1: who is not in here is no listener; 0: the map is to be asked */
	__u32 pad;
	/* The upper half of the hash in the upper 16 bits, the row + 1 in the lower; 0: free. */
	__u32 ways[SLUICE_PORTS_SETS][SLUICE_PORTS_WAYS];
	struct sluice_ports_row rows[SLUICE_PORTS_ROWS];
};

/* Listeners are the operator's own, so nobody can aim at a set. */
static inline __attribute__((always_inline)) __u32 ports_hash(const struct sluice_listener_key *key)
{
	__u64 hash = (((__u64)key->address[0] << 32) | key->address[1]) * 0x9e3779b97f4a7c15ull;

	hash += ((__u64)key->address[2] << 32) | key->address[3];
	hash = (hash ^ hash >> 32 ^ key->port) * 0xbf58476d1ce4e5b9ull;
	return hash >> 32;
}

static inline __attribute__((always_inline)) __u32 ports_way(__u32 hash, __u32 row)
{
	return (hash & 0xffff0000u) | (row + 1);
}

static inline __attribute__((always_inline)) int
ports_same(const struct sluice_listener_key *a, const struct sluice_listener_key *b)
{
	return a->address[3] == b->address[3] && a->port == b->port &&
	       a->address[2] == b->address[2] && a->address[1] == b->address[1] &&
	       a->address[0] == b->address[0];
}

#endif
