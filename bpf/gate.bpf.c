/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate.bpf.c - the XDP program: what is not for a listener passes untouched, at the price of the
 * look-up; a new connection to a listener is admitted, refused, reset or answered with a cookie; all
 * later packets pass. It keeps no connections: established ones are the stack's business. Reads top
 * to bottom from new_connection's helpers to gate. Every packet ends in conclude, under one verdict.
 * A header a topic; docs/KERNEL.md has the order in a figure.
 */
#include "acl.h"
#include "admit.h"
#include "cookie.h"
#include "cookie_seen.h"
#include "event.h"
#include "maps.h"
#include "parse.h"
#include "penalty.h"
#include "ports.h"
#include "reset.h"
#include "stray.h"

char _license[] SEC("license") = "GPL";

static __always_inline void count(struct xdp_md *ctx, const struct packet *packet, __u32 reason)
{
	struct sluice_verdict_count *count = bpf_map_lookup_elem(&verdicts, &reason);

	if (count) {
		count->packets++;
		count->bytes += parse_frame_bytes(ctx, packet);
	}
}

static __always_inline int conclude(struct xdp_md *ctx, const struct packet *packet,
				    const struct sluice_switches *on, __u32 listener, __u32 reason,
				    int action)
{
	count(ctx, packet, reason);
	if (on->events_mask & (1ull << reason))
		event_send(ctx, packet, reason, listener);
	return action;
}

/* The group, if it has no live backend left; else NULL. */
static __always_inline const struct sluice_group *group_down(__u32 id)
{
	const struct sluice_group *group;

	if (id == SLUICE_GROUP_NONE)
		return NULL;
	group = bpf_map_lookup_elem(&groups, &id);
	if (!group)
		return NULL;
	TRACE(SLUICE_TRACE_GROUP, group = id);
	TRACE(SLUICE_TRACE_GROUP, group_live = group->live);
	TRACE(SLUICE_TRACE_GROUP, group_on_all_down = group->on_all_down);
	return group->used && !group->live ? group : NULL;
}

#define NO_COOKIE -1

/* Answers the SYN with a cookie where the listener is flooded: an XDP action, or NO_COOKIE, and the
 * frame is as it was. */
static __always_inline int cookie_instead(struct xdp_md *ctx, const struct packet *packet,
					  const struct sluice_listener *listener,
					  struct sluice_listener_stats *stats,
					  const struct sluice_switches *on, __u64 now_ns)
{
	struct sluice_listener_time *times;
	__u32 id = listener->id;

	times = bpf_map_lookup_elem(&listener_times, &id);
	if (!times || !cookie_wanted(listener, times, now_ns))
		return NO_COOKIE;
	/* The stack would not take it either. */
	if (answer_is_to_group(ctx))
		return conclude(ctx, packet, on, id, VERDICT_DROP_MALFORMED, XDP_DROP);
	if (cookie_send(ctx, packet, listener, now_ns))
		return NO_COOKIE;
	cookie_note(listener, times, now_ns);
	stats->cookies++;
	count(ctx, packet, VERDICT_COOKIE_SENT); /* the event went out before the frame was changed */
	return XDP_TX;
}

/* The group has no live backend, and says that this is to be seen. */
static __always_inline int refuse(struct xdp_md *ctx, const struct packet *packet,
				  const struct sluice_listener *listener,
				  const struct sluice_group *group,
				  const struct sluice_switches *on)
{
	if (group->on_all_down != SLUICE_ALL_DOWN_RESET || answer_is_to_group(ctx))
		return conclude(ctx, packet, on, listener->id, VERDICT_DROP_ALL_DOWN, XDP_DROP);
	if (on->events_mask & (1ull << VERDICT_RESET_ALL_DOWN))
		event_send(ctx, packet, VERDICT_RESET_ALL_DOWN, listener->id);
	if (!reset_make(ctx, packet)) {
		count(ctx, packet, VERDICT_DROP_ALL_DOWN);
		return XDP_DROP;
	}
	count(ctx, packet, VERDICT_RESET_ALL_DOWN);
	return XDP_TX;
}

static __always_inline int new_connection(struct xdp_md *ctx, const struct packet *packet,
					  const struct sluice_listener *listener,
					  struct sluice_listener_stats *stats,
					  const struct sluice_switches *on)
{
	enum acl_verdict acl = acl_judge(packet, listener->acl);
	const struct sluice_group *down;
	__u64 now_ns = 0;
	bool refused;
	__u32 found;

	stats->syns++;
	if (acl != ACL_ADMITS) {
		stats->denied++;
		return conclude(ctx, packet, on, listener->id,
				acl == ACL_DENIES ? VERDICT_DROP_ACL : VERDICT_DROP_NOT_ALLOWED,
				XDP_DROP);
	}
	if (on->penalties_until_ns && penalty_holds(packet, on, SLUICE_PENALTY_CONNECTIONS)) {
		stats->penalized++;
		return conclude(ctx, packet, on, listener->id, VERDICT_DROP_PENALTY, XDP_DROP);
	}
	down = group_down(listener->group);
	refused = down && down->on_all_down != SLUICE_ALL_DOWN_ACCEPT;
	if (!refused && (listener->flags & COOKIE_FLAGS)) {
		int action;

		now_ns = bpf_ktime_get_ns();
		action = cookie_instead(ctx, packet, listener, stats, on, now_ns);
		if (action != NO_COOKIE)
			return action;
	}
	found = admit(packet, listener, stats, on, now_ns);
	if (found != VERDICT_PASS_NEW)
		return conclude(ctx, packet, on, listener->id, found, XDP_DROP);
	if (refused) {
		stats->all_down++;
		return refuse(ctx, packet, listener, down, on);
	}
	stats->passed++;
	return conclude(ctx, packet, on, listener->id,
			down ? VERDICT_PASS_FAIL_OPEN : VERDICT_PASS_NEW, XDP_PASS);
}

/* Whether segments to this listener may bring cookies back. */
static __always_inline bool cookies_return(const struct sluice_listener *listener)
{
	struct sluice_listener_time *times;
	__u32 id = listener->id;
	__u64 sent_ns;

	if (!(listener->flags & COOKIE_FLAGS))
		return false;
	times = bpf_map_lookup_elem(&listener_times, &id);
	if (!times)
		return false;
	sent_ns = times->cookie_sent_ns;
	if (!sent_ns)
		return false;
	if (bpf_ktime_get_ns() < sent_ns + COOKIE_RETURN_NS)
		return true;
	__sync_val_compare_and_swap(&times->cookie_sent_ns, sent_ns, 0);
	return false;
}

/* A segment that is no SYN, while it matters whose it is. Verified by itself, which is why the pointers
 * are checked. */
__noinline int later_packet(struct xdp_md *ctx, const struct packet *packet,
			    const struct sluice_listener *listener,
			    struct sluice_listener_stats *stats, const struct sluice_switches *on)
{
	__u32 found;
	int owner;

	if (!packet || !listener || !stats || !on)
		return XDP_PASS;
	owner = cookie_owner(ctx, packet);
	TRACE(SLUICE_TRACE_SOCKET, cookie_valid = owner == COOKIE_OWNER_COOKIE);
	if (owner == COOKIE_OWNER_COOKIE) {
		__u64 hash = cookie_seen_hash(packet, on), now_ns = bpf_ktime_get_ns();

		if (cookie_seen_take(hash, now_ns))
			return conclude(ctx, packet, on, listener->id, VERDICT_PASS_ESTABLISHED,
					XDP_PASS);
		found = admit(packet, listener, stats, on, now_ns);
		if (found != VERDICT_PASS_NEW)
			return conclude(ctx, packet, on, listener->id, found, XDP_DROP);
		cookie_seen_put(hash, now_ns);
		stats->cookies_back++;
		stats->passed++;
		return conclude(ctx, packet, on, listener->id, VERDICT_PASS_COOKIE, XDP_PASS);
	}
	if (owner == COOKIE_OWNER_NONE && on->stray_interval_ns && !stray_admits(ctx, packet, on)) {
		stats->strays_limited++;
		return conclude(ctx, packet, on, listener->id, VERDICT_DROP_STRAY_LIMIT, XDP_DROP);
	}
	return conclude(ctx, packet, on, listener->id, VERDICT_PASS_ESTABLISHED, XDP_PASS);
}

/* What is for no listener. */
static __always_inline int not_ours(struct xdp_md *ctx, const struct packet *packet,
				    const struct sluice_switches *on, __u32 found)
{
	if (on->stray_interval_ns && packet->has_addresses && !stray_admits(ctx, packet, on))
		return conclude(ctx, packet, on, SLUICE_EVENT_NO_LISTENER,
				VERDICT_DROP_STRAY_LIMIT, XDP_DROP);
	return conclude(ctx, packet, on, SLUICE_EVENT_NO_LISTENER, found, XDP_PASS);
}

SEC("xdp.frags")
int gate(struct xdp_md *ctx)
{
	struct packet packet = {};
	struct sluice_listener_stats *stats;
	struct sluice_listener *listener;
	struct sluice_switches *on;
	struct tcphdr *tcp;
	__u32 found, id, zero = 0;

	on = bpf_map_lookup_elem(&switches, &zero);
	if (!on)
		return XDP_PASS;
	found = parse_network(ctx, &packet);
	if (found == PARSE_TCP)
		found = parse_ports(ctx, &packet, &tcp);
	__builtin_memcpy(packet.destination, packet.key.address, sizeof(packet.destination));
	if (found == VERDICT_DROP_MALFORMED)
		return conclude(ctx, &packet, on, SLUICE_EVENT_NO_LISTENER, found, XDP_DROP);
	if (found != PARSE_TCP)
		return not_ours(ctx, &packet, on, found);
	listener = ports_find(&packet.key);
	if (!listener) {
		/* Answers to our own connections come to such ports as well. */
		if (parse_is_syn(ctx, tcp))
			return not_ours(ctx, &packet, on, VERDICT_PASS_NOT_OURS);
		return conclude(ctx, &packet, on, SLUICE_EVENT_NO_LISTENER, VERDICT_PASS_NOT_OURS,
				XDP_PASS);
	}
	id = listener->id;
	stats = bpf_map_lookup_elem(&listener_stats, &id);
	if (!stats) /* an entry made by hand with an id out of range */
		return conclude(ctx, &packet, on, SLUICE_EVENT_NO_LISTENER, VERDICT_PASS_NOT_OURS,
				XDP_PASS);
	TRACE(SLUICE_TRACE_LISTENER, listener = id);
	stats->packets++;
	if (on->packets_until_ns && penalty_holds(&packet, on, SLUICE_PENALTY_PACKETS)) {
		stats->penalized++;
		return conclude(ctx, &packet, on, id, VERDICT_DROP_PENALTY_ALL, XDP_DROP);
	}
	found = parse_tcp(ctx, &packet, tcp);
	if (found != PARSE_TCP)
		return conclude(ctx, &packet, on, id, found, XDP_DROP);
	packet.sequence = tcp->seq;
	if (tcp->syn && !tcp->ack)
		return new_connection(ctx, &packet, listener, stats, on);
	if (on->stray_interval_ns || cookies_return(listener))
		return later_packet(ctx, &packet, listener, stats, on);
	return conclude(ctx, &packet, on, id, VERDICT_PASS_ESTABLISHED, XDP_PASS);
}
