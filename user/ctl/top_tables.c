/* SPDX-License-Identifier: MIT */
/*
 * top_tables.c - see top_tables.h. Called by top_lines.c; sorts and writes cells.
 */
#include "ctl/top_tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/format.h"

static bool is(const json_t *row, const char *key, const char *value)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text && !strcmp(text, value);
}

static double number(const json_t *row, const char *key)
{
	return json_number_value(json_object_get(row, key));
}

static enum top_style verdict_style(const json_t *row)
{
	const char *name = json_string_value(json_object_get(row, "verdict"));

	if (number(row, "packets_per_second") <= 0)
		return TOP_DIM;
	return name && !strncmp(name, "pass_", 5) ? TOP_PLAIN : TOP_BAD;
}

static bool verdict_shown(const json_t *row)
{
	return number(row, "packets") > 0;
}

static enum top_style listener_style(const json_t *row)
{
	if (is(row, "state", "drained"))
		return TOP_DIM;
	return number(row, "dropped_per_second") > 0 ? TOP_BAD : TOP_PLAIN;
}

static enum top_style group_style(const json_t *row)
{
	return number(row, "live") < 1 || json_is_true(json_object_get(row, "panic")) ? TOP_BAD :
										       TOP_PLAIN;
}

static enum top_style backend_style(const json_t *row)
{
	if (is(row, "health", "down") || is(row, "ejected", "ejected"))
		return TOP_BAD;
	return json_is_true(json_object_get(row, "drained")) || number(row, "weight") < 1 ?
		       TOP_DIM :
		       TOP_PLAIN;
}

static enum top_style worker_style(const json_t *row)
{
	return is(row, "state", "live") ? TOP_PLAIN : TOP_BAD;
}

static enum top_style source_style(const json_t *row)
{
	return number(row, "per_second") > 0 ? TOP_BAD : TOP_DIM;
}

const struct top_table top_tables[TOP_VIEWS] = {
	[TOP_VERDICTS] = {
		.rows = "verdicts",
		.columns = {
			{ "VERDICT", "verdict", TOP_TEXT, 24 },
			{ "PACKETS/S", "packets_per_second", TOP_RATE, 12 },
			{ "BYTES/S", "bytes_per_second", TOP_BYTES, 9 },
			{ "PACKETS", "packets", TOP_COUNT, 18 },
			{ "MEANING", "meaning", TOP_TEXT, 80 },
		},
		.sort = 1, .style = verdict_style, .shown = verdict_shown,
		.none = "no verdicts: the kernel side is off",
	},
	[TOP_LISTENERS] = {
		.rows = "listeners",
		.columns = {
			{ "LISTENER", "name", TOP_TEXT, 24 },
			{ "STATE", "state", TOP_TEXT, 10 },
			{ "SYN/S", "syns_per_second", TOP_RATE, 12 },
			{ "PASSED/S", "passed_per_second", TOP_RATE, 12 },
			{ "DROPPED/S", "dropped_per_second", TOP_RATE, 12 },
			{ "COOKIES/S", "cookies_per_second", TOP_RATE, 12 },
			{ "PACKETS/S", "packets_per_second", TOP_RATE, 12 },
			{ "ADDRESS", "address", TOP_TEXT, 48 },
		},
		.sort = -1, .style = listener_style, .none = "no listeners",
	},
	[TOP_GROUPS] = {
		.rows = "groups",
		.columns = {
			{ "GROUP", "name", TOP_TEXT, 24 },
			{ "LIVE", "live", TOP_COUNT, 7 },
			{ "TOTAL", "total", TOP_COUNT, 7 },
			{ "SERVES", "serves", TOP_TEXT, 11 },
			{ "ACTIVE", "active_rpcs", TOP_COUNT, 12 },
			{ "CALLS/S", "calls_per_second", TOP_RATE, 12 },
			{ "PENDING", "pending", TOP_COUNT, 9 },
			{ "REFUSED/S", "overflows_per_second", TOP_RATE, 10 },
			{ "EJECTED", "ejected", TOP_COUNT, 7 },
			{ "DRAINED", "drained", TOP_COUNT, 7 },
		},
		.sort = -1, .style = group_style, .none = "no groups",
	},
	[TOP_BACKENDS] = {
		.rows = "backends",
		.columns = {
			{ "BACKEND", "address", TOP_TEXT, 47 },
			{ "GROUP", "group", TOP_TEXT, 16 },
			{ "HEALTH", "health", TOP_TEXT, 8 },
			{ "WEIGHT", "weight", TOP_COUNT, 6 },
			{ "ACTIVE", "active_rpcs", TOP_COUNT, 9 },
			{ "CALLS/S", "calls_per_second", TOP_RATE, 12 },
			{ "FAILED/S", "failures_per_second", TOP_RATE, 10 },
			{ "CONNS", "connections", TOP_COUNT, 7 },
			{ "NOTE", "note", TOP_TEXT, 80 },
		},
		.sort = -1, .style = backend_style, .none = "no backends",
	},
	[TOP_WORKERS] = {
		.rows = "workers",
		.columns = {
			{ "WORKER", "slot", TOP_ID, 6 },
			{ "PID", "pid", TOP_ID, 8 },
			{ "STATE", "state", TOP_TEXT, 9 },
			{ "CONNS", "connections", TOP_COUNT, 9 },
			{ "ACTIVE", "active_rpcs", TOP_COUNT, 9 },
			{ "CALLS/S", "calls_per_second", TOP_RATE, 12 },
			{ "FAILED/S", "calls_failed_per_second", TOP_RATE, 10 },
			{ "ACCEPT/S", "accepted_per_second", TOP_RATE, 10 },
			{ "TLS/S", "handshakes_per_second", TOP_RATE, 10 },
			{ "BUFFERED", "buffered_bytes", TOP_BYTES, 9 },
		},
		.sort = -1, .style = worker_style, .none = "no workers",
	},
	[TOP_SOURCES_VIEW] = {
		.rows = "sources",
		.columns = {
			{ "SOURCE", "source", TOP_TEXT, 46 },
			{ "DROPPED/S", "per_second", TOP_RATE, 12 },
			{ "SEEN", "total", TOP_COUNT, 12 },
			{ "CONNS", "connections", TOP_COUNT, 9 },
			{ "POINTS", "points", TOP_COUNT, 9 },
			{ "LEFT", "left_seconds", TOP_SECONDS, 8 },
			{ "WHY", "why", TOP_TEXT, 60 },
		},
		.sort = 1, .style = source_style, .none = "no source was dropped, and none is counted",
	},
};

const char *top_cell(const json_t *row, const struct top_column *column, char *text, size_t size)
{
	const json_t *value = json_object_get(row, column->key);
	double n = json_number_value(value);
	const char *string;

	if (!value)
		return "-";
	switch (column->kind) {
	case TOP_COUNT:
		return format_count(n > 0 ? (uint64_t)n : 0, text, size);
	case TOP_ID:
		snprintf(text, size, "%.0f", n);
		return text;
	case TOP_BYTES:
		return format_bytes(n > 0 ? (uint64_t)n : 0, text, size);
	case TOP_SECONDS:
		return format_seconds(n, text, size);
	case TOP_RATE:
		if (n <= 0 || n >= 100)
			return format_count(n > 0 ? (uint64_t)(n + 0.5) : 0, text, size);
		snprintf(text, size, "%.1f", n);
		return text;
	case TOP_TEXT:
		break;
	}
	string = json_string_value(value);
	return string && *string ? string : "-";
}

/* ---- order ---- */

struct sorting {
	const struct top_column *column;
	bool rising;
};

struct sorted {
	const json_t *row;
	size_t at; /* before: equal rows keep their order */
};

static int compare(const void *a, const void *b, void *context)
{
	const struct sorting *sorting = context;
	const struct sorted *left = a, *right = b;
	const json_t *x = json_object_get(left->row, sorting->column->key);
	const json_t *y = json_object_get(right->row, sorting->column->key);
	int order;

	if (json_is_string(x) && json_is_string(y))
		order = strcmp(json_string_value(x), json_string_value(y));
	else
		order = (json_number_value(x) > json_number_value(y)) -
			(json_number_value(x) < json_number_value(y));
	if (!order)
		return (left->at > right->at) - (left->at < right->at);
	return sorting->rising ? order : -order;
}

void top_sort(const json_t **rows, size_t n, const struct top_column *column, bool rising)
{
	struct sorting sorting = { column, rising };
	struct sorted *sorted = calloc(n + 1, sizeof(*sorted));

	for (size_t i = 0; sorted && i < n; i++)
		sorted[i] = (struct sorted){ rows[i], i };
	if (sorted)
		qsort_r(sorted, n, sizeof(*sorted), compare, &sorting);
	for (size_t i = 0; sorted && i < n; i++)
		rows[i] = sorted[i].row;
	free(sorted);
}
