/* SPDX-License-Identifier: MIT */
/*
 * test_names.c - what DNS answers make of the backends: the last good answer holds.
 */
#include "control/names.h"

#include <errno.h>

#include "cm.h"
#include "control/control_help.h"
#include "fault.h"

static struct names names;

static int setup(void **state)
{
	(void)state;
	names_init(&names);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	names_done(&names);
	return 0;
}

/* 198.18.0.last of each number given, ended by -1. */
static struct channel_resolved answer(const char *host, int first, int second)
{
	struct channel_resolved resolved = { 0 };
	const int numbers[] = { first, second };

	strcpy(resolved.host, host);
	for (unsigned i = 0; i < 2 && numbers[i] >= 0; i++) {
		struct addr addr;
		char ip[32];

		snprintf(ip, sizeof(ip), "198.18.0.%d", numbers[i]);
		assert_int_equal(addr_from_ip(&addr, ip, 0), 0);
		addr_to_mapped(&addr, resolved.addresses[resolved.n++]);
	}
	return resolved;
}

static int store(const char *host, int first, int second)
{
	const struct channel_resolved resolved = answer(host, first, second);

	return names_store(&names, &resolved);
}

static void literal_addresses_need_no_answer(void **state)
{
	struct config *config = help_config(1, 3, 1000);

	(void)state;
	assert_int_equal(names_unanswered(&names, config), 0);
	assert_int_equal(names_resolve(&names, config), 0);
	assert_int_equal(config->groups[0].n_endpoints, 3);
	assert_int_equal(addr_port(&config->groups[0].endpoints[2].address), 1002);
	assert_int_equal(config->groups[0].endpoints[2].backend, 2);
	config_unref(config);
}

static void a_name_has_no_endpoint_until_it_is_answered_and_then_one_an_address(void **state)
{
	struct config *config = help_config(1, 2, 1000);

	(void)state;
	help_name(config, 0, 1, "backend.example");
	assert_int_equal(names_unanswered(&names, config), 1);
	assert_int_equal(names_resolve(&names, config), 0);
	assert_int_equal(config->groups[0].n_endpoints, 1);

	assert_int_equal(store("Backend.Example", 7, 8), 1);
	assert_int_equal(names_unanswered(&names, config), 0);
	assert_int_equal(names_resolve(&names, config), 0);
	assert_int_equal(config->groups[0].n_endpoints, 3);
	assert_int_equal(config->groups[0].endpoints[2].backend, 1);
	assert_int_equal(addr_port(&config->groups[0].endpoints[2].address), 1001);
	config_unref(config);
}

static void an_empty_answer_keeps_the_last_good_one(void **state)
{
	struct config *config = help_config(1, 1, 1000);

	(void)state;
	help_name(config, 0, 0, "backend.example");
	assert_int_equal(store("backend.example", 7, -1), 1);
	assert_int_equal(store("backend.example", 7, -1), 0);
	assert_int_equal(store("backend.example", -1, -1), 0);
	assert_int_equal(names_resolve(&names, config), 0);
	assert_int_equal(config->groups[0].n_endpoints, 1);
	assert_int_equal(store("backend.example", 8, -1), 1);
	config_unref(config);
}

static void an_empty_first_answer_counts_as_answered(void **state)
{
	struct config *config = help_config(1, 1, 1000);

	(void)state;
	help_name(config, 0, 0, "backend.example");
	assert_int_equal(store("backend.example", -1, -1), 0);
	assert_int_equal(names_unanswered(&names, config), 0);
	config_unref(config);
}

static void one_address_under_two_names_is_one_endpoint(void **state)
{
	struct config *config = help_config(1, 2, 1000);

	(void)state;
	config->groups[0].backends[1].port = 1000;
	help_name(config, 0, 0, "a.example");
	help_name(config, 0, 1, "b.example");
	store("a.example", 7, 8);
	store("b.example", 8, 9);
	assert_int_equal(names_resolve(&names, config), 0);
	assert_int_equal(config->groups[0].n_endpoints, 3);
	assert_int_equal(config->groups[0].endpoints[1].backend, 0);
	config_unref(config);
}

static void names_that_left_the_config_are_forgotten(void **state)
{
	struct config *config = help_config(1, 1, 1000);

	(void)state;
	help_name(config, 0, 0, "kept.example");
	store("kept.example", 7, -1);
	store("gone.example", 8, -1);
	names_sweep(&names, config);
	assert_int_equal(store("kept.example", 7, -1), 0);
	assert_int_equal(store("gone.example", 8, -1), 1);
	config_unref(config);
}

static void malformed_answers_are_refused(void **state)
{
	struct channel_resolved resolved = answer("backend.example", 7, 8);

	(void)state;
	resolved.n = CHANNEL_ADDRESSES_MAX + 1;
	assert_int_equal(names_store(&names, &resolved), -EINVAL);
	resolved.n = 1;
	memset(resolved.host, 'a', sizeof(resolved.host));
	assert_int_equal(names_store(&names, &resolved), -EINVAL);
}

static void without_memory_nothing_is_stored_by_half(void **state)
{
	(void)state;
	FAULT_EACH(n) {
		int ret = store("backend.example", 7, -1);

		fault_stop();
		if (fault_hit()) {
			assert_int_equal(ret, -ENOMEM);
			assert_true(list_empty(&names.answers));
		} else {
			assert_int_equal(ret, 1);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(literal_addresses_need_no_answer),
		TEST(a_name_has_no_endpoint_until_it_is_answered_and_then_one_an_address),
		TEST(an_empty_answer_keeps_the_last_good_one),
		TEST(an_empty_first_answer_counts_as_answered),
		TEST(one_address_under_two_names_is_one_endpoint),
		TEST(names_that_left_the_config_are_forgotten),
		TEST(malformed_answers_are_refused),
		TEST(without_memory_nothing_is_stored_by_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
