/* SPDX-License-Identifier: MIT */
/*
 * fields_group.c - see fields.h: the tables of a group, and what must fit together in one.
 */
#include <stdlib.h>
#include <string.h>

#include "config/fields.h"
#include "config/fields_tables.h"
#include "config/values.h"

static const struct schema_choice group_protocols[] = {
	{ "grpc", PROTOCOL_GRPC }, { "http2", PROTOCOL_HTTP2 }, { 0 }
};
static const struct schema_choice health_protocols[] = { { "grpc", 0 }, { "tcp", 1 }, { 0 } };
static const struct schema_choice health_methods[] = {
	{ "POST", HEALTH_METHOD_CALL }, { "WATCH", HEALTH_METHOD_WATCH }, { 0 }
};
static const struct schema_choice balances[] = {
	{ "weighted_round_robin", BALANCE_WEIGHTED_ROUND_ROBIN },
	{ "least_request", BALANCE_LEAST_REQUEST },
	{ "consistent_hash", BALANCE_CONSISTENT_HASH },
	{ "random", BALANCE_RANDOM },
	{ 0 }
};
static const struct schema_choice breaker_statuses[] = {
	{ "UNAVAILABLE", 14 }, { "RESOURCE_EXHAUSTED", 8 }, { 0 }
};
static const struct schema_choice all_downs[] = {
	{ "accept", SLUICE_ALL_DOWN_ACCEPT }, { "reset", SLUICE_ALL_DOWN_RESET },
	{ "drop", SLUICE_ALL_DOWN_DROP }, { 0 }
};

static const struct schema_field backend_fields[] = {
	{ "address", SCHEMA_CUSTOM, SCHEMA_REQUIRED, .example = "192.0.2.11:50051",
	  .read = values_read_backend_address },
	{ "weight", SCHEMA_UINT, NUMBER(config_backend, weight), .max = 100, .preset = 100 },
	{ "backup", SCHEMA_BOOL, NUMBER(config_backend, backup) },
	{ "drain", SCHEMA_BOOL, NUMBER(config_backend, drain) },
	{ 0 }
};
static const struct schema_map backend_map = {
	.what = "backend", .size = sizeof(struct config_backend),
	.place_offset = offsetof(struct config_backend, place), .fields = backend_fields,
};

/* A connect asks for nothing; Watch is a method of its own. */
static void fields_check_health_method(struct reporter *reporter, const struct node *node,
				       struct config_health_check *check)
{
	static const char *const of_calls[] = { "method", "path", "codes", "service", "authority" };
	const struct node *child, *protocol = node_get(node, "protocol");

	if (protocol && protocol->kind == NODE_SCALAR && strcmp(protocol->text, "tcp") == 0)
		check->method = HEALTH_METHOD_TCP;
	for (size_t i = 0; i < sizeof(of_calls) / sizeof(of_calls[0]); i++) {
		child = node_get(node, of_calls[i]);
		if (child && check->method == HEALTH_METHOD_TCP)
			report_error(reporter, child->key_place,
				     "%s with protocol tcp, want protocol grpc or no %s",
				     of_calls[i], of_calls[i]);
	}
	child = node_get(node, "path");
	if (child && check->method == HEALTH_METHOD_WATCH && !check->standard_path)
		report_error(reporter, child->place,
			     "path with method WATCH, want method POST or no path");
}

static void fields_finish_health_check(struct reporter *reporter, const struct node *node,
				       void *object)
{
	struct config_group *group = object;
	struct config_health_check *check = &group->health_check;
	const struct node *service = node_get(node, "service");

	check->enabled = true;
	check->standard_path = check->path &&
			       strcmp(check->path, FIELDS_STANDARD_HEALTH_PATH) == 0;
	if (!check->standard_path && check->service && check->service[0] && service)
		report_error(reporter, service->place,
			     "service with another path, want path %s or no service",
			     FIELDS_STANDARD_HEALTH_PATH);
	fields_check_health_method(reporter, node, check);
}

static const struct schema_field health_check_fields[] = {
	{ "protocol", SCHEMA_CHOICE, .choices = health_protocols },
	{ "method", SCHEMA_CHOICE, NUMBER(config_group, health_check.method),
	  .choices = health_methods, .preset = HEALTH_METHOD_CALL },
	{ "path", SCHEMA_TEXT, AT(config_group, health_check.path),
	  .preset_text = FIELDS_STANDARD_HEALTH_PATH, .example = FIELDS_STANDARD_HEALTH_PATH,
	  .check = values_check_method_path },
	{ "authority", SCHEMA_TEXT, AT(config_group, health_check.authority),
	  .example = "greeter.example", .check = values_check_authority },
	{ "codes", SCHEMA_CUSTOM, NUMBER(config_group, health_check.codes), .max = 63,
	  .preset = 1 << 0, .example = "[0, 12, 4-5]", .read = values_read_codes },
	{ "service", SCHEMA_TEXT, AT(config_group, health_check.service), .preset_text = "",
	  .example = "helloworld.Greeter", .check = values_check_service },
	{ "interval", SCHEMA_DURATION, NUMBER(config_group, health_check.interval_ms), .min = 100,
	  .max = HOUR, .preset = 2 * SECOND },
	{ "timeout", SCHEMA_DURATION, NUMBER(config_group, health_check.timeout_ms), .min = 10,
	  .max = 5 * MINUTE, .preset = 5 * SECOND },
	{ "healthy_threshold", SCHEMA_UINT, NUMBER(config_group, health_check.healthy_threshold),
	  .min = 1, .max = 100, .preset = 3 },
	{ "unhealthy_threshold", SCHEMA_UINT,
	  NUMBER(config_group, health_check.unhealthy_threshold), .min = 1, .max = 100,
	  .preset = 3 },
	{ "port", SCHEMA_UINT, NUMBER(config_group, health_check.port), .max = 65535 },
	{ 0 }
};
static const struct schema_map health_check_map = {
	.what = "health_check", .place_offset = SCHEMA_NO_PLACE, .fields = health_check_fields,
	.finish = fields_finish_health_check,
};

static const struct schema_field connection_fields[] = {
	{ "min", SCHEMA_UINT, NUMBER(config_group, min_connections), .max = 1024 },
	{ "max", SCHEMA_UINT, NUMBER(config_group, max_connections), .min = 1, .max = 1024,
	  .preset = 8 },
	{ "streams", SCHEMA_UINT, NUMBER(config_group, max_streams), .min = 1, .max = 65535,
	  .preset = 100 },
	{ "connect_timeout", SCHEMA_DURATION, NUMBER(config_group, connect_timeout_ms), .min = 10,
	  .max = MINUTE, .preset = SECOND },
	{ "idle", SCHEMA_DURATION, NUMBER(config_group, idle_timeout_ms), .min = SECOND,
	  .max = 24 * HOUR, .preset = MINUTE },
	{ "keepalive_interval", SCHEMA_DURATION, SCHEMA_OR_ZERO,
	  NUMBER(config_group, keepalive_interval_ms), .min = 100, .max = HOUR,
	  .preset = 5 * MINUTE },
	{ "keepalive_timeout", SCHEMA_DURATION, NUMBER(config_group, keepalive_timeout_ms),
	  .min = 100, .max = 10 * MINUTE, .preset = 5 * SECOND },
	{ "max_age", SCHEMA_DURATION, SCHEMA_OR_ZERO, NUMBER(config_group, max_age_ms),
	  .min = SECOND, .max = WEEK },
	{ "header_list", SCHEMA_SIZE, NUMBER(config_group, max_header_bytes), .min = KIB,
	  .max = MIB, .preset = 64 * KIB },
	{ 0 }
};
static const struct schema_map connections_map = {
	.what = "connections", .place_offset = SCHEMA_NO_PLACE, .fields = connection_fields,
};

static void fields_read_client_certificate(struct reporter *reporter,
					   const struct schema_field *field,
					   const struct node *node, void *object)
{
	struct config_group *group = object;

	group->tls.certificate = calloc(1, sizeof(*group->tls.certificate));
	if (group->tls.certificate)
		schema_read(reporter, field->map, node, group->tls.certificate);
	else
		report_no_memory(reporter);
}

static void fields_finish_tls(struct reporter *reporter, const struct node *node, void *object)
{
	struct config_group *group = object;
	const struct node *ca = node_get(node, "ca");

	group->tls.enabled = true;
	if (ca && !group->tls.verify)
		report_warning(reporter, ca->key_place, "ca has no effect with verify: false");
}

static const struct schema_field tls_fields[] = {
	{ "ca", SCHEMA_TEXT, AT(config_group, tls.ca_path), .example = "/etc/sluice/tls/ca.pem",
	  .check = values_check_file },
	{ "verify", SCHEMA_BOOL, NUMBER(config_group, tls.verify), .preset = true },
	{ "server_name", SCHEMA_TEXT, AT(config_group, tls.server_name),
	  .example = "greeter.example", .check = values_check_server_name },
	{ "certificate", SCHEMA_CUSTOM, .map = &fields_certificate,
	  .read = fields_read_client_certificate },
	{ 0 }
};
static const struct schema_map tls_map = {
	.what = "tls", .place_offset = SCHEMA_NO_PLACE, .fields = tls_fields,
	.finish = fields_finish_tls,
};

#define BREAKER_MAX 1000000

static void fields_finish_breaker(struct reporter *reporter, const struct node *node, void *object)
{
	const struct config_group *group = object;
	const struct node *timeout = node_get(node, "pending_timeout");

	if (timeout && group->breaker.pending_timeout_ms && !node_get(node, "pending"))
		report_error(reporter, timeout->key_place,
			     "pending_timeout without pending, want for example pending: 100");
}

static const struct schema_field breaker_fields[] = {
	{ "calls", SCHEMA_UINT, NUMBER(config_group, breaker.group_calls), .max = BREAKER_MAX },
	{ "connections", SCHEMA_UINT, NUMBER(config_group, breaker.group_connections),
	  .max = BREAKER_MAX },
	{ "pending", SCHEMA_UINT, NUMBER(config_group, breaker.pending), .max = BREAKER_MAX },
	{ "pending_timeout", SCHEMA_DURATION, SCHEMA_OR_ZERO,
	  NUMBER(config_group, breaker.pending_timeout_ms), .min = 1, .max = HOUR },
	{ "backend_calls", SCHEMA_UINT, NUMBER(config_group, breaker.backend_calls),
	  .max = BREAKER_MAX },
	{ "backend_connections", SCHEMA_UINT, NUMBER(config_group, breaker.backend_connections),
	  .max = BREAKER_MAX },
	{ "status", SCHEMA_CHOICE, NUMBER(config_group, breaker.status),
	  .choices = breaker_statuses, .preset = 14 },
	{ 0 }
};
static const struct schema_map breaker_map = {
	.what = "circuit_breaker", .place_offset = SCHEMA_NO_PLACE, .fields = breaker_fields,
	.finish = fields_finish_breaker,
};

static void fields_finish_outlier(struct reporter *reporter, const struct node *node, void *object)
{
	struct config_group *group = object;
	struct config_outlier *outlier = &group->outlier;
	const struct node *ejection = node_get(node, "ejection");

	outlier->enabled = true;
	if (outlier->base_ejection_ms > outlier->max_ejection_ms)
		report_error(reporter, ejection ? ejection->place : node->place,
			     "ejection base is longer than max, want base at most max");
	if (!outlier->consecutive_failures && !outlier->success_rate_stdev_permille &&
	    !outlier->latency_factor_permille)
		report_warning(reporter, node->place,
			       "outlier_detection with consecutive_failures, success_rate and "
			       "latency all off does nothing");
}

static const struct schema_field ejection_fields[] = {
	{ "base", SCHEMA_DURATION, NUMBER(config_group, outlier.base_ejection_ms), .min = 100,
	  .max = 24 * HOUR, .preset = 30 * SECOND },
	{ "max", SCHEMA_DURATION, NUMBER(config_group, outlier.max_ejection_ms), .min = 100,
	  .max = 24 * HOUR, .preset = 5 * MINUTE },
	{ "share", SCHEMA_PERCENT, NUMBER(config_group, outlier.max_ejected_percent), .max = 100,
	  .preset = 10 },
	{ 0 }
};
static const struct schema_map ejection_map = {
	.what = "ejection", .place_offset = SCHEMA_NO_PLACE, .fields = ejection_fields,
};

#define OUTLIER_CODES (1 << 2 | 1 << 4 | 1 << 13 | 1 << 14 | 1 << 15)
static const struct schema_field outlier_fields[] = {
	{ "codes", SCHEMA_CUSTOM, NUMBER(config_group, outlier.codes), .min = 1, .max = 16,
	  .preset = OUTLIER_CODES, .example = "[UNAVAILABLE, 13]", .read = values_read_codes },
	{ "consecutive_failures", SCHEMA_UINT, NUMBER(config_group, outlier.consecutive_failures),
	  .max = 1000000, .preset = 5 },
	{ "interval", SCHEMA_DURATION, NUMBER(config_group, outlier.interval_ms), .min = 100,
	  .max = HOUR, .preset = 10 * SECOND },
	{ "min_calls", SCHEMA_UINT, NUMBER(config_group, outlier.min_calls), .min = 1,
	  .max = 1000000, .preset = 100 },
	{ "min_backends", SCHEMA_UINT, NUMBER(config_group, outlier.min_backends), .min = 2,
	  .max = 1000, .preset = 5 },
	{ "success_rate", SCHEMA_FACTOR, SCHEMA_OR_ZERO,
	  NUMBER(config_group, outlier.success_rate_stdev_permille), .min = 100, .max = 100000,
	  .preset = 1900 },
	{ "latency", SCHEMA_FACTOR, SCHEMA_OR_ZERO,
	  NUMBER(config_group, outlier.latency_factor_permille), .min = 1100, .max = 1000000 },
	{ "ejection", SCHEMA_MAP, .map = &ejection_map },
	{ 0 }
};
static const struct schema_map outlier_map = {
	.what = "outlier_detection", .place_offset = SCHEMA_NO_PLACE, .fields = outlier_fields,
	.finish = fields_finish_outlier,
};

static void fields_finish_group(struct reporter *reporter, const struct node *node, void *object)
{
	struct config_group *group = object;
	const struct node *hash = node_get(node, "hash");
	const struct node *min = node_get(node_get(node, "connections"), "min");

	if (hash && group->balance != BALANCE_CONSISTENT_HASH)
		report_error(reporter, hash->key_place,
			     "hash without consistent_hash, want balance: consistent_hash or no "
			     "hash");
	else if (!hash && group->balance == BALANCE_CONSISTENT_HASH)
		group->hash_key.source = KEY_SOURCE;
	if (min && group->min_connections > group->max_connections)
		report_error(reporter, min->place, "min %u is more than max %u, want at most max",
			     group->min_connections, group->max_connections);
}

static const struct schema_field group_fields[] = {
	{ "name", SCHEMA_TEXT, SCHEMA_REQUIRED, AT(config_group, name), .example = "greeter",
	  .check = values_check_name },
	{ "protocol", SCHEMA_CHOICE, NUMBER(config_group, protocol), .choices = group_protocols,
	  .preset = PROTOCOL_GRPC },
	{ "balance", SCHEMA_CHOICE, NUMBER(config_group, balance), .choices = balances,
	  .preset = BALANCE_WEIGHTED_ROUND_ROBIN },
	{ "hash", SCHEMA_CUSTOM, AT(config_group, hash_key), .example = "metadata:x-user",
	  .read = values_read_key },
	{ "slow_start", SCHEMA_DURATION, SCHEMA_OR_ZERO, NUMBER(config_group, slow_start_ms),
	  .min = 100, .max = HOUR },
	{ "backup_below", SCHEMA_PERCENT, NUMBER(config_group, backup_below_percent), .max = 100 },
	{ "panic_below", SCHEMA_PERCENT, NUMBER(config_group, panic_percent), .max = 100 },
	{ "on_all_down", SCHEMA_CHOICE, NUMBER(config_group, on_all_down), .choices = all_downs,
	  .preset = SLUICE_ALL_DOWN_ACCEPT },
	{ "backends", SCHEMA_LIST, SCHEMA_REQUIRED, ARRAY_OF(config_group, backends, n_backends),
	  .min = 1, .max = SLUICE_MAX_BACKENDS, .map = &backend_map,
	  .example = "[{address: 192.0.2.11:50051}]" },
	{ "health_check", SCHEMA_MAP, .map = &health_check_map },
	{ "connections", SCHEMA_MAP, .map = &connections_map },
	{ "tls", SCHEMA_MAP, .map = &tls_map },
	{ "circuit_breaker", SCHEMA_MAP, .map = &breaker_map },
	{ "outlier_detection", SCHEMA_MAP, .map = &outlier_map },
	{ 0 }
};
const struct schema_map fields_group = {
	.what = "group", .size = sizeof(struct config_group),
	.place_offset = offsetof(struct config_group, place), .fields = group_fields,
	.finish = fields_finish_group,
};
