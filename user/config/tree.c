/* SPDX-License-Identifier: MIT */
/*
 * tree.c - see tree.h. Nodes are carved from blocks, so that freeing a tree never recurses and a
 * half-built one needs no care.
 */
#include "config/tree.h"

#include <stdlib.h>
#include <string.h>

#include "config/scalar.h"

#define TREE_BLOCK_SIZE 16384

struct tree_block {
	struct tree_block *next;
	size_t used, size;
	max_align_t bytes[];
};

void *tree_alloc(struct tree *tree, size_t size)
{
	struct tree_block *block = tree->blocks;
	void *memory;

	size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if (!block || block->size - block->used < size) {
		size_t room = size > TREE_BLOCK_SIZE ? size : TREE_BLOCK_SIZE;

		block = calloc(1, sizeof(*block) + room);
		if (!block)
			return NULL;
		block->size = room;
		block->next = tree->blocks;
		tree->blocks = block;
	}
	memory = (char *)block->bytes + block->used;
	block->used += size;
	return memory;
}

void tree_done(struct tree *tree)
{
	struct tree_block *next;

	for (struct tree_block *block = tree->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	*tree = (struct tree){ 0 };
}

const struct node *node_get(const struct node *node, const char *key)
{
	const struct node *child;

	if (!node || node->kind != NODE_MAPPING)
		return NULL;
	node_for_each(child, node)
		if (!child->duplicate && strcmp(child->key, key) == 0)
			return child;
	return NULL;
}

const char *node_describe(const struct node *node)
{
	switch (node->kind) {
	case NODE_MAPPING:
		return "a mapping";
	case NODE_SEQUENCE:
		return "a sequence";
	case NODE_SCALAR:
		return scalar_describe(node);
	case NODE_BROKEN:
		break;
	}
	return "broken";
}
