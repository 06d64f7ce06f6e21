/* SPDX-License-Identifier: MIT */
/*
 * test_publish.c - what a reload may change in the groups and backends maps, and what it may not.
 */
#include "control/publish.h"

#include <unistd.h>

#include "cm.h"
#include "control/control_help.h"
#include "control/names.h"

static struct state maps;
static int fds[STATE_FDS];
static struct ids *ids;
static struct names names;

static int setup(void **state)
{
	(void)state;
	for (int i = 0; i < STATE_FDS; i++)
		fds[i] = -1;
	names_init(&names);
	ids = ids_new();
	return !ids || state_create_fds(fds) || state_map(&maps, fds);
}

static int teardown(void **state)
{
	(void)state;
	state_unmap(&maps);
	for (int i = 0; i < STATE_FDS; i++)
		close(fds[i]);
	ids_free(ids);
	names_done(&names);
	return 0;
}

static void put_in_force(struct config *config)
{
	assert_int_equal(names_resolve(&names, config), 0);
	assert_int_equal(ids_assign(ids, config), 0);
	publish_config(&maps, config, 5);
	ids_commit(ids);
	publish_sweep(&maps, ids);
}

static void new_rows_are_whole_and_count_as_live(void **state)
{
	struct config *config = help_config(1, 3, 1000);

	(void)state;
	config->groups[0].backends[1].weight = 0;
	config->groups[0].on_all_down = SLUICE_ALL_DOWN_RESET;
	put_in_force(config);
	const struct sluice_group *group = &maps.groups[config->groups[0].id];
	const struct sluice_backend *backend = &maps.backends[config->groups[0].endpoints[2].id];

	assert_int_equal(group->used, 1);
	assert_int_equal(group->total, 2);
	assert_int_equal(group->live, 2);
	assert_int_equal(group->on_all_down, SLUICE_ALL_DOWN_RESET);
	assert_string_equal(group->name, "group0");
	assert_int_equal(backend->generation, config->groups[0].endpoints[2].generation);
	assert_int_equal(backend->group, config->groups[0].id);
	assert_int_equal(backend->port, 1002);
	assert_int_equal(backend->weight, 100);
	assert_int_equal(backend->health, SLUICE_HEALTH_UNKNOWN);
	config_unref(config);
}

static void a_reload_keeps_health_counters_and_live(void **state)
{
	struct config *first = help_config(1, 2, 1000), *second = help_config(1, 3, 1000);

	(void)state;
	put_in_force(first);
	struct sluice_backend *backend = &maps.backends[first->groups[0].endpoints[0].id];

	backend->health = SLUICE_HEALTH_DOWN;
	backend->calls = 42;
	maps.groups[first->groups[0].id].live = 1;
	second->groups[0].backends[0].weight = 7;
	put_in_force(second);
	assert_int_equal(backend->health, SLUICE_HEALTH_DOWN);
	assert_int_equal(backend->calls, 42);
	assert_int_equal(backend->weight, 7);
	assert_int_equal(maps.groups[second->groups[0].id].live, 1);
	assert_int_equal(maps.groups[second->groups[0].id].total, 3);
	config_unref(first);
	config_unref(second);
}

static void what_left_the_config_is_unused_but_gives_its_calls_back(void **state)
{
	struct config *first = help_config(2, 2, 1000), *second = help_config(1, 1, 1000);

	(void)state;
	put_in_force(first);
	struct sluice_backend *gone = &maps.backends[first->groups[1].endpoints[0].id];

	gone->active_rpcs = 3;
	put_in_force(second);
	assert_int_equal(gone->generation, 0);
	assert_int_equal(gone->weight, 0);
	assert_int_equal(gone->active_rpcs, 3);
	assert_int_equal(maps.groups[first->groups[1].id].used, 0);
	assert_int_equal(maps.groups[first->groups[1].id].live, 0);
	config_unref(first);
	config_unref(second);
}

static void a_group_that_gets_its_first_addresses_is_live_at_once(void **state)
{
	struct config *first = help_config(1, 1, 1000), *second = help_config(1, 1, 1000);

	(void)state;
	help_name(first, 0, 0, "backend.example");
	put_in_force(first);
	assert_int_equal(maps.groups[first->groups[0].id].live, 0);
	put_in_force(second);
	assert_int_equal(maps.groups[second->groups[0].id].live, 1);
	config_unref(first);
	config_unref(second);
}

static void a_backend_in_a_used_id_starts_with_no_verdict(void **state)
{
	struct config *config = help_config(1, 1, 1000);

	(void)state;
	put_in_force(config);
	struct config_endpoint *endpoint = &config->groups[0].endpoints[0];
	struct sluice_backend *row = &maps.backends[endpoint->id];

	row->health = SLUICE_HEALTH_DOWN;
	row->failures = 9;
	row->ejected_until_ns = 1;
	endpoint->generation++; /* as after the id changed hands */
	publish_config(&maps, config, 6);
	assert_int_equal(row->health, SLUICE_HEALTH_UNKNOWN);
	assert_int_equal(row->failures, 0);
	assert_int_equal(row->ejected_until_ns, 0);
	assert_int_equal(row->health_changed_ns, 6);
	config_unref(config);
}

static void drained_backends_do_not_count_and_every_change_raises_the_epoch(void **state)
{
	struct config *first = help_config(1, 2, 1000), *second = help_config(1, 2, 1000);

	(void)state;
	put_in_force(first);
	struct sluice_group *group = &maps.groups[first->groups[0].id];
	uint32_t epoch = group->epoch;

	put_in_force(second);
	assert_int_equal(group->epoch, epoch);
	struct config_endpoint *endpoint = &second->groups[0].endpoints[0];
	const struct sluice_backend *row = &maps.backends[endpoint->id];

	endpoint->drained = true;
	endpoint->drain_until_ns = 77;
	publish_config(&maps, second, 6);
	assert_int_equal(group->epoch, ++epoch);
	assert_true(row->drained && row->drain_until_ns == 77 && row->weight == 100);
	assert_int_equal(group->total, 1);
	assert_int_equal(group->live, 1);
	endpoint->drained = false;
	endpoint->weight = 7;
	publish_config(&maps, second, 7);
	assert_int_equal(group->epoch, ++epoch);
	assert_true(row->weight == 7 && row->file_weight == 100 && !row->drained);
	endpoint->forced = SLUICE_HEALTH_DOWN;
	publish_config(&maps, second, 8);
	assert_int_equal(group->epoch, ++epoch);
	assert_int_equal(row->forced, SLUICE_HEALTH_DOWN);
	config_unref(first);
	config_unref(second);
}

static void routes_keep_rows_and_counts_as_long_as_they_are_there(void **state)
{
	struct config *first = help_config(1, 1, 1000), *second = help_config(1, 1, 1000);

	(void)state;
	help_listener(first, "127.0.0.1:443");
	help_route(first, 0, "a");
	help_route(first, 0, "b");
	put_in_force(first);
	struct sluice_route *a = &maps.routes[first->listeners[0].routes[0].id];
	struct sluice_route *b = &maps.routes[first->listeners[0].routes[1].id];

	assert_true(a->used && b->used);
	assert_string_equal(b->name, "b");
	a->calls = b->calls = 5;
	a->active_calls = 2;
	help_listener(second, "127.0.0.1:443");
	help_route(second, 0, "b");
	put_in_force(second);
	assert_ptr_equal(&maps.routes[second->listeners[0].routes[0].id], b);
	assert_int_equal(b->calls, 5);
	assert_false(a->used);
	assert_int_equal(a->active_calls, 2);
	config_unref(first);
	config_unref(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(new_rows_are_whole_and_count_as_live),
		TEST(a_reload_keeps_health_counters_and_live),
		TEST(what_left_the_config_is_unused_but_gives_its_calls_back),
		TEST(a_group_that_gets_its_first_addresses_is_live_at_once),
		TEST(a_backend_in_a_used_id_starts_with_no_verdict),
		TEST(drained_backends_do_not_count_and_every_change_raises_the_epoch),
		TEST(routes_keep_rows_and_counts_as_long_as_they_are_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
