/* SPDX-License-Identifier: MIT */
/*
 * protobuf.h - reads the fields of a protobuf message, one by one. Knows no message: what a field's
 * number means is the caller's. Pure.
 */
#ifndef SLUICE_BASE_PROTOBUF_H
#define SLUICE_BASE_PROTOBUF_H

#include <stddef.h>
#include <stdint.h>

enum protobuf_kind {
	PROTOBUF_VARINT = 0,
	PROTOBUF_FIXED64 = 1,
	PROTOBUF_BYTES = 2,
	PROTOBUF_FIXED32 = 5,
};

struct protobuf_field {
	uint32_t number;
	enum protobuf_kind kind;
	uint64_t value;	      /* of a varint */
	const uint8_t *bytes; /* of all others: in the message */
	size_t len;
};

/* The field that begins at *at, which moves behind it. 1: a field; 0: the message ends here;
 * -EBADMSG: it is malformed (groups are: proto3 has none). */
int protobuf_next(const uint8_t *message, size_t len, size_t *at, struct protobuf_field *field);

#endif
