/* SPDX-License-Identifier: MIT */
/*
 * test_wrr.c - weighted round robin: exact over every run of sum(weights) picks, never a whole
 * pick off a share, and what happens while entries are not usable.
 */
#include "balance/wrr.h"

#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "fault.h"

#define N_MAX 2000

static bool down[N_MAX];

static bool usable(void *ctx, uint32_t index)
{
	(void)ctx;
	return !down[index];
}

static int reset(void **state)
{
	(void)state;
	memset(down, 0, sizeof(down));
	return 0;
}

static void picks_equal(const uint32_t *weights, uint32_t n, const char *want)
{
	struct wrr *wrr = wrr_new(weights, n, 0);
	const char *c;

	assert_non_null(wrr);
	for (c = want; *c; c++)
		assert_int_equal(wrr_pick(wrr, usable, NULL), *c - 'A');
	wrr_free(wrr);
}

static void test_spreads_the_heavy_entry_out(void **state)
{
	(void)state;
	picks_equal((uint32_t[]){ 3, 1, 1 }, 3, "ABACA" "ABACA");
	picks_equal((uint32_t[]){ 1, 1, 1 }, 3, "ABC" "ABC");
	picks_equal((uint32_t[]){ 2, 1 }, 2, "ABA" "ABA");
	picks_equal((uint32_t[]){ 100, 50 }, 2, "ABA" "ABA");
	picks_equal((uint32_t[]){ 7 }, 1, "AAAAA");
}

/* Every window of sum picks, wherever it begins, and from every offset. */
static void window_is_exact(const uint32_t *weights, uint32_t n, uint32_t offset)
{
	uint32_t sum = 0, i, p, *count = calloc(n, sizeof(*count)), *window;
	struct wrr *wrr = wrr_new(weights, n, offset);

	assert_non_null(wrr);
	for (i = 0; i < n; i++)
		sum += weights[i];
	window = calloc(sum, sizeof(*window));
	for (p = 0; p < 4 * sum; p++) {
		int picked = wrr_pick(wrr, usable, NULL);

		assert_in_range(picked, 0, n - 1);
		if (p >= sum)
			count[window[p % sum]]--;
		window[p % sum] = (uint32_t)picked;
		count[picked]++;
		if (p + 1 >= sum)
			for (i = 0; i < n; i++)
				assert_int_equal(count[i], weights[i]);
	}
	free(window);
	free(count);
	wrr_free(wrr);
}

static void test_every_window_is_exact(void **state)
{
	uint32_t weights[12], round, i;

	(void)state;
	srandom(1);
	for (round = 0; round < 60; round++) {
		uint32_t n = 1 + (uint32_t)random() % 12;

		for (i = 0; i < n; i++)
			weights[i] = (uint32_t)random() % 101;
		weights[random() % n] = 1 + (uint32_t)random() % 100;
		window_is_exact(weights, n, (uint32_t)random() % 3000);
	}
}

/* count * sum against picks * weight: off by less than one pick at every moment. */
static void test_no_entry_is_ever_a_pick_ahead_or_behind(void **state)
{
	uint32_t weights[40], count[40], round, i, p;

	(void)state;
	srandom(2);
	for (round = 0; round < 100; round++) {
		uint32_t n = 2 + (uint32_t)random() % 39, sum = 0;
		struct wrr *wrr;

		memset(count, 0, sizeof(count));
		for (i = 0; i < n; i++) {
			weights[i] = round % 2 ? 1 + (uint32_t)random() % 100 : (i ? 1 : 100);
			sum += weights[i];
		}
		wrr = wrr_new(weights, n, 0);
		for (p = 1; p <= sum; p++) {
			count[wrr_pick(wrr, usable, NULL)]++;
			for (i = 0; i < n; i++)
				assert_true(llabs((long long)count[i] * sum -
						  (long long)p * weights[i]) < sum);
		}
		wrr_free(wrr);
	}
}

static void test_offset_is_that_many_picks_later(void **state)
{
	const uint32_t weights[] = { 5, 3, 2, 9 };
	struct wrr *first = wrr_new(weights, 4, 0), *later = wrr_new(weights, 4, 7);
	int i;

	(void)state;
	for (i = 0; i < 7; i++)
		wrr_pick(first, usable, NULL);
	for (i = 0; i < 100; i++)
		assert_int_equal(wrr_pick(first, usable, NULL), wrr_pick(later, usable, NULL));
	wrr_free(first);
	wrr_free(later);
}

static void test_weight_zero_is_never_picked(void **state)
{
	const uint32_t weights[] = { 0, 2, 0, 1 }, none[] = { 0, 0 };
	struct wrr *wrr = wrr_new(weights, 4, 0), *empty = wrr_new(none, 2, 5);
	struct wrr *nothing = wrr_new(NULL, 0, 3);
	int i;

	(void)state;
	for (i = 0; i < 30; i++)
		assert_int_equal(wrr_pick(wrr, usable, NULL) & 1, 1);
	assert_int_equal(wrr_pick(empty, usable, NULL), -1);
	assert_int_equal(wrr_pick(nothing, usable, NULL), -1);
	wrr_free(wrr);
	wrr_free(empty);
	wrr_free(nothing);
}

static void test_the_others_share_exactly_while_one_is_down(void **state)
{
	const uint32_t weights[] = { 4, 3, 2, 1 };
	uint32_t count[4] = { 0 };
	struct wrr *wrr = wrr_new(weights, 4, 0);
	int i;

	(void)state;
	down[0] = true;
	for (i = 0; i < 6 * 50; i++)
		count[wrr_pick(wrr, usable, NULL)]++;
	assert_int_equal(count[0], 0);
	assert_int_equal(count[1], 150);
	assert_int_equal(count[2], 100);
	assert_int_equal(count[3], 50);
	wrr_free(wrr);
}

static void test_what_comes_back_gets_its_share_and_no_more(void **state)
{
	const uint32_t weights[] = { 1, 1 };
	struct wrr *wrr = wrr_new(weights, 2, 0);
	uint32_t count[2] = { 0 };
	int i;

	(void)state;
	down[0] = true;
	for (i = 0; i < 1000; i++)
		assert_int_equal(wrr_pick(wrr, usable, NULL), 1);
	down[0] = false;
	for (i = 0; i < 10; i++)
		count[wrr_pick(wrr, usable, NULL)]++;
	assert_int_equal(count[0], 5);
	assert_int_equal(count[1], 5);
	wrr_free(wrr);
}

static void test_none_usable_is_minus_one_and_then_recovers(void **state)
{
	const uint32_t weights[] = { 3, 2, 1 };
	struct wrr *wrr = wrr_new(weights, 3, 0);
	uint32_t count[3] = { 0 };
	int i;

	(void)state;
	memset(down, 1, 3);
	for (i = 0; i < 100; i++)
		assert_int_equal(wrr_pick(wrr, usable, NULL), -1);
	memset(down, 0, 3);
	for (i = 0; i < 60; i++)
		count[wrr_pick(wrr, usable, NULL)]++;
	assert_int_equal(count[0], 30);
	assert_int_equal(count[1], 20);
	assert_int_equal(count[2], 10);
	wrr_free(wrr);
}

/* The path of one look at all entries: 3 usable of 2,000. */
static void test_few_usable_of_many_keep_their_proportions(void **state)
{
	uint32_t *weights = calloc(N_MAX, sizeof(*weights)), *count = calloc(N_MAX, sizeof(*count));
	struct wrr *wrr;
	uint32_t i;

	(void)state;
	for (i = 0; i < N_MAX; i++)
		weights[i] = 1 + i % 100;
	wrr = wrr_new(weights, N_MAX, 12345);
	memset(down, 1, sizeof(down));
	down[9] = down[19] = down[1029] = false; /* weights 10, 20, 30 */
	for (i = 0; i < 6000; i++)
		count[wrr_pick(wrr, usable, NULL)]++;
	assert_in_range(count[9], 998, 1002);
	assert_in_range(count[19], 1998, 2002);
	assert_in_range(count[1029], 2998, 3002);

	/* And back: over a period or two everyone is where its weight says. */
	memset(down, 0, sizeof(down));
	memset(count, 0, N_MAX * sizeof(*count));
	for (i = 0; i < 101000; i++)
		count[wrr_pick(wrr, usable, NULL)]++;
	for (i = 0; i < N_MAX; i++)
		assert_in_range(count[i], weights[i] - 1, weights[i] + 1);
	wrr_free(wrr);
	free(weights);
	free(count);
}

static void test_flapping_entries_never_starve_the_others(void **state)
{
	const uint32_t weights[] = { 10, 10, 10, 10, 10, 1 };
	struct wrr *wrr = wrr_new(weights, 6, 0);
	uint32_t count[6] = { 0 }, i, e;

	(void)state;
	srandom(3);
	for (i = 0; i < 51000; i++) {
		for (e = 0; e < 3; e++)
			down[e] = random() % 2;
		count[wrr_pick(wrr, usable, NULL)]++;
	}
	/* Always usable ones keep 10 : 1. */
	assert_in_range(count[3], 10 * count[5] - 12, 10 * count[5] + 12);
	assert_in_range(count[4], count[3] - 2, count[3] + 2);
	wrr_free(wrr);
}

static void test_weights_as_wide_as_the_maps(void **state)
{
	const uint32_t weights[] = { BALANCE_WEIGHT_MAX, BALANCE_WEIGHT_MAX - 1, 1 };
	uint32_t count[3] = { 0 }, i;
	struct wrr *wrr = wrr_new(weights, 3, UINT32_MAX);

	(void)state;
	for (i = 0; i < 2u * BALANCE_WEIGHT_MAX; i++)
		count[wrr_pick(wrr, usable, NULL)]++;
	for (i = 0; i < 3; i++)
		assert_int_equal(count[i], weights[i]);
	wrr_free(wrr);
}

static void test_no_memory_is_null_and_picks_need_none(void **state)
{
	const uint32_t weights[] = { 3, 2, 1 };
	int i;

	(void)state;
	FAULT_EACH(n) {
		struct wrr *wrr = wrr_new(weights, 3, 0);

		fault_stop();
		assert_int_equal(wrr == NULL, fault_hit());
		if (wrr) {
			fault_start_all(0);
			for (i = 0; i < 100; i++)
				wrr_pick(wrr, usable, NULL);
			fault_stop();
			assert_int_equal(fault_count(), 0);
		}
		wrr_free(wrr);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_spreads_the_heavy_entry_out, reset),
		cmocka_unit_test_setup(test_every_window_is_exact, reset),
		cmocka_unit_test_setup(test_no_entry_is_ever_a_pick_ahead_or_behind, reset),
		cmocka_unit_test_setup(test_offset_is_that_many_picks_later, reset),
		cmocka_unit_test_setup(test_weight_zero_is_never_picked, reset),
		cmocka_unit_test_setup(test_the_others_share_exactly_while_one_is_down, reset),
		cmocka_unit_test_setup(test_what_comes_back_gets_its_share_and_no_more, reset),
		cmocka_unit_test_setup(test_none_usable_is_minus_one_and_then_recovers, reset),
		cmocka_unit_test_setup(test_few_usable_of_many_keep_their_proportions, reset),
		cmocka_unit_test_setup(test_flapping_entries_never_starve_the_others, reset),
		cmocka_unit_test_setup(test_weights_as_wide_as_the_maps, reset),
		cmocka_unit_test_setup(test_no_memory_is_null_and_picks_need_none, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
