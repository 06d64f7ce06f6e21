/* SPDX-License-Identifier: MIT */
/*
 * parse.h - YAML text to a tree of nodes. Takes the plain part of YAML: one document, no anchors,
 * aliases or tags, bounded depth and size.
 */
#ifndef SLUICE_CONFIG_PARSE_H
#define SLUICE_CONFIG_PARSE_H

#include "config/report.h"
#include "config/tree.h"

#define PARSE_DEPTH_MAX 32
#define PARSE_KEYS_MAX 64	 /* of one mapping; the schema knows far fewer */
#define PARSE_NODES_MAX 500000

/* Fills tree; the caller calls tree_done either way. False: something was reported that makes the
 * tree useless to look at further. (Duplicate keys and the like are reported and leave it true.) */
bool parse_tree(struct tree *tree, const uint8_t *bytes, size_t len, struct reporter *reporter);

#endif
