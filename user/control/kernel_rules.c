/* SPDX-License-Identifier: MIT */
/*
 * kernel_rules.c - see kernel.h and kernel_rules.h. Called by reload.c before and after a commit. What
 * is new is in the maps before anything points to it, and what is old goes after nothing does.
 */
#include "control/kernel_rules.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/log.h"
#include "control/kernel_acl.h"

static void rate_fill(const struct config_rate *rate, __u64 *interval_ns, __u64 *tolerance_ns)
{
	*interval_ns = rate->interval_ns;
	*tolerance_ns = rate->interval_ns && rate->burst > 1 ?
				rate->interval_ns * (rate->burst - 1) :
				0;
}

static int set_listener(struct kernel *kernel, const struct config *config,
			const struct config_listener *listener, uint32_t slots, bool refusing)
{
	struct sluice_listener row = {
		.id = listener->id,
		.group = listener->group == CONFIG_NO_GROUP ? SLUICE_GROUP_NONE :
							      config->groups[listener->group].id,
		.slots = slots,
		.acl = kernel_acl_is_used(kernel, listener) ? 1 + listener->id : 0,
		.source_connections = config->kernel.source_connections,
	};
	int ret;

	rate_fill(&config->kernel.per_source, &row.source_interval_ns, &row.source_tolerance_ns);
	rate_fill(&listener->new_connections, &row.listener_interval_ns,
		  &row.listener_tolerance_ns);
	if (!refusing)
		cookies_fill(&kernel->cookies, listener, &row);
	ret = bpf_listener_set(kernel->bpf, &listener->address, &row);
	if (ret)
		log_error("cannot put a listener into the maps", F_STR("listener", listener->name),
			  F_ERR(ret));
	return ret;
}

int kernel_rules_listener(struct kernel *kernel, const struct config *config,
			  const struct config_listener *listener, uint32_t slots)
{
	return set_listener(kernel, config, listener, slots, false);
}

void kernel_refuse(struct kernel *kernel, const struct config *config, uint32_t slots,
		   const struct config_listener *only)
{
	for (size_t i = 0; kernel->bpf && i < config->n_listeners; i++)
		if (!only || only == &config->listeners[i])
			set_listener(kernel, config, &config->listeners[i], slots, true);
}

void kernel_accept(struct kernel *kernel, const struct config *config, uint32_t slots,
		   const struct config_listener *listener)
{
	if (kernel->bpf)
		kernel_rules_listener(kernel, config, listener, slots);
}

static int set_listeners(struct kernel *kernel, const struct config *config, uint32_t slots)
{
	int ret = 0;

	for (size_t i = 0; i < config->n_listeners && !ret; i++)
		ret = kernel_rules_listener(kernel, config, &config->listeners[i], slots);
	return ret;
}

/* Which of any address the listeners take: 1 IPv4, 2 IPv6; their sockets on [::] take both. */
static uint8_t vip_any(const struct config *config)
{
	uint8_t any = 0;

	for (size_t i = 0; i < config->n_listeners; i++) {
		const struct addr *address = &config->listeners[i].address;

		if (addr_is_any(address))
			any |= address->sa.sa_family == AF_INET ? 1 : 3;
	}
	return any;
}

static uint32_t listeners_at(const struct config *config, const struct addr *address)
{
	uint8_t bytes[16], other[16];
	uint32_t n = 0;

	addr_to_mapped(address, bytes);
	for (size_t i = 0; i < config->n_listeners; i++) {
		addr_to_mapped(&config->listeners[i].address, other);
		n += !memcmp(bytes, other, sizeof(bytes));
	}
	return n;
}

/* The limit for packets of no connection, and whose packets it counts. */
static int set_strays(struct kernel *kernel, struct state *state, const struct config *config)
{
	const struct config_rate *rate = &config->kernel.strays;
	struct sluice_switches *on = state->switches;
	__u64 interval_ns, tolerance_ns;

	for (size_t i = 0; i < config->n_listeners; i++) {
		const struct addr *address = &config->listeners[i].address;
		int ret = addr_is_any(address) ?
				  0 :
				  bpf_vip_set(kernel->bpf, address, listeners_at(config, address));

		if (ret) {
			log_error("cannot put a listener's address into the maps",
				  F_STR("listener", config->listeners[i].name), F_ERR(ret));
			return ret;
		}
	}
	rate_fill(rate, &interval_ns, &tolerance_ns);
	__atomic_store_n(&on->vip_any, vip_any(config), __ATOMIC_RELAXED);
	state_store64(&on->stray_tolerance_ns, tolerance_ns);
	state_store64(&on->stray_interval_ns, interval_ns);
	return 0;
}

int kernel_guard(struct kernel *kernel, struct state *state, const struct config *config,
		 uint32_t slots, bool with_acl)
{
	int ret;

	if (!kernel->bpf)
		return 0;
	bool changed = cookies_read(&kernel->cookies);

	if (config->kernel.n_interfaces && (changed || with_acl))
		cookies_log(&kernel->cookies, config);
	/* A list before the listener that points to it. */
	ret = with_acl ? kernel_acl_guard(kernel, config) : 0;
	if (!ret)
		ret = set_listeners(kernel, config, slots);
	return ret ? ret : set_strays(kernel, state, config);
}

void kernel_watch_cookies(struct kernel *kernel, const struct config *config, uint32_t slots)
{
	if (!kernel->bpf || !config->kernel.n_interfaces || !cookies_read(&kernel->cookies))
		return;
	cookies_log(&kernel->cookies, config);
	set_listeners(kernel, config, slots);
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
	for (size_t i = 0; kernel->bpf && old && i < old->n_listeners; i++) {
		const struct addr *address = &old->listeners[i].address;

		if (now && has_address(now, address))
			continue;
		bpf_listener_del(kernel->bpf, address);
		if (!now || !listeners_at(now, address))
			bpf_vip_set(kernel->bpf, address, 0);
	}
	if (kernel->bpf && now)
		kernel_acl_retire(kernel, now);
}
