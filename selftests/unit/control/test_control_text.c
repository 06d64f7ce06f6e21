/* SPDX-License-Identifier: MIT */
/*
 * test_control_text.c - routes in a few words, requests of commands read or refused, and the settings
 * that a reload leaves as they are.
 */
#include "control/control_text.h"

#include <errno.h>

#include "cm.h"
#include "control/control_command.h"
#include "control/control_help.h"
#include "control/fixed.h"

static void a_match_is_said_by_its_first_values_and_a_count(void **state)
{
	char *hosts[] = { "api.example", "b.example" }, *values[] = { "alice", "bob" };
	struct config_path path = { PATH_SERVICE, "/pkg.Svc/" };
	struct config_metadata_condition metadata[] = {
		{ .key = "x-user", .match = METADATA_EXACT, .values = { values, 2 } },
		{ .key = "x-debug", .match = METADATA_ABSENT },
	};
	struct prefix source;
	char text[CONTROL_TEXT_MAX];
	struct config_match match = { 0 };

	(void)state;
	assert_string_equal(control_match_text(&match, text, sizeof(text)), "every call");
	assert_int_equal(prefix_parse(&source, "10.0.0.0/8"), 0);
	match = (struct config_match){ .hosts = { hosts, 2 }, .paths = &path, .n_paths = 1,
				       .metadata = metadata, .n_metadata = 2, .sources = &source,
				       .n_sources = 1 };
	assert_string_equal(control_match_text(&match, text, sizeof(text)),
			    "host api.example +1, service /pkg.Svc/, x-user=alice +1, x-debug absent, "
			    "source 10.0.0.0/8");
}

static void what_is_too_long_is_cut_with_dots_wherever(void **state)
{
	char long_path[600], text[CONTROL_TEXT_MAX];
	struct config_path path = { PATH_EXACT, long_path };
	struct config_match match = { .paths = &path, .n_paths = 1 };

	(void)state;
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	for (size_t size = 5; size <= sizeof(text); size++) {
		control_match_text(&match, text, size);
		assert_int_equal(strlen(text), size - 1);
		assert_string_equal(text + size - 4, "...");
	}
}

static void a_target_is_its_groups_with_weights_or_its_status(void **state)
{
	struct config *config = help_config(3, 1, 1000);
	struct config_split splits[] = { { 0, 90 }, { 2, 10 } };
	struct config_route route = { .splits = splits, .n_splits = 2,
				      .mirror_group = CONFIG_NO_GROUP };
	char text[CONTROL_TEXT_MAX];

	(void)state;
	assert_string_equal(control_target_text(config, &route, text, sizeof(text)),
			    "group0 90, group2 10");
	route.n_splits = 1;
	route.mirror_group = 1;
	assert_string_equal(control_target_text(config, &route, text, sizeof(text)),
			    "group0, mirror group1");
	route = (struct config_route){ .status = 14, .mirror_group = CONFIG_NO_GROUP };
	assert_string_equal(control_target_text(config, &route, text, sizeof(text)), "UNAVAILABLE");
	config_unref(config);
}

static int read_request(const char *text, struct override_command *what)
{
	json_t *request = json_loads(text, 0, NULL);
	char why[256] = "";
	int ret = control_command_read(request, what, why, sizeof(why));

	assert_true(!ret == !why[0]);
	json_decref(request);
	return ret;
}

static void commands_are_read_whole_or_refused(void **state)
{
	static const char *const bad[] = {
		"{\"command\": \"drain\", \"group\": \"g\"}",
		"{\"command\": \"drain\", \"group\": \"g\", \"backend\": 1}",
		"{\"command\": \"drain\", \"group\": \"g\", \"backend\": \"b\", \"for_ms\": 0}",
		"{\"command\": \"drain\", \"group\": \"g\", \"backend\": \"b\", \"for_ms\": 86400001}",
		"{\"command\": \"drain\", \"group\": \"g\", \"backend\": \"b\", \"for_ms\": \"1\"}",
		"{\"command\": \"undrain\", \"group\": \"g\", \"backend\": \"b\", \"for_ms\": 1}",
		"{\"command\": \"weight\", \"group\": \"g\", \"backend\": \"b\"}",
		"{\"command\": \"weight\", \"group\": \"g\", \"backend\": \"b\", \"weight\": 101}",
		"{\"command\": \"weight\", \"group\": \"g\", \"backend\": \"b\", \"weight\": 1.5}",
		"{\"command\": \"weight\", \"group\": \"g\", \"backend\": \"b\", \"weight\": \"f\"}",
		"{\"command\": \"health\", \"group\": \"g\", \"backend\": \"b\", \"health\": \"well\"}",
		"{\"command\": \"health\", \"group\": \"g\", \"backend\": \"b\"}",
	};
	struct override_command what;

	(void)state;
	assert_true(control_command_is("undrain") && !control_command_is("status"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(read_request(bad[i], &what), -EINVAL);
	assert_int_equal(read_request("{\"command\": \"drain\", \"group\": \"g\", \"backend\": "
				      "\"b:1\", \"for_ms\": 2}", &what), 0);
	assert_int_equal(what.verb, OVERRIDE_DRAIN);
	assert_int_equal(what.drain_for_ns, 2000000);
	assert_string_equal(what.backend, "b:1");
	assert_int_equal(read_request("{\"command\": \"weight\", \"group\": \"g\", \"backend\": "
				      "\"b:1\", \"weight\": \"file\"}", &what), 0);
	assert_true(what.verb == OVERRIDE_WEIGHT && what.weight == OVERRIDE_WEIGHT_FILE);
	assert_int_equal(read_request("{\"command\": \"health\", \"group\": \"g\", \"backend\": "
				      "\"b:1\", \"health\": \"auto\"}", &what), 0);
	assert_true(what.verb == OVERRIDE_HEALTH && what.forced == SLUICE_HEALTH_UNKNOWN);
}

static void settings_that_want_a_restart_keep_their_value_and_are_named(void **state)
{
	struct config *running = help_config(1, 1, 1000), *next = help_config(1, 1, 1000);
	char kept[64];

	(void)state;
	running->workers = 2;
	running->control_socket = help_text("/run/a");
	running->kernel.pin_path = help_text("/pins");
	next->workers = 4;
	next->control_socket = help_text("/run/b");
	next->kernel.pin_path = help_text("/pins");
	next->kernel.xdp_chain = true;
	assert_int_equal(fixed_keep(next, running, kept, sizeof(kept)), 0);
	assert_string_equal(kept, "workers, kernel.xdp_chain, control.socket");
	assert_false(next->kernel.xdp_chain);
	assert_int_equal(next->workers, 2);
	assert_string_equal(next->control_socket, "/run/a");
	assert_int_equal(fixed_keep(next, running, kept, sizeof(kept)), 0);
	assert_string_equal(kept, "");
	config_unref(running);
	config_unref(next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_match_is_said_by_its_first_values_and_a_count),
		cmocka_unit_test(what_is_too_long_is_cut_with_dots_wherever),
		cmocka_unit_test(a_target_is_its_groups_with_weights_or_its_status),
		cmocka_unit_test(commands_are_read_whole_or_refused),
		cmocka_unit_test(settings_that_want_a_restart_keep_their_value_and_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
