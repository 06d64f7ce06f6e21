/* SPDX-License-Identifier: MIT */
/*
 * test_slow_start.c - the share of a backend's weight grows in step with time, from a tenth.
 */
#include "balance/slow_start.h"

#include "cm.h"

#define S 1000000000ull

static void test_it_grows_from_a_tenth_to_the_whole(void **state)
{
	uint32_t last = 0;

	(void)state;
	assert_int_equal(slow_start_share(100 * S, 100 * S, 30 * S), SLOW_START_WHOLE / 10);
	assert_int_equal(slow_start_share(100 * S, 115 * S, 30 * S), SLOW_START_WHOLE / 2);
	assert_int_equal(slow_start_share(100 * S, 130 * S, 30 * S), SLOW_START_WHOLE);
	assert_int_equal(slow_start_share(100 * S, 900000 * S, 30 * S), SLOW_START_WHOLE);
	for (uint64_t now = 100 * S; now < 131 * S; now += S / 10) {
		uint32_t share = slow_start_share(100 * S, now, 30 * S);

		assert_true(share >= last);
		last = share;
	}
}

static void test_a_clock_that_is_behind_is_the_beginning(void **state)
{
	(void)state;
	assert_int_equal(slow_start_share(100 * S, 99 * S, 30 * S), SLOW_START_WHOLE / 10);
}

static void test_the_whole_is_always_accepted(void **state)
{
	(void)state;
	assert_true(slow_start_accepts(SLOW_START_WHOLE, UINT64_MAX));
	assert_true(slow_start_accepts(1, 0));
	assert_false(slow_start_accepts(1, 1));
	assert_false(slow_start_accepts(SLOW_START_WHOLE / 2, SLOW_START_WHOLE / 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_grows_from_a_tenth_to_the_whole),
		cmocka_unit_test(test_a_clock_that_is_behind_is_the_beginning),
		cmocka_unit_test(test_the_whole_is_always_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
