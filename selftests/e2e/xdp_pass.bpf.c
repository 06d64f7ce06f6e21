/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xdp_pass.bpf.c - an XDP program that passes everything. The tests attach it to the client's end
 * of a veth pair: without it the kernel loses what the balancer's end sends by XDP_TX.
 */
#include <linux/bpf.h>

__attribute__((section("xdp"), used)) int xdp_pass(void *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

__attribute__((section("license"), used)) static const char xdp_pass_license[] = "GPL";
