/* SPDX-License-Identifier: MIT */
/*
 * fields.c - see fields.h: the tables of the top level. docs/CONFIG.md says the same in words; a test
 * holds the two together.
 */
#include "config/fields.h"

#include "config/fields_tables.h"
#include "config/values.h"

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
	{ "jitter", SCHEMA_DURATION, NUMBER(config, drain_jitter_ms), .max = 5 * MINUTE,
	  .preset = SECOND },
	{ 0 }
};
static const struct schema_field error_fields[] = {
	{ "addresses", SCHEMA_BOOL, NUMBER(config, error_addresses), .preset = true },
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
static const struct schema_map errors_map = {
	.what = "errors", .place_offset = SCHEMA_NO_PLACE, .fields = error_fields,
};
static const struct schema_map limits_map = {
	.what = "limits", .place_offset = SCHEMA_NO_PLACE, .fields = limit_fields,
};

static const struct schema_field config_fields[] = {
	{ "listeners", SCHEMA_LIST, SCHEMA_REQUIRED, ARRAY_OF(config, listeners, n_listeners),
	  .min = 1, .max = SLUICE_MAX_LISTENERS, .map = &fields_listener,
	  .example = "[{name: grpc, address: \"[::]:443\", ...}]" },
	{ "groups", SCHEMA_LIST, SCHEMA_REQUIRED, ARRAY_OF(config, groups, n_groups), .min = 1,
	  .max = SLUICE_MAX_GROUPS, .map = &fields_group,
	  .example = "[{name: greeter, backends: [{address: 192.0.2.11:50051}]}]" },
	{ "workers", SCHEMA_CUSTOM, AT(config, workers), .read = values_read_workers },
	{ "runtime", SCHEMA_MAP, .map = &runtime_map },
	{ "control", SCHEMA_MAP, .map = &control_map },
	{ "log", SCHEMA_MAP, .map = &log_map },
	{ "drain", SCHEMA_MAP, .map = &drain_map },
	{ "errors", SCHEMA_MAP, .map = &errors_map },
	{ "limits", SCHEMA_MAP, .map = &limits_map },
	{ "kernel", SCHEMA_MAP, AT(config, kernel), .map = &fields_kernel },
	{ 0 }
};
const struct schema_map fields_config = {
	.what = "the config file", .place_offset = SCHEMA_NO_PLACE, .fields = config_fields,
};
