/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_impl.h - what the three files of the loader share: bpf_loader.c (load, pins, end),
 * bpf_loader_attach.c (links), bpf_loader_tables.c (entries of the maps). For nobody else.
 */
#ifndef SLUICE_CONTROL_BPF_LOADER_IMPL_H
#define SLUICE_CONTROL_BPF_LOADER_IMPL_H

#include "control/bpf_loader.h"

/* X(name, adopted): is the pinned map of an earlier run taken over? Not those that other
 * processes write: an orphan of a killed supervisor may still have them mapped. */
#define BPF_LOADER_MAPS(X)                                                                         \
	X(listeners, false)                                                                        \
	X(sockets, false)                                                                          \
	X(workers, false)                                                                          \
	X(groups, false)                                                                           \
	X(backends, false)                                                                         \
	X(routes, false)                                                                           \
	X(call_limits, false)                                                                      \
	X(acls, true)                                                                              \
	X(acl_exact, true)                                                                         \
	X(acl_v4, true)                                                                            \
	X(acl_v6, true)                                                                            \
	X(switches, false)                                                                         \
	X(vips, true)                                                                              \
	X(penalties, true)                                                                         \
	X(source_states, false)                                                                    \
	X(strays, true)                                                                            \
	X(events, false)                                                                           \
	X(sources, true)                                                                           \
	X(listener_times, true)                                                                    \
	X(listener_stats, true)                                                                    \
	X(verdicts, true)                                                                          \
	X(meta, false)

enum bpf_loader_map {
#define BPF_LOADER_MAP_ENUM(name, adopted) MAP_##name,
	BPF_LOADER_MAPS(BPF_LOADER_MAP_ENUM)
#undef BPF_LOADER_MAP_ENUM
	MAPS
};

struct bpf {
	char *pin_path;
	int lock_fd;	/* pin_path's directory, flocked */
	int maps[MAPS]; /* -1 where not open */
	int gate_fd, pick_fd;
	/* The gate's own data, mapped: bpf/ports.h. */
	void *gate_data;
	size_t gate_data_bytes;
	uint64_t *ports_without_address, *ports_without_any;
};

/* "<pin_path>/<a><b>" in a malloced string, or NULL. */
char *bpf_loader_path(const char *pin_path, const char *a, const char *b);
__attribute__((format(printf, 3, 4))) void bpf_loader_why(char *why, size_t why_size,
							  const char *format, ...);

#endif
