/* SPDX-License-Identifier: MIT */
/*
 * test_bypass.c - can a packet be wrapped so that the gate takes it for nobody's, and Linux for a
 * SYN? Frames by chance go over a veth pair whose other end has the gate on it and listening
 * sockets behind: whole ones, in fragments that are small, overlap, nest or come in another order,
 * under extension headers, tags and options. The gate denies every source. A filter on the sockets
 * tells of each SYN that came through all the same; without the gate most of them do, or the test
 * would prove nothing.
 */
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include "gate_help.h"
#include "random_frame.h"
#include "world_help.h"

#define SEND "bypass0"
#define RECV "bypass1"
#define DATAGRAMS_IN_CHECK 20000
#define FRAGMENTS_MAX 8

static const uint8_t receiver_mac[6] = { 2, 0, 0, 0, 0, 1 };
static int packet_fd, seen_fd;
/* Another one each time, since what is left of fragments from before waits for the rest of them. */
static uint8_t sender = 9;

struct seen {
	uint64_t syns;
	uint64_t last; /* its sequence number: which datagram it was */
};

/* Keeps the SYNs that would reach a listening socket, and lets nothing in: TCP's header is at 0. */
static int load_filter(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1 },
		{ .code = BPF_LD | BPF_ABS | BPF_B, .imm = 13 },
		{ .code = BPF_ALU64 | BPF_AND | BPF_K, .dst_reg = 0, .imm = SYN | ACK },
		{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 0, .off = 14, .imm = SYN },
		{ .code = BPF_LD | BPF_ABS | BPF_W, .imm = 4 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 7, .src_reg = 0 },
		{ .code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = 10, .off = -4 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = -4 },
		{ .code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = seen_fd },
		{},
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 0, .off = 5 },
		{ .code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = 0, .src_reg = 7, .off = 8 },
		{ .code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = 1, .src_reg = 0 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 1, .imm = 1 },
		{ .code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = 0, .src_reg = 1 },
		{ .code = BPF_JMP | BPF_JA },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "syns", "GPL", insns,
			       sizeof(insns) / sizeof(insns[0]), NULL);

	assert_true(fd >= 0);
	return fd;
}

static void make_network(void)
{
	static const char *const commands[] = {
		"ip link add name " SEND " type veth peer name " RECV,
		"ip link set " RECV " address 02:00:00:00:00:01",
		"sysctl -qw net.ipv6.conf." SEND ".disable_ipv6=1",
		"ip link set " SEND " up && ip link set " RECV " up",
		"ip address add 198.18.0.1/16 dev " RECV,
		"ip address add fd00::1/64 dev " RECV " nodad",
		"ip -6 route add ::/0 dev " RECV,
		"ip route add 0.0.0.0/0 dev " RECV,
		"sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf." RECV ".rp_filter=0",
		/* What never becomes whole must not stand in the way of what comes later. */
		"sysctl -qw net.ipv4.ipfrag_high_thresh=268435456 net.ipv4.ipfrag_time=2 "
		"net.ipv6.ip6frag_high_thresh=268435456 net.ipv6.ip6frag_time=2",
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (run_command("%s >/dev/null", commands[i]))
			fail_msg("%s", commands[i]);
	}
}

/* On ports 8443 and 8444, both families. */
static void listen_with_filter(void)
{
	int filter_fd;

	seen_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "seen", 4, sizeof(struct seen), 1, NULL);
	assert_true(seen_fd >= 0);
	filter_fd = load_filter();
	for (uint16_t port = 8443; port <= 8444; port++) {
		struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
		int fd = socket(AF_INET6, SOCK_STREAM, 0);

		assert_true(fd >= 0);
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &filter_fd,
					    sizeof(filter_fd)), 0);
		assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
		assert_int_equal(listen(fd, 16), 0);
	}
}

static void open_sender(void)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b5),
				       .sll_ifindex = (int)if_nametoindex(SEND) };
	int bytes = 8 << 20;

	packet_fd = socket(AF_PACKET, SOCK_RAW, 0);
	assert_true(packet_fd >= 0);
	assert_int_equal(bind(packet_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setsockopt(packet_fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
}

static void send_bytes(const uint8_t *bytes, uint32_t len)
{
	/* The device refuses what is longer than its MTU. */
	if (send(packet_fd, bytes, len, 0) < 0 && errno != EMSGSIZE && errno != EINVAL &&
	    errno != ENOBUFS)
		fail_msg("sending: %s", strerror(errno));
}

/* Right checksums for what the headers say, as far as they make sense. */
static void fix_ipv4(uint8_t *ip)
{
	model_put16(ip + 10, 0);
	model_put16(ip + 10, frame_fold(frame_sum(ip, (ip[0] & 15u) * 4, 0)));
}

static void fix_tcp(uint8_t *tcp, uint32_t bytes, const uint8_t *addresses, uint32_t address_bytes)
{
	uint32_t sum = frame_sum(addresses, address_bytes, IPPROTO_TCP + bytes);

	model_put16(tcp + 16, 0);
	model_put16(tcp + 16, frame_fold(frame_sum(tcp, bytes, sum)));
}

/* A SYN, whole. Returns where the part that can be fragmented begins. */
static uint32_t make_syn(struct random_frame *frame, uint32_t number, bool *ret_ipv4)
{
	struct model_tuple tuple = { .ipv4 = random_chance(50), .source_port = 40000,
				     .destination_port = (uint16_t)(8443 + random_below(2)) };
	uint32_t type_at = 12, ip_bytes, options = random_chance(70) ? 0 : 4 * random_below(11);
	uint32_t data = random_chance(30) ? random_below(100) : 0, bytes = 20 + options + data;
	uint8_t *ip, *tcp;

	random_parse_address(tuple.source, tuple.ipv4 ? "198.18.0.0" : "fd00::");
	tuple.source[15] = sender;
	random_parse_address(tuple.destination, tuple.ipv4 ? "198.18.0.1" : "fd00::1");
	memset(frame->bytes, 0, 400);
	memcpy(frame->bytes, receiver_mac, 6);
	frame->bytes[6] = 2;
	/* Priority tags (VLAN 0) are peeled off by whoever gets them, as many as there are. */
	for (uint32_t tags = random_chance(85) ? 0 : 1 + random_below(4); tags; tags--, type_at += 4)
		model_put16(frame->bytes + type_at, random_chance(80) ? 0x8100 : 0x88a8);
	model_put16(frame->bytes + type_at, tuple.ipv4 ? 0x0800 : 0x86dd);
	frame->l3 = type_at + 2;
	ip = frame->bytes + frame->l3;
	ip_bytes = tuple.ipv4 ? random_add_ipv4(frame, &tuple, IPPROTO_TCP) :
				random_add_ipv6(frame, &tuple, IPPROTO_TCP);
	frame->l4 = frame->l3 + ip_bytes;
	tcp = frame->bytes + frame->l4;
	memset(tcp, 0, 20);
	model_put16(tcp, tuple.source_port);
	model_put16(tcp + 2, tuple.destination_port);
	model_put32(tcp + 4, number);
	tcp[12] = (uint8_t)((20 + options) / 4 << 4);
	tcp[13] = SYN;
	model_put16(tcp + 14, 1000);
	memset(tcp + 20, 1, options);
	memset(tcp + 20 + options, 'x', data);
	fix_tcp(tcp, bytes, tuple.ipv4 ? ip + 12 : ip + 8, tuple.ipv4 ? 8 : 32);
	frame->len = frame->l4 + bytes;
	if (tuple.ipv4) {
		model_put16(ip + 2, ip_bytes + bytes);
		fix_ipv4(ip);
	} else {
		model_put16(ip + 4, ip_bytes - 40 + bytes);
	}
	*ret_ipv4 = tuple.ipv4;
	return tuple.ipv4 ? frame->l4 : random_chance(50) ? frame->l3 + 40 : frame->l4;
}

struct fragments {
	struct random_frame frames[FRAGMENTS_MAX];
	unsigned n;
};

/* Bytes [from, to) of what begins at start, as a fragment of its own. */
static void cut_fragment(struct fragments *fragments, const struct random_frame *whole, bool ipv4,
			 uint32_t start, uint32_t from, uint32_t to, uint32_t id, uint8_t next)
{
	struct random_frame *frame = &fragments->frames[fragments->n++];
	uint32_t header = ipv4 ? 0 : 8, end = whole->len - start;
	uint8_t *ip = frame->bytes + whole->l3, *at = frame->bytes + start;
	bool more = to < end;

	memcpy(frame->bytes, whole->bytes, start);
	memcpy(at + header, whole->bytes + start + from, to - from);
	frame->l3 = whole->l3;
	frame->len = start + header + to - from;
	if (ipv4) {
		model_put16(ip + 4, id);
		model_put16(ip + 6, from / 8 | (more ? 0x2000 : 0));
		model_put16(ip + 2, frame->len - frame->l3);
		fix_ipv4(ip);
		return;
	}
	at[0] = next;
	at[1] = 0;
	model_put16(at + 2, from | more);
	model_put32(at + 4, id);
	model_put16(ip + 4, frame->len - frame->l3 - 40);
}

/* Puts IPPROTO_FRAGMENT into the chain before start; what stood there comes behind it. */
static uint8_t enter_fragment(struct random_frame *whole, uint32_t start)
{
	uint32_t at = whole->l3 + 40;
	uint8_t *next = whole->bytes + whole->l3 + 6, was;

	while (at < start) {
		next = whole->bytes + at;
		at += 8 + 8u * whole->bytes[at + 1];
	}
	was = *next;
	*next = IPPROTO_FRAGMENT;
	return was;
}

static void send_fragments(struct random_frame *whole, bool ipv4, uint32_t start, uint32_t number)
{
	static struct fragments fragments;
	uint32_t end = whole->len - start, from = 0;
	uint8_t next = ipv4 ? 0 : enter_fragment(whole, start);

	fragments.n = 0;
	while (from < end && fragments.n < FRAGMENTS_MAX - 1) {
		uint32_t to = from + 8 * (1 + random_below(random_chance(50) ? 2 : 8));

		if (to > end || fragments.n == FRAGMENTS_MAX - 2)
			to = end;
		cut_fragment(&fragments, whole, ipv4, start, from, to, number, next);
		/* Some overlap, some are missing. */
		from = random_chance(4) && to > 8 && to < end ? to - 8 : to;
	}
	if (random_chance(40)) { /* another order */
		for (unsigned i = fragments.n - 1; i > 0; i--) {
			struct random_frame *a = &fragments.frames[i];
			struct random_frame *b = &fragments.frames[random_below(i + 1)];
			static struct random_frame kept;

			kept = *a;
			*a = *b;
			*b = kept;
		}
	}
	for (unsigned i = 0; i < fragments.n; i++)
		send_bytes(fragments.frames[i].bytes, fragments.frames[i].len);
}

/* A little damage that does not make the checksums wrong in itself. */
static void damage(struct random_frame *frame, bool ipv4)
{
	random_damage(frame);
	memcpy(frame->bytes, receiver_mac, 6);
	if (ipv4 && (frame->bytes[frame->l3] & 15) >= 5)
		fix_ipv4(frame->bytes + frame->l3);
}

static void send_datagrams(uint64_t seed, uint32_t n)
{
	static struct random_frame whole;

	random_state = seed;
	sender++;
	for (uint32_t number = 1; number <= n; number++) {
		bool ipv4;
		uint32_t start = make_syn(&whole, number, &ipv4);

		if (random_chance(20))
			damage(&whole, ipv4);
		else if (random_chance(60))
			start = 0;
		if (start && whole.len > start + 8 && start >= whole.l3 + 20)
			send_fragments(&whole, ipv4, start, number);
		else
			send_bytes(whole.bytes, whole.len);
	}
}

/* What was seen, once all that was sent has come through. */
static struct seen read_seen(void)
{
	struct seen seen, none = {};
	uint64_t packets = ~0ull, before = 0, deadline_ns = now_ns() + 5 * MODEL_SECOND_NS;
	__u32 zero = 0;
	char *text;

	for (int still = 0; still < 5 && now_ns() < deadline_ns; before = packets) {
		usleep(10000);
		text = read_command("sed -n 's/.*" RECV ": *[0-9]* *//p' /proc/net/dev");
		assert_non_null(text);
		packets = strtoull(text, NULL, 10);
		still = packets == before ? still + 1 : 0;
	}
	assert_int_equal(bpf_map_lookup_elem(seen_fd, &zero, &seen), 0);
	assert_int_equal(bpf_map_update_elem(seen_fd, &zero, &none, BPF_ANY), 0);
	return seen;
}

static void deny_all(struct gate_bpf *gate)
{
	const struct sluice_listener one = { .id = 1, .group = SLUICE_GROUP_NONE };
	const struct sluice_listener any = { .id = 2, .group = SLUICE_GROUP_NONE };

	put_listener(gate, "198.18.0.1", 8443, &one);
	put_listener(gate, "fd00::1", 8443, &one);
	put_listener(gate, "0.0.0.0", 8444, &any);
	put_listener(gate, "::", 8444, &any);
	set_allow_list(gate, 0); /* with nobody in it */
}

static void no_denied_syn_reaches_a_socket(void **state)
{
	uint64_t seed = random_seed();
	uint32_t n = (uint32_t)random_setting("SLUICE_DATAGRAMS", random_scaled(DATAGRAMS_IN_CHECK));
	struct gate_bpf *gate = gate_bpf__open_and_load();
	struct seen seen;

	assert_non_null(gate);
	deny_all(gate);
	print_message("SLUICE_SEED=%llu: %u datagrams\n", (unsigned long long)seed, n);
	make_network();
	listen_with_filter();
	open_sender();
	send_datagrams(seed, n);
	seen = read_seen();
	print_message("  without the gate %llu SYNs reach a socket\n", (unsigned long long)seen.syns);
	assert_true(seen.syns > n / 3);

	assert_int_equal(bpf_xdp_attach((int)if_nametoindex(RECV),
					bpf_program__fd(gate->progs.gate), 0, NULL), 0);
	send_datagrams(seed + 1, n);
	send_datagrams(seed, n);
	seen = read_seen();
	if (seen.syns)
		fail_msg("%llu SYNs came through, the last is datagram %llu of SLUICE_SEED=%llu",
			 (unsigned long long)seen.syns, (unsigned long long)seen.last,
			 (unsigned long long)seed);
	gate_bpf__destroy(gate);
}

int main(void)
{
	static const char *const tools[] = { "ip", "sysctl", NULL };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_denied_syn_reaches_a_socket),
	};
	int failed;

	if (!bpf_is_allowed() || !world_enter(tools))
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_leave();
	return failed;
}
