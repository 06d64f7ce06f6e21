/* SPDX-License-Identifier: MIT */
/*
 * test_wire.c - encode and decode: nothing is lost, nothing malformed is taken, and no bytes crash.
 */
#include "config_help.h"

#include <errno.h>

static const char text[] =
	"runtime: {user: alice}\n"
	"log: {level: warn}\n"
	"kernel:\n"
	"  keep: true\n"
	"  interfaces: [{name: eth1, xdp: native}, {name: eth2}]\n"
	"  acl: {deny: [203.0.113.0/24, 2001:db8:bad::/48], allow: [10.0.0.0/8]}\n"
	"  per_source: {new_connections: 100/s, connections: 9}\n"
	"  strays: {rate: 50/s}\n"
	"  penalties: {threshold: 7, never: [10.0.0.0/8], points: {over_limit: 3}}\n"
	"listeners:\n"
	"- name: one\n"
	"  address: 192.0.2.1:8443\n"
	"  certificate: [{chain: c1, key: k1}, {chain: c2, key: k2}]\n"
	"  new_connections: 10/m\n"
	"  syn_cookies_above: 30/s\n"
	"  acl: {deny: [192.0.2.0/24]}\n"
	"  client_certificates: {ca: ca.pem}\n"
	"  trusted_hops: 2\n"
	"  health_service: true\n"
	"  timeouts: {max_age: 1h}\n"
	"  group: two\n"
	"  routes:\n"
	"  - match: {host: a, path: [/a.B/, {regex: x}], source: 10.0.0.0/8, sni: b, san: c,\n"
	"      metadata: [{key: d, exact: [e, f]}, {key: g, present: true}]}\n"
	"    groups: [{name: one, weight: 3}, {name: two, weight: 1}]\n"
	"    sticky: metadata:h\n"
	"    mirror: {group: one, share: 0.5%}\n"
	"    request: {set: {i: j}, remove: k}\n"
	"    response: {add: {l: \"{group.name}\"}}\n"
	"    rewrite: {authority: m, prefix: /n, to: /o}\n"
	"    limits: {calls: 7/s, key: metadata:p, concurrent: 8}\n"
	"    timeouts: {default: 1s, max: 2s, idle: 3s, max_age: 4s}\n"
	"    retry: {codes: [14], on_reset: true, attempts: 5}\n"
	"  - {name: q, status: {code: 16, message: r}, match: {path: /s/t}}\n"
	"- {name: other, address: \"[::]:1\", certificate: {chain: c, key: k}, group: one}\n"
	"groups:\n"
	"- {name: one, backends: [{address: \"[fd00::1]:1\"}, {address: a.example:2, weight: 3}],\n"
	"   health_check: {codes: [0, 63]}, balance: least_request, on_all_down: reset}\n"
	"- {name: two, backends: [{address: 192.0.2.9:9, backup: true}, {address: a:1, drain: true}],\n"
	"   protocol: http2, balance: consistent_hash, hash: metadata:u, slow_start: 1s,\n"
	"   health_check: {method: WATCH, authority: v}, connections: {min: 1, max_age: 2s},\n"
	"   tls: {ca: w, server_name: x.example, certificate: {chain: y, key: z}},\n"
	"   circuit_breaker: {calls: 9, pending: 8}, outlier_detection: {latency: 2}}\n"
	"- {name: three, backends: [{address: a:1}], tls: {}}\n"
	"- {name: four, backends: [{address: a:1}], tls: {}}\n";

/* As the supervisor sends it: with PEM bytes, ids and endpoints. */
static struct config *full_config(void)
{
	static const char pem[] = "-----BEGIN NOTHING-----\n";
	struct config *config = help_config(text);
	struct config_group *group = &config->groups[0];

	config->path = strdup("/etc/sluice/sluice.yaml");
	config->revision = 7;
	for (size_t i = 0; i < 2; i++) {
		struct config_certificate *certificate = &config->listeners[0].certificates[i];

		certificate->chain_len = certificate->key_len = sizeof(pem) - 1;
		certificate->chain_pem = (uint8_t *)strdup(pem);
		certificate->key_pem = (uint8_t *)strdup(pem);
	}
	config->listeners[0].client_ca_pem = (uint8_t *)strdup(pem);
	config->listeners[0].client_ca_len = sizeof(pem) - 1;
	config->listeners[0].routes[1].id = 77;
	config->listeners[1].id = SLUICE_MAX_LISTENERS - 1;
	config->groups[1].tls.ca_pem = (uint8_t *)strdup(pem);
	config->groups[1].tls.ca_len = sizeof(pem) - 1;
	config->groups[1].tls.certificate->key_pem = (uint8_t *)strdup(pem);
	config->groups[1].tls.certificate->key_len = sizeof(pem) - 1;
	config->system_ca_pem = (uint8_t *)strdup(pem);
	config->system_ca_len = sizeof(pem) - 1;
	for (size_t i = 0; i < config->n_groups; i++)
		config_share_system_cas(config, &config->groups[i]);
	group->id = 12;
	group->n_endpoints = 2;
	group->endpoints = calloc(2, sizeof(*group->endpoints));
	for (uint32_t i = 0; i < 2; i++) {
		group->endpoints[i] = (struct config_endpoint){
			.id = 100 + i, .generation = 5, .backend = i, .weight = 50, .file_weight = 60,
			.backup = i, .drained = i, .drain_until_ns = 12345,
			.forced = SLUICE_HEALTH_DOWN,
		};
		assert_int_equal(addr_parse(&group->endpoints[i].address,
					    i ? "192.0.2.77:7" : "[fd00::7]:7"), 0);
	}
	return config;
}

static void a_round_trip_loses_nothing(void **state)
{
	struct config *config = full_config(), *copy;
	uint8_t *bytes, *again;
	size_t len, len_again;

	assert_int_equal(config_encode(config, &bytes, &len), 0);
	copy = config_decode(bytes, len);
	assert_non_null(copy);
	assert_int_equal(copy->refs, 1);
	assert_int_equal(config_encode(copy, &again, &len_again), 0);
	assert_int_equal(len, len_again);
	assert_memory_equal(bytes, again, len);

	assert_int_equal(copy->revision, 7);
	assert_string_equal(copy->path, "/etc/sluice/sluice.yaml");
	assert_string_equal(copy->user, "alice");
	assert_null(copy->group);
	assert_int_equal(copy->log_level, LOG_WARN);
	assert_true(copy->kernel.keep);
	assert_string_equal(copy->kernel.interfaces[1].name, "eth2");
	assert_int_equal(copy->kernel.acl.n_deny, 0); /* the supervisor's only */
	assert_int_equal(copy->kernel.per_source.burst, 100);
	assert_int_equal(copy->kernel.source_connections, 9);
	assert_int_equal(copy->kernel.strays.burst, 50);
	assert_true(copy->kernel.penalties.enabled);
	assert_int_equal(copy->kernel.penalties.threshold, 7);
	assert_int_equal(copy->kernel.penalties.never[0].len, 8);
	assert_int_equal(copy->kernel.penalties.points[SLUICE_EVIDENCE_OVER_LIMIT], 3);
	assert_int_equal(copy->kernel.events.burst, 1000);
	assert_int_equal(copy->listeners[0].syn_cookies_above.burst, 30);
	assert_true(addr_equal(&copy->listeners[0].address, &config->listeners[0].address));
	assert_true(copy->listeners[0].group == CONFIG_NO_GROUP);
	assert_int_equal(copy->listeners[1].group, 0);
	assert_int_equal(copy->listeners[0].new_connections.burst, 10);
	assert_int_equal(copy->listeners[0].n_certificates, 2);
	assert_int_equal(copy->listeners[0].certificates[1].key_len, 24);
	assert_memory_equal(copy->listeners[0].certificates[1].key_pem, "-----BEGIN", 10);
	assert_int_equal(copy->listeners[1].id, 255);
	assert_null(copy->listeners[1].certificates[0].chain_pem);
	assert_int_equal(copy->groups[0].id, 12);
	assert_true(copy->groups[0].backends[1].is_name);
	assert_string_equal(copy->groups[0].backends[1].host, "a.example");
	assert_int_equal(copy->groups[0].backends[1].weight, 3);
	assert_true(copy->groups[0].health_check.codes == (1ull | 1ull << 63));
	assert_int_equal(copy->groups[0].n_endpoints, 2);
	assert_int_equal(copy->groups[0].endpoints[1].id, 101);
	assert_true(addr_equal(&copy->groups[0].endpoints[1].address,
			       &config->groups[0].endpoints[1].address));
	assert_int_equal(copy->groups[1].place.line, config->groups[1].place.line);
	free(bytes);
	free(again);
	config_unref(copy);
	config_unref(config);
}

static void routes_go_both_ways(void **state)
{
	struct config *config = full_config(), *copy = config_clone(config);
	const struct config_listener *listener = copy->listeners;
	const struct config_route *route = listener->routes;
	const struct config_match *match = &route->match;

	assert_int_equal(listener->n_routes, 3);
	assert_string_equal(listener->client_ca_path, "ca.pem");
	assert_memory_equal(listener->client_ca_pem, "-----BEGIN", 10);
	assert_int_equal(listener->trusted_hops, 2);
	assert_true(listener->health_service);
	assert_true(listener->request_id);
	assert_int_equal(listener->max_age_ms, 3600000);
	assert_int_equal(listener->keepalive_timeout_ms, 20000);
	assert_string_equal(route->name, "route 1");
	assert_string_equal(match->hosts.items[0], "a");
	assert_int_equal(match->n_paths, 2);
	assert_int_equal(match->paths[1].match, PATH_REGEX);
	assert_string_equal(match->paths[1].text, "x");
	assert_int_equal(match->n_metadata, 2);
	assert_string_equal(match->metadata[0].values.items[1], "f");
	assert_int_equal(match->metadata[1].match, METADATA_PRESENT);
	assert_int_equal(match->sources[0].len, 8);
	assert_string_equal(match->snis.items[0], "b");
	assert_string_equal(match->sans.items[0], "c");
	assert_int_equal(route->n_splits, 2);
	assert_int_equal(route->splits[1].group, 1);
	assert_int_equal(route->splits[0].weight, 3);
	assert_string_equal(route->sticky.metadata, "h");
	assert_int_equal(route->mirror_permyriad, 50);
	assert_int_equal(route->request.n, 2);
	assert_string_equal(route->request.items[1].value, "j");
	assert_string_equal(route->response.items[0].value, "{group.name}");
	assert_string_equal(route->rewrite_authority, "m");
	assert_string_equal(route->rewrite_to, "/o");
	assert_int_equal(route->calls.burst, 7);
	assert_string_equal(route->calls_key.metadata, "p");
	assert_int_equal(route->max_calls, 8);
	assert_int_equal(route->max_age_ms, 4000);
	assert_int_equal(route->retry.codes, 1 << 14);
	assert_int_equal(route->retry.attempts, 5);
	assert_int_equal(route->retry.budget_floor, 10);
	assert_int_equal(route[1].id, 77);
	assert_int_equal(route[1].status, 16);
	assert_string_equal(route[1].message, "r");
	assert_string_equal(route[2].name, "default");
	assert_int_equal(route[2].status, -1);
	assert_true(route[2].mirror_group == CONFIG_NO_GROUP);
	config_unref(copy);
	config_unref(config);
}

static void groups_go_both_ways(void **state)
{
	struct config *config = full_config(), *copy = config_clone(config);
	const struct config_group *group = &copy->groups[1];
	const struct config_endpoint *endpoint = &copy->groups[0].endpoints[1];

	assert_int_equal(group->protocol, PROTOCOL_HTTP2);
	assert_int_equal(group->balance, BALANCE_CONSISTENT_HASH);
	assert_string_equal(group->hash_key.metadata, "u");
	assert_int_equal(group->slow_start_ms, 1000);
	assert_true(group->backends[0].backup);
	assert_true(group->backends[1].drain);
	assert_int_equal(group->health_check.method, HEALTH_METHOD_WATCH);
	assert_string_equal(group->health_check.authority, "v");
	assert_int_equal(group->min_connections, 1);
	assert_int_equal(group->max_age_ms, 2000);
	assert_string_equal(group->tls.server_name, "x.example");
	assert_int_equal(group->tls.ca_len, 24);
	assert_string_equal(group->tls.certificate->key_path, "z");
	assert_int_equal(group->tls.certificate->key_len, 24);
	assert_int_equal(group->breaker.group_calls, 9);
	assert_int_equal(group->breaker.pending, 8);
	assert_int_equal(group->outlier.latency_factor_permille, 2000);
	assert_int_equal(endpoint->file_weight, 60);
	assert_true(endpoint->backup);
	assert_true(endpoint->drained);
	assert_int_equal(endpoint->drain_until_ns, 12345);
	assert_int_equal(endpoint->forced, SLUICE_HEALTH_DOWN);
	/* the system's CAs are there once */
	assert_non_null(copy->system_ca_pem);
	assert_ptr_equal(copy->groups[2].tls.ca_pem, copy->system_ca_pem);
	assert_ptr_equal(copy->groups[3].tls.ca_pem, copy->system_ca_pem);
	assert_null(copy->groups[0].tls.ca_pem);
	config_unref(copy);
	config_unref(config);
}

static void clones_share_the_access_lists(void **state)
{
	struct config *config = full_config(), *clone = config_clone(config), *third;

	assert_int_equal(clone->kernel.acl.n_deny, 2);
	assert_ptr_equal(clone->kernel.acl.deny, config->kernel.acl.deny);
	assert_ptr_equal(clone->listeners[0].acl.deny, config->listeners[0].acl.deny);
	assert_int_equal(clone->listeners[1].acl.n_deny, 0);
	config_unref(config);
	third = config_clone(clone);
	config_unref(clone);
	assert_int_equal(third->kernel.acl.deny[1].len, 48);
	assert_int_equal(third->listeners[0].acl.deny[0].len, 24);
	config_unref(third);
}

static void a_clone_is_its_own(void **state)
{
	struct config *config = full_config(), *clone;

	config_ref(config);
	clone = config_clone(config);
	assert_non_null(clone);
	assert_int_equal(clone->refs, 1);
	assert_ptr_not_equal(clone->groups[0].name, config->groups[0].name);
	config_unref(config);
	config_unref(config);
	assert_string_equal(clone->groups[0].name, "one");
	config_unref(clone);
}

static void every_truncation_is_refused(void **state)
{
	struct config *config = full_config();
	uint8_t *bytes, *part;
	size_t len;

	assert_int_equal(config_encode(config, &bytes, &len), 0);
	for (size_t n = 0; n < len; n++) {
		part = malloc(n ? n : 1); /* exact, so that a read past the end is seen */
		memcpy(part, bytes, n);
		assert_null(config_decode(part, n));
		free(part);
	}
	part = calloc(1, len + 1);
	memcpy(part, bytes, len);
	assert_null(config_decode(part, len + 1));
	free(part);
	free(bytes);
	config_unref(config);
}

/* A changed byte may still make a valid config; it must never make one that breaks its promises. */
static void check_key(const struct config_key *key)
{
	assert_true(key->source <= KEY_PATH);
	if (key->source == KEY_METADATA)
		assert_non_null(key->metadata);
}

static void check_edits(const struct config_edits *edits)
{
	for (size_t i = 0; i < edits->n; i++) {
		assert_non_null(edits->items[i].key);
		assert_true(edits->items[i].value || edits->items[i].op == EDIT_REMOVE);
	}
}

static void check_route(const struct config *config, const struct config_route *route)
{
	assert_true(route->id < SLUICE_MAX_ROUTES);
	assert_non_null(route->name);
	for (size_t i = 0; i < route->match.n_paths; i++)
		assert_non_null(route->match.paths[i].text);
	for (size_t i = 0; i < route->match.n_metadata; i++)
		assert_non_null(route->match.metadata[i].key);
	for (size_t i = 0; i < route->n_splits; i++)
		assert_true(route->splits[i].group < config->n_groups);
	assert_true(route->status >= -1 && route->status <= 16);
	assert_true(route->status < 0 ? route->n_splits > 0 : route->message != NULL);
	assert_true(route->mirror_group == CONFIG_NO_GROUP || route->mirror_group < config->n_groups);
	assert_true(route->mirror_permyriad <= 10000);
	assert_true(route->retry.attempts <= 5);
	assert_int_equal(!route->rewrite_prefix, !route->rewrite_to);
	check_key(&route->sticky);
	check_key(&route->calls_key);
	check_edits(&route->request);
	check_edits(&route->response);
}

static void check_promises(const struct config *config)
{
	assert_non_null(config->control_socket);
	assert_true(config->kernel.mode <= KERNEL_OFF);
	for (size_t i = 0; i < config->n_listeners; i++) {
		const struct config_listener *listener = &config->listeners[i];

		assert_true(listener->group < config->n_groups ||
			    listener->group == CONFIG_NO_GROUP);
		assert_true(listener->id < SLUICE_MAX_LISTENERS);
		assert_non_null(listener->name);
		for (size_t j = 0; j < listener->n_routes; j++)
			check_route(config, &listener->routes[j]);
	}
	for (size_t i = 0; i < config->n_groups; i++) {
		const struct config_group *group = &config->groups[i];

		assert_true(group->id < SLUICE_MAX_GROUPS);
		assert_non_null(group->name);
		assert_non_null(group->health_check.service);
		assert_true(group->health_check.method <= HEALTH_METHOD_TCP);
		assert_true(group->protocol <= PROTOCOL_HTTP2 && group->balance <= BALANCE_RANDOM);
		assert_true(group->panic_percent <= 100 && group->backup_below_percent <= 100);
		assert_true(group->breaker.status <= 16);
		check_key(&group->hash_key);
		for (size_t j = 0; j < group->n_endpoints; j++) {
			assert_true(group->endpoints[j].backend < group->n_backends);
			assert_true(group->endpoints[j].id < SLUICE_MAX_BACKENDS);
			assert_true(group->endpoints[j].forced <= SLUICE_HEALTH_DOWN);
		}
	}
}

static void changed_bytes_never_break_a_promise(void **state)
{
	static const uint8_t masks[] = { 0x01, 0x80, 0xff };
	struct config *config = full_config();
	uint8_t *bytes;
	size_t len;

	assert_int_equal(config_encode(config, &bytes, &len), 0);
	for (size_t i = 0; i < len; i++) {
		for (size_t j = 0; j < sizeof(masks); j++) {
			struct config *changed;

			bytes[i] ^= masks[j];
			changed = config_decode(bytes, len);
			if (changed)
				check_promises(changed);
			config_unref(changed);
			bytes[i] ^= masks[j];
		}
	}
	free(bytes);
	config_unref(config);
}

static void encoding_refuses_what_decoding_would(void **state)
{
	struct config *config = full_config();
	uint8_t *bytes = NULL;
	size_t len;

	config->groups[0].endpoints[0].id = SLUICE_MAX_BACKENDS;
	assert_int_equal(config_encode(config, &bytes, &len), -EINVAL);
	config->groups[0].endpoints[0].id = 1;
	config->listeners[0].id = SLUICE_MAX_LISTENERS;
	assert_int_equal(config_encode(config, &bytes, &len), -EINVAL);
	assert_null(config_clone(config));
	config->listeners[0].id = 1;
	config->listeners[0].routes[0].mirror_group = 4;
	assert_int_equal(config_encode(config, &bytes, &len), -EINVAL);
	config->listeners[0].routes[0].mirror_group = 3;
	config->listeners[0].routes[0].splits[1].group = CONFIG_NO_GROUP;
	assert_int_equal(config_encode(config, &bytes, &len), -EINVAL);
	config->listeners[0].routes[0].splits[1].group = 0;
	config->listeners[0].routes[1].id = SLUICE_MAX_ROUTES;
	assert_int_equal(config_encode(config, &bytes, &len), -EINVAL);
	assert_null(bytes);
	config_unref(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_round_trip_loses_nothing),
		cmocka_unit_test(routes_go_both_ways),
		cmocka_unit_test(groups_go_both_ways),
		cmocka_unit_test(clones_share_the_access_lists),
		cmocka_unit_test(a_clone_is_its_own),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(changed_bytes_never_break_a_promise),
		cmocka_unit_test(encoding_refuses_what_decoding_would),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
