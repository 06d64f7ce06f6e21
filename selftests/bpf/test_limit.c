/* SPDX-License-Identifier: MIT */
/*
 * test_limit.c - the limit's arithmetic against a fake clock, compiled from the very header that
 * the gate is compiled from; and the race of many takers. Needs no rights.
 */
#include <pthread.h>
#include <stdio.h>

#include "../../bpf/limit.h"
#include "../unit/cm.h"

#define MS 1000000ull
#define SECOND (1000 * MS)

static unsigned take_all(__u64 *tat, __u64 now, __u64 interval, __u64 tolerance)
{
	unsigned taken = 0;

	while (limit_take(tat, now, interval, tolerance))
		taken++;
	return taken;
}

static void the_burst_is_tolerance_over_interval_plus_one(void **state)
{
	for (unsigned burst = 1; burst <= 300; burst++) {
		__u64 tat = 0;

		assert_int_equal(take_all(&tat, 7 * SECOND, 10 * MS, (burst - 1) * 10 * MS), burst);
	}
}

static void after_the_burst_comes_one_each_interval_exactly(void **state)
{
	__u64 tat = 0, now = 7 * SECOND;
	unsigned taken = 0;

	assert_int_equal(take_all(&tat, now, 10 * MS, 40 * MS), 5);
	assert_false(limit_take(&tat, now + 10 * MS - 1, 10 * MS, 40 * MS));
	assert_true(limit_take(&tat, now + 10 * MS, 10 * MS, 40 * MS));
	assert_false(limit_take(&tat, now + 10 * MS, 10 * MS, 40 * MS));
	/* Asked every millisecond for 100 s: 100/s, and no drift. */
	for (unsigned i = 1; i <= 100000; i++)
		taken += limit_take(&tat, now + 10 * MS + i * MS, 10 * MS, 40 * MS);
	assert_int_equal(taken, 10000);
}

static void an_idle_source_saves_up_no_more_than_the_burst(void **state)
{
	__u64 tat = 0, now = SECOND;

	assert_int_equal(take_all(&tat, now, MS, 9 * MS), 10);
	assert_int_equal(take_all(&tat, now + 4 * MS, MS, 9 * MS), 4);
	assert_int_equal(take_all(&tat, now + 3600 * SECOND, MS, 9 * MS), 10);
}

static void a_refusal_costs_nothing(void **state)
{
	__u64 tat = 0, now = SECOND, before;

	take_all(&tat, now, MS, 0);
	before = tat;
	for (int i = 0; i < 1000; i++)
		assert_false(limit_take(&tat, now, MS, 0));
	assert_int_equal(tat, before);
}

static void a_clock_a_little_behind_cannot_reset_the_limit(void **state)
{
	__u64 tat = 0, now = 10 * SECOND;

	assert_int_equal(take_all(&tat, now, 100 * MS, 900 * MS), 10);
	/* A CPU that read the clock before the others wrote. */
	assert_int_equal(take_all(&tat, now - 500 * MS, 100 * MS, 900 * MS), 0);
}

static void a_time_of_an_older_slower_limit_is_forgotten(void **state)
{
	__u64 tat = 0, now = 10 * SECOND;

	assert_true(limit_take(&tat, now, 3600 * SECOND, 0));
	assert_int_equal(take_all(&tat, now, MS, 9 * MS), 10);
}

#define TAKERS 4
#define ROUNDS 200000

struct race {
	__u64 tat;
	unsigned taken[TAKERS];
};

struct taker {
	struct race *race;
	unsigned index;
};

static void *take_many(void *arg)
{
	struct taker *taker = arg;

	for (unsigned i = 0; i < ROUNDS; i++)
		taker->race->taken[taker->index] +=
			limit_take(&taker->race->tat, 10 * SECOND, MS, 999 * MS);
	return NULL;
}

static void racing_takers_never_get_more_than_the_burst(void **state)
{
	struct race race = { 0 };
	struct taker takers[TAKERS];
	pthread_t threads[TAKERS];
	unsigned sum = 0;

	for (unsigned i = 0; i < TAKERS; i++) {
		takers[i] = (struct taker){ &race, i };
		assert_int_equal(pthread_create(&threads[i], NULL, take_many, &takers[i]), 0);
	}
	for (unsigned i = 0; i < TAKERS; i++) {
		pthread_join(threads[i], NULL);
		sum += race.taken[i];
	}
	assert_int_equal(sum, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_burst_is_tolerance_over_interval_plus_one),
		cmocka_unit_test(after_the_burst_comes_one_each_interval_exactly),
		cmocka_unit_test(an_idle_source_saves_up_no_more_than_the_burst),
		cmocka_unit_test(a_refusal_costs_nothing),
		cmocka_unit_test(a_clock_a_little_behind_cannot_reset_the_limit),
		cmocka_unit_test(a_time_of_an_older_slower_limit_is_forgotten),
		cmocka_unit_test(racing_takers_never_get_more_than_the_burst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
