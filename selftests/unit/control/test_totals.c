/* SPDX-License-Identifier: MIT */
/*
 * test_totals.c - counts that survive a worker's death, the rate of calls, and ticket keys that
 * every worker knows before they seal.
 */
#include "control/totals.h"

#include <string.h>

#include "cm.h"
#include "control/tickets.h"

static struct sluice_worker workers[4];
static const struct state maps = { .workers = workers };

static int setup(void **state)
{
	(void)state;
	memset(workers, 0, sizeof(workers));
	return 0;
}

static void totals_survive_a_worker_and_open_counts_do_not(void **state)
{
	struct totals totals = { 0 };
	struct totals_now now;

	(void)state;
	workers[0] = (struct sluice_worker){ .state = SLUICE_WORKER_LIVE, .calls = 10,
					     .connections = 3, .active_rpcs = 2 };
	workers[1] = (struct sluice_worker){ .state = SLUICE_WORKER_DEAD, .calls = 5,
					     .accepted = 4, .connections = 7, .active_rpcs = 7 };
	totals_read(&totals, &maps, 2, &now);
	assert_int_equal(now.counts.calls, 15);
	assert_int_equal(now.connections, 3);
	assert_int_equal(now.active_rpcs, 2);

	totals_retire(&totals, &workers[1]);
	memset(&workers[1], 0, sizeof(workers[1]));
	totals_read(&totals, &maps, 2, &now);
	assert_int_equal(now.counts.calls, 15);
	assert_int_equal(now.counts.accepted, 4);
}

static void calls_a_second_are_those_between_two_samples(void **state)
{
	struct totals totals = { 0 };

	(void)state;
	workers[0] = (struct sluice_worker){ .state = SLUICE_WORKER_LIVE, .calls = 1000 };
	totals_sample(&totals, &maps, 1, 1000000000);
	assert_true(totals.calls_per_second == 0);
	workers[0].calls = 1050;
	totals_sample(&totals, &maps, 1, 1500000000);
	assert_true(totals.calls_per_second > 99.9 && totals.calls_per_second < 100.1);
	totals_sample(&totals, &maps, 1, 2500000000);
	assert_true(totals.calls_per_second == 0);
}

static void a_ticket_key_is_known_a_period_before_it_seals_and_one_after(void **state)
{
	struct channel_tickets first, second, third;

	(void)state;
	assert_int_equal(tickets_init(&first), 0);
	assert_int_equal(first.n, TICKET_KEYS_MAX);
	assert_memory_not_equal(&first.keys[0], &first.keys[1], sizeof(first.keys[0]));
	second = first;
	assert_int_equal(tickets_rotate(&second), 0);
	assert_memory_equal(&second.keys[0], &first.keys[1], sizeof(first.keys[0]));
	assert_memory_equal(&second.keys[2], &first.keys[0], sizeof(first.keys[0]));
	assert_memory_not_equal(&second.keys[1], &first.keys[2], sizeof(first.keys[0]));
	third = second;
	assert_int_equal(tickets_rotate(&third), 0);
	assert_memory_equal(&third.keys[2], &second.keys[0], sizeof(first.keys[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(totals_survive_a_worker_and_open_counts_do_not, setup),
		cmocka_unit_test_setup(calls_a_second_are_those_between_two_samples, setup),
		cmocka_unit_test(a_ticket_key_is_known_a_period_before_it_seals_and_one_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
