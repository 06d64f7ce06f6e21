/* SPDX-License-Identifier: MIT */
/*
 * kernel_acl.h - access lists, from the config and by command, in force in the kernel. Parts of
 * kernel.h; the commands are control_acl.c's.
 */
#ifndef SLUICE_CONTROL_KERNEL_ACL_H
#define SLUICE_CONTROL_KERNEL_ACL_H

#include "control/kernel.h"

/* Every list of config in force; those that are already stay untouched. 0 or -errno after logging. */
int kernel_acl_guard(struct kernel *kernel, const struct config *config);
/* Lists of listeners that config has not go, with what was entered into them. */
void kernel_acl_retire(struct kernel *kernel, const struct config *config);
/* Whether the listener's row must name a list of its own. */
bool kernel_acl_is_used(const struct kernel *kernel, const struct config_listener *listener);

/* The command's: an entry more, or one less, in the list of a listener (NULL: the global one).
 * add: 0; -ENOSPC: too many edits or the list is full; -errno. del: 0, -ENOENT or -errno. */
int kernel_acl_add(struct kernel *kernel, const struct config *config, uint32_t slots,
		   const struct config_listener *listener, const struct bpf_acl_edit *edit);
int kernel_acl_del(struct kernel *kernel, const struct config *config, uint32_t slots,
		   const struct config_listener *listener, const struct prefix *prefix);
/* Once a second: takes out what has expired. */
void kernel_acl_expire(struct kernel *kernel, const struct config *config, uint32_t slots,
		       uint64_t now_ns);

#endif
