/* SPDX-License-Identifier: MIT */
/*
 * test_outlier.c - who falls out of line: by success rate against the group's mean, by latency
 * against its median, and when there is not enough to go by.
 */
#include "balance/outlier.h"

#include "cm.h"

static struct outlier_sample make(uint64_t outcomes, uint64_t failures, uint64_t mean_ms)
{
	return (struct outlier_sample){ .outcomes = outcomes,
					.failures = failures,
					.latency_us = (outcomes - failures) * mean_ms * 1000 };
}

static unsigned flagged(const struct outlier_sample *samples, size_t n, bool latency)
{
	unsigned bits = 0;

	for (size_t i = 0; i < n; i++)
		bits |= (unsigned)(latency ? samples[i].high_latency : samples[i].low_success) << i;
	return bits;
}

static unsigned by_success(struct outlier_sample *samples, size_t n)
{
	outlier_judge_success(samples, n, 100, 5, 1900);
	return flagged(samples, n, false);
}

static unsigned by_latency(struct outlier_sample *samples, size_t n)
{
	uint64_t scratch[16];

	outlier_judge_latency(samples, n, 100, 5, 3000, scratch);
	return flagged(samples, n, true);
}

static void test_the_one_that_fails_more_than_the_others(void **state)
{
	struct outlier_sample samples[] = { make(100, 1, 1), make(120, 0, 1), make(100, 40, 1),
					    make(300, 2, 1), make(100, 1, 1) };

	(void)state;
	assert_int_equal(by_success(samples, 5), 1 << 2);
	assert_int_equal(outlier_success_permyriad(&samples[2]), 6000);
}

static void test_nobody_where_all_fail_alike(void **state)
{
	struct outlier_sample samples[] = { make(100, 50, 1), make(100, 52, 1), make(100, 48, 1),
					    make(100, 51, 1), make(100, 49, 1) };

	(void)state;
	assert_int_equal(by_success(samples, 5), 0);
}

/* A deviation is next to nothing there: one failure in a thousand is no outlier. */
static void test_nobody_in_a_group_that_hardly_fails(void **state)
{
	struct outlier_sample samples[] = { make(1000, 0, 1), make(1000, 0, 1), make(1000, 1, 1),
					    make(1000, 0, 1), make(1000, 0, 1) };

	(void)state;
	assert_int_equal(by_success(samples, 5), 0);
}

static void test_too_few_calls_or_backends_are_not_judged(void **state)
{
	struct outlier_sample few_calls[] = { make(100, 0, 1), make(100, 0, 1), make(99, 90, 1),
					      make(100, 0, 1), make(100, 0, 1), make(100, 0, 1) };
	struct outlier_sample few[] = { make(100, 0, 1), make(100, 0, 1), make(100, 90, 1),
					make(100, 0, 1), make(99, 0, 1) };

	(void)state;
	assert_int_equal(by_success(few_calls, 6), 0);
	assert_int_equal(by_success(few, 5), 0);
	assert_int_equal(by_success(few, 0), 0);
	assert_int_equal(by_latency(few, 5), 0);
	assert_int_equal(by_latency(few, 0), 0);
}

static void test_the_one_that_is_slower_than_the_median_by_the_factor(void **state)
{
	struct outlier_sample samples[] = { make(100, 0, 10), make(100, 0, 12), make(100, 0, 37),
					    make(100, 0, 11), make(100, 0, 35) };

	(void)state;
	assert_int_equal(by_latency(samples, 5), 1 << 2); /* the median is 12 ms */
	assert_int_equal(outlier_mean_latency_us(&samples[2]), 37000);
}

static void test_latency_is_of_those_that_did_not_fail(void **state)
{
	struct outlier_sample samples[] = { make(200, 100, 10), make(100, 100, 0), make(100, 0, 10),
					    make(100, 0, 10),	make(100, 0, 10),  make(100, 0, 10) };

	(void)state;
	assert_int_equal(by_latency(samples, 6), 0);
	assert_int_equal(outlier_mean_latency_us(&samples[0]), 10000);
	assert_int_equal(outlier_mean_latency_us(&samples[1]), 0);
}

static void test_a_judgement_is_taken_back_at_the_next_look(void **state)
{
	struct outlier_sample samples[] = { make(100, 0, 1), make(100, 0, 1), make(100, 90, 1),
					    make(100, 0, 1), make(100, 0, 1) };

	(void)state;
	assert_int_equal(by_success(samples, 5), 1 << 2);
	samples[2] = make(100, 0, 1);
	samples[2].low_success = true;
	assert_int_equal(by_success(samples, 5), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_one_that_fails_more_than_the_others),
		cmocka_unit_test(test_nobody_where_all_fail_alike),
		cmocka_unit_test(test_nobody_in_a_group_that_hardly_fails),
		cmocka_unit_test(test_too_few_calls_or_backends_are_not_judged),
		cmocka_unit_test(test_the_one_that_is_slower_than_the_median_by_the_factor),
		cmocka_unit_test(test_latency_is_of_those_that_did_not_fail),
		cmocka_unit_test(test_a_judgement_is_taken_back_at_the_next_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
