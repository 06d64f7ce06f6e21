/* SPDX-License-Identifier: MIT */
/*
 * test_route_split.c - the groups of calls where a route has several: exact by turns, each key always
 * in one place, and no key moved without need. And the hashes of keys.
 */
#include "proxy/route_help.h"

#define KEYS 20000u

static int teardown(void **state)
{
	help_done();
	return 0;
}

static const struct route *route_of(const char *routes)
{
	help_routes(routes);
	help_call("h /s/m");
	return route_match(help.table, &help.facts, NULL);
}

static uint32_t group_of(const struct route *route, unsigned key)
{
	char line[64];

	snprintf(line, sizeof(line), "h /s/m x-user=user-%u", key);
	help_call(line);
	return route_group(route, &help.facts);
}

static void a_split_by_turns_is_exact(void **state)
{
	const struct route *route =
		route_of("  - {groups: [{name: a, weight: 90}, {name: b, weight: 9}, {name: c, "
			"weight: 1}]}\n");
	unsigned count[3] = { 0 };

	for (unsigned i = 0; i < 10000; i++)
		count[route_group(route, &help.facts)]++;
	assert_int_equal(count[0], 9000);
	assert_int_equal(count[1], 900);
	assert_int_equal(count[2], 100);
}

static void weight_zero_gets_nothing(void **state)
{
	const struct route *route = route_of(
		"  - {groups: [{name: a, weight: 0}, {name: b, weight: 1}, {name: c, weight: 1}], "
		"sticky: \"metadata:x-user\"}\n");

	for (unsigned i = 0; i < 1000; i++) {
		assert_int_not_equal(group_of(route, i), 0);
		help_call("h /s/m");
		assert_int_not_equal(route_group(route, &help.facts), 0);
	}
}

static void workers_do_not_begin_alike(void **state)
{
	const struct route *route =
		route_of("  - {groups: [{name: a, weight: 1}, {name: b, weight: 1}]}\n");
	uint32_t first = route_group(route, &help.facts), other;
	char why[160];

	route_table_free(help.table);
	help.table = route_table_new(help.config, &help.config->listeners[0], 1, why, sizeof(why));
	route = route_match(help.table, &help.facts, NULL);
	other = route_group(route, &help.facts);
	assert_int_not_equal(first, other);
}

static void sticky_shares_follow_the_weights(void **state)
{
	const struct route *route = route_of(
		"  - {groups: [{name: a, weight: 70}, {name: b, weight: 25}, {name: c, weight: 5}], "
		"sticky: \"metadata:x-user\"}\n");
	unsigned count[3] = { 0 };

	for (unsigned i = 0; i < KEYS; i++) {
		uint32_t group = group_of(route, i);

		count[group]++;
		assert_int_equal(group_of(route, i), group);
	}
	assert_in_range(count[0], KEYS * 69 / 100, KEYS * 71 / 100);
	assert_in_range(count[1], KEYS * 24 / 100, KEYS * 26 / 100);
	assert_in_range(count[2], KEYS * 4 / 100, KEYS * 6 / 100);
}

static uint8_t before[KEYS];

static void note_groups(const char *routes)
{
	const struct route *route = route_of(routes);

	for (unsigned i = 0; i < KEYS; i++)
		before[i] = (uint8_t)group_of(route, i);
}

/* How many keys are elsewhere than noted; pairs[from][to] of them. */
static unsigned moved_to(const char *routes, unsigned pairs[3][3])
{
	const struct route *route = route_of(routes);
	unsigned moved = 0;

	memset(pairs, 0, sizeof(unsigned[3][3]));
	for (unsigned i = 0; i < KEYS; i++) {
		uint32_t now = group_of(route, i);

		moved += now != before[i];
		pairs[before[i]][now] += now != before[i];
	}
	return moved;
}

#define TWO(x, y)                                                                                  \
	"  - {groups: [{name: a, weight: " #x "}, {name: b, weight: " #y "}], sticky: \"metadata:x-user\"}\n"
#define THREE(n, x, m, y, o, z)                                                                    \
	"  - {groups: [{name: " #n ", weight: " #x "}, {name: " #m ", weight: " #y "}, {name: " #o    \
	", weight: " #z "}], sticky: \"metadata:x-user\"}\n"

static void keys_move_only_as_far_as_needed(void **state)
{
	unsigned pairs[3][3], moved;

	note_groups(TWO(90, 10));
	moved = moved_to(TWO(75, 25), pairs);
	assert_int_equal(moved, pairs[0][1]); /* from a to b, 15 % */
	assert_in_range(moved, KEYS * 14 / 100, KEYS * 16 / 100);
	note_groups(THREE(a, 60, b, 30, c, 10));
	assert_int_equal(moved_to(THREE(c, 10, a, 60, b, 30), pairs), 0); /* order says nothing */
	moved = moved_to(THREE(a, 60, b, 30, c, 30), pairs);
	assert_int_equal(moved, pairs[0][2] + pairs[1][2]); /* c grew, from 1/10 to 1/4 */
	assert_in_range(moved, KEYS * 14 / 100, KEYS * 16 / 100);
	moved = moved_to(THREE(a, 60, b, 30, c, 0), pairs);
	assert_int_equal(moved, pairs[2][0] + pairs[2][1]);
	/* Two at once: 20 % must move, and little more does. */
	moved = moved_to(THREE(a, 40, b, 50, c, 10), pairs);
	assert_in_range(moved, KEYS * 19 / 100, KEYS * 25 / 100);
}

static void without_the_key_calls_go_by_turns(void **state)
{
	const struct route *route = route_of(
		"  - {groups: [{name: a, weight: 3}, {name: b, weight: 1}], sticky: \"metadata:x-user\"}\n");
	unsigned count[2] = { 0 };

	help_call("h /s/m");
	for (unsigned i = 0; i < 400; i++)
		count[route_group(route, &help.facts)]++;
	assert_int_equal(count[0], 300);
	assert_int_equal(count[1], 100);
}

/* ---- keys ---- */

static uint64_t hash_of(enum config_key_source source)
{
	struct config_key key = { .source = source, .metadata = (char *)"x-user" };

	return route_key_hash(&key, &help.facts);
}

static void keys_are_what_they_say(void **state)
{
	uint64_t hash;

	help_call("h /s/m x-user=a x-user=b");
	assert_int_equal(hash_of(KEY_NONE), 0);
	hash = hash_of(KEY_METADATA);
	help_call("g /t/m x-user=a");
	assert_int_equal(hash_of(KEY_METADATA), hash); /* the first value, and nothing else */
	help_call("h /s/m x-user=b");
	assert_int_not_equal(hash_of(KEY_METADATA), hash);
	help_call("h /s/m");
	hash = hash_of(KEY_PATH);
	help_call("g /s/m x-user=1");
	assert_int_equal(hash_of(KEY_PATH), hash);
	help_call("g /s/m?x=1");
	assert_int_equal(hash_of(KEY_PATH), hash); /* no query makes a new caller */
	help_call("g /s/n x-user=1");
	assert_int_not_equal(hash_of(KEY_PATH), hash);
	assert_int_equal(hash_of(KEY_SAN), hash_of(KEY_SOURCE)); /* both none */
	help.peer.sans = (const char *const[]){ "x.example", "y.example" };
	help.peer.n_sans = 2;
	help.facts.peer = &help.peer;
	assert_int_not_equal(hash_of(KEY_SAN), hash_of(KEY_SOURCE));
}

static uint64_t hash_from(const char *ip)
{
	help.facts.source = &help.source;
	assert_int_equal(addr_from_ip(&help.source, ip, 1234), 0);
	return hash_of(KEY_SOURCE);
}

static void a_client_has_one_source_whatever_port_or_ipv6_address_it_takes(void **state)
{
	uint64_t v4 = hash_from("192.0.2.1"), v6 = hash_from("2001:db8:1:2::1");

	assert_int_equal(hash_from("::ffff:192.0.2.1"), v4);
	assert_int_not_equal(hash_from("192.0.2.2"), v4);
	assert_int_equal(hash_from("2001:db8:1:2:ffff::9"), v6);
	assert_int_not_equal(hash_from("2001:db8:1:3::1"), v6);
}

static void secret_hashes_depend_on_secret_route_and_key(void **state)
{
	const uint8_t one[16] = { 1 }, two[16] = { 2 };
	struct config_key key = { .source = KEY_METADATA, .metadata = (char *)"x-user" };
	uint64_t hash;

	help_call("h /s/m x-user=a");
	hash = route_key_secret_hash(&key, &help.facts, one, 7);
	assert_int_equal(route_key_secret_hash(&key, &help.facts, one, 7), hash);
	assert_int_not_equal(route_key_secret_hash(&key, &help.facts, two, 7), hash);
	assert_int_not_equal(route_key_secret_hash(&key, &help.facts, one, 8), hash);
	help_call("h /s/m x-user=b");
	assert_int_not_equal(route_key_secret_hash(&key, &help.facts, one, 7), hash);
	key.source = KEY_NONE;
	hash = route_key_secret_hash(&key, &help.facts, one, 7);
	help_call("h /s/m x-user=a");
	assert_int_equal(route_key_secret_hash(&key, &help.facts, one, 7), hash);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_split_by_turns_is_exact),
		TEST(weight_zero_gets_nothing),
		TEST(workers_do_not_begin_alike),
		TEST(sticky_shares_follow_the_weights),
		TEST(keys_move_only_as_far_as_needed),
		TEST(without_the_key_calls_go_by_turns),
		TEST(keys_are_what_they_say),
		TEST(a_client_has_one_source_whatever_port_or_ipv6_address_it_takes),
		TEST(secret_hashes_depend_on_secret_route_and_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
