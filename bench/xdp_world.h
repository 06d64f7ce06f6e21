/* SPDX-License-Identifier: MIT */
/*
 * xdp_world.h - what both XDP benchmarks measure in: the gate as the daemon's own loader sets it
 * up, in namespaces of its own, with maps in which every verdict can be met, and a frame for each.
 * Whoever includes it calls world_enter (selftests/bpf/world_help.h) first. It ends the program
 * where anything fails.
 */
#ifndef SLUICE_BENCH_XDP_WORLD_H
#define SLUICE_BENCH_XDP_WORLD_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../selftests/bpf/frame.h"
#include "../selftests/bpf/world_help.h"
#include "control/bpf_loader_acl.h"
#include "control/bpf_loader_impl.h"
#include "sluice/source.h"

#define PORT	8443
#define HOUR_NS (3600ull * 1000 * 1000 * 1000)

/* How a frame is met. */
#define CHANGES	     1u /* the gate makes it another one */
#define FRESH	     2u /* each comes from another source */
#define PENALTIES_ON 4u /* there are penalties, though not of this source */
#define PACKETS_ON   8u /* ... of level packets */
#define STRAYS_ON    16u
#define EVENTS_ON    32u /* somebody listens for drops */
#define CUT	     64u /* the last bytes are missing */
#define MSS	     128u /* TCP options: MSS */
#define OPTIONS	     256u /* ... and what Linux sends besides */
#define COOKIE_BACK  512u
#define IN_TABLE     1024u /* of the plain table: one of its verdicts */

struct scenario {
	const char *name;
	unsigned verdict;
	struct frame_spec spec;
	unsigned how;
	unsigned goal_ns; /* 0: none was set */
};

#define V4(address, number) .source = address, .destination = "198.18.0.1",                        \
		.source_port = 40000, .destination_port = number
#define V6(address, number) .source = address, .destination = "fd00::1",                           \
		.source_port = 40000, .destination_port = number

enum { /* listeners by their port: PORT + */
	LIMITED, ANY, WIDE, RESET, DROP, COOKIES, FULL, OVER, PLAIN, ACCEPT, ALLOWED, OPTIONAL,
	LISTENERS
};

static const uint16_t two_tags[] = { 0x88a8, 0x8100 };
static const struct scenario scenarios[] = {
	{ "not ours: TCP, IPv4", VERDICT_PASS_NOT_OURS,
	  { V4("198.18.0.9", 22), .flags = ACK, .payload_bytes = 64 }, IN_TABLE, 25 },
	{ "not ours: TCP, IPv6", VERDICT_PASS_NOT_OURS,
	  { V6("fd00::9", 22), .flags = ACK, .payload_bytes = 64 }, 0, 25 },
	{ "not ours: TCP, IPv4, two VLAN tags", VERDICT_PASS_NOT_OURS,
	  { V4("198.18.0.9", 22), .flags = ACK, .vlans = two_tags, .n_vlans = 2 }, 0, 25 },
	{ "not ours: TCP, a listener's port", VERDICT_PASS_NOT_OURS,
	  { .source = "198.18.0.9", .destination = "198.18.0.2", .source_port = 40000,
	    .destination_port = PORT, .flags = ACK }, 0, 25 },
	{ "not ours: UDP", VERDICT_PASS_NOT_OURS,
	  { V4("198.18.0.9", 53), .protocol = IPPROTO_UDP }, 0, 25 },
	{ "later fragment", VERDICT_PASS_FRAGMENT,
	  { V4("198.18.0.9", PORT), .fragment = 100, .payload_bytes = 64 }, 0, 25 },
	{ "cut before its ports", VERDICT_PASS_TRUNCATED, { V4("198.18.0.9", PORT) }, CUT, 0 },
	{ "contradicts itself", VERDICT_DROP_MALFORMED,
	  { V4("198.18.0.9", PORT), .fragment = 1 }, IN_TABLE, 0 },
	{ "flags that cannot be", VERDICT_DROP_BAD_FLAGS,
	  { V4("198.18.0.9", PORT + PLAIN), .flags = SYN | FIN }, 0, 0 },
	{ "later packet, IPv4", VERDICT_PASS_ESTABLISHED,
	  { V4("198.18.0.9", PORT + PLAIN), .flags = ACK }, IN_TABLE, 0 },
	{ "later packet, IPv6", VERDICT_PASS_ESTABLISHED,
	  { V6("fd00::9", PORT + PLAIN), .flags = ACK }, 0, 0 },
	{ "later packet, listener on any address", VERDICT_PASS_ESTABLISHED,
	  { V4("198.18.0.9", PORT + ANY), .flags = ACK }, 0, 0 },
	{ "later packet, strays limited", VERDICT_DROP_STRAY_LIMIT,
	  { V4("198.18.0.9", PORT + PLAIN), .flags = ACK }, STRAYS_ON | IN_TABLE, 0 },
	{ "UDP to a listener's address, over the limit", VERDICT_DROP_STRAY_LIMIT,
	  { V4("198.18.0.9", 53), .protocol = IPPROTO_UDP }, STRAYS_ON | IN_TABLE, 0 },
	{ "SYN denied, address", VERDICT_DROP_ACL, { V4("198.18.6.6", PORT), .flags = SYN },
	  IN_TABLE, 40 },
	{ "SYN denied, address, IPv6", VERDICT_DROP_ACL, { V6("fd00::6:6", PORT), .flags = SYN }, 0,
	  40 },
	{ "SYN denied, prefix", VERDICT_DROP_ACL, { V4("203.0.113.7", PORT), .flags = SYN },
	  IN_TABLE, 40 },
	{ "SYN denied, prefix, IPv6", VERDICT_DROP_ACL, { V6("2001:db8::7", PORT), .flags = SYN },
	  0, 40 },
	{ "SYN denied, and somebody listens (events)", VERDICT_DROP_ACL,
	  { V4("198.18.6.6", PORT), .flags = SYN }, EVENTS_ON, 0 },
	{ "SYN in no allow entry of the listener", VERDICT_DROP_NOT_ALLOWED,
	  { V4("198.18.0.9", PORT + ALLOWED), .flags = SYN }, 0, 40 },
	{ "SYN of a penalized source", VERDICT_DROP_PENALTY,
	  { V4("198.18.7.7", PORT), .flags = SYN }, PENALTIES_ON | IN_TABLE, 0 },
	{ "any packet of a penalized source", VERDICT_DROP_PENALTY_ALL,
	  { V4("198.18.7.8", PORT), .flags = ACK }, PACKETS_ON | IN_TABLE, 0 },
	{ "SYN, source has too many connections", VERDICT_DROP_SOURCE_CONNECTIONS,
	  { V4("198.18.0.9", PORT + FULL), .flags = SYN }, 0, 0 },
	{ "SYN over the source's limit", VERDICT_DROP_SOURCE_LIMIT,
	  { V4("198.18.0.9", PORT), .flags = SYN }, IN_TABLE, 120 },
	{ "SYN over the source's limit, IPv6", VERDICT_DROP_SOURCE_LIMIT,
	  { V6("fd00::9", PORT), .flags = SYN }, 0, 120 },
	{ "SYN over the listener's limit", VERDICT_DROP_LISTENER_LIMIT,
	  { V4("198.18.0.9", PORT + OVER), .flags = SYN }, IN_TABLE, 120 },
	{ "SYN passed, no limits", VERDICT_PASS_NEW, { V4("198.18.0.9", PORT + PLAIN), .flags = SYN },
	  0, 0 },
	{ "SYN passed, no limits, each from another source", VERDICT_PASS_NEW,
	  { V4("198.18.0.9", PORT + PLAIN), .flags = SYN }, FRESH, 0 },
	{ "SYN passed, both limits and group looked at", VERDICT_PASS_NEW,
	  { V4("198.18.0.9", PORT + WIDE), .flags = SYN }, IN_TABLE, 120 },
	{ "... and there are penalties of others", VERDICT_PASS_NEW,
	  { V4("198.18.0.9", PORT + WIDE), .flags = SYN }, PENALTIES_ON, 120 },
	{ "... and each from another source", VERDICT_PASS_NEW,
	  { V4("198.18.0.9", PORT + WIDE), .flags = SYN }, FRESH | IN_TABLE, 0 },
	{ "SYN passed, group down: accept", VERDICT_PASS_FAIL_OPEN,
	  { V4("198.18.0.9", PORT + ACCEPT), .flags = SYN }, 0, 0 },
	{ "SYN dropped, group down", VERDICT_DROP_ALL_DOWN,
	  { V4("198.18.0.9", PORT + DROP), .flags = SYN }, 0, 0 },
	{ "SYN answered by RST, group down", VERDICT_RESET_ALL_DOWN,
	  { V4("198.18.0.9", PORT + RESET), .flags = SYN }, CHANGES | IN_TABLE, 0 },
	{ "SYN answered by a cookie", VERDICT_COOKIE_SENT,
	  { V4("198.18.0.9", PORT + COOKIES), .flags = SYN, .tcp_option_words = 1 },
	  CHANGES | MSS | IN_TABLE, 250 },
	{ "SYN answered by a cookie, IPv6", VERDICT_COOKIE_SENT,
	  { V6("fd00::9", PORT + COOKIES), .flags = SYN, .tcp_option_words = 1 }, CHANGES | MSS,
	  250 },
	{ "SYN answered by a cookie, with timestamps", VERDICT_COOKIE_SENT,
	  { V4("198.18.0.9", PORT + OPTIONAL), .flags = SYN, .tcp_option_words = 5 },
	  CHANGES | MSS | OPTIONS, 0 },
	{ "cookie that comes back", VERDICT_PASS_COOKIE,
	  { V4("198.18.0.9", PORT + COOKIES), .flags = ACK }, COOKIE_BACK | IN_TABLE, 0 },
	{ "later packet while cookies may come back", VERDICT_PASS_ESTABLISHED,
	  { V4("198.18.0.10", PORT + COOKIES), .flags = ACK }, 0, 0 },
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static struct bpf *bench_bpf;
static char bench_why[BPF_WHY_MAX];

__attribute__((noreturn)) static inline void bench_die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, *bench_why ? bench_why : strerror(errno));
	world_leave();
	exit(1);
}

static inline void bench_put(enum bpf_loader_map map, const void *key, const void *value)
{
	if (bpf_map_update_elem(bench_bpf->maps[map], key, value, BPF_ANY))
		bench_die("filling a map");
}

static inline struct addr bench_address(const char *address, unsigned port)
{
	struct addr parsed;
	char text[80];

	snprintf(text, sizeof(text), strchr(address, ':') ? "[%s]:%u" : "%s:%u", address, port);
	if (addr_parse(&parsed, text))
		bench_die(text);
	return parsed;
}

static inline void bench_listener(unsigned which, struct sluice_listener row)
{
	static const char *const both[] = { "198.18.0.1", "fd00::1" };

	row.id = which;
	if (!row.group)
		row.group = SLUICE_GROUP_NONE;
	for (int i = 0; i < 2; i++) {
		struct addr address = which == ANY ? bench_address(i ? "::" : "0.0.0.0", PORT + ANY) :
						     bench_address(both[i], PORT + which);

		if (bpf_listener_set(bench_bpf, &address, &row))
			bench_die("a listener");
	}
}

static inline void bench_groups(uint32_t backends)
{
	struct sluice_group group = { .live = backends, .total = backends, .used = 1 };
	__u32 id = 1;

	bench_put(MAP_groups, &id, &group);
	for (__u32 i = 0; i < backends; i++) {
		struct sluice_backend backend = { .group = 1, .generation = 1, .weight = 1 };

		bench_put(MAP_backends, &i, &backend);
	}
	group.live = 0;
	for (__u32 action = SLUICE_ALL_DOWN_ACCEPT; action <= SLUICE_ALL_DOWN_DROP; action++) {
		id = 2 + action;
		group.on_all_down = action;
		bench_put(MAP_groups, &id, &group);
	}
}

static inline void bench_listeners(void)
{
	const uint32_t always = SLUICE_LISTENER_COOKIES_ALWAYS;

	bench_listener(LIMITED, (struct sluice_listener){ .source_interval_ns = HOUR_NS });
	bench_listener(ANY, (struct sluice_listener){});
	bench_listener(WIDE, (struct sluice_listener){
				     .group = 1, .source_interval_ns = 1, .source_tolerance_ns = HOUR_NS,
				     .listener_interval_ns = 1, .listener_tolerance_ns = HOUR_NS,
				     .source_connections = 100 });
	bench_listener(ACCEPT, (struct sluice_listener){ .group = 2 + SLUICE_ALL_DOWN_ACCEPT });
	bench_listener(RESET, (struct sluice_listener){ .group = 2 + SLUICE_ALL_DOWN_RESET });
	bench_listener(DROP, (struct sluice_listener){ .group = 2 + SLUICE_ALL_DOWN_DROP });
	bench_listener(COOKIES, (struct sluice_listener){ .flags = always, .slots = 1 });
	bench_listener(OPTIONAL, (struct sluice_listener){
		.flags = always | SLUICE_LISTENER_COOKIES_OPTIONS, .slots = 1, .cookie_wscale = 7 });
	bench_listener(FULL, (struct sluice_listener){ .source_connections = 5 });
	bench_listener(OVER, (struct sluice_listener){ .listener_interval_ns = HOUR_NS });
	bench_listener(PLAIN, (struct sluice_listener){});
	bench_listener(ALLOWED, (struct sluice_listener){ .acl = 1 + ALLOWED });
}

static inline void bench_prefix(struct prefix *prefix, const char *text)
{
	if (prefix_parse(prefix, text))
		bench_die(text);
}

static inline void bench_acl(uint32_t acl, struct prefix *deny, size_t n_deny, struct prefix *allow,
			     size_t n_allow)
{
	struct bpf_acl_list list = { .deny = deny, .n_deny = n_deny, .allow = allow,
				     .n_allow = n_allow };

	if (bpf_acl_replace(bench_bpf, acl, &list))
		bench_die("an access list");
}

/* A few entries of each kind, and a listener's own list. */
static inline void bench_small_acls(void)
{
	struct prefix deny[4], allow;

	bench_prefix(&deny[0], "198.18.6.6");
	bench_prefix(&deny[1], "203.0.113.0/24");
	bench_prefix(&deny[2], "fd00::6:6");
	bench_prefix(&deny[3], "2001:db8::/32");
	bench_prefix(&allow, "198.18.99.0/24");
	bench_acl(0, deny, 4, NULL, 0);
	bench_acl(1 + ALLOWED, NULL, 0, &allow, 1);
}

static inline void bench_key(__u32 address[4], const char *text)
{
	memset(address, 0, 16);
	address[2] = htonl(0xffff);
	inet_pton(AF_INET, text, &address[3]);
}

static inline void bench_switches(unsigned how)
{
	struct sluice_switches on = { .v4_prefix = 32, .v6_prefix = 64, .hash_key = { 1, 2, 3 } };
	__u32 zero = 0;

	if (how & PENALTIES_ON)
		on.penalties_until_ns = ~0ull;
	if (how & PACKETS_ON)
		on.packets_until_ns = on.penalties_until_ns = ~0ull;
	if (how & STRAYS_ON)
		on.stray_interval_ns = HOUR_NS;
	if (how & EVENTS_ON) {
		on.events_mask = 1ull << VERDICT_DROP_ACL;
		on.events_interval_ns = 1000000; /* 1000 a second */
		on.events_tolerance_ns = 10 * 1000000;
	}
	bench_put(MAP_switches, &zero, &on);
}

static inline void bench_sources(void)
{
	struct sluice_penalty penalty = { .until_ns = ~0ull, .level = SLUICE_PENALTY_CONNECTIONS };
	const __u64 hash_key[3] = { 1, 2, 3 };
	struct sluice_source_set row = {};
	struct sluice_vip_key vip;
	__u32 address[4], set, one = 1;
	__u64 hash;

	bench_key(address, "198.18.7.7");
	bench_put(MAP_penalties, address, &penalty);
	penalty.level = SLUICE_PENALTY_PACKETS;
	bench_key(address, "198.18.7.8");
	bench_put(MAP_penalties, address, &penalty);
	bench_key(address, "198.18.0.9");
	hash = source_hash(address, hash_key);
	set = hash % SLUICE_SOURCE_SETS;
	row.tags[3] = source_tag(hash);
	memcpy(row.ways[3].address, address, sizeof(address));
	row.ways[3].connections = 5;
	bench_put(MAP_source_states, &set, &row);
	bench_key(vip.address, "198.18.0.1");
	bench_put(MAP_vips, &vip, &one);
}

/* Cookies need sockets that listen, and the sysctl. */
static inline void bench_sockets(void)
{
	int fd = open("/proc/sys/net/ipv4/tcp_syncookies", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "2", 1) != 1)
		bench_die("tcp_syncookies");
	close(fd);
	if (run_command("ip address add 198.18.0.1/32 dev lo") ||
	    run_command("ip address add fd00::1/128 dev lo nodad"))
		bench_die("ip");
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in6 address = { .sin6_family = AF_INET6 };
		unsigned which = i ? OPTIONAL : COOKIES;

		address.sin6_port = htons((uint16_t)(PORT + which));
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
		    listen(fd, 4096) || bpf_socket_set(bench_bpf, which, 0, fd))
			bench_die("a listening socket");
	}
}

static inline void bench_open(void)
{
	struct bpf_options options = { .pin_path = world_pins };

	if (bpf_open(&bench_bpf, &options, bench_why, sizeof(bench_why)))
		bench_die("loading the gate (needs root)");
	bench_groups(2);
	bench_listeners();
	bench_small_acls();
	bench_switches(0);
	bench_sources();
	bench_sockets();
}

static inline void bench_close(void)
{
	bpf_close(bench_bpf, false);
	world_leave();
}

static inline uint32_t bench_run(int program_fd, const struct frame *frame, uint32_t repeat,
				 uint8_t *out, double *ns)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->bytes, .data_size_in = frame->len,
		    .data_out = out, .data_size_out = out ? FRAME_MAX : 0, .repeat = (int)repeat);

	if (bpf_prog_test_run_opts(program_fd, &options) && errno != ENOSPC)
		bench_die("a test run");
	if (ns)
		*ns = options.duration;
	return options.retval;
}

static inline void bench_options(struct frame *frame, unsigned how)
{
	static const uint8_t linux_sends[] = { 2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3,
					       3, 7 };

	if (how & MSS)
		memcpy(frame->bytes + frame->l4 + 20, linux_sends, how & OPTIONS ? 20 : 4);
}

static inline void bench_frame(struct frame *frame, const struct scenario *scenario)
{
	frame_build(frame, &scenario->spec);
	bench_options(frame, scenario->how);
	if (scenario->how & CUT)
		frame->len = frame->l4 + 2;
	if (scenario->how & COOKIE_BACK) {
		struct scenario syn = *scenario;
		uint8_t out[FRAME_MAX];
		struct frame first;

		syn.spec.flags = SYN;
		syn.how = 0;
		bench_frame(&first, &syn);
		if (bench_run(bench_bpf->gate_fd, &first, 1, out, NULL) != XDP_TX)
			bench_die("no cookie was sent");
		frame_put32(frame, frame->l4 + 4, syn.spec.sequence + 1);
		memcpy(frame->bytes + frame->l4 + 8, out + frame->l4 + 4, 4);
		frame->bytes[frame->l4 + 11]++; /* may carry once in 256 runs: then not repeated */
		if (!frame->bytes[frame->l4 + 11])
			bench_frame(frame, scenario);
	}
}

/* ---- small programs, without a compiler ---- */

#define INSN(c, d, s, o, i) { .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) }
#define MOV(d, s)	    INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(d, i)	    INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD(d, i)	    INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define CALL(i)		    INSN(BPF_JMP | BPF_CALL, 0, 0, 0, i)
#define EXIT		    INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define MAP_FD(d, fd)                                                                              \
	INSN(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_FD, 0, fd), INSN(0, 0, 0, 0, 0)

static inline int bench_load(const struct bpf_insn *insns, size_t n)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = BPF_F_XDP_HAS_FRAGS,
		    .expected_attach_type = BPF_XDP);
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "bench", "GPL", insns, n, &options);

	if (fd < 0)
		bench_die("loading a small program");
	return fd;
}

static inline int bench_load_action(uint32_t action)
{
	const struct bpf_insn insns[] = { SET(0, (__s32)action), EXIT };

	return bench_load(insns, 2);
}

/*
 * A program that makes the frame what it was, from a new source each time where that is asked for
 * (IPv4 without tags), and then hands it to another one; or returns action where next_fd is -1.
 */
static inline int bench_load_restorer(const struct frame *frame, bool fresh, int next_fd,
				      uint32_t action)
{
	int template_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "frame", 4, 256, 1, NULL);
	int next_map_fd = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "next", 4, 4, 1, NULL), fd;
	uint8_t template[256] = {};
	__u32 zero = 0;
	const struct bpf_insn insns[] = {
		MOV(6, 1),
		INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 0),
		MOV(2, 10), ADD(2, -4),
		MAP_FD(1, template_fd),
		CALL(BPF_FUNC_map_lookup_elem),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 14, 0),
		MOV(7, 0),
		/* the source's address, by a constant that leads everywhere */
		INSN(BPF_LDX | BPF_MEM | BPF_W, 1, 7, 26, 0),
		INSN(BPF_ALU | BPF_ADD | BPF_K, 1, 0, 0, fresh ? (__s32)0x9e3779b1u : 0),
		INSN(BPF_STX | BPF_MEM | BPF_W, 7, 1, 26, 0),
		MOV(1, 6), SET(2, 0), MOV(3, 7), SET(4, (__s32)frame->len),
		CALL(BPF_FUNC_xdp_store_bytes),
		MOV(1, 6),
		MAP_FD(2, next_map_fd),
		SET(3, 0),
		CALL(BPF_FUNC_tail_call),
		SET(0, (__s32)action), EXIT,
	};

	if (template_fd < 0 || next_map_fd < 0 || frame->len > sizeof(template))
		bench_die("a small map");
	memcpy(template, frame->bytes, frame->len);
	fd = bench_load(insns, sizeof(insns) / sizeof(insns[0]));
	if (bpf_map_update_elem(template_fd, &zero, template, BPF_ANY) ||
	    (next_fd >= 0 && bpf_map_update_elem(next_map_fd, &zero, &next_fd, BPF_ANY)))
		bench_die("a small map's entry");
	close(template_fd);
	/* A PROG_ARRAY is emptied with its last descriptor. */
	fcntl(next_map_fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

static inline uint64_t bench_count(unsigned verdict)
{
	struct sluice_verdict_count counts[VERDICT_MAX];

	if (bpf_read_verdicts(bench_bpf, counts))
		bench_die("reading the verdicts");
	return counts[verdict].packets;
}

/* Ends the program where the gate does not come to the verdict that is measured here. */
static inline void bench_check(const struct scenario *scenario, uint64_t before, uint64_t at_least)
{
	static const char *const names[] = {
#define BENCH_NAME(NAME, name, text) #name,
		SLUICE_VERDICTS(BENCH_NAME)
#undef BENCH_NAME
	};

	if (bench_count(scenario->verdict) - before >= at_least)
		return;
	snprintf(bench_why, sizeof(bench_why), "the verdict is not %s", names[scenario->verdict]);
	bench_die(scenario->name);
}

#endif
