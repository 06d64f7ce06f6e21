/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate.bpf.c - the XDP program: what is not for a listener passes untouched, at the price of the
 * look-up; a new connection to a listener is admitted, refused or reset; all later packets pass.
 * It keeps no connections: established ones are the stack's business. Reads top to bottom from
 * new_connection's helpers to gate. Every packet ends in conclude, under one verdict.
 */
#include "acl.h"
#include "limit.h"
#include "maps.h"
#include "parse.h"
#include "ports.h"
#include "reset.h"

char _license[] SEC("license") = "GPL";

static __always_inline int conclude(struct xdp_md *ctx, __u32 reason, int action)
{
	struct sluice_verdict_count *count = bpf_map_lookup_elem(&verdicts, &reason);

	if (count) {
		count->packets++;
		count->bytes += bpf_xdp_get_buff_len(ctx);
	}
	return action;
}

static __always_inline __u32 keep_bits(__u32 word, int bits)
{
	if (bits <= 0)
		return 0;
	return bits >= 32 ? word : word & bpf_htonl(~0u << (32 - bits));
}

/* One new connection of this source at this listener, by the prefix that sources are counted by. */
static __always_inline bool source_admits(const struct packet *packet,
					  const struct sluice_listener *listener, __u64 now_ns)
{
	struct sluice_source fresh = { .tat_ns = now_ns + listener->source_interval_ns };
	struct sluice_source_key key = { .listener = listener->id };
	struct sluice_source *source;

	if (!listener->source_interval_ns)
		return true;
	if (packet->ipv4) {
		key.address[2] = packet->source[2];
		key.address[3] = keep_bits(packet->source[3], listener->v4_prefix);
	} else {
#pragma unroll
		for (int i = 0; i < 4; i++)
			key.address[i] = keep_bits(packet->source[i], listener->v6_prefix - 32 * i);
	}
	source = bpf_map_lookup_elem(&sources, &key);
	if (!source) {
		/* Where the map finds no room, the listener's limit still holds. */
		if (!bpf_map_update_elem(&sources, &key, &fresh, BPF_NOEXIST))
			return true;
		source = bpf_map_lookup_elem(&sources, &key); /* another CPU was first */
		if (!source)
			return true;
	}
	return limit_take(&source->tat_ns, now_ns, listener->source_interval_ns,
			  listener->source_tolerance_ns);
}

static __always_inline bool listener_admits(const struct sluice_listener *listener, __u64 now_ns)
{
	struct sluice_listener_time *time;
	__u32 id = listener->id;

	if (!listener->listener_interval_ns)
		return true;
	time = bpf_map_lookup_elem(&listener_times, &id);
	return !time || limit_take(&time->tat_ns, now_ns, listener->listener_interval_ns,
				   listener->listener_tolerance_ns);
}

/* The group, if it has no live backend left; else NULL. */
static __always_inline const struct sluice_group *group_down(__u32 id)
{
	const struct sluice_group *group;

	if (id == SLUICE_GROUP_NONE)
		return NULL;
	group = bpf_map_lookup_elem(&groups, &id);
	return group && group->used && !group->live ? group : NULL;
}

/* Verified by itself, which is why the pointers are checked. */
__noinline int new_connection(struct xdp_md *ctx, const struct packet *packet,
			      const struct sluice_listener *listener,
			      struct sluice_listener_stats *stats)
{
	const struct sluice_group *group;
	__u64 now_ns;
	__u32 action;

	if (!packet || !listener || !stats)
		return XDP_PASS;
	stats->syns++;
	action = acl_action(packet);
	if (action == SLUICE_ACL_DENY) {
		stats->denied++;
		return conclude(ctx, VERDICT_DROP_ACL, XDP_DROP);
	}
	if (!action && (listener->flags & SLUICE_LISTENER_ALLOW_LIST)) {
		stats->denied++;
		return conclude(ctx, VERDICT_DROP_NOT_ALLOWED, XDP_DROP);
	}
	now_ns = bpf_ktime_get_ns();
	if (!source_admits(packet, listener, now_ns)) {
		stats->source_limited++;
		return conclude(ctx, VERDICT_DROP_SOURCE_LIMIT, XDP_DROP);
	}
	if (!listener_admits(listener, now_ns)) {
		stats->listener_limited++;
		return conclude(ctx, VERDICT_DROP_LISTENER_LIMIT, XDP_DROP);
	}
	group = group_down(listener->group);
	if (!group) {
		stats->passed++;
		return conclude(ctx, VERDICT_PASS_NEW, XDP_PASS);
	}
	if (group->on_all_down == SLUICE_ALL_DOWN_ACCEPT) {
		stats->passed++;
		return conclude(ctx, VERDICT_PASS_FAIL_OPEN, XDP_PASS);
	}
	stats->all_down++;
	if (group->on_all_down == SLUICE_ALL_DOWN_RESET && reset_make(ctx, packet))
		return conclude(ctx, VERDICT_RESET_ALL_DOWN, XDP_TX);
	return conclude(ctx, VERDICT_DROP_ALL_DOWN, XDP_DROP);
}

SEC("xdp.frags")
int gate(struct xdp_md *ctx)
{
	struct packet packet = {};
	struct sluice_listener_stats *stats;
	struct sluice_listener *listener;
	struct tcphdr *tcp;
	__u32 found, id;

	found = parse_network(ctx, &packet);
	if (found == PARSE_TCP)
		found = parse_ports(ctx, &packet, &tcp);
	if (found != PARSE_TCP)
		return conclude(ctx, found,
				found == VERDICT_DROP_MALFORMED ? XDP_DROP : XDP_PASS);
	__builtin_memcpy(packet.destination, packet.key.address, sizeof(packet.destination));
	listener = ports_find(&packet.key);
	if (!listener)
		return conclude(ctx, VERDICT_PASS_NOT_OURS, XDP_PASS);
	id = listener->id;
	stats = bpf_map_lookup_elem(&listener_stats, &id);
	if (!stats) /* an entry made by hand with an id out of range */
		return conclude(ctx, VERDICT_PASS_NOT_OURS, XDP_PASS);
	stats->packets++;

	found = parse_tcp(ctx, &packet, tcp);
	if (found != PARSE_TCP)
		return conclude(ctx, found, XDP_DROP);
	if (!tcp->syn || tcp->ack)
		return conclude(ctx, VERDICT_PASS_ESTABLISHED, XDP_PASS);
	packet.sequence = tcp->seq;
	return new_connection(ctx, &packet, listener, stats);
}
