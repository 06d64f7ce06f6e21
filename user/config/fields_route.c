/* SPDX-License-Identifier: MIT */
/*
 * fields_route.c - see fields.h: the tables of a route, and what must fit together in one. Groups
 * are looked up when all are read: check_routes.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "config/bounds.h"
#include "config/fields.h"
#include "config/fields_tables.h"
#include "config/values.h"

/* match */

#define KIND(kind) AT(config_metadata_condition, values), .min = kind

static const char *fields_check_value(const char *text)
{
	return strlen(text) <= BOUNDS_HEADER_VALUE ? NULL :
						     "is too long, want at most 4096 bytes";
}

static const char *fields_check_prefix(const char *text)
{
	return *text ? fields_check_value(text) : "is empty, want present: true for any value";
}

static const char *fields_check_regex(const char *text)
{
	if (!*text || strlen(text) > BOUNDS_REGEX)
		return "is empty or too long, want 1 to 1024 characters";
	return NULL;
}

static const struct schema_field condition_fields[] = {
	{ "key", SCHEMA_TEXT, SCHEMA_REQUIRED, AT(config_metadata_condition, key),
	  .example = "x-user", .check = values_check_key },
	{ "exact", SCHEMA_CUSTOM, KIND(METADATA_EXACT), .example = "alice",
	  .check = fields_check_value, .read = values_read_condition },
	{ "prefix", SCHEMA_CUSTOM, KIND(METADATA_PREFIX), .example = "test-",
	  .check = fields_check_prefix, .read = values_read_condition },
	{ "suffix", SCHEMA_CUSTOM, KIND(METADATA_SUFFIX), .example = "-test",
	  .check = fields_check_prefix, .read = values_read_condition },
	{ "regex", SCHEMA_CUSTOM, KIND(METADATA_REGEX), .example = "\"[a-z]+\"",
	  .check = fields_check_regex, .read = values_read_condition },
	{ "present", SCHEMA_CUSTOM, KIND(METADATA_PRESENT), .example = "true",
	  .read = values_read_condition },
	{ "absent", SCHEMA_CUSTOM, KIND(METADATA_ABSENT), .example = "true",
	  .read = values_read_condition },
	{ 0 }
};

static bool fields_is_base64(const char *text)
{
	uint8_t bytes[BOUNDS_HEADER_VALUE];

	return base64_decode(bytes, sizeof(bytes), text, strlen(text)) >= 0;
}

static void fields_finish_condition(struct reporter *reporter, const struct node *node,
				    void *object)
{
	const struct config_metadata_condition *condition = object;
	const struct node *child, *first = NULL;
	bool binary = condition->key && config_is_binary_key(condition->key);
	char quoted[REPORT_QUOTE_MAX];

	node_for_each(child, node) {
		if (strcmp(child->key, "key") == 0 || child->duplicate)
			continue;
		if (first)
			report_error(reporter, child->key_place,
				     "%s beside %s, want one of them for each key (another item for "
				     "a second)",
				     child->key, first->key);
		else
			first = child;
	}
	if (!first)
		report_error(reporter, node->place,
			     "metadata condition without exact, prefix, suffix, regex, present or "
			     "absent, want one of them");
	if (!binary || condition->match == METADATA_REGEX)
		return;
	for (size_t i = 0; i < condition->values.n; i++)
		if (!fields_is_base64(condition->values.items[i]))
			report_error(reporter, first->place, "%s %s is not base64, which keys that "
				     "end in -bin want", first->key,
				     report_quote(quoted, condition->values.items[i]));
}

static const struct schema_map condition_map = {
	.what = "metadata condition", .size = sizeof(struct config_metadata_condition),
	.place_offset = offsetof(struct config_metadata_condition, place),
	.fields = condition_fields, .finish = fields_finish_condition,
};

static const struct schema_field match_fields[] = {
	{ "host", SCHEMA_CUSTOM, AT(config_match, hosts), .example = "api.example.com",
	  .check = values_check_host, .read = values_read_names },
	{ "path", SCHEMA_CUSTOM, ARRAY_OF(config_match, paths, n_paths),
	  .example = "/package.Service/Method", .read = values_read_paths },
	{ "metadata", SCHEMA_LIST, SCHEMA_OR_ONE, ARRAY_OF(config_match, metadata, n_metadata),
	  .min = 1, .max = BOUNDS_CONDITIONS, .map = &condition_map,
	  .example = "[{key: x-user, exact: alice}]" },
	{ "source", SCHEMA_CUSTOM, SCHEMA_OR_ONE, ARRAY_OF(config_match, sources, n_sources),
	  .max = BOUNDS_SOURCES, .example = "10.0.0.0/8", .read = values_read_prefixes },
	{ "sni", SCHEMA_CUSTOM, AT(config_match, snis), .example = "api.example.com",
	  .check = values_check_host, .read = values_read_names },
	{ "san", SCHEMA_CUSTOM, AT(config_match, sans), .example = "client.example.com",
	  .check = values_check_san, .read = values_read_names },
	{ 0 }
};
static const struct schema_map match_map = {
	.what = "match", .place_offset = SCHEMA_NO_PLACE, .fields = match_fields,
};

/* action */

static const struct schema_field split_fields[] = {
	{ "name", SCHEMA_CUSTOM, SCHEMA_REQUIRED, .example = "greeter",
	  .read = values_read_group_reference },
	{ "weight", SCHEMA_UINT, SCHEMA_REQUIRED, NUMBER(config_split, weight),
	  .max = BOUNDS_WEIGHT, .example = "90" },
	{ 0 }
};
static const struct schema_map split_map = {
	.what = "groups item", .size = sizeof(struct config_split),
	.place_offset = SCHEMA_NO_PLACE, .fields = split_fields,
};

static void fields_finish_status(struct reporter *reporter, const struct node *node, void *object)
{
	struct config_route *route = object;

	if (!route->message)
		route->message = values_copy(reporter, "", false);
}

static const struct schema_field status_fields[] = {
	{ "code", SCHEMA_CUSTOM, SCHEMA_REQUIRED, NUMBER(config_route, status),
	  .preset = UINT64_MAX, .example = "UNAVAILABLE", .read = values_read_code },
	{ "message", SCHEMA_TEXT, AT(config_route, message), .example = "closed for repairs",
	  .check = values_check_message },
	{ 0 }
};
static const struct schema_map status_map = {
	.what = "status", .place_offset = SCHEMA_NO_PLACE, .fields = status_fields,
	.finish = fields_finish_status,
};

static const struct schema_field mirror_fields[] = {
	{ "group", SCHEMA_CUSTOM, SCHEMA_REQUIRED, NUMBER(config_route, mirror_group),
	  .preset = CONFIG_NO_GROUP, .example = "shadow", .read = values_read_group_reference },
	{ "share", SCHEMA_SHARE, SCHEMA_REQUIRED, NUMBER(config_route, mirror_permyriad), .min = 1,
	  .max = 10000, .example = "5%" },
	{ 0 }
};
static const struct schema_map mirror_map = {
	.what = "mirror", .place_offset = SCHEMA_NO_PLACE, .fields = mirror_fields,
};

/* changes */

#define EDITS(which)                                                                               \
	{ "remove", SCHEMA_CUSTOM, AT(config_route, which), .example = "[x-debug]",                \
	  .read = values_read_remove },                                                            \
	{ "set", SCHEMA_CUSTOM, AT(config_route, which), .example = "\"{client.ip}\"",             \
	  .read = values_read_set },                                                               \
	{ "add", SCHEMA_CUSTOM, AT(config_route, which), .example = "\"{client.ip}\"",             \
	  .read = values_read_add }
static const struct schema_field request_fields[] = { EDITS(request), { 0 } };
static const struct schema_field response_fields[] = { EDITS(response), { 0 } };
static const struct schema_map request_map = {
	.what = "request", .place_offset = SCHEMA_NO_PLACE, .fields = request_fields,
};
static const struct schema_map response_map = {
	.what = "response", .place_offset = SCHEMA_NO_PLACE, .fields = response_fields,
};

static void fields_finish_rewrite(struct reporter *reporter, const struct node *node, void *object)
{
	const struct node *prefix = node_get(node, "prefix"), *to = node_get(node, "to");

	if (prefix && !to)
		report_error(reporter, prefix->key_place, "prefix without to, want both");
	else if (to && !prefix)
		report_error(reporter, to->key_place, "to without prefix, want both");
}

static const struct schema_field rewrite_fields[] = {
	{ "authority", SCHEMA_CUSTOM, AT(config_route, rewrite_authority),
	  .example = "greeter.example", .read = values_read_authority },
	{ "prefix", SCHEMA_TEXT, AT(config_route, rewrite_prefix), .example = "/old.",
	  .check = values_check_path_prefix },
	{ "to", SCHEMA_TEXT, AT(config_route, rewrite_to), .example = "/new.",
	  .check = values_check_path_prefix },
	{ 0 }
};
static const struct schema_map rewrite_map = {
	.what = "rewrite", .place_offset = SCHEMA_NO_PLACE, .fields = rewrite_fields,
	.finish = fields_finish_rewrite,
};

/* limits, time, retries */

static void fields_finish_limits(struct reporter *reporter, const struct node *node, void *object)
{
	static const char *const of_calls[] = { "burst", "key" };
	const struct node *child;

	for (size_t i = 0; i < sizeof(of_calls) / sizeof(of_calls[0]); i++) {
		child = node_get(node, of_calls[i]);
		if (child && !node_get(node, "calls"))
			report_error(reporter, child->key_place,
				     "%s without calls, want for example calls: 100/s",
				     of_calls[i]);
	}
}

static const struct schema_field limit_fields[] = {
	{ "calls", SCHEMA_RATE, AT(config_route, calls), .min = 1, .max = 10000000 },
	{ "burst", SCHEMA_UINT, NUMBER(config_route, calls.burst), .min = 1, .max = 10000000 },
	{ "key", SCHEMA_CUSTOM, AT(config_route, calls_key), .example = "metadata:x-user",
	  .read = values_read_key },
	{ "concurrent", SCHEMA_UINT, NUMBER(config_route, max_calls), .max = 1000000 },
	{ 0 }
};
static const struct schema_map limits_map = {
	.what = "limits", .place_offset = SCHEMA_NO_PLACE, .fields = limit_fields,
	.finish = fields_finish_limits,
};

static void fields_finish_timeouts(struct reporter *reporter, const struct node *node, void *object)
{
	const struct config_route *route = object;
	const struct node *preset = node_get(node, "default");

	if (preset && route->max_timeout_ms && route->default_timeout_ms > route->max_timeout_ms)
		report_error(reporter, preset->place,
			     "default is longer than max, want default at most max");
}

static const struct schema_field timeout_fields[] = {
	{ "default", SCHEMA_DURATION, SCHEMA_OR_ZERO, NUMBER(config_route, default_timeout_ms),
	  .min = 1, .max = 24 * HOUR },
	{ "max", SCHEMA_DURATION, SCHEMA_OR_ZERO, NUMBER(config_route, max_timeout_ms), .min = 1,
	  .max = 24 * HOUR },
	{ "idle", SCHEMA_DURATION, SCHEMA_OR_ZERO, NUMBER(config_route, idle_timeout_ms),
	  .min = 100, .max = 24 * HOUR },
	{ "max_age", SCHEMA_DURATION, SCHEMA_OR_ZERO, NUMBER(config_route, max_age_ms), .min = 100,
	  .max = WEEK },
	{ 0 }
};
static const struct schema_map timeouts_map = {
	.what = "timeouts", .place_offset = SCHEMA_NO_PLACE, .fields = timeout_fields,
	.finish = fields_finish_timeouts,
};

static void fields_finish_retry(struct reporter *reporter, const struct node *node, void *object)
{
	const struct config_retry *retry = &((struct config_route *)object)->retry;
	const struct node *backoff = node_get(node, "backoff");

	if (!node_get(node, "codes") && !retry->on_reset)
		report_error(reporter, node->place,
			     "retry without codes or on_reset, want for example codes: "
			     "[UNAVAILABLE]");
	if (retry->backoff_base_ms > retry->backoff_max_ms)
		report_error(reporter, backoff ? backoff->place : node->place,
			     "backoff base is longer than max, want base at most max");
	if (node_get(node, "budget") && !retry->budget_percent && !retry->budget_floor)
		report_warning(reporter, node_get(node, "budget")->place,
			       "a budget of 0%% and floor 0 allows no retry");
}

static const struct schema_field backoff_fields[] = {
	{ "base", SCHEMA_DURATION, NUMBER(config_route, retry.backoff_base_ms), .min = 1,
	  .max = MINUTE, .preset = 25 },
	{ "max", SCHEMA_DURATION, NUMBER(config_route, retry.backoff_max_ms), .min = 1,
	  .max = 10 * MINUTE, .preset = 250 },
	{ 0 }
};
static const struct schema_map backoff_map = {
	.what = "backoff", .place_offset = SCHEMA_NO_PLACE, .fields = backoff_fields,
};
static const struct schema_field budget_fields[] = {
	{ "share", SCHEMA_PERCENT, NUMBER(config_route, retry.budget_percent), .max = 100,
	  .preset = 20 },
	{ "floor", SCHEMA_UINT, NUMBER(config_route, retry.budget_floor), .max = 100000,
	  .preset = 10 },
	{ 0 }
};
static const struct schema_map budget_map = {
	.what = "budget", .place_offset = SCHEMA_NO_PLACE, .fields = budget_fields,
};

static const struct schema_field retry_fields[] = {
	{ "codes", SCHEMA_CUSTOM, NUMBER(config_route, retry.codes), .min = 1, .max = 16,
	  .example = "[UNAVAILABLE, 10]", .read = values_read_codes },
	{ "on_reset", SCHEMA_BOOL, NUMBER(config_route, retry.on_reset) },
	{ "attempts", SCHEMA_UINT, NUMBER(config_route, retry.attempts), .min = 2,
	  .max = BOUNDS_ATTEMPTS, .preset = 2 },
	{ "per_try_timeout", SCHEMA_DURATION, SCHEMA_OR_ZERO,
	  NUMBER(config_route, retry.per_try_timeout_ms), .min = 1, .max = HOUR },
	{ "backoff", SCHEMA_MAP, .map = &backoff_map },
	{ "budget", SCHEMA_MAP, .map = &budget_map },
	{ 0 }
};
static const struct schema_map retry_map = {
	.what = "retry", .place_offset = SCHEMA_NO_PLACE, .fields = retry_fields,
	.finish = fields_finish_retry,
};

/* Just one of group, groups and status; and nothing beside it that goes with another. */
static void fields_finish_route(struct reporter *reporter, const struct node *node, void *object)
{
	static const char *const actions[] = { "group", "groups", "status" };
	static const char *const of_groups[] = { "mirror", "rewrite", "retry", "request",
						 "response", "timeouts" };
	const struct node *child, *first = NULL, *sticky = node_get(node, "sticky");

	node_for_each(child, node) {
		bool action = false;

		for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
			action |= !child->duplicate && strcmp(child->key, actions[i]) == 0;
		if (action && first)
			report_error(reporter, child->key_place,
				     "%s beside %s on line %u, want one action for a route",
				     child->key, first->key, first->key_place.line);
		else if (action)
			first = child;
	}
	if (!first)
		report_error(reporter, node->place,
			     "route without group, groups or status, want one of them");
	if (sticky && !node_get(node, "groups"))
		report_error(reporter, sticky->key_place,
			     "sticky without groups, want groups: [{name: ..., weight: ...}, ...]");
	if (!first || strcmp(first->key, "status"))
		return;
	for (size_t i = 0; i < sizeof(of_groups) / sizeof(of_groups[0]); i++) {
		child = node_get(node, of_groups[i]);
		if (child)
			report_error(reporter, child->key_place,
				     "%s with status, which sends the call nowhere: want a group, or "
				     "no %s",
				     of_groups[i], of_groups[i]);
	}
}

static const struct schema_field route_fields[] = {
	{ "name", SCHEMA_TEXT, AT(config_route, name), .example = "canary",
	  .check = values_check_name },
	{ "match", SCHEMA_MAP, AT(config_route, match), .map = &match_map },
	{ "group", SCHEMA_CUSTOM, .example = "greeter", .read = values_read_group_reference },
	{ "groups", SCHEMA_LIST, ARRAY_OF(config_route, splits, n_splits), .min = 1,
	  .max = BOUNDS_SPLITS, .map = &split_map,
	  .example = "[{name: stable, weight: 90}, {name: canary, weight: 10}]" },
	{ "status", SCHEMA_MAP, .map = &status_map },
	{ "sticky", SCHEMA_CUSTOM, AT(config_route, sticky), .example = "metadata:x-user",
	  .read = values_read_key },
	{ "mirror", SCHEMA_MAP, .map = &mirror_map },
	{ "request", SCHEMA_MAP, .map = &request_map },
	{ "response", SCHEMA_MAP, .map = &response_map },
	{ "rewrite", SCHEMA_MAP, .map = &rewrite_map },
	{ "limits", SCHEMA_MAP, .map = &limits_map },
	{ "timeouts", SCHEMA_MAP, .map = &timeouts_map },
	{ "retry", SCHEMA_MAP, .map = &retry_map },
	{ 0 }
};
const struct schema_map fields_route = {
	.what = "route", .size = sizeof(struct config_route),
	.place_offset = offsetof(struct config_route, place), .fields = route_fields,
	.finish = fields_finish_route,
};
