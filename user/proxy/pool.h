/* SPDX-License-Identifier: MIT */
/*
 * pool.h - a worker's upstream connections: for each endpoint some multiplexed connections, opened
 * when calls need them (or kept open: min_connections), closed when idle, replaced when old, and a
 * queue of streams that wait for one. Streams are attached here; which endpoint they get is
 * dispatch's to say. pool.c has endpoints and the queue, pool_tend.c how many connections there are.
 */
#ifndef SLUICE_PROXY_POOL_H
#define SLUICE_PROXY_POOL_H

#include <stdint.h>

#include "base/addr.h"
#include "base/list.h"
#include "base/loop.h"
#include "config/config.h"
#include "proxy/h2.h"

struct router;
struct router_group;
struct stream;
struct tls_context;
struct upstream;
struct worker;

/* Streams that wait for a connection to one endpoint; more are refused (RESOURCE_EXHAUSTED). */
#define POOL_WAITING_MAX 8192

struct pool_endpoint {
	struct worker *worker;
	uint32_t id, generation;
	uint32_t group; /* id, for counts */
	struct addr address;
	char name[ADDR_TEXT_MAX];
	struct h2_options options; /* of its connections: it lives as long as they do */
	struct tls_context *tls;   /* NULL: cleartext */
	char *server_name;	   /* with tls */
	struct config_breaker breaker;
	uint32_t min_connections, max_connections;
	uint32_t idle_timeout_ms;
	uint32_t max_age_ms;
	uint32_t calmed; /* how often the backend has had too many PINGs */
	uint32_t n_connections, n_opening;
	uint32_t n_going_away; /* take no more streams: not counted as open */
	uint32_t n_retiring;   /* open, and too old: go away when a new one is up in their place */
	bool in_config;
	bool drained; /* no new calls come */
	bool retired; /* not in the config any more: freed with its last connection */
	bool limited; /* the last connect was one too many for a circuit breaker */
	uint64_t failed_at_ns;	/* a connect failed */
	uint64_t retry_at_ns;	/* and others are preferred until then */
	uint32_t failures;	/* connects that failed in a row */
	struct list link;	/* in pool.endpoints */
	struct list connections; /* struct upstream */
	struct list waiting;	 /* struct stream, by up_link, in order of arrival */
	uint32_t n_waiting;
	struct loop_timer tend_timer;  /* a connect is due, or who waits has waited too long */
	struct loop_timer drain_timer; /* the drained endpoint's calls are cut */
};

struct pool {
	struct worker *worker;
	struct pool_endpoint **by_id; /* SLUICE_MAX_BACKENDS */
	struct list endpoints;	      /* retired ones as well */
};

int pool_init(struct pool *pool, struct worker *worker);
void pool_done(struct pool *pool); /* no connection may be left */

/* The endpoint's entry, made where there is none. NULL: no memory. */
struct pool_endpoint *pool_endpoint(struct pool *pool, const struct router_group *group,
				    const struct config_endpoint *endpoint);
/* Whether a connect to this endpoint failed just now, and no health check has found it well since
 * (healthy_since_ns: when it was last found to be, 0 where it is not). */
bool pool_is_backing_off(const struct pool *pool, const struct config_endpoint *endpoint,
			 uint64_t healthy_since_ns, uint64_t now_ns);

/* Whether this worker has no connection to it, and the group's limits of connections allow none now:
 * a call would have to wait for another to close. */
bool pool_is_out_of_reach(const struct pool *pool, const struct config_group *group,
			  const struct config_endpoint *endpoint);

/* Puts stream on a connection, or in the queue for one. 0; -ENOMEM; -ENOBUFS (queue full); of
 * circuit breakers -EDQUOT (the backend has all the calls it may have) and -EXFULL (as many of the
 * group's calls wait as may); or the -errno of a connect that failed at once. */
int pool_attach(struct pool_endpoint *endpoint, struct stream *stream);
/* Takes a stream out of the queue, if it is still there. */
void pool_forget_waiting(struct pool_endpoint *endpoint, struct stream *stream);
/* Gives waiting streams to connections with room. */
void pool_serve_waiting(struct pool_endpoint *endpoint);
/* Whether no connection is left that could ever take those who wait. */
bool pool_is_hopeless(const struct pool_endpoint *endpoint);
/* No connection can be had: those who wait now try elsewhere. */
void pool_fail_waiting(struct pool_endpoint *endpoint, const char *why);
/* No fault of the backend's: it is drained or removed. Those who wait go elsewhere. */
void pool_move_waiting(struct pool_endpoint *endpoint);
/* Answers those who have waited too long. */
void pool_expire_waiting(struct pool_endpoint *endpoint);
/* When the first of those who wait has waited too long; 0: never. */
uint64_t pool_expiry_ns(const struct pool_endpoint *endpoint);
/* Frees a retired endpoint that has no connection any more. */
void pool_release(struct pool_endpoint *endpoint);

/* After a commit: updates settings, opens what is to be kept open, retires endpoints that are gone. */
void pool_sync(struct pool *pool, struct router *router);
/* Drains and closes all connections (end of the worker). */
void pool_close_all(struct pool *pool);

/* ---- pool_tend.c ---- */

/* Streams are waiting, connections came or went, or time has passed: serves who waits, opens what
 * is missing, and sets the timer for what cannot be done now. */
void pool_tend(struct pool_endpoint *endpoint);
/* For one more who waits. 0, or the -errno of a connect that failed at once and was the last hope. */
int pool_make_room(struct pool_endpoint *endpoint);
/* Calls are likely to come: there is to be a connection for them. */
void pool_open_next(struct pool_endpoint *endpoint);
/* A connection is up: an old one may go. */
void pool_replace(struct pool_endpoint *endpoint);
/* Whether endpoint can do without one of its connections. */
bool pool_can_spare(const struct pool_endpoint *endpoint);
/* Closes all its connections once their calls are done. */
void pool_drain_connections(struct pool_endpoint *endpoint);
/* drained and until_ns as the config has them now. */
void pool_set_drained(struct pool_endpoint *endpoint, bool drained, uint64_t until_ns);
void pool_timers_init(struct pool_endpoint *endpoint);

#endif
