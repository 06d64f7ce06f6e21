/* SPDX-License-Identifier: MIT */
/*
 * test_penalty_points.c - what evidence comes to: points that decay, good calls beside them, penalties
 * that grow with repetition and are forgotten. Time is the test's.
 */
#include "shared/sources.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cm.h"
#include "shared/sources_internal.h"

#define MS    1000000ull
#define S     (1000 * MS)
#define BEGIN (1000 * S)

static struct state shared;
static uint32_t row;
static uint32_t source[4];

static struct prefix never[2];
static struct config_penalties config;

static const struct config_penalties defaults = {
	.enabled = true,
	.threshold = 100,
	.half_life_ms = 10000,
	.first_ms = 10000,
	.max_ms = 60000,
	.forget_ms = 3600000,
	.packets_after = 1,
	.bad_percent = 50,
	.points = { [SLUICE_EVIDENCE_ABUSE] = 100, [SLUICE_EVIDENCE_HANDSHAKE] = 5,
		    [SLUICE_EVIDENCE_NOT_H2] = 10, [SLUICE_EVIDENCE_PROTOCOL] = 20,
		    [SLUICE_EVIDENCE_OVER_LIMIT] = 1 },
};

static int group_setup(void **state)
{
	int fds[STATE_FDS];

	(void)state;
	memset(fds, -1, sizeof(fds));
	if (state_create_fds(fds) || state_map(&shared, fds))
		return -1;
	for (int i = 0; i < STATE_FDS; i++)
		close(fds[i]);
	shared.switches->v4_prefix = 24;
	shared.switches->v6_prefix = 64;
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	state_unmap(&shared);
	return 0;
}

/* Each test has a source that nobody knows yet. */
static int setup(void **state)
{
	static unsigned n;
	struct addr addr;
	char ip[32];

	(void)state;
	snprintf(ip, sizeof(ip), "10.0.%u.1", n++);
	addr_from_ip(&addr, ip, 0);
	source_of_addr(&shared, &addr, source);
	config = defaults;
	return source_open(&shared, 0, source, 0, BEGIN, &row) != SOURCE_OPEN_COUNTED;
}

static int teardown(void **state)
{
	(void)state;
	source_close(&shared, 0, row);
	return 0;
}

static bool accuse(enum sluice_evidence what, uint32_t n, uint64_t now_ns)
{
	return source_accuse(&shared, 0, row, &config, what, (uint64_t)n * SOURCE_PIECE, now_ns);
}

static const struct sluice_source_state *at(void)
{
	return source_at(&shared, row);
}

static void test_the_threshold_brings_a_penalty_and_the_row_says_which(void **state)
{
	uint32_t epoch = shared.switches->penalty_epoch;

	(void)state;
	assert_false(accuse(SLUICE_EVIDENCE_PROTOCOL, 4, BEGIN));
	assert_int_equal(at()->points, 80 * SOURCE_POINT);
	assert_false(source_is_penalized(at(), BEGIN));
	assert_int_equal(shared.switches->penalty_epoch, epoch);
	assert_true(accuse(SLUICE_EVIDENCE_PROTOCOL, 1, BEGIN));
	assert_true(source_is_penalized(at(), BEGIN));
	assert_int_equal(at()->penalized_until_ns, BEGIN + 10 * S);
	assert_int_equal(at()->penalty_level, SLUICE_PENALTY_CONNECTIONS);
	assert_int_equal(at()->reason, SLUICE_EVIDENCE_PROTOCOL);
	assert_int_equal(at()->penalty_count, 1);
	assert_int_equal(shared.switches->penalty_epoch, epoch + 1);
	assert_false(source_is_penalized(at(), BEGIN + 10 * S));
}

static void test_one_abuse_is_enough(void **state)
{
	(void)state;
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN));
	assert_int_equal(at()->reason, SLUICE_EVIDENCE_ABUSE);
}

static void test_parts_of_a_piece_add_up(void **state)
{
	(void)state;
	assert_false(source_accuse(&shared, 0, row, &config, SLUICE_EVIDENCE_ABUSE, 900, BEGIN));
	assert_int_equal(at()->points, 90 * SOURCE_POINT);
	assert_true(source_accuse(&shared, 0, row, &config, SLUICE_EVIDENCE_ABUSE, 250, BEGIN));
}

static void test_points_halve_with_each_half_life(void **state)
{
	(void)state;
	accuse(SLUICE_EVIDENCE_PROTOCOL, 4, BEGIN);
	assert_false(accuse(SLUICE_EVIDENCE_HANDSHAKE, 1, BEGIN + 10 * S));
	assert_int_equal(at()->points, 45 * SOURCE_POINT);
	accuse(SLUICE_EVIDENCE_HANDSHAKE, 1, BEGIN + 1000 * S);
	assert_int_equal(at()->points, 5 * SOURCE_POINT);
}

static void test_what_is_shown_is_what_it_comes_to_now(void **state)
{
	uint32_t points, good;

	(void)state;
	accuse(SLUICE_EVIDENCE_PROTOCOL, 4, BEGIN);
	source_praise(&shared, 0, row, &config, 40, BEGIN);
	source_weigh(at(), &config, BEGIN + 20 * S, &points, &good);
	assert_int_equal(points, 20);
	assert_int_equal(good, 10);
	assert_int_equal(at()->points, 80 * SOURCE_POINT);
}

/* 5 points every 50 ms, looked at in small steps, come to what the formula says. */
static void test_many_small_steps_decay_as_one_large_one(void **state)
{
	uint64_t now = BEGIN;

	(void)state;
	config.threshold = 1000000;
	for (int i = 0; i < 4000; i++, now += 50 * MS)
		accuse(SLUICE_EVIDENCE_HANDSHAKE, 1, now);
	/* 5 / (1 - 2^(-0.05/10)) = 1445 */
	assert_in_range(at()->points / SOURCE_POINT, 1420, 1470);
}

static void test_a_trickle_below_the_threshold_never_adds_up(void **state)
{
	(void)state;
	/* One failed handshake a second: 5 / (1 - 2^-0.1) = 75 points. */
	for (uint64_t i = 0; i < 1000; i++)
		assert_false(accuse(SLUICE_EVIDENCE_HANDSHAKE, 1, BEGIN + i * S));
}

static void test_good_calls_from_the_same_source_weigh_against_the_bad(void **state)
{
	(void)state;
	source_praise(&shared, 0, row, &config, 150, BEGIN);
	assert_false(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN));
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN)); /* 200 of 350 */
}

static void test_what_counts_as_bad_share_is_configured(void **state)
{
	(void)state;
	config.bad_percent = 90;
	source_praise(&shared, 0, row, &config, 100, BEGIN);
	assert_false(accuse(SLUICE_EVIDENCE_ABUSE, 8, BEGIN)); /* 800 of 900 */
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN));
	config.bad_percent = 0;
	source_pardon(&shared, source);
	source_praise(&shared, 0, row, &config, 1000000, BEGIN);
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN));
}

static void test_good_calls_buy_no_more_than_a_hundred_thresholds(void **state)
{
	(void)state;
	source_praise(&shared, 0, row, &config, 1000000, BEGIN);
	assert_int_equal(at()->good, 10000 * SOURCE_POINT);
	assert_false(accuse(SLUICE_EVIDENCE_ABUSE, 99, BEGIN));
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN));
}

static void test_good_calls_decay_too(void **state)
{
	(void)state;
	source_praise(&shared, 0, row, &config, 400, BEGIN);
	assert_false(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN));
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN + 30 * S)); /* 112 beside 50 */
}

static void test_the_heaviest_piece_of_evidence_is_the_reason(void **state)
{
	(void)state;
	accuse(SLUICE_EVIDENCE_HANDSHAKE, 10, BEGIN);
	assert_int_equal(at()->reason, SLUICE_EVIDENCE_HANDSHAKE);
	accuse(SLUICE_EVIDENCE_PROTOCOL, 1, BEGIN);
	accuse(SLUICE_EVIDENCE_OVER_LIMIT, 1, BEGIN);
	assert_true(accuse(SLUICE_EVIDENCE_HANDSHAKE, 10, BEGIN));
	assert_int_equal(at()->reason, SLUICE_EVIDENCE_PROTOCOL);
	/* That was another time. */
	accuse(SLUICE_EVIDENCE_OVER_LIMIT, 3, BEGIN + 500 * S);
	assert_int_equal(at()->reason, SLUICE_EVIDENCE_OVER_LIMIT);
}

static void test_evidence_under_a_penalty_is_part_of_the_same_offence(void **state)
{
	(void)state;
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN));
	assert_false(accuse(SLUICE_EVIDENCE_ABUSE, 50, BEGIN + 9 * S));
	assert_int_equal(at()->penalized_until_ns, BEGIN + 10 * S);
	assert_int_equal(at()->points, 0);
	/* And nothing of it is left for the next. */
	assert_false(accuse(SLUICE_EVIDENCE_PROTOCOL, 4, BEGIN + 10 * S));
}

static void test_each_repetition_doubles_up_to_the_maximum(void **state)
{
	static const uint64_t seconds[] = { 10, 20, 40, 60, 60, 60 };
	uint64_t now = BEGIN;

	(void)state;
	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, now));
		assert_int_equal(at()->penalized_until_ns, now + seconds[i] * S);
		assert_int_equal(at()->penalty_level, i < 1 ? SLUICE_PENALTY_CONNECTIONS :
							      SLUICE_PENALTY_PACKETS);
		now = at()->penalized_until_ns + S;
	}
}

static void test_packets_after_chooses_the_level(void **state)
{
	(void)state;
	config.packets_after = 0;
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN));
	assert_int_equal(at()->penalty_level, SLUICE_PENALTY_PACKETS);
	source_pardon(&shared, source);
	config.packets_after = 2;
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN));
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN + 20 * S));
	assert_int_equal(at()->penalty_level, SLUICE_PENALTY_CONNECTIONS);
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN + 60 * S));
	assert_int_equal(at()->penalty_level, SLUICE_PENALTY_PACKETS);
}

static void test_time_without_a_penalty_is_rewarded(void **state)
{
	uint64_t now = BEGIN;

	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, now));
		now = at()->penalized_until_ns + S;
	}
	assert_int_equal(at()->penalty_count, 4);
	/* Four, halved once: the next one is the third. */
	now += 3600 * S;
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, now));
	assert_int_equal(at()->penalized_until_ns, now + 40 * S);
	now = at()->penalized_until_ns + 1000000 * S;
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, now));
	assert_int_equal(at()->penalized_until_ns, now + 10 * S);
}

static void test_a_pardon_forgets_everything(void **state)
{
	(void)state;
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN));
	assert_int_equal(source_pardon(&shared, source), 0);
	assert_false(source_is_penalized(at(), BEGIN));
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN));
	assert_int_equal(at()->penalized_until_ns, BEGIN + 10 * S);
	assert_int_equal(at()->penalty_count, 1);
}

static void test_evidence_without_points_is_none(void **state)
{
	(void)state;
	config.points[SLUICE_EVIDENCE_ABUSE] = 0;
	assert_false(accuse(SLUICE_EVIDENCE_ABUSE, 1000, BEGIN));
	assert_int_equal(at()->points, 0);
}

static void test_an_exempt_source_never_gets_a_penalty(void **state)
{
	static const char *const overlapping[] = { "10.0.0.0/8", "0.0.0.0/0", "10.0.%u.200/32" };

	(void)state;
	config.never = never;
	config.n_never = 1;
	for (size_t i = 0; i < sizeof(overlapping) / sizeof(overlapping[0]); i++) {
		char text[32];

		snprintf(text, sizeof(text), overlapping[i],
			 (unsigned)((const uint8_t *)source)[14]);
		assert_int_equal(prefix_parse(&never[0], text), 0);
		assert_true(source_is_exempt(&shared, &config, source));
		assert_false(accuse(SLUICE_EVIDENCE_ABUSE, 5, BEGIN));
	}
	assert_int_equal(prefix_parse(&never[0], "11.0.0.0/8"), 0);
	assert_int_equal(prefix_parse(&never[1], "::/0"), 0);
	config.n_never = 2;
	assert_false(source_is_exempt(&shared, &config, source));
	assert_true(accuse(SLUICE_EVIDENCE_ABUSE, 1, BEGIN));
}

static void test_huge_amounts_stay_within_their_words(void **state)
{
	(void)state;
	config.points[SLUICE_EVIDENCE_ABUSE] = 1000000;
	config.threshold = 1000000;
	config.bad_percent = 100;
	source_praise(&shared, 0, row, &config, UINT32_MAX, BEGIN);
	assert_false(accuse(SLUICE_EVIDENCE_ABUSE, UINT32_MAX, BEGIN));
	assert_false(accuse(SLUICE_EVIDENCE_ABUSE, UINT32_MAX, BEGIN + 5 * S));
	assert_true(at()->points > 0 && at()->good > 0);
}

static void test_every_kind_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i < SLUICE_EVIDENCE_MAX; i++)
		assert_string_not_equal(source_evidence_name((enum sluice_evidence)i), "unknown");
	assert_string_equal(source_evidence_name(SLUICE_EVIDENCE_MAX), "unknown");
	assert_string_equal(source_level_name(SLUICE_PENALTY_PACKETS), "packets");
	assert_string_equal(source_level_name(SLUICE_PENALTY_CONNECTIONS), "connections");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_threshold_brings_a_penalty_and_the_row_says_which),
		TEST(test_one_abuse_is_enough),
		TEST(test_parts_of_a_piece_add_up),
		TEST(test_points_halve_with_each_half_life),
		TEST(test_what_is_shown_is_what_it_comes_to_now),
		TEST(test_many_small_steps_decay_as_one_large_one),
		TEST(test_a_trickle_below_the_threshold_never_adds_up),
		TEST(test_good_calls_from_the_same_source_weigh_against_the_bad),
		TEST(test_what_counts_as_bad_share_is_configured),
		TEST(test_good_calls_buy_no_more_than_a_hundred_thresholds),
		TEST(test_good_calls_decay_too),
		TEST(test_the_heaviest_piece_of_evidence_is_the_reason),
		TEST(test_evidence_under_a_penalty_is_part_of_the_same_offence),
		TEST(test_each_repetition_doubles_up_to_the_maximum),
		TEST(test_packets_after_chooses_the_level),
		TEST(test_time_without_a_penalty_is_rewarded),
		TEST(test_a_pardon_forgets_everything),
		TEST(test_evidence_without_points_is_none),
		TEST(test_an_exempt_source_never_gets_a_penalty),
		TEST(test_huge_amounts_stay_within_their_words),
		TEST(test_every_kind_has_a_name),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
