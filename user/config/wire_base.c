/* SPDX-License-Identifier: MIT */
/*
 * wire_base.c - see wire_base.h: the pieces that a config in flat bytes is made of.
 */
#include "config/wire_base.h"

#include <stdlib.h>
#include <string.h>

#define WIRE_ABSENT UINT64_MAX /* the length of a text that is NULL */

void wire_raw(struct wire *wire, void *bytes, size_t size)
{
	switch (wire->mode) {
	case WIRE_MEASURE:
		break;
	case WIRE_WRITE:
		memcpy(wire->out + wire->at, bytes, size);
		break;
	case WIRE_READ:
		if (wire->failed || size > wire->len - wire->at) {
			wire->failed = true;
			return;
		}
		memcpy(bytes, wire->in + wire->at, size);
		break;
	}
	wire->at += size;
}

void wire_u64(struct wire *wire, uint64_t *value)
{
	wire_raw(wire, value, sizeof(*value));
}

void wire_u32(struct wire *wire, uint32_t *value)
{
	wire_raw(wire, value, sizeof(*value));
}

void wire_u16(struct wire *wire, uint16_t *value)
{
	wire_raw(wire, value, sizeof(*value));
}

void wire_u8(struct wire *wire, uint8_t *value)
{
	wire_raw(wire, value, sizeof(*value));
}

void wire_bool(struct wire *wire, bool *value)
{
	uint8_t byte = *value;

	wire_u8(wire, &byte);
	if (byte > 1)
		wire->failed = true;
	else
		*value = byte;
}

uint32_t wire_below(struct wire *wire, uint32_t value, uint32_t limit)
{
	wire_u32(wire, &value);
	if (value < limit)
		return value;
	wire->failed = true;
	return 0;
}

void wire_bytes(struct wire *wire, uint8_t **bytes, size_t *len)
{
	uint64_t n = *len;

	wire_u64(wire, &n);
	if (wire->mode == WIRE_READ) {
		if (wire->failed || n > wire->len - wire->at) {
			wire->failed = true;
			return;
		}
		if (!n)
			return;
		*bytes = malloc(n);
		if (!*bytes) {
			wire->failed = true;
			return;
		}
		*len = n;
	}
	if (n)
		wire_raw(wire, *bytes, n);
}

void wire_text(struct wire *wire, char **text)
{
	uint64_t n = *text ? strlen(*text) : WIRE_ABSENT;

	wire_u64(wire, &n);
	if (wire->failed || n == WIRE_ABSENT)
		return;
	if (wire->mode == WIRE_READ) {
		if (n > wire->len - wire->at || memchr(wire->in + wire->at, '\0', n)) {
			wire->failed = true;
			return;
		}
		*text = calloc(1, n + 1);
		if (!*text) {
			wire->failed = true;
			return;
		}
	}
	wire_raw(wire, *text, n);
}

void wire_some_text(struct wire *wire, char **text)
{
	wire_text(wire, text);
	if (!*text)
		wire->failed = true;
}

void wire_addr(struct wire *wire, struct addr *addr)
{
	uint32_t len = addr->len;

	wire_u32(wire, &len);
	if (wire->failed || (len != 0 && len != sizeof(addr->v4) && len != sizeof(addr->v6))) {
		wire->failed = true;
		return;
	}
	wire_raw(wire, &addr->sa, len);
	if (wire->failed)
		return;
	if (len && addr->sa.sa_family != (len == sizeof(addr->v4) ? AF_INET : AF_INET6))
		wire->failed = true;
	addr->len = len;
}

size_t wire_array(struct wire *wire, void *items_, size_t *count, size_t size, size_t max)
{
	void **items = items_;
	uint64_t n = *count;

	wire_u64(wire, &n);
	if (wire->mode != WIRE_READ) {
		if (n > max)
			wire->failed = true;
		return n;
	}
	if (wire->failed || n > wire->len - wire->at || n > max) {
		wire->failed = true;
		return 0;
	}
	if (!n)
		return 0;
	*items = calloc(n, size);
	if (!*items) {
		wire->failed = true;
		return 0;
	}
	*count = n;
	return n;
}

void wire_place(struct wire *wire, struct config_place *place)
{
	wire_u32(wire, &place->line);
	wire_u32(wire, &place->column);
}

void wire_rate(struct wire *wire, struct config_rate *rate)
{
	wire_u64(wire, &rate->interval_ns);
	wire_u32(wire, &rate->burst);
}

void wire_prefix(struct wire *wire, struct prefix *prefix)
{
	wire_raw(wire, prefix->bytes, sizeof(prefix->bytes));
	wire_u8(wire, &prefix->family);
	wire_u8(wire, &prefix->len);
	if (!(prefix->family == AF_INET && prefix->len <= 32) &&
	    !(prefix->family == AF_INET6 && prefix->len <= 128))
		wire->failed = true;
}

void wire_texts(struct wire *wire, struct config_texts *texts)
{
	size_t n = wire_array(wire, &texts->items, &texts->n, sizeof(*texts->items), BOUNDS_TEXTS);

	for (size_t i = 0; i < n && !wire->failed; i++)
		wire_some_text(wire, &texts->items[i]);
}

void wire_key(struct wire *wire, struct config_key *key)
{
	WIRE_ENUM(wire, key->source, KEY_PATH + 1);
	wire_text(wire, &key->metadata);
	if (key->source == KEY_METADATA && !key->metadata)
		wire->failed = true;
}

void wire_certificate(struct wire *wire, struct config_certificate *certificate)
{
	wire_some_text(wire, &certificate->chain_path);
	wire_some_text(wire, &certificate->key_path);
	wire_bytes(wire, &certificate->chain_pem, &certificate->chain_len);
	wire_bytes(wire, &certificate->key_pem, &certificate->key_len);
	wire_place(wire, &certificate->place);
}
