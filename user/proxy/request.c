/* SPDX-License-Identifier: MIT */
/*
 * request.c - request headers, see request.h. The fields keep their order; what sluice sets itself
 * replaces what the client sent, so that a client cannot forge it.
 */
#include "proxy/request.h"

#include <errno.h>
#include <string.h>

#include "proxy/downstream.h"
#include "proxy/grpc.h"
#include "proxy/metadata.h"
#include "proxy/route.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

#define REQUEST_ID_MAX 128 /* bytes; a client's longer one is replaced */

/* Of several the shortest holds, whichever a backend would have gone by. */
static void read_timeout(struct request_facts *facts, const struct h2_header *header)
{
	uint64_t timeout_ns = UINT64_MAX;

	if (grpc_timeout_parse(header->value, header->value_len, &timeout_ns))
		facts->bad_timeout = true;
	if (!facts->has_timeout || timeout_ns < facts->timeout_ns)
		facts->timeout_ns = timeout_ns;
	facts->has_timeout = true;
}

void request_read(struct request_facts *facts, const struct h2_header *headers, size_t n)
{
	bool post = false, grpc_type = false;

	memset(facts, 0, sizeof(*facts));
	for (size_t i = 0; i < n; i++) {
		const struct h2_header *header = &headers[i];

		if (H2_HEADER_IS(header, ":method")) {
			post = header->value_len == 4 && !memcmp(header->value, "POST", 4);
			facts->head = header->value_len == 4 && !memcmp(header->value, "HEAD", 4);
			facts->connect = header->value_len == 7 &&
					 !memcmp(header->value, "CONNECT", 7);
		} else if (H2_HEADER_IS(header, "content-type"))
			grpc_type = grpc_content_type(header->value, header->value_len);
		else if (H2_HEADER_IS(header, "grpc-timeout"))
			read_timeout(facts, header);
	}
	facts->grpc = post && grpc_type;
}

/* "192.0.2.1", "2001:db8::1", either with a port: "[2001:db8::1]:443". */
static bool read_address(struct addr *addr, const char *text, size_t len)
{
	char copy[ADDR_TEXT_MAX];

	while (len && (*text == ' ' || *text == '\t')) {
		text++;
		len--;
	}
	while (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	if (!len || len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (copy[0] == '[' && copy[len - 1] == ']') {
		copy[len - 1] = '\0';
		return !addr_from_ip(addr, copy + 1, 0);
	}
	return !addr_from_ip(addr, copy, 0) || !addr_parse(addr, copy);
}

/* Where the last hops entries of one field's text begin; *hops is what is left to find. */
static size_t last_entries(const char *text, size_t len, uint32_t *hops)
{
	size_t at = len;

	while (*hops) {
		while (at && text[at - 1] != ',')
			at--;
		(*hops)--;
		if (!at || !*hops)
			return at;
		at--;
	}
	return len;
}

void request_source(struct addr *source, const struct h2_header *headers, size_t n, uint32_t hops)
{
	struct addr addr;

	while (n--) {
		const char *comma;
		size_t at, len = headers[n].value_len;

		if (!H2_HEADER_IS(&headers[n], "x-forwarded-for"))
			continue;
		at = last_entries(headers[n].value, len, &hops);
		if (hops)
			continue;
		comma = memchr(headers[n].value + at, ',', len - at);
		if (comma)
			len = (size_t)(comma - headers[n].value);
		if (read_address(&addr, headers[n].value + at, len - at))
			*source = addr;
		return;
	}
}

struct builder {
	struct h2_header *fields;
	size_t n;
	char *at;
};

/* memcpy without its call for what most names and values are. */
static inline char *copy_text(char *at, const char *text, size_t len)
{
	if (len > 16 || len < 4) {
		memcpy(at, text, len);
	} else if (len >= 8) {
		memcpy(at, text, 8);
		memcpy(at + len - 8, text + len - 8, 8);
	} else {
		memcpy(at, text, 4);
		memcpy(at + len - 4, text + len - 4, 4);
	}
	return at;
}

static inline struct h2_header *put(struct builder *builder, const char *name, size_t name_len,
				    const char *value, size_t value_len)
{
	struct h2_header *field = &builder->fields[builder->n++];

	*field = (struct h2_header){
		.name = copy_text(builder->at, name, name_len),
		.name_len = (uint32_t)name_len,
		.value = copy_text(builder->at + name_len, value, value_len),
		.value_len = (uint32_t)value_len,
	};
	builder->at += name_len + value_len;
	return field;
}
#define PUT(builder, name, value, len) put(builder, name, sizeof(name) - 1, value, len)

/* The same without copies: of what lives as long as the stream. */
static struct h2_header *refer(struct builder *builder, const char *name, size_t name_len,
			       const char *value, size_t value_len)
{
	struct h2_header *field = &builder->fields[builder->n++];

	*field = (struct h2_header){ .name = name, .name_len = (uint32_t)name_len,
				     .value = value, .value_len = (uint32_t)value_len };
	return field;
}
#define REFER(builder, name, value, len) refer(builder, name, sizeof(name) - 1, value, len)

/* What sluice sets itself, by what the client sent. */
struct ours {
	const struct h2_header *proto, *id; /* NULL: none that counts */
	bool forwarded; /* x-forwarded-for is there */
	bool authority; /* so host says nothing, RFC 9113 8.3.1 */
};

static bool is_plain(const struct h2_header *header)
{
	if (!header->value_len || header->value_len > REQUEST_ID_MAX)
		return false;
	for (uint32_t i = 0; i < header->value_len; i++)
		if (header->value[i] <= 0x20 || header->value[i] >= 0x7f)
			return false;
	return true;
}

/* True where the client's field does not go through as it is, since sluice says what it says. */
static bool take_ours(struct ours *ours, const struct config_listener *listener,
		      const struct h2_header *header)
{
	switch (header->name_len) {
	case 4: /* routes went by :authority: no backend shall go by something else */
		return ours->authority && H2_HEADER_IS(header, "host");
	case 10:
		ours->authority |= H2_HEADER_IS(header, ":authority");
		return false;
	case 12:
		if (!listener->request_id || !H2_HEADER_IS(header, "x-request-id"))
			return false;
		if (!ours->id && is_plain(header))
			ours->id = header;
		return true;
	case 13:
		return H2_HEADER_IS(header, "sluice-mirror"); /* of copies only: mirror.c sets it */
	case 15:
		if (!H2_HEADER_IS(header, "x-forwarded-for"))
			return false;
		ours->forwarded = true;
		return true;
	case 17:
		if (!H2_HEADER_IS(header, "x-forwarded-proto"))
			return false;
		if ((header->value_len == 4 && !memcmp(header->value, "http", 4)) ||
		    (header->value_len == 5 && !memcmp(header->value, "https", 5)))
			ours->proto = header;
		return true;
	default:
		return false;
	}
}

/* The last hops entries of all x-forwarded-for fields, each with ", " behind it. */
static size_t trusted_entries(char *out, const struct h2_header *headers, size_t n, uint32_t hops)
{
	size_t first = n, at = 0, len = 0;

	while (first && hops) {
		const struct h2_header *header = &headers[--first];

		if (H2_HEADER_IS(header, "x-forwarded-for"))
			at = last_entries(header->value, header->value_len, &hops);
	}
	if (hops)
		return 0; /* did not come through all of them: whose words these are is not known */
	for (; first < n; first++, at = 0) {
		const struct h2_header *header = &headers[first];

		if (!H2_HEADER_IS(header, "x-forwarded-for"))
			continue;
		while (at < header->value_len && header->value[at] == ' ')
			at++;
		memcpy(out + len, header->value + at, header->value_len - at);
		len += header->value_len - at;
		memcpy(out + len, ", ", 2);
		len += 2;
	}
	return len;
}

static int put_forwarded(struct builder *builder, struct stream *stream,
			 const struct config_listener *listener, const struct h2_header *headers,
			 size_t n, const struct ours *ours)
{
	const char *ip = stream->client->peer_ip;
	size_t bytes = 0, len = strlen(ip);
	struct addr source;
	char *text;

	stream->client_ip = ip;
	if (!listener->trusted_hops || !ours->forwarded) {
		/* The text lives with the connection: no copy of it is needed. */
		REFER(builder, "x-forwarded-for", ip, len);
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		if (H2_HEADER_IS(&headers[i], "x-forwarded-for"))
			bytes += headers[i].value_len + 2;
	text = arena_alloc(&stream->arena, bytes + len);
	if (!text)
		return -ENOMEM;
	bytes = trusted_entries(text, headers, n, listener->trusted_hops);
	memcpy(text + bytes, ip, len);
	REFER(builder, "x-forwarded-for", text, bytes + len);
	source = stream->client->peer;
	request_source(&source, headers, n, listener->trusted_hops);
	if (!addr_equal(&source, &stream->client->peer)) {
		text = arena_alloc(&stream->arena, ADDR_TEXT_MAX);
		if (!text)
			return -ENOMEM;
		stream->client_ip = addr_format_ip(&source, text, ADDR_TEXT_MAX);
	}
	return 0;
}

/* 32 hexadecimal digits of 128 random bits, eight at a time. */
static void write_random(char *text, struct worker *worker)
{
	const uint64_t ones = 0x0101010101010101ull;
	uint64_t random = 0;

	for (size_t i = 0; i < 32; i += 8) {
		uint64_t nibbles = i % 16 ? random >> 32 : (random = worker_random(worker)), digits;

		nibbles = (nibbles & 0xffff) | (nibbles & 0xffff0000) << 16;
		nibbles = (nibbles | nibbles << 8) & 0x00ff00ff00ff00ffull;
		nibbles = (nibbles | nibbles << 4) & (0x0f * ones);
		digits = nibbles + '0' * ones;
		/* 'a' stands 39 behind where a digit ten would. */
		digits += ((nibbles + 6 * ones) >> 4 & ones) * ('a' - '0' - 10);
		memcpy(text + i, &digits, 8);
	}
}

static void put_request_id(struct builder *builder, struct stream *stream,
			   const struct h2_header *given)
{
	size_t len = given ? given->value_len : 32;
	char *text = builder->at;

	if (given)
		memcpy(text, given->value, len);
	else
		write_random(text, stream->worker);
	text[len] = '\0';
	builder->at += len + 1;
	stream->request_id = text;
	/* Each is new: to compress it would cost much and win little. */
	REFER(builder, "x-request-id", text, len)->sensitive = H2_VERBATIM;
}

static int apply_edits(struct stream *stream, const struct h2_header *headers, size_t n)
{
	struct stream_headers received = { .fields = (struct h2_header *)headers, .n = n };
	int err = metadata_edit(stream->route->request, stream, &stream->request, &received);

	for (size_t i = 0; !err && stream->timeout_field && i < stream->request.n; i++)
		if (H2_HEADER_IS(&stream->request.fields[i], "grpc-timeout"))
			stream->timeout_field = &stream->request.fields[i];
	return err;
}

int request_build(struct stream *stream, const struct config_listener *listener,
		  const struct h2_header *headers, size_t n)
{
	struct builder builder = { 0 };
	struct ours ours = { 0 };
	size_t bytes = REQUEST_ID_MAX + 1;

	for (size_t i = 0; i < n; i++)
		bytes += headers[i].name_len + headers[i].value_len;
	builder.fields = arena_alloc(&stream->arena, (n + 4) * sizeof(*builder.fields));
	builder.at = arena_alloc(&stream->arena, bytes);
	if (!builder.fields || !builder.at)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct h2_header *header = &headers[i];

		if (H2_HEADER_IS(header, ":scheme")) {
			REFER(&builder, ":scheme", "http", 4);
		} else if (stream->grpc && H2_HEADER_IS(header, "grpc-timeout")) {
			if (!stream->timeout_field)
				stream->timeout_field = PUT(&builder, "grpc-timeout", header->value,
							    header->value_len);
		} else if (!take_ours(&ours, listener, header) &&
			   !h2_header_is_connection_specific(header)) {
			put(&builder, header->name, header->name_len, header->value,
			    header->value_len)
				->sensitive = header->sensitive;
		}
	}
	if (stream->grpc && stream->deadline_ns && !stream->timeout_field) {
		/* The route's; its text is made anew for each attempt. */
		stream->timeout_field = &builder.fields[builder.n];
		REFER(&builder, "grpc-timeout", "", 0);
	}
	if (put_forwarded(&builder, stream, listener, headers, n, &ours))
		return -ENOMEM;
	if (listener->trusted_hops && ours.proto && ours.proto->value_len == 4)
		REFER(&builder, "x-forwarded-proto", "http", 4);
	else
		REFER(&builder, "x-forwarded-proto", "https", 5);
	if (listener->request_id)
		put_request_id(&builder, stream, ours.id);
	stream->request.fields = builder.fields;
	stream->request.n = builder.n;
	return stream->route->request ? apply_edits(stream, headers, n) : 0;
}

static bool is_ours(const struct h2_header *header)
{
	return H2_HEADER_IS(header, "x-request-id") || H2_HEADER_IS(header, "x-forwarded-for") ||
	       H2_HEADER_IS(header, "x-forwarded-proto") || H2_HEADER_IS(header, "sluice-mirror");
}

int request_trailers(struct stream *stream, const struct h2_header *headers, size_t n)
{
	struct stream_headers *trailers = &stream->up.trailers;
	size_t kept = 0;

	if (stream_copy_headers(stream, trailers, headers, n))
		return -ENOMEM;
	for (size_t i = 0; i < trailers->n; i++)
		if (!is_ours(&trailers->fields[i]))
			trailers->fields[kept++] = trailers->fields[i];
	trailers->n = kept;
	return stream->route && stream->route->request ?
		       metadata_edit_trailers(stream->route->request, stream, trailers) :
		       0;
}
