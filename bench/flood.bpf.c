/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flood.bpf.c - the two XDP programs of the flood benchmark. make_syn: run on live frames
 * (BPF_F_TEST_XDP_LIVE_FRAMES), makes each the SYN of another forged source and sends it out of the
 * client's interface. drop_answers: on that interface, takes what comes back for forged sources, so
 * that the client's machine spends nothing on it. drop_all, pass_all: on the balancer's, for what is
 * compared. Sources: 198.19.0.0/16, fd00:198:19::/64.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

#define FORGED_V4 0xc6130000u /* 198.19.0.0/16 */

struct syn {
	struct tcphdr tcp;
	__u8 options[20];
};

#define FRAME_LEAD 2 /* bytes before each frame, which go */
#define FRAME_V6 (sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct syn))
#define FRAME_V4 (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct syn))

/* Set before loading: where the frames go out, and what they are but for their source. A frame that comes
 * round again may have been made its own answer. */
struct flood_setup {
	__u32 ifindex;
	__u8 frame[96];
};
struct flood_setup setup;

static __always_inline __u16 fold(__u64 sum)
{
	for (int i = 0; i < 4; i++)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline void syn_change(struct syn *syn, __u64 pseudo_sum)
{
	__u64 random = (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();

	syn->tcp.source = (__u16)random | bpf_htons(1024);
	syn->tcp.seq = random >> 32;
	syn->tcp.check = 0;
	for (__u32 i = 0; i < sizeof(*syn) / 2; i++)
		pseudo_sum += ((__u16 *)syn)[i];
	syn->tcp.check = fold(pseudo_sum + bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof(*syn)));
}

SEC("xdp")
int make_syn(struct xdp_md *ctx)
{
	const struct ethhdr *ethernet = (void *)setup.frame;
	void *data, *end;
	__u64 sum = 0;

	/* The kernel looks at a frame's length anew only where its begin was moved. */
	if (bpf_xdp_adjust_head(ctx, FRAME_LEAD))
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (ethernet->h_proto == bpf_htons(ETH_P_IPV6) && data + FRAME_V6 <= end) {
		struct ipv6hdr *ip = data + sizeof(*ethernet);

		__builtin_memcpy(data, setup.frame, FRAME_V6);
		ip->saddr.in6_u.u6_addr32[2] = bpf_get_prandom_u32();
		ip->saddr.in6_u.u6_addr32[3] = bpf_get_prandom_u32();
		for (int i = 0; i < 8; i++)
			sum += (__u64)ip->saddr.in6_u.u6_addr16[i] + ip->daddr.in6_u.u6_addr16[i];
		syn_change((void *)(ip + 1), sum);
	} else if (ethernet->h_proto == bpf_htons(ETH_P_IP) && data + FRAME_V4 <= end) {
		struct iphdr *ip = data + sizeof(*ethernet);

		__builtin_memcpy(data, setup.frame, FRAME_V4);
		ip->saddr = bpf_htonl(FORGED_V4 | (bpf_get_prandom_u32() & 0xffff));
		ip->check = 0;
		for (int i = 0; i < 10; i++)
			sum += ((__u16 *)ip)[i];
		ip->check = fold(sum);
		sum = (__u64)(ip->saddr & 0xffff) + (ip->saddr >> 16) + (ip->daddr & 0xffff) +
		      (ip->daddr >> 16);
		syn_change((void *)(ip + 1), sum);
	} else {
		return XDP_DROP;
	}
	return bpf_redirect(setup.ifindex, 0);
}

SEC("xdp")
int drop_answers(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;

	if (data + sizeof(*ethernet) + sizeof(struct ipv6hdr) > end)
		return XDP_PASS;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + sizeof(*ethernet);

		return (bpf_ntohl(ip->daddr) & 0xffff0000) == FORGED_V4 ? XDP_DROP : XDP_PASS;
	}
	if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + sizeof(*ethernet);

		if (ip->daddr.in6_u.u6_addr32[0] == bpf_htonl(0xfd000198) &&
		    ip->daddr.in6_u.u6_addr32[1] == bpf_htonl(0x00190000))
			return XDP_DROP;
	}
	return XDP_PASS;
}

SEC("xdp")
int drop_all(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("xdp")
int pass_all(struct xdp_md *ctx)
{
	return XDP_PASS;
}
