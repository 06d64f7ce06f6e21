/* SPDX-License-Identifier: MIT */
/*
 * test_health.c - what taking a config over makes of the words in the maps, without any check being
 * made, and with every allocation failing once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "fault.h"
#include "monitor/health.h"

#define N 100

static struct loop loop;
static struct state shared;
static struct config_backend backends[N];
static struct config_endpoint endpoints[N];
static struct config_group groups[2];
static struct config source;

static int setup(void **state)
{
	assert_int_equal(loop_init(&loop), 0);
	shared.groups = calloc(SLUICE_MAX_GROUPS, sizeof(*shared.groups));
	shared.backends = calloc(SLUICE_MAX_BACKENDS, sizeof(*shared.backends));
	assert_non_null(shared.groups);
	assert_non_null(shared.backends);
	for (uint32_t i = 0; i < N; i++) {
		backends[i] = (struct config_backend){ .host = "198.18.1.1", .port = 1, .weight = 1 };
		endpoints[i] = (struct config_endpoint){ .id = i, .generation = 1,
							 .backend = i % (N / 2), .weight = 1 };
		assert_int_equal(addr_from_ip(&endpoints[i].address, "198.18.1.1",
					      (uint16_t)(1000 + i)), 0);
		backends[i].address = endpoints[i].address;
		shared.backends[i].generation = 1;
	}
	for (uint32_t i = 0; i < 2; i++)
		groups[i] = (struct config_group){
			.id = 5 + i,
			.name = i ? "b" : "a",
			.backends = &backends[i * N / 2],
			.n_backends = N / 2,
			.endpoints = &endpoints[i * N / 2],
			.n_endpoints = N / 2,
			.health_check = { .enabled = true, .path = "/a.B/C", .service = "",
					  .codes = 1, .interval_ms = 2000, .timeout_ms = 5000,
					  .healthy_threshold = 3, .unhealthy_threshold = 3 },
		};
	source = (struct config){ .control_socket = "", .kernel.pin_path = "", .groups = groups,
				  .n_groups = 2 };
	return 0;
}

static int teardown(void **state)
{
	fault_stop();
	loop_done(&loop);
	free(shared.groups);
	free(shared.backends);
	return 0;
}

/* As the monitor does with each config that comes. */
static int apply(struct health *health)
{
	struct config *config = config_clone(&source);
	int err;

	assert_non_null(config);
	err = health_apply(health, config);
	config_unref(config);
	return err;
}

static void assert_group(uint32_t id, uint32_t live, uint32_t total)
{
	assert_int_equal(shared.groups[id].live, live);
	assert_int_equal(shared.groups[id].total, total);
}

static void what_is_unknown_counts_as_live_and_weight_zero_does_not_count(void **state)
{
	struct health *health = health_new(&loop, &shared);

	endpoints[0].weight = endpoints[1].weight = 0;
	assert_int_equal(apply(health), 0);
	assert_group(5, N / 2 - 2, N / 2 - 2);
	assert_group(6, N / 2, N / 2);
	assert_int_equal(shared.backends[2].health, SLUICE_HEALTH_UNKNOWN);
	health_free(health);
}

static void a_group_without_a_health_check_is_up(void **state)
{
	struct health *health = health_new(&loop, &shared);

	groups[1].health_check.enabled = false;
	assert_int_equal(apply(health), 0);
	assert_int_equal(shared.backends[0].health, SLUICE_HEALTH_UNKNOWN);
	assert_int_equal(shared.backends[N - 1].health, SLUICE_HEALTH_UP);
	/* what was taken for up is not known to be */
	groups[1].health_check.enabled = true;
	assert_int_equal(apply(health), 0);
	assert_int_equal(shared.backends[N - 1].health, SLUICE_HEALTH_UNKNOWN);
	health_free(health);
}

static void only_the_first_config_takes_verdicts_from_the_maps(void **state)
{
	struct health *health = health_new(&loop, &shared);

	for (uint32_t i = 0; i < 4; i++) {
		shared.backends[i].health = SLUICE_HEALTH_DOWN;
		shared.backends[i].health_changed_ns = 1;
	}
	shared.backends[1].generation = 7;	  /* another backend's */
	shared.backends[2].health_changed_ns = 0; /* nobody's */
	groups[0].n_endpoints = 3;
	assert_int_equal(apply(health), 0);
	assert_int_equal(shared.backends[0].health, SLUICE_HEALTH_DOWN);
	assert_int_equal(shared.backends[1].health, SLUICE_HEALTH_UNKNOWN);
	assert_int_equal(shared.backends[2].health, SLUICE_HEALTH_UNKNOWN);
	assert_group(5, 2, 3);
	groups[0].n_endpoints = 4;
	assert_int_equal(apply(health), 0);
	assert_int_equal(shared.backends[3].health, SLUICE_HEALTH_UNKNOWN);
	assert_group(5, 3, 4);
	health_free(health);
}

static void words_that_do_not_change_are_not_written(void **state)
{
	struct health *health = health_new(&loop, &shared);

	assert_int_equal(apply(health), 0);
	shared.groups[5].changed_ns = 42;
	assert_int_equal(apply(health), 0);
	assert_int_equal(shared.groups[5].changed_ns, 42);
	/* a reload counts anew, over a hand edit too */
	shared.groups[5].live = 0;
	assert_int_equal(apply(health), 0);
	assert_group(5, N / 2, N / 2);
	assert_int_not_equal(shared.groups[5].changed_ns, 42);
	health_free(health);
}

static void without_memory_what_is_not_checked_counts_as_live(void **state)
{
	FAULT_EACH(n)
	{
		struct health *health;
		struct config *config;
		int err = -ENOMEM;

		fault_stop();
		teardown(state);
		setup(state);
		config = config_clone(&source);
		fault_start(n);
		health = health_new(&loop, &shared);
		if (health)
			err = health_apply(health, config);
		fault_stop();
		assert_int_equal(err, fault_hit() ? -ENOMEM : 0);
		if (health && n > 1)
			assert_group(6, N / 2, N / 2);
		/* and the next config makes up for it */
		if (health) {
			assert_int_equal(apply(health), 0);
			assert_group(5, N / 2, N / 2);
			assert_group(6, N / 2, N / 2);
			assert_int_equal(loop.heap_len, N);
		}
		health_free(health);
		config_unref(config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(what_is_unknown_counts_as_live_and_weight_zero_does_not_count),
		TEST(a_group_without_a_health_check_is_up),
		TEST(only_the_first_config_takes_verdicts_from_the_maps),
		TEST(words_that_do_not_change_are_not_written),
		TEST(without_memory_what_is_not_checked_counts_as_live),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
