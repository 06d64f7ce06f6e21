/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cookie.h - SYN cookies (RFC 4987 3.6): a SYN is answered here, with a sequence number that the
 * kernel makes and will know again, and nothing is kept of it. Called by the gate for a SYN while a
 * listener is flooded, and for the segments that may bring a cookie back. A cookie has room for one of
 * a few MSS values, and a timestamp beside it for window scaling and SACK; docs/KERNEL.md says what is lost.
 */
#ifndef SLUICE_BPF_COOKIE_H
#define SLUICE_BPF_COOKIE_H

#include "answer.h"
#include "event.h"
#include "limit.h"
#include "maps.h"
#include "syn_options.h"
#include "trace.h"

#define COOKIE_HOLD_NS (1000ull * 1000 * 1000) /* auto: so long after the last too fast SYN */
/* The kernel takes a cookie for two minutes: who sits on one so long shall not get past the limits. */
#define COOKIE_RETURN_NS (125ull * 1000 * 1000 * 1000)
#define COOKIE_SENT_NS	 (500ull * 1000 * 1000) /* how exact cookie_sent_ns is */
#define COOKIE_PROBE_ONE_IN 64
#define COOKIE_WINDOW 32768 /* enough for the first flight, and no more than the kernel will grant */
#define COOKIE_TCP_LISTEN 10
#define COOKIE_FLAGS (SLUICE_LISTENER_COOKIES_AUTO | SLUICE_LISTENER_COOKIES_ALWAYS)

/* The socket that the stack would give the packet to. Where that is a listening one, any worker's will
 * do: all of one SO_REUSEPORT group share what makes them know a cookie again. So pick, which this look-up
 * would run, is told to keep out of it. */
static __always_inline struct bpf_sock *cookie_socket(struct xdp_md *ctx,
						      const struct packet *packet)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;
	__u32 zero = 0, *quiet;

	quiet = bpf_map_lookup_elem(&asking, &zero);
	if (!quiet)
		return NULL;
	*quiet = 1;
	if (packet->ipv4) {
		tuple.ipv4.saddr = packet->source[3];
		tuple.ipv4.daddr = packet->destination[3];
		tuple.ipv4.sport = packet->source_port;
		tuple.ipv4.dport = packet->key.port;
		socket = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS,
					    0);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, packet->source, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, packet->destination, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = packet->source_port;
		tuple.ipv6.dport = packet->key.port;
		socket = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS,
					    0);
	}
	*quiet = 0;
	return socket;
}

/* Whether SYNs to this listener are to get cookies now. */
static __always_inline bool cookie_wanted(const struct sluice_listener *listener,
					  struct sluice_listener_time *times, __u64 now_ns)
{
	if (listener->flags & SLUICE_LISTENER_COOKIES_ALWAYS) {
		TRACE(SLUICE_TRACE_COOKIE, cookie_why = SLUICE_COOKIE_ALWAYS);
		return true;
	}
	if (!limit_take(&times->cookie_tat_ns, now_ns, listener->cookie_interval_ns,
			listener->cookie_tolerance_ns))
		times->cookie_until_ns = now_ns + COOKIE_HOLD_NS;
	if (times->cookie_until_ns > now_ns) {
		TRACE(SLUICE_TRACE_COOKIE, cookie_why = SLUICE_COOKIE_RATE);
		return true;
	}
	if ((listener->flags & SLUICE_LISTENER_COOKIES_PROBE) && !tracing &&
	    bpf_get_prandom_u32() % COOKIE_PROBE_ONE_IN == 0)
		return true;
	TRACE(SLUICE_TRACE_COOKIE, cookie_why = SLUICE_COOKIE_CALM);
	return false;
}

/* A cookie is sent: such may come back, and where the kernel gave it since the queue is full, the next
 * SYNs get one too. */
static __always_inline void cookie_note(const struct sluice_listener *listener,
					struct sluice_listener_time *times, __u64 now_ns)
{
	if (times->cookie_sent_ns + COOKIE_SENT_NS < now_ns)
		times->cookie_sent_ns = now_ns;
	if ((listener->flags & SLUICE_LISTENER_COOKIES_PROBE) &&
	    times->cookie_until_ns < now_ns + COOKIE_HOLD_NS / 2)
		times->cookie_until_ns = now_ns + COOKIE_HOLD_NS;
}

/* The cookie for this SYN with its MSS above, or -errno: -ENOENT where the kernel wants none. */
static __always_inline __s64 cookie_generate(struct xdp_md *ctx, const struct packet *packet,
					     struct syn_header *header)
{
	__u32 bytes = packet->header_bytes;
	struct bpf_sock *socket;
	__s64 cookie;
	void *ip;

	if (!syn_header_copy(ctx, packet, header))
		return -22; /* EINVAL */
	/* Not just any listening socket: where the SYN belongs to a connection, which may be in TIME_WAIT,
	 * the answer would go to that and be lost, so it is the stack's. */
	socket = cookie_socket(ctx, packet);
	if (!socket)
		return -2; /* ENOENT */
	cookie = -22;
	ip = parse_ip(ctx, packet);
	/* The shortest packets of both families end here. The comparisons are apart, else clang makes
	 * one of them that older verifiers cannot read. */
	if (socket->state == COOKIE_TCP_LISTEN &&
	    ip + sizeof(struct ipv6hdr) <= (void *)(long)ctx->data_end &&
	    bytes >= sizeof(struct tcphdr)) {
		barrier_var(bytes);
		if (bytes <= SYN_HEADER_MAX)
			cookie = bpf_tcp_gen_syncookie(socket, ip,
						       packet->ipv4 ? sizeof(struct iphdr) :
								      sizeof(struct ipv6hdr),
						       (void *)header->bytes, bytes);
	}
	bpf_sk_release(socket);
	return cookie;
}

/* The MSS to announce: that of the cookie, which is the client's, but no more than this interface has
 * room for. Else a client with larger frames sends what never arrives. */
static __always_inline __u16 cookie_mss(struct xdp_md *ctx, const struct packet *packet,
					__s64 cookie)
{
	__u32 headers = sizeof(struct tcphdr) +
			(packet->ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	__u32 mss = (cookie >> 32) & 0xffff, mtu = 0;

	if (bpf_check_mtu(ctx, 0, &mtu, 0, 0) >= 0 && mtu > headers && mss > mtu - headers)
		mss = mtu - headers;
	return mss;
}

/* Makes the SYN the answer that carries the cookie, and tells who listens before. False: it cannot be,
 * and is as it was. */
static __always_inline bool cookie_answer(struct xdp_md *ctx, const struct packet *packet,
					  const struct sluice_listener *listener,
					  const struct syn_header *header, __s64 cookie,
					  __u64 now_ns)
{
	struct answer answer = {};
	struct syn_options offered = {};
	struct sluice_switches *on;
	__u32 zero = 0;

	answer.tcp.seq = bpf_htonl((__u32)cookie);
	answer.tcp.ack_seq = bpf_htonl(bpf_ntohl(packet->sequence) + 1);
	answer.tcp.syn = 1;
	answer.tcp.ack = 1;
	answer.tcp.window = bpf_htons(COOKIE_WINDOW);
	answer.options[0] = TCP_OPTION_MSS;
	answer.options[1] = 4;
	*(__be16 *)&answer.options[2] = bpf_htons(cookie_mss(ctx, packet, cookie));
	answer.tcp.doff = (sizeof(answer.tcp) + 4) / 4;
	if ((listener->flags & SLUICE_LISTENER_COOKIES_OPTIONS) &&
	    syn_options_read(header, packet->header_bytes, &offered))
		syn_options_answer(&answer, &offered, listener->cookie_wscale, now_ns);
	if (!answer_fits(ctx, packet, &answer))
		return false;
	on = bpf_map_lookup_elem(&switches, &zero);
	if (on && (on->events_mask & (1ull << VERDICT_COOKIE_SENT)))
		event_send(ctx, packet, VERDICT_COOKIE_SENT, listener->id);
	return answer_make(ctx, packet, &answer);
}

/* 0: the frame is the answer now. -errno: there is no cookie, and the frame is as it was. Verified by
 * itself. */
__noinline int cookie_send(struct xdp_md *ctx, const struct packet *packet,
			   const struct sluice_listener *listener, __u64 now_ns)
{
	struct syn_header header = {};
	__s64 cookie;

	if (!packet || !listener)
		return -22;
	if (tracing)
		cookie = given.cookie;
	else
		cookie = cookie_generate(ctx, packet, &header);
	TRACE(SLUICE_TRACE_COOKIE, cookie_result = cookie < 0 ? cookie : 0);
	if (cookie < 0)
		return cookie;
	return cookie_answer(ctx, packet, listener, &header, cookie, now_ns) ? 0 : -28; /* ENOSPC */
}

/* What a segment to a listener belongs to: enum cookie_owner. */
__noinline int cookie_owner(struct xdp_md *ctx, const struct packet *packet)
{
	int owner = COOKIE_OWNER_CONNECTION;
	struct bpf_sock *socket;

	TRACE(SLUICE_TRACE_SOCKET, socket_state = given.socket_state);
	if (tracing)
		return given.owner;
	if (!packet)
		return COOKIE_OWNER_NONE;
	socket = cookie_socket(ctx, packet);
	if (!socket)
		return COOKIE_OWNER_NONE;
	if (socket->state == COOKIE_TCP_LISTEN) {
		void *end = (void *)(long)ctx->data_end;
		void *ip = parse_ip(ctx, packet), *tcp;
		__u32 offset = packet->l4_offset;

		owner = COOKIE_OWNER_NONE;
		if (offset > PARSE_L4_OFFSET_MAX)
			offset = 0;
		tcp = (void *)(long)ctx->data + offset;
		barrier_var(tcp);
		if (ip + sizeof(struct ipv6hdr) <= end && tcp + sizeof(struct tcphdr) <= end &&
		    !bpf_tcp_check_syncookie(socket, ip,
					     packet->ipv4 ? sizeof(struct iphdr) :
							    sizeof(struct ipv6hdr),
					     tcp, sizeof(struct tcphdr)))
			owner = COOKIE_OWNER_COOKIE;
	}
	bpf_sk_release(socket);
	return owner;
}

#endif
