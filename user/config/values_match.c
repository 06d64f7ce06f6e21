/* SPDX-License-Identifier: MIT */
/*
 * values_match.c - see values.h: what a route asks of a call.
 */
#include "config/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/bounds.h"
#include "config/scalar.h"

/* One item of texts, or false: reported. */
static bool values_read_one_text(struct reporter *reporter, const struct schema_field *field,
				 const struct node *node, bool lower, char **out)
{
	const char *text = values_text(reporter, field, node), *wrong;
	char quoted[REPORT_QUOTE_MAX];

	if (!text)
		return false;
	wrong = field->check ? field->check(text) : NULL;
	if (wrong) {
		report_error(reporter, node->place, "%s %s %s", field->key,
			     report_quote(quoted, text), wrong);
		return false;
	}
	/* of a certificate's names, URIs and mail addresses tell small letters from large ones */
	*out = values_copy(reporter, text, lower && !strpbrk(text, "/@"));
	return *out != NULL;
}

/* Whether a list of n items is neither empty nor too long; reported where it is. */
static bool is_good_number(struct reporter *reporter, const struct schema_field *field,
			   const struct node *node, size_t n)
{
	if (!n)
		report_error(reporter, node->place, "%s is empty, want for example %s", field->key,
			     field->example);
	else if (n > BOUNDS_TEXTS)
		report_error(reporter, node->place, "%s has %zu items, want at most %d", field->key,
			     n, BOUNDS_TEXTS);
	return n && n <= BOUNDS_TEXTS;
}

static void values_fill_texts(struct reporter *reporter, const struct schema_field *field,
			      const struct node *node, bool lower, struct config_texts *texts)
{
	bool one = node->kind != NODE_SEQUENCE;
	size_t n = one ? 1 : node->n_children;
	const struct node *item;

	if (node->kind == NODE_MAPPING) {
		values_text(reporter, field, node); /* says what is wrong */
		return;
	}
	if (!is_good_number(reporter, field, node, n))
		return;
	texts->items = calloc(n, sizeof(*texts->items));
	if (!texts->items) {
		report_no_memory(reporter);
		return;
	}
	for (item = one ? node : node->children; n--; item = item->next)
		if (values_read_one_text(reporter, field, item, lower, &texts->items[texts->n]))
			texts->n++;
}

void values_read_names(struct reporter *reporter, const struct schema_field *field,
		       const struct node *node, void *object)
{
	values_fill_texts(reporter, field, node, true, values_at(object, field));
}

/* field->min is the enum config_metadata_match; field->offset that of the values. */
void values_read_condition(struct reporter *reporter, const struct schema_field *field,
			   const struct node *node, void *object)
{
	struct config_metadata_condition *condition = object;
	bool given;

	if (condition->values.n)
		return; /* a second kind, which fields_route.c reports */
	condition->match = (enum config_metadata_match)field->min;
	if (condition->match != METADATA_PRESENT && condition->match != METADATA_ABSENT) {
		values_fill_texts(reporter, field, node, false, values_at(object, field));
		return;
	}
	if (scalar_bool(node, &given) != SCALAR_OK || !given)
		schema_wrong_type(reporter, field->key, node, "true");
}

static const char *values_check_path_text(const char *text)
{
	if (*text != '/')
		return "does not begin with /, want /package.Service/Method, /package.Service/, "
		       "{prefix: /package.} or {regex: \"...\"}";
	if (strlen(text) > BOUNDS_PATH)
		return "is too long, want at most 1024 characters";
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f || strchr("?#*", *p))
			return "has a character that matches no path (queries are not looked at), "
			       "want /package.Service/Method, {prefix: ...} or {regex: ...}";
	return NULL;
}

const char *values_check_path_prefix(const char *text)
{
	if (*text != '/')
		return "does not begin with /, want the begin of a path such as /package.";
	return values_check_path_text(text);
}

static const char *values_check_regex(const char *text)
{
	if (!*text || strlen(text) > BOUNDS_REGEX)
		return "is empty or too long, want 1 to 1024 characters";
	return NULL;
}

/* {prefix: /a} or {regex: "..."}. NULL: reported. */
static const char *values_path_mapping(struct reporter *reporter, const struct node *node,
				       const struct node **at, struct config_path *path)
{
	static const struct schema_field prefix = { .key = "prefix", .example = "/package." };
	static const struct schema_field regex = { .key = "regex",
						   .example = "\"/package\\\\.[A-Z].*\"" };
	const struct node *child = node->children;

	if (node->n_children != 1 || (strcmp(child->key, "prefix") && strcmp(child->key, "regex"))) {
		report_error(reporter, child ? child->key_place : node->place,
			     "path is a mapping of another kind, want {prefix: /package.} or "
			     "{regex: \"...\"}");
		return NULL;
	}
	path->match = child->key[0] == 'p' ? PATH_PREFIX : PATH_REGEX;
	*at = child;
	return values_text(reporter, path->match == PATH_PREFIX ? &prefix : &regex, child);
}

static bool values_read_path(struct reporter *reporter, const struct schema_field *field,
			     const struct node *node, struct config_path *path)
{
	const struct node *at = node;
	char quoted[REPORT_QUOTE_MAX];
	const char *text, *wrong;

	if (node->kind == NODE_MAPPING)
		text = values_path_mapping(reporter, node, &at, path);
	else
		text = values_text(reporter, field, node);
	if (!text)
		return false;
	if (node->kind == NODE_MAPPING) {
		wrong = path->match == PATH_PREFIX ? values_check_path_prefix(text) :
						     values_check_regex(text);
	} else {
		wrong = values_check_path_text(text);
		path->match = text[0] && text[strlen(text) - 1] == '/' ? PATH_SERVICE : PATH_EXACT;
		if (!wrong && strcmp(text, "/") == 0)
			wrong = "is no service, want /package.Service/ (any method of it) or "
				"{prefix: /...}";
	}
	if (wrong) {
		report_error(reporter, at->place, "%s %s %s", at->key ? at->key : field->key,
			     report_quote(quoted, text), wrong);
		return false;
	}
	path->text = values_copy(reporter, text, false);
	return path->text != NULL;
}

void values_read_paths(struct reporter *reporter, const struct schema_field *field,
		       const struct node *node, void *object)
{
	struct config_path **items = values_at(object, field);
	size_t *count = values_count(object, field);
	bool one = node->kind != NODE_SEQUENCE;
	size_t n = one ? 1 : node->n_children;
	const struct node *item;

	if (!is_good_number(reporter, field, node, n))
		return;
	*items = calloc(n, sizeof(**items));
	if (!*items) {
		report_no_memory(reporter);
		return;
	}
	for (item = one ? node : node->children; n--; item = item->next)
		if (values_read_path(reporter, field, item, &(*items)[*count]))
			(*count)++;
}

const char *values_check_host(const char *text)
{
	const char *name = strncmp(text, "*.", 2) ? text : text + 2;
	size_t len = strlen(name);
	char with_port[ADDR_TEXT_MAX];
	struct addr addr;

	if (values_is_host_name(name, len))
		return name[len - 1] == '.' ? "ends in a dot, want it without" : NULL;
	if (name == text && !strchr(text, ':') && addr_from_ip(&addr, text, 1) == 0)
		return NULL;
	if (*text == '[' && !addr_parse(&addr, text))
		return "has a port, want the host alone";
	snprintf(with_port, sizeof(with_port), "%.60s:1", text);
	if (*text == '[' && !addr_parse(&addr, with_port))
		return NULL;
	if (strchr(name, ':') && values_is_host_name(name, strcspn(name, ":")))
		return "has a port, want the host alone";
	if (strchr(name, '*'))
		return "has a * in another place, want *.example.com";
	return "is no host, want api.example.com or *.example.com";
}

const char *values_check_server_name(const char *text)
{
	return values_is_host_name(text, strlen(text)) ?
		       NULL :
		       "is no host name, want the one in the backends' certificates";
}

const char *values_check_san(const char *text)
{
	if (!*text || strlen(text) > BOUNDS_PATH)
		return "is empty or too long, want 1 to 1024 characters";
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
			return "has a character that names in certificates cannot have, want "
			       "client.example or spiffe://example/client";
	if (strchr(text, '*') && (strncmp(text, "*.", 2) || strchr(text + 1, '*')))
		return "has a * in another place, want *.example.com";
	return NULL;
}
