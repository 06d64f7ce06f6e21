/* SPDX-License-Identifier: MIT */
/*
 * test_least_request.c - power of two choices: draws in proportion to weights, the less loaded of
 * two wins, two are always distinct, and only usable ones are asked for their load.
 */
#include "balance/least_request.h"

#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "fault.h"

#define N_MAX 64

static struct {
	bool down[N_MAX];
	uint32_t active[N_MAX];
	unsigned asked[N_MAX];
	uint64_t random;
} world;

static bool usable(void *ctx, uint32_t index)
{
	(void)ctx;
	return !world.down[index];
}

static uint32_t active(void *ctx, uint32_t index)
{
	(void)ctx;
	assert_false(world.down[index]);
	world.asked[index]++;
	return world.active[index];
}

/* xorshift64*: unlike the mixing under test. */
static uint64_t fresh(void)
{
	world.random ^= world.random >> 12;
	world.random ^= world.random << 25;
	world.random ^= world.random >> 27;
	return world.random * 0x2545f4914f6cdd1dull;
}

static int reset(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	world.random = 88172645463325252ull;
	return 0;
}

static int pick(const struct least_request *lr)
{
	return least_request_pick(lr, usable, active, NULL, fresh());
}

/* Within five standard deviations of a binomial. */
static void assert_share(uint32_t count, uint32_t picks, double share)
{
	double want = picks * share, off = count - want;

	assert_true(off * off <= 25 * picks * share * (1 - share) + 1);
}

static void test_idle_backends_are_picked_by_weight(void **state)
{
	const uint32_t weights[] = { 100, 50, 0, 25, 25 };
	struct least_request *lr = least_request_new(weights, 5);
	uint32_t count[5] = { 0 }, i, picks = 200000;

	(void)state;
	for (i = 0; i < picks; i++)
		count[pick(lr)]++;
	for (i = 0; i < 5; i++)
		assert_share(count[i], picks, weights[i] / 200.0);
	least_request_free(lr);
}

/* With two that are usable both are looked at, so the outcome is certain. */
static void test_the_less_loaded_of_two_wins_for_its_weight(void **state)
{
	const uint32_t weights[] = { 100, 50 };
	struct least_request *lr = least_request_new(weights, 2);
	int i;

	(void)state;
	world.active[0] = 11; /* 0.11 to 0.10 */
	world.active[1] = 5;
	for (i = 0; i < 1000; i++)
		assert_int_equal(pick(lr), 1);
	world.active[0] = 9; /* 0.09 to 0.10 */
	for (i = 0; i < 1000; i++)
		assert_int_equal(pick(lr), 0);
	world.active[0] = world.active[1] = UINT32_MAX;
	for (i = 0; i < 1000; i++)
		assert_int_equal(pick(lr), 0);
	least_request_free(lr);
}

static void test_two_distinct_ones_are_compared(void **state)
{
	const uint32_t weights[] = { 100, 1, 1 };
	struct least_request *lr = least_request_new(weights, 3);
	int i, e;

	(void)state;
	for (i = 0; i < 5000; i++) {
		memset(world.asked, 0, sizeof(world.asked));
		pick(lr);
		for (e = 0; e < 3; e++)
			assert_true(world.asked[e] <= 1);
		assert_int_equal(world.asked[0] + world.asked[1] + world.asked[2], 2);
	}
	least_request_free(lr);
}

/* The chances of the pair: w_i/W * w_j/(W-w_i) + the other order. */
static void test_pairs_are_drawn_in_proportion(void **state)
{
	const double w[] = { 0.5, 0.3, 0.2 };
	const uint32_t weights[] = { 5, 3, 2 };
	struct least_request *lr = least_request_new(weights, 3);
	uint32_t pairs[3] = { 0 }, i, picks = 200000; /* by the one left out */
	int e;

	(void)state;
	for (i = 0; i < picks; i++) {
		memset(world.asked, 0, sizeof(world.asked));
		pick(lr);
		for (e = 0; e < 3; e++)
			pairs[e] += !world.asked[e];
	}
	for (e = 0; e < 3; e++) {
		double a = w[(e + 1) % 3], b = w[(e + 2) % 3];

		assert_share(pairs[e], picks, a * b / (1 - a) + a * b / (1 - b));
	}
	least_request_free(lr);
}

static void test_the_most_loaded_of_equals_is_never_picked(void **state)
{
	uint32_t weights[10], i;
	struct least_request *lr;

	(void)state;
	for (i = 0; i < 10; i++) {
		weights[i] = 7;
		world.active[i] = i;
	}
	lr = least_request_new(weights, 10);
	for (i = 0; i < 20000; i++)
		assert_int_not_equal(pick(lr), 9);
	least_request_free(lr);
}

static void test_unusable_ones_are_left_out_and_the_rest_keep_their_shares(void **state)
{
	const uint32_t weights[] = { 60, 20, 10, 10 };
	struct least_request *lr = least_request_new(weights, 4);
	uint32_t count[4] = { 0 }, i, picks = 100000;

	(void)state;
	world.down[0] = true;
	for (i = 0; i < picks; i++)
		count[pick(lr)]++;
	assert_int_equal(count[0], 0);
	assert_share(count[1], picks, 0.5);
	assert_share(count[2], picks, 0.25);
	least_request_free(lr);
}

/* So light that the draws miss them: the scan must have the same chances. */
static void test_light_ones_share_by_weight_when_the_heavy_are_down(void **state)
{
	uint32_t weights[N_MAX], count[N_MAX] = { 0 }, i, picks = 100000;
	struct least_request *lr;

	(void)state;
	for (i = 0; i < N_MAX; i++) {
		weights[i] = BALANCE_WEIGHT_MAX;
		world.down[i] = true;
	}
	weights[5] = 1;
	weights[60] = 3;
	world.down[5] = world.down[60] = false;
	lr = least_request_new(weights, N_MAX);
	for (i = 0; i < picks; i++)
		count[pick(lr)]++;
	assert_share(count[5], picks, 0.25);
	assert_share(count[60], picks, 0.75);
	least_request_free(lr);
}

static void test_one_usable_is_taken_whatever_its_load(void **state)
{
	const uint32_t weights[] = { 5, 5, 5 }, one[] = { 9 };
	struct least_request *lr = least_request_new(weights, 3);
	struct least_request *single = least_request_new(one, 1);
	int i;

	(void)state;
	world.down[0] = world.down[2] = true;
	world.active[1] = 1000000;
	for (i = 0; i < 100; i++)
		assert_int_equal(pick(lr), 1);
	world.down[0] = false;
	assert_int_equal(pick(single), 0);
	world.down[0] = true;
	assert_int_equal(pick(single), -1);
	least_request_free(lr);
	least_request_free(single);
}

static void test_none_is_minus_one(void **state)
{
	const uint32_t weights[] = { 5, 5 }, zero[] = { 0, 0 };
	struct least_request *lr = least_request_new(weights, 2);
	struct least_request *no_weight = least_request_new(zero, 2);
	struct least_request *nothing = least_request_new(NULL, 0);

	(void)state;
	world.down[0] = world.down[1] = true;
	assert_int_equal(pick(lr), -1);
	assert_int_equal(pick(no_weight), -1);
	assert_int_equal(pick(nothing), -1);
	least_request_free(lr);
	least_request_free(no_weight);
	least_request_free(nothing);
	least_request_free(NULL);
}

/* Fluid check of what it is for: calls of equal length, one at each end of the queue. */
static void test_load_settles_in_proportion_to_weight(void **state)
{
	const uint32_t weights[] = { 40, 20, 20, 10, 10 };
	struct least_request *lr = least_request_new(weights, 5);
	int under_way[100] = { 0 }, i;

	(void)state;
	for (i = 0; i < 100; i++)
		world.active[under_way[i] = pick(lr)]++;
	for (i = 0; i < 20000; i++) {
		int *call = &under_way[fresh() % 100];

		world.active[*call]--;
		world.active[*call = pick(lr)]++;
	}
	for (i = 0; i < 5; i++)
		assert_in_range(world.active[i], weights[i] * 7 / 10, weights[i] * 13 / 10);
	least_request_free(lr);
}

static void test_no_memory_is_null_and_picks_need_none(void **state)
{
	const uint32_t weights[] = { 3, 2, 1 };
	int i;

	(void)state;
	FAULT_EACH(n) {
		struct least_request *lr = least_request_new(weights, 3);

		fault_stop();
		assert_int_equal(lr == NULL, fault_hit());
		if (lr) {
			fault_start_all(0);
			for (i = 0; i < 100; i++)
				pick(lr);
			fault_stop();
			assert_int_equal(fault_count(), 0);
		}
		least_request_free(lr);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_idle_backends_are_picked_by_weight, reset),
		cmocka_unit_test_setup(test_the_less_loaded_of_two_wins_for_its_weight, reset),
		cmocka_unit_test_setup(test_two_distinct_ones_are_compared, reset),
		cmocka_unit_test_setup(test_pairs_are_drawn_in_proportion, reset),
		cmocka_unit_test_setup(test_the_most_loaded_of_equals_is_never_picked, reset),
		cmocka_unit_test_setup(test_unusable_ones_are_left_out_and_the_rest_keep_their_shares,
				       reset),
		cmocka_unit_test_setup(test_light_ones_share_by_weight_when_the_heavy_are_down, reset),
		cmocka_unit_test_setup(test_one_usable_is_taken_whatever_its_load, reset),
		cmocka_unit_test_setup(test_none_is_minus_one, reset),
		cmocka_unit_test_setup(test_load_settles_in_proportion_to_weight, reset),
		cmocka_unit_test_setup(test_no_memory_is_null_and_picks_need_none, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
