/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reset.h - turns a SYN, in place, into the RST that RFC 9293 3.10.7.1 prescribes for a closed
 * port: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>. VLAN tags stay; IP options, extension headers,
 * TCP options and data go. Called by the gate, which then returns XDP_TX.
 */
#ifndef SLUICE_BPF_RESET_H
#define SLUICE_BPF_RESET_H

#include "parse.h"

#define RESET_TTL 64

/* What TCP's checksum covers besides the segment; IPv4's shorter form sums to the same, since
 * the words between are zero and an IPv4 address is put into the last one. */
struct reset_pseudo {
	__be32 source[4];
	__be32 destination[4];
	__be32 bytes;
	__be32 protocol;
};

static __always_inline __u16 reset_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline void reset_swap_macs(struct ethhdr *ethernet)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, mac, ETH_ALEN);
}

static __always_inline void reset_fill_tcp(const struct packet *packet, struct tcphdr *reset)
{
	__u32 data_bytes = packet->l4_bytes - packet->header_bytes;
	struct reset_pseudo pseudo = {
		.bytes = bpf_htonl(sizeof(*reset)),
		.protocol = bpf_htonl(IPPROTO_TCP),
	};
	int sum;

	pseudo.source[3] = packet->destination[3];
	pseudo.destination[3] = packet->source[3];
	if (!packet->ipv4) {
		__builtin_memcpy(pseudo.source, packet->destination, sizeof(pseudo.source));
		__builtin_memcpy(pseudo.destination, packet->source, sizeof(pseudo.destination));
	}
	__builtin_memset(reset, 0, sizeof(*reset));
	reset->source = packet->key.port;
	reset->dest = packet->source_port;
	/* SYN takes a sequence number; FIN beside it was refused before. */
	reset->ack_seq = bpf_htonl(bpf_ntohl(packet->sequence) + data_bytes + 1);
	reset->doff = sizeof(*reset) / 4;
	reset->rst = 1;
	reset->ack = 1;
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	reset->check = reset_fold(bpf_csum_diff(NULL, 0, (__be32 *)reset, sizeof(*reset), sum));
}

/* False: no RST can be sent, and the frame is not to be used further. Verified by itself. */
__noinline bool reset_make(struct xdp_md *ctx, const struct packet *packet)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	__u32 ip_bytes, l3_offset;
	struct tcphdr reset;
	void *l3, *end;
	long excess;

	if (!packet || packet->l3_offset > 255)
		return false;
	l3_offset = packet->l3_offset;
	ip_bytes = packet->ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	/* Nobody answers a group address (RFC 9293 3.9.2.3). */
	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end || (ethernet->h_dest[0] & 1))
		return false;
	reset_fill_tcp(packet, &reset);
	excess = (long)bpf_xdp_get_buff_len(ctx) - (l3_offset + ip_bytes + sizeof(reset));
	if (excess > 0 && bpf_xdp_adjust_tail(ctx, -excess))
		return false;

	ethernet = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(ethernet + 1) > end)
		return false;
	reset_swap_macs(ethernet);
	l3 = (void *)ethernet + l3_offset;
	if (packet->ipv4) {
		struct iphdr *ip = l3;

		if (l3 + sizeof(*ip) + sizeof(reset) > end)
			return false;
		__builtin_memset(ip, 0, sizeof(*ip));
		ip->version = 4;
		ip->ihl = sizeof(*ip) / 4;
		ip->tot_len = bpf_htons(sizeof(*ip) + sizeof(reset));
		ip->frag_off = bpf_htons(0x4000); /* don't fragment: the id needs no thought */
		ip->ttl = RESET_TTL;
		ip->protocol = IPPROTO_TCP;
		ip->saddr = packet->destination[3];
		ip->daddr = packet->source[3];
		ip->check = reset_fold(bpf_csum_diff(NULL, 0, (__be32 *)ip, sizeof(*ip), 0));
		__builtin_memcpy(ip + 1, &reset, sizeof(reset));
	} else {
		struct ipv6hdr *ip = l3;

		if (l3 + sizeof(*ip) + sizeof(reset) > end)
			return false;
		__builtin_memset(ip, 0, sizeof(*ip));
		ip->version = 6;
		ip->payload_len = bpf_htons(sizeof(reset));
		ip->nexthdr = IPPROTO_TCP;
		ip->hop_limit = RESET_TTL;
		__builtin_memcpy(&ip->saddr, packet->destination, sizeof(ip->saddr));
		__builtin_memcpy(&ip->daddr, packet->source, sizeof(ip->daddr));
		__builtin_memcpy(ip + 1, &reset, sizeof(reset));
	}
	return true;
}

#endif
