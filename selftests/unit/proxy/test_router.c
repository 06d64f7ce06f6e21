/* SPDX-License-Identifier: MIT */
/*
 * test_router.c - a configuration as a worker uses it: listeners found by id, groups by index, a
 * balancer of the configured kind, references, and no memory.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "fault.h"
#include "proxy/router.h"

/* Two groups, the first with weights 3 and 1. No certificates: TLS contexts are test_tls's. */
static struct config *make_config(void)
{
	struct config *config = calloc(1, sizeof(*config));
	struct config_group *groups = calloc(2, sizeof(*groups));

	config->refs = 1;
	config->n_listeners = 2;
	config->listeners = calloc(2, sizeof(*config->listeners));
	config->listeners[0].id = 7;
	config->listeners[1].id = 3;
	config->n_groups = 2;
	config->groups = groups;
	groups[0].n_endpoints = 2;
	groups[0].endpoints = calloc(2, sizeof(*groups[0].endpoints));
	groups[0].endpoints[0].weight = 3;
	groups[0].endpoints[1].weight = 1;
	groups[1].balance = BALANCE_LEAST_REQUEST;
	return config;
}

static bool usable(void *ctx, uint32_t index)
{
	return true;
}

static void listeners_are_found_by_id_and_groups_by_index(void **state)
{
	struct config *config = make_config();
	char why[64];
	struct router *router = router_new(config, 0, why, sizeof(why));
	struct router_listener *listener;

	assert_non_null(router);
	listener = router_listener(router, 7);
	assert_ptr_equal(listener->config, &config->listeners[0]);
	assert_ptr_equal(router->groups[1].config, &config->groups[1]);
	listener = router_listener(router, 3);
	assert_ptr_equal(listener->config, &config->listeners[1]);
	assert_null(router_listener(router, 0));
	router_unref(router);
}

static void each_group_has_the_balancer_it_asks_for(void **state)
{
	char why[64];
	struct router *router = router_new(make_config(), 0, why, sizeof(why));
	unsigned picks[2] = { 0 };

	assert_non_null(router->groups[0].wrr);
	assert_null(router->groups[0].least_request);
	assert_non_null(router->groups[1].least_request);
	assert_null(router->groups[1].wrr);
	for (int i = 0; i < 8; i++)
		picks[wrr_pick(router->groups[0].wrr, usable, NULL)]++;
	assert_int_equal(picks[0], 6);
	assert_int_equal(picks[1], 2);
	router_unref(router);
}

static void random_and_consistent_hash_have_theirs(void **state)
{
	struct config *config = make_config();
	struct config_group *groups = config->groups;
	struct router *router;
	char why[64];

	groups[0].balance = BALANCE_CONSISTENT_HASH;
	groups[1].balance = BALANCE_RANDOM;
	addr_from_ip(&groups[0].endpoints[0].address, "192.0.2.1", 80);
	addr_from_ip(&groups[0].endpoints[1].address, "2001:db8::1", 80);
	router = router_new(config, 0, why, sizeof(why));
	assert_non_null(router->groups[0].maglev);
	assert_non_null(router->groups[1].random);
	assert_null(router->groups[0].wrr);
	router_unref(router);
}

static void a_table_outlives_a_reload_that_does_not_touch_its_group(void **state)
{
	struct config *config = make_config(), *turned = make_config();
	struct router *router, *next;
	struct config_group group;
	char why[64];
	int picked;

	config->groups[0].balance = turned->groups[0].balance = BALANCE_CONSISTENT_HASH;
	config->groups[0].id = turned->groups[0].id = 17;
	group = turned->groups[0];
	turned->groups[0] = turned->groups[1];
	turned->groups[1] = group;
	router = router_new(config, 0, why, sizeof(why));
	next = router_new(turned, 0, why, sizeof(why));
	picked = maglev_pick(router->groups[0].maglev, usable, NULL, 4711);
	router_inherit(next, router);
	router_unref(router);
	fault_start_all(0);
	assert_int_equal(maglev_pick(next->groups[1].maglev, usable, NULL, 4711), picked);
	fault_stop();
	assert_int_equal(fault_count(), 0);
	router_unref(next);
}

/* Those pay for a look at the group's epoch at each pick. */
static void only_groups_with_two_tiers_or_a_panic_threshold_have_a_view(void **state)
{
	struct config *config = make_config();
	struct router *router;
	char why[64];

	router = router_new(config_ref(config), 0, why, sizeof(why));
	assert_false(router->groups[0].has_view);
	router_unref(router);
	config->groups[0].endpoints[1].backup = true;
	config->groups[1].panic_percent = 1;
	router = router_new(config, 0, why, sizeof(why));
	assert_true(router->groups[0].has_view);
	assert_true(router->groups[1].has_view);
	router_unref(router);
}

static void workers_begin_at_different_places(void **state)
{
	char why[64];
	int first[4];

	for (uint32_t slot = 0; slot < 4; slot++) {
		struct router *router = router_new(make_config(), slot, why, sizeof(why));

		first[slot] = wrr_pick(router->groups[0].wrr, usable, NULL);
		router_unref(router);
	}
	assert_int_equal((first[0] == 1) + (first[1] == 1) + (first[2] == 1) + (first[3] == 1), 1);
}

static void it_lives_as_long_as_its_last_reference(void **state)
{
	char why[64];
	struct router *router = router_new(make_config(), 0, why, sizeof(why));

	assert_ptr_equal(router_ref(router), router);
	router_unref(router);
	assert_int_equal(router->config->n_groups, 2);
	router_unref(router);
	router_unref(NULL);
}

static void a_certificate_that_does_not_load_is_told(void **state)
{
	struct config *config = make_config();
	char why[64] = "";

	config->listeners[0].certificates = calloc(1, sizeof(*config->listeners[0].certificates));
	config->listeners[0].certificates[0].chain_pem = (uint8_t *)strdup("nonsense");
	config->listeners[0].certificates[0].chain_len = 8;
	config->listeners[0].n_certificates = 1;
	assert_null(router_new(config, 0, why, sizeof(why)));
	assert_true(strlen(why) > 4);
}

static void without_memory_it_says_so_and_frees_the_configuration(void **state)
{
	struct router *router = NULL;

	for (unsigned n = 0; !router; n++) {
		struct config *config = make_config();
		char why[64] = "";

		fault_start(n);
		router = router_new(config, 0, why, sizeof(why));
		fault_stop();
		assert_true(router || strlen(why) > 4);
		assert_true(router || fault_hit());
	}
	router_unref(router);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listeners_are_found_by_id_and_groups_by_index),
		cmocka_unit_test(each_group_has_the_balancer_it_asks_for),
		cmocka_unit_test(random_and_consistent_hash_have_theirs),
		cmocka_unit_test(a_table_outlives_a_reload_that_does_not_touch_its_group),
		cmocka_unit_test(only_groups_with_two_tiers_or_a_panic_threshold_have_a_view),
		cmocka_unit_test(workers_begin_at_different_places),
		cmocka_unit_test(it_lives_as_long_as_its_last_reference),
		cmocka_unit_test(a_certificate_that_does_not_load_is_told),
		cmocka_unit_test(without_memory_it_says_so_and_frees_the_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
