/* SPDX-License-Identifier: MIT */
/*
 * h2_fields.c - the fields of one header block: gathered while HPACK decodes it, bounded, and
 * checked as a whole by RFC 9113 section 8. Lives only while its block is being received; the last
 * one is kept for the next.
 */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/h2_session.h"

#define BYTES_MIN  4096u
#define BOMB_TIMES 8u

struct h2_fields {
	uint32_t max_bytes;
	enum h2_fields_verdict verdict;
	size_t list_bytes; /* as RFC 9113 6.5.2 counts */
	size_t n, len, cap;
	char *bytes;
	struct h2_header fields[H2_HEADERS_RECEIVED_MAX];
};

static struct h2_fields *spare;

struct h2_fields *h2_fields_new(uint32_t max_bytes)
{
	struct h2_fields *block = spare;

	if (block)
		spare = NULL;
	else
		block = calloc(1, sizeof(*block));
	if (!block)
		return NULL;
	block->max_bytes = max_bytes;
	block->verdict = H2_FIELDS_OK;
	block->n = block->len = block->list_bytes = 0;
	return block;
}

static void destroy(struct h2_fields *block)
{
	if (!block)
		return;
	free(block->bytes);
	free(block);
}

void h2_fields_free(struct h2_fields *block)
{
	if (block && !spare)
		spare = block;
	else
		destroy(block);
}

void h2_fields_pool_trim(void)
{
	destroy(spare);
	spare = NULL;
}

static int reserve(struct h2_fields *block, size_t size)
{
	size_t cap = block->cap ? block->cap : BYTES_MIN;
	char *bytes;

	if (block->len + size <= block->cap)
		return 0;
	while (cap < block->len + size)
		cap *= 2;
	bytes = malloc(cap);
	if (!bytes)
		return -1;
	if (block->len)
		memcpy(bytes, block->bytes, block->len);
	for (size_t i = 0; i < block->n; i++) {
		block->fields[i].name = bytes + (block->fields[i].name - block->bytes);
		block->fields[i].value = bytes + (block->fields[i].value - block->bytes);
	}
	free(block->bytes);
	block->bytes = bytes;
	block->cap = cap;
	return 0;
}

static const char *copy(struct h2_fields *block, const uint8_t *text, size_t len)
{
	char *at = block->bytes + block->len;

	memcpy(at, text, len);
	at[len] = '\0';
	block->len += len + 1;
	return at;
}

void h2_fields_add(struct h2_fields *block, const uint8_t *name, size_t name_len,
		   const uint8_t *value, size_t value_len, bool sensitive)
{
	struct h2_header *field;

	block->list_bytes += name_len + value_len + 32;
	if (block->list_bytes > block->max_bytes || block->n == H2_HEADERS_RECEIVED_MAX) {
		/* A small block that inflates without end is an attack, not a mistake. */
		if (block->list_bytes > (size_t)block->max_bytes * BOMB_TIMES)
			block->verdict = H2_FIELDS_BOMB;
		else if (block->verdict == H2_FIELDS_OK)
			block->verdict = H2_FIELDS_OVER;
		return;
	}
	if (reserve(block, name_len + value_len + 2)) {
		block->verdict = H2_FIELDS_NOMEM;
		return;
	}
	field = &block->fields[block->n++];
	field->name = copy(block, name, name_len);
	field->name_len = (uint32_t)name_len;
	field->value = copy(block, value, value_len);
	field->value_len = (uint32_t)value_len;
	field->sensitive = sensitive;
}

enum h2_fields_verdict h2_fields_so_far(const struct h2_fields *block)
{
	return block->verdict;
}

const struct h2_header *h2_fields_headers(const struct h2_fields *block, size_t *n)
{
	*n = block->n;
	return block->fields;
}

/* ---- checks ---- */

enum pseudo { METHOD = 1, SCHEME = 2, AUTHORITY = 4, PATH = 8, STATUS = 16 };

/* What of the pseudo-header fields a block has. */
struct seen {
	unsigned pseudo;
	bool connect, options, star_path, host;
};

static bool is_digits(const struct h2_header *field)
{
	for (uint32_t i = 0; i < field->value_len; i++)
		if (field->value[i] < '0' || field->value[i] > '9')
			return false;
	return field->value_len > 0;
}

/* False where the field is malformed or not known. */
static bool pseudo_ok(const struct h2_header *field, struct seen *seen)
{
	const uint8_t *value = (const uint8_t *)field->value;
	size_t len = field->value_len;
	unsigned bit = 0;

	if (H2_HEADER_IS(field, ":path")) {
		bit = PATH;
		seen->star_path = len == 1 && value[0] == '*';
		/* With a fragment, which has no place here, we and the backend might read two paths. */
		if (!len || (value[0] != '/' && !seen->star_path) ||
		    !nghttp2_check_path(value, len) || memchr(value, '#', len))
			return false;
	} else if (H2_HEADER_IS(field, ":method")) {
		bit = METHOD;
		seen->connect = len == 7 && !memcmp(value, "CONNECT", 7);
		seen->options = len == 7 && !memcmp(value, "OPTIONS", 7);
		if (!nghttp2_check_method(value, len))
			return false;
	} else if (H2_HEADER_IS(field, ":scheme")) {
		bit = SCHEME;
		if (!len || !nghttp2_check_header_value_rfc9113(value, len))
			return false;
	} else if (H2_HEADER_IS(field, ":authority")) {
		bit = AUTHORITY;
		if (!nghttp2_check_authority(value, len))
			return false;
	} else if (H2_HEADER_IS(field, ":status")) {
		bit = STATUS;
		if (len != 3 || !is_digits(field) || value[0] == '0')
			return false;
	}
	if (!bit || seen->pseudo & bit)
		return false;
	seen->pseudo |= bit;
	return true;
}

bool h2_header_is_connection_specific(const struct h2_header *field)
{
	switch (field->name_len) {
	case 2:
		return H2_HEADER_IS(field, "te") &&
		       (field->value_len != 8 || memcmp(field->value, "trailers", 8));
	case 7:
		return H2_HEADER_IS(field, "upgrade");
	case 10:
		return H2_HEADER_IS(field, "connection") || H2_HEADER_IS(field, "keep-alive");
	case 16:
		return H2_HEADER_IS(field, "proxy-connection");
	case 17:
		return H2_HEADER_IS(field, "transfer-encoding");
	default:
		return false;
	}
}

static bool content_length_ok(const struct h2_header *field, int64_t *content_length)
{
	int64_t value = 0;

	if (!is_digits(field) || field->value_len > 18 || *content_length >= 0)
		return false;
	for (uint32_t i = 0; i < field->value_len; i++)
		value = value * 10 + (field->value[i] - '0');
	*content_length = value;
	return true;
}

static bool pseudo_complete(const struct seen *seen, enum h2_block kind)
{
	switch (kind) {
	case H2_BLOCK_REQUEST:
		if (seen->pseudo & STATUS || !(seen->pseudo & METHOD))
			return false;
		if (seen->connect)
			return seen->pseudo == (METHOD | AUTHORITY);
		return (seen->pseudo & (SCHEME | PATH)) == (SCHEME | PATH) &&
		       (seen->pseudo & AUTHORITY || seen->host) &&
		       (!seen->star_path || seen->options);
	case H2_BLOCK_TRAILERS:
		return !seen->pseudo;
	default:
		return seen->pseudo == STATUS;
	}
}

enum h2_fields_verdict h2_fields_check(struct h2_fields *block, enum h2_block kind,
				       int64_t *content_length)
{
	struct seen seen = { 0 };
	bool regular = false;

	*content_length = -1;
	if (block->verdict != H2_FIELDS_OK)
		return block->verdict;
	for (size_t i = 0; i < block->n; i++) {
		const struct h2_header *field = &block->fields[i];

		if (field->name_len && field->name[0] == ':') {
			if (regular || !pseudo_ok(field, &seen))
				return H2_FIELDS_MALFORMED;
			continue;
		}
		regular = true;
		if (!nghttp2_check_header_name((const uint8_t *)field->name, field->name_len) ||
		    !nghttp2_check_header_value_rfc9113((const uint8_t *)field->value,
							field->value_len) ||
		    h2_header_is_connection_specific(field))
			return H2_FIELDS_MALFORMED;
		if (H2_HEADER_IS(field, "host")) {
			/* Of two, the backend might believe another than routes do. */
			if (seen.host && kind == H2_BLOCK_REQUEST)
				return H2_FIELDS_MALFORMED;
			seen.host = true;
		} else if (kind != H2_BLOCK_TRAILERS && H2_HEADER_IS(field, "content-length") &&
			 !content_length_ok(field, content_length))
			return H2_FIELDS_MALFORMED;
	}
	return pseudo_complete(&seen, kind) ? H2_FIELDS_OK : H2_FIELDS_MALFORMED;
}
