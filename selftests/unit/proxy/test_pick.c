/* SPDX-License-Identifier: MIT */
/*
 * test_pick.c - which backend an attempt goes to: health, drain, tiers, panic, slow start, full
 * backends, ejection and its trial, and what was tried before, by every algorithm.
 */
#include "proxy/pick_world.h"

#include "shared/eject.h"

static const enum config_balance all_kinds[] = { BALANCE_WEIGHTED_ROUND_ROBIN,
						 BALANCE_LEAST_REQUEST, BALANCE_CONSISTENT_HASH,
						 BALANCE_RANDOM };
#define FOR_ALL_KINDS(kind) for (unsigned kind = 0; kind < 4; kind++)

static void begin(unsigned n, unsigned kind)
{
	pick_world_init(n);
	pick_world.group->balance = all_kinds[kind];
}

static void detect_outliers(void)
{
	pick_world.group->outlier = (struct config_outlier){
		.enabled = true,
		.consecutive_failures = 5,
		.base_ejection_ms = 30000,
		.max_ejection_ms = 300000,
		.max_ejected_percent = 50,
	};
}

static void down_and_drained_ones_get_no_calls(void **state)
{
	unsigned count[16];

	FOR_ALL_KINDS(kind) {
		begin(4, kind);
		pick_world.group->endpoints[1].drained = true;
		pick_world_start();
		pick_set_health(0, SLUICE_HEALTH_DOWN);
		pick_many(400, count);
		assert_int_equal(count[0] + count[1], 0);
		assert_true(count[2] > 100 && count[3] > 100);
		pick_world_done();
	}
}

static void a_drained_one_gets_no_call_even_when_all_others_are_down(void **state)
{
	FOR_ALL_KINDS(kind) {
		begin(2, kind);
		pick_world.group->endpoints[1].drained = true;
		pick_world_start();
		pick_set_health(0, SLUICE_HEALTH_DOWN);
		for (unsigned i = 0; i < 20; i++)
			assert_int_equal(pick_new(), 0); /* it fails open */
		pick_world_done();
	}
}

/* A call that began before `sluicectl drain` and is sent again. */
static void a_call_of_an_older_configuration_sees_a_drain_in_the_map(void **state)
{
	struct router other = { 0 };

	begin(2, 0);
	pick_world_start();
	pick_row(0)->drained = 1;
	assert_int_equal(pick_new(), 0); /* its own configuration is the one in force */
	pick_world.stream.router = &other;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pick_new(), 1);
	pick_world_done();
}

static void all_down_fails_open_or_not(void **state)
{
	unsigned count[16];

	begin(2, 0);
	pick_world_start();
	pick_set_health(0, SLUICE_HEALTH_DOWN);
	pick_set_health(1, SLUICE_HEALTH_DOWN);
	pick_many(20, count);
	assert_int_equal(count[0], 10);
	pick_world.group->on_all_down = SLUICE_ALL_DOWN_RESET;
	assert_int_equal(pick_new(), -1);
	assert_false(pick_world.full);
	pick_world_done();
}

static void the_same_backend_never_twice_while_another_is_live(void **state)
{
	FOR_ALL_KINDS(kind) {
		begin(3, kind);
		pick_world_start();
		pick_set_health(2, SLUICE_HEALTH_DOWN);
		for (unsigned i = 0; i < 50; i++) {
			int first = pick_new();

			assert_int_equal(pick_next(true), !first);
			assert_int_equal(pick_next(true), 2);
			assert_int_equal(pick_next(true), -1);
			assert_in_range(pick_next(false), 0, 1);
		}
		pick_world_done();
	}
}

/* A route's retry: to one that is live, though it has had the call, rather than to one that is not. */
static void a_retry_goes_to_a_live_one_before_it_goes_to_those_that_are_out(void **state)
{
	FOR_ALL_KINDS(kind) {
		begin(3, kind);
		detect_outliers();
		pick_world_start();
		pick_set_health(1, SLUICE_HEALTH_DOWN);
		eject_backend(&pick_world.worker.state, pick_world.group, PICK_FIRST + 2,
			      SLUICE_EJECT_CONSECUTIVE, 5, pick_world.worker.loop.now_ns);
		for (unsigned i = 0; i < 10; i++) {
			assert_int_equal(pick_new(), 0);
			assert_int_equal(pick_next(false), 0);
			assert_int_equal(pick_next(true), 2); /* it does not take the call now */
			assert_int_equal(pick_next(false), 1);
		}
		pick_world_done();
	}
}

static void backups_serve_when_none_of_the_first_tier_lives(void **state)
{
	unsigned count[16];

	FOR_ALL_KINDS(kind) {
		begin(4, kind);
		pick_world.group->endpoints[2].backup = pick_world.group->endpoints[3].backup = true;
		pick_world_start();
		pick_many(200, count);
		assert_int_equal(count[2] + count[3], 0);
		pick_set_health(0, SLUICE_HEALTH_DOWN);
		pick_many(200, count);
		assert_int_equal(count[1], 200);
		pick_set_health(1, SLUICE_HEALTH_DOWN);
		pick_many(200, count);
		assert_int_equal(count[0] + count[1], 0);
		assert_true(count[2] > 40 && count[3] > 40);
		pick_set_health(0, SLUICE_HEALTH_UP);
		pick_many(200, count);
		assert_int_equal(count[0], 200);
		pick_world_done();
	}
}

static void backups_serve_beside_a_first_tier_below_its_share(void **state)
{
	unsigned count[16];

	begin(4, 0);
	pick_world.group->endpoints[3].backup = true;
	pick_world.group->backup_below_percent = 60;
	pick_world_start();
	pick_set_health(0, SLUICE_HEALTH_DOWN);
	pick_many(300, count);
	assert_int_equal(count[3], 0);
	pick_set_health(1, SLUICE_HEALTH_DOWN);
	pick_many(300, count);
	assert_int_equal(count[2], 150);
	assert_int_equal(count[3], 150);
	pick_world_done();
}

/* One attempt at the only live backend of the first tier failed. */
static void a_backup_takes_what_the_first_tier_could_not(void **state)
{
	begin(2, 0);
	pick_world.group->endpoints[1].backup = true;
	pick_world_start();
	assert_int_equal(pick_new(), 0);
	assert_int_equal(pick_next(true), 1);
	pick_world_done();
}

static void in_a_panic_health_does_not_count(void **state)
{
	unsigned count[16];

	FOR_ALL_KINDS(kind) {
		begin(4, kind);
		pick_world.group->panic_percent = 50;
		pick_world_start();
		pick_set_health(0, SLUICE_HEALTH_DOWN);
		pick_set_health(1, SLUICE_HEALTH_DOWN);
		pick_many(200, count);
		assert_int_equal(count[0] + count[1], 0);
		pick_set_health(2, SLUICE_HEALTH_DOWN);
		pick_many(400, count);
		for (unsigned i = 0; i < 4; i++)
			assert_in_range(count[i], 60, 150);
		pick_set_health(2, SLUICE_HEALTH_UP);
		pick_many(200, count);
		assert_int_equal(count[0] + count[1], 0);
		pick_world_done();
	}
}

/* bpftool changes health and raises no epoch: what is usable is still read at each pick. */
static void a_hand_edit_of_the_map_holds_at_once(void **state)
{
	begin(2, 0);
	pick_world.group->endpoints[1].backup = true;
	pick_world_start();
	assert_int_equal(pick_new(), 0);
	pick_row(0)->health = SLUICE_HEALTH_DOWN;
	assert_int_equal(pick_new(), 1);
	pick_world_done();
}

static void full_backends_are_passed_over_and_said(void **state)
{
	FOR_ALL_KINDS(kind) {
		begin(2, kind);
		pick_world.group->breaker.backend_calls = 5;
		pick_world_start();
		pick_row(0)->active_rpcs = 5;
		pick_row(1)->active_rpcs = 4;
		for (unsigned i = 0; i < 20; i++)
			assert_int_equal(pick_new(), 1);
		pick_row(1)->active_rpcs = 6;
		assert_int_equal(pick_new(), -1);
		assert_true(pick_world.full);
		pick_world_done();
	}
}

static void a_backend_just_up_gets_its_share_little_by_little(void **state)
{
	unsigned count[16];

	FOR_ALL_KINDS(kind) {
		begin(2, kind);
		pick_world.group->slow_start_ms = 60000;
		pick_world_start();
		pick_set_health(1, SLUICE_HEALTH_DOWN);
		pick_pass_time(100 * PICK_S);
		pick_set_health(1, SLUICE_HEALTH_UP);
		pick_many(4000, count);
		assert_in_range(count[1], 80, 720); /* of least_request's pairs too */
		pick_pass_time(30 * PICK_S);
		pick_many(4000, count);
		assert_in_range(count[1], 800, 1700);
		pick_pass_time(31 * PICK_S);
		pick_many(4000, count);
		assert_in_range(count[1], 1800, 2200);
		pick_world_done();
	}
}

static void one_that_warms_up_takes_all_where_no_other_is_live(void **state)
{
	FOR_ALL_KINDS(kind) {
		begin(2, kind);
		pick_world.group->slow_start_ms = 60000;
		pick_world_start();
		pick_set_health(0, SLUICE_HEALTH_DOWN);
		pick_set_health(1, SLUICE_HEALTH_UP);
		for (unsigned i = 0; i < 50; i++)
			assert_int_equal(pick_new(), 1);
		pick_world_done();
	}
}

static void an_ejected_one_gets_one_trial_when_its_time_is_past(void **state)
{
	FOR_ALL_KINDS(kind) {
		unsigned trials = 0;

		begin(2, kind);
		detect_outliers();
		pick_world_start();
		assert_true(eject_backend(&pick_world.worker.state, pick_world.group, PICK_FIRST,
					  SLUICE_EJECT_CONSECUTIVE, 5,
					  pick_world.worker.loop.now_ns) > 0);
		for (unsigned i = 0; i < 50; i++)
			assert_int_equal(pick_new(), 1);
		pick_pass_time(30 * PICK_S);
		for (unsigned i = 0; i < 50; i++) {
			bool there = pick_new() == 0;

			assert_int_equal(pick_world.stream.attempt.trial, there);
			trials += there;
		}
		assert_int_equal(trials, 1);
		assert_int_equal(pick_row(0)->eject_state, SLUICE_EJECT_TRIAL);
		pick_world_done();
	}
}

/* All that is not ejected is down: the ejected one is better than none, but that is no trial. */
static void where_no_other_is_live_ejected_ones_serve(void **state)
{
	FOR_ALL_KINDS(kind) {
		begin(2, kind);
		detect_outliers();
		pick_world.group->on_all_down = SLUICE_ALL_DOWN_RESET;
		pick_world_start();
		eject_backend(&pick_world.worker.state, pick_world.group, PICK_FIRST,
			      SLUICE_EJECT_CONSECUTIVE, 5, pick_world.worker.loop.now_ns);
		pick_set_health(1, SLUICE_HEALTH_DOWN);
		for (unsigned i = 0; i < 10; i++) {
			assert_int_equal(pick_new(), 0);
			assert_false(pick_world.stream.attempt.trial);
		}
		assert_int_equal(pick_row(0)->eject_state, SLUICE_EJECT_EJECTED);
		pick_set_health(0, SLUICE_HEALTH_DOWN);
		assert_int_equal(pick_new(), -1);
		pick_world_done();
	}
}

static void an_id_that_is_another_backends_is_left_alone(void **state)
{
	FOR_ALL_KINDS(kind) {
		begin(2, kind);
		pick_world_start();
		pick_row(0)->generation = 2;
		for (unsigned i = 0; i < 20; i++)
			assert_int_equal(pick_new(), 1);
		pick_world_done();
	}
}

static void one_key_goes_to_one_backend_and_back_to_it(void **state)
{
	begin(10, 2);
	pick_world_start();
	for (unsigned i = 0; i < 200; i++) {
		int was = pick_new(), instead;

		for (unsigned again = 0; again < 3; again++) {
			pick_world.stream.attempts = 0;
			assert_int_equal(pick_next(false), was);
		}
		pick_set_health((unsigned)was, SLUICE_HEALTH_DOWN);
		pick_world.stream.attempts = 0;
		instead = pick_next(false);
		assert_int_not_equal(instead, was);
		pick_set_health((unsigned)was, SLUICE_HEALTH_UP);
		pick_world.stream.attempts = 0;
		assert_int_equal(pick_next(false), was);
	}
	pick_world_done();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(down_and_drained_ones_get_no_calls),
		cmocka_unit_test(a_drained_one_gets_no_call_even_when_all_others_are_down),
		cmocka_unit_test(a_call_of_an_older_configuration_sees_a_drain_in_the_map),
		cmocka_unit_test(all_down_fails_open_or_not),
		cmocka_unit_test(the_same_backend_never_twice_while_another_is_live),
		cmocka_unit_test(a_retry_goes_to_a_live_one_before_it_goes_to_those_that_are_out),
		cmocka_unit_test(backups_serve_when_none_of_the_first_tier_lives),
		cmocka_unit_test(backups_serve_beside_a_first_tier_below_its_share),
		cmocka_unit_test(a_backup_takes_what_the_first_tier_could_not),
		cmocka_unit_test(in_a_panic_health_does_not_count),
		cmocka_unit_test(a_hand_edit_of_the_map_holds_at_once),
		cmocka_unit_test(full_backends_are_passed_over_and_said),
		cmocka_unit_test(a_backend_just_up_gets_its_share_little_by_little),
		cmocka_unit_test(one_that_warms_up_takes_all_where_no_other_is_live),
		cmocka_unit_test(an_ejected_one_gets_one_trial_when_its_time_is_past),
		cmocka_unit_test(where_no_other_is_live_ejected_ones_serve),
		cmocka_unit_test(an_id_that_is_another_backends_is_left_alone),
		cmocka_unit_test(one_key_goes_to_one_backend_and_back_to_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
