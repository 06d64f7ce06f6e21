/* SPDX-License-Identifier: MIT */
/*
 * kernel.c - see kernel.h. Called by the supervisor and reload.c; speaks to bpf_loader, and logs
 * what it reports. Decides when a failure is one line in the log (mode auto) or the end
 * (mode required). kernel_interfaces.c has where XDP runs, kernel_rules.c what the gate goes by.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/features.h"
#include "control/kernel.h"

static void log_lacks(const struct config *config)
{
	struct features features;

	features_read(&features, NULL);
	features_log(&features, config);
}

int kernel_open(struct kernel *kernel, const struct config *config, const struct rights *rights,
		const struct kernel_options *asked, int fds[STATE_FDS])
{
	const struct bpf_options options = {
		.pin_path = config->kernel.pin_path,
		.replace_maps = asked->replace_maps,
		.replace_foreign = asked->force,
		.chain = config->kernel.xdp_chain,
		.chain_priority = config->kernel.chain_priority,
	};

	memset(kernel, 0, sizeof(*kernel));
	acls_init(&kernel->acls);
	kernel->required = config->kernel.mode == KERNEL_REQUIRED;
	for (int i = 0; i < STATE_FDS; i++)
		fds[i] = -1;
	if (config->kernel.mode == KERNEL_OFF) {
		snprintf(kernel->why, sizeof(kernel->why), "kernel.mode is off");
		log_info("kernel side off: kernel.mode is off; SO_REUSEPORT spreads the connections");
		return 0;
	}
	int ret = bpf_open(&kernel->bpf, &options, kernel->why, sizeof(kernel->why));

	if (!ret) {
		ret = bpf_state_fds(kernel->bpf, fds);
		if (!ret) {
			log_lacks(config);
			return 0;
		}
		snprintf(kernel->why, sizeof(kernel->why), "maps' descriptors: %s", strerror(-ret));
		bpf_close(kernel->bpf, false);
	}
	kernel->bpf = NULL;
	if (ret == -EPERM && rights_bpf_fix(rights))
		snprintf(kernel->why, sizeof(kernel->why), "%s", rights_bpf_fix(rights));
	log_debug("what the BPF library said", F_STR("text", bpf_library_log()));
	/* Another daemon's pins, or another version's, are for the operator to decide on. */
	if (kernel->required || ret == -EBUSY || ret == -EEXIST) {
		log_error("cannot set up the kernel side", F_STR("reason", kernel->why), F_ERR(ret));
		return ret;
	}
	log_warn("kernel side off (kernel.mode auto): no XDP, SO_REUSEPORT spreads the connections",
		 F_STR("reason", kernel->why));
	return 0;
}

void kernel_close(struct kernel *kernel, bool keep)
{
	netlink_close(&kernel->netlink);
	bpf_close(kernel->bpf, keep);
	kernel->bpf = NULL;
	kernel_interfaces_done(kernel);
	acls_done(&kernel->acls);
}

void kernel_forget(struct kernel *kernel)
{
	bpf_forget(kernel->bpf);
	kernel->bpf = NULL;
	kernel_interfaces_done(kernel);
	acls_done(&kernel->acls);
}

void kernel_watch(struct kernel *kernel)
{
	if (!kernel->bpf)
		return;
	kernel_interfaces_watch(kernel);
	if (kernel->sk_lookup && !bpf_sk_lookup_is_on(kernel->bpf)) {
		kernel->sk_lookup = false;
		snprintf(kernel->why, sizeof(kernel->why),
			 "sk_lookup was detached from outside: a reload attaches it again");
		log_warn("sk_lookup lost: SO_REUSEPORT spreads the connections",
			 F_STR("reason", kernel->why));
	}
}

int kernel_sockets(struct kernel *kernel, const struct config *config,
		   const struct sockets *sockets)
{
	int ret = 0;

	if (!kernel->bpf)
		return 0;
	for (size_t i = 0; i < config->n_listeners; i++) {
		const struct socket_row *row = &sockets->rows[config->listeners[i].id];

		for (uint32_t slot = 0; row->used && slot < sockets->slots && !ret; slot++)
			ret = bpf_socket_set(kernel->bpf, config->listeners[i].id, slot,
					     row->fds[slot]);
	}
	if (ret) {
		snprintf(kernel->why, sizeof(kernel->why), "sockets map: %s", strerror(-ret));
	} else if (!kernel->sk_lookup) {
		ret = bpf_attach_sk_lookup(kernel->bpf, kernel->why, sizeof(kernel->why));
		if (!ret) {
			kernel->sk_lookup = true;
			kernel->why[0] = '\0';
			log_info("sk_lookup attached");
		}
	}
	if (!ret)
		return 0;
	log_at(kernel->required ? LOG_ERROR : LOG_WARN,
	       "cannot pick workers by sk_lookup: SO_REUSEPORT spreads the connections",
	       F_STR("reason", kernel->why), F_ERR(ret));
	return kernel->required ? ret : 0;
}
