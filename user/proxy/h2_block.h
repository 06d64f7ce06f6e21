/* SPDX-License-Identifier: MIT */
/*
 * h2_block.h - a header block that is being received: its fields, gathered until it is complete.
 * Used by h2_session.c only.
 */
#ifndef SLUICE_PROXY_H2_BLOCK_H
#define SLUICE_PROXY_H2_BLOCK_H

#include "proxy/h2.h"

#define H2_BLOCK_FIELDS_MAX 512 /* more counts as too large */

struct h2_block_buffer {
	int32_t id; /* of the stream */
	bool too_large;
	size_t list_bytes; /* as RFC 9113 6.5.2 counts */
	size_t n, len, cap;
	char *bytes;
	struct h2_header headers[H2_BLOCK_FIELDS_MAX];
};

/* An empty one for stream id. NULL: no memory. */
struct h2_block_buffer *h2_block_get(int32_t id);
void h2_block_put(struct h2_block_buffer *block); /* takes NULL */
/* Copies one field, while n is below H2_BLOCK_FIELDS_MAX. 0 or -ENOMEM. */
int h2_block_add(struct h2_block_buffer *block, const char *name, size_t name_len,
		 const char *value, size_t value_len, bool sensitive);
/* Frees what is kept for reuse. */
void h2_block_trim(void);

#endif
