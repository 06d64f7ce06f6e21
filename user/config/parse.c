/* SPDX-License-Identifier: MIT */
/*
 * parse.c - see parse.h; the only file that knows libyaml, and of it the event API only
 * (yaml_parser_load takes seconds for nested brackets). The stack is an array of PARSE_DEPTH_MAX,
 * nothing recurses, and what goes beyond a limit ends the parse.
 */
#include "config/parse.h"

#include <string.h>
#include <yaml.h>

#include "config/utf8.h"

struct parse {
	struct tree *tree;
	struct reporter *reporter;
	struct node *stack[PARSE_DEPTH_MAX];
	size_t depth;
	size_t nodes;
	/* of the mapping on top of the stack: the key read, while its value is awaited */
	const char *key;
	struct config_place key_place;
	bool documents;
	bool done;
};

static struct config_place parse_place(yaml_mark_t mark)
{
	return (struct config_place){ (uint32_t)mark.line + 1, (uint32_t)mark.column + 1 };
}

/* Key text is followed by an emptied key: NULL means that a key is awaited. */
static bool parse_wants_key(const struct parse *p)
{
	return p->depth && p->stack[p->depth - 1]->kind == NODE_MAPPING && !p->key;
}

static struct node *parse_find(const struct node *mapping, const char *key)
{
	struct node *child;

	node_for_each(child, mapping)
		if (strcmp(child->key, key) == 0)
			return child;
	return NULL;
}

/* Makes a node and hangs it where it belongs. NULL: reported, stop. */
static struct node *parse_add(struct parse *p, enum node_kind kind, struct config_place place)
{
	struct node *parent = p->depth ? p->stack[p->depth - 1] : NULL;
	struct node *node;

	if (++p->nodes > PARSE_NODES_MAX) {
		report_error(p->reporter, place, "more than %d values, want a smaller file",
			     PARSE_NODES_MAX);
		return NULL;
	}
	node = tree_alloc(p->tree, sizeof(*node));
	if (!node) {
		report_no_memory(p->reporter);
		return NULL;
	}
	node->kind = kind;
	node->place = place;
	if (!parent) {
		p->tree->root = node;
		return node;
	}
	if (parent->kind == NODE_MAPPING) {
		char quoted[REPORT_QUOTE_MAX];
		const struct node *before = parse_find(parent, p->key);

		if (parent->n_children == PARSE_KEYS_MAX) {
			report_error(p->reporter, p->key_place,
				     "more than %d keys in one mapping, want known keys only",
				     PARSE_KEYS_MAX);
			return NULL;
		}
		if (before) {
			report_error(p->reporter, p->key_place,
				     "duplicate key %s, it is on line %u already: keep one",
				     report_quote(quoted, p->key), before->key_place.line);
			node->duplicate = true;
		}
		node->key = p->key;
		node->key_place = p->key_place;
		p->key = NULL;
	}
	if (parent->last)
		parent->last->next = node;
	else
		parent->children = node;
	parent->last = node;
	parent->n_children++;
	return node;
}

/* A copy in the tree, or NULL after reporting. */
static const char *parse_text(struct parse *p, const yaml_event_t *event)
{
	size_t len = event->data.scalar.length;
	char *text = tree_alloc(p->tree, len + 1);

	if (!text) {
		report_no_memory(p->reporter);
		return NULL;
	}
	memcpy(text, event->data.scalar.value, len);
	return text;
}

static bool parse_has_control(const yaml_event_t *event)
{
	for (size_t i = 0; i < event->data.scalar.length; i++)
		if (event->data.scalar.value[i] < 0x20 || event->data.scalar.value[i] == 0x7f)
			return true;
	return false;
}

static void parse_refuse_extras(struct parse *p, struct config_place place, const void *anchor,
				const void *tag)
{
	if (anchor)
		report_error(p->reporter, place, "an anchor (&), want the value written out");
	if (tag)
		report_error(p->reporter, place, "a tag (!), want the value without it");
}

static bool parse_scalar(struct parse *p, const yaml_event_t *event)
{
	struct config_place place = parse_place(event->start_mark);
	bool broken = parse_has_control(event);
	struct node *node;

	parse_refuse_extras(p, place, event->data.scalar.anchor, event->data.scalar.tag);
	if (broken)
		report_error(p->reporter, place,
			     "text with a line break or control character, want one line");
	if (parse_wants_key(p)) {
		p->key = parse_text(p, event);
		p->key_place = place;
		return p->key != NULL;
	}
	node = parse_add(p, broken ? NODE_BROKEN : NODE_SCALAR, place);
	if (!node)
		return false;
	node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	node->text = parse_text(p, event);
	return node->text != NULL;
}

static bool parse_alias(struct parse *p, const yaml_event_t *event)
{
	struct config_place place = parse_place(event->start_mark);

	report_error(p->reporter, place, "an alias (*), want the value written out");
	if (parse_wants_key(p))
		return false;
	return parse_add(p, NODE_BROKEN, place) != NULL;
}

static bool parse_begin(struct parse *p, enum node_kind kind, struct config_place place,
			const void *anchor, const void *tag)
{
	struct node *node;

	parse_refuse_extras(p, place, anchor, tag);
	if (parse_wants_key(p)) {
		report_error(p->reporter, place, "%s as a key, want text",
			     kind == NODE_MAPPING ? "a mapping" : "a sequence");
		return false;
	}
	if (p->depth == PARSE_DEPTH_MAX) {
		report_error(p->reporter, place, "nested deeper than %d levels, want fewer",
			     PARSE_DEPTH_MAX);
		return false;
	}
	node = parse_add(p, kind, place);
	if (!node)
		return false;
	p->stack[p->depth++] = node;
	return true;
}

/* False: stop. */
static bool parse_event(struct parse *p, const yaml_event_t *event)
{
	struct config_place place = parse_place(event->start_mark);

	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (p->documents) {
			report_error(p->reporter, place,
				     "a second document (---), want one in a file");
			return false;
		}
		p->documents = true;
		return true;
	case YAML_SCALAR_EVENT:
		return parse_scalar(p, event);
	case YAML_ALIAS_EVENT:
		return parse_alias(p, event);
	case YAML_SEQUENCE_START_EVENT:
		return parse_begin(p, NODE_SEQUENCE, place, event->data.sequence_start.anchor,
				   event->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return parse_begin(p, NODE_MAPPING, place, event->data.mapping_start.anchor,
				   event->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		p->depth--;
		return true;
	case YAML_STREAM_END_EVENT:
		p->done = true;
		return true;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return true;
	}
	return false;
}

static void parse_syntax_error(const yaml_parser_t *parser, struct reporter *reporter)
{
	const char *problem = parser->problem ? parser->problem : "unreadable";
	bool context = parser->context && parser->error != YAML_READER_ERROR;

	if (parser->error == YAML_MEMORY_ERROR) {
		report_no_memory(reporter);
		return;
	}
	report_error(reporter, parse_place(parser->problem_mark),
		     "not YAML: %s%s%s, want \"key: value\" lines, and quotes around values "
		     "with [ ] { } # or \": \" in them",
		     context ? parser->context : "", context ? ", " : "", problem);
}

static bool parse_check_text(const uint8_t *bytes, size_t len, struct reporter *reporter)
{
	struct config_place place;
	uint8_t byte;

	switch (utf8_check(bytes, len, &place, &byte)) {
	case UTF8_MALFORMED:
		report_error(reporter, place, "byte 0x%02x is not UTF-8, want a file in UTF-8",
			     byte);
		return false;
	case UTF8_CONTROL:
		report_error(reporter, place, "control character 0x%02x, want text", byte);
		return false;
	case UTF8_OK:
		break;
	}
	return true;
}

/* Directives are of no use here, and libyaml compares each %TAG with all before it, which takes
 * minutes for a file of them: refused before it sees them. */
static bool parse_check_directives(const uint8_t *bytes, size_t len, struct reporter *reporter)
{
	const uint8_t *end = bytes + len, *at = bytes;
	struct config_place place = { 1, 1 };

	while (at < end && *at != '%') {
		at = memchr(at, '\n', (size_t)(end - at));
		if (!at)
			return true;
		at++;
		place.line++;
	}
	if (at == end)
		return true;
	report_error(reporter, place, "a directive (%%), want the file without it");
	return false;
}

bool parse_tree(struct tree *tree, const uint8_t *bytes, size_t len, struct reporter *reporter)
{
	struct parse p = { .tree = tree, .reporter = reporter };
	yaml_parser_t parser;
	bool ok = true;

	if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
		bytes += 3;
		len -= 3;
	}
	if (!parse_check_text(bytes, len, reporter) ||
	    !parse_check_directives(bytes, len, reporter))
		return false;
	if (!yaml_parser_initialize(&parser)) {
		report_no_memory(reporter);
		return false;
	}
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, bytes, len);
	while (ok && !p.done) {
		yaml_event_t event;

		if (!yaml_parser_parse(&parser, &event)) {
			parse_syntax_error(&parser, reporter);
			ok = false;
			break;
		}
		ok = parse_event(&p, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return ok;
}
