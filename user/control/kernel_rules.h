/* SPDX-License-Identifier: MIT */
/*
 * kernel_rules.h - what the gate goes by, out of the config: rows of listeners, their addresses, limits.
 * Part of kernel.h, which has what others call; this is for kernel_acl.c.
 */
#ifndef SLUICE_CONTROL_KERNEL_RULES_H
#define SLUICE_CONTROL_KERNEL_RULES_H

#include "control/kernel.h"

/* One listener's row, made anew. 0 or -errno after logging. */
int kernel_rules_listener(struct kernel *kernel, const struct config *config,
			  const struct config_listener *listener, uint32_t slots);

#endif
