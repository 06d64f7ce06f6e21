/* SPDX-License-Identifier: MIT */
/*
 * test_ids.c - ids stay with their owners over reloads, and never change hands unseen.
 */
#include "control/ids.h"

#include <errno.h>

#include "cm.h"
#include "control/control_help.h"
#include "control/names.h"
#include "fault.h"

static struct ids *ids;
static struct names names;

static int setup(void **state)
{
	(void)state;
	ids = ids_new();
	names_init(&names);
	return ids ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	ids_free(ids);
	names_done(&names);
	return 0;
}

static struct config *assigned(size_t n_groups, size_t n_backends, unsigned first_port)
{
	struct config *config = help_config(n_groups, n_backends, first_port);

	assert_int_equal(names_resolve(&names, config), 0);
	assert_int_equal(ids_assign(ids, config), 0);
	return config;
}

static void same_backends_keep_ids_and_generations_over_reloads(void **state)
{
	struct config *first = assigned(3, 4, 1000);

	(void)state;
	ids_commit(ids);
	struct config *second = assigned(3, 4, 1000);

	ids_commit(ids);
	for (size_t g = 0; g < 3; g++) {
		assert_int_equal(first->groups[g].id, second->groups[g].id);
		for (size_t i = 0; i < 4; i++) {
			assert_int_equal(first->groups[g].endpoints[i].id,
					 second->groups[g].endpoints[i].id);
			assert_int_equal(first->groups[g].endpoints[i].generation,
					 second->groups[g].endpoints[i].generation);
			assert_int_not_equal(first->groups[g].endpoints[i].generation, 0);
		}
	}
	config_unref(first);
	config_unref(second);
}

static void the_same_address_in_two_groups_is_two_backends(void **state)
{
	struct config *config = assigned(2, 1, 1000);

	(void)state;
	assert_int_not_equal(config->groups[0].endpoints[0].id, config->groups[1].endpoints[0].id);
	config_unref(config);
}

static void ids_of_the_old_config_are_not_reused_before_its_end(void **state)
{
	struct config *old = assigned(1, 8, 1000);

	(void)state;
	ids_commit(ids);
	struct config *now = assigned(1, 8, 2000);

	for (size_t i = 0; i < 8; i++)
		for (size_t k = 0; k < 8; k++)
			assert_int_not_equal(old->groups[0].endpoints[i].id,
					     now->groups[0].endpoints[k].id);
	for (size_t i = 0; i < 8; i++)
		assert_true(ids_backend_used(ids, old->groups[0].endpoints[i].id));
	ids_commit(ids);
	for (size_t i = 0; i < 8; i++)
		assert_false(ids_backend_used(ids, old->groups[0].endpoints[i].id));
	config_unref(old);
	config_unref(now);
}

static void an_abort_gives_back_only_what_is_new(void **state)
{
	struct config *old = assigned(1, 2, 1000);

	(void)state;
	ids_commit(ids);
	struct config *refused = assigned(2, 3, 1000);
	uint32_t fresh = refused->groups[0].endpoints[2].id;

	assert_true(ids_backend_used(ids, fresh));
	ids_abort(ids);
	assert_false(ids_backend_used(ids, fresh));
	assert_false(ids_group_used(ids, refused->groups[1].id));
	assert_true(ids_group_used(ids, old->groups[0].id));
	assert_true(ids_backend_used(ids, old->groups[0].endpoints[0].id));
	config_unref(old);
	config_unref(refused);
}

static void an_id_given_to_another_backend_has_a_new_generation(void **state)
{
	uint32_t generations[SLUICE_MAX_BACKENDS] = { 0 };

	(void)state;
	/* Enough rounds for every id to be handed out several times. */
	for (unsigned round = 0; round < 60; round++) {
		struct config *config = assigned(1, 1000, 1 + (round % 2) * 1000);

		ids_commit(ids);
		for (size_t i = 0; i < 1000; i++) {
			const struct config_endpoint *endpoint = &config->groups[0].endpoints[i];

			assert_true(endpoint->generation > generations[endpoint->id]);
			generations[endpoint->id] = endpoint->generation;
		}
		config_unref(config);
	}
}

static void listeners_are_known_by_address(void **state)
{
	struct config *first = help_config(0, 0, 0), *second = help_config(0, 0, 0);

	(void)state;
	help_listener(first, "[::]:443");
	help_listener(first, "0.0.0.0:443");
	help_listener(first, "192.0.2.1:443");
	help_listener(second, "192.0.2.1:443");
	help_listener(second, "192.0.2.1:444");
	assert_int_equal(ids_assign(ids, first), 0);
	ids_commit(ids);
	assert_int_not_equal(first->listeners[0].id, first->listeners[1].id);
	assert_int_equal(ids_assign(ids, second), 0);
	ids_commit(ids);
	assert_int_equal(first->listeners[2].id, second->listeners[0].id);
	assert_int_not_equal(second->listeners[0].id, second->listeners[1].id);
	assert_false(ids_listener_used(ids, first->listeners[0].id));
	config_unref(first);
	config_unref(second);
}

static void a_full_table_refuses_and_gives_back_what_it_took(void **state)
{
	struct config *config = help_config(0, 0, 0);

	(void)state;
	for (unsigned i = 0; i <= SLUICE_MAX_LISTENERS; i++) {
		char address[32];

		snprintf(address, sizeof(address), "192.0.2.1:%u", 1000 + i);
		help_listener(config, address);
	}
	assert_int_equal(ids_assign(ids, config), -ENOSPC);
	for (uint32_t id = 0; id < SLUICE_MAX_LISTENERS; id++)
		assert_false(ids_listener_used(ids, id));
	config->n_listeners--;
	assert_int_equal(ids_assign(ids, config), 0);
	config->n_listeners++;
	config_unref(config);
}

static void without_memory_there_is_no_table_and_no_leak(void **state)
{
	(void)state;
	FAULT_EACH(n) {
		struct ids *made = ids_new();

		fault_stop();
		assert_true(!made == fault_hit());
		ids_free(made);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(same_backends_keep_ids_and_generations_over_reloads),
		TEST(the_same_address_in_two_groups_is_two_backends),
		TEST(ids_of_the_old_config_are_not_reused_before_its_end),
		TEST(an_abort_gives_back_only_what_is_new),
		TEST(an_id_given_to_another_backend_has_a_new_generation),
		TEST(listeners_are_known_by_address),
		TEST(a_full_table_refuses_and_gives_back_what_it_took),
		TEST(without_memory_there_is_no_table_and_no_leak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
