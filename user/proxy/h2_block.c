/* SPDX-License-Identifier: MIT */
/*
 * h2_block.c - see h2_block.h. A buffer lives only while its block is incomplete, mostly within one
 * read: one is kept, and all connections use it in turn. A large one is not kept.
 */
#include "proxy/h2_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_BYTES ((size_t)64 * 1024)

static struct h2_block_buffer *spare;

struct h2_block_buffer *h2_block_get(int32_t id)
{
	struct h2_block_buffer *block = spare;

	if (block)
		spare = NULL;
	else
		block = calloc(1, sizeof(*block));
	if (!block)
		return NULL;
	block->id = id;
	block->too_large = false;
	block->n = block->len = block->list_bytes = 0;
	return block;
}

static void block_free(struct h2_block_buffer *block)
{
	free(block->bytes);
	free(block);
}

void h2_block_put(struct h2_block_buffer *block)
{
	if (!block)
		return;
	if (spare || block->cap > KEEP_BYTES)
		block_free(block);
	else
		spare = block;
}

void h2_block_trim(void)
{
	if (spare)
		block_free(spare);
	spare = NULL;
}

static const char *block_copy(struct h2_block_buffer *block, const char *text, size_t len)
{
	char *at = block->bytes + block->len;

	memcpy(at, text, len);
	at[len] = '\0';
	block->len += len + 1;
	return at;
}

static int block_reserve(struct h2_block_buffer *block, size_t size)
{
	size_t cap = block->cap ? block->cap : 4096;
	char *bytes;

	if (block->len + size <= block->cap)
		return 0;
	while (cap < block->len + size)
		cap *= 2;
	bytes = malloc(cap);
	if (!bytes)
		return -ENOMEM;
	if (block->len)
		memcpy(bytes, block->bytes, block->len);
	for (size_t i = 0; i < block->n; i++) {
		block->headers[i].name = bytes + (block->headers[i].name - block->bytes);
		block->headers[i].value = bytes + (block->headers[i].value - block->bytes);
	}
	free(block->bytes);
	block->bytes = bytes;
	block->cap = cap;
	return 0;
}

int h2_block_add(struct h2_block_buffer *block, const char *name, size_t name_len,
		 const char *value, size_t value_len, bool sensitive)
{
	struct h2_header *header;

	if (block_reserve(block, name_len + value_len + 2))
		return -ENOMEM;
	header = &block->headers[block->n++];
	header->name = block_copy(block, name, name_len);
	header->name_len = (uint32_t)name_len;
	header->value = block_copy(block, value, value_len);
	header->value_len = (uint32_t)value_len;
	header->sensitive = sensitive;
	return 0;
}
