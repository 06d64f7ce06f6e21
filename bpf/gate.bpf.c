/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate.bpf.c - the XDP program: what is not for a listener passes untouched, at the price of the
 * look-up; a new connection to a listener is admitted, refused, reset or answered with a cookie; all
 * later packets pass. It keeps no connections: established ones are the stack's business. Reads top
 * to bottom from new_connection's helpers to gate, where every packet ends under one verdict; what is done
 * with it follows from that.
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

/* None of the verdicts, and so a function's answer that there is none yet. */
#define GO_ON VERDICT_MAX

/*
 * Answers the SYN with a cookie where the listener is flooded; GO_ON, and the frame is as it was,
 * where it is not. The event goes out before the frame is changed.
 */
static __always_inline __u32 cookie_instead(struct xdp_md *ctx, const struct packet *packet,
					    const struct sluice_listener *listener,
					    struct sluice_listener_stats *stats, __u64 now_ns)
{
	struct sluice_listener_time *times;
	__u32 id = listener->id;

	times = bpf_map_lookup_elem(&listener_times, &id);
	if (!times || !cookie_wanted(listener, times, now_ns))
		return GO_ON;
	/* The stack would not take it either. */
	if (answer_is_for_nobody(ctx, packet))
		return VERDICT_DROP_MALFORMED;
	if (cookie_send(ctx, packet, listener, now_ns))
		return GO_ON;
	cookie_note(listener, times, now_ns);
	stats->cookies++;
	return VERDICT_COOKIE_SENT;
}

/* The group has no live backend, and says that this is to be seen. */
static __always_inline __u32 refuse(struct xdp_md *ctx, const struct packet *packet,
				    const struct sluice_listener *listener,
				    const struct sluice_group *group,
				    const struct sluice_switches *on)
{
	if (group->on_all_down != SLUICE_ALL_DOWN_RESET || answer_is_for_nobody(ctx, packet))
		return VERDICT_DROP_ALL_DOWN;
	if (on->events_mask & (1ull << VERDICT_RESET_ALL_DOWN))
		event_send(ctx, packet, VERDICT_RESET_ALL_DOWN, listener->id);
	return reset_make(ctx, packet) ? VERDICT_RESET_ALL_DOWN : VERDICT_DROP_ALL_DOWN;
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

/* Whether a source may connect at all, by access lists and penalties: the verdict, or GO_ON. */
static __always_inline __u32 unwelcome(const struct packet *packet,
				       const struct sluice_listener *listener,
				       struct sluice_listener_stats *stats,
				       const struct sluice_switches *on)
{
	enum acl_verdict acl = acl_judge(packet, listener->acl);

	if (acl != ACL_ADMITS) {
		stats->denied++;
		return acl == ACL_DENIES ? VERDICT_DROP_ACL : VERDICT_DROP_NOT_ALLOWED;
	}
	if (on->penalties_until_ns && penalty_holds(packet, on, SLUICE_PENALTY_CONNECTIONS)) {
		stats->penalized++;
		return VERDICT_DROP_PENALTY;
	}
	return GO_ON;
}

static __always_inline __u32 new_connection(struct xdp_md *ctx, const struct packet *packet,
					    const struct sluice_listener *listener,
					    struct sluice_listener_stats *stats,
					    const struct sluice_switches *on)
{
	const struct sluice_group *down;
	__u64 now_ns = 0;
	bool refused;
	__u32 found;

	stats->syns++;
	found = unwelcome(packet, listener, stats, on);
	if (found != GO_ON)
		return found;
	down = group_down(listener->group);
	refused = down && down->on_all_down != SLUICE_ALL_DOWN_ACCEPT;
	if (!refused && (listener->flags & COOKIE_FLAGS)) {
		now_ns = bpf_ktime_get_ns();
		found = cookie_instead(ctx, packet, listener, stats, now_ns);
		if (found != GO_ON)
			return found;
	}
	found = admit(packet, listener, stats, on, now_ns);
	if (found != VERDICT_PASS_NEW)
		return found;
	if (refused) {
		stats->all_down++;
		return refuse(ctx, packet, listener, down, on);
	}
	stats->passed++;
	/* While the stack makes cookies of its own too, the one for this SYN is not to be counted again. */
	if (cookies_return(listener))
		cookie_seen_put(cookie_seen_hash(packet, bpf_htonl(bpf_ntohl(packet->sequence) + 1), on),
				now_ns, COOKIE_SEEN_SYN_TICKS);
	return down ? VERDICT_PASS_FAIL_OPEN : VERDICT_PASS_NEW;
}

/* A segment that is no SYN, while it matters whose it is. Verified by itself, which is why the pointers
 * are checked. */
__noinline __u32 later_packet(struct xdp_md *ctx, const struct packet *packet,
			      const struct sluice_listener *listener,
			      struct sluice_listener_stats *stats,
			      const struct sluice_switches *on)
{
	__u64 hash, now_ns;
	__u32 found;
	int owner;

	if (!packet || !listener || !stats || !on)
		return VERDICT_PASS_ESTABLISHED;
	owner = cookie_owner(ctx, packet);
	TRACE(SLUICE_TRACE_SOCKET, cookie_valid = owner == COOKIE_OWNER_COOKIE);
	if (owner == COOKIE_OWNER_NONE && on->stray_interval_ns &&
	    !stray_admits(ctx, packet, on)) {
		stats->strays_limited++;
		return VERDICT_DROP_STRAY_LIMIT;
	}
	if (owner != COOKIE_OWNER_COOKIE)
		return VERDICT_PASS_ESTABLISHED;
	/* Cookies can be gathered: who is out since then is out. */
	found = unwelcome(packet, listener, stats, on);
	if (found != GO_ON)
		return found;
	hash = cookie_seen_hash(packet, packet->sequence, on);
	now_ns = bpf_ktime_get_ns();
	if (cookie_seen_take(hash, now_ns))
		return VERDICT_PASS_ESTABLISHED;
	found = admit(packet, listener, stats, on, now_ns);
	if (found != VERDICT_PASS_NEW)
		return found;
	cookie_seen_put(hash, now_ns, COOKIE_SEEN_ACK_TICKS);
	stats->cookies_back++;
	stats->passed++;
	return VERDICT_PASS_COOKIE;
}

/* What is for no listener. */
static __always_inline __u32 not_ours(struct xdp_md *ctx, const struct packet *packet,
				      const struct sluice_switches *on, __u32 found)
{
	if (on->stray_interval_ns && packet->has_addresses && !stray_admits(ctx, packet, on))
		return VERDICT_DROP_STRAY_LIMIT;
	return found;
}

/* The packet's verdict. *ret_listener: the id of its listener, where it has one. */
static __always_inline __u32 judge(struct xdp_md *ctx, struct packet *packet,
				   const struct sluice_switches *on, __u32 *ret_listener)
{
	struct sluice_listener_stats *stats;
	struct sluice_listener *listener;
	struct tcphdr *tcp;
	__u32 found, id;

	found = parse_network(ctx, packet);
	if (found == PARSE_TCP)
		found = parse_ports(ctx, packet, &tcp);
	__builtin_memcpy(packet->destination, packet->key.address, sizeof(packet->destination));
	if (found == VERDICT_DROP_MALFORMED)
		return found;
	if (found != PARSE_TCP)
		return not_ours(ctx, packet, on, found);
	listener = ports_find(&packet->key);
	if (!listener) {
		/* Answers to our own connections come to such ports as well. */
		return parse_is_syn(ctx, tcp) ? not_ours(ctx, packet, on, VERDICT_PASS_NOT_OURS) :
						VERDICT_PASS_NOT_OURS;
	}
	id = listener->id;
	stats = bpf_map_lookup_elem(&listener_stats, &id);
	if (!stats)
		return VERDICT_PASS_NOT_OURS; /* an entry made by hand with an id out of range */
	*ret_listener = id;
	TRACE(SLUICE_TRACE_LISTENER, listener = id);
	stats->packets++;
	if (on->packets_until_ns && penalty_holds(packet, on, SLUICE_PENALTY_PACKETS)) {
		stats->penalized++;
		return VERDICT_DROP_PENALTY_ALL;
	}
	found = parse_tcp(ctx, packet, tcp);
	if (found != PARSE_TCP)
		return found;
	packet->sequence = tcp->seq;
	if (tcp->syn && !tcp->ack)
		return new_connection(ctx, packet, listener, stats, on);
	if (on->stray_interval_ns || cookies_return(listener))
		return later_packet(ctx, packet, listener, stats, on);
	return VERDICT_PASS_ESTABLISHED;
}

#define BIT(verdict) (1ull << VERDICT_##verdict)
#define ANSWERED     (BIT(RESET_ALL_DOWN) | BIT(COOKIE_SENT))
#define PASSED                                                                                     \
	(BIT(PASS_NOT_OURS) | BIT(PASS_ESTABLISHED) | BIT(PASS_NEW) | BIT(PASS_FAIL_OPEN) |        \
	 BIT(PASS_FRAGMENT) | BIT(PASS_TRUNCATED) | BIT(PASS_COOKIE))

SEC("xdp.frags")
int gate(struct xdp_md *ctx)
{
	__u32 zero = 0, listener = SLUICE_EVENT_NO_LISTENER, verdict;
	struct sluice_verdict_count *count;
	struct sluice_switches *on;
	struct packet packet = {};

	on = bpf_map_lookup_elem(&switches, &zero);
	if (!on)
		return XDP_PASS;
	verdict = judge(ctx, &packet, on, &listener);
	count = bpf_map_lookup_elem(&verdicts, &verdict);
	if (!count)
		return XDP_PASS;
	count->packets++;
	count->bytes += parse_frame_bytes(ctx, &packet);
	if (on->events_mask & ~ANSWERED & (1ull << verdict))
		event_send(ctx, &packet, verdict, listener);
	if (PASSED & (1ull << verdict))
		return XDP_PASS;
	return ANSWERED & (1ull << verdict) ? XDP_TX : XDP_DROP;
}
