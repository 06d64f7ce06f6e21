/* SPDX-License-Identifier: MIT */
/*
 * kernel.h - the kernel side in the supervisor's terms: on or off and why, what must be in the maps
 * before, at and after a commit. Every call is harmless where it is off.
 */
#ifndef SLUICE_CONTROL_KERNEL_H
#define SLUICE_CONTROL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "control/bpf_loader.h"
#include "control/cookies.h"
#include "control/rights.h"
#include "control/sockets.h"
#include "shared/state.h"

struct kernel_interface {
	char name[32];
	enum bpf_xdp_used used;
	char why[BPF_WHY_MAX]; /* why not as asked; "" */
};

struct kernel {
	struct bpf *bpf; /* NULL: off */
	bool required;
	bool sk_lookup;
	char why[BPF_WHY_MAX]; /* why off, or without sk_lookup; "" */
	struct kernel_interface *interfaces; /* those of the config, in its order */
	size_t n_interfaces;
	struct cookies cookies; /* what SYN cookies need */
};

static inline bool kernel_is_on(const struct kernel *kernel)
{
	return kernel->bpf != NULL;
}

/* Opens the kernel side as the config's mode asks. fds: the mapped maps' descriptors, or -1 where
 * it is off. 0, or -errno after logging (mode required only). */
int kernel_open(struct kernel *kernel, const struct config *config, const struct rights *rights,
		bool replace_maps, int fds[STATE_FDS]);
/* Removes links and pins unless keep. */
void kernel_close(struct kernel *kernel, bool keep);
/* In a forked child. */
void kernel_forget(struct kernel *kernel);

/* Before new listeners listen: every listener's limits and, where with_acl, the ACL, in an order
 * that leaves no packet under no rule. 0 or -errno after logging. */
int kernel_guard(struct kernel *kernel, const struct config *config, uint32_t slots,
		 bool with_acl);
/* XDP on the config's interfaces, off all others. 0, or -errno after logging (required only). */
int kernel_attach_xdp(struct kernel *kernel, const struct config *config);
/* Once a second: notices and logs what was detached behind our back, so that what is reported is what
 * holds. The next reload puts it back. */
void kernel_watch(struct kernel *kernel);
/* Once a second: puts into the listeners' rows what changed of the sysctls that SYN cookies need. */
void kernel_watch_cookies(struct kernel *kernel, const struct config *config, uint32_t slots);
/* After they listen: the sockets for sk_lookup, which is attached where it is not yet. 0 or
 * -errno after logging (required only). */
int kernel_sockets(struct kernel *kernel, const struct config *config,
		   const struct sockets *sockets);
/* After the commit: listeners that only the old config has. */
void kernel_retire(struct kernel *kernel, const struct config *old, const struct config *now);

#endif
