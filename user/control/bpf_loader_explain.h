/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_explain.h - runs one made-up packet through instances of the very programs that are
 * attached: they read the live maps, and write into clones of those that they write to. Called by
 * explain.c, at the pace of people; loading takes some tens of milliseconds. Never logs.
 */
#ifndef SLUICE_CONTROL_BPF_LOADER_EXPLAIN_H
#define SLUICE_CONTROL_BPF_LOADER_EXPLAIN_H

#include "control/bpf_loader.h"
#include "sluice/trace.h"

struct bpf_explain_packet {
	struct addr source, destination; /* of one family */
	bool ack;			 /* a later segment; else a SYN */
	unsigned ifindex;		 /* where it comes in; 0: not said */
	struct sluice_trace_given given;
};

struct bpf_explanation {
	struct sluice_trace trace;
	enum verdict_reason verdict;
	unsigned action; /* XDP_PASS... */
	/* What the program read, as it was just before. */
	uint64_t now_ns;
	__u32 source[4]; /* the source that the address belongs to, in the maps' form */
	bool is_listener;
	struct sluice_listener listener;
	struct sluice_switches switches;
	struct sluice_listener_time times; /* of the listener */
	uint32_t acl_flags[2]; /* SLUICE_ACL_... of the global list and the listener's own */
	bool is_vip;	       /* the destination is an address of a listener */
};

/* 0 with *ret, or -errno with why; then *ret is undefined. */
int bpf_explain_gate(const struct bpf *bpf, const struct bpf_explain_packet *packet,
		     struct bpf_explanation *ret, char *why, size_t why_size);
/* Asks sk_lookup's program n times, since it draws lots: cookies[i] is SO_COOKIE of the socket that it
 * chose, 0 where it left the choice to the kernel. 0 or -errno with why. */
int bpf_explain_pick(const struct bpf *bpf, const struct bpf_explain_packet *packet,
		     uint64_t *cookies, size_t n, char *why, size_t why_size);

#endif
