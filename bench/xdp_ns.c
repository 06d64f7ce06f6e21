/* SPDX-License-Identifier: MIT */
/*
 * xdp_ns.c - what the XDP gate costs a packet, in nanoseconds: BPF_PROG_TEST_RUN of the very object
 * that ships, less the same run of an empty program. Prints lines "name ns" for make bench. Attaches
 * nothing and leaves nothing.
 *
 * A frame that the gate changes (the RST) cannot be repeated by the kernel, so it is measured one run
 * a time, cold caches of the system call included; its empty program likewise.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../selftests/bpf/frame.h"
#include "sluice/ports.h" /* as the next: before the skeleton, which has one in it */
#include "sluice/trace.h"
#include "gate.skel.h"
#include "sluice/abi.h"

#define ROUNDS 25
#define REPEAT 200000
#define SINGLES 60000
#define PORT 8443
#define HOUR_NS (3600ull * 1000 * 1000 * 1000)

static void die(const char *what)
{
	fprintf(stderr, "xdp_ns: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static uint32_t run(int fd, const struct frame *frame, uint32_t repeat, double *ns)
{
	uint8_t out[FRAME_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->bytes, .data_size_in = frame->len,
		    .data_out = out, .data_size_out = sizeof(out), .repeat = (int)repeat);

	if (bpf_prog_test_run_opts(fd, &options))
		die("test run");
	*ns = options.duration;
	return options.retval;
}

/* The median of the rounds, each a mean. */
static double measure(int fd, const struct frame *frame, uint32_t want_action, bool repeatable)
{
	double rounds[ROUNDS];

	for (unsigned i = 0; i < ROUNDS; i++) {
		if (repeatable) {
			if (run(fd, frame, REPEAT, &rounds[i]) != want_action)
				want_action = ~0u;
			continue;
		}
		rounds[i] = 0;
		for (unsigned j = 0; j < SINGLES / ROUNDS; j++) {
			double ns;

			if (run(fd, frame, 1, &ns) != want_action)
				want_action = ~0u;
			rounds[i] += ns;
		}
		rounds[i] /= SINGLES / ROUNDS;
	}
	if (want_action == ~0u) {
		fprintf(stderr, "xdp_ns: the gate did not do what is measured here\n");
		exit(1);
	}
	qsort(rounds, ROUNDS, sizeof(rounds[0]), compare_doubles);
	return rounds[ROUNDS / 2];
}

static int load_empty(void)
{
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = BPF_F_XDP_HAS_FRAGS,
		    .expected_attach_type = BPF_XDP);
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "empty", "GPL", insns, 2, &options);

	if (fd < 0)
		die("loading the empty program");
	return fd;
}

static void put(int fd, const void *key, const void *value)
{
	if (bpf_map_update_elem(fd, key, value, BPF_ANY))
		die("filling a map");
}

static void put_listener(struct gate_bpf *gate, const char *address, uint16_t port,
			 const struct sluice_listener *listener)
{
	struct sluice_listener_key key = { .port = htons(port), .protocol = IPPROTO_TCP };

	if (strchr(address, ':')) {
		inet_pton(AF_INET6, address, key.address);
	} else {
		key.address[2] = htonl(0xffff);
		inet_pton(AF_INET, address, &key.address[3]);
	}
	put(bpf_map__fd(gate->maps.listeners), &key, listener);
	/* The hints that the loader keeps: bpf/ports.h. */
	if (!strcmp(address, "0.0.0.0"))
		gate->bss->ports_without_any[port / 64] &= ~(1ull << port % 64);
	else
		gate->bss->ports_without_address[port / 64] &= ~(1ull << port % 64);
}

struct bench {
	const char *name;
	struct frame_spec spec;
	uint32_t action;
	bool single; /* the gate changes the frame */
};

#define V4(address, number) .source = address, .destination = "198.18.0.1",                        \
		.source_port = 40000, .destination_port = number
#define V6(address, number) .source = address, .destination = "fd00::1",                           \
		.source_port = 40000, .destination_port = number

static const uint16_t tags[] = { 0x88a8, 0x8100 };
static const struct bench benches[] = {
	{ "not ours: TCP, IPv4", { V4("198.18.0.9", 22), .flags = ACK, .payload_bytes = 64 },
	  XDP_PASS, false },
	{ "not ours: TCP, IPv6", { V6("fd00::9", 22), .flags = ACK, .payload_bytes = 64 },
	  XDP_PASS, false },
	{ "not ours: TCP, IPv4, two VLAN tags",
	  { V4("198.18.0.9", 22), .flags = ACK, .vlans = tags, .n_vlans = 2 }, XDP_PASS, false },
	{ "not ours: TCP, IPv4, a listener's port",
	  { .source = "198.18.0.9", .destination = "198.18.0.2", .source_port = 40000,
	    .destination_port = PORT, .flags = ACK }, XDP_PASS, false },
	{ "not ours: UDP", { V4("198.18.0.9", 53), .protocol = IPPROTO_UDP }, XDP_PASS, false },
	{ "ours: later packet, IPv4", { V4("198.18.0.9", PORT), .flags = ACK }, XDP_PASS, false },
	{ "ours: later packet, IPv6", { V6("fd00::9", PORT), .flags = ACK }, XDP_PASS, false },
	{ "ours: later packet, listener on any address",
	  { V4("198.18.0.9", PORT + 1), .flags = ACK }, XDP_PASS, false },
	{ "SYN denied, address", { V4("198.18.6.6", PORT), .flags = SYN }, XDP_DROP, false },
	{ "SYN denied, prefix", { V4("203.0.113.7", PORT), .flags = SYN }, XDP_DROP, false },
	{ "SYN over the source's limit", { V4("198.18.0.9", PORT), .flags = SYN }, XDP_DROP, false },
	{ "SYN over the source's limit, IPv6", { V6("fd00::9", PORT), .flags = SYN }, XDP_DROP,
	  false },
	{ "SYN passed, both limits and group checked",
	  { V4("198.18.0.9", PORT + 2), .flags = SYN }, XDP_PASS, false },
	{ "SYN answered by RST (single runs)", { V4("198.18.0.9", PORT + 3), .flags = SYN }, XDP_TX,
	  true },
};

static void fill(struct gate_bpf *gate)
{
	/* One connection an hour for each source, and one was had. */
	struct sluice_listener limited = {
		.id = 1, .group = SLUICE_GROUP_NONE,
		.source_interval_ns = HOUR_NS,
	};
	struct sluice_listener any = { .id = 2, .group = SLUICE_GROUP_NONE };
	/* Limits that are looked at and never reached. */
	struct sluice_listener wide = {
		.id = 3, .group = 1, .source_interval_ns = 1,
		.source_tolerance_ns = HOUR_NS, .listener_interval_ns = 1,
		.listener_tolerance_ns = HOUR_NS,
	};
	struct sluice_listener down = { .id = 4, .group = 2 };
	struct sluice_group live = { .live = 1, .total = 1, .used = 1 };
	struct sluice_group dead = { .total = 1, .used = 1, .on_all_down = SLUICE_ALL_DOWN_RESET };
	struct sluice_acl_entry deny = { .action = SLUICE_ACL_DENY };
	struct sluice_acl_exact_key address = { .address = { 0, 0, htonl(0xffff) } };
	struct sluice_acl_v4_key prefix = { .prefixlen = 24 };
	__u32 one = 1, two = 2;

	memset(gate->bss, 0xff, sizeof(*gate->bss));
	put_listener(gate, "198.18.0.1", PORT, &limited);
	put_listener(gate, "fd00::1", PORT, &limited);
	put_listener(gate, "0.0.0.0", PORT + 1, &any);
	put_listener(gate, "198.18.0.1", PORT + 2, &wide);
	put_listener(gate, "198.18.0.1", PORT + 3, &down);
	put(bpf_map__fd(gate->maps.groups), &one, &live);
	put(bpf_map__fd(gate->maps.groups), &two, &dead);
	inet_pton(AF_INET, "198.18.6.6", &address.address[3]);
	put(bpf_map__fd(gate->maps.acl_exact), &address, &deny);
	inet_pton(AF_INET, "203.0.113.0", &prefix.address);
	put(bpf_map__fd(gate->maps.acl_v4), &prefix, &deny);
}

static void print_one(int gate_fd, int empty_fd, const struct bench *bench, const char *note)
{
	struct frame frame;
	double empty, ns;
	char name[96];

	frame_build(&frame, &bench->spec);
	empty = measure(empty_fd, &frame, XDP_PASS, !bench->single);
	if (!bench->single)
		run(gate_fd, &frame, 100, &ns); /* uses up what a limit allows */
	ns = measure(gate_fd, &frame, bench->action, !bench->single) - empty;
	snprintf(name, sizeof(name), "%s%s", bench->name, note);
	printf("%-50s %6.1f\n", name, ns);
	fflush(stdout);
}

int main(void)
{
	struct gate_bpf *gate = gate_bpf__open_and_load();
	struct sluice_listener more = { .id = 5, .group = SLUICE_GROUP_NONE };
	int empty_fd, gate_fd;

	if (!gate)
		die("loading the gate (needs root)");
	empty_fd = load_empty();
	gate_fd = bpf_program__fd(gate->progs.gate);
	fill(gate);
	for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++)
		print_one(gate_fd, empty_fd, &benches[i], "");
	for (uint16_t i = 0; i < SLUICE_MAX_LISTENERS - 5; i++)
		put_listener(gate, "198.18.0.1", (uint16_t)(10000 + i), &more);
	print_one(gate_fd, empty_fd, &benches[0], ", 256 listeners");
	print_one(gate_fd, empty_fd, &benches[5], ", 256 listeners");
	close(empty_fd);
	gate_bpf__destroy(gate);
	return 0;
}
