/* SPDX-License-Identifier: MIT */
/*
 * test_gate_cookies.c - SYN cookies with the kernel's own check: real listening sockets in a network
 * namespace of the test's own, whose sysctls it may change. What the gate sends is read back byte for
 * byte, and answered as a client would. In both families.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include "gate_help.h"

#define FAMILIES 2
static const struct frame_spec syns[FAMILIES] = {
	{ SPEC_V4, .flags = SYN, .window = 64240 }, { SPEC_V6, .flags = SYN, .window = 64240 },
};
static int listening = -1;

static bool write_sysctl(const char *name, const char *value)
{
	char path[96];
	bool ok;
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	fd = open(path, O_WRONLY);
	ok = fd >= 0 && write(fd, value, strlen(value)) > 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int on = 1;

	/* Connections of the test before may be in TIME_WAIT. */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

static void set_listener(struct gate_bpf *gate, struct sluice_listener listener)
{
	listener.id = 1;
	put_listener(gate, "198.18.0.1", LISTENER_PORT, &listener);
	put_listener(gate, "fd00::1", LISTENER_PORT, &listener);
}

static int setup(void **state)
{
	if (!write_sysctl("tcp_syncookies", "2"))
		return -1;
	listening = listen_on(LISTENER_PORT);
	if (gate_setup(state))
		return -1;
	set_listener(*state, (struct sluice_listener){ .group = SLUICE_GROUP_NONE,
						       .flags = SLUICE_LISTENER_COOKIES_ALWAYS });
	return 0;
}

static int teardown(void **state)
{
	close(listening);
	return gate_teardown(state);
}

static uint32_t get32(const struct frame *frame, uint32_t at)
{
	uint32_t value;

	memcpy(&value, frame->bytes + at, sizeof(value));
	return ntohl(value);
}

static uint32_t get16(const struct frame *frame, uint32_t at)
{
	return (uint32_t)frame->bytes[at] << 8 | frame->bytes[at + 1];
}

/* What a SYN-ACK with this much in its options should be but for sequence, window and options: these
 * are taken from the one that came, whose sums are then right or wrong. */
static struct frame answer_wanted(const struct frame_spec *syn, const struct frame *got)
{
	bool ipv6 = strchr(syn->source, ':');
	struct frame_spec spec = {
		.source = syn->destination,
		.destination = syn->source,
		.source_port = syn->destination_port,
		.destination_port = syn->source_port,
		.flags = SYN | ACK,
		.acknowledgement = syn->sequence + 1,
		.vlans = syn->vlans,
		.n_vlans = syn->n_vlans,
		.ttl = 64,
		.fragment = ipv6 ? 0 : 0x4000,
		.source_mac = 2,
		.destination_mac = 1,
	};
	uint32_t l4 = 14 + 4 * syn->n_vlans + (ipv6 ? 40 : 20), sum;
	struct frame want;

	spec.sequence = get32(got, l4 + 4);
	spec.window = (uint16_t)get16(got, l4 + 14);
	spec.tcp_option_words = (got->len - l4 - 20) / 4;
	frame_build(&want, &spec);
	memcpy(want.bytes + l4 + 20, got->bytes + l4 + 20, got->len - l4 - 20);
	frame_put16(&want, l4 + 16, 0);
	sum = frame_sum(want.bytes + want.l3 + (ipv6 ? 8 : 12), ipv6 ? 32 : 8,
			IPPROTO_TCP + want.len - l4);
	frame_put16(&want, l4 + 16, frame_fold(frame_sum(want.bytes + l4, want.len - l4, sum)));
	return want;
}

/* Sends the SYN, checks the answer to the last byte; the cookie. ret_options: 40 bytes, or NULL. */
static uint32_t get_cookie(struct gate_bpf *gate, const struct frame *syn_frame,
			   const struct frame_spec *syn, uint8_t *ret_options, uint32_t *ret_bytes)
{
	struct run run = gate_run_bytes(gate, syn_frame->bytes, syn_frame->len);
	struct frame want;
	uint32_t l4, doff;

	check_verdict(run.reason, VERDICT_COOKIE_SENT, __FILE__, __LINE__);
	assert_int_equal(run.action, XDP_TX);
	want = answer_wanted(syn, &run.out);
	assert_int_equal(run.out.len, want.len);
	assert_memory_equal(run.out.bytes, want.bytes, want.len);
	l4 = want.l4;
	doff = run.out.bytes[l4 + 12] >> 4;
	assert_int_equal(l4 + doff * 4, run.out.len);
	if (ret_options) {
		*ret_bytes = doff * 4 - 20;
		memcpy(ret_options, run.out.bytes + l4 + 20, *ret_bytes);
	}
	return get32(&run.out, l4 + 4);
}

static uint32_t cookie_of(struct gate_bpf *gate, const struct frame_spec *syn)
{
	struct frame frame;

	frame_build(&frame, syn);
	return get_cookie(gate, &frame, syn, NULL, NULL);
}

static struct frame_spec ack_of(const struct frame_spec *syn, uint32_t cookie)
{
	struct frame_spec ack = *syn;

	ack.flags = ACK;
	ack.sequence++;
	ack.acknowledgement = cookie + 1;
	ack.tcp_option_words = 0;
	ack.payload_bytes = 0;
	return ack;
}

static void a_cookie_goes_out_and_comes_back(void **state)
{
	struct sluice_listener_stats stats;

	for (int i = 0; i < FAMILIES; i++) {
		uint32_t cookie = cookie_of(*state, &syns[i]);
		struct frame_spec ack = ack_of(&syns[i], cookie);

		assert_verdict(*state, &ack, PASS_COOKIE);
	}
	stats = read_stats(*state, 1);
	assert_int_equal(stats.syns, 2);
	assert_int_equal(stats.cookies, 2);
	assert_int_equal(stats.cookies_back, 2);
	assert_int_equal(stats.passed, 2);
}

static void the_answer_is_right_byte_for_byte(void **state)
{
	static const uint16_t tags[] = { 0x88a8, 0x8100 };

	for (int i = 0; i < FAMILIES; i++) {
		for (unsigned words = 0; words <= 10; words++) {
			struct frame_spec syn = syns[i];

			syn.tcp_option_words = words;
			syn.ip_option_words = i ? 0 : 10 - words;
			syn.payload_bytes = words * 31; /* TCP Fast Open: neither taken nor kept */
			syn.vlans = tags;
			syn.n_vlans = words % 3;
			syn.source_port = (uint16_t)(1000 + words * 977);
			cookie_of(*state, &syn);
		}
	}
}

static void the_mss_is_one_that_the_cookie_has_room_for(void **state)
{
	static const uint16_t offered[] = { 1460, 1440, 1300, 536, 9000 };

	for (int i = 0; i < FAMILIES; i++) {
		for (size_t j = 0; j < sizeof(offered) / sizeof(offered[0]); j++) {
			struct frame_spec syn = syns[i];
			struct frame frame;
			uint8_t options[40];
			uint32_t bytes;

			syn.tcp_option_words = 1;
			frame_build(&frame, &syn);
			frame.bytes[frame.l4 + 20] = 2;
			frame.bytes[frame.l4 + 21] = 4;
			frame_put16(&frame, frame.l4 + 22, offered[j]);
			get_cookie(*state, &frame, &syn, options, &bytes);
			assert_int_equal(bytes, 4);
			assert_int_equal(options[0], 2);
			assert_int_equal(options[1], 4);
			/* For IPv6 the kernel takes none below that of the least MTU. */
			if (!i || offered[j] >= 1220)
				assert_true((options[2] << 8 | options[3]) <= offered[j]);
			assert_true((options[2] << 8 | options[3]) >= (i ? 1220 : 536));
		}
	}
}

static void options_come_back_in_the_timestamp(void **state)
{
	/* MSS 1460, SACK permitted, timestamp 0x01020304, no-operation, window scaling by 7 */
	static const uint8_t offered[20] = { 2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0,
					     1, 3, 3, 7 };

	set_listener(*state, (struct sluice_listener){
		.group = SLUICE_GROUP_NONE, .cookie_wscale = 9,
		.flags = SLUICE_LISTENER_COOKIES_ALWAYS | SLUICE_LISTENER_COOKIES_OPTIONS });
	for (int i = 0; i < FAMILIES; i++) {
		struct frame_spec syn = syns[i];
		struct frame frame;
		uint8_t options[40];
		uint32_t bytes;

		syn.tcp_option_words = 5;
		frame_build(&frame, &syn);
		memcpy(frame.bytes + frame.l4 + 20, offered, sizeof(offered));
		get_cookie(*state, &frame, &syn, options, &bytes);
		assert_int_equal(bytes, 20);
		assert_memory_equal(options, "\x02\x04", 2);
		assert_memory_equal(options + 4, "\x04\x02\x08\x0a", 4); /* SACK, a timestamp */
		assert_int_equal(options[11] & 63, 7 | 16); /* which keeps scaling and SACK */
		assert_memory_equal(options + 12, "\x01\x02\x03\x04", 4); /* the echo */
		assert_memory_equal(options + 16, "\x01\x03\x03\x09", 4);
	}
}

static void a_wrong_cookie_is_no_new_connection(void **state)
{
	for (int i = 0; i < FAMILIES; i++) {
		uint32_t cookie = cookie_of(*state, &syns[i]);
		struct frame_spec ack = ack_of(&syns[i], cookie + 77777777);

		/* The stack answers with RST what it does not know. */
		assert_verdict(*state, &ack, PASS_ESTABLISHED);
		ack = ack_of(&syns[i], cookie);
		ack.source_port++;
		assert_verdict(*state, &ack, PASS_ESTABLISHED);
	}
	assert_int_equal(read_stats(*state, 1).cookies_back, 0);
}

static void the_limits_count_when_the_cookie_comes_back(void **state)
{
	set_listener(*state, (struct sluice_listener){ .group = SLUICE_GROUP_NONE,
						       .source_interval_ns = HOUR_NS,
						       .flags = SLUICE_LISTENER_COOKIES_ALWAYS });
	for (int i = 0; i < FAMILIES; i++) {
		struct frame_spec syn = syns[i], ack;

		/* A spoofed flood in its name takes nothing from the source. */
		for (int j = 0; j < 10; j++) {
			syn.source_port++;
			cookie_of(*state, &syn);
		}
		ack = ack_of(&syn, cookie_of(*state, &syn));
		assert_verdict(*state, &ack, PASS_COOKIE);
		/* The data right behind it carries the same cookie, and is the same connection. */
		ack.payload_bytes = 100;
		assert_verdict(*state, &ack, PASS_ESTABLISHED);
		syn.source_port++;
		ack = ack_of(&syn, cookie_of(*state, &syn));
		assert_verdict(*state, &ack, DROP_SOURCE_LIMIT);
	}
}

static void denied_and_penalized_sources_get_no_cookie(void **state)
{
	put_acl(*state, "198.18.0.9", SLUICE_ACL_DENY);
	assert_verdict(*state, &syns[0], DROP_ACL);
	with_switches((struct gate_bpf *)*state, on.penalties_until_ns = ~0ull);
	put_penalty(*state, "fd00::", SLUICE_PENALTY_CONNECTIONS, ~0ull);
	assert_verdict(*state, &syns[1], DROP_PENALTY);
}

/* Cookies are good for two minutes, and can be gathered before one is found out. */
static void who_is_out_has_nothing_of_cookies_from_before(void **state)
{
	struct gate_bpf *gate = *state;
	struct frame_spec acks[FAMILIES];

	for (int i = 0; i < FAMILIES; i++)
		acks[i] = ack_of(&syns[i], cookie_of(gate, &syns[i]));
	put_acl(gate, "198.18.0.9", SLUICE_ACL_DENY);
	assert_verdict(gate, &acks[0], DROP_ACL);
	with_switches(gate, on.penalties_until_ns = ~0ull);
	put_penalty(gate, "fd00::", SLUICE_PENALTY_CONNECTIONS, ~0ull);
	assert_verdict(gate, &acks[1], DROP_PENALTY);
	assert_int_equal(read_stats(gate, 1).passed, 0);
}

/* After a flood the stack still makes a cookie for each SYN that passes, with tcp_syncookies=2. */
static void a_syn_that_was_counted_is_not_counted_again_by_its_cookie(void **state)
{
	struct sluice_listener listener = { .group = SLUICE_GROUP_NONE,
					    .source_interval_ns = HOUR_NS,
					    .flags = SLUICE_LISTENER_COOKIES_AUTO,
					    .cookie_interval_ns = 1,
					    .cookie_tolerance_ns = HOUR_NS };

	for (int i = 0; i < FAMILIES; i++) {
		struct frame_spec ack, other = syns[i];

		set_listener(*state, (struct sluice_listener){
					     .group = SLUICE_GROUP_NONE,
					     .flags = SLUICE_LISTENER_COOKIES_ALWAYS });
		ack = ack_of(&syns[i], cookie_of(*state, &syns[i]));
		other.source_port++;
		other = ack_of(&other, cookie_of(*state, &other));
		set_listener(*state, listener);
		assert_verdict(*state, &syns[i], PASS_NEW);
		assert_verdict(*state, &ack, PASS_ESTABLISHED);
		assert_verdict(*state, &ack, DROP_SOURCE_LIMIT); /* once */
		assert_verdict(*state, &other, DROP_SOURCE_LIMIT);
	}
}

static void a_group_that_is_down_refuses_instead(void **state)
{
	set_listener(*state, (struct sluice_listener){ .group = 3,
						       .flags = SLUICE_LISTENER_COOKIES_ALWAYS });
	put_group(*state, 3, 0, SLUICE_ALL_DOWN_RESET);
	assert_verdict(*state, &syns[0], RESET_ALL_DOWN);
	put_group(*state, 3, 0, SLUICE_ALL_DOWN_DROP);
	assert_verdict(*state, &syns[1], DROP_ALL_DOWN);
	put_group(*state, 3, 0, SLUICE_ALL_DOWN_ACCEPT);
	cookie_of(*state, &syns[0]);
	put_group(*state, 3, 1, SLUICE_ALL_DOWN_DROP);
	cookie_of(*state, &syns[1]);
}

static void auto_begins_when_syns_come_too_fast(void **state)
{
	struct sluice_listener listener = { .group = SLUICE_GROUP_NONE,
					    .flags = SLUICE_LISTENER_COOKIES_AUTO,
					    .cookie_interval_ns = HOUR_NS,
					    .cookie_tolerance_ns = 2 * HOUR_NS };
	struct sluice_listener_time times;
	int fd = bpf_map__fd(((struct gate_bpf *)*state)->maps.listener_times);
	__u32 one = 1;

	set_listener(*state, listener);
	for (int i = 0; i < 3; i++)
		assert_verdict(*state, &syns[i % 2], PASS_NEW);
	cookie_of(*state, &syns[0]);
	cookie_of(*state, &syns[1]);
	assert_int_equal(bpf_map_lookup_elem(fd, &one, &times), 0);
	assert_true(times.cookie_until_ns > now_ns());
	assert_true(times.cookie_sent_ns > 0 && times.cookie_sent_ns <= now_ns());
	/* ... and ends when they do not any more: an hour passes. */
	times.cookie_until_ns = 0;
	times.cookie_tat_ns -= HOUR_NS;
	assert_int_equal(bpf_map_update_elem(fd, &one, &times, BPF_ANY), 0);
	assert_verdict(*state, &syns[0], PASS_NEW);
	cookie_of(*state, &syns[0]);
}

static void segments_are_looked_up_only_while_cookies_may_come_back(void **state)
{
	int fd = bpf_map__fd(((struct gate_bpf *)*state)->maps.listener_times);
	struct frame_spec ack = ack_of(&syns[0], cookie_of(*state, &syns[0]));
	struct sluice_listener_time times;
	__u32 one = 1;

	assert_int_equal(bpf_map_lookup_elem(fd, &one, &times), 0);
	times.cookie_sent_ns -= 126ull * 1000 * 1000 * 1000; /* the kernel knows none so old */
	assert_int_equal(bpf_map_update_elem(fd, &one, &times, BPF_ANY), 0);
	assert_verdict(*state, &ack, PASS_ESTABLISHED);
	assert_int_equal(bpf_map_lookup_elem(fd, &one, &times), 0);
	assert_int_equal(times.cookie_sent_ns, 0);
}

static void without_sysctl_or_socket_there_is_no_cookie(void **state)
{
	for (int i = 0; i < FAMILIES; i++) {
		assert_true(write_sysctl("tcp_syncookies", "0"));
		assert_verdict(*state, &syns[i], PASS_NEW);
		/* 1: only where the queue is full, and it is not. */
		assert_true(write_sysctl("tcp_syncookies", "1"));
		assert_verdict(*state, &syns[i], PASS_NEW);
		assert_true(write_sysctl("tcp_syncookies", "2"));
		cookie_of(*state, &syns[i]);
	}
	close(listening);
	listening = -1;
	for (int i = 0; i < FAMILIES; i++)
		assert_verdict(*state, &syns[i], PASS_NEW);
}

static void a_syn_to_a_group_address_gets_no_cookie(void **state)
{
	for (int i = 0; i < FAMILIES; i++) {
		struct frame frame;

		frame_build(&frame, &syns[i]);
		memset(frame.bytes, 0xff, 6);
		check_verdict(gate_run_bytes(*state, frame.bytes, frame.len).reason,
			      VERDICT_DROP_MALFORMED, __FILE__, __LINE__);
	}
	assert_int_equal(read_stats(*state, 1).cookies, 0);
}

static int connect_to(bool ipv6, uint16_t *ret_port)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(LISTENER_PORT) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(LISTENER_PORT) };
	socklen_t len = ipv6 ? sizeof(v6) : sizeof(v4);
	struct sockaddr *address = ipv6 ? (void *)&v6 : (void *)&v4;
	int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET6, "fd00::1", &v6.sin6_addr);
	inet_pton(AF_INET, "198.18.0.1", &v4.sin_addr);
	assert_int_equal(connect(fd, address, len), 0);
	assert_int_equal(getsockname(fd, address, &len), 0);
	*ret_port = ntohs(ipv6 ? v6.sin6_port : v4.sin_port);
	return fd;
}

/* The answer would go to many, or to none. The stack drops such a SYN, so it makes no difference to it. */
static void a_source_that_nobody_can_be_gets_no_cookie(void **state)
{
	static const char *const sources[] = { "0.0.0.0", "224.0.0.5", "239.255.255.255",
					       "255.255.255.255", "::", "ff02::1" };
	static const char *const hosts[] = { "223.255.255.255", "240.0.0.1", "fe80::1", "::2" };

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct frame_spec syn = syns[!!strchr(sources[i], ':')];

		syn.source = sources[i];
		assert_verdict(*state, &syn, DROP_MALFORMED);
	}
	assert_int_equal(read_stats(*state, 1).cookies, 0);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct frame_spec syn = syns[!!strchr(hosts[i], ':')];

		syn.source = hosts[i];
		assert_verdict(*state, &syn, COOKIE_SENT);
	}
}

static void segments_of_connections_are_no_strays(void **state)
{
	struct gate_bpf *gate = *state;

	with_switches(gate, on.stray_interval_ns = HOUR_NS);
	put_vip(gate, "198.18.0.1");
	put_vip(gate, "fd00::1");
	for (int i = 0; i < FAMILIES; i++) {
		struct frame_spec segment = syns[i];
		int client = connect_to(i, &segment.source_port);
		/* A slow machine may still have the last segment of the handshake before it. */
		int server = accept(listening, NULL, NULL);

		assert_true(server >= 0);
		segment.source = i ? "fd00::1" : "198.18.0.1";
		segment.flags = ACK;
		for (int j = 0; j < 5; j++)
			assert_verdict(gate, &segment, PASS_ESTABLISHED);
		segment.source_port--;
		assert_verdict(gate, &segment, PASS_ESTABLISHED);
		assert_verdict(gate, &segment, DROP_STRAY_LIMIT);
		close(server);
		close(client);
	}
}

/* The client uses a port again: its cookie would go to the connection that is there, and be lost. */
static void a_syn_of_a_connection_is_the_stacks(void **state)
{
	struct gate_bpf *gate = *state;

	for (int i = 0; i < FAMILIES; i++) {
		struct frame_spec syn = syns[i];
		int client = connect_to(i, &syn.source_port), server = accept(listening, NULL, NULL);

		assert_true(server >= 0);
		syn.source = i ? "fd00::1" : "198.18.0.1";
		assert_verdict(gate, &syn, PASS_NEW);
		/* And while the end here is in TIME_WAIT, having closed first. */
		close(server);
		close(client);
		assert_verdict(gate, &syn, PASS_NEW);
		syn.source_port--;
		assert_verdict(gate, &syn, COOKIE_SENT);
	}
}

#define COOKIE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		COOKIE_TEST(a_cookie_goes_out_and_comes_back),
		COOKIE_TEST(the_answer_is_right_byte_for_byte),
		COOKIE_TEST(the_mss_is_one_that_the_cookie_has_room_for),
		COOKIE_TEST(options_come_back_in_the_timestamp),
		COOKIE_TEST(a_wrong_cookie_is_no_new_connection),
		COOKIE_TEST(the_limits_count_when_the_cookie_comes_back),
		COOKIE_TEST(denied_and_penalized_sources_get_no_cookie),
		COOKIE_TEST(who_is_out_has_nothing_of_cookies_from_before),
		COOKIE_TEST(a_syn_that_was_counted_is_not_counted_again_by_its_cookie),
		COOKIE_TEST(a_group_that_is_down_refuses_instead),
		COOKIE_TEST(auto_begins_when_syns_come_too_fast),
		COOKIE_TEST(segments_are_looked_up_only_while_cookies_may_come_back),
		COOKIE_TEST(without_sysctl_or_socket_there_is_no_cookie),
		COOKIE_TEST(a_syn_to_a_group_address_gets_no_cookie),
		COOKIE_TEST(a_source_that_nobody_can_be_gets_no_cookie),
		COOKIE_TEST(segments_of_connections_are_no_strays),
		COOKIE_TEST(a_syn_of_a_connection_is_the_stacks),
	};

	if (!bpf_is_allowed())
		return 77;
	if (unshare(CLONE_NEWNET)) {
		printf("SKIP: no network namespace of our own here (%s): needs root\n",
		       strerror(errno));
		return 77;
	}
	if (system("ip link set lo up && ip addr add 198.18.0.1/32 dev lo && "
		   "ip addr add fd00::1/128 dev lo nodad") ||
	    !write_sysctl("tcp_syncookies", "2")) {
		printf("SKIP: addresses or net.ipv4.tcp_syncookies cannot be set here\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
