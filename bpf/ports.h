/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ports.h - finds the listener of a packet, most often without a look-up in a map: most packets of a
 * machine are for no listener, and most of the rest for one that is well known. What is known is the
 * gate's own global data, written by the loader together with the listeners map. Where the maps are
 * filled by hand all of it is zero, and every packet is looked up.
 */
#ifndef SLUICE_BPF_PORTS_H
#define SLUICE_BPF_PORTS_H

#include "maps.h"
#include "sluice/ports.h"

/* A bit a port, in host order. Set: no listener on it has an address of its own... */
__u64 ports_without_address[65536 / 64];
/* ... and none takes any address. */
__u64 ports_without_any[65536 / 64];
struct sluice_ports ports;

static __always_inline struct sluice_listener *ports_look_up(const struct sluice_listener_key *key)
{
	__u32 hash = ports_hash(key), set = hash % SLUICE_PORTS_SETS;

	if (!ports.complete)
		return bpf_map_lookup_elem(&listeners, key);
#pragma unroll
	for (int i = 0; i < SLUICE_PORTS_WAYS; i++) {
		__u32 way = *(volatile __u32 *)&ports.ways[set][i];
		struct sluice_ports_row *row;

		if (!way || (way ^ hash) >> 16)
			continue;
		row = &ports.rows[((way & 0xffff) - 1) % SLUICE_PORTS_ROWS];
		if (ports_same(&row->key, key))
			return &row->listener;
	}
	return NULL;
}

/* The listener's own address first, then any address of the family. Changes key. */
static __always_inline struct sluice_listener *ports_find(struct sluice_listener_key *key)
{
	__u32 port = bpf_ntohs(key->port);
	__u64 bit = 1ull << (port % 64);
	struct sluice_listener *listener;

	if (!(ports_without_address[port / 64] & bit)) {
		listener = ports_look_up(key);
		if (listener)
			return listener;
	}
	if (ports_without_any[port / 64] & bit)
		return NULL;
	listener_key_any(key);
	return ports_look_up(key);
}

#endif
