/* SPDX-License-Identifier: MIT */
/*
 * load.h - the pure half of config_load, for its tests and the fuzzer: text in, config out, no
 * look at the machine.
 */
#ifndef SLUICE_CONFIG_LOAD_H
#define SLUICE_CONFIG_LOAD_H

#include "config/report.h"
#include "config/tree.h"

#define LOAD_FILE_MAX (4u << 20)

/* Parses, walks the schema and checks. Always fills tree (tree_done by the caller). NULL where
 * nothing could be made; else a config, good only where reporter has no errors. */
struct config *load_text(const uint8_t *bytes, size_t len, struct tree *tree,
			 struct reporter *reporter);

#endif
