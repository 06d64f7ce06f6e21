/* SPDX-License-Identifier: MIT */
/*
 * test_call_limit.c - calls a second that all workers keep together: the pace, the burst, the wait
 * that is told, keys that push others out, and processes at once.
 */
#include "shared/call_limit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cm.h"

#define MS	  1000000ull
#define NOW	  (1000000ull * MS)
#define SAME_SET  ((uint64_t)SLUICE_LIMIT_SETS) /* keys that differ by this share a set */
#define PROCESSES 4

static struct state limits;

static int setup(void **state)
{
	size_t bytes = sizeof(*limits.limits) * SLUICE_LIMIT_SETS;

	if (!limits.limits)
		limits.limits = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(limits.limits, MAP_FAILED);
	memset(limits.limits, 0, bytes);
	return 0;
}

static const struct config_rate ten_a_second = { .interval_ns = 100 * MS, .burst = 3 };

static void a_burst_passes_then_the_pace_holds(void **state)
{
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(call_limit_take(&limits, 7, &ten_a_second, NOW), 0);
	assert_int_equal(call_limit_take(&limits, 7, &ten_a_second, NOW), 100 * MS);
	/* What was refused took nothing. */
	assert_int_equal(call_limit_take(&limits, 7, &ten_a_second, NOW + 40 * MS), 60 * MS);
	assert_int_equal(call_limit_take(&limits, 7, &ten_a_second, NOW + 100 * MS), 0);
	assert_int_equal(call_limit_take(&limits, 7, &ten_a_second, NOW + 100 * MS), 100 * MS);
	/* Silence gives the burst back, and no more than that. */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(call_limit_take(&limits, 7, &ten_a_second, NOW + 99999 * MS), 0);
	assert_int_not_equal(call_limit_take(&limits, 7, &ten_a_second, NOW + 99999 * MS), 0);
}

static void over_ten_seconds_the_rate_is_exact(void **state)
{
	unsigned passed = 0;

	for (uint64_t at = 0; at < 10000; at++)
		passed += !call_limit_take(&limits, 7, &ten_a_second, NOW + at * MS);
	assert_in_range(passed, 100 + 2, 100 + 3);
}

static void keys_do_not_touch_each_other(void **state)
{
	for (uint64_t key = 1; key <= 1000; key++)
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(call_limit_take(&limits, key * 0x9e3779b97f4a7c15ull,
							 &ten_a_second, NOW),
					 i < 3 ? 0 : 100 * MS);
}

static void no_rate_is_no_limit_and_a_burst_of_one_is_one(void **state)
{
	const struct config_rate none = { 0 }, one = { .interval_ns = MS, .burst = 1 };

	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(call_limit_take(&limits, 7, &none, NOW), 0);
	assert_int_equal(call_limit_take(&limits, 7, &one, NOW), 0);
	assert_int_equal(call_limit_take(&limits, 7, &one, NOW), MS);
	/* 0 marks an empty way, and is a key nevertheless. */
	assert_int_equal(call_limit_take(&limits, 0, &one, NOW), 0);
	assert_int_equal(call_limit_take(&limits, 0, &one, NOW), MS);
}

static void a_full_set_gives_up_the_key_that_was_silent_longest(void **state)
{
	for (uint64_t i = 0; i < SLUICE_LIMIT_WAYS; i++)
		for (unsigned n = 0; n < 3; n++)
			assert_int_equal(call_limit_take(&limits, 5 + i * SAME_SET, &ten_a_second,
							 NOW + i * MS),
					 0);
	/* One more key takes the place of the first, at the pace from its first call on: who is
	 * pushed out and comes back must not have a burst each time. */
	assert_int_equal(call_limit_take(&limits, 5 + 99 * SAME_SET, &ten_a_second, NOW + 10 * MS),
			 0);
	assert_int_equal(call_limit_take(&limits, 5 + 99 * SAME_SET, &ten_a_second, NOW + 10 * MS),
			 100 * MS);
	for (uint64_t i = 1; i < SLUICE_LIMIT_WAYS; i++)
		assert_int_not_equal(call_limit_take(&limits, 5 + i * SAME_SET, &ten_a_second,
						     NOW + 10 * MS),
				     0);
}

static void a_faster_rate_after_a_reload_holds_at_once(void **state)
{
	const struct config_rate slow = { .interval_ns = 3600000 * MS, .burst = 10 };

	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(call_limit_take(&limits, 7, &slow, NOW), 0);
	assert_in_range(call_limit_take(&limits, 7, &ten_a_second, NOW), 1, 100 * MS);
	assert_int_equal(call_limit_take(&limits, 7, &ten_a_second, NOW), 100 * MS);
	assert_int_equal(call_limit_take(&limits, 7, &ten_a_second, NOW + 100 * MS), 0);
	assert_int_equal(call_limit_take(&limits, 7, &ten_a_second, NOW + 100 * MS), 100 * MS);
}

static void the_largest_rate_and_the_last_times_do_not_wrap(void **state)
{
	const struct config_rate wide = { .interval_ns = 3600ull * 1000 * MS, .burst = UINT32_MAX };
	const struct config_rate fine = { .interval_ns = 1, .burst = 1000000 };

	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(call_limit_take(&limits, 7, &wide, NOW), 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(call_limit_take(&limits, 8, &fine, UINT64_MAX / 2), 0);
}

/* ---- workers at once ---- */

#define TAKES 20000u

static unsigned take_many(uint64_t key, const struct config_rate *rate)
{
	unsigned passed = 0;

	for (unsigned i = 0; i < TAKES; i++)
		passed += !call_limit_take(&limits, key, rate, NOW);
	return passed;
}

static void processes_share_one_limit(void **state)
{
	const struct config_rate rate = { .interval_ns = 100 * MS, .burst = 1234 };
	unsigned *passed = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
				0);
	unsigned sum = 0;
	pid_t pids[PROCESSES];

	for (unsigned i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			passed[i] = take_many(42, &rate);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
		sum += passed[i];
	}
	munmap(passed, 4096);
	/* Who comes first takes a way each, in the worst case; the times of all but one are lost. */
	assert_in_range(sum, 1234, 1234 + PROCESSES);
}

static void *take_from_crowded_set(void *arg)
{
	uint64_t first = (uint64_t)(uintptr_t)arg;

	for (unsigned i = 0; i < TAKES; i++)
		call_limit_take(&limits, 9 + ((first + i) % 24) * SAME_SET, &ten_a_second,
				NOW + i * 1000);
	return NULL;
}

/* Three keys for each way, all the time: it stays bounded, and every way ends with one of them. */
static void threads_in_a_crowded_set_leave_it_whole(void **state)
{
	pthread_t threads[PROCESSES];

	for (unsigned i = 0; i < PROCESSES; i++)
		pthread_create(&threads[i], NULL, take_from_crowded_set, (void *)(uintptr_t)(i * 5));
	for (unsigned i = 0; i < PROCESSES; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < SLUICE_LIMIT_WAYS; i++) {
		uint64_t tag = limits.limits[9].ways[i].tag;

		assert_int_equal(tag & (SLUICE_LIMIT_SETS - 1), 9);
		assert_in_range(limits.limits[9].ways[i].tat_ns, NOW,
				NOW + TAKES * 1000ull + 400 * MS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_burst_passes_then_the_pace_holds, setup),
		cmocka_unit_test_setup(over_ten_seconds_the_rate_is_exact, setup),
		cmocka_unit_test_setup(keys_do_not_touch_each_other, setup),
		cmocka_unit_test_setup(no_rate_is_no_limit_and_a_burst_of_one_is_one, setup),
		cmocka_unit_test_setup(a_full_set_gives_up_the_key_that_was_silent_longest, setup),
		cmocka_unit_test_setup(a_faster_rate_after_a_reload_holds_at_once, setup),
		cmocka_unit_test_setup(the_largest_rate_and_the_last_times_do_not_wrap, setup),
		cmocka_unit_test_setup(processes_share_one_limit, setup),
		cmocka_unit_test_setup(threads_in_a_crowded_set_leave_it_whole, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
