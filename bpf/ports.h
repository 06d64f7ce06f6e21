/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ports.h - finds the listener of a packet, without a look-up where the port alone tells that there
 * is none: most packets of a machine are not for a listener. The hints are the gate's own global
 * data, written by the loader together with the listeners map. A hint only ever says no: where
 * the maps are filled by hand all are zero, and every packet is looked up.
 */
#ifndef SLUICE_BPF_PORTS_H
#define SLUICE_BPF_PORTS_H

#include "maps.h"

/* A bit a port, in host order. Set: no listener on it has an address of its own... */
__u64 ports_without_address[65536 / 64];
/* ... and none takes any address. */
__u64 ports_without_any[65536 / 64];

/* The listener's own address first, then any address of the family. Changes key. */
static __always_inline struct sluice_listener *ports_find(struct sluice_listener_key *key)
{
	__u32 port = bpf_ntohs(key->port);
	__u64 bit = 1ull << (port % 64);
	struct sluice_listener *listener;

	if (!(ports_without_address[port / 64] & bit)) {
		listener = bpf_map_lookup_elem(&listeners, key);
		if (listener)
			return listener;
	}
	if (ports_without_any[port / 64] & bit)
		return NULL;
	listener_key_any(key);
	return bpf_map_lookup_elem(&listeners, key);
}

#endif
