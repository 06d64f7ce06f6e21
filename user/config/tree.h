/* SPDX-License-Identifier: MIT */
/*
 * tree.h - the file as nodes with their places: what parse.c makes and the schema walk and the
 * checks read. All nodes and texts of a tree live in its blocks and go with tree_done.
 */
#ifndef SLUICE_CONFIG_TREE_H
#define SLUICE_CONFIG_TREE_H

#include "config/config.h"

enum node_kind {
	NODE_BROKEN, /* reported by the parser already: say nothing more about it */
	NODE_SCALAR,
	NODE_SEQUENCE,
	NODE_MAPPING,
};

struct node {
	enum node_kind kind;
	bool quoted;	       /* a scalar in quotes is text, whatever it looks like */
	bool duplicate;	       /* its key was there before; reported by the parser */
	struct config_place place;
	const char *text;      /* of a scalar; holds no control characters */
	const char *key;       /* of a mapping's child, else NULL */
	struct config_place key_place;
	struct node *children; /* of a sequence or mapping, in order */
	struct node *last;
	size_t n_children;
	struct node *next; /* sibling */
};

struct tree_block;
struct tree {
	struct node *root; /* NULL: nothing in the file */
	struct tree_block *blocks;
};

#define node_for_each(child, node) for (child = (node)->children; child; child = child->next)

/* Zeroed memory that lives as long as the tree; NULL: no memory. */
void *tree_alloc(struct tree *tree, size_t size);
void tree_done(struct tree *tree);

/* The child of a mapping, NULL where there is none or node is no mapping (or NULL). */
const struct node *node_get(const struct node *node, const char *key);
/* "a mapping", "text", "a number", ... for messages. */
const char *node_describe(const struct node *node);

#endif
