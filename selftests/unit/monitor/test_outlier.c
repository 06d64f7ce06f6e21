/* SPDX-License-Identifier: MIT */
/*
 * test_outlier.c - the looks at a group: what came in an interval is judged, the worst is ejected
 * first, a reload changes nothing of that, a row that changed hands begins anew.
 */
#include "monitor/outlier.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cm.h"
#include "fault.h"

#define N	    6
#define FIRST	    20
#define GROUP	    2
#define INTERVAL_MS 5

static struct {
	int fds[STATE_FDS];
	struct state state;
	struct loop loop;
	struct config *config;
	struct outlier_watch *watch;
} world;

static struct config *make_config(void)
{
	struct config *config = calloc(1, sizeof(*config));
	struct config_group *groups = calloc(2, sizeof(*groups));

	config->refs = 1;
	config->n_groups = 2;
	config->groups = groups;
	groups[0].name = strdup("plain");
	groups[1].name = strdup("greeter");
	groups[1].id = GROUP;
	groups[1].n_endpoints = N;
	groups[1].endpoints = calloc(N, sizeof(*groups[1].endpoints));
	for (unsigned i = 0; i < N; i++)
		groups[1].endpoints[i] = (struct config_endpoint){
			.id = FIRST + i,
			.generation = 1,
			.weight = 1,
		};
	groups[1].outlier = (struct config_outlier){
		.enabled = true,
		.interval_ms = INTERVAL_MS,
		.min_calls = 100,
		.min_backends = 5,
		.success_rate_stdev_permille = 1900,
		.latency_factor_permille = 3000,
		.base_ejection_ms = 30000,
		.max_ejection_ms = 30000,
		.max_ejected_percent = 10,
	};
	return config;
}

static struct sluice_backend *row(unsigned i)
{
	return &world.state.backends[FIRST + i];
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	memset(world.fds, -1, sizeof(world.fds));
	if (state_create_fds(world.fds) || state_map(&world.state, world.fds) ||
	    loop_init(&world.loop))
		return -1;
	world.config = make_config();
	for (unsigned i = 0; i < N; i++) {
		row(i)->generation = 1;
		row(i)->group = GROUP;
		row(i)->outcomes = row(i)->outcome_failures = 5000; /* long ago */
	}
	world.watch = outlier_watch_new(&world.loop, &world.state);
	return outlier_watch_apply(world.watch, world.config);
}

static int teardown(void **state)
{
	(void)state;
	outlier_watch_free(world.watch);
	config_unref(world.config);
	loop_done(&world.loop);
	state_unmap(&world.state);
	for (unsigned i = 0; i < STATE_FDS; i++)
		close(world.fds[i]);
	return 0;
}

static void add_calls(unsigned i, uint64_t outcomes, uint64_t failures, uint64_t mean_us)
{
	row(i)->outcomes += outcomes;
	row(i)->outcome_failures += failures;
	row(i)->outcome_latency_us += (outcomes - failures) * mean_us;
}

static void look(void)
{
	uint64_t until = loop_refresh(&world.loop) + 2 * INTERVAL_MS * NS_PER_MS;

	while (loop_now(&world.loop) < until)
		assert_int_equal(loop_turn(&world.loop), 0);
}

static unsigned ejected(void)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < N; i++)
		bits |= (row(i)->eject_state != SLUICE_EJECT_NONE ? 1u : 0u) << i;
	return bits;
}

static void test_the_one_that_fails_most_is_ejected(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N; i++)
		add_calls(i, 200, i == 3 ? 90 : 2, 1000);
	look();
	assert_int_equal(ejected(), 1 << 3);
	assert_int_equal(row(3)->eject_reason, SLUICE_EJECT_SUCCESS_RATE);
	assert_int_equal(row(3)->eject_detail, 5500);
	assert_int_equal(world.state.groups[GROUP].ejections, 1);
}

static void test_the_slowest_is_ejected(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N; i++)
		add_calls(i, 100, 0, i == 1 ? 4000 : i == 5 ? 9000 : 1000);
	look(); /* two are too slow, one may go */
	assert_int_equal(ejected(), 1 << 5);
	assert_int_equal(row(5)->eject_reason, SLUICE_EJECT_LATENCY);
	assert_int_equal(row(5)->eject_detail, 9000);
}

static void test_what_was_before_the_interval_does_not_count(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N; i++)
		add_calls(i, 99, i == 3 ? 90 : 2, 1000);
	look();
	for (unsigned i = 0; i < N; i++)
		add_calls(i, 99, 2, 1000);
	look();
	assert_int_equal(ejected(), 0);
}

/* Names that are resolved anew make configs faster than intervals end. */
static void test_an_interval_goes_on_over_reloads(void **state)
{
	struct config *next = make_config();
	struct config_endpoint first = next->groups[1].endpoints[0];
	uint64_t due_ns;

	(void)state;
	next->groups[1].endpoints[0] = next->groups[1].endpoints[3];
	next->groups[1].endpoints[3] = first;
	next->groups[1].outlier.interval_ms = 300;
	assert_int_equal(outlier_watch_apply(world.watch, next), 0);
	due_ns = world.loop.heap[0]->deadline_ns;
	for (unsigned i = 0; i < N; i++)
		add_calls(i, 200, i == 3 ? 90 : 2, 1000);
	while (loop_refresh(&world.loop) < due_ns) {
		assert_int_equal(outlier_watch_apply(world.watch, next), 0);
		assert_int_equal(world.loop.heap_len, 1);
		assert_int_equal(world.loop.heap[0]->deadline_ns, due_ns);
		usleep(20000);
	}
	look();
	assert_int_equal(ejected(), 1 << 3);
	config_unref(next);
}

static void test_without_detection_nobody_looks(void **state)
{
	struct config *off = make_config();

	(void)state;
	off->groups[1].outlier.enabled = false;
	assert_int_equal(outlier_watch_apply(world.watch, off), 0);
	config_unref(off);
	assert_int_equal(world.loop.heap_len, 0);
}

static void test_a_row_that_changed_hands_is_not_judged(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N; i++)
		add_calls(i, 200, 2, 1000);
	row(3)->generation = 2; /* its counts began again */
	row(3)->outcomes = 150;
	row(3)->outcome_failures = 140;
	look();
	assert_int_equal(ejected(), 0);
}

static void test_no_memory_is_said(void **state)
{
	(void)state;
	FAULT_EACH(n) {
		struct outlier_watch *watch = outlier_watch_new(&world.loop, &world.state);
		int err = watch ? outlier_watch_apply(watch, world.config) : -1;

		fault_stop();
		assert_int_equal(err != 0, fault_hit());
		outlier_watch_free(watch);
	}
	outlier_watch_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_one_that_fails_most_is_ejected),
		TEST(test_the_slowest_is_ejected),
		TEST(test_what_was_before_the_interval_does_not_count),
		TEST(test_an_interval_goes_on_over_reloads),
		TEST(test_without_detection_nobody_looks),
		TEST(test_a_row_that_changed_hands_is_not_judged),
		TEST(test_no_memory_is_said),
	};

	log_init("test", LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
