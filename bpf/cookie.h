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

#define COOKIE_TCP_HEADER_MAX 60

static __always_inline struct bpf_sock *cookie_socket(struct xdp_md *ctx,
						      const struct packet *packet)
{
	struct bpf_sock_tuple tuple = {};

	if (packet->ipv4) {
		tuple.ipv4.saddr = packet->source[3];
		tuple.ipv4.daddr = packet->destination[3];
		tuple.ipv4.sport = packet->source_port;
		tuple.ipv4.dport = packet->key.port;
		return bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	__builtin_memcpy(tuple.ipv6.saddr, packet->source, sizeof(tuple.ipv6.saddr));
	__builtin_memcpy(tuple.ipv6.daddr, packet->destination, sizeof(tuple.ipv6.daddr));
	tuple.ipv6.sport = packet->source_port;
	tuple.ipv6.dport = packet->key.port;
	return bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
}

/* The packet's IP and TCP headers, copied to where helpers take them from. */
struct cookie_headers {
	__u8 ip[sizeof(struct ipv6hdr)];
	__u8 tcp[COOKIE_TCP_HEADER_MAX];
};

static __always_inline bool cookie_load(struct xdp_md *ctx, const struct packet *packet,
					struct cookie_headers *headers)
{
	__u32 bytes = packet->header_bytes;

	if (bytes < sizeof(struct tcphdr) || bytes > COOKIE_TCP_HEADER_MAX)
		return false;
	if (packet->ipv4 ? bpf_xdp_load_bytes(ctx, packet->l3_offset, headers->ip,
					      sizeof(struct iphdr)) :
			   bpf_xdp_load_bytes(ctx, packet->l3_offset, headers->ip,
					      sizeof(struct ipv6hdr)))
		return false;
	return !bpf_xdp_load_bytes(ctx, packet->l4_offset, headers->tcp, bytes);
}

static __always_inline __u32 cookie_ip_bytes(const struct packet *packet)
{
	return packet->ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
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
__noinline __s64 cookie_generate(struct xdp_md *ctx, const struct packet *packet)
{
	struct cookie_headers headers;
	struct bpf_sock *socket;
	__s64 cookie = -22; /* EINVAL */

	if (tracing)
		return given.cookie;
	if (!packet || !cookie_load(ctx, packet, &headers))
		return cookie;
	socket = cookie_socket(ctx, packet);
	if (!socket)
		return -2; /* ENOENT */
	if (socket->state == COOKIE_TCP_LISTEN) {
		__u32 bytes = packet->header_bytes;

		if (bytes >= sizeof(struct tcphdr) && bytes <= COOKIE_TCP_HEADER_MAX)
			cookie = bpf_tcp_gen_syncookie(socket, headers.ip, cookie_ip_bytes(packet),
						       (struct tcphdr *)headers.tcp, bytes);
	}
	bpf_sk_release(socket);
	return cookie;
}

/* Makes the SYN the answer that carries the cookie. False: the frame is not to be used further. */
__noinline bool cookie_answer(struct xdp_md *ctx, const struct packet *packet,
			      const struct sluice_listener *listener, __s64 cookie)
{
	struct answer answer = {};
	struct syn_options offered = {};

	if (!packet || !listener)
		return false;
	answer.tcp.seq = bpf_htonl((__u32)cookie);
	answer.tcp.ack_seq = bpf_htonl(bpf_ntohl(packet->sequence) + 1);
	answer.tcp.syn = 1;
	answer.tcp.ack = 1;
	answer.tcp.window = bpf_htons(COOKIE_WINDOW);
	answer.options[0] = TCP_OPTION_MSS;
	answer.options[1] = 4;
	*(__be16 *)&answer.options[2] = bpf_htons((__u16)(cookie >> 32));
	answer.tcp.doff = (sizeof(answer.tcp) + 4) / 4;
	if ((listener->flags & SLUICE_LISTENER_COOKIES_OPTIONS) &&
	    syn_options_read(ctx, packet, &offered))
		syn_options_answer(&answer, &offered, listener->cookie_wscale,
				   bpf_ktime_get_ns());
	return answer_make(ctx, packet, &answer);
}

/* What a segment to a listener belongs to: enum cookie_owner. */
__noinline int cookie_owner(struct xdp_md *ctx, const struct packet *packet)
{
	struct cookie_headers headers;
	struct bpf_sock *socket;
	int owner = COOKIE_OWNER_CONNECTION;

	TRACE(SLUICE_TRACE_SOCKET, socket_state = given.socket_state);
	if (tracing)
		return given.owner;
	if (!packet)
		return COOKIE_OWNER_NONE;
	socket = cookie_socket(ctx, packet);
	if (!socket)
		return COOKIE_OWNER_NONE;
	if (socket->state == COOKIE_TCP_LISTEN) {
		owner = COOKIE_OWNER_NONE;
		if (cookie_load(ctx, packet, &headers) &&
		    !bpf_tcp_check_syncookie(socket, headers.ip, cookie_ip_bytes(packet),
					     (struct tcphdr *)headers.tcp, sizeof(struct tcphdr)))
			owner = COOKIE_OWNER_COOKIE;
	}
	bpf_sk_release(socket);
	return owner;
}

#endif
