/* SPDX-License-Identifier: MIT */
/*
 * test_outcome.c - what attempts came to: counts in the map, the ejection at so many failures in a
 * row, the trial's verdict, and nothing at all in groups without outlier detection.
 */
#include "proxy/pick_world.h"

#include "proxy/outcome.h"

enum { OK_STATUS = 0, NOT_FOUND = 5, UNAVAILABLE = 14 };

static void begin(unsigned n)
{
	pick_world_init(n);
	pick_world.group->outlier = (struct config_outlier){
		.enabled = true,
		.codes = 1u << 2 | 1u << 4 | 1u << 13 | 1u << UNAVAILABLE | 1u << 15,
		.consecutive_failures = 3,
		.base_ejection_ms = 30000,
		.max_ejection_ms = 300000,
		.max_ejected_percent = 10,
	};
	pick_world_start();
}

static struct pool_endpoint endpoint_of(unsigned i)
{
	struct pool_endpoint endpoint = { .worker = &pick_world.worker,
					  .id = PICK_FIRST + i,
					  .generation = 1 };

	return endpoint;
}

/* A call that is answered after latency_ns. */
static void call(unsigned i, enum outcome how, int status, uint64_t latency_ns)
{
	struct pool_endpoint endpoint = endpoint_of(i);

	pick_world.stream.attempt.started_ns = pick_world.worker.loop.now_ns;
	pick_world.stream.attempt.latency_us = 0;
	pick_pass_time(latency_ns);
	if (how == OUTCOME_STATUS)
		outcome_answered(&pick_world.stream, &endpoint);
	outcome_ended(&pick_world.stream, &endpoint, how, status);
}

static void outcomes_failures_and_latency_are_counted(void **state)
{
	begin(2);
	call(0, OUTCOME_STATUS, OK_STATUS, 3 * NS_PER_MS);
	call(0, OUTCOME_STATUS, NOT_FOUND, 5 * NS_PER_MS); /* the backend's answer: no failure */
	call(0, OUTCOME_STATUS, UNAVAILABLE, 7 * NS_PER_MS);
	call(0, OUTCOME_LOST, -1, 0);
	call(0, OUTCOME_CANCELLED, -1, 0);
	assert_int_equal(pick_row(0)->outcomes, 4);
	assert_int_equal(pick_row(0)->outcome_failures, 2);
	assert_int_equal(pick_row(0)->outcome_latency_us, 8000);
	assert_int_equal(pick_row(0)->consecutive_failures, 2);
	pick_world_done();
}

static void the_latency_is_that_of_the_first_headers(void **state)
{
	struct pool_endpoint endpoint = endpoint_of(0);

	begin(2);
	pick_world.stream.attempt.started_ns = pick_world.worker.loop.now_ns;
	pick_pass_time(2 * NS_PER_MS);
	outcome_answered(&pick_world.stream, &endpoint);
	pick_pass_time(500 * NS_PER_MS);
	outcome_answered(&pick_world.stream, &endpoint);
	outcome_ended(&pick_world.stream, &endpoint, OUTCOME_STATUS, OK_STATUS);
	assert_int_equal(pick_row(0)->outcome_latency_us, 2000);
	pick_world_done();
}

static void so_many_failures_in_a_row_eject(void **state)
{
	begin(2);
	call(0, OUTCOME_LOST, -1, 0);
	call(0, OUTCOME_LOST, -1, 0);
	call(0, OUTCOME_STATUS, OK_STATUS, 0); /* not in a row */
	call(0, OUTCOME_LOST, -1, 0);
	call(0, OUTCOME_CANCELLED, -1, 0); /* says nothing, either way */
	call(0, OUTCOME_STATUS, UNAVAILABLE, 0);
	assert_int_equal(pick_row(0)->ejected_until_ns, 0);
	call(0, OUTCOME_STATUS, UNAVAILABLE, 0);
	assert_int_equal(pick_row(0)->eject_state, SLUICE_EJECT_EJECTED);
	assert_int_equal(pick_row(0)->eject_detail, 3);
	assert_int_equal(pick_world.worker.stats->ejections, 1);
	assert_int_equal(pick_world.worker.state.groups[PICK_GROUP].ejections, 1);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(pick_new(), 1);
	/* Calls that were there already tell nothing new. */
	call(0, OUTCOME_LOST, -1, 0);
	call(0, OUTCOME_LOST, -1, 0);
	call(0, OUTCOME_LOST, -1, 0);
	assert_int_equal(pick_row(0)->ejections, 1);
	pick_world_done();
}

static void the_groups_share_holds(void **state)
{
	begin(3);
	for (unsigned i = 0; i < 9; i++)
		call(i % 3, OUTCOME_LOST, -1, 0);
	assert_int_equal(pick_world.worker.state.groups[PICK_GROUP].ejections, 1);
	assert_int_equal((pick_row(0)->ejected_until_ns > 0) + (pick_row(1)->ejected_until_ns > 0) +
				 (pick_row(2)->ejected_until_ns > 0),
			 1);
	pick_world_done();
}

/* Ejects backend 0, lets its time pass and picks until the trial is under way. */
static void begin_trial(void)
{
	for (unsigned i = 0; i < 3; i++)
		call(0, OUTCOME_LOST, -1, 0);
	pick_pass_time(30 * PICK_S);
	while (pick_new() != 0)
		;
	assert_true(pick_world.stream.attempt.trial);
}

static void end_attempt(enum outcome how, int status)
{
	struct pool_endpoint endpoint = endpoint_of(0);

	outcome_ended(&pick_world.stream, &endpoint, how, status);
}

static void a_good_trial_brings_it_back(void **state)
{
	unsigned count[16];

	begin(2);
	begin_trial();
	end_attempt(OUTCOME_STATUS, OK_STATUS);
	assert_int_equal(pick_row(0)->eject_state, SLUICE_EJECT_NONE);
	pick_many(20, count);
	assert_int_equal(count[0], 10);
	pick_world_done();
}

static void a_stream_that_goes_on_is_a_good_trial(void **state)
{
	struct pool_endpoint endpoint = endpoint_of(0);
	unsigned count[16];

	begin(2);
	begin_trial();
	outcome_answered(&pick_world.stream, &endpoint);
	pick_many(20, count);
	assert_int_equal(count[0], 0);
	pick_pass_time(31 * PICK_S);
	pick_many(20, count);
	assert_int_equal(count[0], 10);
	assert_int_equal(pick_row(0)->eject_state, SLUICE_EJECT_NONE);
	pick_world_done();
}

static void a_bad_trial_ejects_for_longer(void **state)
{
	begin(2);
	begin_trial();
	end_attempt(OUTCOME_STATUS, UNAVAILABLE);
	assert_int_equal(pick_row(0)->eject_state, SLUICE_EJECT_EJECTED);
	assert_int_equal(pick_row(0)->ejected_until_ns,
			 pick_world.worker.loop.now_ns + 60 * PICK_S);
	assert_int_equal(pick_world.worker.stats->ejections, 2);
	pick_world_done();
}

static void a_cancelled_trial_is_made_again(void **state)
{
	begin(2);
	begin_trial();
	end_attempt(OUTCOME_CANCELLED, -1);
	assert_int_equal(pick_row(0)->eject_state, SLUICE_EJECT_EJECTED);
	for (unsigned i = 0; i < 2 && pick_new() != 0; i++)
		;
	assert_true(pick_world.stream.attempt.trial);
	pick_world_done();
}

/* The client's deadline and ours are the same but for the way: its RST_STREAM may come first. */
static void a_client_that_gives_up_at_its_deadline_tells_of_the_backend(void **state)
{
	struct pool_endpoint endpoint = endpoint_of(0);

	begin(2);
	pick_world.stream.started_ns = pick_world.worker.loop.now_ns;
	pick_world.stream.deadline_ns = pick_world.stream.started_ns + 2 * PICK_S;
	call(0, OUTCOME_CANCELLED, -1, PICK_S);
	assert_int_equal(pick_row(0)->outcome_failures, 0);
	call(0, OUTCOME_CANCELLED, -1, PICK_S * 9 / 10);
	assert_int_equal(pick_row(0)->outcome_failures, 1);
	/* It had answered in time: a stream that the client ended. */
	outcome_answered(&pick_world.stream, &endpoint);
	outcome_ended(&pick_world.stream, &endpoint, OUTCOME_CANCELLED, -1);
	assert_int_equal(pick_row(0)->outcome_failures, 1);
	pick_world_done();
}

static void expire(unsigned i, uint64_t passed_ns)
{
	struct pool_endpoint endpoint = endpoint_of(i);

	pick_world.stream.attempt.started_ns = pick_world.worker.loop.now_ns;
	pick_world.stream.attempt.latency_us = 0;
	pick_pass_time(passed_ns);
	outcome_ended(&pick_world.stream, &endpoint, OUTCOME_STATUS, 4);
}

/* Nobody shall eject backends by deadlines that none could keep. */
static void a_deadline_too_short_for_anybody_says_nothing(void **state)
{
	begin(2);
	for (unsigned i = 0; i < 10; i++)
		expire(0, NS_PER_MS);
	assert_int_equal(pick_row(0)->outcomes, 0);
	call(0, OUTCOME_STATUS, OK_STATUS, 200 * NS_PER_MS);
	expire(0, 200 * NS_PER_MS);
	assert_int_equal(pick_row(0)->outcome_failures, 0);
	expire(0, 220 * NS_PER_MS);
	assert_int_equal(pick_row(0)->outcome_failures, 1);
	/* Its own word is another thing. */
	call(0, OUTCOME_STATUS, 4, NS_PER_MS);
	assert_int_equal(pick_row(0)->outcome_failures, 2);
	pick_world_done();
}

static void an_unknown_status_is_unknown(void **state)
{
	begin(2);
	call(0, OUTCOME_STATUS, 99, 0);
	call(0, OUTCOME_STATUS, -1, 0);
	assert_int_equal(pick_row(0)->outcome_failures, 2);
	pick_world_done();
}

static void another_backend_with_its_id_is_not_blamed(void **state)
{
	begin(2);
	pick_row(0)->generation = 2;
	call(0, OUTCOME_LOST, -1, 0);
	assert_int_equal(pick_row(0)->outcomes, 0);
	pick_world_done();
}

static void groups_without_detection_count_nothing(void **state)
{
	begin(2);
	pick_world.group->outlier.enabled = false;
	for (unsigned i = 0; i < 20; i++)
		call(0, OUTCOME_LOST, -1, 0);
	assert_int_equal(pick_row(0)->outcomes, 0);
	assert_int_equal(pick_row(0)->consecutive_failures, 0);
	assert_int_equal(pick_row(0)->ejected_until_ns, 0);
	pick_world_done();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outcomes_failures_and_latency_are_counted),
		cmocka_unit_test(the_latency_is_that_of_the_first_headers),
		cmocka_unit_test(so_many_failures_in_a_row_eject),
		cmocka_unit_test(the_groups_share_holds),
		cmocka_unit_test(a_good_trial_brings_it_back),
		cmocka_unit_test(a_stream_that_goes_on_is_a_good_trial),
		cmocka_unit_test(a_bad_trial_ejects_for_longer),
		cmocka_unit_test(a_cancelled_trial_is_made_again),
		cmocka_unit_test(a_client_that_gives_up_at_its_deadline_tells_of_the_backend),
		cmocka_unit_test(a_deadline_too_short_for_anybody_says_nothing),
		cmocka_unit_test(an_unknown_status_is_unknown),
		cmocka_unit_test(another_backend_with_its_id_is_not_blamed),
		cmocka_unit_test(groups_without_detection_count_nothing),
	};

	log_init("test", LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
