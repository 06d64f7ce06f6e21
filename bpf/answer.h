/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * answer.h - turns a frame, in place, into the segment that answers it: MAC addresses, IP addresses
 * and ports swapped, VLAN tags kept; IP options, extension headers and data go. Called by reset.h
 * and cookie.h, whose caller then returns XDP_TX.
 */
#ifndef SLUICE_BPF_ANSWER_H
#define SLUICE_BPF_ANSWER_H

#include "parse.h"

#define ANSWER_TTL 64
#define ANSWER_OPTIONS_MAX 20

/* The TCP header to be sent, and zeros behind it: they change no checksum. */
struct answer {
	union {
		struct {
			struct tcphdr tcp;
			__u8 options[ANSWER_OPTIONS_MAX];
		};
		__u32 words[(sizeof(struct tcphdr) + ANSWER_OPTIONS_MAX) / 4];
	};
};

/* The sum of 32-bit words, for a checksum that answer_fold ends. By hand: a helper's call takes longer
 * than the sum of a header. */
static __always_inline __u64 answer_sum(const __u32 *words, __u32 n_words, __u64 sum)
{
#pragma unroll
	for (__u32 i = 0; i < n_words; i++)
		sum += words[i];
	return sum;
}

static __always_inline __u16 answer_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Nobody answers what came to a group address, or from one or from none, which only a forger sends
 * (RFC 1122 3.2.1.3, RFC 9293 3.9.2.3): what goes out would multiply. The stack does not either. */
static __always_inline bool answer_is_for_nobody(struct xdp_md *ctx, const struct packet *packet)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	__u32 last = bpf_ntohl(packet->source[3]);

	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end || (ethernet->h_dest[0] & 1))
		return true;
	if (packet->ipv4)
		return !last || last >> 28 == 0xe || last == 0xffffffff;
	return *(const __u8 *)packet->source == 0xff ||
	       !(packet->source[0] | packet->source[1] | packet->source[2] | last);
}

static __always_inline void answer_swap_macs(struct ethhdr *ethernet)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, mac, ETH_ALEN);
}

/* Ports and checksum. The rest of the header is the caller's. */
static __always_inline void answer_fill(const struct packet *packet, struct answer *answer)
{
	__u64 sum = bpf_htonl(IPPROTO_TCP + answer->tcp.doff * 4);

	answer->tcp.source = packet->key.port;
	answer->tcp.dest = packet->source_port;
	answer->tcp.check = 0;
	if (packet->ipv4) {
		sum += packet->source[3];
		sum += packet->destination[3];
	} else {
		sum = answer_sum(packet->source, 4, sum);
		sum = answer_sum(packet->destination, 4, sum);
	}
	answer->tcp.check = answer_fold(answer_sum(answer->words, sizeof(*answer) / 4, sum));
}

#ifdef ANSWER_KEEPS_LENGTH /* gate_chain.bpf.c: what is left behind the packet is padding */
#define ANSWER_GROWS false
#else
#define ANSWER_GROWS true /* drivers leave room behind a frame for the few bytes that it may take */
#endif

static __always_inline bool answer_fits(struct xdp_md *ctx, const struct packet *packet,
					const struct answer *answer)
{
	return ANSWER_GROWS ||
	       bpf_xdp_get_buff_len(ctx) >=
		       packet->l3_offset + answer->tcp.doff * 4 +
			       (packet->ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

/* False: there is no room for it behind the frame, which is as it was. Verified by itself. */
__noinline bool answer_make(struct xdp_md *ctx, const struct packet *packet, struct answer *answer)
{
	struct ethhdr *ethernet;
	__u32 ip_bytes, tcp_bytes, l3_offset, *to;
	void *l3, *end;
	long excess;

	if (!packet || !answer)
		return false;
	l3_offset = packet->l3_offset;
	ip_bytes = packet->ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	tcp_bytes = answer->tcp.doff * 4;
	if (tcp_bytes < sizeof(answer->tcp) || tcp_bytes > sizeof(*answer))
		return false;
	answer_fill(packet, answer);
	excess = (long)bpf_xdp_get_buff_len(ctx) - (l3_offset + ip_bytes + tcp_bytes);
#ifdef ANSWER_KEEPS_LENGTH
	if (excess < 0)
		return false;
#else
	if (excess && bpf_xdp_adjust_tail(ctx, -excess))
		return false;
#endif

	ethernet = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(ethernet + 1) > end)
		return false;
	answer_swap_macs(ethernet);
	l3 = parse_ip(ctx, packet);
	if (packet->ipv4) {
		struct iphdr *ip = l3;

		if ((void *)(ip + 1) > end)
			return false;
		__builtin_memset(ip, 0, sizeof(*ip));
		ip->version = 4;
		ip->ihl = sizeof(*ip) / 4;
		ip->tot_len = bpf_htons(sizeof(*ip) + tcp_bytes);
		ip->frag_off = bpf_htons(0x4000); /* don't fragment: the id needs no thought */
		ip->ttl = ANSWER_TTL;
		ip->protocol = IPPROTO_TCP;
		ip->saddr = packet->destination[3];
		ip->daddr = packet->source[3];
		ip->check = answer_fold((__u64)bpf_htons(0x4500) + ip->tot_len + ip->frag_off +
					bpf_htons(ANSWER_TTL << 8 | IPPROTO_TCP) + ip->saddr +
					ip->daddr);
		to = (void *)(ip + 1);
	} else {
		struct ipv6hdr *ip = l3;

		if ((void *)(ip + 1) > end)
			return false;
		__builtin_memset(ip, 0, sizeof(*ip));
		ip->version = 6;
		ip->payload_len = bpf_htons(tcp_bytes);
		ip->nexthdr = IPPROTO_TCP;
		ip->hop_limit = ANSWER_TTL;
		__builtin_memcpy(&ip->saddr, packet->destination, sizeof(ip->saddr));
		__builtin_memcpy(&ip->daddr, packet->source, sizeof(ip->daddr));
		to = (void *)(ip + 1);
	}
	for (__u32 i = 0; i < sizeof(*answer) / sizeof(*to); i++) {
		if (i * sizeof(*to) >= tcp_bytes)
			break;
		if ((void *)(to + i + 1) > end)
			return false;
		to[i] = answer->words[i];
	}
	return true;
}

#endif
