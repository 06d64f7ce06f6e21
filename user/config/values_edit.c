/* SPDX-License-Identifier: MIT */
/*
 * values_edit.c - see values.h: what a route changes, and by what it tells calls apart.
 */
#include "config/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/bounds.h"
#include "config/template.h"

/* Those that are about the connection (RFC 9113 8.2.2), that HTTP/2 has a pseudo-header for, or
 * that a gRPC call or sluice itself lives by. */
static const char *const values_fixed_keys[] = {
	"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "host",
	"content-type", "content-length", "trailer", NULL,
};

static const char *values_check_key_text(const char *text)
{
	if (!*text || strlen(text) > BOUNDS_HEADER_KEY)
		return "is empty or too long, want 1 to 256 characters";
	if (*text == ':')
		return "is a pseudo-header, want a metadata key (rewrite changes :authority and "
		       ":path)";
	for (const char *p = text; *p; p++) {
		if (*p >= 'A' && *p <= 'Z')
			return "has large letters, want a key in small ones";
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9') && !strchr("-_.", *p))
			return "has a character that metadata keys cannot have, want small letters, "
			       "digits, -, _ and . only";
	}
	return NULL;
}

const char *values_check_key(const char *text)
{
	return values_check_key_text(text);
}

const char *values_check_edit_key(const char *text)
{
	const char *wrong = values_check_key_text(text);

	if (wrong)
		return wrong;
	if (strncmp(text, "grpc-", 5) == 0)
		return "is reserved by gRPC, want another key";
	for (const char *const *fixed = values_fixed_keys; *fixed; fixed++)
		if (strcmp(text, *fixed) == 0)
			return "is what the call itself rests on, want another key";
	return NULL;
}

const char *values_check_message(const char *text)
{
	return strlen(text) <= BOUNDS_MESSAGE ? NULL : "is too long, want at most 512 bytes";
}

const char *values_check_authority(const char *text)
{
	if (!*text || strlen(text) > HEALTH_SERVICE_MAX)
		return "is empty or too long, want 1 to 255 characters";
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f || strchr("/@?#\\", *p))
			return "has a character that authorities cannot have, want greeter.example "
			       "or greeter.example:443";
	return NULL;
}

/* Where the byte at stands in the file, as far as no escapes come before it. */
static struct config_place values_place_inside(const struct node *node, size_t at)
{
	struct config_place place = node->place;

	place.column += node->quoted;
	for (size_t i = 0; i < at; i++)
		place.column += (node->text[i] & 0xc0) != 0x80;
	return place;
}

/* text is a good value of a header once filled in; or reported. */
static bool values_check_template(struct reporter *reporter, const struct schema_field *field,
				  const char *key, const struct node *node)
{
	bool response = field->offset == offsetof(struct config_route, response);
	char quoted[REPORT_QUOTE_MAX];
	size_t at = 0, len = strlen(node->text);
	const char *wrong;

	report_quote(quoted, key);
	if (len > BOUNDS_HEADER_VALUE) {
		report_error(reporter, node->place, "value of %s has %zu bytes, want at most %d",
			     quoted, len, BOUNDS_HEADER_VALUE);
		return false;
	}
	for (at = 0; at < len; at++) {
		if (node->text[at] >= 0x20 && node->text[at] <= 0x7e)
			continue;
		report_error(reporter, values_place_inside(node, at),
			     "value of %s has a character that metadata cannot have, want printable "
			     "ASCII",
			     quoted);
		return false;
	}
	if (len && (node->text[0] == ' ' || node->text[len - 1] == ' ')) {
		report_error(reporter, node->place,
			     "value of %s begins or ends with a space, want it without", quoted);
		return false;
	}
	wrong = template_check(node->text, response, &at);
	if (wrong)
		report_error(reporter, values_place_inside(node, at), "value of %s: %s", quoted,
			     wrong);
	return !wrong;
}

void values_read_authority(struct reporter *reporter, const struct schema_field *field,
			   const struct node *node, void *object)
{
	const char *text = values_text(reporter, field, node);
	char quoted[REPORT_QUOTE_MAX];

	if (!text || !values_check_template(reporter, field, field->key, node))
		return;
	if (strpbrk(text, " /@?#\\") || !*text) {
		report_error(reporter, node->place,
			     "%s %s is no authority, want one such as greeter.example:443",
			     field->key, report_quote(quoted, text));
		return;
	}
	*(char **)values_at(object, field) = values_copy(reporter, text, false);
}

/* Room for one more, behind those of op and before those of later ones. NULL: reported. */
static struct config_edit *values_add_edit(struct reporter *reporter, struct config_edits *edits,
					   enum config_edit_op op, const struct node *node)
{
	static const unsigned rank[] = { [EDIT_REMOVE] = 0, [EDIT_SET] = 1, [EDIT_ADD] = 2 };
	struct config_edit *items;
	size_t at = edits->n;

	if (edits->n == BOUNDS_EDITS) {
		report_error(reporter, node->place, "more than %d changes, want fewer",
			     BOUNDS_EDITS);
		return NULL;
	}
	items = realloc(edits->items, (edits->n + 1) * sizeof(*items));
	if (!items) {
		report_no_memory(reporter);
		return NULL;
	}
	edits->items = items;
	while (at && rank[items[at - 1].op] > rank[op])
		at--;
	memmove(&items[at + 1], &items[at], (edits->n - at) * sizeof(*items));
	edits->n++;
	items[at] = (struct config_edit){ .op = op };
	return &items[at];
}

/* key: where it stands. value: NULL for EDIT_REMOVE. */
static void values_read_edit(struct reporter *reporter, const struct schema_field *field,
			     enum config_edit_op op, const char *key, struct config_place place,
			     const struct node *node, void *object)
{
	struct config_edits *edits = values_at(object, field);
	const char *wrong = values_check_edit_key(key);
	char quoted[REPORT_QUOTE_MAX];
	struct config_edit *edit;

	if (wrong) {
		report_error(reporter, place, "%s %s %s", field->key, report_quote(quoted, key),
			     wrong);
		return;
	}
	if (op != EDIT_REMOVE && (!values_text(reporter, field, node) ||
				  !values_check_template(reporter, field, key, node)))
		return;
	edit = values_add_edit(reporter, edits, op, node);
	if (!edit)
		return;
	edit->place = place;
	edit->key = values_copy(reporter, key, false);
	edit->value = op == EDIT_REMOVE ? NULL : values_copy(reporter, node->text, false);
}

void values_read_remove(struct reporter *reporter, const struct schema_field *field,
			const struct node *node, void *object)
{
	bool one = node->kind != NODE_SEQUENCE;
	size_t n = one ? 1 : node->n_children;
	const struct node *item;

	for (item = one ? node : node->children; n--; item = item->next) {
		const char *text = values_text(reporter, field, item);

		if (text)
			values_read_edit(reporter, field, EDIT_REMOVE, text, item->place, item,
					 object);
	}
}

static void values_read_edits(struct reporter *reporter, const struct schema_field *field,
			      enum config_edit_op op, const struct node *node, void *object)
{
	const struct node *child;

	if (node->kind != NODE_MAPPING) {
		schema_wrong_type(reporter, field->key, node,
				  "a mapping of keys to values: {x-client-ip: \"{client.ip}\"}");
		return;
	}
	node_for_each(child, node)
		if (!child->duplicate && child->kind != NODE_BROKEN)
			values_read_edit(reporter, field, op, child->key, child->key_place, child,
					 object);
}

void values_read_set(struct reporter *reporter, const struct schema_field *field,
		     const struct node *node, void *object)
{
	values_read_edits(reporter, field, EDIT_SET, node, object);
}

void values_read_add(struct reporter *reporter, const struct schema_field *field,
		     const struct node *node, void *object)
{
	values_read_edits(reporter, field, EDIT_ADD, node, object);
}

void values_read_key(struct reporter *reporter, const struct schema_field *field,
		     const struct node *node, void *object)
{
	static const char want[] = "source, san, path or metadata:KEY";
	const char *text = values_text(reporter, field, node), *wrong;
	struct config_key *key = values_at(object, field);
	char quoted[REPORT_QUOTE_MAX];

	if (!text)
		return;
	report_quote(quoted, text);
	if (strcmp(text, "source") == 0) {
		key->source = KEY_SOURCE;
	} else if (strcmp(text, "san") == 0) {
		key->source = KEY_SAN;
	} else if (strcmp(text, "path") == 0) {
		key->source = KEY_PATH;
	} else if (strncmp(text, "metadata:", 9) == 0) {
		wrong = values_check_key(text + 9);
		if (wrong) {
			report_error(reporter, node->place, "%s %s %s", field->key, quoted, wrong);
			return;
		}
		key->source = KEY_METADATA;
		key->metadata = values_copy(reporter, text + 9, false);
	} else {
		report_error(reporter, node->place, "%s %s is unknown, want %s", field->key, quoted,
			     want);
	}
}
