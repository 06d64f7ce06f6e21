/* SPDX-License-Identifier: MIT */
/*
 * test_values.c - what a correct config becomes: every default, and every key given another value.
 */
#include "config_help.h"

static void defaults_hold_where_a_key_is_absent(void **state)
{
	struct config *config = help_config(A_LISTENER A_GROUP);
	const struct config_listener *listener = config->listeners;
	const struct config_group *group = config->groups;
	const struct config_kernel *kernel = &config->kernel;
	char text[ADDR_TEXT_MAX];

	assert_int_equal(config->refs, 1);
	assert_int_equal(config->revision, 0);
	assert_int_equal(config->workers, 0);
	assert_null(config->user);
	assert_null(config->group);
	assert_string_equal(config->control_socket, "/run/sluice/control.sock");
	assert_int_equal(config->log_level, LOG_INFO);
	assert_int_equal(config->log_format, LOG_TEXT);
	assert_int_equal(config->drain_grace_ms, 30000);
	assert_int_equal(config->max_connections, 16384);
	assert_int_equal(config->max_buffer_bytes, 256 << 20);
	assert_int_equal(config->leg_buffer_bytes, 256 << 10);

	assert_int_equal(kernel->mode, KERNEL_AUTO);
	assert_string_equal(kernel->pin_path, "/sys/fs/bpf/sluice");
	assert_false(kernel->keep);
	assert_int_equal(kernel->n_interfaces, 0);
	assert_int_equal(kernel->acl.n_deny, 0);
	assert_int_equal(kernel->acl.n_allow, 0);
	assert_int_equal(kernel->per_source.interval_ns, 0);
	assert_int_equal(kernel->source_v4_prefix, 32);
	assert_int_equal(kernel->source_v6_prefix, 64);
	assert_int_equal(kernel->source_connections, 0);
	assert_false(kernel->xdp_chain);
	assert_int_equal(kernel->chain_priority, 50);
	assert_int_equal(kernel->strays.interval_ns, 0);
	assert_false(kernel->penalties.enabled);
	assert_int_equal(kernel->events.interval_ns, 1000000);
	assert_int_equal(kernel->events.burst, 1000);

	assert_int_equal(config->n_listeners, 1);
	assert_int_equal(listener->id, 0);
	assert_string_equal(listener->name, "l");
	assert_string_equal(addr_format(&listener->address, text, sizeof(text)), "[::]:443");
	assert_int_equal(listener->n_certificates, 1);
	assert_string_equal(listener->certificates[0].chain_path, "c");
	assert_string_equal(listener->certificates[0].key_path, "k");
	assert_int_equal(listener->new_connections.interval_ns, 0);
	assert_int_equal(listener->syn_cookies, COOKIES_AUTO);
	assert_int_equal(listener->syn_cookies_above.interval_ns, 100000);
	assert_int_equal(listener->syn_cookies_above.burst, 10000);
	assert_int_equal(listener->acl.n_deny, 0);
	assert_int_equal(listener->group, 0);
	assert_int_equal(listener->handshake_timeout_ms, 10000);
	assert_int_equal(listener->header_timeout_ms, 10000);
	assert_int_equal(listener->idle_timeout_ms, 15000);
	assert_int_equal(listener->stall_timeout_ms, 60000);
	assert_int_equal(listener->max_streams, 128);
	assert_int_equal(listener->max_header_bytes, 65536);
	assert_int_equal(listener->place.line, 1);
	assert_int_equal(listener->place.column, 13);

	assert_int_equal(config->n_groups, 1);
	assert_string_equal(group->name, "g");
	assert_int_equal(group->balance, BALANCE_WEIGHTED_ROUND_ROBIN);
	assert_int_equal(group->on_all_down, SLUICE_ALL_DOWN_ACCEPT);
	assert_int_equal(group->n_backends, 1);
	assert_int_equal(group->n_endpoints, 0);
	assert_string_equal(group->backends[0].host, "192.0.2.1");
	assert_int_equal(group->backends[0].port, 50051);
	assert_false(group->backends[0].is_name);
	assert_string_equal(addr_format(&group->backends[0].address, text, sizeof(text)),
			    "192.0.2.1:50051");
	assert_int_equal(group->backends[0].weight, 100);
	assert_false(group->health_check.enabled);
	assert_string_equal(group->health_check.service, "");
	assert_int_equal(group->max_connections, 8);
	assert_int_equal(group->max_streams, 100);
	assert_int_equal(group->connect_timeout_ms, 1000);
	assert_int_equal(group->idle_timeout_ms, 60000);
	assert_int_equal(group->keepalive_interval_ms, 300000);
	assert_int_equal(group->keepalive_timeout_ms, 5000);
	config_unref(config);
}

static void an_empty_health_check_has_the_cloud_s_defaults(void **state)
{
	struct config *config = help_config(
		A_LISTENER "groups: [{name: g, health_check: {}, backends: [{address: a:1}]}]\n");
	const struct config_health_check *check = &config->groups[0].health_check;

	assert_true(check->enabled);
	assert_string_equal(check->path, "/grpc.health.v1.Health/Check");
	assert_true(check->standard_path);
	assert_string_equal(check->service, "");
	assert_int_equal(check->codes, 1);
	assert_int_equal(check->interval_ms, 2000);
	assert_int_equal(check->timeout_ms, 5000);
	assert_int_equal(check->healthy_threshold, 3);
	assert_int_equal(check->unhealthy_threshold, 3);
	assert_int_equal(check->port, 0);
	config_unref(config);
}

static void empty_penalties_are_on_with_the_defaults(void **state)
{
	struct config *config = help_config("kernel: {penalties: {}}\n" A_LISTENER A_GROUP);
	const struct config_penalties *penalties = &config->kernel.penalties;

	assert_true(penalties->enabled);
	assert_int_equal(penalties->threshold, 100);
	assert_int_equal(penalties->half_life_ms, 10000);
	assert_int_equal(penalties->first_ms, 10000);
	assert_int_equal(penalties->max_ms, 3600000);
	assert_int_equal(penalties->forget_ms, 3600000);
	assert_int_equal(penalties->packets_after, 1);
	assert_int_equal(penalties->bad_percent, 50);
	assert_int_equal(penalties->n_never, 0);
	assert_int_equal(penalties->points[SLUICE_EVIDENCE_ABUSE], 100);
	assert_int_equal(penalties->points[SLUICE_EVIDENCE_HANDSHAKE], 5);
	assert_int_equal(penalties->points[SLUICE_EVIDENCE_NOT_H2], 10);
	assert_int_equal(penalties->points[SLUICE_EVIDENCE_PROTOCOL], 20);
	assert_int_equal(penalties->points[SLUICE_EVIDENCE_OVER_LIMIT], 1);
	config_unref(config);
}

static const char whole[] =
	"workers: 3\n"
	"runtime: {user: alice, group: staff}\n"
	"control: {socket: /tmp/c.sock}\n"
	"log: {level: debug, format: json}\n"
	"drain: {grace: 0s}\n"
	"limits: {connections: 100, buffer: 1GiB, stream_buffer: 16KiB}\n"
	"kernel:\n"
	"  mode: required\n"
	"  pin_path: /sys/fs/bpf/other\n"
	"  keep: true\n"
	"  interfaces: [{name: eth1, xdp: native}, {name: eth2, xdp: generic}, {name: eth3}]\n"
	"  acl: {deny: [203.0.113.0/24, 2001:db8:bad::/48, 192.0.2.7], allow: [\"::/0\"],\n"
	"    deny_files: [/a/deny, b], allow_files: [c]}\n"
	"  per_source: {burst: 200, new_connections: 100/s, ipv4_prefix: 24, ipv6_prefix: 56,\n"
	"    connections: 77}\n"
	"  xdp_chain: true\n"
	"  chain_priority: 10\n"
	"  strays: {burst: 5, rate: 20/s}\n"
	"  penalties: {threshold: 1, half_life: 2s, first: 3s, max: 4s, forget: 5s, packets_after: 6,\n"
	"    bad_percent: 7, never: [10.0.0.0/8, \"fd00::/8\"],\n"
	"    points: {abuse: 8, handshake: 9, not_h2: 10, protocol: 11, over_limit: 12}}\n"
	"  events: {burst: 3, rate: 2/s}\n"
	"groups:\n"
	"- name: first.group-1_a\n"
	"  protocol: grpc\n"
	"  balance: least_request\n"
	"  on_all_down: drop\n"
	"  backends:\n"
	"  - {address: \"[fd00::1]:50051\", weight: 0}\n"
	"  - {address: Backend-1.Example:50052, weight: 7}\n"
	"  - {address: \"localhost.:1\"}\n"
	"  health_check: {protocol: grpc, method: POST, path: /AWS.ALB/healthcheck,\n"
	"    codes: [0, 12, 4-5, \"60-63\"], interval: 500ms, timeout: 1m,\n"
	"    healthy_threshold: 1, unhealthy_threshold: 10, port: 8080}\n"
	"  connections: {max: 2, streams: 3, connect_timeout: 4s, idle: 5m,\n"
	"    keepalive_interval: 0s, keepalive_timeout: 7s}\n"
	"- name: second\n"
	"  on_all_down: reset\n"
	"  backends: [{address: 192.0.2.9:9}]\n"
	"  health_check: {service: my.Service}\n"
	"listeners:\n"
	"- name: one\n"
	"  address: 192.0.2.1:8443\n"
	"  protocol: https\n"
	"  certificate:\n"
	"  - {chain: /a/c1, key: /a/k1}\n"
	"  - {chain: c2, key: k2}\n"
	"  new_connections: 10/m\n"
	"  syn_cookies: off\n"
	"  acl: {allow: [10.0.0.0/8], deny_files: [d]}\n"
	"  group: second\n"
	"  timeouts: {handshake: 1s, header: 2s, idle: 3s, stall: 4s}\n"
	"  limits: {streams: 9, header_list: 8KiB}\n"
	"- {name: two, address: \"[::1]:8443\", certificate: {chain: c, key: k},\n"
	"   group: first.group-1_a, new_connections: 20000/s, syn_cookies_above: 50/s}\n";

static void the_process_keys_are_read(void **state)
{
	struct config *config = help_config(whole);
	const struct config_kernel *kernel = &config->kernel;
	char text[ADDR_TEXT_MAX];

	assert_int_equal(config->workers, 3);
	assert_string_equal(config->user, "alice");
	assert_string_equal(config->group, "staff");
	assert_string_equal(config->control_socket, "/tmp/c.sock");
	assert_int_equal(config->log_level, LOG_DEBUG);
	assert_int_equal(config->log_format, LOG_JSON);
	assert_int_equal(config->drain_grace_ms, 0);
	assert_int_equal(config->max_connections, 100);
	assert_int_equal(config->max_buffer_bytes, 1 << 30);
	assert_int_equal(config->leg_buffer_bytes, 16384);
	assert_int_equal(kernel->mode, KERNEL_REQUIRED);
	assert_string_equal(kernel->pin_path, "/sys/fs/bpf/other");
	assert_true(kernel->keep);
	assert_int_equal(kernel->n_interfaces, 3);
	assert_string_equal(kernel->interfaces[0].name, "eth1");
	assert_int_equal(kernel->interfaces[0].xdp, XDP_MODE_NATIVE);
	assert_int_equal(kernel->interfaces[1].xdp, XDP_MODE_GENERIC);
	assert_int_equal(kernel->interfaces[2].xdp, XDP_MODE_AUTO);
	assert_int_equal(kernel->interfaces[1].place.line, 11);
	assert_int_equal(kernel->acl.n_deny, 3);
	assert_string_equal(prefix_format(&kernel->acl.deny[0], text, sizeof(text)), "203.0.113.0/24");
	assert_string_equal(prefix_format(&kernel->acl.deny[1], text, sizeof(text)),
			    "2001:db8:bad::/48");
	assert_int_equal(kernel->acl.deny[2].len, 32);
	assert_int_equal(kernel->acl.n_allow, 1);
	assert_int_equal(kernel->acl.allow[0].len, 0);
	assert_int_equal(kernel->per_source.interval_ns, 10000000);
	assert_int_equal(kernel->per_source.burst, 200);
	assert_int_equal(kernel->source_v4_prefix, 24);
	assert_int_equal(kernel->source_v6_prefix, 56);
	config_unref(config);
}

static void the_kernel_s_limits_and_penalties_are_read(void **state)
{
	struct config *config = help_config(whole);
	const struct config_kernel *kernel = &config->kernel;
	const struct config_penalties *penalties = &kernel->penalties;

	assert_int_equal(kernel->acl.n_deny_files, 2);
	assert_string_equal(kernel->acl.deny_files[0].path, "/a/deny");
	assert_string_equal(kernel->acl.deny_files[1].path, "b");
	assert_int_equal(kernel->acl.deny_files[1].place.line, 13);
	assert_int_equal(kernel->acl.n_allow_files, 1);
	assert_int_equal(kernel->source_connections, 77);
	assert_true(kernel->xdp_chain);
	assert_int_equal(kernel->chain_priority, 10);
	assert_int_equal(kernel->strays.interval_ns, 50000000);
	assert_int_equal(kernel->strays.burst, 5);
	assert_int_equal(kernel->events.interval_ns, 500000000);
	assert_int_equal(kernel->events.burst, 3);
	assert_true(penalties->enabled);
	assert_int_equal(penalties->threshold, 1);
	assert_int_equal(penalties->half_life_ms, 2000);
	assert_int_equal(penalties->first_ms, 3000);
	assert_int_equal(penalties->max_ms, 4000);
	assert_int_equal(penalties->forget_ms, 5000);
	assert_int_equal(penalties->packets_after, 6);
	assert_int_equal(penalties->bad_percent, 7);
	assert_int_equal(penalties->n_never, 2);
	assert_int_equal(penalties->never[1].family, AF_INET6);
	for (unsigned i = SLUICE_EVIDENCE_ABUSE; i <= SLUICE_EVIDENCE_OVER_LIMIT; i++)
		assert_int_equal(penalties->points[i], 7 + i);
	config_unref(config);
}

static void the_listener_keys_are_read(void **state)
{
	struct config *config = help_config(whole);
	const struct config_listener *listener = config->listeners;

	assert_int_equal(config->n_listeners, 2);
	assert_string_equal(listener->name, "one");
	assert_int_equal(listener->address.sa.sa_family, AF_INET);
	assert_int_equal(addr_port(&listener->address), 8443);
	assert_int_equal(listener->n_certificates, 2);
	assert_string_equal(listener->certificates[0].chain_path, "/a/c1");
	assert_string_equal(listener->certificates[1].key_path, "k2");
	assert_int_equal(listener->certificates[1].place.line, 47);
	assert_true(listener->new_connections.interval_ns == 6000000000ull);
	assert_int_equal(listener->new_connections.burst, 10);
	assert_int_equal(listener->syn_cookies, COOKIES_OFF);
	assert_int_equal(listener->acl.n_allow, 1);
	assert_int_equal(listener->acl.n_deny_files, 1);
	assert_int_equal(listener[1].syn_cookies_above.interval_ns, 20000000);
	assert_int_equal(listener[1].syn_cookies_above.burst, 50);
	assert_int_equal(listener->group, 1);
	assert_int_equal(listener->handshake_timeout_ms, 1000);
	assert_int_equal(listener->header_timeout_ms, 2000);
	assert_int_equal(listener->idle_timeout_ms, 3000);
	assert_int_equal(listener->stall_timeout_ms, 4000);
	assert_int_equal(listener->max_streams, 9);
	assert_int_equal(listener->max_header_bytes, 8192);
	listener++;
	assert_int_equal(listener->address.sa.sa_family, AF_INET6);
	assert_int_equal(listener->group, 0);
	assert_int_equal(listener->new_connections.interval_ns, 50000);
	assert_int_equal(listener->new_connections.burst, 20000);
	config_unref(config);
}

static void the_group_keys_are_read(void **state)
{
	struct config *config = help_config(whole);
	const struct config_group *group = config->groups;
	const struct config_health_check *check = &group->health_check;

	assert_int_equal(config->n_groups, 2);
	assert_string_equal(group->name, "first.group-1_a");
	assert_int_equal(group->balance, BALANCE_LEAST_REQUEST);
	assert_int_equal(group->on_all_down, SLUICE_ALL_DOWN_DROP);
	assert_int_equal(group->n_backends, 3);
	assert_string_equal(group->backends[0].host, "fd00::1");
	assert_int_equal(group->backends[0].weight, 0);
	assert_int_equal(group->backends[0].place.line, 29);
	assert_string_equal(group->backends[1].host, "backend-1.example");
	assert_int_equal(group->backends[1].port, 50052);
	assert_true(group->backends[1].is_name);
	assert_int_equal(group->backends[1].weight, 7);
	assert_string_equal(group->backends[2].host, "localhost.");
	assert_true(check->enabled);
	assert_false(check->standard_path);
	assert_string_equal(check->path, "/AWS.ALB/healthcheck");
	assert_true(check->codes == (1ull | 1ull << 12 | 3ull << 4 | 15ull << 60));
	assert_int_equal(check->interval_ms, 500);
	assert_int_equal(check->timeout_ms, 60000);
	assert_int_equal(check->healthy_threshold, 1);
	assert_int_equal(check->unhealthy_threshold, 10);
	assert_int_equal(check->port, 8080);
	assert_int_equal(group->max_connections, 2);
	assert_int_equal(group->max_streams, 3);
	assert_int_equal(group->connect_timeout_ms, 4000);
	assert_int_equal(group->idle_timeout_ms, 300000);
	assert_int_equal(group->keepalive_interval_ms, 0);
	assert_int_equal(group->keepalive_timeout_ms, 7000);
	group++;
	assert_int_equal(group->on_all_down, SLUICE_ALL_DOWN_RESET);
	assert_string_equal(group->health_check.service, "my.Service");
	assert_true(group->health_check.standard_path);
	config_unref(config);
}

static void burst_follows_the_rate_where_it_is_absent(void **state)
{
	struct config *config = help_config("kernel: {interfaces: [{name: a}], per_source: "
					    "{new_connections: 30/m}}\n" A_LISTENER A_GROUP);

	assert_int_equal(config->kernel.per_source.interval_ns, 2000000000);
	assert_int_equal(config->kernel.per_source.burst, 30);
	config_unref(config);
	config = help_config("kernel: {interfaces: [{name: a}], per_source: "
			     "{new_connections: 3/s, burst: 1}}\n" A_LISTENER A_GROUP);
	assert_int_equal(config->kernel.per_source.interval_ns, 333333333);
	assert_int_equal(config->kernel.per_source.burst, 1);
	config_unref(config);
}

static void a_config_lives_until_its_last_reference(void **state)
{
	struct config *config = help_config(whole);

	assert_ptr_equal(config_ref(config), config);
	assert_int_equal(config->refs, 2);
	config_unref(config);
	assert_int_equal(config->workers, 3);
	config_unref(config);
	config_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_hold_where_a_key_is_absent),
		cmocka_unit_test(an_empty_health_check_has_the_cloud_s_defaults),
		cmocka_unit_test(empty_penalties_are_on_with_the_defaults),
		cmocka_unit_test(the_process_keys_are_read),
		cmocka_unit_test(the_kernel_s_limits_and_penalties_are_read),
		cmocka_unit_test(the_listener_keys_are_read),
		cmocka_unit_test(the_group_keys_are_read),
		cmocka_unit_test(burst_follows_the_rate_where_it_is_absent),
		cmocka_unit_test(a_config_lives_until_its_last_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
