/* SPDX-License-Identifier: MIT */
/*
 * pool.h - a worker's upstream connections: for each endpoint some multiplexed h2c connections,
 * opened when calls need them, closed when idle, and a queue of streams that wait for one. Streams
 * are attached here; which endpoint they get is dispatch's to say.
 */
#ifndef SLUICE_PROXY_POOL_H
#define SLUICE_PROXY_POOL_H

#include <stdint.h>

#include "base/addr.h"
#include "base/list.h"
#include "config/config.h"
#include "proxy/h2.h"

struct stream;
struct worker;

/* Streams that wait for a connection to one endpoint; more are refused (RESOURCE_EXHAUSTED). */
#define POOL_WAITING_MAX 8192

struct pool_endpoint {
	struct worker *worker;
	uint32_t id, generation;
	struct addr address;
	char name[ADDR_TEXT_MAX];
	struct h2_options options; /* of its connections: it lives as long as they do */
	uint32_t max_connections;
	uint32_t idle_timeout_ms;
	uint32_t n_connections, n_opening;
	uint32_t n_going_away; /* connections whose backend sent GOAWAY: not counted as open */
	bool in_config;
	bool retired; /* not in the config any more: freed with its last connection */
	uint64_t failed_at_ns;	/* a connect failed */
	uint64_t retry_at_ns;	/* and others are preferred until then */
	uint32_t failures;	/* connects that failed in a row */
	struct list link;	/* in pool.endpoints */
	struct list connections; /* struct upstream */
	struct list waiting;	 /* struct stream, by up_link */
	uint32_t n_waiting;
};

struct pool {
	struct worker *worker;
	struct pool_endpoint **by_id; /* SLUICE_MAX_BACKENDS */
	struct list endpoints;	      /* retired ones as well */
};

int pool_init(struct pool *pool, struct worker *worker);
void pool_done(struct pool *pool); /* no connection may be left */

/* The endpoint's entry, made where there is none. NULL: no memory. */
struct pool_endpoint *pool_endpoint(struct pool *pool, const struct config_group *group,
				    const struct config_endpoint *endpoint);
/* Whether a connect to this endpoint failed just now, and no health check has found it well since
 * (healthy_since_ns: when it was last found to be, 0 where it is not). */
bool pool_is_backing_off(const struct pool *pool, const struct config_endpoint *endpoint,
			 uint64_t healthy_since_ns, uint64_t now_ns);

/* Puts stream on a connection, or in the queue for one. 0, or -ENOMEM, -ENOBUFS (queue full), or
 * the -errno of a connect that failed at once. */
int pool_attach(struct pool_endpoint *endpoint, struct stream *stream);
/* Takes a stream out of the queue, if it is still there. */
void pool_forget_waiting(struct pool_endpoint *endpoint, struct stream *stream);
/* Gives waiting streams to connections with room, and opens more where that is needed. */
void pool_serve_waiting(struct pool_endpoint *endpoint);
/* Whether no connection is left that could ever take those who wait. */
bool pool_is_hopeless(const struct pool_endpoint *endpoint);
/* No connection can be had: those who wait now try elsewhere. */
void pool_fail_waiting(struct pool_endpoint *endpoint, const char *why);
/* Frees a retired endpoint that has no connection any more. */
void pool_release(struct pool_endpoint *endpoint);

/* After a commit: updates settings, retires endpoints that are gone. */
void pool_sync(struct pool *pool, const struct config *config);
/* Drains and closes all connections (end of the worker). */
void pool_close_all(struct pool *pool);

#endif
