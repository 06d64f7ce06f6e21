/* SPDX-License-Identifier: MIT */
/*
 * test_gate_parse.c - what the gate makes of every kind of frame: whose it is, how far it can be
 * read, and which of the shapes that nobody sends are dropped.
 */
#include "gate_help.h"

static const uint16_t two_tags[] = { 0x88a8, 0x8100 };

static void frames_of_others_pass_untouched(void **state)
{
	struct frame_spec specs[] = {
		{ SPEC_V4, .flags = SYN }, { SPEC_V6, .flags = SYN },
		{ SPEC_V4, .flags = SYN }, { SPEC_V6, .flags = SYN },
		{ SPEC_V4, .flags = SYN, .protocol = IPPROTO_UDP },
		{ SPEC_V6, .flags = SYN, .protocol = IPPROTO_ICMPV6 },
		{ SPEC_V4, .flags = SYN, .protocol = IPPROTO_ICMP },
		{ SPEC_V4, .flags = SYN, .protocol = IPPROTO_ESP },
		/* Flags that would be dropped if they were for us. */
		{ SPEC_V4, .flags = SYN | FIN },
	};

	specs[0].destination_port = specs[1].destination_port = LISTENER_PORT + 1;
	specs[2].destination = specs[8].destination = "198.18.0.2";
	specs[3].destination = "fd00::2";
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct frame frame;
		struct run run;

		frame_build(&frame, &specs[i]);
		run = gate_run_bytes(*state, frame.bytes, frame.len);
		assert_int_equal(run.action, XDP_PASS);
		check_verdict(run.reason, VERDICT_PASS_NOT_OURS, __FILE__, __LINE__);
		assert_int_equal(run.out.len, frame.len);
		assert_memory_equal(run.out.bytes, frame.bytes, frame.len);
	}
}

static void other_ethertypes_pass(void **state)
{
	static const uint16_t types[] = { 0x0806, 0x88cc, 0x8847, 60 };
	struct frame frame;

	frame_build(&frame, &(struct frame_spec){ SPEC_V4, .flags = SYN });
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		frame_put16(&frame, 12, types[i]);
		check_verdict(gate_run_bytes(*state, frame.bytes, frame.len).reason,
			      VERDICT_PASS_NOT_OURS, __FILE__, __LINE__);
	}
}

static void new_and_later_packets_pass_and_are_told_apart(void **state)
{
	struct sluice_listener_stats stats;

	assert_verdict(*state, (&(struct frame_spec){ SPEC_V4, .flags = SYN }), PASS_NEW);
	assert_verdict(*state, (&(struct frame_spec){ SPEC_V6, .flags = SYN }), PASS_NEW);
	assert_verdict(*state, (&(struct frame_spec){ SPEC_V4, .flags = ACK }), PASS_ESTABLISHED);
	assert_verdict(*state, (&(struct frame_spec){ SPEC_V6, .flags = ACK | PSH,
						      .payload_bytes = 100 }), PASS_ESTABLISHED);
	assert_verdict(*state, (&(struct frame_spec){ SPEC_V4, .flags = FIN | ACK }),
		       PASS_ESTABLISHED);
	assert_verdict(*state, (&(struct frame_spec){ SPEC_V4, .flags = RST }), PASS_ESTABLISHED);
	assert_verdict(*state, (&(struct frame_spec){ SPEC_V4, .flags = SYN | ACK }),
		       PASS_ESTABLISHED);
	stats = read_stats(*state, 1);
	assert_int_equal(stats.packets, 7);
	assert_int_equal(stats.syns, 2);
	assert_int_equal(stats.passed, 2);
}

static void two_vlan_tags_are_read_through_and_no_more_pass(void **state)
{
	static const uint16_t tags[][3] = {
		{ 0x8100 }, { 0x88a8 }, { 0x88a8, 0x8100 }, { 0x8100, 0x8100 },
		{ 0x88a8, 0x8100, 0x8100 },
	};
	static const unsigned n[] = { 1, 1, 2, 2, 3 };

	for (unsigned i = 0; i < 5; i++) {
		struct frame_spec v4 = { SPEC_V4, .flags = SYN, .vlans = tags[i], .n_vlans = n[i] };
		struct frame_spec v6 = { SPEC_V6, .flags = SYN, .vlans = tags[i], .n_vlans = n[i] };
		unsigned want = n[i] > 2 ? VERDICT_DROP_MALFORMED : VERDICT_PASS_NEW;

		check_verdict(gate_run(*state, &v4).reason, want, __FILE__, __LINE__);
		check_verdict(gate_run(*state, &v6).reason, want, __FILE__, __LINE__);
	}
}

static void ipv4_options_of_every_length_are_skipped(void **state)
{
	for (unsigned words = 0; words <= 10; words++) {
		struct frame_spec spec = { SPEC_V4, .flags = SYN, .ip_option_words = words,
					   .tcp_option_words = words };

		assert_verdict(*state, &spec, PASS_NEW);
		spec.destination = "198.18.0.2";
		assert_verdict(*state, &spec, PASS_NOT_OURS);
	}
}

static void ipv6_extension_headers_are_walked_up_to_a_bound(void **state)
{
	static const uint8_t types[] = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS };
	struct frame_extension extensions[9];
	struct frame_spec spec = { SPEC_V6, .flags = SYN, .extensions = extensions };

	for (unsigned i = 0; i < 3; i++) {
		for (uint8_t units = 1; units <= 16; units += 5) {
			extensions[0] = (struct frame_extension){ types[i], units };
			spec.n_extensions = 1;
			assert_verdict(*state, &spec, PASS_NEW);
		}
	}
	for (unsigned i = 0; i < 9; i++)
		extensions[i] = (struct frame_extension){ types[i ? 2 : 0], (uint8_t)(1 + i % 3) };
	for (spec.n_extensions = 1; spec.n_extensions <= 8; spec.n_extensions++)
		assert_verdict(*state, &spec, PASS_NEW);
	assert_verdict(*state, &spec, DROP_MALFORMED);
	spec.n_extensions = 3;
	spec.destination_port++;
	assert_verdict(*state, &spec, PASS_NOT_OURS);
	spec.protocol = IPPROTO_UDP;
	assert_verdict(*state, &spec, PASS_NOT_OURS);
	extensions[1].type = IPPROTO_AH;
	assert_verdict(*state, &spec, PASS_NOT_OURS);
}

static void fragments_without_a_tcp_header_pass(void **state)
{
	static const struct frame_extension fragment = { IPPROTO_FRAGMENT, 1 };
	struct frame_spec v4 = { SPEC_V4, .flags = SYN, .fragment = 0x2000 | 100 };
	struct frame_spec v6 = { SPEC_V6, .flags = SYN, .extensions = &fragment, .n_extensions = 1,
				 .fragment = 100 << 3 | 1 };

	assert_verdict(*state, &v4, PASS_FRAGMENT);
	v4.fragment = 2;
	assert_verdict(*state, &v4, PASS_FRAGMENT);
	assert_verdict(*state, &v6, PASS_FRAGMENT);
	v6.fragment = 2 << 3;
	assert_verdict(*state, &v6, PASS_FRAGMENT);
}

static void first_fragments_with_the_whole_header_are_judged_as_packets(void **state)
{
	static const struct frame_extension fragment = { IPPROTO_FRAGMENT, 1 };
	struct frame_spec v4 = { SPEC_V4, .flags = SYN, .fragment = 0x2000 };
	struct frame_spec v6 = { SPEC_V6, .flags = SYN, .extensions = &fragment, .n_extensions = 1,
				 .fragment = 1 };

	assert_verdict(*state, &v4, PASS_NEW);
	assert_verdict(*state, &v6, PASS_NEW);
	v6.fragment = 0; /* an atomic fragment */
	assert_verdict(*state, &v6, PASS_NEW);
	v6.flags = v4.flags = SYN | RST;
	assert_verdict(*state, &v4, DROP_BAD_FLAGS);
	assert_verdict(*state, &v6, DROP_BAD_FLAGS);
}

static void fragments_that_hide_the_header_drop(void **state)
{
	static const struct frame_extension fragment = { IPPROTO_FRAGMENT, 1 };
	struct frame_spec v4 = { SPEC_V4, .flags = ACK, .fragment = 1 };
	struct frame_spec v6 = { SPEC_V6, .flags = ACK, .extensions = &fragment, .n_extensions = 1,
				 .fragment = 1 << 3 };
	struct frame frame;

	assert_verdict(*state, &v4, DROP_MALFORMED);
	assert_verdict(*state, &v6, DROP_MALFORMED);
	/* Tiny first fragments: 8 or 16 bytes of TCP, and the rest to follow. */
	for (uint32_t bytes = 8; bytes <= 16; bytes += 8) {
		v4.fragment = 0x2000;
		frame_build(&frame, &v4);
		frame_put16(&frame, frame.l3 + 2, 20 + bytes);
		check_verdict(gate_run_bytes(*state, frame.bytes, frame.l4 + bytes).reason,
			      VERDICT_DROP_MALFORMED, __FILE__, __LINE__);
		v6.fragment = 1;
		frame_build(&frame, &v6);
		frame_put16(&frame, frame.l3 + 4, 8 + bytes);
		check_verdict(gate_run_bytes(*state, frame.bytes, frame.l4 + bytes).reason,
			      VERDICT_DROP_MALFORMED, __FILE__, __LINE__);
	}
	/* Not even the ports are in the first fragment. */
	frame_put16(&frame, frame.l3 + 4, 8);
	check_verdict(gate_run_bytes(*state, frame.bytes, frame.l4).reason, VERDICT_DROP_MALFORMED,
		      __FILE__, __LINE__);
}

static void contradicting_headers_drop(void **state)
{
	struct frame frame;

	/* IPv4 header length, version, total length */
	for (uint8_t words = 0; words < 5; words++) {
		frame_build(&frame, &(struct frame_spec){ SPEC_V4, .flags = SYN });
		frame.bytes[frame.l3] = 0x40 | words;
		check_verdict(gate_run_bytes(*state, frame.bytes, frame.len).reason,
			      VERDICT_DROP_MALFORMED, __FILE__, __LINE__);
	}
	frame.bytes[frame.l3] = 0x65;
	check_verdict(gate_run_bytes(*state, frame.bytes, frame.len).reason, VERDICT_DROP_MALFORMED,
		      __FILE__, __LINE__);
	frame_build(&frame, &(struct frame_spec){ SPEC_V4, .flags = SYN });
	frame_put16(&frame, frame.l3 + 2, 19);
	check_verdict(gate_run_bytes(*state, frame.bytes, frame.len).reason, VERDICT_DROP_MALFORMED,
		      __FILE__, __LINE__);
	/* IPv6 version */
	frame_build(&frame, &(struct frame_spec){ SPEC_V6, .flags = SYN });
	frame.bytes[frame.l3] = 0x40;
	check_verdict(gate_run_bytes(*state, frame.bytes, frame.len).reason, VERDICT_DROP_MALFORMED,
		      __FILE__, __LINE__);
	/* TCP data offset, of a listener's and of another's */
	for (uint8_t words = 0; words < 5; words++) {
		frame_build(&frame, &(struct frame_spec){ SPEC_V6, .flags = SYN });
		frame.bytes[frame.l4 + 12] = (uint8_t)(words << 4);
		check_verdict(gate_run_bytes(*state, frame.bytes, frame.len).reason,
			      VERDICT_DROP_MALFORMED, __FILE__, __LINE__);
		frame.bytes[frame.l4 + 3]++;
		check_verdict(gate_run_bytes(*state, frame.bytes, frame.len).reason,
			      VERDICT_PASS_NOT_OURS, __FILE__, __LINE__);
	}
}

static void flags_of_no_connection_drop(void **state)
{
	static const uint8_t bad[] = { SYN | FIN, SYN | RST, SYN | FIN | RST, SYN | FIN | ACK,
				       SYN | RST | ACK, 0xff };

	for (size_t i = 0; i < sizeof(bad); i++) {
		assert_verdict(*state, (&(struct frame_spec){ SPEC_V4, .flags = bad[i] }),
			       DROP_BAD_FLAGS);
		assert_verdict(*state, (&(struct frame_spec){ SPEC_V6, .flags = bad[i] }),
			       DROP_BAD_FLAGS);
	}
	assert_int_equal(read_stats(*state, 1).syns, 0);
}

/* Every prefix of the frame: before the ports it passes, from there to the end of the TCP header it
 * is ours and drops, and from there on it is what it is. */
static void check_every_length(struct gate_bpf *gate, const struct frame_spec *spec)
{
	struct frame frame;

	frame_build(&frame, spec);
	for (uint32_t len = 14; len <= frame.len; len++) {
		unsigned want = VERDICT_PASS_NEW;
		struct run run;

		if (len < frame.l4 + 4)
			want = VERDICT_PASS_TRUNCATED;
		else if (len < frame.data)
			want = VERDICT_DROP_TRUNCATED;
		run = gate_run_bytes(gate, frame.bytes, len);
		if (run.reason != want)
			print_error("at length %u of %u\n", len, frame.len);
		check_verdict(run.reason, want, __FILE__, __LINE__);
		assert_int_equal(run.action,
				 want == VERDICT_DROP_TRUNCATED ? XDP_DROP : XDP_PASS);
		assert_int_equal(run.out.len, len);
		assert_memory_equal(run.out.bytes, frame.bytes, len);
	}
}

static void frames_cut_at_every_length_are_not_read_past_their_end(void **state)
{
	static const struct frame_extension extensions[] = {
		{ IPPROTO_HOPOPTS, 2 }, { IPPROTO_ROUTING, 3 }, { IPPROTO_DSTOPTS, 1 },
	};
	static const struct frame_extension fragment[] = { { IPPROTO_FRAGMENT, 1 } };

	check_every_length(*state, &(struct frame_spec){ SPEC_V4, .flags = SYN });
	check_every_length(*state, &(struct frame_spec){ SPEC_V6, .flags = SYN });
	check_every_length(*state, &(struct frame_spec){
		SPEC_V4, .flags = SYN, .ip_option_words = 10, .tcp_option_words = 10,
		.vlans = two_tags, .n_vlans = 2, .payload_bytes = 5 });
	check_every_length(*state, &(struct frame_spec){
		SPEC_V6, .flags = SYN, .extensions = extensions, .n_extensions = 3,
		.tcp_option_words = 5, .vlans = two_tags, .n_vlans = 1, .payload_bytes = 5 });
	check_every_length(*state, &(struct frame_spec){
		SPEC_V6, .flags = SYN, .extensions = fragment, .n_extensions = 1 });
}

static void ip_lengths_that_end_within_the_tcp_header_drop(void **state)
{
	for (uint32_t bytes = 0; bytes <= 24; bytes++) {
		unsigned want = VERDICT_PASS_NEW;
		struct frame frame;

		if (bytes < 4)
			want = VERDICT_PASS_TRUNCATED;
		else if (bytes < 24)
			want = VERDICT_DROP_TRUNCATED;
		frame_build(&frame, &(struct frame_spec){ SPEC_V4, .flags = SYN,
							  .tcp_option_words = 1 });
		frame_put16(&frame, frame.l3 + 2, 20 + bytes);
		check_verdict(gate_run_bytes(*state, frame.bytes, frame.len).reason, want, __FILE__,
			      __LINE__);
		if (!bytes) /* of IPv6: a jumbogram */
			continue;
		frame_build(&frame, &(struct frame_spec){ SPEC_V6, .flags = SYN,
							  .tcp_option_words = 1 });
		frame_put16(&frame, frame.l3 + 4, bytes);
		check_verdict(gate_run_bytes(*state, frame.bytes, frame.len).reason, want, __FILE__,
			      __LINE__);
	}
}

static void listeners_are_found_by_address_first_then_by_any(void **state)
{
	struct sluice_listener any4 = { .id = 2, .group = SLUICE_GROUP_NONE };
	struct sluice_listener any6 = { .id = 3, .group = SLUICE_GROUP_NONE };
	struct frame_spec v4 = { SPEC_V4, .flags = SYN }, v6 = { SPEC_V6, .flags = SYN };

	put_listener(*state, "0.0.0.0", LISTENER_PORT, &any4);
	put_listener(*state, "::", LISTENER_PORT, &any6);
	gate_run(*state, &v4);
	gate_run(*state, &v6);
	v4.destination = "203.0.113.7";
	v6.destination = "2001:db8::7";
	for (int i = 0; i < 2; i++)
		gate_run(*state, &v4);
	for (int i = 0; i < 3; i++)
		gate_run(*state, &v6);
	assert_int_equal(read_stats(*state, 1).syns, 2);
	assert_int_equal(read_stats(*state, 2).syns, 2);
	assert_int_equal(read_stats(*state, 3).syns, 3);
	v4.destination_port = v6.destination_port = 22;
	assert_verdict(*state, &v4, PASS_NOT_OURS);
	assert_verdict(*state, &v6, PASS_NOT_OURS);
}

static void a_listener_with_an_id_out_of_range_is_not_ours(void **state)
{
	struct sluice_listener listener = { .id = SLUICE_MAX_LISTENERS };

	put_listener(*state, "198.18.0.1", LISTENER_PORT, &listener);
	assert_verdict(*state, (&(struct frame_spec){ SPEC_V4, .flags = SYN }), PASS_NOT_OURS);
}

#define GATE_TEST(name) cmocka_unit_test_setup_teardown(name, gate_setup, gate_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_TEST(frames_of_others_pass_untouched),
		GATE_TEST(other_ethertypes_pass),
		GATE_TEST(new_and_later_packets_pass_and_are_told_apart),
		GATE_TEST(two_vlan_tags_are_read_through_and_no_more_pass),
		GATE_TEST(ipv4_options_of_every_length_are_skipped),
		GATE_TEST(ipv6_extension_headers_are_walked_up_to_a_bound),
		GATE_TEST(fragments_without_a_tcp_header_pass),
		GATE_TEST(first_fragments_with_the_whole_header_are_judged_as_packets),
		GATE_TEST(fragments_that_hide_the_header_drop),
		GATE_TEST(contradicting_headers_drop),
		GATE_TEST(flags_of_no_connection_drop),
		GATE_TEST(frames_cut_at_every_length_are_not_read_past_their_end),
		GATE_TEST(ip_lengths_that_end_within_the_tcp_header_drop),
		GATE_TEST(listeners_are_found_by_address_first_then_by_any),
		GATE_TEST(a_listener_with_an_id_out_of_range_is_not_ours),
	};

	return bpf_is_allowed() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
