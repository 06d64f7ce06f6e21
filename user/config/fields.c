/* SPDX-License-Identifier: MIT */
/*
 * fields.c - see fields.h: the tables. docs/CONFIG.md says the same in words; a test holds the
 * two together.
 */
#include "config/fields.h"

#include <string.h>

#include "config/values.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECOND 1000ull /* in ms */
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

#define AT(type, member) .offset = offsetof(struct type, member)
#define NUMBER(type, member) AT(type, member), .width = sizeof(((struct type *)NULL)->member)
#define ARRAY_OF(type, member, count) AT(type, member), .count_offset = offsetof(struct type, count)

/* kernel */

static const struct schema_choice kernel_modes[] = {
	{ "auto", KERNEL_AUTO }, { "required", KERNEL_REQUIRED }, { "off", KERNEL_OFF }, { 0 }
};
static const struct schema_choice xdp_modes[] = {
	{ "auto", XDP_MODE_AUTO }, { "native", XDP_MODE_NATIVE }, { "generic", XDP_MODE_GENERIC },
	{ 0 }
};

static const struct schema_field interface_fields[] = {
	{ "name", SCHEMA_TEXT, SCHEMA_REQUIRED, AT(config_interface, name), .example = "eth0",
	  .check = values_check_interface },
	{ "xdp", SCHEMA_CHOICE, NUMBER(config_interface, xdp), .choices = xdp_modes,
	  .preset = XDP_MODE_AUTO },
	{ 0 }
};
static const struct schema_map interface_map = {
	.what = "interface", .size = sizeof(struct config_interface),
	.place_offset = offsetof(struct config_interface, place), .fields = interface_fields,
};

static const struct schema_field acl_fields[] = {
	{ "deny", SCHEMA_CUSTOM, ARRAY_OF(config_kernel, deny, n_deny), .max = SLUICE_MAX_ACL,
	  .read = values_read_prefixes },
	{ "allow", SCHEMA_CUSTOM, ARRAY_OF(config_kernel, allow, n_allow), .max = SLUICE_MAX_ACL,
	  .read = values_read_prefixes },
	{ 0 }
};
static const struct schema_map acl_map = {
	.what = "acl", .place_offset = SCHEMA_NO_PLACE, .fields = acl_fields,
};

static const struct schema_field per_source_fields[] = {
	{ "new_connections", SCHEMA_RATE, SCHEMA_REQUIRED, AT(config_kernel, per_source), .min = 1,
	  .max = 1000000, .example = "100/s" },
	{ "burst", SCHEMA_UINT, NUMBER(config_kernel, per_source.burst), .min = 1,
	  .max = 1000000 },
	{ "ipv4_prefix", SCHEMA_UINT, NUMBER(config_kernel, source_v4_prefix), .max = 32,
	  .preset = 32 },
	{ "ipv6_prefix", SCHEMA_UINT, NUMBER(config_kernel, source_v6_prefix), .max = 128,
	  .preset = 64 },
	{ 0 }
};
static const struct schema_map per_source_map = {
	.what = "per_source", .place_offset = SCHEMA_NO_PLACE, .fields = per_source_fields,
};

static const struct schema_field kernel_fields[] = {
	{ "mode", SCHEMA_CHOICE, NUMBER(config_kernel, mode), .choices = kernel_modes,
	  .preset = KERNEL_AUTO },
	{ "pin_path", SCHEMA_TEXT, AT(config_kernel, pin_path), .preset_text = "/sys/fs/bpf/sluice",
	  .example = "/sys/fs/bpf/sluice", .check = values_check_path },
	{ "keep", SCHEMA_BOOL, NUMBER(config_kernel, keep) },
	{ "interfaces", SCHEMA_LIST, ARRAY_OF(config_kernel, interfaces, n_interfaces), .max = 64,
	  .map = &interface_map },
	{ "acl", SCHEMA_MAP, .map = &acl_map },
	{ "per_source", SCHEMA_MAP, .map = &per_source_map },
	{ 0 }
};
static const struct schema_map kernel_map = {
	.what = "kernel", .place_offset = SCHEMA_NO_PLACE, .fields = kernel_fields,
};

/* listeners */

static const struct schema_choice listener_protocols[] = { { "https", 0 }, { 0 } };

static const struct schema_field certificate_fields[] = {
	{ "chain", SCHEMA_TEXT, SCHEMA_REQUIRED, AT(config_certificate, chain_path),
	  .example = "/etc/sluice/tls/chain.pem", .check = values_check_file },
	{ "key", SCHEMA_TEXT, SCHEMA_REQUIRED, AT(config_certificate, key_path),
	  .example = "/etc/sluice/tls/key.pem", .check = values_check_file },
	{ 0 }
};
static const struct schema_map certificate_map = {
	.what = "certificate", .size = sizeof(struct config_certificate),
	.place_offset = offsetof(struct config_certificate, place), .fields = certificate_fields,
};

static const struct schema_field listener_timeout_fields[] = {
	{ "handshake", SCHEMA_DURATION, NUMBER(config_listener, handshake_timeout_ms), .min = 100,
	  .max = 5 * MINUTE, .preset = 10 * SECOND },
	{ "header", SCHEMA_DURATION, NUMBER(config_listener, header_timeout_ms), .min = 100,
	  .max = 5 * MINUTE, .preset = 10 * SECOND },
	{ "idle", SCHEMA_DURATION, NUMBER(config_listener, idle_timeout_ms), .min = SECOND,
	  .max = 24 * HOUR, .preset = 15 * SECOND },
	{ "stall", SCHEMA_DURATION, NUMBER(config_listener, stall_timeout_ms), .min = SECOND,
	  .max = 24 * HOUR, .preset = MINUTE },
	{ 0 }
};
static const struct schema_map listener_timeouts_map = {
	.what = "timeouts", .place_offset = SCHEMA_NO_PLACE, .fields = listener_timeout_fields,
};

static const struct schema_field listener_limit_fields[] = {
	{ "streams", SCHEMA_UINT, NUMBER(config_listener, max_streams), .min = 1, .max = 65535,
	  .preset = 128 },
	{ "header_list", SCHEMA_SIZE, NUMBER(config_listener, max_header_bytes), .min = KIB,
	  .max = MIB, .preset = 64 * KIB },
	{ 0 }
};
static const struct schema_map listener_limits_map = {
	.what = "limits", .place_offset = SCHEMA_NO_PLACE, .fields = listener_limit_fields,
};

/* protocol has one value and so nowhere to go. */
static const struct schema_field listener_fields[] = {
	{ "name", SCHEMA_TEXT, SCHEMA_REQUIRED, AT(config_listener, name), .example = "grpc",
	  .check = values_check_name },
	{ "address", SCHEMA_CUSTOM, SCHEMA_REQUIRED, AT(config_listener, address),
	  .example = "\"[::]:443\"", .read = values_read_listen_address },
	{ "protocol", SCHEMA_CHOICE, .choices = listener_protocols },
	{ "certificate", SCHEMA_LIST, SCHEMA_REQUIRED | SCHEMA_OR_ONE,
	  ARRAY_OF(config_listener, certificates, n_certificates), .min = 1, .max = 4,
	  .map = &certificate_map,
	  .example = "{chain: /etc/sluice/tls/chain.pem, key: /etc/sluice/tls/key.pem}" },
	{ "new_connections", SCHEMA_RATE, AT(config_listener, new_connections), .min = 1,
	  .max = 1000000 },
	{ "group", SCHEMA_CUSTOM, SCHEMA_REQUIRED, .example = "greeter",
	  .read = values_read_group_reference },
	{ "timeouts", SCHEMA_MAP, .map = &listener_timeouts_map },
	{ "limits", SCHEMA_MAP, .map = &listener_limits_map },
	{ 0 }
};
static const struct schema_map listener_map = {
	.what = "listener", .size = sizeof(struct config_listener),
	.place_offset = offsetof(struct config_listener, place), .fields = listener_fields,
};

/* groups */

static const struct schema_choice group_protocols[] = { { "grpc", 0 }, { 0 } };
static const struct schema_choice health_methods[] = { { "POST", 0 }, { 0 } };
static const struct schema_choice balances[] = {
	{ "weighted_round_robin", BALANCE_WEIGHTED_ROUND_ROBIN },
	{ "least_request", BALANCE_LEAST_REQUEST },
	{ 0 }
};
static const struct schema_choice all_downs[] = {
	{ "accept", SLUICE_ALL_DOWN_ACCEPT }, { "reset", SLUICE_ALL_DOWN_RESET },
	{ "drop", SLUICE_ALL_DOWN_DROP }, { 0 }
};

static const struct schema_field backend_fields[] = {
	{ "address", SCHEMA_CUSTOM, SCHEMA_REQUIRED, .example = "192.0.2.11:50051",
	  .read = values_read_backend_address },
	{ "weight", SCHEMA_UINT, NUMBER(config_backend, weight), .max = 100, .preset = 100 },
	{ 0 }
};
static const struct schema_map backend_map = {
	.what = "backend", .size = sizeof(struct config_backend),
	.place_offset = offsetof(struct config_backend, place), .fields = backend_fields,
};

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
}

static const struct schema_field health_check_fields[] = {
	{ "protocol", SCHEMA_CHOICE, .choices = group_protocols },
	{ "method", SCHEMA_CHOICE, .choices = health_methods },
	{ "path", SCHEMA_TEXT, AT(config_group, health_check.path),
	  .preset_text = FIELDS_STANDARD_HEALTH_PATH, .example = FIELDS_STANDARD_HEALTH_PATH,
	  .check = values_check_method_path },
	{ "codes", SCHEMA_CUSTOM, NUMBER(config_group, health_check.codes), .preset = 1 << 0,
	  .read = values_read_codes },
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
	  .preset = 10 * SECOND },
	{ "keepalive_timeout", SCHEMA_DURATION, NUMBER(config_group, keepalive_timeout_ms),
	  .min = 100, .max = 10 * MINUTE, .preset = 5 * SECOND },
	{ 0 }
};
static const struct schema_map connections_map = {
	.what = "connections", .place_offset = SCHEMA_NO_PLACE, .fields = connection_fields,
};

static const struct schema_field group_fields[] = {
	{ "name", SCHEMA_TEXT, SCHEMA_REQUIRED, AT(config_group, name), .example = "greeter",
	  .check = values_check_name },
	{ "protocol", SCHEMA_CHOICE, .choices = group_protocols },
	{ "balance", SCHEMA_CHOICE, NUMBER(config_group, balance), .choices = balances,
	  .preset = BALANCE_WEIGHTED_ROUND_ROBIN },
	{ "on_all_down", SCHEMA_CHOICE, NUMBER(config_group, on_all_down), .choices = all_downs,
	  .preset = SLUICE_ALL_DOWN_ACCEPT },
	{ "backends", SCHEMA_LIST, SCHEMA_REQUIRED, ARRAY_OF(config_group, backends, n_backends),
	  .min = 1, .max = SLUICE_MAX_BACKENDS, .map = &backend_map,
	  .example = "[{address: 192.0.2.11:50051}]" },
	{ "health_check", SCHEMA_MAP, .map = &health_check_map },
	{ "connections", SCHEMA_MAP, .map = &connections_map },
	{ 0 }
};
static const struct schema_map group_map = {
	.what = "group", .size = sizeof(struct config_group),
	.place_offset = offsetof(struct config_group, place), .fields = group_fields,
};

/* the top level */

static const struct schema_choice log_levels[] = {
	{ "error", LOG_ERROR }, { "warn", LOG_WARN }, { "info", LOG_INFO }, { "debug", LOG_DEBUG },
	{ 0 }
};
static const struct schema_choice log_formats[] = {
	{ "text", LOG_TEXT }, { "json", LOG_JSON }, { 0 }
};

static const struct schema_field runtime_fields[] = {
	{ "user", SCHEMA_TEXT, AT(config, user), .example = "sluice", .check = values_check_user },
	{ "group", SCHEMA_TEXT, AT(config, group), .example = "sluice",
	  .check = values_check_user },
	{ 0 }
};
static const struct schema_field control_fields[] = {
	{ "socket", SCHEMA_TEXT, AT(config, control_socket),
	  .preset_text = "/run/sluice/control.sock", .example = "/run/sluice/control.sock",
	  .check = values_check_socket },
	{ 0 }
};
static const struct schema_field log_fields[] = {
	{ "level", SCHEMA_CHOICE, NUMBER(config, log_level), .choices = log_levels,
	  .preset = LOG_INFO },
	{ "format", SCHEMA_CHOICE, NUMBER(config, log_format), .choices = log_formats,
	  .preset = LOG_TEXT },
	{ 0 }
};
static const struct schema_field drain_fields[] = {
	{ "grace", SCHEMA_DURATION, NUMBER(config, drain_grace_ms), .max = HOUR,
	  .preset = 30 * SECOND },
	{ 0 }
};
static const struct schema_field limit_fields[] = {
	{ "connections", SCHEMA_UINT, NUMBER(config, max_connections), .min = 1, .max = 1000000,
	  .preset = 16384 },
	{ "buffer", SCHEMA_SIZE, NUMBER(config, max_buffer_bytes), .min = MIB, .max = 1024 * GIB,
	  .preset = 256 * MIB },
	{ "stream_buffer", SCHEMA_SIZE, NUMBER(config, leg_buffer_bytes), .min = 16 * KIB,
	  .max = 16 * MIB, .preset = 256 * KIB },
	{ 0 }
};

static const struct schema_map runtime_map = {
	.what = "runtime", .place_offset = SCHEMA_NO_PLACE, .fields = runtime_fields,
};
static const struct schema_map control_map = {
	.what = "control", .place_offset = SCHEMA_NO_PLACE, .fields = control_fields,
};
static const struct schema_map log_map = {
	.what = "log", .place_offset = SCHEMA_NO_PLACE, .fields = log_fields,
};
static const struct schema_map drain_map = {
	.what = "drain", .place_offset = SCHEMA_NO_PLACE, .fields = drain_fields,
};
static const struct schema_map limits_map = {
	.what = "limits", .place_offset = SCHEMA_NO_PLACE, .fields = limit_fields,
};

static const struct schema_field config_fields[] = {
	{ "listeners", SCHEMA_LIST, SCHEMA_REQUIRED, ARRAY_OF(config, listeners, n_listeners),
	  .min = 1, .max = SLUICE_MAX_LISTENERS, .map = &listener_map,
	  .example = "[{name: grpc, address: \"[::]:443\", ...}]" },
	{ "groups", SCHEMA_LIST, SCHEMA_REQUIRED, ARRAY_OF(config, groups, n_groups), .min = 1,
	  .max = SLUICE_MAX_GROUPS, .map = &group_map,
	  .example = "[{name: greeter, backends: [{address: 192.0.2.11:50051}]}]" },
	{ "workers", SCHEMA_CUSTOM, AT(config, workers), .read = values_read_workers },
	{ "runtime", SCHEMA_MAP, .map = &runtime_map },
	{ "control", SCHEMA_MAP, .map = &control_map },
	{ "log", SCHEMA_MAP, .map = &log_map },
	{ "drain", SCHEMA_MAP, .map = &drain_map },
	{ "limits", SCHEMA_MAP, .map = &limits_map },
	{ "kernel", SCHEMA_MAP, AT(config, kernel), .map = &kernel_map },
	{ 0 }
};
const struct schema_map fields_config = {
	.what = "the config file", .place_offset = SCHEMA_NO_PLACE, .fields = config_fields,
};
