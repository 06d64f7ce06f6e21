/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * admit.h - the limits that a new connection has to pass: connections that the source has open, new
 * ones of the source, new ones of the listener. Called by the gate for a SYN, or for the segment that
 * brings a cookie back, since only that one shows that the source is real. stray.h has the limit for
 * what is no connection.
 */
#ifndef SLUICE_BPF_ADMIT_H
#define SLUICE_BPF_ADMIT_H

#include "limit.h"
#include "maps.h"
#include "parse.h"
#include "sluice/source.h"
#include "trace.h"

/* Connections of this source that the workers have open. */
static __always_inline __u32 admit_connections(const __u32 source[4],
					       const struct sluice_switches *on)
{
	__u64 hash = source_hash(source, on->hash_key);
	__u32 set = hash % SLUICE_SOURCE_SETS, tag = source_tag(hash);
	const struct sluice_source_set *found = bpf_map_lookup_elem(&source_states, &set);

	if (!found)
		return 0;
	for (int i = 0; i < SLUICE_SOURCE_WAYS; i++) {
		const struct sluice_source_state *way = &found->ways[i];

		if (found->tags[i] == tag && way->address[0] == source[0] &&
		    way->address[1] == source[1] && way->address[2] == source[2] &&
		    way->address[3] == source[3])
			return way->connections;
	}
	return 0;
}

/* Takes one event of this source from the limit whose clocks are in map. */
static __always_inline bool admit_take(void *map, const void *key, __u64 now_ns, __u64 interval_ns,
				       __u64 tolerance_ns, __u64 *tat_ns)
{
	struct sluice_source fresh = { .tat_ns = now_ns + interval_ns };
	struct sluice_source *source = bpf_map_lookup_elem(map, key);

	*tat_ns = 0;
	if (!source) {
		/* Where the map finds no room, the listener's limit still holds. */
		if (!bpf_map_update_elem(map, key, &fresh, BPF_NOEXIST))
			return true;
		source = bpf_map_lookup_elem(map, key); /* another CPU was first */
		if (!source)
			return true;
	}
	*tat_ns = source->tat_ns;
	return limit_take(&source->tat_ns, now_ns, interval_ns, tolerance_ns);
}

/* VERDICT_PASS_NEW, or why not. now_ns: 0 where the clock was not read yet, which takes longer than
 * anything else here. */
static __always_inline __u32 admit(const struct packet *packet,
				   const struct sluice_listener *listener,
				   struct sluice_listener_stats *stats,
				   const struct sluice_switches *on, __u64 now_ns)
{
	struct sluice_source_key key = {};
	struct sluice_listener_time *times;
	__u64 tat_ns;
	__u32 id;

	if (!now_ns && (listener->source_interval_ns || listener->listener_interval_ns))
		now_ns = bpf_ktime_get_ns();
	source_of(key.address, packet->source, packet->ipv4, on->v4_prefix, on->v6_prefix);
	key.listener = listener->id;
	if (listener->source_connections) {
		__u32 connections = admit_connections(key.address, on);

		TRACE(SLUICE_TRACE_CONNECTIONS, connections = connections);
		TRACE(SLUICE_TRACE_CONNECTIONS, connections_limit = listener->source_connections);
		if (connections >= listener->source_connections) {
			stats->source_full++;
			return VERDICT_DROP_SOURCE_CONNECTIONS;
		}
	}
	if (listener->source_interval_ns) {
		bool taken = admit_take(&sources, &key, now_ns, listener->source_interval_ns,
					listener->source_tolerance_ns, &tat_ns);

		TRACE(SLUICE_TRACE_SOURCE, source_tat_ns = tat_ns);
		if (!taken) {
			stats->source_limited++;
			return VERDICT_DROP_SOURCE_LIMIT;
		}
	}
	if (!listener->listener_interval_ns)
		return VERDICT_PASS_NEW;
	id = listener->id;
	times = bpf_map_lookup_elem(&listener_times, &id);
	if (!times)
		return VERDICT_PASS_NEW;
	TRACE(SLUICE_TRACE_LIMIT, limit_tat_ns = times->tat_ns);
	if (limit_take(&times->tat_ns, now_ns, listener->listener_interval_ns,
		       listener->listener_tolerance_ns))
		return VERDICT_PASS_NEW;
	stats->listener_limited++;
	return VERDICT_DROP_LISTENER_LIMIT;
}

#endif
