/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * parse.h - from a frame to its TCP header: Ethernet, up to two VLAN tags, IPv4 with options, IPv6
 * with extension headers, fragments. A cursor walks the frame and never passes its end. Called
 * by the gate for every packet; it reads headers, and decides only on what can be no one's.
 *
 * What is cut before its ports cannot be told to be ours: it passes, and the stack judges it.
 * What contradicts itself, or is a fragment made to hide its ports (RFC 1858, RFC 7112), drops.
 */
#ifndef SLUICE_BPF_PARSE_H
#define SLUICE_BPF_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "sluice/abi.h"

#define PARSE_VLAN_MAX 2
/* Extension headers before TCP. No sane sender comes near, and more are dropped as malformed:
 * else a chain one longer than this would walk around the gate. */
#define PARSE_EXTENSION_MAX 8

#define PARSE_L3_OFFSET_MASK 63 /* Ethernet and the tags are 22 bytes at most */
#define PARSE_L4_OFFSET_MAX  16383

#define PARSE_IP_MORE_FRAGMENTS 0x2000
#define PARSE_IP_OFFSET 0x1fff
#define PARSE_IP6_MORE_FRAGMENTS 1
#define PARSE_IP6_OFFSET 0xfff8

/* A TCP header was found; any other answer of the functions below is a verdict. */
#define PARSE_TCP VERDICT_MAX

struct parse_vlan {
	__be16 tci;
	__be16 proto;
};

struct parse_ip6_fragment {
	__u8 nexthdr;
	__u8 reserved;
	__be16 offset; /* in 8 bytes, from bit 3; bit 0: more follow */
	__be32 id;
};

/* Numbers only, no pointers: so it can be handed to functions that are verified by themselves. */
struct packet {
	struct sluice_listener_key key; /* the destination; ports_find may make it "any" */
	__u32 source[4];		/* addresses as in the maps: IPv4 is mapped */
	__u32 destination[4];
	__be16 source_port;
	__u16 l3_offset;
	__u32 l4_offset;
	__u32 l4_bytes; /* TCP header and data, as the IP header says */
	__be32 sequence;
	__u32 header_bytes; /* of TCP */
	__u32 ip_bytes;	    /* the whole packet, as the IP header says; 0: it does not */
	__u8 ipv4;	    /* as the next: 0 or 1 */
	__u8 first_fragment; /* and more follow */
	__u8 has_addresses;  /* source and key.address are filled */
	__u8 has_ports;
	__u8 protocol; /* of what lies at l4_offset; 0: not known, a later fragment */
	__u8 pad[3];
};

/* The frame's length. A helper's call is not free: where the packet ends in the frame's first buffer
 * there is no other one. */
static __always_inline __u32 parse_frame_bytes(struct xdp_md *ctx, const struct packet *packet)
{
	__u32 first = ctx->data_end - ctx->data;

	if (packet->ip_bytes && packet->l3_offset + packet->ip_bytes <= first)
		return first;
	return bpf_xdp_get_buff_len(ctx);
}

struct cursor {
	void *at;
	void *end;
};

/* The next header of this many bytes, and moves past it. NULL: the frame ends before. */
static __always_inline void *cursor_take(struct cursor *cursor, __u32 bytes)
{
	void *header = cursor->at;

	if (header + bytes > cursor->end)
		return NULL;
	cursor->at = header + bytes;
	return header;
}

/* Where the IP header is, once more: pointers are not kept in struct packet. The barrier makes it one
 * pointer for a comparison and what follows it, or the verifier sees no connection. */
static __always_inline void *parse_ip(struct xdp_md *ctx, const struct packet *packet)
{
	void *ip = (void *)(long)ctx->data + (packet->l3_offset & PARSE_L3_OFFSET_MASK);

	barrier_var(ip);
	return ip;
}

static __always_inline __u32 parse_ipv4(struct cursor *cursor, struct packet *packet)
{
	struct iphdr *ip = cursor_take(cursor, sizeof(*ip));
	__u32 header_bytes, total_bytes, fragment;

	if (!ip)
		return VERDICT_PASS_TRUNCATED;
	header_bytes = ip->ihl * 4;
	if (ip->version != 4 || header_bytes < sizeof(*ip))
		return VERDICT_DROP_MALFORMED;
	total_bytes = bpf_ntohs(ip->tot_len);
	packet->ipv4 = 1;
	packet->ip_bytes = total_bytes;
	packet->has_addresses = 1;
	packet->source[2] = bpf_htonl(0xffff);
	packet->source[3] = ip->saddr;
	packet->key.address[2] = bpf_htonl(0xffff);
	packet->key.address[3] = ip->daddr;
	if (ip->protocol != IPPROTO_TCP)
		return VERDICT_PASS_NOT_OURS;
	fragment = bpf_ntohs(ip->frag_off);
	if (fragment & PARSE_IP_OFFSET) {
		/* Offset 1 overwrites the flags of a header that was let through. */
		return (fragment & PARSE_IP_OFFSET) == 1 ? VERDICT_DROP_MALFORMED :
							   VERDICT_PASS_FRAGMENT;
	}
	if (total_bytes < header_bytes) {
		/* 0 is how the kernel marks its own packets of more than 64 KiB (BIG TCP). */
		if (total_bytes)
			return VERDICT_DROP_MALFORMED;
		total_bytes = 0x10000;
	}
	packet->first_fragment = !!(fragment & PARSE_IP_MORE_FRAGMENTS);
	packet->l4_offset = packet->l3_offset + header_bytes;
	packet->l4_bytes = total_bytes - header_bytes;
	return PARSE_TCP;
}

static __always_inline bool parse_is_extension(__u32 next)
{
	return next == IPPROTO_FRAGMENT || next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING ||
	       next == IPPROTO_DSTOPTS;
}

/*
 * Walks the extension headers from l4_offset to the TCP header. A function that the verifier
 * walks once, not once for every way to come here; few packets pay the call.
 */
__noinline __u32 parse_extensions(struct xdp_md *ctx, struct packet *packet, __u32 next)
{
	void *start = (void *)(long)ctx->data;
	struct cursor cursor = { .end = (void *)(long)ctx->data_end };

	if (!packet || packet->l4_offset > 0xff)
		return VERDICT_PASS_TRUNCATED;
	cursor.at = start + packet->l4_offset;
	for (int i = 0; i < PARSE_EXTENSION_MAX; i++) {
		struct ipv6_opt_hdr *option;
		__u32 bytes;

		if (!parse_is_extension(next))
			break;
		option = cursor_take(&cursor, 8); /* the least that each of them has */
		if (!option)
			goto cut;
		bytes = 8;
		if (next == IPPROTO_FRAGMENT) {
			__u32 offset = bpf_ntohs(((struct parse_ip6_fragment *)option)->offset);

			if (offset & PARSE_IP6_OFFSET) {
				if ((offset & PARSE_IP6_OFFSET) == 8 &&
				    option->nexthdr == IPPROTO_TCP)
					return VERDICT_DROP_MALFORMED;
				return VERDICT_PASS_FRAGMENT;
			}
			/* A second fragment header does not take back what the first one said. */
			packet->first_fragment |= offset & PARSE_IP6_MORE_FRAGMENTS;
		} else if (option->hdrlen) {
			bytes += option->hdrlen * 8;
			if (!cursor_take(&cursor, option->hdrlen * 8))
				goto cut;
		}
		if (bytes > packet->l4_bytes)
			goto cut;
		packet->l4_bytes -= bytes;
		packet->l4_offset += bytes;
		next = option->nexthdr;
	}
	if (next == IPPROTO_TCP)
		return PARSE_TCP;
	if (parse_is_extension(next))
		return VERDICT_DROP_MALFORMED;
	packet->protocol = next;
	return VERDICT_PASS_NOT_OURS; /* another protocol, or ESP or AH */
cut:
	return packet->first_fragment ? VERDICT_DROP_MALFORMED : VERDICT_PASS_TRUNCATED;
}

static __always_inline __u32 parse_ipv6(struct xdp_md *ctx, struct cursor *cursor,
					struct packet *packet)
{
	struct ipv6hdr *ip = cursor_take(cursor, sizeof(*ip));

	if (!ip)
		return VERDICT_PASS_TRUNCATED;
	if (ip->version != 6)
		return VERDICT_DROP_MALFORMED;
	/* 0: a jumbogram, or the kernel's own BIG TCP; the frame's end still binds. */
	packet->l4_bytes = bpf_ntohs(ip->payload_len);
	if (packet->l4_bytes)
		packet->ip_bytes = sizeof(*ip) + packet->l4_bytes;
	else
		packet->l4_bytes = 0x10000;
	packet->l4_offset = packet->l3_offset + sizeof(*ip);
	packet->has_addresses = 1;
	__builtin_memcpy(packet->source, &ip->saddr, sizeof(packet->source));
	__builtin_memcpy(packet->key.address, &ip->daddr, sizeof(packet->key.address));
	if (ip->nexthdr == IPPROTO_TCP)
		return PARSE_TCP;
	if (parse_is_extension(ip->nexthdr))
		return parse_extensions(ctx, packet, ip->nexthdr);
	packet->protocol = ip->nexthdr;
	return VERDICT_PASS_NOT_OURS;
}

static __always_inline bool parse_is_vlan(__be16 proto)
{
	return proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD);
}

/* Up to the IP header and what lies between it and TCP. packet is all zero before. */
static __always_inline __u32 parse_network(struct xdp_md *ctx, struct packet *packet)
{
	void *start = (void *)(long)ctx->data;
	struct cursor cursor = { .at = start, .end = (void *)(long)ctx->data_end };
	struct ethhdr *ethernet = cursor_take(&cursor, sizeof(*ethernet));
	__be16 proto;

	if (!ethernet)
		return VERDICT_PASS_TRUNCATED;
	proto = ethernet->h_proto;
	packet->l3_offset = sizeof(*ethernet);
#pragma unroll
	for (int i = 0; i < PARSE_VLAN_MAX; i++) {
		struct parse_vlan *vlan;

		if (!parse_is_vlan(proto))
			break;
		vlan = cursor_take(&cursor, sizeof(*vlan));
		if (!vlan)
			return VERDICT_PASS_TRUNCATED;
		proto = vlan->proto;
		packet->l3_offset += sizeof(*vlan);
	}
	if (proto == bpf_htons(ETH_P_IP))
		return parse_ipv4(&cursor, packet);
	if (proto == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(ctx, &cursor, packet);
	/* Linux peels off tags of VLAN 0, as many as there are: one more would walk around the gate. */
	return parse_is_vlan(proto) ? VERDICT_DROP_MALFORMED : VERDICT_PASS_NOT_OURS;
}

/* The ports, once parse_network found where they are. *ret_tcp may be used up to them only. */
static __always_inline __u32 parse_ports(struct xdp_md *ctx, struct packet *packet,
					 struct tcphdr **ret_tcp)
{
	__u32 offset = packet->l4_offset;
	struct tcphdr *tcp;

	/* Longer chains of headers cannot lie in the first page. */
	if (offset > PARSE_L4_OFFSET_MAX)
		return VERDICT_PASS_TRUNCATED;
	tcp = (void *)(long)ctx->data + offset;
	if ((void *)tcp + 2 * sizeof(__be16) > (void *)(long)ctx->data_end ||
	    packet->l4_bytes < 2 * sizeof(__be16))
		return packet->first_fragment ? VERDICT_DROP_MALFORMED : VERDICT_PASS_TRUNCATED;
	packet->has_ports = 1;
	packet->source_port = tcp->source;
	packet->key.port = tcp->dest;
	packet->key.protocol = IPPROTO_TCP;
	*ret_tcp = tcp;
	return PARSE_TCP;
}

/* Whether a TCP header whose ports were found asks for a connection; one cut before its flags: yes. */
static __always_inline bool parse_is_syn(struct xdp_md *ctx, const struct tcphdr *tcp)
{
	if ((void *)(tcp + 1) > (void *)(long)ctx->data_end)
		return true;
	return tcp->syn && !tcp->ack;
}

/* The rest of the TCP header, of a packet that is ours: is it whole, and can it be one? */
static __always_inline __u32 parse_tcp(struct xdp_md *ctx, struct packet *packet,
				       const struct tcphdr *tcp)
{
	void *end = (void *)(long)ctx->data_end;

	__u32 cut = packet->first_fragment ? VERDICT_DROP_MALFORMED : VERDICT_DROP_TRUNCATED;

	if (packet->l4_bytes < sizeof(*tcp))
		return cut;
	if ((void *)(tcp + 1) > end)
		return VERDICT_DROP_TRUNCATED;
	packet->header_bytes = tcp->doff * 4;
	if (packet->header_bytes < sizeof(*tcp))
		return VERDICT_DROP_MALFORMED;
	if (packet->l4_bytes < packet->header_bytes)
		return cut;
	if ((void *)tcp + packet->header_bytes > end)
		return VERDICT_DROP_TRUNCATED;
	if (tcp->syn && (tcp->fin || tcp->rst))
		return VERDICT_DROP_BAD_FLAGS;
	return PARSE_TCP;
}

#endif
