/* SPDX-License-Identifier: MIT */
/*
 * kernel.c - see kernel.h. Called by the supervisor and reload.c; speaks to bpf_loader, and logs
 * what it reports. Decides when a failure is one line in the log (mode auto) or the end
 * (mode required). Its other half, kernel_interfaces.c, has where XDP runs.
 */
#include <errno.h>
#include <netinet/in.h>
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
	bpf_close(kernel->bpf, keep);
	kernel->bpf = NULL;
	kernel_interfaces_done(kernel);
}

void kernel_forget(struct kernel *kernel)
{
	bpf_forget(kernel->bpf);
	kernel->bpf = NULL;
	kernel_interfaces_done(kernel);
}

static void rate_fill(const struct config_rate *rate, __u64 *interval_ns, __u64 *tolerance_ns)
{
	*interval_ns = rate->interval_ns;
	*tolerance_ns = rate->interval_ns && rate->burst > 1 ?
				rate->interval_ns * (rate->burst - 1) :
				0;
}

static bool listener_has_acl(const struct config_listener *listener)
{
	return listener->acl.n_deny || listener->acl.n_allow;
}

static int set_listeners(struct kernel *kernel, const struct config *config, uint32_t slots)
{
	for (size_t i = 0; i < config->n_listeners; i++) {
		const struct config_listener *listener = &config->listeners[i];
		struct sluice_listener value = {
			.id = listener->id,
			.group = listener->group == CONFIG_NO_GROUP ?
					 SLUICE_GROUP_NONE :
					 config->groups[listener->group].id,
			.slots = slots,
			.acl = listener_has_acl(listener) ? 1 + listener->id : 0,
			.source_connections = config->kernel.source_connections,
		};

		rate_fill(&config->kernel.per_source, &value.source_interval_ns,
			  &value.source_tolerance_ns);
		rate_fill(&listener->new_connections, &value.listener_interval_ns,
			  &value.listener_tolerance_ns);
		cookies_fill(&kernel->cookies, listener, &value);
		int ret = bpf_listener_set(kernel->bpf, &listener->address, &value);

		if (ret) {
			log_error("cannot put a listener into the maps",
				  F_STR("listener", listener->name), F_ERR(ret));
			return ret;
		}
	}
	return 0;
}

static int set_acl(struct kernel *kernel, uint32_t id, const struct config_acl *acl)
{
	int ret = bpf_acl_replace(kernel->bpf, id, acl->deny, acl->n_deny, acl->allow, acl->n_allow);

	if (ret)
		log_error("cannot put an access list into the maps", F_UINT("deny", acl->n_deny),
			  F_UINT("allow", acl->n_allow), F_ERR(ret));
	return ret;
}

static int set_acls(struct kernel *kernel, const struct config *config)
{
	int ret = set_acl(kernel, 0, &config->kernel.acl);

	for (size_t i = 0; i < config->n_listeners && !ret; i++)
		ret = set_acl(kernel, 1 + config->listeners[i].id, &config->listeners[i].acl);
	return ret;
}

int kernel_guard(struct kernel *kernel, const struct config *config, uint32_t slots, bool with_acl)
{
	int ret;

	if (!kernel->bpf)
		return 0;
	bool changed = cookies_read(&kernel->cookies);

	if (config->kernel.n_interfaces && (changed || with_acl))
		cookies_log(&kernel->cookies, config);
	/* A list before the listener that points to it. */
	ret = with_acl ? set_acls(kernel, config) : 0;
	return ret ? ret : set_listeners(kernel, config, slots);
}

void kernel_watch_cookies(struct kernel *kernel, const struct config *config, uint32_t slots)
{
	if (!kernel->bpf || !config->kernel.n_interfaces || !cookies_read(&kernel->cookies))
		return;
	cookies_log(&kernel->cookies, config);
	set_listeners(kernel, config, slots);
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

static bool has_address(const struct config *config, const struct addr *address)
{
	for (size_t i = 0; i < config->n_listeners; i++)
		if (addr_equal(&config->listeners[i].address, address))
			return true;
	return false;
}

void kernel_retire(struct kernel *kernel, const struct config *old, const struct config *now)
{
	for (size_t i = 0; kernel->bpf && old && i < old->n_listeners; i++)
		if (!now || !has_address(now, &old->listeners[i].address))
			bpf_listener_del(kernel->bpf, &old->listeners[i].address);
}
