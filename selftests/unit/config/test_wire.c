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
	"  per_source: {new_connections: 100/s}\n"
	"listeners:\n"
	"- name: one\n"
	"  address: 192.0.2.1:8443\n"
	"  certificate: [{chain: c1, key: k1}, {chain: c2, key: k2}]\n"
	"  new_connections: 10/m\n"
	"  group: two\n"
	"- {name: other, address: \"[::]:1\", certificate: {chain: c, key: k}, group: one}\n"
	"groups:\n"
	"- {name: one, backends: [{address: \"[fd00::1]:1\"}, {address: a.example:2, weight: 3}],\n"
	"   health_check: {codes: [0, 63]}, balance: least_request, on_all_down: reset}\n"
	"- {name: two, backends: [{address: 192.0.2.9:9}]}\n";

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
	config->listeners[1].id = SLUICE_MAX_LISTENERS - 1;
	group->id = 12;
	group->n_endpoints = 2;
	group->endpoints = calloc(2, sizeof(*group->endpoints));
	for (uint32_t i = 0; i < 2; i++) {
		group->endpoints[i] = (struct config_endpoint){
			.id = 100 + i, .generation = 5, .backend = i, .weight = 50
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
	assert_int_equal(copy->kernel.n_deny, 2);
	assert_memory_equal(&copy->kernel.deny[1], &config->kernel.deny[1], sizeof(struct prefix));
	assert_int_equal(copy->kernel.per_source.burst, 100);
	assert_true(addr_equal(&copy->listeners[0].address, &config->listeners[0].address));
	assert_int_equal(copy->listeners[0].group, 1);
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
static void check_promises(const struct config *config)
{
	assert_non_null(config->control_socket);
	assert_true(config->kernel.mode <= KERNEL_OFF);
	for (size_t i = 0; i < config->n_listeners; i++) {
		assert_true(config->listeners[i].group < config->n_groups);
		assert_true(config->listeners[i].id < SLUICE_MAX_LISTENERS);
		assert_non_null(config->listeners[i].name);
	}
	for (size_t i = 0; i < config->n_groups; i++) {
		const struct config_group *group = &config->groups[i];

		assert_true(group->id < SLUICE_MAX_GROUPS);
		assert_non_null(group->name);
		assert_non_null(group->health_check.service);
		for (size_t j = 0; j < group->n_endpoints; j++) {
			assert_true(group->endpoints[j].backend < group->n_backends);
			assert_true(group->endpoints[j].id < SLUICE_MAX_BACKENDS);
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
	assert_null(bytes);
	config_unref(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_round_trip_loses_nothing),
		cmocka_unit_test(a_clone_is_its_own),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(changed_bytes_never_break_a_promise),
		cmocka_unit_test(encoding_refuses_what_decoding_would),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
