/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * event.h - tells who listens what became of a packet: its verdict, and its first bytes. Called where
 * the verdict falls, before the frame is changed; within a limit for the whole machine, so that a flood
 * costs listeners no more than that.
 */
#ifndef SLUICE_BPF_EVENT_H
#define SLUICE_BPF_EVENT_H

#include "limit.h"
#include "maps.h"
#include "parse.h"

/* Verified by itself. */
__noinline int event_send(struct xdp_md *ctx, const struct packet *packet, __u32 reason,
			  __u32 listener)
{
	struct sluice_switches *on;
	struct sluice_event *event;
	__u64 now_ns = bpf_ktime_get_ns();
	__u32 zero = 0, bytes;

	on = bpf_map_lookup_elem(&switches, &zero);
	if (!packet || !on)
		return 0;
	if (!limit_take(&on->events_tat_ns, now_ns, on->events_interval_ns,
			on->events_tolerance_ns)) {
		__sync_fetch_and_add(&on->events_limited, 1);
		return 0;
	}
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&on->events_lost, 1);
		return 0;
	}
	event->time_ns = now_ns;
	event->reason = reason;
	event->ifindex = ctx->ingress_ifindex;
	event->packet_bytes = bpf_xdp_get_buff_len(ctx);
	event->listener = listener;
	event->ipv4 = packet->ipv4;
	event->known = packet->has_addresses | packet->has_ports << 1;
	event->pad[0] = event->pad[1] = 0;
	event->pad2 = 0;
	__builtin_memcpy(event->source, packet->source, sizeof(event->source));
	__builtin_memcpy(event->destination, packet->destination, sizeof(event->destination));
	event->source_port = packet->source_port;
	event->destination_port = packet->key.port;
	bytes = event->packet_bytes;
	if (bytes > SLUICE_EVENT_SNAP)
		bytes = SLUICE_EVENT_SNAP;
	__builtin_memset(event->snap, 0, sizeof(event->snap));
	/* No frame is shorter; up to Linux 6.1 the verifier does not see that a number is not 0. */
	barrier_var(bytes);
	if (bytes < ETH_HLEN || bpf_xdp_load_bytes(ctx, 0, event->snap, bytes))
		bytes = 0;
	event->snap_bytes = bytes;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

#endif
