/* SPDX-License-Identifier: MIT */
/*
 * test_overrides.c - commands on backends: whom they mean, what they leave to the file, and that a
 * revision that fails takes them with it.
 */
#include "control/overrides.h"

#include <errno.h>

#include "cm.h"
#include "control/control_help.h"
#include "control/names.h"
#include "fault.h"

#define NOW 1000

static struct overrides overrides;
static struct names names;

static int setup(void **state)
{
	(void)state;
	overrides_init(&overrides);
	names_init(&names);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	overrides_done(&overrides);
	names_done(&names);
	return 0;
}

static struct override_command command(enum override_verb verb, const char *group,
				       const char *backend)
{
	struct override_command what = { .verb = verb, .weight = OVERRIDE_WEIGHT_FILE };

	strcpy(what.group, group);
	strcpy(what.backend, backend);
	return what;
}

static int set(const struct config *config, struct override_command what)
{
	char why[256];

	return overrides_set(&overrides, config, &what, NOW, why, sizeof(why));
}

static int weigh(const struct config *config, const char *backend, uint32_t weight)
{
	struct override_command what = command(OVERRIDE_WEIGHT, "group0", backend);

	what.weight = weight;
	return set(config, what);
}

/* The same file as before, or a new one with the given weight and drain of its first backend. */
static struct config *loaded(uint32_t weight, bool drain, bool from_file)
{
	struct config *config = help_config(2, 3, 1000);

	config->groups[0].backends[0].weight = weight;
	config->groups[0].backends[0].drain = drain;
	assert_int_equal(names_resolve(&names, config), 0);
	assert_int_equal(overrides_apply(&overrides, config, from_file), 0);
	return config;
}

static const struct config_endpoint *first_of(const struct config *config)
{
	return &config->groups[0].endpoints[0];
}

static void a_command_changes_its_backend_and_no_other(void **state)
{
	struct config *config = loaded(100, false, true), *next;
	struct override_command drain = command(OVERRIDE_DRAIN, "group0", "192.0.2.1:1000");
	struct override_command force = command(OVERRIDE_HEALTH, "group0", "192.0.2.1:1002");

	(void)state;
	drain.drain_for_ns = 500;
	force.forced = SLUICE_HEALTH_DOWN;
	assert_int_equal(weigh(config, "192.0.2.1:1001", 7), 0);
	assert_int_equal(set(config, drain), 0);
	assert_int_equal(set(config, force), 0);
	next = loaded(100, false, false);
	const struct config_endpoint *endpoints = next->groups[0].endpoints;

	assert_true(endpoints[0].drained);
	assert_int_equal(endpoints[0].drain_until_ns, NOW + 500);
	assert_int_equal(endpoints[1].weight, 7);
	assert_int_equal(endpoints[1].file_weight, 100);
	assert_int_equal(endpoints[2].forced, SLUICE_HEALTH_DOWN);
	for (size_t i = 0; i < 3; i++) {
		const struct config_endpoint *other = &next->groups[1].endpoints[i];

		assert_true(!other->drained && other->weight == 100 &&
			    other->forced == SLUICE_HEALTH_UNKNOWN);
	}
	config_unref(config);
	config_unref(next);
}

static void what_is_taken_back_is_as_in_the_file_and_leaves_nothing(void **state)
{
	struct config *config = loaded(100, false, true), *next;
	struct override_command force = command(OVERRIDE_HEALTH, "group0", "192.0.2.1:1000");

	(void)state;
	force.forced = SLUICE_HEALTH_UP;
	assert_int_equal(weigh(config, "192.0.2.1:1000", 7), 0);
	assert_int_equal(set(config, command(OVERRIDE_DRAIN, "group0", "192.0.2.1:1000")), 0);
	assert_int_equal(set(config, force), 0);
	overrides_commit(&overrides, false);
	assert_false(list_empty(&overrides.entries));

	force.forced = SLUICE_HEALTH_UNKNOWN;
	assert_int_equal(weigh(config, "192.0.2.1:1000", OVERRIDE_WEIGHT_FILE), 0);
	assert_int_equal(set(config, command(OVERRIDE_UNDRAIN, "group0", "192.0.2.1:1000")), 0);
	assert_int_equal(set(config, force), 0);
	next = loaded(100, false, false);
	assert_true(!first_of(next)->drained && first_of(next)->weight == 100);
	overrides_commit(&overrides, false);
	assert_true(list_empty(&overrides.entries));
	config_unref(config);
	config_unref(next);
}

static void a_reload_keeps_commands_until_the_file_changes_their_value(void **state)
{
	struct config *config = loaded(100, false, true), *next;

	(void)state;
	assert_int_equal(weigh(config, "192.0.2.1:1000", 7), 0);
	assert_int_equal(set(config, command(OVERRIDE_DRAIN, "group0", "192.0.2.1:1000")), 0);
	overrides_commit(&overrides, false);
	config_unref(config);

	next = loaded(100, false, true);
	assert_true(first_of(next)->weight == 7 && first_of(next)->drained);
	overrides_commit(&overrides, true);
	config_unref(next);

	next = loaded(50, false, true);
	assert_true(first_of(next)->weight == 50 && first_of(next)->drained);
	overrides_commit(&overrides, true);
	config_unref(next);

	/* drain: true in the file, then false again: what the command said is long gone. */
	next = loaded(50, true, true);
	assert_true(first_of(next)->drained);
	overrides_commit(&overrides, true);
	config_unref(next);
	next = loaded(50, false, true);
	assert_false(first_of(next)->drained);
	assert_true(list_empty(&overrides.entries) || first_of(next)->weight == 50);
	config_unref(next);
}

static void a_refused_reload_takes_nothing_back(void **state)
{
	struct config *config = loaded(100, false, true), *next;

	(void)state;
	assert_int_equal(weigh(config, "192.0.2.1:1000", 7), 0);
	overrides_commit(&overrides, false);
	config_unref(config);
	next = loaded(50, false, true);
	assert_int_equal(first_of(next)->weight, 50);
	overrides_revert(&overrides);
	config_unref(next);
	next = loaded(100, false, false);
	assert_int_equal(first_of(next)->weight, 7);

	assert_int_equal(weigh(next, "192.0.2.1:1000", 9), 0);
	overrides_revert(&overrides);
	config_unref(next);
	next = loaded(100, false, false);
	assert_int_equal(first_of(next)->weight, 7);
	config_unref(next);
}

static void undrain_beats_the_file_until_it_changes(void **state)
{
	struct config *config = loaded(100, true, true), *next;

	(void)state;
	assert_true(first_of(config)->drained);
	assert_int_equal(set(config, command(OVERRIDE_UNDRAIN, "group0", "192.0.2.1:1000")), 0);
	overrides_commit(&overrides, false);
	config_unref(config);
	next = loaded(100, true, true);
	assert_false(first_of(next)->drained);
	config_unref(next);
	next = loaded(100, false, true);
	overrides_commit(&overrides, true);
	config_unref(next);
	next = loaded(100, true, true);
	assert_true(first_of(next)->drained);
	config_unref(next);
}

static struct config *named(bool from_file)
{
	struct config *config = help_config(1, 1, 1000);

	help_name(config, 0, 0, "backend.example");
	assert_int_equal(names_resolve(&names, config), 0);
	assert_int_equal(overrides_apply(&overrides, config, from_file), 0);
	return config;
}

static void answer(int first, int second)
{
	struct channel_resolved resolved = { .host = "backend.example" };
	const int numbers[] = { first, second };

	for (unsigned i = 0; i < 2; i++) {
		struct addr addr;
		char ip[32];

		snprintf(ip, sizeof(ip), "198.18.0.%d", numbers[i]);
		assert_int_equal(addr_from_ip(&addr, ip, 0), 0);
		addr_to_mapped(&addr, resolved.addresses[resolved.n++]);
	}
	assert_int_equal(names_store(&names, &resolved), 1);
}

static void a_name_means_all_its_addresses_and_an_address_itself(void **state)
{
	struct config *config;

	(void)state;
	answer(1, 2);
	config = named(true);
	assert_int_equal(weigh(config, "Backend.Example:1000", 10), 0);
	assert_int_equal(weigh(config, "198.18.0.2:1000", 20), 0);
	assert_int_equal(set(config, command(OVERRIDE_DRAIN, "group0", "backend.example:1000")), 0);
	assert_int_equal(set(config, command(OVERRIDE_UNDRAIN, "group0", "198.18.0.2:1000")), 0);
	overrides_commit(&overrides, false);
	config_unref(config);

	config = named(false);
	assert_int_equal(config->groups[0].endpoints[0].weight, 10);
	assert_int_equal(config->groups[0].endpoints[1].weight, 20);
	assert_true(config->groups[0].endpoints[0].drained);
	assert_false(config->groups[0].endpoints[1].drained);

	/* A later word for the name is for all again, each of its own kind. */
	assert_int_equal(set(config, command(OVERRIDE_DRAIN, "group0", "backend.example:1000")), 0);
	overrides_revert(&overrides);
	config_unref(config);
	config = named(false);
	assert_false(config->groups[0].endpoints[1].drained);
	assert_int_equal(set(config, command(OVERRIDE_DRAIN, "group0", "backend.example:1000")), 0);
	overrides_commit(&overrides, false);
	config_unref(config);
	config = named(false);
	assert_true(config->groups[0].endpoints[1].drained);
	assert_int_equal(config->groups[0].endpoints[1].weight, 20);
	config_unref(config);

	/* The address goes and comes back; DNS alone makes nobody forget. */
	answer(1, 3);
	config = named(false);
	assert_int_equal(config->groups[0].endpoints[1].weight, 10);
	overrides_commit(&overrides, false);
	config_unref(config);
	answer(1, 2);
	config = named(false);
	assert_int_equal(config->groups[0].endpoints[1].weight, 20);
	config_unref(config);
}

static void backends_that_left_the_file_are_forgotten(void **state)
{
	struct config *config = loaded(100, false, true), *without;

	(void)state;
	assert_int_equal(weigh(config, "192.0.2.1:1002", 7), 0);
	overrides_commit(&overrides, false);
	config_unref(config);
	without = help_config(2, 2, 1000);
	assert_int_equal(names_resolve(&names, without), 0);
	assert_int_equal(overrides_apply(&overrides, without, true), 0);
	overrides_commit(&overrides, true);
	config_unref(without);
	assert_true(list_empty(&overrides.entries));
}

static void what_is_not_there_is_said_with_what_was_meant(void **state)
{
	struct config *config = loaded(100, false, true);
	struct override_command what = command(OVERRIDE_DRAIN, "gruop0", "192.0.2.1:1000");
	char why[256];

	(void)state;
	assert_int_equal(overrides_set(&overrides, config, &what, NOW, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "no group \"gruop0\", did you mean \"group0\"?"));
	what = command(OVERRIDE_DRAIN, "group1", "192.0.2.1:1003");
	assert_int_equal(overrides_set(&overrides, config, &what, NOW, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "did you mean \"192.0.2.1:100"));
	what = command(OVERRIDE_DRAIN, "group1", "somewhere.example:443");
	assert_int_equal(overrides_set(&overrides, config, &what, NOW, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "has no backend \"somewhere.example:443\""));
	assert_true(list_empty(&overrides.entries));
	config_unref(config);
}

static void without_memory_nothing_is_taken_in_by_half(void **state)
{
	struct config *config = loaded(100, false, true);

	(void)state;
	FAULT_EACH(n) {
		int ret = weigh(config, "192.0.2.1:1000", 7);

		fault_stop();
		assert_int_equal(ret, fault_hit() ? -ENOMEM : 0);
		assert_int_equal(list_empty(&overrides.entries), fault_hit());
	}
	fault_start(0);
	int ret = overrides_apply(&overrides, config, false);

	fault_stop();
	assert_int_equal(ret, -ENOMEM);
	config_unref(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_command_changes_its_backend_and_no_other),
		TEST(what_is_taken_back_is_as_in_the_file_and_leaves_nothing),
		TEST(a_reload_keeps_commands_until_the_file_changes_their_value),
		TEST(a_refused_reload_takes_nothing_back),
		TEST(undrain_beats_the_file_until_it_changes),
		TEST(a_name_means_all_its_addresses_and_an_address_itself),
		TEST(backends_that_left_the_file_are_forgotten),
		TEST(what_is_not_there_is_said_with_what_was_meant),
		TEST(without_memory_nothing_is_taken_in_by_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
