/* SPDX-License-Identifier: MIT */
/*
 * test_eject.c - ejections in the backends map: out for a time that grows and is forgotten, never
 * more than the group's share, back by one trial that is claimed once and can be taken over.
 */
#include "shared/eject.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "cm.h"

#define S     1000000000ull
#define N     20
#define GROUP 3
#define FIRST 100 /* id of the first backend */

static struct {
	int fds[STATE_FDS];
	struct state state;
	struct config_group group;
	struct config_endpoint endpoints[N];
	uint64_t now_ns;
} world;

static struct sluice_backend *row(unsigned i)
{
	return &world.state.backends[FIRST + i];
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	memset(world.fds, -1, sizeof(world.fds));
	if (state_create_fds(world.fds) || state_map(&world.state, world.fds))
		return -1;
	world.now_ns = 1000 * S;
	world.group.id = GROUP;
	world.group.endpoints = world.endpoints;
	world.group.n_endpoints = 10;
	world.group.outlier = (struct config_outlier){ .enabled = true,
						       .base_ejection_ms = 30000,
						       .max_ejection_ms = 100000,
						       .max_ejected_percent = 10 };
	for (unsigned i = 0; i < N; i++) {
		world.endpoints[i] = (struct config_endpoint){ .id = FIRST + i, .weight = 1 };
		row(i)->group = GROUP;
		row(i)->health = SLUICE_HEALTH_UP;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	state_unmap(&world.state);
	for (unsigned i = 0; i < STATE_FDS; i++)
		close(world.fds[i]);
	return 0;
}

static uint64_t eject(unsigned i)
{
	return eject_backend(&world.state, &world.group, FIRST + i, SLUICE_EJECT_CONSECUTIVE, 5,
			     world.now_ns);
}

static bool may_pick(unsigned i)
{
	return eject_may_pick(row(i), &world.group.outlier, world.now_ns);
}

static bool begin_trial(unsigned i)
{
	return eject_trial_begin(row(i), &world.group.outlier, world.now_ns);
}

static uint64_t end_trial(unsigned i, uint64_t trial_ns, enum eject_trial how)
{
	return eject_trial_end(&world.state, &world.group, FIRST + i, trial_ns, how, world.now_ns);
}

static void test_it_is_out_for_the_base_time_and_in_the_map(void **state)
{
	uint32_t epoch = world.state.groups[GROUP].epoch;

	(void)state;
	row(2)->consecutive_failures = 5;
	assert_true(may_pick(2));
	assert_int_equal(eject(2), 30 * S);
	assert_int_equal(row(2)->eject_state, SLUICE_EJECT_EJECTED);
	assert_int_equal(row(2)->eject_reason, SLUICE_EJECT_CONSECUTIVE);
	assert_int_equal(row(2)->eject_detail, 5);
	assert_int_equal(row(2)->ejected_until_ns, world.now_ns + 30 * S);
	assert_int_equal(row(2)->consecutive_failures, 0);
	assert_int_equal(row(2)->ejections, 1);
	assert_int_equal(world.state.groups[GROUP].ejections, 1);
	assert_int_not_equal(world.state.groups[GROUP].epoch, epoch);
	assert_false(may_pick(2));
	assert_false(eject_trial_is_due(row(2), &world.group.outlier, world.now_ns));
	assert_int_equal(eject(2), 0); /* once is enough */
	assert_int_equal(row(2)->ejections, 1);
}

static void test_never_more_than_the_share_but_always_one_of_two(void **state)
{
	(void)state;
	assert_true(eject(0) > 0);
	assert_int_equal(eject(1), 0);
	assert_true(may_pick(1));
	assert_int_equal(row(1)->ejected_until_ns, 0);
	world.group.outlier.max_ejected_percent = 30;
	assert_true(eject(1) > 0);
	assert_true(eject(2) > 0);
	assert_int_equal(eject(3), 0);
	assert_int_equal(eject_allowed(10, 30), 3);
	assert_int_equal(eject_allowed(10, 0), 1);
	assert_int_equal(eject_allowed(2, 10), 1);
	assert_int_equal(eject_allowed(1, 100), 0);
	assert_int_equal(eject_allowed(0, 100), 0);
}

/* Neither do those that take no calls widen the share, nor those that are down use it up. */
static void test_the_share_is_of_those_that_could_serve(void **state)
{
	(void)state;
	world.group.outlier.max_ejected_percent = 50;
	world.group.n_endpoints = 4;
	world.endpoints[2].weight = 0;
	world.endpoints[3].drained = true;
	assert_true(eject(0) > 0);
	assert_int_equal(eject(1), 0);
	world.endpoints[3].drained = false;
	row(0)->health = SLUICE_HEALTH_DOWN;
	assert_true(eject(1) > 0);
}

/* However bad it is, it is better than none. */
static void test_the_last_live_one_stays(void **state)
{
	(void)state;
	world.group.outlier.max_ejected_percent = 100;
	world.group.n_endpoints = 3;
	row(0)->health = SLUICE_HEALTH_DOWN;
	assert_true(eject(1) > 0);
	assert_int_equal(eject(2), 0);
	assert_true(may_pick(2));
	row(0)->health = SLUICE_HEALTH_UP;
	assert_true(eject(2) > 0);
}

static void test_one_that_is_down_or_alone_is_not_ejected(void **state)
{
	(void)state;
	row(0)->health = SLUICE_HEALTH_DOWN;
	assert_int_equal(eject(0), 0);
	world.group.n_endpoints = 1;
	row(0)->health = SLUICE_HEALTH_UP;
	assert_int_equal(eject(0), 0);
	assert_true(may_pick(0));
}

static void test_one_call_tries_and_a_good_trial_ends_it(void **state)
{
	uint64_t trial_ns;

	(void)state;
	eject(0);
	world.now_ns += 30 * S;
	assert_true(may_pick(0));
	assert_true(eject_trial_is_due(row(0), &world.group.outlier, world.now_ns));
	trial_ns = world.now_ns;
	assert_true(begin_trial(0));
	assert_int_equal(row(0)->eject_state, SLUICE_EJECT_TRIAL);
	world.now_ns += S;
	assert_false(may_pick(0));
	assert_false(begin_trial(0));
	assert_int_equal(end_trial(0, trial_ns, EJECT_TRIAL_GOOD), 0);
	assert_int_equal(row(0)->eject_state, SLUICE_EJECT_NONE);
	assert_int_equal(row(0)->ejected_until_ns, 0);
	assert_true(may_pick(0));
	assert_false(eject_trial_is_due(row(0), &world.group.outlier, world.now_ns));
}

static void test_each_bad_trial_lengthens_it_up_to_the_maximum(void **state)
{
	static const uint64_t seconds[] = { 60, 90, 100, 100 };

	(void)state;
	assert_int_equal(eject(0), 30 * S);
	world.now_ns += 30 * S;
	for (unsigned i = 0; i < 4; i++) {
		uint64_t trial_ns = world.now_ns;

		assert_true(begin_trial(0));
		world.now_ns += S;
		assert_int_equal(end_trial(0, trial_ns, EJECT_TRIAL_BAD), seconds[i] * S);
		assert_int_equal(row(0)->ejections, i + 2);
		assert_false(may_pick(0));
		world.now_ns += seconds[i] * S;
		assert_true(may_pick(0));
	}
}

static void test_a_trial_that_came_to_nothing_leaves_it_to_the_next(void **state)
{
	uint64_t trial_ns;

	(void)state;
	eject(0);
	world.now_ns += 31 * S;
	trial_ns = world.now_ns;
	assert_true(begin_trial(0));
	assert_int_equal(end_trial(0, trial_ns, EJECT_TRIAL_NOTHING), 0);
	assert_true(may_pick(0));
	assert_true(begin_trial(0));
}

static void test_a_trial_that_never_ends_is_taken_over(void **state)
{
	uint64_t first_ns, second_ns;

	(void)state;
	eject(0);
	world.now_ns += 31 * S;
	first_ns = world.now_ns;
	assert_true(begin_trial(0));
	world.now_ns += 30 * S;
	assert_false(may_pick(0));
	world.now_ns += S;
	assert_true(may_pick(0));
	second_ns = world.now_ns;
	assert_true(begin_trial(0));
	/* The first one's end says nothing any more. */
	assert_int_equal(end_trial(0, first_ns, EJECT_TRIAL_GOOD), 0);
	assert_int_equal(row(0)->eject_state, SLUICE_EJECT_TRIAL);
	assert_int_equal(end_trial(0, second_ns, EJECT_TRIAL_GOOD), 0);
	assert_int_equal(row(0)->eject_state, SLUICE_EJECT_NONE);
}

/* Groups whose calls are streams without end: nobody would ever hear of a good trial. */
static void test_a_trial_that_was_answered_and_goes_on_is_a_good_one(void **state)
{
	const struct config_outlier *outlier = &world.group.outlier;
	uint64_t trial_ns;

	(void)state;
	eject(0);
	world.now_ns += 31 * S;
	trial_ns = world.now_ns;
	assert_true(begin_trial(0));
	eject_trial_answered(row(0), trial_ns - 1, world.now_ns); /* another's */
	world.now_ns += 31 * S;
	assert_false(eject_trial_goes_well(row(0), outlier, world.now_ns));
	eject_trial_answered(row(0), trial_ns, world.now_ns);
	world.now_ns += 30 * S;
	assert_false(eject_trial_goes_well(row(0), outlier, world.now_ns));
	world.now_ns += S;
	assert_true(eject_trial_goes_well(row(0), outlier, world.now_ns));
	assert_true(begin_trial(0)); /* the next one's is its own */
	assert_false(eject_trial_goes_well(row(0), outlier, world.now_ns));
}

static void test_ejections_are_forgotten_with_time(void **state)
{
	(void)state;
	assert_int_equal(eject_next_count(0, 0, 30000), 1);
	assert_int_equal(eject_next_count(3, 29 * S, 30000), 4);
	assert_int_equal(eject_next_count(3, 30 * S, 30000), 3);
	assert_int_equal(eject_next_count(3, 1000 * S, 30000), 1);
	assert_int_equal(eject_next_count(UINT32_MAX, 0, 30000), UINT32_MAX);
	assert_int_equal(eject_duration_ns(UINT32_MAX, 30000, 300000), 300 * S);

	eject(0);
	eject_lift(&world.state, FIRST, world.now_ns);
	assert_int_equal(eject(0), 60 * S);
	eject_lift(&world.state, FIRST, world.now_ns);
	world.now_ns += 61 * S;
	assert_int_equal(eject(0), 30 * S);
}

static void test_without_detection_only_the_time_counts(void **state)
{
	(void)state;
	eject(0);
	world.group.outlier.enabled = false;
	assert_false(may_pick(0));
	world.now_ns += 30 * S;
	assert_true(may_pick(0));
	assert_false(eject_trial_is_due(row(0), &world.group.outlier, world.now_ns));
	eject_lift(&world.state, FIRST, world.now_ns);
	assert_int_equal(row(0)->eject_state, SLUICE_EJECT_NONE);
	assert_int_equal(row(0)->ejected_until_ns, 0);
}

/* ---- many at once ---- */

#define THREADS 4
#define ROUNDS	3000

static pthread_barrier_t barrier;
static uint64_t done[THREADS]; /* ejections or trials that each made */

static void *eject_many(void *arg)
{
	unsigned number = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&barrier);
		done[number] += eject(number) > 0;
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier); /* the main thread has looked */
	}
	return NULL;
}

static unsigned out_now(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < N; i++)
		n += row(i)->ejected_until_ns != 0;
	return n;
}

static void begin_threads(pthread_t *ids, void *(*run)(void *))
{
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (unsigned i = 0; i < THREADS; i++) {
		done[i] = 0;
		assert_int_equal(pthread_create(&ids[i], NULL, run, (void *)(uintptr_t)i), 0);
	}
}

static void end_threads(pthread_t *ids)
{
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
	pthread_barrier_destroy(&barrier);
}

/* Each thread ejects a backend of its own at the same moment; the share is one. */
static void test_the_share_holds_against_all_workers_at_once(void **state)
{
	pthread_t ids[THREADS];
	uint64_t all = 0;

	(void)state;
	begin_threads(ids, eject_many);
	for (unsigned i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		assert_true(out_now() <= 1);
		for (unsigned b = 0; b < THREADS; b++)
			eject_lift(&world.state, FIRST + b, world.now_ns);
		pthread_barrier_wait(&barrier);
	}
	end_threads(ids);
	for (unsigned i = 0; i < THREADS; i++)
		all += done[i];
	assert_int_equal(all, world.state.groups[GROUP].ejections);
	assert_true(all > 0);
}

static void *try_many(void *arg)
{
	unsigned number = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&barrier);
		done[number] += begin_trial(0);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void test_of_all_workers_one_call_becomes_the_trial(void **state)
{
	pthread_t ids[THREADS];
	uint64_t before = 0, all;

	(void)state;
	eject(0);
	begin_threads(ids, try_many);
	world.now_ns += 30 * S;
	for (unsigned i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		all = 0;
		for (unsigned t = 0; t < THREADS; t++)
			all += done[t];
		assert_int_equal(all, before + 1);
		before = all;
		end_trial(0, world.now_ns, EJECT_TRIAL_BAD);
		world.now_ns = row(0)->ejected_until_ns + 1;
		pthread_barrier_wait(&barrier);
	}
	end_threads(ids);
}

static void test_words(void **state)
{
	char text[EJECT_TEXT_MAX];

	(void)state;
	assert_string_equal(eject_reason_text(SLUICE_EJECT_CONSECUTIVE, 5, text, sizeof(text)),
			    "5 failures in a row");
	assert_string_equal(eject_reason_text(SLUICE_EJECT_SUCCESS_RATE, 6120, text, sizeof(text)),
			    "success rate 61.20 %");
	assert_string_equal(eject_reason_text(SLUICE_EJECT_LATENCY, 312004, text, sizeof(text)),
			    "mean latency 312.004 ms");
	assert_string_equal(eject_reason_text(0, 7, text, sizeof(text)), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_it_is_out_for_the_base_time_and_in_the_map),
		TEST(test_never_more_than_the_share_but_always_one_of_two),
		TEST(test_the_share_is_of_those_that_could_serve),
		TEST(test_the_last_live_one_stays),
		TEST(test_one_that_is_down_or_alone_is_not_ejected),
		TEST(test_one_call_tries_and_a_good_trial_ends_it),
		TEST(test_each_bad_trial_lengthens_it_up_to_the_maximum),
		TEST(test_a_trial_that_came_to_nothing_leaves_it_to_the_next),
		TEST(test_a_trial_that_never_ends_is_taken_over),
		TEST(test_a_trial_that_was_answered_and_goes_on_is_a_good_one),
		TEST(test_ejections_are_forgotten_with_time),
		TEST(test_without_detection_only_the_time_counts),
		TEST(test_the_share_holds_against_all_workers_at_once),
		TEST(test_of_all_workers_one_call_becomes_the_trial),
		TEST(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
