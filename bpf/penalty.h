/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * penalty.h - is this source under a penalty? Called by the gate, for new connections where there is
 * any penalty, for all packets to a listener where there is one of that level; else nothing is looked
 * up. Who gets one is decided in user space.
 */
#ifndef SLUICE_BPF_PENALTY_H
#define SLUICE_BPF_PENALTY_H

#include "maps.h"
#include "parse.h"
#include "sluice/source.h"
#include "trace.h"

/* Whether a penalty of at least this level holds at the moment; counts the packet as dropped by it. */
__noinline bool penalty_holds(const struct packet *packet, const struct sluice_switches *on,
			      __u32 level)
{
	struct sluice_penalty_key key;
	struct sluice_penalty *penalty;

	if (!packet || !on)
		return false;
	source_of(key.address, packet->source, packet->ipv4, on->v4_prefix, on->v6_prefix);
	penalty = bpf_map_lookup_elem(&penalties, &key);
	if (!penalty)
		return false;
	TRACE(SLUICE_TRACE_PENALTY, penalty_level = penalty->level);
	TRACE(SLUICE_TRACE_PENALTY, penalty_reason = penalty->reason);
	TRACE(SLUICE_TRACE_PENALTY, penalty_until_ns = penalty->until_ns);
	if (penalty->level < level || penalty->until_ns <= bpf_ktime_get_ns())
		return false;
	__sync_fetch_and_add(&penalty->dropped, 1);
	return true;
}

#endif
