/* SPDX-License-Identifier: MIT */
/*
 * arena.h - bump allocation that is freed as a whole: the first bytes from memory that its owner
 * embeds, more from malloc. For what lives as long as one stream.
 */
#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
	struct arena_block *next;
	max_align_t bytes[];
};

struct arena {
	char *at;
	size_t left;
	size_t held; /* bytes of blocks, for whoever caps memory */
	struct arena_block *blocks;
};

/* bytes must be aligned for any type. */
static inline void arena_init(struct arena *arena, void *bytes, size_t size)
{
	arena->at = bytes;
	arena->left = size;
	arena->held = 0;
	arena->blocks = NULL;
}

static inline void arena_done(struct arena *arena)
{
	while (arena->blocks) {
		struct arena_block *next = arena->blocks->next;

		free(arena->blocks);
		arena->blocks = next;
	}
	arena->held = 0;
}

/* Aligned to 8 bytes. NULL: no memory. */
static inline void *arena_alloc(struct arena *arena, size_t size)
{
	void *at;

	size = (size + 7) & ~(size_t)7;
	if (size > arena->left) {
		/* A block of its own; what is left of the current one stays in use. */
		struct arena_block *block = malloc(sizeof(*block) + size);

		if (!block)
			return NULL;
		arena->held += sizeof(*block) + size;
		block->next = arena->blocks;
		arena->blocks = block;
		return block->bytes;
	}
	at = arena->at;
	arena->at += size;
	arena->left -= size;
	return at;
}

#endif
