/* SPDX-License-Identifier: MIT */
/*
 * test_route_values.c - what correct routes and groups become: every default, and every key given
 * another value.
 */
#include "config_help.h"

#include <stdio.h>

static void expect_unlimited(const struct config_route *route)
{
	assert_int_equal(route->calls.interval_ns, 0);
	assert_int_equal(route->calls_key.source, KEY_NONE);
	assert_int_equal(route->max_calls, 0);
	assert_int_equal(route->default_timeout_ms, 0);
	assert_int_equal(route->max_timeout_ms, 0);
	assert_int_equal(route->idle_timeout_ms, 0);
	assert_int_equal(route->max_age_ms, 0);
	assert_int_equal(route->retry.codes, 0);
	assert_false(route->retry.on_reset);
	assert_int_equal(route->retry.attempts, 2);
	assert_int_equal(route->retry.per_try_timeout_ms, 0);
	assert_int_equal(route->retry.backoff_base_ms, 25);
	assert_int_equal(route->retry.backoff_max_ms, 250);
	assert_int_equal(route->retry.budget_percent, 20);
	assert_int_equal(route->retry.budget_floor, 10);
}

static void expect_plain(const struct config_route *route, const char *name, uint32_t group)
{
	assert_string_equal(route->name, name);
	assert_int_equal(route->match.hosts.n + route->match.n_paths + route->match.n_metadata +
				 route->match.n_sources + route->match.snis.n + route->match.sans.n,
			 0);
	assert_int_equal(route->n_splits, 1);
	assert_int_equal(route->splits[0].group, group);
	assert_int_equal(route->splits[0].weight, 1);
	assert_int_equal(route->sticky.source, KEY_NONE);
	assert_int_equal(route->status, -1);
	assert_null(route->message);
	assert_true(route->mirror_group == CONFIG_NO_GROUP);
	assert_int_equal(route->mirror_permyriad, 0);
	assert_int_equal(route->request.n + route->response.n, 0);
	assert_null(route->rewrite_authority);
	assert_null(route->rewrite_prefix);
	assert_null(route->rewrite_to);
	expect_unlimited(route);
}

static void a_listener_s_group_is_its_last_route(void **state)
{
	struct config *config = help_config(A_LISTENER A_GROUP);
	const struct config_listener *listener = config->listeners;

	assert_int_equal(listener->n_routes, 1);
	assert_int_equal(listener->group, 0);
	expect_plain(listener->routes, "default", 0);
	assert_int_equal(listener->routes[0].place.line, 1);
	assert_int_equal(listener->routes[0].place.column, 84);
	config_unref(config);
}

static void the_new_keys_of_listeners_and_groups_have_defaults(void **state)
{
	struct config *config = help_config(A_LISTENER A_GROUP);
	const struct config_listener *listener = config->listeners;
	const struct config_group *group = config->groups;

	assert_int_equal(config->drain_jitter_ms, 1000);
	assert_true(config->error_addresses);
	assert_null(listener->client_ca_path);
	assert_false(listener->client_required);
	assert_int_equal(listener->trusted_hops, 0);
	assert_true(listener->request_id);
	assert_false(listener->health_service);
	assert_int_equal(listener->max_age_ms, 0);
	assert_int_equal(listener->max_age_grace_ms, 0);
	assert_int_equal(listener->keepalive_interval_ms, 60000);
	assert_int_equal(listener->keepalive_timeout_ms, 20000);
	assert_int_equal(listener->min_ping_interval_ms, 10000);
	assert_true(listener->ping_without_calls);
	assert_int_equal(listener->max_calls, 0);

	assert_int_equal(group->protocol, PROTOCOL_GRPC);
	assert_int_equal(group->hash_key.source, KEY_NONE);
	assert_int_equal(group->slow_start_ms, 0);
	assert_int_equal(group->backup_below_percent, 0);
	assert_int_equal(group->panic_percent, 0);
	assert_false(group->backends[0].backup);
	assert_false(group->backends[0].drain);
	assert_int_equal(group->min_connections, 0);
	assert_int_equal(group->max_age_ms, 0);
	assert_int_equal(group->max_header_bytes, 65536);
	assert_int_equal(group->health_check.method, HEALTH_METHOD_CALL);
	assert_null(group->health_check.authority);
	assert_false(group->tls.enabled);
	assert_null(group->tls.ca_path);
	assert_null(group->tls.certificate);
	assert_int_equal(group->breaker.group_calls, 0);
	assert_int_equal(group->breaker.pending, 0);
	assert_int_equal(group->breaker.status, 14);
	assert_false(group->outlier.enabled);
	config_unref(config);
}

static void empty_mappings_turn_on_with_the_defaults(void **state)
{
	struct config *config = help_config(
		A_LISTENER "groups: [{name: g, backends: [{address: a:1}], tls: {}, "
			   "outlier_detection: {}, balance: consistent_hash}]\n");
	const struct config_group *group = config->groups;

	assert_int_equal(group->hash_key.source, KEY_SOURCE);
	assert_true(group->tls.enabled);
	assert_true(group->tls.verify);
	assert_null(group->tls.server_name);
	assert_true(group->outlier.enabled);
	assert_int_equal(group->outlier.codes, 1 << 2 | 1 << 4 | 1 << 13 | 1 << 14 | 1 << 15);
	assert_int_equal(group->outlier.consecutive_failures, 5);
	assert_int_equal(group->outlier.interval_ms, 10000);
	assert_int_equal(group->outlier.min_calls, 100);
	assert_int_equal(group->outlier.min_backends, 5);
	assert_int_equal(group->outlier.success_rate_stdev_permille, 1900);
	assert_int_equal(group->outlier.latency_factor_permille, 0);
	assert_int_equal(group->outlier.base_ejection_ms, 30000);
	assert_int_equal(group->outlier.max_ejection_ms, 300000);
	assert_int_equal(group->outlier.max_ejected_percent, 10);
	config_unref(config);
}

static const char whole[] =
	"drain: {grace: 0, jitter: 0s}\n"
	"errors: {addresses: false}\n"
	"listeners:\n"
	"- name: l\n"
	"  address: \"[::]:443\"\n"
	"  certificate: {chain: c, key: k}\n"
	"  client_certificates: {ca: ca.pem, required: true}\n"
	"  trusted_hops: 16\n"
	"  request_id: false\n"
	"  health_service: true\n"
	"  group: g\n"
	"  routes:\n"
	"  - name: all.of-it_1\n"
	"    match:\n"
	"      host: [API.Example.com, \"*.example.net\", 192.0.2.1, \"[fd00::1]\"]\n"
	"      path: [/a.B/C, /a.B/, {prefix: /a.}, {regex: \"/a\\\\..*\"}]\n"
	"      metadata:\n"
	"      - {key: k1, exact: [a, \"\"]}\n"
	"      - {key: k2, prefix: b}\n"
	"      - {key: k3, suffix: c}\n"
	"      - {key: k4, regex: \"[d]+\"}\n"
	"      - {key: k5, present: true}\n"
	"      - {key: k6-bin, exact: YQ==}\n"
	"      - {key: k7, absent: true}\n"
	"      source: [10.0.0.0/8, \"fd00::/8\"]\n"
	"      sni: x.example\n"
	"      san: [\"*.Client.example\", spiffe://Example/a, Me@Example, 192.0.2.9]\n"
	"    groups: [{name: h, weight: 10000}, {name: g, weight: 1}]\n"
	"    sticky: san\n"
	"    mirror: {group: g, share: 0.01%}\n"
	"    request: {add: {x-c: \"{{{client.ip}\"}, set: {x-b: \"\", x-a: v}, remove: [x-d, x-e]}\n"
	"    response: {remove: x-f, set: {x-g: \"{backend.address} {group.name}\"}}\n"
	"    rewrite: {authority: \"a-{client.port}:1\", prefix: /a., to: /b.}\n"
	"    limits: {burst: 7, calls: 60/m, key: metadata:x-user, concurrent: 9}\n"
	"    timeouts: {default: 1s, max: 2s, idle: 3s, max_age: 4s}\n"
	"    retry: {codes: [CANCELLED, 14, 4-6], on_reset: true, attempts: 5, per_try_timeout: 6ms,\n"
	"            backoff: {base: 7ms, max: 8ms}, budget: {share: 9%, floor: 11}}\n"
	"  - {status: {code: PERMISSION_DENIED, message: \"no \\u00e4\"}, match: {path: /x/y}}\n"
	"  - {status: {code: 0}, match: {source: 192.0.2.7}}\n"
	"  - {match: {metadata: {key: one, present: true}}, group: g, limits: {calls: 5/s}}\n"
	"  timeouts: {max_age: 1h, age_grace: 2h}\n"
	"  keepalive: {interval: 0, timeout: 1s, min_ping_interval: 0s, pings_without_calls: false}\n"
	"  limits: {calls: 1000}\n"
	"groups:\n"
	"- name: g\n"
	"  protocol: http2\n"
	"  balance: consistent_hash\n"
	"  hash: metadata:x-session\n"
	"  slow_start: 1m\n"
	"  backup_below: 50%\n"
	"  panic_below: 100%\n"
	"  backends: [{address: a:1, backup: true}, {address: b:1, drain: true}, {address: c:1}]\n"
	"  health_check: {method: WATCH, authority: a.example, service: s}\n"
	"  connections: {min: 2, max: 3, max_age: 4m, header_list: 5KiB}\n"
	"  tls: {ca: up.pem, verify: true, server_name: u.example, certificate: {chain: x, key: y}}\n"
	"  circuit_breaker: {calls: 1, connections: 2, pending: 3, pending_timeout: 4ms, "
	"backend_calls: 5, backend_connections: 6, status: RESOURCE_EXHAUSTED}\n"
	"  outlier_detection: {codes: [1, 16], consecutive_failures: 0, interval: 2s, min_calls: 3,\n"
	"    min_backends: 4, success_rate: 2, latency: 3.125, ejection: {base: 5s, max: 6s, share: 7%}}\n"
	"- name: h\n"
	"  balance: random\n"
	"  backends: [{address: d:1}]\n"
	"  health_check: {protocol: tcp, port: 9}\n";

static void a_route_s_conditions_are_read(void **state)
{
	static const char *const hosts[] = { "api.example.com", "*.example.net", "192.0.2.1", "[fd00::1]" };
	static const char *const sans[] = { "*.client.example", "spiffe://Example/a", "Me@Example",
					    "192.0.2.9" };
	static const enum config_metadata_match kinds[] = {
		METADATA_EXACT, METADATA_PREFIX, METADATA_SUFFIX, METADATA_REGEX, METADATA_PRESENT,
		METADATA_EXACT, METADATA_ABSENT,
	};
	struct config *config = help_config(whole);
	const struct config_match *match = &config->listeners->routes[0].match;
	char text[ADDR_TEXT_MAX];

	assert_int_equal(match->hosts.n, 4);
	assert_int_equal(match->sans.n, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(match->hosts.items[i], hosts[i]);
		assert_string_equal(match->sans.items[i], sans[i]);
		assert_int_equal(match->paths[i].match, i); /* in the enum's order */
	}
	assert_int_equal(match->n_paths, 4);
	assert_string_equal(match->paths[1].text, "/a.B/");
	assert_string_equal(match->paths[3].text, "/a\\..*");
	assert_int_equal(match->n_metadata, 7);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(match->metadata[i].match, kinds[i]);
	assert_string_equal(match->metadata[0].key, "k1");
	assert_int_equal(match->metadata[0].values.n, 2);
	assert_string_equal(match->metadata[0].values.items[1], "");
	assert_string_equal(match->metadata[5].values.items[0], "YQ==");
	assert_int_equal(match->metadata[6].values.n, 0);
	assert_int_equal(match->metadata[1].place.line, 19);
	assert_int_equal(match->n_sources, 2);
	assert_string_equal(prefix_format(&match->sources[1], text, sizeof(text)), "fd00::/8");
	assert_string_equal(match->snis.items[0], "x.example");
	match = &config->listeners->routes[2].match;
	assert_int_equal(match->n_sources, 1);
	assert_int_equal(match->sources[0].len, 32);
	match = &config->listeners->routes[3].match;
	assert_int_equal(match->n_metadata, 1);
	assert_string_equal(match->metadata[0].key, "one");
	config_unref(config);
}

static void expect_edit(const struct config_edit *edit, enum config_edit_op op, const char *key,
			const char *value)
{
	assert_int_equal(edit->op, op);
	assert_string_equal(edit->key, key);
	if (value)
		assert_string_equal(edit->value, value);
	else
		assert_null(edit->value);
}

static void a_route_s_action_and_changes_are_read(void **state)
{
	struct config *config = help_config(whole);
	const struct config_listener *listener = config->listeners;
	const struct config_route *route = listener->routes;

	assert_int_equal(listener->n_routes, 5);
	assert_true(listener->group == CONFIG_NO_GROUP);
	assert_string_equal(route->name, "all.of-it_1");
	assert_int_equal(route->place.line, 13);
	assert_int_equal(route->n_splits, 2);
	assert_int_equal(route->splits[0].group, 1);
	assert_int_equal(route->splits[0].weight, 10000);
	assert_int_equal(route->splits[1].group, 0);
	assert_int_equal(route->sticky.source, KEY_SAN);
	assert_int_equal(route->status, -1);
	assert_int_equal(route->mirror_group, 0);
	assert_int_equal(route->mirror_permyriad, 1);
	assert_int_equal(route->request.n, 5);
	expect_edit(&route->request.items[0], EDIT_REMOVE, "x-d", NULL);
	expect_edit(&route->request.items[1], EDIT_REMOVE, "x-e", NULL);
	expect_edit(&route->request.items[2], EDIT_SET, "x-b", "");
	expect_edit(&route->request.items[3], EDIT_SET, "x-a", "v");
	expect_edit(&route->request.items[4], EDIT_ADD, "x-c", "{{{client.ip}");
	assert_int_equal(route->request.items[4].place.line, 31);
	assert_int_equal(route->response.n, 2);
	expect_edit(&route->response.items[0], EDIT_REMOVE, "x-f", NULL);
	assert_string_equal(route->rewrite_authority, "a-{client.port}:1");
	assert_string_equal(route->rewrite_prefix, "/a.");
	assert_string_equal(route->rewrite_to, "/b.");
	route++;
	assert_string_equal(route->name, "route 2");
	assert_int_equal(route->n_splits, 0);
	assert_int_equal(route->status, 7);
	assert_string_equal(route->message, "no \xc3\xa4");
	route++;
	assert_int_equal(route->status, 0);
	assert_string_equal(route->message, "");
	assert_string_equal(listener->routes[3].name, "route 4");
	expect_plain(&listener->routes[4], "default", 0);
	config_unref(config);
}

static void a_route_s_limits_times_and_retries_are_read(void **state)
{
	struct config *config = help_config(whole);
	const struct config_route *route = config->listeners->routes;

	assert_int_equal(route->calls.interval_ns, 1000000000);
	assert_int_equal(route->calls.burst, 7);
	assert_int_equal(route->calls_key.source, KEY_METADATA);
	assert_string_equal(route->calls_key.metadata, "x-user");
	assert_int_equal(route->max_calls, 9);
	assert_int_equal(route->default_timeout_ms, 1000);
	assert_int_equal(route->max_timeout_ms, 2000);
	assert_int_equal(route->idle_timeout_ms, 3000);
	assert_int_equal(route->max_age_ms, 4000);
	assert_int_equal(route->retry.codes, 1 << 1 | 1 << 14 | 7 << 4);
	assert_true(route->retry.on_reset);
	assert_int_equal(route->retry.attempts, 5);
	assert_int_equal(route->retry.per_try_timeout_ms, 6);
	assert_int_equal(route->retry.backoff_base_ms, 7);
	assert_int_equal(route->retry.backoff_max_ms, 8);
	assert_int_equal(route->retry.budget_percent, 9);
	assert_int_equal(route->retry.budget_floor, 11);
	route += 3;
	assert_int_equal(route->calls.interval_ns, 200000000);
	assert_int_equal(route->calls.burst, 5);
	assert_int_equal(route->calls_key.source, KEY_NONE);
	config_unref(config);
}

static void the_new_keys_of_listeners_are_read(void **state)
{
	struct config *config = help_config(whole);
	const struct config_listener *listener = config->listeners;

	assert_int_equal(config->drain_grace_ms, 0);
	assert_int_equal(config->drain_jitter_ms, 0);
	assert_false(config->error_addresses);
	assert_string_equal(listener->client_ca_path, "ca.pem");
	assert_true(listener->client_required);
	assert_int_equal(listener->trusted_hops, 16);
	assert_false(listener->request_id);
	assert_true(listener->health_service);
	assert_int_equal(listener->max_age_ms, 3600000);
	assert_int_equal(listener->max_age_grace_ms, 7200000);
	assert_int_equal(listener->keepalive_interval_ms, 0);
	assert_int_equal(listener->keepalive_timeout_ms, 1000);
	assert_int_equal(listener->min_ping_interval_ms, 0);
	assert_false(listener->ping_without_calls);
	assert_int_equal(listener->max_calls, 1000);
	config_unref(config);
}

static void the_new_keys_of_groups_are_read(void **state)
{
	struct config *config = help_config(whole);
	const struct config_group *group = config->groups;

	assert_int_equal(group->protocol, PROTOCOL_HTTP2);
	assert_int_equal(group->balance, BALANCE_CONSISTENT_HASH);
	assert_int_equal(group->hash_key.source, KEY_METADATA);
	assert_string_equal(group->hash_key.metadata, "x-session");
	assert_int_equal(group->slow_start_ms, 60000);
	assert_int_equal(group->backup_below_percent, 50);
	assert_int_equal(group->panic_percent, 100);
	assert_true(group->backends[0].backup);
	assert_true(group->backends[1].drain);
	assert_int_equal(group->health_check.method, HEALTH_METHOD_WATCH);
	assert_string_equal(group->health_check.authority, "a.example");
	assert_int_equal(group->min_connections, 2);
	assert_int_equal(group->max_age_ms, 240000);
	assert_int_equal(group->max_header_bytes, 5120);
	assert_true(group->tls.enabled);
	assert_string_equal(group->tls.ca_path, "up.pem");
	assert_string_equal(group->tls.server_name, "u.example");
	assert_string_equal(group->tls.certificate->chain_path, "x");
	assert_string_equal(group->tls.certificate->key_path, "y");
	assert_int_equal(group->breaker.group_calls, 1);
	assert_int_equal(group->breaker.group_connections, 2);
	assert_int_equal(group->breaker.pending, 3);
	assert_int_equal(group->breaker.pending_timeout_ms, 4);
	assert_int_equal(group->breaker.backend_calls, 5);
	assert_int_equal(group->breaker.backend_connections, 6);
	assert_int_equal(group->breaker.status, 8);
	assert_int_equal(group->outlier.codes, 1 << 1 | 1 << 16);
	assert_int_equal(group->outlier.consecutive_failures, 0);
	assert_int_equal(group->outlier.interval_ms, 2000);
	assert_int_equal(group->outlier.min_calls, 3);
	assert_int_equal(group->outlier.min_backends, 4);
	assert_int_equal(group->outlier.success_rate_stdev_permille, 2000);
	assert_int_equal(group->outlier.latency_factor_permille, 3125);
	assert_int_equal(group->outlier.base_ejection_ms, 5000);
	assert_int_equal(group->outlier.max_ejection_ms, 6000);
	assert_int_equal(group->outlier.max_ejected_percent, 7);
	group++;
	assert_int_equal(group->balance, BALANCE_RANDOM);
	assert_int_equal(group->health_check.method, HEALTH_METHOD_TCP);
	assert_int_equal(group->health_check.port, 9);
	config_unref(config);
}

/* XDP's on_all_down needs a listener whose calls all go to one group. */
static void a_listener_has_a_group_where_all_routes_share_it(void **state)
{
	static const struct {
		const char *keys;
		uint32_t group;
	} cases[] = {
		{ "group: h", 1 },
		{ "group: h, routes: [{match: {path: /a/b}, group: h}]", 1 },
		{ "group: h, routes: [{match: {path: /a/b}, group: g}]", CONFIG_NO_GROUP },
		{ "routes: [{match: {path: /a/b}, group: h}]", 1 },
		{ "routes: [{match: {path: /a/b}, groups: [{name: g, weight: 1}, {name: h, weight: 1}]}]",
		  CONFIG_NO_GROUP },
		{ "group: h, routes: [{match: {path: /a/b}, status: {code: 5}}]", CONFIG_NO_GROUP },
	};
	char text[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text),
			 "listeners: [{name: l, address: \"[::]:443\", certificate: {chain: c, key: k}, "
			 "%s}]\ngroups: [{name: g, backends: [{address: a:1}]}, {name: h, backends: "
			 "[{address: b:1}]}]\n",
			 cases[i].keys);
		struct config *config = help_config(text);

		assert_true(config->listeners->group == cases[i].group);
		config_unref(config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_listener_s_group_is_its_last_route),
		cmocka_unit_test(the_new_keys_of_listeners_and_groups_have_defaults),
		cmocka_unit_test(empty_mappings_turn_on_with_the_defaults),
		cmocka_unit_test(a_route_s_conditions_are_read),
		cmocka_unit_test(a_route_s_action_and_changes_are_read),
		cmocka_unit_test(a_route_s_limits_times_and_retries_are_read),
		cmocka_unit_test(the_new_keys_of_listeners_are_read),
		cmocka_unit_test(the_new_keys_of_groups_are_read),
		cmocka_unit_test(a_listener_has_a_group_where_all_routes_share_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
