/* SPDX-License-Identifier: MIT */
/*
 * values_codes.c - see values.h: gRPC status codes, by name or number.
 */
#include "config/values.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "config/nearest.h"
#include "config/scalar.h"

#define VALUES_CODE_WANT_MAX 96

/* By number, as gRPC's statuscodes.md has them. */
static const char *const values_code_names[] = {
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
	"ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
	"ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
	"UNAUTHENTICATED",
};
#define VALUES_CODE_NAMES (sizeof(values_code_names) / sizeof(values_code_names[0]))

/* "5" or "4-7". False: neither. */
static bool values_code_range(const char *text, uint64_t *from, uint64_t *to)
{
	unsigned first, last;
	int used = 0;

	if (!isdigit((unsigned char)*text) || strlen(text) > 5)
		return false;
	if (sscanf(text, "%2u%n", &first, &used) != 1)
		return false;
	last = first;
	if (text[used]) {
		int more = 0;

		if (text[used] != '-' || !isdigit((unsigned char)text[used + 1]) ||
		    sscanf(text + used + 1, "%2u%n", &last, &more) != 1 ||
		    text[used + 1 + more])
			return false;
	}
	*from = first;
	*to = last;
	return first <= last;
}

/* The code's number in *code; false: no code's name. */
static bool values_code_named(const char *text, uint64_t *code)
{
	for (uint64_t i = 0; i < VALUES_CODE_NAMES; i++) {
		if (strcmp(text, values_code_names[i]) == 0) {
			*code = i;
			return true;
		}
	}
	return false;
}

/* The name that text is a slip of (or has in small letters), or NULL. */
static const char *values_code_nearest(const char *text)
{
	const char *nearest = NULL;
	unsigned least = 0;

	for (size_t i = 0; i < VALUES_CODE_NAMES; i++) {
		const char *name = values_code_names[i];
		unsigned distance = strcasecmp(text, name) ? nearest_distance(text, name) : 0;

		if (strlen(text) > 2 && nearest_is_slip(text, name, distance) &&
		    (!nearest || distance < least)) {
			nearest = name;
			least = distance;
		}
	}
	return nearest;
}

static void values_report_code(struct reporter *reporter, const struct node *node,
			       const char *want)
{
	const char *nearest = values_code_nearest(node->text);
	char quoted[REPORT_QUOTE_MAX];

	report_quote(quoted, node->text);
	if (nearest)
		report_error(reporter, node->place, "bad code %s, did you mean %s?", quoted,
			     nearest);
	else
		report_error(reporter, node->place, "bad code %s, want %s", quoted, want);
}

void values_read_codes(struct reporter *reporter, const struct schema_field *field,
		       const struct node *node, void *object)
{
	const struct node *item;
	char want[VALUES_CODE_WANT_MAX];
	uint64_t bits = 0, from = 0, to = 0;

	snprintf(want, sizeof(want), "grpc-status names, numbers %u to %u or ranges: %s",
		 (unsigned)field->min, (unsigned)field->max, field->example);
	if (node->kind != NODE_SEQUENCE) {
		schema_wrong_type(reporter, field->key, node, want);
		return;
	}
	if (!node->n_children) {
		report_error(reporter, node->place, "codes is empty, want %s", want);
		return;
	}
	node_for_each(item, node) {
		if (item->kind != NODE_SCALAR || scalar_is_null(item)) {
			schema_wrong_type(reporter, "code", item, want);
			continue;
		}
		if (values_code_named(item->text, &from))
			to = from;
		else if (!values_code_range(item->text, &from, &to)) {
			values_report_code(reporter, item, want);
			continue;
		}
		if (from < field->min || to > field->max) {
			char quoted[REPORT_QUOTE_MAX];

			report_error(reporter, item->place, "bad code %s, want %s",
				     report_quote(quoted, item->text), want);
			continue;
		}
		for (; from <= to; from++)
			bits |= 1ull << from;
	}
	if (field->width == sizeof(uint32_t))
		*(uint32_t *)values_at(object, field) = (uint32_t)bits;
	else
		*(uint64_t *)values_at(object, field) = bits;
}

void values_read_code(struct reporter *reporter, const struct schema_field *field,
		      const struct node *node, void *object)
{
	static const char want[] = "a grpc-status such as UNAVAILABLE, or its number 0 to 16";
	uint64_t code = 0;

	if (node->kind != NODE_SCALAR || scalar_is_null(node))
		schema_wrong_type(reporter, field->key, node, want);
	else if (!values_code_named(node->text, &code) &&
		 (scalar_uint(node, &code) != SCALAR_OK || code >= VALUES_CODE_NAMES))
		values_report_code(reporter, node, want);
	else
		*(int *)values_at(object, field) = (int)code;
}
