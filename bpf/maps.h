/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * maps.h - every BPF map of sluice, for both programs. The loader makes each once, pins it under
 * its name and gives it to both objects; include/sluice/abi.h has the layouts, docs/MAPS.md the
 * map of who writes and who reads. Key and value types are given for BTF, so that bpftool prints
 * field names (a SOCKMAP cannot carry BTF).
 */
#ifndef SLUICE_BPF_MAPS_H
#define SLUICE_BPF_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "sluice/abi.h"

/* What is ours: a packet whose destination is not here is passed untouched. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * SLUICE_MAX_LISTENERS);
	__type(key, struct sluice_listener_key);
	__type(value, struct sluice_listener);
} listeners SEC(".maps");

/* The listening socket of each worker slot, for sk_lookup to give new connections to. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, SLUICE_MAX_LISTENERS * SLUICE_MAX_WORKERS);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

/* Who is alive and how loaded: each worker keeps its own slot, in mapped memory. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLUICE_MAX_WORKERS);
	__type(key, __u32);
	__type(value, struct sluice_worker);
} workers SEC(".maps");

/* How many backends of a group live, and what becomes of new connections when none does. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLUICE_MAX_GROUPS);
	__type(key, __u32);
	__type(value, struct sluice_group);
} groups SEC(".maps");

/* Each backend's health and load; not read by the programs of today, shared by the processes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLUICE_MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct sluice_backend);
} backends SEC(".maps");

/* What each route carried and what it has under way; shared by the processes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLUICE_MAX_ROUTES);
	__type(key, __u32);
	__type(value, struct sluice_route);
} routes SEC(".maps");

/* The routes' limits of calls a second, by key; shared by the processes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLUICE_LIMIT_SETS);
	__type(key, __u32);
	__type(value, struct sluice_limit_set);
} call_limits SEC(".maps");

/* Which generation of each access list is in force, and what it has. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLUICE_MAX_ACLS);
	__type(key, __u32);
	__type(value, struct sluice_acl);
} acls SEC(".maps");

/* Two generations of each list, and a row for nobody, that the loader changes to wait. */
#define ACL_ROWS (2 * SLUICE_MAX_ACLS + 1)

/* Single addresses denied or allowed: one look-up. */
struct acl_exact_inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct sluice_acl_exact_key));
	__uint(value_size, sizeof(struct sluice_acl_entry));
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, ACL_ROWS);
	__type(key, __u32);
	__array(values, struct acl_exact_inner);
} acl_exact SEC(".maps");

/* IPv4 prefixes denied or allowed: the longest wins. */
struct acl_v4_inner {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct sluice_acl_v4_key));
	__uint(value_size, sizeof(struct sluice_acl_entry));
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, ACL_ROWS);
	__type(key, __u32);
	__array(values, struct acl_v4_inner);
} acl_v4 SEC(".maps");

/* IPv6 prefixes denied or allowed: the longest wins. */
struct acl_v6_inner {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct sluice_acl_v6_key));
	__uint(value_size, sizeof(struct sluice_acl_entry));
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, ACL_ROWS);
	__type(key, __u32);
	__array(values, struct acl_v6_inner);
} acl_v6 SEC(".maps");

/* What is on: one row, read before anything else. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sluice_switches);
} switches SEC(".maps");

/* The addresses of listeners, for what comes to them besides connections. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLUICE_MAX_LISTENERS);
	__type(key, struct sluice_vip_key);
	__type(value, __u32);
} vips SEC(".maps");

/* Sources under a penalty. Only the supervisor writes it, so no flood of packets pushes any out. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SLUICE_MAX_PENALTIES);
	__type(key, struct sluice_penalty_key);
	__type(value, struct sluice_penalty);
} penalties SEC(".maps");

/* What the workers know of each source that has connected. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLUICE_SOURCE_SETS);
	__type(key, __u32);
	__type(value, struct sluice_source_set);
} source_states SEC(".maps");

/* The limit's clock of each source at each listener; old sources fall out by themselves. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SLUICE_MAX_SOURCES);
	__type(key, struct sluice_source_key);
	__type(value, struct sluice_source);
} sources SEC(".maps");

/* ... and of each source for its packets of no connection. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SLUICE_MAX_SOURCES);
	__type(key, struct sluice_stray_key);
	__type(value, struct sluice_source);
} strays SEC(".maps");

/* Sampled verdicts, for who listens: `sluicectl events`, `sluicectl capture`. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* The clocks of each listener, one for all CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLUICE_MAX_LISTENERS);
	__type(key, __u32);
	__type(value, struct sluice_listener_time);
} listener_times SEC(".maps");

/* What each listener saw, counted a CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLUICE_MAX_LISTENERS);
	__type(key, __u32);
	__type(value, struct sluice_listener_stats);
} listener_stats SEC(".maps");

/* How many packets and bytes ended in each verdict, counted a CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VERDICT_MAX);
	__type(key, __u32);
	__type(value, struct sluice_verdict_count);
} verdicts SEC(".maps");

/* 1 while the gate looks a socket up itself: pick leaves that look-up alone. Of one CPU, on which neither
 * program is interrupted by the other but in tests. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} asking SEC(".maps");

/* Which layout these maps have; the programs do not read it, a daemon that finds them does. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sluice_meta);
} meta SEC(".maps");

/* Makes key that of any address of its family: ::ffff:a.b.c.d becomes ::ffff:0.0.0.0, all else
 * ::. */
static __always_inline void listener_key_any(struct sluice_listener_key *key)
{
	if (key->address[0] || key->address[1] || key->address[2] != bpf_htonl(0xffff)) {
		key->address[0] = 0;
		key->address[1] = 0;
		key->address[2] = 0;
	}
	key->address[3] = 0;
}

#endif
