/* SPDX-License-Identifier: MIT */
/*
 * check.h - what no single value shows: whether the parts of a config fit together. Pure; what
 * needs the machine (files, interfaces, users) is system.h's.
 */
#ifndef SLUICE_CONFIG_CHECK_H
#define SLUICE_CONFIG_CHECK_H

#include "config/report.h"
#include "config/tree.h"

/* config as read from root, maybe with holes where errors were reported. Also fills in each
 * listener's group. */
void check_config(struct reporter *reporter, struct config *config, const struct node *root);
/* check_config's part for the kernel mapping. */
void check_kernel(struct reporter *reporter, const struct config *config, const struct node *root);

#endif
