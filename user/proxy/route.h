/* SPDX-License-Identifier: MIT */
/*
 * route.h - which of a listener's routes a call takes: the first whose conditions hold. Compiled once
 * a configuration (hashes of exact paths, services and hosts, regular expressions, templates); used by
 * the workers for every call, and by the supervisor for `sluicectl route`. Pure: no I/O, no clock.
 */
#ifndef SLUICE_PROXY_ROUTE_H
#define SLUICE_PROXY_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "config/config.h"
#include "proxy/h2.h"

struct metadata_edits;
struct tls_peer;
struct wrr;

/* A call as routes see it. */
struct route_facts {
	const struct h2_header *headers; /* pseudo-headers too */
	size_t n;
	const struct addr *source;   /* behind trusted_hops: the address they give */
	const struct tls_peer *peer; /* NULL: nothing known */
};

/* A route, ready for use. */
struct route {
	const struct config_route *config;
	struct wrr *split;		 /* NULL: one group, or none */
	struct metadata_edits *request;	 /* NULL: none */
	struct metadata_edits *response; /* NULL: none */
};

/* Why routes before the one taken were passed over, for people. */
struct route_trace {
	void *ctx;
	/* condition: "host", "path", "metadata x-canary", "source", "sni", "san". */
	void (*passed_over)(void *ctx, const struct config_route *route, const char *condition);
};

struct route_table;

/* NULL with the reason in why. config must outlive it. slot staggers the splits of workers. */
struct route_table *route_table_new(const struct config *config,
				    const struct config_listener *listener, uint32_t slot,
				    char *why, size_t why_size);
void route_table_free(struct route_table *table); /* takes NULL */

/* NULL: no route matches. trace may be NULL. A table serves one thread. */
const struct route *route_match(struct route_table *table, const struct route_facts *facts,
				const struct route_trace *trace);
/* Whether the last call found no route because it made expressions work too hard. */
bool route_match_gave_up(const struct route_table *table);
/* The group of the next call on this route, as an index into config.groups. Only where it has one. */
uint32_t route_group(const struct route *route, const struct route_facts *facts);
/* Equal for equal keys, on every worker and node. 0 where the call has no such key. Of IPv6 sources the
 * first 64 bits count: a client has the rest to choose from. */
uint64_t route_key_hash(const struct config_key *key, const struct route_facts *facts);
/* The same for one route and with a secret, so that clients cannot make two keys alike. */
uint64_t route_key_secret_hash(const struct config_key *key, const struct route_facts *facts,
			       const uint8_t secret[16], uint32_t route_id);
/* Whether any condition or key of these routes asks for facts->peer. */
bool route_table_wants_peer(const struct route_table *table);

#endif
