/* SPDX-License-Identifier: MIT */
/*
 * test_gate.c - whom the gate lets in: ACL, the two limits, the state of the group, in this order;
 * and the RST that it sends where it is told to, byte for byte.
 */
#include "gate_help.h"

static struct sluice_listener plain_listener(void)
{
	return (struct sluice_listener){
		.id = 1, .group = SLUICE_GROUP_NONE, .slots = 1,
	};
}

static void set_listener(struct gate_bpf *gate, const struct sluice_listener *listener)
{
	put_listener(gate, "198.18.0.1", LISTENER_PORT, listener);
	put_listener(gate, "fd00::1", LISTENER_PORT, listener);
}

static struct frame_spec syn_from(const char *source)
{
	struct frame_spec v4 = { SPEC_V4, .flags = SYN }, v6 = { SPEC_V6, .flags = SYN };
	struct frame_spec *spec = strchr(source, ':') ? &v6 : &v4;

	spec->source = source;
	return *spec;
}

#define assert_syn(gate, source, want)                                                             \
	do {                                                                                       \
		struct frame_spec spec_ = syn_from(source);                                        \
		assert_verdict(gate, &spec_, want);                                                \
	} while (0)

/* ACL */

static void a_denied_address_or_prefix_is_dropped(void **state)
{
	put_acl(*state, "198.18.5.5", SLUICE_ACL_DENY);
	put_acl(*state, "198.18.6.0/24", SLUICE_ACL_DENY);
	put_acl(*state, "fd00::5", SLUICE_ACL_DENY);
	put_acl(*state, "fd00:6::/32", SLUICE_ACL_DENY);
	assert_syn(*state, "198.18.5.5", DROP_ACL);
	assert_syn(*state, "198.18.5.4", PASS_NEW);
	assert_syn(*state, "198.18.6.0", DROP_ACL);
	assert_syn(*state, "198.18.6.255", DROP_ACL);
	assert_syn(*state, "198.18.7.0", PASS_NEW);
	assert_syn(*state, "fd00::5", DROP_ACL);
	assert_syn(*state, "fd00::4", PASS_NEW);
	assert_syn(*state, "fd00:6::1", DROP_ACL);
	assert_syn(*state, "fd00:7::1", PASS_NEW);
	assert_int_equal(read_stats(*state, 1).denied, 5);
}

static void later_packets_of_a_denied_source_pass(void **state)
{
	struct frame_spec spec = syn_from("198.18.5.5");

	put_acl(*state, "198.18.5.5", SLUICE_ACL_DENY);
	spec.flags = ACK;
	assert_verdict(*state, &spec, PASS_ESTABLISHED);
}

static void the_longest_prefix_wins_and_an_address_beats_all(void **state)
{
	put_acl(*state, "198.0.0.0/8", SLUICE_ACL_DENY);
	put_acl(*state, "198.18.0.0/16", SLUICE_ACL_ALLOW);
	put_acl(*state, "198.18.6.0/24", SLUICE_ACL_DENY);
	put_acl(*state, "198.18.6.0/31", SLUICE_ACL_DENY);
	put_acl(*state, "198.18.6.1", SLUICE_ACL_ALLOW);
	assert_syn(*state, "198.1.0.1", DROP_ACL);
	assert_syn(*state, "198.18.1.1", PASS_NEW);
	assert_syn(*state, "198.18.6.2", DROP_ACL);
	assert_syn(*state, "198.18.6.1", PASS_NEW);
	put_acl(*state, "fd00::/8", SLUICE_ACL_DENY);
	put_acl(*state, "fd00::/65", SLUICE_ACL_ALLOW);
	put_acl(*state, "fd00::7", SLUICE_ACL_DENY);
	assert_syn(*state, "fd00:1::1", DROP_ACL);
	assert_syn(*state, "fd00::8", PASS_NEW);
	assert_syn(*state, "fd00::7", DROP_ACL);
	/* 0/0 matches whatever nothing else does. */
	put_acl(*state, "0.0.0.0/0", SLUICE_ACL_DENY);
	assert_syn(*state, "203.0.113.1", DROP_ACL);
	assert_syn(*state, "2001:db8::1", PASS_NEW);
}

static void with_an_allow_list_all_others_are_denied(void **state)
{
	set_allow_list(*state, 0);
	put_acl(*state, "198.18.0.0/16", SLUICE_ACL_ALLOW);
	put_acl(*state, "198.18.6.6", SLUICE_ACL_DENY);
	assert_syn(*state, "198.18.0.9", PASS_NEW);
	assert_syn(*state, "198.18.6.6", DROP_ACL);
	assert_syn(*state, "203.0.113.1", DROP_NOT_ALLOWED);
	assert_syn(*state, "fd00::9", DROP_NOT_ALLOWED);
	assert_int_equal(read_stats(*state, 1).denied, 3);
}

/* Limits */

static struct sluice_listener limited_listener(unsigned burst)
{
	struct sluice_listener listener = plain_listener();

	listener.source_interval_ns = HOUR_NS;
	listener.source_tolerance_ns = (burst - 1) * HOUR_NS;
	return listener;
}

static void a_source_gets_its_burst_and_then_its_rate(void **state)
{
	struct sluice_listener listener = limited_listener(5);
	struct sluice_source_key key = { .listener = 1 };
	int fd = bpf_map__fd(((struct gate_bpf *)*state)->maps.sources);
	struct sluice_source source;

	set_listener(*state, &listener);
	for (int i = 0; i < 5; i++)
		assert_syn(*state, "198.18.0.9", PASS_NEW);
	for (int i = 0; i < 3; i++)
		assert_syn(*state, "198.18.0.9", DROP_SOURCE_LIMIT);
	/* Setting its clock back by two intervals is the passing of two hours. */
	map_address(key.address, "198.18.0.9");
	assert_int_equal(bpf_map_lookup_elem(fd, &key, &source), 0);
	source.tat_ns -= 2 * HOUR_NS;
	assert_int_equal(bpf_map_update_elem(fd, &key, &source, BPF_EXIST), 0);
	assert_syn(*state, "198.18.0.9", PASS_NEW);
	assert_syn(*state, "198.18.0.9", PASS_NEW);
	assert_syn(*state, "198.18.0.9", DROP_SOURCE_LIMIT);
	assert_int_equal(read_stats(*state, 1).source_limited, 4);
	assert_int_equal(read_stats(*state, 1).passed, 7);
}

static void a_source_is_served_again_when_its_interval_has_passed(void **state)
{
	struct sluice_listener listener = plain_listener();
	struct frame_spec spec = syn_from("fd00::9");
	unsigned reason = VERDICT_DROP_SOURCE_LIMIT;
	uint64_t begun_ns;

	listener.source_interval_ns = 200 * 1000 * 1000;
	set_listener(*state, &listener);
	begun_ns = now_ns();
	assert_verdict(*state, &spec, PASS_NEW);
	while (reason == VERDICT_DROP_SOURCE_LIMIT && now_ns() < begun_ns + 5000000000ull)
		reason = gate_run(*state, &spec).reason;
	check_verdict(reason, VERDICT_PASS_NEW, __FILE__, __LINE__);
	assert_true(now_ns() >= begun_ns + listener.source_interval_ns);
	assert_true(read_stats(*state, 1).source_limited > 0);
}

static void sources_are_counted_by_prefix_and_listener(void **state)
{
	struct sluice_listener listener = limited_listener(1);
	struct frame_spec other = syn_from("198.18.4.1");

	with_switches((struct gate_bpf *)*state, on.v4_prefix = 24);
	set_listener(*state, &listener);
	assert_syn(*state, "198.18.4.1", PASS_NEW);
	assert_syn(*state, "198.18.4.255", DROP_SOURCE_LIMIT);
	assert_syn(*state, "198.18.5.1", PASS_NEW);
	assert_syn(*state, "fd00:0:0:4::1", PASS_NEW);
	assert_syn(*state, "fd00:0:0:4:ffff::2", DROP_SOURCE_LIMIT);
	assert_syn(*state, "fd00:0:0:5::1", PASS_NEW);
	listener.id = 2;
	put_listener(*state, "198.18.0.1", LISTENER_PORT + 1, &listener);
	other.destination_port++;
	assert_verdict(*state, &other, PASS_NEW);
	assert_verdict(*state, &other, DROP_SOURCE_LIMIT);
}

static void every_prefix_length_masks_exactly(void **state)
{
	struct sluice_listener listener = limited_listener(1);

	for (unsigned bits = 0; bits <= 128; bits++) {
		uint8_t address[16] = { 0xfd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
		char text[INET6_ADDRSTRLEN];

		listener.id = 1 + bits; /* sources of its own */
		with_switches((struct gate_bpf *)*state, on.v6_prefix = (__u8)bits);
		put_listener(*state, "fd00::1", LISTENER_PORT, &listener);
		inet_ntop(AF_INET6, address, text, sizeof(text));
		assert_syn(*state, text, PASS_NEW);
		if (bits < 128) {
			/* The first bit that does not count. */
			address[bits / 8] ^= (uint8_t)(0x80 >> bits % 8);
			inet_ntop(AF_INET6, address, text, sizeof(text));
			assert_syn(*state, text, DROP_SOURCE_LIMIT);
			address[bits / 8] ^= (uint8_t)(0x80 >> bits % 8);
		}
		if (bits > 0) {
			/* The last that does. */
			address[(bits - 1) / 8] ^= (uint8_t)(0x80 >> (bits - 1) % 8);
			inet_ntop(AF_INET6, address, text, sizeof(text));
			assert_syn(*state, text, PASS_NEW);
		}
	}
}

static void a_listener_is_limited_over_all_sources(void **state)
{
	struct sluice_listener listener = plain_listener();

	listener.listener_interval_ns = HOUR_NS;
	listener.listener_tolerance_ns = 2 * HOUR_NS;
	set_listener(*state, &listener);
	assert_syn(*state, "198.18.0.9", PASS_NEW);
	assert_syn(*state, "198.18.0.10", PASS_NEW);
	assert_syn(*state, "fd00::9", PASS_NEW);
	assert_syn(*state, "198.18.0.11", DROP_LISTENER_LIMIT);
	assert_syn(*state, "fd00::10", DROP_LISTENER_LIMIT);
	assert_int_equal(read_stats(*state, 1).listener_limited, 2);
}

static void an_over_limit_source_does_not_use_up_the_listener(void **state)
{
	struct sluice_listener listener = limited_listener(1);

	listener.listener_interval_ns = HOUR_NS;
	listener.listener_tolerance_ns = HOUR_NS;
	set_listener(*state, &listener);
	assert_syn(*state, "198.18.0.9", PASS_NEW);
	for (int i = 0; i < 10; i++)
		assert_syn(*state, "198.18.0.9", DROP_SOURCE_LIMIT);
	assert_syn(*state, "198.18.0.10", PASS_NEW);
	assert_syn(*state, "198.18.0.11", DROP_LISTENER_LIMIT);
}

static void a_faster_limit_does_not_wait_for_the_slower_one_before_it(void **state)
{
	struct sluice_listener listener = limited_listener(100);

	set_listener(*state, &listener);
	for (int i = 0; i < 100; i++)
		assert_syn(*state, "198.18.0.9", PASS_NEW);
	assert_syn(*state, "198.18.0.9", DROP_SOURCE_LIMIT);
	listener.source_interval_ns = listener.source_tolerance_ns = 1000 * 1000;
	set_listener(*state, &listener);
	assert_syn(*state, "198.18.0.9", PASS_NEW);
}

static void denied_sources_take_nothing_from_the_limits(void **state)
{
	struct sluice_listener listener = limited_listener(1);

	set_listener(*state, &listener);
	put_acl(*state, "198.18.0.9", SLUICE_ACL_DENY);
	for (int i = 0; i < 3; i++)
		assert_syn(*state, "198.18.0.9", DROP_ACL);
	put_acl(*state, "198.18.0.9", SLUICE_ACL_ALLOW);
	assert_syn(*state, "198.18.0.9", PASS_NEW);
}

/* Groups */

static void set_group(struct gate_bpf *gate, __u32 live, enum sluice_on_all_down on_all_down)
{
	struct sluice_listener listener = plain_listener();

	listener.group = 3;
	set_listener(gate, &listener);
	put_group(gate, 3, live, on_all_down);
}

static void a_hand_edit_of_the_live_count_changes_the_verdict(void **state)
{
	set_group(*state, 1, SLUICE_ALL_DOWN_DROP);
	assert_syn(*state, "198.18.0.9", PASS_NEW);
	put_group(*state, 3, 0, SLUICE_ALL_DOWN_DROP);
	assert_syn(*state, "198.18.0.9", DROP_ALL_DOWN);
	put_group(*state, 3, 0, SLUICE_ALL_DOWN_ACCEPT);
	assert_syn(*state, "198.18.0.9", PASS_FAIL_OPEN);
	put_group(*state, 3, 0, SLUICE_ALL_DOWN_RESET);
	assert_syn(*state, "198.18.0.9", RESET_ALL_DOWN);
	put_group(*state, 3, 2, SLUICE_ALL_DOWN_RESET);
	assert_syn(*state, "198.18.0.9", PASS_NEW);
	assert_int_equal(read_stats(*state, 1).all_down, 2);
	assert_int_equal(read_stats(*state, 1).passed, 3);
}

static void later_packets_pass_when_all_are_down(void **state)
{
	struct frame_spec spec = syn_from("198.18.0.9");

	set_group(*state, 0, SLUICE_ALL_DOWN_RESET);
	spec.flags = ACK;
	assert_verdict(*state, &spec, PASS_ESTABLISHED);
}

static void an_id_that_no_group_has_is_never_all_down(void **state)
{
	struct sluice_listener listener = plain_listener();

	listener.group = 4; /* the map's entry is zero: not used */
	set_listener(*state, &listener);
	assert_syn(*state, "198.18.0.9", PASS_NEW);
	listener.group = SLUICE_MAX_GROUPS;
	set_listener(*state, &listener);
	assert_syn(*state, "198.18.0.9", PASS_NEW);
}

/* The RST */

static void check_reset(struct gate_bpf *gate, const struct frame_spec *syn)
{
	struct frame_spec answer = {
		.source = syn->destination,
		.destination = syn->source,
		.source_port = syn->destination_port,
		.destination_port = syn->source_port,
		.flags = RST | ACK,
		.acknowledgement = syn->sequence + 1 + syn->payload_bytes,
		.vlans = syn->vlans,
		.n_vlans = syn->n_vlans,
		.ttl = 64,
		.fragment = strchr(syn->source, ':') ? 0 : 0x4000,
		.source_mac = 2,
		.destination_mac = 1,
	};
	struct frame want;
	struct run run;

	frame_build(&want, &answer);
	run = gate_run(gate, syn);
	check_verdict(run.reason, VERDICT_RESET_ALL_DOWN, __FILE__, __LINE__);
	assert_int_equal(run.action, XDP_TX);
	assert_int_equal(run.out.len, want.len);
	assert_memory_equal(run.out.bytes, want.bytes, want.len);
}

static void the_reset_is_right_byte_for_byte(void **state)
{
	static const uint16_t tags[] = { 0x88a8, 0x8100 };
	static const struct frame_extension extensions[] = {
		{ IPPROTO_HOPOPTS, 1 }, { IPPROTO_DSTOPTS, 5 },
	};

	set_group(*state, 0, SLUICE_ALL_DOWN_RESET);
	for (unsigned n_vlans = 0; n_vlans <= 2; n_vlans++) {
		for (unsigned words = 0; words <= 10; words += 5) {
			/* Payload: TCP Fast Open; SEG.LEN counts it. Odd lengths try the sums. */
			for (unsigned payload = 0; payload <= 1001; payload += 143) {
				struct frame_spec v4 = {
					SPEC_V4, .flags = SYN, .vlans = tags, .n_vlans = n_vlans,
					.ip_option_words = words, .tcp_option_words = 10 - words,
					.payload_bytes = payload, .ip_id = 77, .window = 64240,
				};
				struct frame_spec v6 = {
					SPEC_V6, .flags = SYN, .vlans = tags, .n_vlans = n_vlans,
					.extensions = extensions, .n_extensions = words / 5,
					.tcp_option_words = 10 - words, .payload_bytes = payload,
				};

				check_reset(*state, &v4);
				check_reset(*state, &v6);
			}
		}
	}
}

static void the_reset_answers_for_the_address_that_was_asked(void **state)
{
	struct sluice_listener listener = plain_listener();
	struct frame_spec v4 = { SPEC_V4, .flags = SYN }, v6 = { SPEC_V6, .flags = SYN };

	listener.group = 3;
	put_listener(*state, "0.0.0.0", LISTENER_PORT, &listener);
	put_listener(*state, "::", LISTENER_PORT, &listener);
	put_group(*state, 3, 0, SLUICE_ALL_DOWN_RESET);
	v4.destination = "203.0.113.77";
	v6.destination = "2001:db8::77";
	check_reset(*state, &v4);
	check_reset(*state, &v6);
}

static void sums_with_every_carry_are_right(void **state)
{
	struct frame_spec v4 = { SPEC_V4, .flags = SYN }, v6 = { SPEC_V6, .flags = SYN };

	set_group(*state, 0, SLUICE_ALL_DOWN_RESET);
	for (uint32_t i = 0; i < 300; i++) {
		v4.sequence = v6.sequence = i * 0x01e9b3c7u;
		v4.source_port = v6.source_port = (uint16_t)(i * 9973);
		check_reset(*state, &v4);
		check_reset(*state, &v6);
	}
}

static void padding_behind_the_packet_is_cut_off(void **state)
{
	struct frame_spec spec = { SPEC_V4, .flags = SYN };
	struct frame frame;
	struct run run;

	set_group(*state, 0, SLUICE_ALL_DOWN_RESET);
	frame_build(&frame, &spec);
	run = gate_run_bytes(*state, frame.bytes, 60);
	assert_int_equal(run.action, XDP_TX);
	assert_int_equal(run.out.len, 54);
	/* ... and is no data that the ACK would count. */
	assert_int_equal(run.out.bytes[frame.l4 + 11], (spec.sequence + 1) & 0xff);
}

static void a_group_address_is_never_answered(void **state)
{
	struct frame_spec spec = { SPEC_V4, .flags = SYN };
	struct frame frame;
	struct run run;

	set_group(*state, 0, SLUICE_ALL_DOWN_RESET);
	frame_build(&frame, &spec);
	memset(frame.bytes, 0xff, 6);
	run = gate_run_bytes(*state, frame.bytes, frame.len);
	assert_int_equal(run.action, XDP_DROP);
	check_verdict(run.reason, VERDICT_DROP_ALL_DOWN, __FILE__, __LINE__);
}

#define GATE_TEST(name) cmocka_unit_test_setup_teardown(name, gate_setup, gate_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_TEST(a_denied_address_or_prefix_is_dropped),
		GATE_TEST(later_packets_of_a_denied_source_pass),
		GATE_TEST(the_longest_prefix_wins_and_an_address_beats_all),
		GATE_TEST(with_an_allow_list_all_others_are_denied),
		GATE_TEST(a_source_gets_its_burst_and_then_its_rate),
		GATE_TEST(a_source_is_served_again_when_its_interval_has_passed),
		GATE_TEST(sources_are_counted_by_prefix_and_listener),
		GATE_TEST(every_prefix_length_masks_exactly),
		GATE_TEST(a_listener_is_limited_over_all_sources),
		GATE_TEST(an_over_limit_source_does_not_use_up_the_listener),
		GATE_TEST(a_faster_limit_does_not_wait_for_the_slower_one_before_it),
		GATE_TEST(denied_sources_take_nothing_from_the_limits),
		GATE_TEST(a_hand_edit_of_the_live_count_changes_the_verdict),
		GATE_TEST(later_packets_pass_when_all_are_down),
		GATE_TEST(an_id_that_no_group_has_is_never_all_down),
		GATE_TEST(the_reset_is_right_byte_for_byte),
		GATE_TEST(the_reset_answers_for_the_address_that_was_asked),
		GATE_TEST(sums_with_every_carry_are_right),
		GATE_TEST(padding_behind_the_packet_is_cut_off),
		GATE_TEST(a_group_address_is_never_answered),
	};

	return bpf_is_allowed() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
