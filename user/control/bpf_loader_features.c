/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_features.c - see bpf_loader_features.h. Each probe loads or makes the smallest thing that
 * needs the feature, and lets go of it at once.
 */
#include "control/bpf_loader_features.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "control/bpf_loader_impl.h"

const struct bpf_feature_row bpf_feature_rows[BPF_FEATURE_COUNT] = {
#define BPF_FEATURE_ROW(id, name, since, needed, used_for) { name, since, used_for, needed },
	BPF_FEATURES(BPF_FEATURE_ROW)
#undef BPF_FEATURE_ROW
};

static bool has_program(enum bpf_prog_type type)
{
	return libbpf_probe_bpf_prog_type(type, NULL) == 1;
}

static bool has_map(enum bpf_map_type type)
{
	return libbpf_probe_bpf_map_type(type, NULL) == 1;
}

static bool has_helper(enum bpf_prog_type type, enum bpf_func_id helper)
{
	return libbpf_probe_bpf_helper(type, helper, NULL) == 1;
}

static bool has_mmap(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "probe", 4, 8, 1, &options);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* The smallest XDP program, or -1 with errno. */
static int load_pass(void)
{
	const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "probe", "GPL", pass,
			     sizeof(pass) / sizeof(pass[0]), NULL);
}

/* On a frame, with a context of its own. */
static bool has_test_run(void)
{
	int fd = load_pass();
	unsigned char frame[64] = { 0 };
	struct xdp_md context = { .data_end = sizeof(frame) };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = sizeof(frame),
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = 1);
	bool has = fd >= 0 && !bpf_prog_test_run_opts(fd, &options) && options.retval == XDP_PASS;

	if (fd >= 0)
		close(fd);
	return has;
}

/* Whether anything can be loaded at all: else every probe would say no. */
static bool may_probe(void)
{
	int fd = load_pass();

	if (fd < 0)
		return errno != EPERM && errno != EACCES;
	close(fd);
	return true;
}

int bpf_features_probe(bool has[BPF_FEATURE_COUNT], char *no_chain, size_t no_chain_size)
{
	if (no_chain_size)
		no_chain[0] = 0;
	memset(has, 0, BPF_FEATURE_COUNT * sizeof(has[0]));
	if (!may_probe())
		return -EPERM;
	has[BPF_FEATURE_XDP_FRAGS] = has_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_xdp_get_buff_len);
	has[BPF_FEATURE_SK_LOOKUP] = has_program(BPF_PROG_TYPE_SK_LOOKUP);
	has[BPF_FEATURE_LOOP] = has_helper(BPF_PROG_TYPE_SK_LOOKUP, BPF_FUNC_loop);
	has[BPF_FEATURE_MMAP] = has_mmap();
	has[BPF_FEATURE_SOCKMAP] = has_map(BPF_MAP_TYPE_SOCKMAP);
	has[BPF_FEATURE_MAPS_OF_MAPS] = has_map(BPF_MAP_TYPE_ARRAY_OF_MAPS);
	has[BPF_FEATURE_LPM_TRIE] = has_map(BPF_MAP_TYPE_LPM_TRIE);
	has[BPF_FEATURE_LRU_HASH] = has_map(BPF_MAP_TYPE_LRU_HASH);
	has[BPF_FEATURE_RINGBUF] = has_map(BPF_MAP_TYPE_RINGBUF);
	has[BPF_FEATURE_COOKIES] = has_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_tcp_gen_syncookie) &&
				   !access("/proc/sys/net/ipv4/tcp_syncookies", F_OK);
	has[BPF_FEATURE_SOCKETS] = has_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_skc_lookup_tcp);
	has[BPF_FEATURE_TEST_RUN] = has_test_run();
	has[BPF_FEATURE_CHAIN] = !bpf_loader_chain_probe(no_chain, no_chain_size);
	return 0;
}
