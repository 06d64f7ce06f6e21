/* SPDX-License-Identifier: MIT */
/*
 * fields_kernel.c - see fields.h: the tables of the kernel's part, and of access lists, which
 * listeners have too.
 */
#include "config/bounds.h"
#include "config/fields.h"
#include "config/fields_tables.h"
#include "config/values.h"

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
	{ "deny", SCHEMA_CUSTOM, ARRAY_OF(config_acl, deny, n_deny),
	  .max = SLUICE_MAX_ACL_PREFIXES, .read = values_read_prefixes },
	{ "allow", SCHEMA_CUSTOM, ARRAY_OF(config_acl, allow, n_allow),
	  .max = SLUICE_MAX_ACL_PREFIXES, .read = values_read_prefixes },
	{ "deny_files", SCHEMA_CUSTOM, ARRAY_OF(config_acl, deny_files, n_deny_files),
	  .max = BOUNDS_ACL_FILES, .read = values_read_acl_files },
	{ "allow_files", SCHEMA_CUSTOM, ARRAY_OF(config_acl, allow_files, n_allow_files),
	  .max = BOUNDS_ACL_FILES, .read = values_read_acl_files },
	{ 0 }
};
const struct schema_map fields_acl = {
	.what = "acl", .place_offset = offsetof(struct config_acl, place), .fields = acl_fields,
};

static void fields_finish_per_source(struct reporter *reporter, const struct node *node,
				     void *object)
{
	const struct node *burst = node_get(node, "burst");

	if (burst && !node_get(node, "new_connections"))
		report_error(reporter, burst->key_place,
			     "burst without new_connections, want for example "
			     "new_connections: 100/s");
}

static const struct schema_field per_source_fields[] = {
	{ "new_connections", SCHEMA_RATE, AT(config_kernel, per_source), .min = 1,
	  .max = 1000000 },
	{ "burst", SCHEMA_UINT, NUMBER(config_kernel, per_source.burst), .min = 1,
	  .max = 1000000 },
	{ "connections", SCHEMA_UINT, NUMBER(config_kernel, source_connections), .max = 1000000 },
	{ "ipv4_prefix", SCHEMA_UINT, NUMBER(config_kernel, source_v4_prefix), .max = 32,
	  .preset = 32 },
	{ "ipv6_prefix", SCHEMA_UINT, NUMBER(config_kernel, source_v6_prefix), .max = 128,
	  .preset = 64 },
	{ 0 }
};
static const struct schema_map per_source_map = {
	.what = "per_source", .place_offset = SCHEMA_NO_PLACE, .fields = per_source_fields,
	.finish = fields_finish_per_source,
};

static const struct schema_field stray_fields[] = {
	{ "rate", SCHEMA_RATE, SCHEMA_REQUIRED, AT(config_kernel, strays), .min = 1,
	  .max = 10000000, .example = "1000/s" },
	{ "burst", SCHEMA_UINT, NUMBER(config_kernel, strays.burst), .min = 1, .max = 10000000 },
	{ 0 }
};
static const struct schema_map strays_map = {
	.what = "strays", .place_offset = SCHEMA_NO_PLACE, .fields = stray_fields,
};

static const struct schema_field event_fields[] = {
	{ "rate", SCHEMA_RATE, AT(config_kernel, events), .min = 1, .max = 1000000,
	  .preset = 1000 },
	{ "burst", SCHEMA_UINT, NUMBER(config_kernel, events.burst), .min = 1, .max = 1000000 },
	{ 0 }
};
static const struct schema_map events_map = {
	.what = "events", .place_offset = SCHEMA_NO_PLACE, .fields = event_fields,
};

#define POINTS(key, evidence, count)                                                               \
	{ key, SCHEMA_UINT, NUMBER(config_penalties, points[evidence]), .max = 1000000,            \
	  .preset = count }

static const struct schema_field point_fields[] = {
	POINTS("abuse", SLUICE_EVIDENCE_ABUSE, 100),
	POINTS("handshake", SLUICE_EVIDENCE_HANDSHAKE, 5),
	POINTS("not_h2", SLUICE_EVIDENCE_NOT_H2, 10),
	POINTS("protocol", SLUICE_EVIDENCE_PROTOCOL, 20),
	POINTS("over_limit", SLUICE_EVIDENCE_OVER_LIMIT, 1),
	{ 0 }
};
static const struct schema_map points_map = {
	.what = "points", .place_offset = SCHEMA_NO_PLACE, .fields = point_fields,
};

static void fields_finish_penalties(struct reporter *reporter, const struct node *node,
				    void *object)
{
	struct config_penalties *penalties = object;
	const struct node *max = node_get(node, "max"), *first = node_get(node, "first");

	penalties->enabled = true;
	if (penalties->max_ms < penalties->first_ms)
		report_error(reporter, (max ? max : first)->place,
			     "%s, want a max that is not below first",
			     max ? "max is below first" : "first is above max");
}

static const struct schema_field penalty_fields[] = {
	{ "threshold", SCHEMA_UINT, NUMBER(config_penalties, threshold), .min = 1, .max = 1000000,
	  .preset = 100 },
	{ "half_life", SCHEMA_DURATION, NUMBER(config_penalties, half_life_ms), .min = 100,
	  .max = 24 * HOUR, .preset = 10 * SECOND },
	{ "first", SCHEMA_DURATION, NUMBER(config_penalties, first_ms), .min = 100, .max = WEEK,
	  .preset = 10 * SECOND },
	{ "max", SCHEMA_DURATION, NUMBER(config_penalties, max_ms), .min = 100, .max = WEEK,
	  .preset = HOUR },
	{ "forget", SCHEMA_DURATION, NUMBER(config_penalties, forget_ms), .min = SECOND,
	  .max = WEEK, .preset = HOUR },
	{ "packets_after", SCHEMA_UINT, NUMBER(config_penalties, packets_after), .max = 100,
	  .preset = 1 },
	{ "bad_percent", SCHEMA_UINT, NUMBER(config_penalties, bad_percent), .max = 100,
	  .preset = 50 },
	{ "never", SCHEMA_CUSTOM, ARRAY_OF(config_penalties, never, n_never),
	  .max = BOUNDS_SOURCES, .read = values_read_prefixes },
	{ "points", SCHEMA_MAP, .map = &points_map },
	{ 0 }
};
static const struct schema_map penalties_map = {
	.what = "penalties", .place_offset = SCHEMA_NO_PLACE, .fields = penalty_fields,
	.finish = fields_finish_penalties,
};

static const struct schema_field kernel_fields[] = {
	{ "mode", SCHEMA_CHOICE, NUMBER(config_kernel, mode), .choices = kernel_modes,
	  .preset = KERNEL_AUTO },
	{ "pin_path", SCHEMA_TEXT, AT(config_kernel, pin_path), .preset_text = "/sys/fs/bpf/sluice",
	  .example = "/sys/fs/bpf/sluice", .check = values_check_path },
	{ "keep", SCHEMA_BOOL, NUMBER(config_kernel, keep) },
	{ "interfaces", SCHEMA_LIST, ARRAY_OF(config_kernel, interfaces, n_interfaces),
	  .max = BOUNDS_INTERFACES, .map = &interface_map },
	{ "xdp_chain", SCHEMA_BOOL, NUMBER(config_kernel, xdp_chain) },
	{ "chain_priority", SCHEMA_UINT, NUMBER(config_kernel, chain_priority), .max = 1000,
	  .preset = 50 },
	{ "acl", SCHEMA_MAP, AT(config_kernel, acl), .map = &fields_acl },
	{ "per_source", SCHEMA_MAP, .map = &per_source_map },
	{ "strays", SCHEMA_MAP, .map = &strays_map },
	{ "penalties", SCHEMA_MAP, AT(config_kernel, penalties), .map = &penalties_map },
	{ "events", SCHEMA_MAP, .map = &events_map },
	{ 0 }
};
const struct schema_map fields_kernel = {
	.what = "kernel", .place_offset = SCHEMA_NO_PLACE, .fields = kernel_fields,
};
