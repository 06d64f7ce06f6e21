/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_features.h - what the running kernel can do for sluice, asked of the kernel itself and never
 * told from its version. Called at a start, and for `sluicectl status --kernel`; takes some
 * milliseconds. Never logs.
 */
#ifndef SLUICE_CONTROL_BPF_LOADER_FEATURES_H
#define SLUICE_CONTROL_BPF_LOADER_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

/* X(id, name, since: the first mainline Linux that has it, needed: without it the whole kernel side is
 * off, what it is used for: off without it) */
#define BPF_FEATURES(X)                                                                            \
	X(XDP_FRAGS, "XDP programs that take packets in fragments", "5.18", true,                  \
	  "the XDP gate")                                                                          \
	X(SK_LOOKUP, "sk_lookup programs", "5.9", true, "the choice of a worker for each connection") \
	X(LOOP, "bpf_loop", "5.17", true, "the choice of a worker for each connection")            \
	X(MMAP, "arrays that processes can map", "5.5", true, "counters and health in the maps")   \
	X(SOCKMAP, "SOCKMAP", "4.14", true, "the choice of a worker for each connection")          \
	X(MAPS_OF_MAPS, "arrays of maps", "4.12", true, "access lists that are swapped at once")   \
	X(LPM_TRIE, "LPM tries", "4.11", true, "access lists of prefixes")                         \
	X(LRU_HASH, "LRU hash tables", "4.10", true, "limits of sources, penalties")               \
	X(RINGBUF, "ring buffers", "5.8", true, "sluicectl events, sluicectl capture")             \
	X(COOKIES, "SYN cookies from XDP", "5.3", false, "syn_cookies of listeners")                \
	X(SOCKETS, "look-ups of sockets from XDP", "5.2", true,                                    \
	  "syn_cookies of listeners, kernel.strays for segments without a connection")             \
	X(TEST_RUN, "test runs of programs", "5.15", false, "sluicectl explain")                   \
	X(CHAIN, "libxdp's dispatcher (freplace)", "5.10",  \
	  false, "kernel.xdp_chain, several XDP programs on an interface")

enum bpf_feature {
#define BPF_FEATURE_ENUM(id, name, since, needed, used_for) BPF_FEATURE_##id,
	BPF_FEATURES(BPF_FEATURE_ENUM)
#undef BPF_FEATURE_ENUM
	BPF_FEATURE_COUNT
};

struct bpf_feature_row {
	const char *name, *since, *used_for;
	bool needed;
};
extern const struct bpf_feature_row bpf_feature_rows[BPF_FEATURE_COUNT];

/* Whether the kernel has each; no_chain: why not BPF_FEATURE_CHAIN, or "". 0; -EPERM: this process may
 * not ask, and all are false. */
int bpf_features_probe(bool has[BPF_FEATURE_COUNT], char *no_chain, size_t no_chain_size);

#endif
