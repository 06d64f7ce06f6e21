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
#include "control/acl.h"
#include "control/bpf_loader.h"
#include "control/cookies.h"
#include "control/netlink.h"
#include "control/rights.h"
#include "control/sockets.h"
#include "shared/state.h"

#define KERNEL_CHAIN_MAX 256

struct kernel_interface {
	char name[IF_NAMESIZE];
	enum config_xdp_mode wanted;
	int index; /* 0: there is no such interface now */
	enum bpf_xdp_used used;
	bool chained;
	char chain[KERNEL_CHAIN_MAX]; /* the programs of its dispatcher, in their order; "" */
	char why[BPF_WHY_MAX]; /* why not as asked, or what is odd about it; "" */
	bool changed; /* since the last try: worth another one */
	uint64_t tried_ns;
};

struct kernel_options {
	bool replace_maps;
	bool force; /* XDP programs of others on interfaces that are there at the start are replaced */
};

struct kernel {
	struct bpf *bpf; /* NULL: off */
	bool required;
	bool sk_lookup;
	char why[BPF_WHY_MAX]; /* why off, or without sk_lookup; "" */
	struct kernel_interface *interfaces; /* those of the config, in its order */
	size_t n_interfaces;
	struct netlink netlink;
	struct cookies cookies; /* what SYN cookies need */
	struct acls acls;
};

static inline bool kernel_is_on(const struct kernel *kernel)
{
	return kernel->bpf != NULL;
}

/* Opens the kernel side as the config's mode asks. fds: the mapped maps' descriptors, or -1 where
 * it is off. 0, or -errno after logging (mode required only). */
int kernel_open(struct kernel *kernel, const struct config *config, const struct rights *rights,
		const struct kernel_options *options, int fds[STATE_FDS]);
/* From now on interfaces that come, go or change are seen at once, not within a second. */
void kernel_follow(struct kernel *kernel, struct loop *loop);
/* Removes links and pins unless keep. */
void kernel_close(struct kernel *kernel, bool keep);
/* In a forked child: the netlink socket, in a loop that both share, is the parent's. */
void kernel_forget(struct kernel *kernel);

/* Before new listeners listen: every listener's limits and, where with_acl, the access lists, in an
 * order that leaves no packet under no rule. 0 or -errno after logging. */
int kernel_guard(struct kernel *kernel, struct state *state, const struct config *config,
		 uint32_t slots, bool with_acl);
/* XDP on the config's interfaces, off all others. One that does not exist gets it when it appears.
 * 0, or -errno after logging: mode required, and it was on before or is new; or an interface that the
 * config newly names carries somebody else's program. */
int kernel_attach_xdp(struct kernel *kernel, const struct config *config);
/* Once a second: notices and logs what was detached behind our back, so that what is reported is what
 * holds. The next reload puts it back. */
void kernel_watch(struct kernel *kernel);
/* Before a listener, or all (NULL), refuse new connections: no SYN gets a cookie from then on, which the
 * listener's sockets would know nothing of. */
void kernel_refuse(struct kernel *kernel, const struct config *config, uint32_t slots,
		   const struct config_listener *only);
/* It accepts again. */
void kernel_accept(struct kernel *kernel, const struct config *config, uint32_t slots,
		   const struct config_listener *listener);
/* Once a second: puts into the listeners' rows what changed of the sysctls that SYN cookies need. */
void kernel_watch_cookies(struct kernel *kernel, const struct config *config, uint32_t slots);
/* Its part for the interfaces, and their end. */
void kernel_interfaces_watch(struct kernel *kernel);
void kernel_interfaces_done(struct kernel *kernel);
/* After they listen: the sockets for sk_lookup, which is attached where it is not yet. 0 or
 * -errno after logging (required only). */
int kernel_sockets(struct kernel *kernel, const struct config *config,
		   const struct sockets *sockets);
/* After the commit: what only the old config has goes: listeners, their addresses and lists. */
void kernel_retire(struct kernel *kernel, const struct config *old, const struct config *now);

#endif
