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
	struct tcphdr tcp;
	__u8 options[ANSWER_OPTIONS_MAX];
};

/* What TCP's checksum covers besides the segment; IPv4's shorter form sums to the same, since
 * the words between are zero and an IPv4 address is put into the last one. */
struct answer_pseudo {
	__be32 source[4];
	__be32 destination[4];
	__be32 bytes;
	__be32 protocol;
};

static __always_inline __u16 answer_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
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
	struct answer_pseudo pseudo = {
		.bytes = bpf_htonl(answer->tcp.doff * 4),
		.protocol = bpf_htonl(IPPROTO_TCP),
	};
	int sum;

	pseudo.source[3] = packet->destination[3];
	pseudo.destination[3] = packet->source[3];
	if (!packet->ipv4) {
		__builtin_memcpy(pseudo.source, packet->destination, sizeof(pseudo.source));
		__builtin_memcpy(pseudo.destination, packet->source, sizeof(pseudo.destination));
	}
	answer->tcp.source = packet->key.port;
	answer->tcp.dest = packet->source_port;
	answer->tcp.check = 0;
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	answer->tcp.check = answer_fold(
		bpf_csum_diff(NULL, 0, (__be32 *)answer, sizeof(*answer), sum));
}

/* False: it cannot be sent, and the frame is not to be used further. Verified by itself. */
__noinline bool answer_make(struct xdp_md *ctx, const struct packet *packet, struct answer *answer)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	__u32 ip_bytes, tcp_bytes, l3_offset;
	void *l3, *end;
	long excess;

	if (!packet || !answer || packet->l3_offset > 255)
		return false;
	l3_offset = packet->l3_offset;
	ip_bytes = packet->ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	tcp_bytes = answer->tcp.doff * 4;
	/* Nobody answers a group address (RFC 9293 3.9.2.3). */
	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end || (ethernet->h_dest[0] & 1))
		return false;
	answer_fill(packet, answer);
	excess = (long)bpf_xdp_get_buff_len(ctx) - (l3_offset + ip_bytes + tcp_bytes);
	if (excess && bpf_xdp_adjust_tail(ctx, -excess))
		return false;

	ethernet = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(ethernet + 1) > end)
		return false;
	answer_swap_macs(ethernet);
	l3 = (void *)ethernet + l3_offset;
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
		ip->check = answer_fold(bpf_csum_diff(NULL, 0, (__be32 *)ip, sizeof(*ip), 0));
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
	}
	if (tcp_bytes < sizeof(answer->tcp) || tcp_bytes > sizeof(*answer))
		return false;
	return !bpf_xdp_store_bytes(ctx, l3_offset + ip_bytes, answer, tcp_bytes);
}

#endif
