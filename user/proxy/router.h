/* SPDX-License-Identifier: MIT */
/*
 * router.h - one committed configuration as a worker uses it: the config itself, a TLS context a
 * listener, a balancer a group. Immutable but for the balancers' state; reference counted, so that
 * a stream keeps the configuration it began with.
 */
#ifndef SLUICE_PROXY_ROUTER_H
#define SLUICE_PROXY_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "balance/least_request.h"
#include "balance/maglev.h"
#include "balance/random.h"
#include "balance/wrr.h"
#include "config/config.h"

struct route_table;
struct tls_context;

struct router_listener {
	const struct config_listener *config;
	struct tls_context *tls;
	struct route_table *routes;
};

/* What the health of a group's backends comes to: worked out when the group's epoch has changed. */
struct router_view {
	uint32_t epoch;
	bool known;
	bool backups; /* of the second tier serve too */
	bool panic;   /* health and ejections do not count */
};

struct router_group {
	const struct config_group *config;
	struct tls_context *tls; /* to its backends; NULL: cleartext */
	/* by config->balance, the others NULL */
	struct wrr *wrr;
	struct least_request *least_request;
	struct alias *random;
	struct maglev *maglev;
	bool is_special; /* picks go by more than checks: drain, tiers, slow start, breakers, ejections */
	bool has_view;	 /* two tiers, or a panic threshold */
	struct router_view view;
};

struct router {
	unsigned refs;
	struct config *config;
	struct router_listener *listeners; /* as in config */
	struct router_group *groups;	   /* as in config */
};

/* Takes over the caller's reference to config, also on failure. slot staggers the balancers of
 * different workers. NULL with the reason in why. */
struct router *router_new(struct config *config, uint32_t slot, char *why, size_t why_size);
/* Takes over from the one before it what took long to make and is the same. */
void router_inherit(struct router *router, const struct router *from);
struct router *router_ref(struct router *router);
void router_unref(struct router *router); /* takes NULL */

/* The group of this id and name, as it is in router. NULL: it is there no more, or not the same. */
struct router_group *router_same_group(const struct router *router,
				       const struct config_group *group);
/* NULL where no listener has this id (any more). */
struct router_listener *router_listener(const struct router *router, uint32_t listener_id);

#endif
