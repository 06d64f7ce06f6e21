/* SPDX-License-Identifier: MIT */
/*
 * gate_help.h - loads the gate with maps of its own, attached to nothing, and runs frames through
 * it by BPF_PROG_TEST_RUN. Which verdict a frame met is read from the verdicts map, so that the
 * counting is tested with everything else.
 */
#ifndef SLUICE_SELFTESTS_GATE_HELP_H
#define SLUICE_SELFTESTS_GATE_HELP_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/capability.h>
#include <time.h>
#include <unistd.h>

#include "../unit/cm.h"
#include "frame.h"
#include "sluice/ports.h" /* as the next: before the skeleton, which has one in it */
#include "sluice/trace.h"
#include "gate.skel.h"
#include "sluice/abi.h"
#include "sluice/source.h"

#define LISTENER_PORT 8443
#define HOUR_NS (3600ull * 1000 * 1000 * 1000)

static inline const char *verdict_name(unsigned reason)
{
	static const char *const names[] = {
#define VERDICT_NAME(NAME, name, text) #name,
		SLUICE_VERDICTS(VERDICT_NAME)
#undef VERDICT_NAME
	};

	return reason < VERDICT_MAX ? names[reason] : "none";
}

static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* For main: prints why and returns false where BPF cannot be used. */
static inline bool bpf_is_allowed(void)
{
	static const cap_value_t needed[] = { CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN };
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	cap_t caps = cap_get_proc();
	bool all = caps;
	int fd;

	for (unsigned i = 0; i < 3 && all; i++) {
		cap_flag_value_t flag = CAP_CLEAR;

		all = !cap_get_flag(caps, needed[i], CAP_EFFECTIVE, &flag) && flag == CAP_SET;
	}
	cap_free(caps);
	if (!all) {
		printf("SKIP: needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN\n");
		return false;
	}
	fd = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "probe", 8, 8, 1, &options);
	if (fd < 0) {
		printf("SKIP: loading BPF is refused here though the capabilities are there (%s)\n",
		       strerror(errno));
		return false;
	}
	close(fd);
	return true;
}

static inline void sum_cpus(int fd, __u32 key, __u64 *sum, size_t n_words)
{
	int cpus = libbpf_num_possible_cpus();
	__u64 *values = calloc((size_t)cpus * n_words, sizeof(*values));

	assert_non_null(values);
	assert_int_equal(bpf_map_lookup_elem(fd, &key, values), 0);
	memset(sum, 0, n_words * sizeof(*sum));
	for (size_t i = 0; i < (size_t)cpus * n_words; i++)
		sum[i % n_words] += values[i];
	free(values);
}

static inline void read_verdicts(struct gate_bpf *gate, struct sluice_verdict_count *counts)
{
	for (__u32 i = 0; i < VERDICT_MAX; i++)
		sum_cpus(bpf_map__fd(gate->maps.verdicts), i, (__u64 *)&counts[i], 2);
}

static inline struct sluice_listener_stats read_stats(struct gate_bpf *gate, __u32 id)
{
	struct sluice_listener_stats stats;

	sum_cpus(bpf_map__fd(gate->maps.listener_stats), id, (__u64 *)&stats,
		 sizeof(stats) / sizeof(__u64));
	return stats;
}

struct run {
	unsigned action; /* XDP_PASS... */
	unsigned reason; /* the one verdict that was counted */
	struct frame out;
};

static inline struct run gate_run_bytes(struct gate_bpf *gate, const uint8_t *bytes, uint32_t len)
{
	struct sluice_verdict_count before[VERDICT_MAX], after[VERDICT_MAX];
	struct run run = { .reason = VERDICT_MAX };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = bytes, .data_size_in = len,
		    .data_out = run.out.bytes, .data_size_out = FRAME_MAX, .repeat = 1);

	read_verdicts(gate, before);
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(gate->progs.gate), &options), 0);
	read_verdicts(gate, after);
	run.action = options.retval;
	run.out.len = options.data_size_out;
	for (unsigned i = 0; i < VERDICT_MAX; i++) {
		if (after[i].packets == before[i].packets)
			continue;
		assert_int_equal(after[i].packets, before[i].packets + 1);
		assert_int_equal(run.reason, VERDICT_MAX); /* one verdict a packet */
		run.reason = i;
	}
	assert_int_not_equal(run.reason, VERDICT_MAX);
	assert_int_equal(after[run.reason].bytes - before[run.reason].bytes,
			 run.action == XDP_TX ? run.out.len : len);
	return run;
}

static inline struct run gate_run(struct gate_bpf *gate, const struct frame_spec *spec)
{
	struct frame frame;

	frame_build(&frame, spec);
	return gate_run_bytes(gate, frame.bytes, frame.len);
}

static inline void check_verdict(unsigned got, unsigned want, const char *file, int line)
{
	if (got != want) {
		print_error("verdict %s, want %s\n", verdict_name(got), verdict_name(want));
		_fail(file, line);
	}
}

#define assert_verdict(gate, spec, want)                                                           \
	check_verdict(gate_run(gate, spec).reason, VERDICT_##want, __FILE__, __LINE__)

/* Address in the maps' form. */
static inline void map_address(__u32 address[4], const char *text)
{
	uint8_t *bytes = (uint8_t *)address;

	memset(address, 0, 16);
	if (strchr(text, ':')) {
		assert_int_equal(inet_pton(AF_INET6, text, bytes), 1);
	} else {
		bytes[10] = bytes[11] = 0xff;
		assert_int_equal(inet_pton(AF_INET, text, bytes + 12), 1);
	}
}

static inline void put_listener(struct gate_bpf *gate, const char *address, uint16_t port,
				const struct sluice_listener *listener)
{
	struct sluice_listener_key key = { .port = htons(port), .protocol = IPPROTO_TCP };

	map_address(key.address, address);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(gate->maps.listeners), &key, listener,
					     BPF_ANY), 0);
}

static inline void put_group(struct gate_bpf *gate, __u32 id, __u32 live,
			     enum sluice_on_all_down on_all_down)
{
	struct sluice_group group = {
		.live = live, .total = 2, .on_all_down = on_all_down, .used = 1, .name = "g",
	};

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(gate->maps.groups), &id, &group, BPF_ANY),
			 0);
}

/* Changes the one row of switches. */
#define with_switches(gate, change)                                                                \
	do {                                                                                       \
		struct sluice_switches on;                                                         \
		__u32 zero_ = 0;                                                                   \
		int fd_ = bpf_map__fd((gate)->maps.switches);                                      \
												   \
		assert_int_equal(bpf_map_lookup_elem(fd_, &zero_, &on), 0);                        \
		change;                                                                            \
		assert_int_equal(bpf_map_update_elem(fd_, &zero_, &on, BPF_ANY), 0);               \
	} while (0)

/* The map of one kind of a list's generation 0, made where there is none yet; the caller closes it. */
static inline int acl_entries(struct gate_bpf *gate, __u32 acl, struct bpf_map *outer,
			      enum bpf_map_type type, __u32 key_size, __u32 flag)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	struct sluice_acl list;
	__u32 row = acl * 2, id;
	int fd;

	if (!bpf_map_lookup_elem(bpf_map__fd(outer), &row, &id))
		return bpf_map_get_fd_by_id(id);
	fd = bpf_map_create(type, "acl", key_size, sizeof(struct sluice_acl_entry), 1024, &options);
	assert_true(fd >= 0);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(outer), &row, &fd, BPF_ANY), 0);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(gate->maps.acls), &acl, &list), 0);
	list.active |= flag;
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(gate->maps.acls), &acl, &list, BPF_ANY), 0);
	return fd;
}

static inline void set_allow_list(struct gate_bpf *gate, __u32 acl)
{
	struct sluice_acl list;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(gate->maps.acls), &acl, &list), 0);
	list.active |= SLUICE_ACL_ALLOW_LIST;
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(gate->maps.acls), &acl, &list, BPF_ANY), 0);
}

/* prefix "a.b.c.d/n" or an address alone, which goes among the exact ones. */
static inline void put_acl_in(struct gate_bpf *gate, __u32 acl, const char *prefix,
			      enum sluice_acl_action action)
{
	struct sluice_acl_entry entry = { .action = action };
	char text[64];
	char *slash;
	__u32 address[4];
	int err, fd;

	snprintf(text, sizeof(text), "%s", prefix);
	slash = strchr(text, '/');
	if (slash)
		*slash = 0;
	map_address(address, text);
	if (!slash) {
		fd = acl_entries(gate, acl, gate->maps.acl_exact, BPF_MAP_TYPE_HASH,
				 sizeof(address), SLUICE_ACL_HAS_EXACT);
		entry.prefixlen = 128;
		err = bpf_map_update_elem(fd, address, &entry, BPF_ANY);
	} else if (strchr(text, ':')) {
		struct sluice_acl_v6_key key = { .prefixlen = (__u32)atoi(slash + 1) };

		memcpy(key.address, address, sizeof(key.address));
		fd = acl_entries(gate, acl, gate->maps.acl_v6, BPF_MAP_TYPE_LPM_TRIE, sizeof(key),
				 SLUICE_ACL_HAS_V6);
		entry.prefixlen = (__u8)key.prefixlen;
		err = bpf_map_update_elem(fd, &key, &entry, BPF_ANY);
	} else {
		struct sluice_acl_v4_key key = { (__u32)atoi(slash + 1), address[3] };

		fd = acl_entries(gate, acl, gate->maps.acl_v4, BPF_MAP_TYPE_LPM_TRIE, sizeof(key),
				 SLUICE_ACL_HAS_V4);
		entry.prefixlen = (__u8)(96 + key.prefixlen);
		err = bpf_map_update_elem(fd, &key, &entry, BPF_ANY);
	}
	close(fd);
	assert_int_equal(err, 0);
}

static inline void put_acl(struct gate_bpf *gate, const char *prefix, enum sluice_acl_action action)
{
	put_acl_in(gate, 0, prefix, action);
}

static inline void put_penalty(struct gate_bpf *gate, const char *source,
			       enum sluice_penalty_level level, uint64_t until_ns)
{
	struct sluice_penalty penalty = {
		.until_ns = until_ns, .level = level, .reason = SLUICE_EVIDENCE_ABUSE,
	};
	struct sluice_penalty_key key;

	map_address(key.address, source);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(gate->maps.penalties), &key, &penalty,
					     BPF_ANY), 0);
}

/* Says in source_states that this source, an address of its own, has so many connections open. */
static inline void put_connections(struct gate_bpf *gate, const char *source, __u32 connections)
{
	int fd = bpf_map__fd(gate->maps.source_states);
	struct sluice_source_set set;
	struct sluice_switches on;
	__u32 address[4], zero = 0, at;
	__u64 hash;

	map_address(address, source);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(gate->maps.switches), &zero, &on), 0);
	hash = source_hash(address, on.hash_key);
	at = hash % SLUICE_SOURCE_SETS;
	assert_int_equal(bpf_map_lookup_elem(fd, &at, &set), 0);
	for (int i = 0; i < SLUICE_SOURCE_WAYS; i++) {
		if (set.tags[i] && memcmp(set.ways[i].address, address, sizeof(address)))
			continue;
		set.tags[i] = source_tag(hash);
		memcpy(set.ways[i].address, address, sizeof(address));
		set.ways[i].connections = connections;
		assert_int_equal(bpf_map_update_elem(fd, &at, &set, BPF_ANY), 0);
		return;
	}
	fail_msg("a set of source_states is full");
}

static inline void put_vip(struct gate_bpf *gate, const char *address)
{
	struct sluice_vip_key key;
	__u32 one = 1;

	map_address(key.address, address);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(gate->maps.vips), &key, &one, BPF_ANY), 0);
}

/* Fixtures: a fresh gate a test, with listener 1 on two addresses. */
static inline int gate_setup(void **state)
{
	struct sluice_listener listener = {
		.id = 1, .group = SLUICE_GROUP_NONE, .slots = 1,
	};
	struct gate_bpf *gate = gate_bpf__open_and_load();

	if (!gate)
		return -1;
	with_switches(gate, on.v4_prefix = 32; on.v6_prefix = 64);
	put_listener(gate, "198.18.0.1", LISTENER_PORT, &listener);
	put_listener(gate, "fd00::1", LISTENER_PORT, &listener);
	*state = gate;
	return 0;
}

static inline int gate_teardown(void **state)
{
	gate_bpf__destroy(*state);
	return 0;
}

#define SPEC_V4 .source = "198.18.0.9", .destination = "198.18.0.1", .source_port = 40000,         \
		.destination_port = LISTENER_PORT, .sequence = 0xfffffff0
#define SPEC_V6 .source = "fd00::9", .destination = "fd00::1", .source_port = 40000,               \
		.destination_port = LISTENER_PORT, .sequence = 0xfffffff0

#endif
