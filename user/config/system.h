/* SPDX-License-Identifier: MIT */
/*
 * system.h - what a config asks of the machine: certificate files, interfaces, users. Reads the
 * certificates into the config.
 */
#ifndef SLUICE_CONFIG_SYSTEM_H
#define SLUICE_CONFIG_SYSTEM_H

#include "config/report.h"
#include "config/tree.h"

/* After check_config. Relative certificate paths start at the config file's folder, and are
 * replaced by what was opened. */
void system_check(struct reporter *reporter, struct config *config, const struct node *root,
		  int (*check_certificate)(const uint8_t *chain_pem, size_t chain_len,
					   const uint8_t *key_pem, size_t key_len, char *why,
					   size_t why_size, bool *expired));

#endif
