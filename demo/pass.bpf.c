/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pass.bpf.c - an XDP program that passes everything. On veth, packets that the balancer sends by
 * XDP_TX (resets) reach the peer only where the peer runs XDP too: the demo attaches this there.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
