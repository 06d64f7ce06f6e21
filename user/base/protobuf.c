/* SPDX-License-Identifier: MIT */
/*
 * protobuf.c - see protobuf.h. Used for the few messages of grpc.health.v1, from both sides: by the
 * monitor for what backends answer, by the workers for what clients ask.
 */
#include "base/protobuf.h"

#include <errno.h>

/* A base 128 varint from *at on; advances *at. */
static int read_varint(const uint8_t *bytes, size_t len, size_t *at, uint64_t *value)
{
	*value = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte;

		if (*at >= len)
			return -EBADMSG;
		byte = bytes[(*at)++];
		/* The tenth byte has room for one bit. */
		if (shift == 63 && byte > 1)
			return -EBADMSG;
		*value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return 0;
	}
	return -EBADMSG;
}

int protobuf_next(const uint8_t *message, size_t len, size_t *at, struct protobuf_field *field)
{
	uint64_t tag, size = 0;

	if (*at >= len)
		return 0;
	if (read_varint(message, len, at, &tag) || tag >> 3 == 0 || tag > UINT32_MAX)
		return -EBADMSG;
	*field = (struct protobuf_field){ .number = (uint32_t)(tag >> 3),
					  .kind = (enum protobuf_kind)(tag & 7) };
	switch (field->kind) {
	case PROTOBUF_VARINT:
		return read_varint(message, len, at, &field->value) ? -EBADMSG : 1;
	case PROTOBUF_FIXED64:
		size = 8;
		break;
	case PROTOBUF_BYTES:
		if (read_varint(message, len, at, &size))
			return -EBADMSG;
		break;
	case PROTOBUF_FIXED32:
		size = 4;
		break;
	default:
		return -EBADMSG;
	}
	if (size > len - *at)
		return -EBADMSG;
	field->bytes = message + *at;
	field->len = (size_t)size;
	*at += (size_t)size;
	return 1;
}
