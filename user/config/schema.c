/* SPDX-License-Identifier: MIT */
/*
 * schema.c - see schema.h. Recursion follows the tables, whose depth is fixed, never the file.
 */
#include "config/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"
#include "config/scalar.h"
#include "config/schema_number.h"

void schema_store(void *object, const struct schema_field *field, uint64_t value)
{
	char *at = (char *)object + field->offset;

	switch (field->width) {
	case 0: /* a key with one value only, kept nowhere */
		break;
	case 1:
		*(uint8_t *)at = (uint8_t)value;
		break;
	case 2:
		*(uint16_t *)at = (uint16_t)value;
		break;
	case 4:
		*(uint32_t *)at = (uint32_t)value;
		break;
	default:
		*(uint64_t *)at = value;
	}
}

static void schema_store_text(struct reporter *reporter, void *object,
			      const struct schema_field *field, const char *text)
{
	char **at = (char **)((char *)object + field->offset);
	char *copy = strdup(text);

	if (!copy) {
		report_no_memory(reporter);
		return;
	}
	free(*at);
	*at = copy;
}

/* The burst stays 0 here, so that one that is read before the rate is known as such: check.c. */
static void schema_preset_rate(const struct schema_field *field, void *object)
{
	struct config_rate *rate = (struct config_rate *)((char *)object + field->offset);

	rate->interval_ns = field->preset ? 1000000000ull / field->preset : 0;
}

void schema_preset(struct reporter *reporter, const struct schema_map *map, void *object)
{
	for (const struct schema_field *field = map->fields; field->key; field++) {
		switch (field->type) {
		case SCHEMA_UINT:
		case SCHEMA_DURATION:
		case SCHEMA_SIZE:
		case SCHEMA_PERCENT:
		case SCHEMA_SHARE:
		case SCHEMA_FACTOR:
		case SCHEMA_BOOL:
		case SCHEMA_CHOICE:
		case SCHEMA_CUSTOM:
			schema_store(object, field, field->preset);
			break;
		case SCHEMA_TEXT:
			if (field->preset_text)
				schema_store_text(reporter, object, field, field->preset_text);
			break;
		case SCHEMA_MAP:
			schema_preset(reporter, field->map, (char *)object + field->offset);
			break;
		case SCHEMA_RATE:
			schema_preset_rate(field, object);
			break;
		case SCHEMA_LIST:
			break; /* none */
		}
	}
}

void schema_wrong_type(struct reporter *reporter, const char *key, const struct node *node,
		       const char *want)
{
	char quoted[REPORT_QUOTE_MAX];

	if (node->kind == NODE_BROKEN)
		return;
	if (scalar_is_null(node))
		report_error(reporter, node->place, "%s has no value, want %s", key, want);
	else if (node->kind == NODE_SCALAR)
		report_error(reporter, node->place, "%s is %s (%s), want %s", key,
			     node_describe(node), report_quote(quoted, node->text), want);
	else
		report_error(reporter, node->place, "%s is %s, want %s", key, node_describe(node),
			     want);
}

static void schema_read_bool(struct reporter *reporter, const struct schema_field *field,
			     const struct node *node, void *object)
{
	bool value;

	if (scalar_bool(node, &value) == SCALAR_OK)
		schema_store(object, field, value);
	else
		schema_wrong_type(reporter, field->key, node, "true or false");
}

static void schema_read_choice(struct reporter *reporter, const struct schema_field *field,
			       const struct node *node, void *object)
{
	const struct schema_choice *choice;
	char quoted[REPORT_QUOTE_MAX], want[SCHEMA_WANT_MAX];
	size_t len = 0;

	for (choice = field->choices; choice->name; choice++) {
		const char *between = "";

		if (node->kind == NODE_SCALAR && strcmp(node->text, choice->name) == 0) {
			schema_store(object, field, choice->value);
			return;
		}
		if (choice != field->choices)
			between = choice[1].name ? ", " : " or ";
		len += (size_t)snprintf(want + len, sizeof(want) - len, "%s%s", between,
					choice->name);
	}
	if (node->kind == NODE_SCALAR && !scalar_is_null(node))
		report_error(reporter, node->place, "%s %s is unknown, want %s", field->key,
			     report_quote(quoted, node->text), want);
	else
		schema_wrong_type(reporter, field->key, node, want);
}

static void schema_read_text(struct reporter *reporter, const struct schema_field *field,
			     const struct node *node, void *object)
{
	char quoted[REPORT_QUOTE_MAX], want[SCHEMA_WANT_MAX];
	const char *text, *wrong;

	if (scalar_text(node, &text) != SCALAR_OK) {
		bool scalar = node->kind == NODE_SCALAR && !scalar_is_null(node);

		snprintf(want, sizeof(want), "text such as %s%s", field->example,
			 scalar ? " (in quotes, where it looks like a number)" : "");
		schema_wrong_type(reporter, field->key, node, want);
		return;
	}
	wrong = field->check ? field->check(text) : NULL;
	if (wrong)
		report_error(reporter, node->place, "%s %s %s", field->key,
			     report_quote(quoted, text), wrong);
	else
		schema_store_text(reporter, object, field, text);
}

static void schema_walk(struct reporter *reporter, const struct schema_map *map,
			const struct node *node, void *object);

static void schema_read_list(struct reporter *reporter, const struct schema_field *field,
			     const struct node *node, void *object)
{
	void **items = (void **)((char *)object + field->offset);
	size_t *count = (size_t *)((char *)object + field->count_offset);
	const struct schema_map *map = field->map;
	bool one = field->flags & SCHEMA_OR_ONE && node->kind == NODE_MAPPING;
	size_t n = one ? 1 : node->n_children;
	const struct node *item;
	char want[SCHEMA_WANT_MAX];
	char *at;

	if (!one && node->kind != NODE_SEQUENCE) {
		snprintf(want, sizeof(want), "a sequence: \"- ...\" for each %s", map->what);
		schema_wrong_type(reporter, field->key, node, want);
		return;
	}
	if (n < field->min) {
		report_error(reporter, node->place, "%s is empty, want at least one: %s",
			     field->key, field->example);
		return;
	}
	if (n > field->max) {
		report_error(reporter, node->place, "%s has %zu items, want at most %" PRIu64,
			     field->key, n, field->max);
		return;
	}
	if (!n)
		return;
	at = *items = calloc(n, map->size);
	if (!at) {
		report_no_memory(reporter);
		return;
	}
	*count = n;
	for (item = one ? node : node->children; n--; item = item->next, at += map->size)
		schema_read(reporter, map, item, at);
}

static void schema_read_field(struct reporter *reporter, const struct schema_field *field,
			      const struct node *node, void *object)
{
	switch (field->type) {
	case SCHEMA_UINT:
	case SCHEMA_DURATION:
	case SCHEMA_SIZE:
	case SCHEMA_PERCENT:
	case SCHEMA_SHARE:
	case SCHEMA_FACTOR:
		schema_read_number(reporter, field, node, object);
		break;
	case SCHEMA_RATE:
		schema_read_rate(reporter, field, node, object);
		break;
	case SCHEMA_BOOL:
		schema_read_bool(reporter, field, node, object);
		break;
	case SCHEMA_CHOICE:
		schema_read_choice(reporter, field, node, object);
		break;
	case SCHEMA_TEXT:
		schema_read_text(reporter, field, node, object);
		break;
	case SCHEMA_MAP:
		schema_walk(reporter, field->map, node, (char *)object + field->offset);
		break;
	case SCHEMA_LIST:
		schema_read_list(reporter, field, node, object);
		break;
	case SCHEMA_CUSTOM:
		field->read(reporter, field, node, object);
		break;
	}
}

static void schema_unknown_key(struct reporter *reporter, const struct schema_map *map,
			       const struct node *child)
{
	const struct schema_field *field, *nearest = NULL;
	char quoted[REPORT_QUOTE_MAX], known[320];
	unsigned least = 0;
	size_t len = 0;

	report_quote(quoted, child->key);
	for (field = map->fields; field->key; field++) {
		unsigned distance = nearest_distance(child->key, field->key);

		if (nearest_is_slip(child->key, field->key, distance) &&
		    (!nearest || distance < least)) {
			nearest = field;
			least = distance;
		}
		if (len < sizeof(known))
			len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s",
						len ? ", " : "", field->key);
	}
	if (nearest)
		report_error(reporter, child->key_place,
			     "unknown key %s in %s, did you mean \"%s\"?", quoted, map->what,
			     nearest->key);
	else
		report_error(reporter, child->key_place, "unknown key %s in %s, want one of: %s",
			     quoted, map->what, known);
}

static void schema_walk(struct reporter *reporter, const struct schema_map *map,
			const struct node *node, void *object)
{
	const struct schema_field *field;
	const struct node *child;

	if (node->kind != NODE_MAPPING) {
		char want[SCHEMA_WANT_MAX];

		snprintf(want, sizeof(want), "a mapping: %s: ...", map->fields->key);
		schema_wrong_type(reporter, map->what, node, want);
		return;
	}
	if (map->place_offset != SCHEMA_NO_PLACE)
		*(struct config_place *)((char *)object + map->place_offset) = node->place;
	node_for_each(child, node) {
		if (child->duplicate)
			continue;
		for (field = map->fields; field->key; field++)
			if (strcmp(field->key, child->key) == 0)
				break;
		if (!field->key)
			schema_unknown_key(reporter, map, child);
		else if (child->kind != NODE_BROKEN)
			schema_read_field(reporter, field, child, object);
	}
	for (field = map->fields; field->key; field++)
		if (field->flags & SCHEMA_REQUIRED && !node_get(node, field->key))
			report_error(reporter, node->place, "%s without %s, want for example %s: %s",
				     map->what, field->key, field->key, field->example);
	if (map->finish)
		map->finish(reporter, node, object);
}

void schema_read(struct reporter *reporter, const struct schema_map *map, const struct node *node,
		 void *object)
{
	schema_preset(reporter, map, object);
	if (node->kind != NODE_BROKEN)
		schema_walk(reporter, map, node, object);
}
