/* SPDX-License-Identifier: MIT */
/*
 * metadata.c - see metadata.h. Which keys may be changed is the config's check to say; nothing here
 * knows of gRPC's own.
 */
#include "proxy/metadata.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "proxy/metadata_template.h"
#include "proxy/stream.h"

struct edit {
	const char *key;
	size_t key_len;
	enum config_edit_op op;
	bool binary;
	struct metadata_template *value; /* NULL: removes */
};

struct metadata_edits {
	struct edit *items;
	size_t n;
	struct metadata_template *authority; /* NULL: as it is */
	const char *prefix, *to;	     /* NULL: none */
	size_t prefix_len, to_len;
};

static int edit_init(struct edit *edit, const struct config_edit *config)
{
	edit->key = config->key;
	edit->key_len = strlen(config->key);
	edit->op = config->op;
	edit->binary = config_is_binary_key(config->key);
	if (config->op == EDIT_REMOVE)
		return 0;
	edit->value = metadata_template_new(config->value);
	return edit->value ? 0 : -ENOMEM;
}

int metadata_edits_new(struct metadata_edits **ret_edits, const struct config_edits *config,
		       const struct config_route *route)
{
	struct metadata_edits *edits;

	if (!config->n && !(route && (route->rewrite_authority || route->rewrite_prefix))) {
		*ret_edits = NULL;
		return 0;
	}
	edits = calloc(1, sizeof(*edits));
	if (!edits)
		return -ENOMEM;
	edits->items = calloc(config->n + 1, sizeof(*edits->items));
	if (!edits->items)
		goto out;
	for (size_t i = 0; i < config->n; i++) {
		edits->n++;
		if (edit_init(&edits->items[i], &config->items[i]))
			goto out;
	}
	if (route && route->rewrite_authority) {
		edits->authority = metadata_template_new(route->rewrite_authority);
		if (!edits->authority)
			goto out;
	}
	if (route && route->rewrite_prefix) {
		edits->prefix = route->rewrite_prefix;
		edits->prefix_len = strlen(edits->prefix);
		edits->to = route->rewrite_to;
		edits->to_len = strlen(edits->to);
	}
	*ret_edits = edits;
	return 0;
out:
	metadata_edits_free(edits);
	return -ENOMEM;
}

void metadata_edits_free(struct metadata_edits *edits)
{
	if (!edits)
		return;
	for (size_t i = 0; i < edits->n; i++)
		metadata_template_free(edits->items[i].value);
	metadata_template_free(edits->authority);
	free(edits->items);
	free(edits);
}

/* True where the field does not survive the edits. */
static bool is_dropped(const struct metadata_edits *edits, const struct h2_header *field)
{
	for (size_t i = 0; i < edits->n; i++)
		if (edits->items[i].op != EDIT_ADD &&
		    h2_header_is(field, edits->items[i].key, edits->items[i].key_len))
			return true;
	return false;
}

/* The text as it goes out, in the arena. 1: there; 0: left out; -ENOMEM. */
static int edit_value(const struct edit *edit, struct stream *stream,
		      const struct stream_headers *request, struct h2_header *field)
{
	char text[METADATA_VALUE_MAX], *out;
	size_t len = metadata_template_fill(edit->value, stream, request, edit->binary, text,
					    sizeof(text));
	size_t out_len = edit->binary ? BASE64_LEN(len) : len;

	if (!len && !metadata_template_is_constant(edit->value))
		return 0;
	out = arena_alloc(&stream->arena, out_len + 1);
	if (!out)
		return -ENOMEM;
	if (edit->binary)
		base64_encode(out, text, len);
	else
		memcpy(out, text, len);
	*field = (struct h2_header){
		.name = edit->key, .name_len = (uint32_t)edit->key_len,
		.value = out, .value_len = (uint32_t)out_len,
	};
	return 1;
}

/* ---- :authority and :path ---- */

static bool is_authority(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7f ||
		    strchr("/@?#\\", text[i]))
			return false;
	return len > 0 && text[0] != ':';
}

/* What does not come out as an authority leaves the client's. *field is untouched then. */
static int rewrite_authority(const struct metadata_edits *edits, struct stream *stream,
			     const struct stream_headers *request, struct h2_header *field)
{
	char text[METADATA_VALUE_MAX], *out;
	size_t len = metadata_template_fill(edits->authority, stream, request, false, text,
					    sizeof(text));

	if (!is_authority(text, len))
		return 0;
	out = arena_alloc(&stream->arena, len);
	if (!out)
		return -ENOMEM;
	*field = (struct h2_header){ .name = ":authority", .name_len = 10,
				     .value = memcpy(out, text, len), .value_len = (uint32_t)len };
	return 1;
}

static int rewrite_path(const struct metadata_edits *edits, struct stream *stream,
			struct h2_header *field)
{
	size_t rest;
	char *out;

	if (field->value_len < edits->prefix_len ||
	    memcmp(field->value, edits->prefix, edits->prefix_len))
		return 0;
	rest = field->value_len - edits->prefix_len;
	out = arena_alloc(&stream->arena, edits->to_len + rest);
	if (!out)
		return -ENOMEM;
	memcpy(out, edits->to, edits->to_len);
	memcpy(out + edits->to_len, field->value + edits->prefix_len, rest);
	field->value = out;
	field->value_len = (uint32_t)(edits->to_len + rest);
	return 0;
}

int metadata_edit(const struct metadata_edits *edits, struct stream *stream,
		  struct stream_headers *headers, const struct stream_headers *request)
{
	struct h2_header *fields = arena_alloc(&stream->arena,
					       (headers->n + edits->n + 1) * sizeof(*fields));
	struct h2_header authority;
	int new_authority = 0, err;
	size_t n = 0;

	if (!fields)
		return -ENOMEM;
	if (edits->authority) {
		new_authority = rewrite_authority(edits, stream, request, &authority);
		if (new_authority < 0)
			return new_authority;
		if (new_authority)
			fields[n++] = authority;
	}
	for (size_t i = 0; i < headers->n; i++) {
		const struct h2_header *field = &headers->fields[i];

		if (is_dropped(edits, field) ||
		    (new_authority &&
		     (H2_HEADER_IS(field, ":authority") || H2_HEADER_IS(field, "host"))))
			continue;
		fields[n] = *field;
		if (edits->prefix && H2_HEADER_IS(field, ":path")) {
			err = rewrite_path(edits, stream, &fields[n]);
			if (err)
				return err;
		}
		n++;
	}
	for (size_t i = 0; i < edits->n; i++) {
		if (edits->items[i].op == EDIT_REMOVE)
			continue;
		err = edit_value(&edits->items[i], stream, request, &fields[n]);
		if (err < 0)
			return err;
		n += (size_t)err;
	}
	headers->fields = fields;
	headers->n = n;
	return 0;
}

int metadata_edit_trailers(const struct metadata_edits *edits, struct stream *stream,
			   struct stream_headers *trailers)
{
	struct h2_header *fields;
	size_t n = 0, i;

	for (i = 0; i < trailers->n && !is_dropped(edits, &trailers->fields[i]); i++)
		;
	if (i == trailers->n)
		return 0;
	fields = arena_alloc(&stream->arena, trailers->n * sizeof(*fields));
	if (!fields)
		return -ENOMEM;
	for (i = 0; i < trailers->n; i++)
		if (!is_dropped(edits, &trailers->fields[i]))
			fields[n++] = trailers->fields[i];
	trailers->fields = fields;
	trailers->n = n;
	return 0;
}
