/* SPDX-License-Identifier: MIT */
/*
 * pool.c - which upstream connection a stream gets, and when one is opened, see pool.h. First fit:
 * many streams on few connections means few system calls. Called by dispatch and upstream.
 */
#include "proxy/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/dispatch.h"
#include "proxy/stream.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

/* Of a connection to a backend: never what stalls, since every stream has its own window. */
#define CONNECTION_WINDOW_BYTES (16u * 1024 * 1024)
#define RESPONSE_HEADER_BYTES	(64u * 1024)

int pool_init(struct pool *pool, struct worker *worker)
{
	pool->worker = worker;
	list_init(&pool->endpoints);
	pool->by_id = calloc(SLUICE_MAX_BACKENDS, sizeof(*pool->by_id));
	return pool->by_id ? 0 : -ENOMEM;
}

static void endpoint_free(struct pool_endpoint *endpoint)
{
	struct pool *pool = &endpoint->worker->pool;

	if (pool->by_id[endpoint->id] == endpoint)
		pool->by_id[endpoint->id] = NULL;
	list_del(&endpoint->link);
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

static void apply_settings(struct pool_endpoint *endpoint, const struct config *config,
			   const struct config_group *group)
{
	endpoint->options = (struct h2_options){
		.max_streams = group->max_streams,
		.stream_window_bytes = config->leg_buffer_bytes,
		.connection_window_bytes = CONNECTION_WINDOW_BYTES,
		.max_header_bytes = RESPONSE_HEADER_BYTES,
		.open_timeout_ms = group->connect_timeout_ms,
		.keepalive_interval_ms = group->keepalive_interval_ms,
		.keepalive_timeout_ms = group->keepalive_timeout_ms,
	};
	endpoint->max_connections = group->max_connections;
	endpoint->idle_timeout_ms = group->idle_timeout_ms;
}

/* Not in the config any more, or its id is another backend's now. */
static void retire(struct pool_endpoint *endpoint)
{
	struct pool *pool = &endpoint->worker->pool;
	struct upstream *upstream, *next;

	endpoint->retired = true;
	if (pool->by_id[endpoint->id] == endpoint)
		pool->by_id[endpoint->id] = NULL;
	pool_fail_waiting(endpoint, "backend removed");
	endpoint->n_connections++; /* not freed under this loop */
	list_for_each_safe(upstream, next, &endpoint->connections, link)
		upstream_drain(upstream);
	endpoint->n_connections--;
	pool_release(endpoint);
}

struct pool_endpoint *pool_endpoint(struct pool *pool, const struct config_group *group,
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
	list_init(&endpoint->connections);
	list_init(&endpoint->waiting);
	list_add_tail(&pool->endpoints, &endpoint->link);
	apply_settings(endpoint, pool->worker->router->config, group);
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

/* The streams that the connections being opened can take as soon as they are up. */
static uint32_t room_opening(const struct pool_endpoint *endpoint)
{
	return endpoint->n_opening * endpoint->options.max_streams;
}

static bool may_open(const struct pool_endpoint *endpoint)
{
	return !endpoint->retired &&
	       endpoint->n_connections - endpoint->n_going_away < endpoint->max_connections;
}

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

int pool_attach(struct pool_endpoint *endpoint, struct stream *stream)
{
	struct upstream *upstream = endpoint->n_waiting ? NULL : find_room(endpoint);
	int err = 0;

	if (upstream) {
		err = upstream_submit(upstream, stream);
		if (!err)
			stream_enter(stream, endpoint);
		if (err != -EAGAIN && err != -EPIPE)
			return err;
	}
	if (endpoint->n_waiting >= POOL_WAITING_MAX)
		return -ENOBUFS;
	if (may_open(endpoint) && endpoint->n_waiting >= room_opening(endpoint)) {
		upstream = upstream_open(endpoint, &err);
		if (!upstream && pool_is_hopeless(endpoint))
			return -err;
	}
	stream_enter(stream, endpoint);
	list_add_tail(&endpoint->waiting, &stream->up_link);
	endpoint->n_waiting++;
	return 0;
}

void pool_forget_waiting(struct pool_endpoint *endpoint, struct stream *stream)
{
	/* Linked only while it waits. */
	if (list_empty(&stream->up_link))
		return;
	list_del(&stream->up_link);
	endpoint->n_waiting--;
}

static struct stream *take_waiting(struct pool_endpoint *endpoint)
{
	struct stream *stream = list_first(&endpoint->waiting, struct stream, up_link);

	list_del(&stream->up_link);
	endpoint->n_waiting--;
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
		if (err)
			dispatch_failed(stream, endpoint, err);
	}
	while (endpoint->n_waiting > room_opening(endpoint) && may_open(endpoint)) {
		int err;

		if (!upstream_open(endpoint, &err)) {
			if (pool_is_hopeless(endpoint))
				pool_fail_waiting(endpoint, strerror(err));
			break;
		}
	}
}

void pool_fail_waiting(struct pool_endpoint *endpoint, const char *why)
{
	/* Only who waits now: a stream may come back to this very queue. */
	for (uint32_t n = endpoint->n_waiting; n && !list_empty(&endpoint->waiting); n--) {
		struct stream *stream = take_waiting(endpoint);

		dispatch_connect_failed(stream, endpoint, why);
	}
}

void pool_release(struct pool_endpoint *endpoint)
{
	if (endpoint->retired && !endpoint->n_connections && !endpoint->n_waiting)
		endpoint_free(endpoint);
}

void pool_sync(struct pool *pool, const struct config *config)
{
	struct pool_endpoint *endpoint, *next;

	list_for_each(endpoint, &pool->endpoints, link)
		endpoint->in_config = false;
	for (size_t i = 0; i < config->n_groups; i++) {
		const struct config_group *group = &config->groups[i];

		for (size_t j = 0; j < group->n_endpoints; j++) {
			const struct config_endpoint *entry = &group->endpoints[j];

			endpoint = pool->by_id[entry->id];
			if (!endpoint || endpoint->generation != entry->generation)
				continue;
			endpoint->in_config = true;
			apply_settings(endpoint, config, group);
		}
	}
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
