/* SPDX-License-Identifier: MIT */
/*
 * h2_mem.c - see h2_mem.h. A small block carries its class in a header of 16 bytes and returns to
 * the class's free list. A large one (an nghttp2 session has a 16 KiB frame buffer and a 4 KiB
 * stream table) is a slot of a slab of pages. Slots are zero pages until they are written, and
 * become so again when they are freed.
 */
#include "proxy/h2_mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE	     ((size_t)4096)
#define LARGE_MIN    PAGE
#define SLOT_SIZE    (5 * PAGE)
#define SLAB_SLOTS   64
#define SMALL_STEP   ((size_t)64)
#define SMALL_MAX    ((size_t)1024)
#define CLASSES	     (SMALL_MAX / SMALL_STEP)
#define KEEP_A_CLASS 4096u

struct small {
	union {
		struct small *next; /* while free */
		size_t capacity;    /* while in use: bytes after the header */
	};
	max_align_t bytes[];
};

struct slab {
	struct slab *next;
	uint8_t *slots;
	uint32_t n_free;
	uint64_t free; /* bit n: slot n */
};

static struct {
	struct small *free;
	uint32_t n;
} classes[CLASSES];

static struct slab *slabs;

/* ---- large blocks ---- */

static struct slab *slab_of(const void *block)
{
	const uint8_t *at = block;

	/* Slots are page aligned; a small block is so by accident at most. */
	if ((uintptr_t)at % PAGE)
		return NULL;
	for (struct slab *slab = slabs; slab; slab = slab->next)
		if (at >= slab->slots && at < slab->slots + SLAB_SLOTS * SLOT_SIZE)
			return slab;
	return NULL;
}

static void *slot_get(void)
{
	struct slab *slab = slabs;
	int slot;

	while (slab && !slab->n_free)
		slab = slab->next;
	if (!slab) {
		slab = malloc(sizeof(*slab));
		if (!slab)
			return NULL;
		slab->slots = mmap(NULL, SLAB_SLOTS * SLOT_SIZE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (slab->slots == MAP_FAILED) {
			free(slab);
			return NULL;
		}
		/* A huge page would be resident as a whole. */
		madvise(slab->slots, SLAB_SLOTS * SLOT_SIZE, MADV_NOHUGEPAGE);
		slab->free = UINT64_MAX;
		slab->n_free = SLAB_SLOTS;
		slab->next = slabs;
		slabs = slab;
	}
	slot = __builtin_ctzll(slab->free);
	slab->free &= ~(1ull << slot);
	slab->n_free--;
	return slab->slots + (size_t)slot * SLOT_SIZE;
}

static void slot_put(struct slab *slab, void *block)
{
	size_t slot = (size_t)((uint8_t *)block - slab->slots) / SLOT_SIZE;
	struct slab **link;

	madvise(block, SLOT_SIZE, MADV_DONTNEED);
	slab->free |= 1ull << slot;
	slab->n_free++;
	/* To the front, where the next one is looked for. */
	link = &slabs;
	while (*link != slab)
		link = &(*link)->next;
	*link = slab->next;
	slab->next = slabs;
	slabs = slab;
}

void h2_mem_discard(void *block)
{
	if (block && slab_of(block))
		madvise(block, SLOT_SIZE, MADV_DONTNEED);
}

/* ---- small blocks ---- */

static struct small *header_of(void *block)
{
	return (struct small *)(void *)((uint8_t *)block - sizeof(struct small));
}

void *h2_mem_alloc(size_t size)
{
	size_t class = size ? (size - 1) / SMALL_STEP : 0;
	struct small *small;

	if (size >= LARGE_MIN && size <= SLOT_SIZE)
		return slot_get();
	if (class < CLASSES && classes[class].free) {
		small = classes[class].free;
		classes[class].free = small->next;
		classes[class].n--;
		small->capacity = (class + 1) * SMALL_STEP;
		return small->bytes;
	}
	if (size > SIZE_MAX - SMALL_STEP - sizeof(*small))
		return NULL;
	size = (size / SMALL_STEP + 1) * SMALL_STEP;
	if (class < CLASSES)
		size = (class + 1) * SMALL_STEP;
	small = malloc(sizeof(*small) + size);
	if (!small)
		return NULL;
	small->capacity = size;
	return small->bytes;
}

void h2_mem_free(void *block)
{
	struct slab *slab = block ? slab_of(block) : NULL;
	struct small *small;
	size_t class;

	if (!block)
		return;
	if (slab) {
		slot_put(slab, block);
		return;
	}
	small = header_of(block);
	class = small->capacity / SMALL_STEP - 1;
	if (class >= CLASSES || classes[class].n >= KEEP_A_CLASS) {
		free(small);
		return;
	}
	small->next = classes[class].free;
	classes[class].free = small;
	classes[class].n++;
}

void *h2_mem_zalloc(size_t n, size_t size)
{
	void *block;

	if (__builtin_mul_overflow(n, size, &size))
		return NULL;
	block = h2_mem_alloc(size);
	/* A slot is zero already, and stays untouched that way. */
	if (block && !slab_of(block))
		memset(block, 0, size);
	return block;
}

void *h2_mem_resize(void *block, size_t size)
{
	struct slab *slab = block ? slab_of(block) : NULL;
	size_t capacity;
	void *grown;

	if (!block)
		return h2_mem_alloc(size);
	capacity = slab ? SLOT_SIZE : header_of(block)->capacity;
	if (size <= capacity)
		return block;
	grown = h2_mem_alloc(size);
	if (!grown)
		return NULL;
	memcpy(grown, block, capacity < size ? capacity : size);
	h2_mem_free(block);
	return grown;
}

void h2_mem_trim(void)
{
	struct slab **link = &slabs;

	for (size_t class = 0; class < CLASSES; class++) {
		while (classes[class].free) {
			struct small *next = classes[class].free->next;

			free(classes[class].free);
			classes[class].free = next;
		}
		classes[class].n = 0;
	}
	while (*link) {
		struct slab *slab = *link;

		if (slab->n_free < SLAB_SLOTS) {
			link = &slab->next;
			continue;
		}
		*link = slab->next;
		munmap(slab->slots, SLAB_SLOTS * SLOT_SIZE);
		free(slab);
	}
}
