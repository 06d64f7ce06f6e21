/* SPDX-License-Identifier: MIT */
/*
 * route_call.c - see route_call.h. What a route does not use costs nothing: no atomic and no hash
 * but the count of its calls.
 */
#include "proxy/route_call.h"

#include <stdio.h>
#include <string.h>

#include "proxy/downstream.h"
#include "proxy/evidence.h"
#include "proxy/reply.h"
#include "proxy/request.h"
#include "proxy/route.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/tls.h"
#include "proxy/worker.h"
#include "shared/call_limit.h"

/* A client told to wait longer may as well ask again. */
#define PUSHBACK_MAX_MS 60000

static void answer_limited(struct stream *stream, uint64_t wait_ns)
{
	const struct config_route *config = stream->route->config;
	uint64_t wait_ms = wait_ns / NS_PER_MS + 1;
	struct h2_header hint = { .name = "grpc-retry-pushback-ms", .name_len = 22 };
	unsigned number;
	char text[12];

	if (wait_ms > PUSHBACK_MAX_MS)
		wait_ms = PUSHBACK_MAX_MS;
	number = (unsigned)wait_ms;
	if (!stream->grpc) {
		hint.name = "retry-after";
		hint.name_len = 11;
		number = (number + 999) / 1000; /* seconds */
	}
	hint.value_len = (uint32_t)snprintf(text, sizeof(text), "%u", number);
	hint.value = text;
	worker_count(&stream->worker->stats->rate_limited);
	evidence_over_limit(stream->client);
	__atomic_fetch_add(&stream->worker->state.routes[config->id].rate_limited, 1,
			   __ATOMIC_RELAXED);
	reply_error_with(stream, &hint, ERROR_RATE_LIMITED, config->name, (unsigned)wait_ms);
}

static void answer_full(struct stream *stream)
{
	const struct config_route *config = stream->route->config;

	worker_count(&stream->worker->stats->route_full);
	__atomic_fetch_add(&stream->worker->state.routes[config->id].route_full, 1,
			   __ATOMIC_RELAXED);
	reply_error(stream, ERROR_ROUTE_FULL, config->name, config->max_calls);
}

/* False: over one of the route's limits, and answered. */
static bool within_limits(struct stream *stream, const struct route_facts *facts)
{
	const struct config_route *config = stream->route->config;
	struct worker *worker = stream->worker;

	if (config->calls.interval_ns) {
		uint64_t key = route_key_secret_hash(&config->calls_key, facts, worker->hash_key,
						     config->id);
		uint64_t wait_ns = call_limit_take(&worker->state, key, &config->calls,
						   loop_now(&worker->loop));

		if (wait_ns) {
			answer_limited(stream, wait_ns);
			return false;
		}
	}
	if (config->max_calls) {
		stream->route_counted = state_count_up_below(&worker->state, worker->slot,
							     STATE_ROUTE_CALLS, config->id,
							     config->max_calls);
		if (!stream->route_counted) {
			answer_full(stream);
			return false;
		}
	}
	return true;
}

static const char *value_of(const struct h2_header *header)
{
	return header ? header->value : "";
}

/* facts points to source, headers and what the client's connection has. */
static void read_facts(struct route_facts *facts, struct addr *source, const struct stream *stream,
		       const struct router_listener *listener, const struct h2_header *headers,
		       size_t n)
{
	struct downstream *client = stream->client;

	*source = client->peer;
	*facts = (struct route_facts){ .headers = headers, .n = n, .source = source };
	if (listener->config->trusted_hops)
		request_source(source, headers, n, listener->config->trusted_hops);
	if (route_table_wants_peer(listener->routes) && h2_tls(client->h2))
		facts->peer = tls_peer(h2_tls(client->h2));
}

static uint64_t group_hash(const struct stream *stream, const struct config_group *group,
			   const struct route_facts *facts)
{
	uint64_t hash = 0;

	if (group->balance == BALANCE_CONSISTENT_HASH) {
		hash = route_key_hash(&group->hash_key, facts);
		/* Calls without the key are not one caller, all for one backend. */
		if (!hash)
			hash = worker_random(stream->worker);
	}
	return hash;
}

uint64_t route_call_mirror_hash(const struct stream *stream, const struct router_listener *listener,
				const struct h2_header *headers, size_t n)
{
	const struct config *config = stream->router->config;
	struct route_facts facts;
	struct addr source;

	read_facts(&facts, &source, stream, listener, headers, n);
	return group_hash(stream, &config->groups[stream->route->config->mirror_group], &facts);
}

bool route_call(struct stream *stream, const struct router_listener *listener,
		const struct h2_header *headers, size_t n)
{
	const struct config_route *config;
	struct route_facts facts;
	struct addr source;

	read_facts(&facts, &source, stream, listener, headers, n);
	stream->route = route_match(listener->routes, &facts, NULL);
	if (!stream->route && route_match_gave_up(listener->routes)) {
		reply_error(stream, ERROR_EXPRESSIONS, listener->config->name);
		return false;
	}
	if (!stream->route) {
		reply_error(stream, ERROR_NO_ROUTE, listener->config->name,
			    value_of(H2_HEADER_FIND(headers, n, ":path")),
			    value_of(H2_HEADER_FIND(headers, n, ":authority")));
		return false;
	}
	config = stream->route->config;
	__atomic_fetch_add(&stream->worker->state.routes[config->id].calls, 1, __ATOMIC_RELAXED);
	if (!within_limits(stream, &facts))
		return false;
	if (!config->n_splits) {
		reply_fixed(stream, (enum grpc_status)config->status, config->message);
		return false;
	}
	stream->group = &stream->router->groups[route_group(stream->route, &facts)];
	stream->hash = group_hash(stream, stream->group->config, &facts);
	return true;
}
