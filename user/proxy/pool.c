/* SPDX-License-Identifier: MIT */
/*
 * pool.c - endpoints with their settings, which upstream connection a stream gets, and the queue of
 * those that wait for one, see pool.h. First fit: many streams on few connections means few system
 * calls. Called by dispatch, upstream and the worker.
 */
#include "proxy/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/breaker.h"
#include "proxy/dispatch.h"
#include "proxy/mirror.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/tls.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

/* Of a connection to a backend: never what stalls, since every stream has its own window. */
#define CONNECTION_WINDOW_BYTES (16u * 1024 * 1024)

int pool_init(struct pool *pool, struct worker *worker)
{
	pool->worker = worker;
	list_init(&pool->endpoints);
	pool->by_id = calloc(SLUICE_MAX_BACKENDS, sizeof(*pool->by_id));
	return pool->by_id ? 0 : -ENOMEM;
}

/* ---- endpoints ---- */

static void endpoint_free(struct pool_endpoint *endpoint)
{
	struct pool *pool = &endpoint->worker->pool;

	if (pool->by_id[endpoint->id] == endpoint)
		pool->by_id[endpoint->id] = NULL;
	loop_timer_cancel(&endpoint->worker->loop, &endpoint->tend_timer);
	loop_timer_cancel(&endpoint->worker->loop, &endpoint->drain_timer);
	list_del(&endpoint->link);
	tls_context_free(endpoint->tls);
	free(endpoint->server_name);
	free(endpoint);
}

void pool_done(struct pool *pool)
{
	struct pool_endpoint *endpoint, *next;

	if (!pool->by_id)
		return;
	list_for_each_safe(endpoint, next, &pool->endpoints, link)
		endpoint_free(endpoint);
	free(pool->by_id);
	pool->by_id = NULL;
}

/* Connections that were made on other terms go; a context that says the same stays, for its
 * sessions. 0 or -ENOMEM, with nothing changed. */
static int apply_tls(struct pool_endpoint *endpoint, const struct router_group *group,
		     const struct config_endpoint *config)
{
	const char *name = NULL;
	char *copy = NULL;

	if (group->tls) {
		name = group->config->tls.server_name;
		if (!name)
			name = group->config->backends[config->backend].host;
	}
	if (tls_context_is_same(endpoint->tls, group->tls) &&
	    (!name || !strcmp(name, endpoint->server_name)))
		return 0;
	if (name) {
		copy = strdup(name);
		if (!copy)
			return -ENOMEM;
	}
	free(endpoint->server_name);
	endpoint->server_name = copy;
	tls_context_free(endpoint->tls);
	endpoint->tls = tls_context_ref(group->tls);
	pool_drain_connections(endpoint);
	return 0;
}

static int apply_settings(struct pool_endpoint *endpoint, const struct router_group *router_group,
			  const struct config_endpoint *config)
{
	const struct config_group *group = router_group->config;

	endpoint->options = (struct h2_options){
		.max_streams = group->max_streams,
		.stream_window_bytes = endpoint->worker->router->config->leg_buffer_bytes,
		.connection_window_bytes = CONNECTION_WINDOW_BYTES,
		.max_header_bytes = group->max_header_bytes,
		.open_timeout_ms = group->connect_timeout_ms,
		.keepalive_interval_ms = group->keepalive_interval_ms << endpoint->calmed,
		.keepalive_timeout_ms = group->keepalive_timeout_ms,
	};
	endpoint->group = group->id;
	endpoint->breaker = group->breaker;
	endpoint->min_connections = config->weight ? group->min_connections : 0;
	endpoint->max_connections = group->max_connections;
	endpoint->idle_timeout_ms = group->idle_timeout_ms;
	if (endpoint->max_age_ms != group->max_age_ms) {
		struct upstream *upstream;

		endpoint->max_age_ms = group->max_age_ms;
		list_for_each(upstream, &endpoint->connections, link)
			upstream_set_age(upstream);
	}
	return apply_tls(endpoint, router_group, config);
}

/* Not in the config any more, or its id is another backend's now. */
static void retire(struct pool_endpoint *endpoint)
{
	struct pool *pool = &endpoint->worker->pool;

	endpoint->retired = true;
	if (pool->by_id[endpoint->id] == endpoint)
		pool->by_id[endpoint->id] = NULL;
	pool_move_waiting(endpoint);
	pool_drain_connections(endpoint);
	pool_release(endpoint);
}

struct pool_endpoint *pool_endpoint(struct pool *pool, const struct router_group *group,
				    const struct config_endpoint *config)
{
	struct pool_endpoint *endpoint = pool->by_id[config->id];

	if (endpoint && endpoint->generation == config->generation)
		return endpoint;
	if (endpoint)
		retire(endpoint);
	endpoint = calloc(1, sizeof(*endpoint));
	if (!endpoint)
		return NULL;
	endpoint->worker = pool->worker;
	endpoint->id = config->id;
	endpoint->generation = config->generation;
	endpoint->address = config->address;
	addr_format(&config->address, endpoint->name, sizeof(endpoint->name));
	endpoint->in_config = true; /* or the next pool_sync says otherwise */
	list_init(&endpoint->connections);
	list_init(&endpoint->waiting);
	pool_timers_init(endpoint);
	if (apply_settings(endpoint, group, config)) {
		free(endpoint);
		return NULL;
	}
	list_add_tail(&pool->endpoints, &endpoint->link);
	pool->by_id[config->id] = endpoint;
	return endpoint;
}

bool pool_is_backing_off(const struct pool *pool, const struct config_endpoint *config,
			 uint64_t healthy_since_ns, uint64_t now_ns)
{
	const struct pool_endpoint *endpoint = pool->by_id[config->id];

	return endpoint && endpoint->generation == config->generation &&
	       endpoint->retry_at_ns > now_ns && endpoint->failed_at_ns >= healthy_since_ns;
}

bool pool_is_out_of_reach(const struct pool *pool, const struct config_group *group,
			  const struct config_endpoint *config)
{
	const struct state *state = &pool->worker->state;
	const struct config_breaker *breaker = &group->breaker;
	const struct pool_endpoint *endpoint = pool->by_id[config->id];

	if (!breaker->group_connections && !breaker->backend_connections)
		return false;
	if (endpoint && endpoint->generation == config->generation && !pool_is_hopeless(endpoint))
		return false;
	return (breaker->group_connections &&
		state_counted(state, STATE_GROUP_CONNECTIONS, group->id) >=
			breaker->group_connections) ||
	       (breaker->backend_connections &&
		state_counted(state, STATE_BACKEND_CONNECTIONS, config->id) >=
			breaker->backend_connections);
}

void pool_release(struct pool_endpoint *endpoint)
{
	if (endpoint->retired && !endpoint->n_connections && !endpoint->n_waiting)
		endpoint_free(endpoint);
}

/* ---- streams ---- */

bool pool_is_hopeless(const struct pool_endpoint *endpoint)
{
	return endpoint->n_connections == endpoint->n_going_away;
}

static struct upstream *find_room(struct pool_endpoint *endpoint)
{
	struct upstream *upstream;

	list_for_each(upstream, &endpoint->connections, link)
		if (h2_capacity(upstream->h2))
			return upstream;
	return NULL;
}

static int enter_queue(struct pool_endpoint *endpoint, struct stream *stream)
{
	struct worker *worker = endpoint->worker;

	if (endpoint->n_waiting >= POOL_WAITING_MAX)
		return -ENOBUFS;
	if (endpoint->breaker.pending) {
		if (!state_count_up_below(&worker->state, worker->slot, STATE_GROUP_PENDING,
					  endpoint->group, endpoint->breaker.pending))
			return -EXFULL;
		stream->pending_counted = true;
	}
	stream->waiting_since_ns = loop_now(&worker->loop);
	list_add_tail(&endpoint->waiting, &stream->up_link);
	endpoint->n_waiting++;
	return 0;
}

static void leave_queue(struct pool_endpoint *endpoint, struct stream *stream)
{
	struct worker *worker = endpoint->worker;

	list_del(&stream->up_link);
	endpoint->n_waiting--;
	if (stream->pending_counted) {
		stream->pending_counted = false;
		state_count_down(&worker->state, worker->slot, STATE_GROUP_PENDING,
				 endpoint->group);
	}
}

/* On a connection with room, or in the queue. */
static int find_place(struct pool_endpoint *endpoint, struct stream *stream)
{
	struct upstream *upstream = endpoint->n_waiting ? NULL : find_room(endpoint);
	int err;

	if (upstream) {
		err = upstream_submit(upstream, stream);
		if (err != -EAGAIN && err != -EPIPE)
			return err;
	}
	err = enter_queue(endpoint, stream);
	if (err)
		return err;
	err = pool_make_room(endpoint);
	if (err)
		leave_queue(endpoint, stream);
	return err;
}

int pool_attach(struct pool_endpoint *endpoint, struct stream *stream)
{
	int err;

	if (!stream_enter(stream, endpoint))
		return -EDQUOT;
	err = find_place(endpoint, stream);
	if (err)
		stream_leave(stream);
	return err;
}

void pool_forget_waiting(struct pool_endpoint *endpoint, struct stream *stream)
{
	/* Linked only while it waits. */
	if (!list_empty(&stream->up_link))
		leave_queue(endpoint, stream);
}

static struct stream *take_waiting(struct pool_endpoint *endpoint)
{
	struct stream *stream = list_first(&endpoint->waiting, struct stream, up_link);

	leave_queue(endpoint, stream);
	return stream;
}

void pool_serve_waiting(struct pool_endpoint *endpoint)
{
	while (!list_empty(&endpoint->waiting)) {
		struct upstream *upstream = find_room(endpoint);
		struct stream *stream;
		int err;

		if (!upstream)
			break;
		stream = take_waiting(endpoint);
		err = upstream_submit(upstream, stream);
		if (err && mirror_is_copy(stream))
			mirror_failed(stream);
		else if (err)
			dispatch_failed(stream, endpoint, err);
	}
}

void pool_fail_waiting(struct pool_endpoint *endpoint, const char *why)
{
	/* Only who waits now: a stream may come back to this very queue. */
	for (uint32_t n = endpoint->n_waiting; n && !list_empty(&endpoint->waiting); n--) {
		struct stream *stream = take_waiting(endpoint);

		if (mirror_is_copy(stream))
			mirror_closed(stream, OUTCOME_LOST);
		else
			dispatch_connect_failed(stream, endpoint, why);
	}
}

void pool_move_waiting(struct pool_endpoint *endpoint)
{
	for (uint32_t n = endpoint->n_waiting; n && !list_empty(&endpoint->waiting); n--) {
		struct stream *stream = take_waiting(endpoint);

		if (mirror_is_copy(stream))
			mirror_failed(stream);
		else
			dispatch_failed(stream, endpoint, -EPIPE);
	}
}

uint64_t pool_expiry_ns(const struct pool_endpoint *endpoint)
{
	if (!endpoint->breaker.pending_timeout_ms || list_empty(&endpoint->waiting))
		return 0;
	return list_first(&endpoint->waiting, struct stream, up_link)->waiting_since_ns +
	       endpoint->breaker.pending_timeout_ms * NS_PER_MS;
}

void pool_expire_waiting(struct pool_endpoint *endpoint)
{
	uint64_t now_ns = loop_now(&endpoint->worker->loop), due_ns;

	while ((due_ns = pool_expiry_ns(endpoint)) && due_ns <= now_ns) {
		struct stream *stream = take_waiting(endpoint);

		if (mirror_is_copy(stream))
			mirror_failed(stream);
		else
			breaker_pending_expired(stream, endpoint);
	}
}

/* ---- commits and the end ---- */

static void sync_endpoint(struct pool *pool, const struct router_group *group,
			  const struct config_endpoint *config)
{
	struct pool_endpoint *endpoint = pool->by_id[config->id];
	bool known = endpoint && endpoint->generation == config->generation;

	if (!known && (!group->config->min_connections || config->drained))
		return;
	if (known)
		apply_settings(endpoint, group, config);
	else
		endpoint = pool_endpoint(pool, group, config);
	if (!endpoint)
		return;
	endpoint->in_config = true;
	pool_set_drained(endpoint, config->drained, config->drain_until_ns);
	pool_tend(endpoint);
}

void pool_sync(struct pool *pool, struct router *router)
{
	const struct config *config = router->config;
	struct pool_endpoint *endpoint, *next;

	list_for_each(endpoint, &pool->endpoints, link)
		endpoint->in_config = false;
	for (size_t i = 0; i < config->n_groups; i++)
		for (size_t j = 0; j < config->groups[i].n_endpoints; j++)
			sync_endpoint(pool, &router->groups[i], &config->groups[i].endpoints[j]);
	list_for_each_safe(endpoint, next, &pool->endpoints, link)
		if (!endpoint->in_config && !endpoint->retired)
			retire(endpoint);
}

void pool_close_all(struct pool *pool)
{
	struct pool_endpoint *endpoint, *next;

	list_for_each_safe(endpoint, next, &pool->endpoints, link) {
		struct upstream *upstream, *after;

		endpoint->retired = true;
		endpoint->n_connections++; /* not freed under this loop */
		list_for_each_safe(upstream, after, &endpoint->connections, link)
			upstream_close(upstream);
		endpoint->n_connections--;
		pool_release(endpoint);
	}
}
