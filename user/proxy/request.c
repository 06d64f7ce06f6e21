/* SPDX-License-Identifier: MIT */
/*
 * request.c - request headers, see request.h. The fields keep their order; what sluice sets itself
 * replaces what the client sent, so that a client cannot forge it.
 */
#include "proxy/request.h"

#include <errno.h>
#include <string.h>

#include "proxy/grpc.h"
#include "proxy/stream.h"

void request_read(struct request_facts *facts, const struct h2_header *headers, size_t n)
{
	bool post = false, grpc_type = false;

	memset(facts, 0, sizeof(*facts));
	for (size_t i = 0; i < n; i++) {
		const struct h2_header *header = &headers[i];

		if (H2_HEADER_IS(header, ":method"))
			post = header->value_len == 4 && !memcmp(header->value, "POST", 4);
		else if (H2_HEADER_IS(header, "content-type"))
			grpc_type = grpc_content_type(header->value, header->value_len);
		else if (H2_HEADER_IS(header, "grpc-timeout")) {
			facts->has_timeout = true;
			facts->bad_timeout = grpc_timeout_parse(header->value, header->value_len,
								&facts->timeout_ns) != 0;
		}
	}
	facts->grpc = post && grpc_type;
}

struct builder {
	struct h2_header *fields;
	size_t n;
	char *at;
};

static struct h2_header *put(struct builder *builder, const char *name, size_t name_len,
			     const char *value, size_t value_len)
{
	struct h2_header *field = &builder->fields[builder->n++];

	memset(field, 0, sizeof(*field));
	field->name = memcpy(builder->at, name, name_len);
	field->name_len = (uint32_t)name_len;
	builder->at += name_len;
	field->value = memcpy(builder->at, value, value_len);
	field->value_len = (uint32_t)value_len;
	builder->at += value_len;
	return field;
}
#define PUT(builder, name, value, len) put(builder, name, sizeof(name) - 1, value, len)

int request_build(struct stream *stream, const struct h2_header *headers, size_t n,
		  const char *client_ip)
{
	size_t bytes = 256, forwarded_len = 0, ip_len = strlen(client_ip);
	struct builder builder = { 0 };
	char *forwarded;

	for (size_t i = 0; i < n; i++) {
		bytes += headers[i].name_len + headers[i].value_len;
		if (H2_HEADER_IS(&headers[i], "x-forwarded-for"))
			forwarded_len += headers[i].value_len + 2;
	}
	builder.fields = arena_alloc(&stream->arena, (n + 2) * sizeof(*builder.fields));
	builder.at = arena_alloc(&stream->arena, bytes + ip_len);
	forwarded = forwarded_len ? arena_alloc(&stream->arena, forwarded_len + ip_len) : NULL;
	if (!builder.fields || !builder.at || (forwarded_len && !forwarded))
		return -ENOMEM;
	forwarded_len = 0;
	for (size_t i = 0; i < n; i++) {
		const struct h2_header *header = &headers[i];

		if (H2_HEADER_IS(header, ":scheme")) {
			PUT(&builder, ":scheme", "http", 4);
		} else if (H2_HEADER_IS(header, "grpc-timeout")) {
			stream->timeout_field = PUT(&builder, "grpc-timeout", header->value,
						    header->value_len);
		} else if (H2_HEADER_IS(header, "x-forwarded-for")) {
			memcpy(forwarded + forwarded_len, header->value, header->value_len);
			forwarded_len += header->value_len;
			memcpy(forwarded + forwarded_len, ", ", 2);
			forwarded_len += 2;
		} else if (!H2_HEADER_IS(header, "x-forwarded-proto") &&
			   !h2_header_is_connection_specific(header)) {
			put(&builder, header->name, header->name_len, header->value,
			    header->value_len)
				->sensitive = header->sensitive;
		}
	}
	if (forwarded_len) {
		memcpy(forwarded + forwarded_len, client_ip, ip_len);
		client_ip = forwarded;
		ip_len += forwarded_len;
	}
	/* The text is in the arena or with the connection: no copy of it is needed. */
	builder.fields[builder.n++] = (struct h2_header){
		.name = "x-forwarded-for", .name_len = 15,
		.value = client_ip, .value_len = (uint32_t)ip_len,
	};
	builder.fields[builder.n++] = (struct h2_header){
		.name = "x-forwarded-proto", .name_len = 17, .value = "https", .value_len = 5,
	};
	stream->request.fields = builder.fields;
	stream->request.n = builder.n;
	return 0;
}
