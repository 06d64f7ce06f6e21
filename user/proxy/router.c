/* SPDX-License-Identifier: MIT */
/*
 * router.c - builds and releases what router.h describes. Called by the worker when a
 * configuration is prepared, and by dispatch for each call.
 */
#include "proxy/router.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/siphash.h"
#include "proxy/route.h"
#include "proxy/tls.h"

/* Of what names the endpoint on every node: its address and port. */
static uint64_t endpoint_hash(const struct config_endpoint *endpoint)
{
	static const uint8_t key[16] = "sluice maglev 1";
	uint8_t name[18];
	uint16_t port = addr_port(&endpoint->address);

	addr_to_mapped(&endpoint->address, name);
	name[16] = (uint8_t)(port >> 8);
	name[17] = (uint8_t)port;
	return siphash(key, name, sizeof(name));
}

static struct maglev *build_maglev(const struct config_group *config, const uint32_t *weights)
{
	uint64_t *hashes = calloc(config->n_endpoints + 1, sizeof(*hashes));
	struct maglev *maglev;

	if (!hashes)
		return NULL;
	for (size_t i = 0; i < config->n_endpoints; i++)
		hashes[i] = endpoint_hash(&config->endpoints[i]);
	maglev = maglev_new(hashes, weights, (uint32_t)config->n_endpoints);
	free(hashes);
	return maglev;
}

static bool build_balancer(struct router_group *group, const uint32_t *weights, uint32_t slot)
{
	uint32_t n = (uint32_t)group->config->n_endpoints;

	switch (group->config->balance) {
	case BALANCE_LEAST_REQUEST:
		return (group->least_request = least_request_new(weights, n));
	case BALANCE_RANDOM:
		return (group->random = alias_new(weights, n));
	case BALANCE_CONSISTENT_HASH:
		return (group->maglev = build_maglev(group->config, weights));
	default:
		return (group->wrr = wrr_new(weights, n, slot));
	}
}

static int build_group(struct router_group *group, const struct config_group *config,
		       uint32_t slot, char *why, size_t why_size)
{
	uint32_t *weights;
	bool built;

	group->config = config;
	if (config->tls.enabled) {
		group->tls = tls_client_context_new(&config->tls, why, why_size);
		if (!group->tls)
			return -1;
	}
	weights = calloc(config->n_endpoints + 1, sizeof(*weights));
	if (!weights)
		return -1;
	group->has_view = config->panic_percent > 0;
	group->is_special = config->slow_start_ms || config->breaker.backend_calls ||
			    config->breaker.group_connections ||
			    config->breaker.backend_connections || config->outlier.enabled;
	for (size_t i = 0; i < config->n_endpoints; i++) {
		weights[i] = config->endpoints[i].weight;
		group->has_view = group->has_view || config->endpoints[i].backup;
		group->is_special = group->is_special || config->endpoints[i].drained;
	}
	group->is_special = group->is_special || group->has_view;
	built = build_balancer(group, weights, slot);
	free(weights);
	return built ? 0 : -1;
}

struct router *router_new(struct config *config, uint32_t slot, char *why, size_t why_size)
{
	struct router *router = calloc(1, sizeof(*router));

	snprintf(why, why_size, "no memory");
	if (!router) {
		config_unref(config);
		return NULL;
	}
	router->refs = 1;
	router->config = config;
	router->listeners = calloc(config->n_listeners + 1, sizeof(*router->listeners));
	router->groups = calloc(config->n_groups + 1, sizeof(*router->groups));
	if (!router->listeners || !router->groups)
		goto fail;
	for (size_t i = 0; i < config->n_listeners; i++) {
		const struct config_listener *listener = &config->listeners[i];

		router->listeners[i].config = listener;
		router->listeners[i].tls = tls_server_context_new(listener, why, why_size);
		if (!router->listeners[i].tls)
			goto fail;
		router->listeners[i].routes =
			route_table_new(config, listener, slot, why, why_size);
		if (!router->listeners[i].routes)
			goto fail;
	}
	for (size_t i = 0; i < config->n_groups; i++)
		if (build_group(&router->groups[i], &config->groups[i], slot, why, why_size))
			goto fail;
	return router;
fail:
	router_unref(router);
	return NULL;
}

/* likely: where it may well stand. */
static struct router_group *find_group(const struct router *router, uint32_t id, size_t likely)
{
	if (likely < router->config->n_groups && router->config->groups[likely].id == id)
		return &router->groups[likely];
	for (size_t i = 0; i < router->config->n_groups; i++)
		if (router->config->groups[i].id == id)
			return &router->groups[i];
	return NULL;
}

void router_inherit(struct router *router, const struct router *from)
{
	for (size_t i = 0; i < router->config->n_groups; i++) {
		const struct router_group *before;

		if (!router->groups[i].maglev)
			continue;
		before = find_group(from, router->config->groups[i].id, i);
		if (before && before->maglev)
			maglev_inherit(router->groups[i].maglev, before->maglev);
	}
}

struct router *router_ref(struct router *router)
{
	router->refs++;
	return router;
}

void router_unref(struct router *router)
{
	if (!router || --router->refs)
		return;
	for (size_t i = 0; router->listeners && i < router->config->n_listeners; i++) {
		tls_context_free(router->listeners[i].tls);
		route_table_free(router->listeners[i].routes);
	}
	for (size_t i = 0; router->groups && i < router->config->n_groups; i++) {
		tls_context_free(router->groups[i].tls);
		wrr_free(router->groups[i].wrr);
		least_request_free(router->groups[i].least_request);
		alias_free(router->groups[i].random);
		maglev_free(router->groups[i].maglev);
	}
	free(router->listeners);
	free(router->groups);
	config_unref(router->config);
	free(router);
}

struct router_group *router_same_group(const struct router *router,
				       const struct config_group *group)
{
	struct router_group *here = find_group(router, group->id, 0);

	return here && !strcmp(here->config->name, group->name) &&
			       here->config->protocol == group->protocol ?
		       here :
		       NULL;
}

struct router_listener *router_listener(const struct router *router, uint32_t listener_id)
{
	for (size_t i = 0; i < router->config->n_listeners; i++)
		if (router->config->listeners[i].id == listener_id)
			return &router->listeners[i];
	return NULL;
}
