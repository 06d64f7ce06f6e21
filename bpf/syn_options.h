/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * syn_options.h - what a SYN offers besides its MSS (RFC 7323 timestamps and window scaling, RFC 2018
 * SACK), and how a cookie keeps it: in the lowest bits of the timestamp that goes out with the answer,
 * which every segment of the connection brings back. The layout is the kernel's own, which reads it
 * again (net/ipv4/syncookies.c). Called by cookie.h, only with SLUICE_LISTENER_COOKIES_OPTIONS: the
 * timestamps of the kernel must have no random offset, since nobody here can know it.
 */
#ifndef SLUICE_BPF_SYN_OPTIONS_H
#define SLUICE_BPF_SYN_OPTIONS_H

#include "answer.h"

#define SYN_HEADER_MAX	   60 /* bytes of the longest TCP header */
#define SYN_OPTIONS_MAX	   40 /* of these beyond the first 20 */
#define SYN_OPTIONS_AT_MAX 63 /* the next power of two, less one */

#define TCP_OPTION_END	      0
#define TCP_OPTION_NOP	      1
#define TCP_OPTION_MSS	      2
#define TCP_OPTION_SCALING    3
#define TCP_OPTION_SACK	      4
#define TCP_OPTION_TIMESTAMPS 8

#define SYN_SCALING_MAX 14

/* The lowest bits of the answer's timestamp: window scaling, or NONE; SACK; ECN, which is not kept. */
#define SYN_KEEP_SCALING_NONE 15
#define SYN_KEEP_SACK	      16
#define SYN_KEEP_MASK	      63

#define SYN_TIMESTAMP_NS (1000u * 1000) /* a tick of the kernel's timestamps */

/* A SYN's TCP header, copied to where helpers take it from; zeros end the options. */
struct syn_header {
	__u8 bytes[sizeof(struct tcphdr) + SYN_OPTIONS_AT_MAX + 9];
};

struct syn_options {
	__be32 timestamp; /* as it came: goes back as the echo */
	__u8 has_timestamp;
	__u8 scaling; /* or SYN_KEEP_SCALING_NONE */
	__u8 sack;
	__u8 zero; /* and the verifier does not know */
};

/* False: it is not whole in the frame's first buffer. A helper that copies takes three times as long. */
static __always_inline bool syn_header_copy(struct xdp_md *ctx, const struct packet *packet,
					    struct syn_header *header)
{
	__u32 offset = packet->l4_offset, bytes = packet->header_bytes;
	void *end = (void *)(long)ctx->data_end;
	__u32 *from, *to = (__u32 *)header->bytes;

	if (offset > PARSE_L4_OFFSET_MAX)
		return false;
	from = (void *)(long)ctx->data + offset;
	for (__u32 i = 0; i < SYN_HEADER_MAX / sizeof(*from); i++) {
		if (i * sizeof(*from) >= bytes)
			break;
		if ((void *)(from + i + 1) > end)
			return false;
		to[i] = from[i];
	}
	return true;
}

/* False: the SYN has no timestamp, so nothing can be kept. Verified by itself. */
__noinline bool syn_options_read(const struct syn_header *header, __u32 header_bytes,
				 struct syn_options *found)
{
	const __u8 *bytes;
	__u32 at, length;

	if (!header || !found || header_bytes <= sizeof(struct tcphdr) ||
	    header_bytes > SYN_HEADER_MAX)
		return false;
	bytes = header->bytes + sizeof(struct tcphdr);
	length = header_bytes - sizeof(struct tcphdr);
	found->has_timestamp = 0;
	found->sack = 0;
	found->scaling = SYN_KEEP_SCALING_NONE;
	at = found->zero;
#pragma clang loop unroll(disable)
	for (int i = 0; i < SYN_OPTIONS_MAX; i++) {
		__u32 kind, option_bytes;

		/* To the verifier it is any number to 63, on every way through here: so that it need
		 * not follow each. */
		asm volatile("%0 &= 63" : "+r"(at));
		kind = bytes[at];
		option_bytes = bytes[at + 1];
		if (kind == TCP_OPTION_NOP)
			option_bytes = 1;
		else if (kind == TCP_OPTION_END || option_bytes < 2)
			break;
		if (at + option_bytes > length)
			break;
		if (kind == TCP_OPTION_SACK && option_bytes == 2)
			found->sack = 1;
		if (kind == TCP_OPTION_SCALING && option_bytes == 3)
			found->scaling = bytes[at + 2] > SYN_SCALING_MAX ? SYN_SCALING_MAX :
									   bytes[at + 2];
		if (kind == TCP_OPTION_TIMESTAMPS && option_bytes == 10) {
			__builtin_memcpy(&found->timestamp, &bytes[at + 2],
					 sizeof(found->timestamp));
			found->has_timestamp = 1;
		}
		at += option_bytes;
	}
	return found->has_timestamp;
}

/* The kernel's clock of timestamps, with what is to be kept in its lowest bits, not ahead of now. */
static __always_inline __u32 syn_options_stamp(const struct syn_options *offered, __u64 now_ns)
{
	__u32 now = now_ns / SYN_TIMESTAMP_NS, stamp;

	stamp = (now & ~SYN_KEEP_MASK) | offered->scaling;
	if (offered->sack)
		stamp |= SYN_KEEP_SACK;
	return (__s32)(stamp - now) > 0 ? stamp - (SYN_KEEP_MASK + 1) : stamp;
}

/* Puts what was offered behind the answer's MSS: bytes 4 to 19 of its options. wscale: of our own
 * window. */
static __always_inline void syn_options_answer(struct answer *answer,
					       const struct syn_options *offered, __u8 wscale,
					       __u64 now_ns)
{
	__be32 stamp = bpf_htonl(syn_options_stamp(offered, now_ns));
	__u8 *option = &answer->options[4];

	option[0] = offered->sack ? TCP_OPTION_SACK : TCP_OPTION_NOP;
	option[1] = offered->sack ? 2 : TCP_OPTION_NOP;
	option[2] = TCP_OPTION_TIMESTAMPS;
	option[3] = 10;
	__builtin_memcpy(option + 4, &stamp, sizeof(stamp));
	__builtin_memcpy(option + 8, &offered->timestamp, sizeof(offered->timestamp));
	answer->tcp.doff += 3;
	if (offered->scaling == SYN_KEEP_SCALING_NONE)
		return;
	option[12] = TCP_OPTION_NOP;
	option[13] = TCP_OPTION_SCALING;
	option[14] = 3;
	option[15] = wscale;
	answer->tcp.doff++;
}

#endif
