/* SPDX-License-Identifier: MIT */
/*
 * test_gate_sources.c - what the gate does with a source that is known: a listener's own access list,
 * penalties of both levels, connections that it has open, packets of no connection; and the events that
 * tell of it. All in both families.
 */
#include "gate_help.h"

#define FAMILIES 2
static const char *const sources[FAMILIES] = { "198.18.0.9", "fd00::9" };
static const char *const others[FAMILIES] = { "198.18.0.10", "fd00:0:0:1::9" };

static struct frame_spec packet_from(const char *source, uint8_t flags)
{
	struct frame_spec v4 = { SPEC_V4, .flags = flags }, v6 = { SPEC_V6, .flags = flags };
	struct frame_spec *spec = strchr(source, ':') ? &v6 : &v4;

	spec->source = source;
	return *spec;
}

#define assert_packet(gate, source, flags, want)                                                   \
	do {                                                                                       \
		struct frame_spec spec_ = packet_from(source, flags);                              \
		assert_verdict(gate, &spec_, want);                                                \
	} while (0)

static void set_listener(struct gate_bpf *gate, struct sluice_listener listener)
{
	listener.id = 1;
	listener.slots = 1;
	put_listener(gate, "198.18.0.1", LISTENER_PORT, &listener);
	put_listener(gate, "fd00::1", LISTENER_PORT, &listener);
}

/* The listener's own access list */

static void set_own_list(struct gate_bpf *gate)
{
	set_listener(gate, (struct sluice_listener){ .group = SLUICE_GROUP_NONE, .acl = 2 });
}

static void a_listeners_own_list_holds_for_it_alone(void **state)
{
	struct sluice_listener other = { .id = 2, .group = SLUICE_GROUP_NONE };
	struct frame_spec v4 = packet_from("198.18.0.9", SYN), v6 = packet_from("fd00::9", SYN);

	set_own_list(*state);
	put_listener(*state, "198.18.0.1", LISTENER_PORT + 1, &other);
	put_listener(*state, "fd00::1", LISTENER_PORT + 1, &other);
	put_acl_in(*state, 2, "198.18.0.0/24", SLUICE_ACL_DENY);
	put_acl_in(*state, 2, "fd00::9", SLUICE_ACL_DENY);
	assert_packet(*state, "198.18.0.9", SYN, DROP_ACL);
	assert_packet(*state, "fd00::9", SYN, DROP_ACL);
	v4.destination_port = v6.destination_port = LISTENER_PORT + 1;
	assert_verdict(*state, &v4, PASS_NEW);
	assert_verdict(*state, &v6, PASS_NEW);
}

static void of_both_lists_the_longer_prefix_decides(void **state)
{
	set_own_list(*state);
	put_acl_in(*state, 0, "198.18.4.0/24", SLUICE_ACL_DENY);
	put_acl_in(*state, 2, "198.18.4.0/25", SLUICE_ACL_ALLOW);
	put_acl_in(*state, 2, "198.18.0.0/16", SLUICE_ACL_DENY);
	put_acl_in(*state, 0, "198.18.5.5", SLUICE_ACL_ALLOW);
	put_acl_in(*state, 0, "fd00:4::/32", SLUICE_ACL_DENY);
	put_acl_in(*state, 2, "fd00:4::/48", SLUICE_ACL_ALLOW);
	assert_packet(*state, "198.18.4.127", SYN, PASS_NEW);
	assert_packet(*state, "198.18.4.128", SYN, DROP_ACL);
	assert_packet(*state, "198.18.5.5", SYN, PASS_NEW);
	assert_packet(*state, "198.18.5.6", SYN, DROP_ACL);
	assert_packet(*state, "fd00:4::1", SYN, PASS_NEW);
	assert_packet(*state, "fd00:4:1::1", SYN, DROP_ACL);
}

static void of_equal_prefixes_the_listeners_own_decides(void **state)
{
	set_own_list(*state);
	put_acl_in(*state, 0, "198.18.4.0/24", SLUICE_ACL_DENY);
	put_acl_in(*state, 2, "198.18.4.0/24", SLUICE_ACL_ALLOW);
	put_acl_in(*state, 0, "fd00::9", SLUICE_ACL_ALLOW);
	put_acl_in(*state, 2, "fd00::9", SLUICE_ACL_DENY);
	assert_packet(*state, "198.18.4.1", SYN, PASS_NEW);
	assert_packet(*state, "fd00::9", SYN, DROP_ACL);
}

static void an_allow_list_of_either_kind_denies_all_others(void **state)
{
	set_own_list(*state);
	set_allow_list(*state, 2);
	put_acl_in(*state, 2, "198.18.0.9", SLUICE_ACL_ALLOW);
	put_acl_in(*state, 0, "fd00::/64", SLUICE_ACL_ALLOW);
	assert_packet(*state, "198.18.0.9", SYN, PASS_NEW);
	assert_packet(*state, "198.18.0.10", SYN, DROP_NOT_ALLOWED);
	assert_packet(*state, "fd00::9", SYN, PASS_NEW);
	assert_packet(*state, "fd00:0:0:1::9", SYN, DROP_NOT_ALLOWED);
}

static void the_generation_in_force_is_the_one_that_is_looked_into(void **state)
{
	struct gate_bpf *gate = *state;
	struct sluice_acl list;
	__u32 zero = 0;
	int fd = bpf_map__fd(gate->maps.acls);

	put_acl(gate, "198.18.0.9", SLUICE_ACL_DENY);
	assert_packet(gate, "198.18.0.9", SYN, DROP_ACL);
	/* The other one, row 1, has no map. */
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &list), 0);
	list.active |= SLUICE_ACL_GENERATION;
	assert_int_equal(bpf_map_update_elem(fd, &zero, &list, BPF_ANY), 0);
	assert_packet(gate, "198.18.0.9", SYN, PASS_NEW);
	list.active &= ~SLUICE_ACL_GENERATION;
	assert_int_equal(bpf_map_update_elem(fd, &zero, &list, BPF_ANY), 0);
	assert_packet(gate, "198.18.0.9", SYN, DROP_ACL);
	/* What it is said not to have is not looked for. */
	list.active &= ~SLUICE_ACL_HAS_EXACT;
	assert_int_equal(bpf_map_update_elem(fd, &zero, &list, BPF_ANY), 0);
	assert_packet(gate, "198.18.0.9", SYN, PASS_NEW);
}

/* Penalties */

static void a_penalty_drops_new_connections_and_no_other_packet(void **state)
{
	with_switches((struct gate_bpf *)*state, on.penalties_until_ns = ~0ull);
	for (int i = 0; i < FAMILIES; i++) {
		assert_packet(*state, sources[i], SYN, PASS_NEW);
		put_penalty(*state, i ? "fd00::" : sources[i], SLUICE_PENALTY_CONNECTIONS, ~0ull);
		assert_packet(*state, sources[i], SYN, DROP_PENALTY);
		assert_packet(*state, sources[i], ACK, PASS_ESTABLISHED);
		assert_packet(*state, others[i], SYN, PASS_NEW);
	}
	assert_int_equal(read_stats(*state, 1).penalized, 2);
}

static void a_penalty_of_the_packets_level_drops_every_packet(void **state)
{
	struct gate_bpf *gate = *state;
	struct sluice_penalty_key key;
	struct sluice_penalty penalty;

	with_switches(gate, on.penalties_until_ns = on.packets_until_ns = ~0ull);
	for (int i = 0; i < FAMILIES; i++) {
		struct frame_spec cut = packet_from(sources[i], ACK);

		put_penalty(gate, i ? "fd00::" : sources[i], SLUICE_PENALTY_PACKETS, ~0ull);
		assert_packet(gate, sources[i], SYN, DROP_PENALTY_ALL);
		assert_packet(gate, sources[i], ACK, DROP_PENALTY_ALL);
		assert_packet(gate, sources[i], RST, DROP_PENALTY_ALL);
		/* To what is no listener it holds nothing. */
		cut.destination_port++;
		assert_verdict(gate, &cut, PASS_NOT_OURS);
		assert_packet(gate, others[i], ACK, PASS_ESTABLISHED);
	}
	map_address(key.address, sources[0]);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(gate->maps.penalties), &key, &penalty), 0);
	assert_int_equal(penalty.dropped, 3);
	assert_int_equal(read_stats(gate, 1).penalized, 6);
}

static void a_penalty_ends_by_itself(void **state)
{
	uint64_t until_ns = now_ns() + 100 * 1000 * 1000;
	unsigned reason = VERDICT_DROP_PENALTY;
	struct frame_spec spec = packet_from(sources[0], SYN);

	with_switches((struct gate_bpf *)*state, on.penalties_until_ns = ~0ull);
	put_penalty(*state, sources[0], SLUICE_PENALTY_CONNECTIONS, until_ns);
	assert_verdict(*state, &spec, DROP_PENALTY);
	while (reason == VERDICT_DROP_PENALTY && now_ns() < until_ns + 5000000000ull)
		reason = gate_run(*state, &spec).reason;
	check_verdict(reason, VERDICT_PASS_NEW, __FILE__, __LINE__);
	assert_true(now_ns() >= until_ns);
}

static void without_the_hint_no_penalty_is_looked_for(void **state)
{
	put_penalty(*state, sources[0], SLUICE_PENALTY_PACKETS, ~0ull);
	assert_packet(*state, sources[0], SYN, PASS_NEW);
	assert_packet(*state, sources[0], ACK, PASS_ESTABLISHED);
}

static void an_acl_entry_comes_before_a_penalty(void **state)
{
	with_switches((struct gate_bpf *)*state, on.penalties_until_ns = ~0ull);
	put_penalty(*state, sources[0], SLUICE_PENALTY_CONNECTIONS, ~0ull);
	put_acl(*state, sources[0], SLUICE_ACL_DENY);
	assert_packet(*state, sources[0], SYN, DROP_ACL);
}

/* Connections that are open */

static void a_source_with_as_many_connections_as_it_may_gets_no_more(void **state)
{
	with_switches((struct gate_bpf *)*state, on.hash_key[0] = 0x1234567890abcdefull;
		      on.hash_key[1] = 0xfedcba0987654321ull; on.hash_key[2] = 77);
	set_listener(*state, (struct sluice_listener){ .group = SLUICE_GROUP_NONE,
						       .source_connections = 10 });
	for (int i = 0; i < FAMILIES; i++) {
		const char *counted = i ? "fd00::" : sources[i];

		assert_packet(*state, sources[i], SYN, PASS_NEW);
		put_connections(*state, counted, 9);
		assert_packet(*state, sources[i], SYN, PASS_NEW);
		put_connections(*state, counted, 10);
		assert_packet(*state, sources[i], SYN, DROP_SOURCE_CONNECTIONS);
		assert_packet(*state, sources[i], ACK, PASS_ESTABLISHED);
		assert_packet(*state, others[i], SYN, PASS_NEW);
		put_connections(*state, counted, 9);
		assert_packet(*state, sources[i], SYN, PASS_NEW);
	}
	assert_int_equal(read_stats(*state, 1).source_full, 2);
}

static void a_source_over_its_connections_takes_nothing_from_its_rate(void **state)
{
	set_listener(*state, (struct sluice_listener){ .group = SLUICE_GROUP_NONE,
						       .source_connections = 1,
						       .source_interval_ns = HOUR_NS });
	put_connections(*state, sources[0], 1);
	for (int i = 0; i < 3; i++)
		assert_packet(*state, sources[0], SYN, DROP_SOURCE_CONNECTIONS);
	put_connections(*state, sources[0], 0);
	assert_packet(*state, sources[0], SYN, PASS_NEW);
	assert_packet(*state, sources[0], SYN, DROP_SOURCE_LIMIT);
}

/* Strays */

static void limit_strays(struct gate_bpf *gate, unsigned burst)
{
	with_switches(gate, on.stray_interval_ns = HOUR_NS;
		      on.stray_tolerance_ns = (burst - 1) * HOUR_NS);
	put_vip(gate, "198.18.0.1");
	put_vip(gate, "fd00::1");
}

static void what_is_no_connection_is_limited_a_source(void **state)
{
	static const struct frame_extension fragment = { IPPROTO_FRAGMENT, 1 };
	struct frame_spec kinds[][FAMILIES] = {
		{ packet_from(sources[0], SYN), packet_from(sources[1], SYN) },
		{ packet_from(sources[0], SYN), packet_from(sources[1], SYN) },
		{ packet_from(sources[0], ACK), packet_from(sources[1], ACK) },
	};

	limit_strays(*state, 3);
	for (int i = 0; i < FAMILIES; i++) {
		kinds[0][i].protocol = IPPROTO_UDP;
		kinds[1][i].destination_port = 22; /* a SYN to another port */
		kinds[2][i].fragment = i ? 100 << 3 | 1 : 100; /* a later fragment */
		kinds[2][i].extensions = i ? &fragment : NULL;
		kinds[2][i].n_extensions = i;
		assert_verdict(*state, &kinds[0][i], PASS_NOT_OURS);
		assert_verdict(*state, &kinds[1][i], PASS_NOT_OURS);
		assert_verdict(*state, &kinds[2][i], PASS_FRAGMENT);
		for (int j = 0; j < 3; j++)
			assert_verdict(*state, &kinds[j][i], DROP_STRAY_LIMIT);
		/* New connections have limits of their own, others are others. */
		assert_packet(*state, sources[i], SYN, PASS_NEW);
		kinds[0][i].source = others[i];
		assert_verdict(*state, &kinds[0][i], PASS_NOT_OURS);
	}
}

static void answers_to_our_own_connections_are_no_strays(void **state)
{
	limit_strays(*state, 1);
	for (int i = 0; i < FAMILIES; i++) {
		struct frame_spec spec = packet_from(sources[i], SYN | ACK);

		spec.destination_port = 33333;
		for (int j = 0; j < 5; j++) {
			assert_verdict(*state, &spec, PASS_NOT_OURS);
			spec.flags = ACK;
		}
	}
}

static void neighbour_discovery_is_never_limited(void **state)
{
	struct frame_spec spec = packet_from(sources[1], 0);
	struct frame frame;

	limit_strays(*state, 1);
	spec.protocol = IPPROTO_ICMPV6;
	spec.ttl = 255;
	for (unsigned round = 0; round < 3; round++) {
		for (uint8_t type = 133; type <= 137; type++) {
			frame_build(&frame, &spec);
			frame.bytes[frame.l4] = type;
			check_verdict(gate_run_bytes(*state, frame.bytes, frame.len).reason,
				      VERDICT_PASS_NOT_OURS, __FILE__, __LINE__);
		}
	}
	frame_build(&frame, &spec);
	frame.bytes[frame.l4] = 128; /* echo request */
	check_verdict(gate_run_bytes(*state, frame.bytes, frame.len).reason, VERDICT_PASS_NOT_OURS,
		      __FILE__, __LINE__);
	check_verdict(gate_run_bytes(*state, frame.bytes, frame.len).reason,
		      VERDICT_DROP_STRAY_LIMIT, __FILE__, __LINE__);
	/* A solicitation that came over a router is none, and the stack refuses it. */
	spec.ttl = 254;
	frame_build(&frame, &spec);
	frame.bytes[frame.l4] = 135;
	check_verdict(gate_run_bytes(*state, frame.bytes, frame.len).reason,
		      VERDICT_DROP_STRAY_LIMIT, __FILE__, __LINE__);
}

static void only_listeners_addresses_are_guarded_from_strays(void **state)
{
	limit_strays(*state, 1);
	for (int i = 0; i < FAMILIES; i++) {
		struct frame_spec spec = packet_from(sources[i], SYN);

		spec.protocol = IPPROTO_UDP;
		spec.destination = i ? "fd00::2" : "198.18.0.2";
		for (int j = 0; j < 3; j++)
			assert_verdict(*state, &spec, PASS_NOT_OURS);
		/* ... and those of a listener on any address are all of the family's. */
		with_switches((struct gate_bpf *)*state, on.vip_any = (__u8)(1 << i));
		assert_verdict(*state, &spec, PASS_NOT_OURS);
		assert_verdict(*state, &spec, DROP_STRAY_LIMIT);
	}
}

static void segments_of_no_connection_are_strays_of_the_listener(void **state)
{
	limit_strays(*state, 2);
	for (int i = 0; i < FAMILIES; i++) {
		assert_packet(*state, sources[i], ACK, PASS_ESTABLISHED);
		assert_packet(*state, sources[i], RST, PASS_ESTABLISHED);
		assert_packet(*state, sources[i], ACK, DROP_STRAY_LIMIT);
	}
	assert_int_equal(read_stats(*state, 1).strays_limited, 2);
}

/* Events */

struct heard {
	unsigned n;
	struct sluice_event last;
};

static int on_event(void *context, void *data, size_t size)
{
	struct heard *heard = context;

	assert_int_equal(size, sizeof(heard->last));
	memcpy(&heard->last, data, size);
	heard->n++;
	return 0;
}

static void events_tell_of_the_verdicts_that_somebody_listens_for(void **state)
{
	struct gate_bpf *gate = *state;
	struct heard heard = {};
	struct ring_buffer *ring = ring_buffer__new(bpf_map__fd(gate->maps.events), on_event,
						    &heard, NULL);

	assert_non_null(ring);
	put_acl(gate, sources[0], SLUICE_ACL_DENY);
	put_acl(gate, sources[1], SLUICE_ACL_DENY);
	assert_packet(gate, sources[0], SYN, DROP_ACL);
	with_switches(gate, on.events_mask = 1ull << VERDICT_DROP_ACL);
	assert_packet(gate, others[0], SYN, PASS_NEW);
	assert_int_equal(ring_buffer__consume(ring), 0);
	for (int i = 0; i < FAMILIES; i++) {
		struct frame_spec spec = packet_from(sources[i], SYN);
		__u32 source[4];
		struct frame frame;

		spec.payload_bytes = 300;
		frame_build(&frame, &spec);
		assert_verdict(gate, &spec, DROP_ACL);
		assert_int_equal(ring_buffer__consume(ring), 1);
		assert_int_equal(heard.last.reason, VERDICT_DROP_ACL);
		assert_int_equal(heard.last.packet_bytes, frame.len);
		assert_int_equal(heard.last.snap_bytes, SLUICE_EVENT_SNAP);
		assert_memory_equal(heard.last.snap, frame.bytes, SLUICE_EVENT_SNAP);
		assert_int_equal(heard.last.listener, 1);
		assert_int_equal(heard.last.known, 3);
		assert_int_equal(heard.last.ipv4, !i);
		assert_int_equal(heard.last.destination_port, htons(LISTENER_PORT));
		map_address(source, sources[i]);
		assert_memory_equal(heard.last.source, source, sizeof(source));
	}
	ring_buffer__free(ring);
}

static void events_are_limited_and_what_was_not_sent_is_counted(void **state)
{
	struct gate_bpf *gate = *state;
	struct heard heard = {};
	struct ring_buffer *ring = ring_buffer__new(bpf_map__fd(gate->maps.events), on_event,
						    &heard, NULL);

	assert_non_null(ring);
	with_switches(gate, on.events_mask = ~0ull; on.events_interval_ns = HOUR_NS;
		      on.events_tolerance_ns = HOUR_NS);
	for (int i = 0; i < 5; i++)
		assert_packet(gate, sources[0], SYN, PASS_NEW);
	assert_int_equal(ring_buffer__consume(ring), 2);
	with_switches(gate, assert_int_equal(on.events_limited, 3));
	ring_buffer__free(ring);
}

static void the_event_of_an_answer_has_the_frame_as_it_came(void **state)
{
	struct gate_bpf *gate = *state;
	struct sluice_listener listener = { .group = 3 };
	struct frame_spec spec = packet_from(sources[0], SYN);
	struct heard heard = {};
	struct ring_buffer *ring = ring_buffer__new(bpf_map__fd(gate->maps.events), on_event,
						    &heard, NULL);
	struct frame frame;

	assert_non_null(ring);
	set_listener(gate, listener);
	put_group(gate, 3, 0, SLUICE_ALL_DOWN_RESET);
	with_switches(gate, on.events_mask = ~0ull);
	spec.tcp_option_words = 5;
	frame_build(&frame, &spec);
	assert_verdict(gate, &spec, RESET_ALL_DOWN);
	assert_int_equal(ring_buffer__consume(ring), 1);
	assert_int_equal(heard.last.packet_bytes, frame.len);
	assert_int_equal(heard.last.snap_bytes, frame.len);
	assert_memory_equal(heard.last.snap, frame.bytes, frame.len);
	ring_buffer__free(ring);
}

#define GATE_TEST(name) cmocka_unit_test_setup_teardown(name, gate_setup, gate_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_TEST(a_listeners_own_list_holds_for_it_alone),
		GATE_TEST(of_both_lists_the_longer_prefix_decides),
		GATE_TEST(of_equal_prefixes_the_listeners_own_decides),
		GATE_TEST(an_allow_list_of_either_kind_denies_all_others),
		GATE_TEST(the_generation_in_force_is_the_one_that_is_looked_into),
		GATE_TEST(a_penalty_drops_new_connections_and_no_other_packet),
		GATE_TEST(a_penalty_of_the_packets_level_drops_every_packet),
		GATE_TEST(a_penalty_ends_by_itself),
		GATE_TEST(without_the_hint_no_penalty_is_looked_for),
		GATE_TEST(an_acl_entry_comes_before_a_penalty),
		GATE_TEST(a_source_with_as_many_connections_as_it_may_gets_no_more),
		GATE_TEST(a_source_over_its_connections_takes_nothing_from_its_rate),
		GATE_TEST(what_is_no_connection_is_limited_a_source),
		GATE_TEST(answers_to_our_own_connections_are_no_strays),
		GATE_TEST(neighbour_discovery_is_never_limited),
		GATE_TEST(only_listeners_addresses_are_guarded_from_strays),
		GATE_TEST(segments_of_no_connection_are_strays_of_the_listener),
		GATE_TEST(events_tell_of_the_verdicts_that_somebody_listens_for),
		GATE_TEST(events_are_limited_and_what_was_not_sent_is_counted),
		GATE_TEST(the_event_of_an_answer_has_the_frame_as_it_came),
	};

	return bpf_is_allowed() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
