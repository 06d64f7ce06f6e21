/* SPDX-License-Identifier: MIT */
/*
 * system.h - what a config asks of the machine: certificate files, interfaces, users. Reads the
 * certificates into the config.
 */
#ifndef SLUICE_CONFIG_SYSTEM_H
#define SLUICE_CONFIG_SYSTEM_H

#include "config/report.h"
#include "config/tree.h"

/* After check_config. Relative paths of PEM files and access lists start at the config file's folder,
 * and are replaced by what was opened. */
void system_check(struct reporter *reporter, struct config *config, const struct node *root,
		  const struct config_hooks *hooks);

/* Its part for PEM files (system_pem.c). */
void system_check_pem(struct reporter *reporter, struct config *config, const struct node *root,
		      const struct config_hooks *hooks);
/* ... and for access lists (system_acl.c). */
void system_check_acls(struct reporter *reporter, struct config *config);
/* Makes *path relative to the config's folder. False: no memory. */
bool system_resolve(const char *config_path, char **path);

#endif
