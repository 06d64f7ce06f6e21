/* SPDX-License-Identifier: MIT */
/*
 * h2_mem.c - see h2_mem.h. A block carries its capacity in a header of 16 bytes, and returns to the
 * free list of its class; larger ones are malloc's.
 */
#include "proxy/h2_mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define STEP	     ((size_t)64)
#define CLASS_MAX    ((size_t)1024)
#define CLASSES	     (CLASS_MAX / STEP)
#define KEEP_A_CLASS 4096u

struct block {
	union {
		struct block *next; /* while free */
		size_t capacity;    /* while in use: bytes after the header */
	};
	max_align_t bytes[];
};

static struct {
	struct block *free;
	uint32_t n;
} classes[CLASSES];

static struct block *header_of(void *bytes)
{
	return (struct block *)(void *)((uint8_t *)bytes - sizeof(struct block));
}

void *h2_mem_alloc(size_t size)
{
	size_t class = size ? (size - 1) / STEP : 0;
	struct block *block;

	if (class < CLASSES && classes[class].free) {
		block = classes[class].free;
		classes[class].free = block->next;
		classes[class].n--;
		block->capacity = (class + 1) * STEP;
		return block->bytes;
	}
	if (size > SIZE_MAX - STEP - sizeof(*block))
		return NULL;
	size = (class + 1) * STEP;
	block = malloc(sizeof(*block) + size);
	if (!block)
		return NULL;
	block->capacity = size;
	return block->bytes;
}

void h2_mem_free(void *bytes)
{
	struct block *block;
	size_t class;

	if (!bytes)
		return;
	block = header_of(bytes);
	class = block->capacity / STEP - 1;
	if (class >= CLASSES || classes[class].n >= KEEP_A_CLASS) {
		free(block);
		return;
	}
	block->next = classes[class].free;
	classes[class].free = block;
	classes[class].n++;
}

void *h2_mem_zalloc(size_t n, size_t size)
{
	void *bytes;

	if (__builtin_mul_overflow(n, size, &size))
		return NULL;
	bytes = h2_mem_alloc(size);
	if (bytes)
		memset(bytes, 0, size);
	return bytes;
}

void *h2_mem_resize(void *bytes, size_t size)
{
	size_t capacity;
	void *grown;

	if (!bytes)
		return h2_mem_alloc(size);
	capacity = header_of(bytes)->capacity;
	if (size <= capacity)
		return bytes;
	grown = h2_mem_alloc(size);
	if (!grown)
		return NULL;
	memcpy(grown, bytes, capacity);
	h2_mem_free(bytes);
	return grown;
}

void h2_mem_trim(void)
{
	for (size_t class = 0; class < CLASSES; class++) {
		while (classes[class].free) {
			struct block *next = classes[class].free->next;

			free(classes[class].free);
			classes[class].free = next;
		}
		classes[class].n = 0;
	}
}
