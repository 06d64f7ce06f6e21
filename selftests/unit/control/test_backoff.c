/* SPDX-License-Identifier: MIT */
/*
 * test_backoff.c - when a dead child is started again.
 */
#include "control/backoff.h"

#include "cm.h"

static void first_death_is_replaced_at_once(void **state)
{
	struct backoff backoff = { 0 };

	(void)state;
	assert_int_equal(backoff_next_ms(&backoff, 5), 0);
}

static void a_row_of_deaths_waits_twice_as_long_each_time_up_to_the_limit(void **state)
{
	static const uint32_t want[] = { 0, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000 };
	struct backoff backoff = { 0 };

	(void)state;
	for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(backoff_next_ms(&backoff, 1), want[i]);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(backoff_next_ms(&backoff, 1), BACKOFF_MAX_MS);
}

static void a_long_life_forgets_earlier_deaths(void **state)
{
	struct backoff backoff = { 0 };

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		backoff_next_ms(&backoff, 1);
	assert_int_equal(backoff_next_ms(&backoff, BACKOFF_HEALTHY_MS), 0);
	assert_int_equal(backoff_next_ms(&backoff, 1), 0);
	assert_int_equal(backoff_next_ms(&backoff, 1), BACKOFF_FIRST_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_death_is_replaced_at_once),
		cmocka_unit_test(a_row_of_deaths_waits_twice_as_long_each_time_up_to_the_limit),
		cmocka_unit_test(a_long_life_forgets_earlier_deaths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
