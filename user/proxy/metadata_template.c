/* SPDX-License-Identifier: MIT */
/*
 * metadata_template.c - see metadata_template.h. Values come from clients and certificates: none is
 * trusted to be a valid field value, or short.
 */
#include "proxy/metadata_template.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/template.h"
#include "proxy/downstream.h"
#include "proxy/pool.h"
#include "proxy/route.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/tls.h"

struct metadata_template {
	bool constant;
	size_t n;
	struct template_part parts[];
};

struct metadata_template *metadata_template_new(const char *text)
{
	struct metadata_template *template;
	struct template_part part;
	size_t n = 0, at = 0;
	const char *why;

	while (template_next(text, &at, &part, &why) > 0)
		n++;
	template = calloc(1, sizeof(*template) + n * sizeof(part));
	if (!template)
		return NULL;
	template->constant = true;
	for (at = 0; template->n < n; template->n++) {
		template_next(text, &at, &template->parts[template->n], &why);
		if (template->parts[template->n].variable != TEMPLATE_LITERAL)
			template->constant = false;
	}
	return template;
}

void metadata_template_free(struct metadata_template *template)
{
	free(template);
}

bool metadata_template_is_constant(const struct metadata_template *template)
{
	return template->constant;
}

struct value {
	const char *text;
	size_t len;
	char number[8];
};

static void of_text(struct value *value, const char *text)
{
	value->text = text ? text : "";
	value->len = strlen(value->text);
}

static void of_header(struct value *value, const struct stream_headers *request, const char *name,
		      size_t len)
{
	const struct h2_header *field = h2_header_find(request->fields, request->n, name, len);

	if (field) {
		value->text = field->value;
		value->len = field->value_len;
	}
}

static void of_peer(struct value *value, struct stream *stream, enum template_variable variable)
{
	struct tls *tls = h2_tls(stream->client->h2);
	const struct tls_peer *peer = tls ? tls_peer(tls) : NULL;

	if (!peer)
		return;
	if (variable == TEMPLATE_TLS_SNI)
		of_text(value, peer->sni);
	else if (variable == TEMPLATE_TLS_CLIENT_SUBJECT)
		of_text(value, peer->subject);
	else if (variable == TEMPLATE_TLS_CLIENT_FINGERPRINT)
		of_text(value, peer->fingerprint);
	else if (peer->n_sans)
		of_text(value, peer->sans[0]);
}

/* Behind trusted hops the port of the connection is a proxy's. */
static void of_port(struct value *value, const struct stream *stream)
{
	if (stream->client_ip != stream->client->peer_ip)
		return;
	value->len = (size_t)snprintf(value->number, sizeof(value->number), "%u",
				      addr_port(&stream->client->peer));
	value->text = value->number;
}

static void of_listener(struct value *value, const struct stream *stream)
{
	const struct router_listener *listener =
		router_listener(stream->router, stream->client->listener_id);

	if (listener)
		of_text(value, listener->config->name);
}

static void read_value(struct value *value, const struct template_part *part,
		       struct stream *stream, const struct stream_headers *request)
{
	value->text = "";
	value->len = 0;
	switch (part->variable) {
	case TEMPLATE_LITERAL:
		value->text = part->text;
		value->len = part->len;
		break;
	case TEMPLATE_CLIENT_IP:
		of_text(value, stream->client_ip);
		break;
	case TEMPLATE_CLIENT_PORT:
		of_port(value, stream);
		break;
	case TEMPLATE_LISTENER_NAME:
		of_listener(value, stream);
		break;
	case TEMPLATE_ROUTE_NAME:
		of_text(value, stream->route->config->name);
		break;
	case TEMPLATE_TLS_SNI:
	case TEMPLATE_TLS_CLIENT_SUBJECT:
	case TEMPLATE_TLS_CLIENT_FINGERPRINT:
	case TEMPLATE_TLS_CLIENT_SAN:
		of_peer(value, stream, part->variable);
		break;
	case TEMPLATE_REQUEST_ID:
		if (stream->request_id)
			of_text(value, stream->request_id);
		else
			of_header(value, request, "x-request-id", 12);
		break;
	case TEMPLATE_REQUEST_AUTHORITY:
		of_header(value, request, ":authority", 10);
		break;
	case TEMPLATE_REQUEST_PATH:
		of_header(value, request, ":path", 5);
		break;
	case TEMPLATE_REQUEST_HEADER:
		of_header(value, request, part->text, part->len);
		break;
	case TEMPLATE_BACKEND_ADDRESS:
		of_text(value, stream->endpoint ? stream->endpoint->name : NULL);
		break;
	case TEMPLATE_GROUP_NAME:
		of_text(value, stream->group ? stream->group->config->name : NULL);
		break;
	}
}

size_t metadata_template_fill(const struct metadata_template *template, struct stream *stream,
			      const struct stream_headers *request, bool any_byte, char *out,
			      size_t size)
{
	size_t len = 0, begin = 0;

	for (size_t i = 0; i < template->n; i++) {
		struct value value;

		read_value(&value, &template->parts[i], stream, request);
		if (value.len > size - len)
			return 0;
		for (size_t k = 0; k < value.len; k++) {
			unsigned char c = (unsigned char)value.text[k];

			out[len++] = any_byte || (c >= 0x20 && c <= 0x7e) ? (char)c : '?';
		}
	}
	if (any_byte)
		return len;
	while (len && out[len - 1] == ' ')
		len--;
	while (begin < len && out[begin] == ' ')
		begin++;
	memmove(out, out + begin, len - begin);
	return len - begin;
}
