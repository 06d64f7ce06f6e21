/* SPDX-License-Identifier: MIT */
/*
 * relay_world.h - a worker's inside in one loop with a client and backends of the test's own: all
 * of the relay (downstream, dispatch, pool, upstream, stream) over real sockets, without processes
 * and without TLS. For test_relay*.c.
 */
#ifndef SLUICE_SELFTESTS_RELAY_WORLD_H
#define SLUICE_SELFTESTS_RELAY_WORLD_H

#include "proxy/h2_world.h"

#include "base/buf.h"
#include "proxy/downstream.h"
#include "proxy/grpc.h"
#include "proxy/pool.h"
#include "proxy/route.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

#define BACKENDS      3
#define SIDES_KEPT    512
#define FIRST_BACKEND 10 /* id in the map */
#define RELAY_ROUTE   5	 /* likewise */

struct backend {
	int listen_fd;
	struct addr address;
	struct loop_io io;
	unsigned n_accepted;
	struct side preset;		/* what each connection begins with */
	struct side *sides[SIDES_KEPT]; /* in the order they came */
};

struct relay {
	struct worker worker;
	struct loop_timer tick;
	struct backend backends[BACKENDS];
	struct h2_options backend_options;
	struct side *client;
	int listen_fd;
	struct addr address;
};

static struct relay relay;

static inline void on_relay_tick(struct loop_timer *timer)
{
	loop_timer_set(&relay.worker.loop, timer, 2 * NS_PER_MS);
}

static inline void on_relay_reap(struct loop_task *task)
{
	stream_reap(&relay.worker);
}

static inline int relay_listen(struct addr *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(addr_parse(address, "127.0.0.1:0"), 0);
	assert_int_equal(bind(fd, &address->sa, address->len), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, &address->sa, &address->len), 0);
	return fd;
}

static inline void on_backend_accept(struct loop_io *io, uint32_t events)
{
	struct backend *backend = container_of(io, struct backend, io);
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), err;
	struct side *side;

	if (fd < 0)
		return;
	assert_true(backend->n_accepted < SIDES_KEPT);
	side = malloc(sizeof(*side));
	if (side) {
		memcpy(side, &backend->preset, sizeof(*side));
		side->h2 = h2_accept(&relay.worker.loop, fd, NULL, &relay.backend_options,
				     &world_events, side, &err);
	}
	if (!side || !side->h2) {
		assert_true(backend->preset.may_fail);
		free(side);
		close(fd);
		return;
	}
	backend->sides[backend->n_accepted++] = side;
}

/* All calls of the listener go to group 0. */
static inline void relay_default_route(struct config *config)
{
	struct config_route *route = calloc(1, sizeof(*route));

	route->id = RELAY_ROUTE;
	route->name = strdup("default");
	route->splits = calloc(1, sizeof(*route->splits));
	route->n_splits = 1;
	route->status = -1;
	route->mirror_group = CONFIG_NO_GROUP;
	config->listeners[0].routes = route;
	config->listeners[0].n_routes = 1;
}

/* A configuration of the first n backends, committed as a worker would. */
static inline struct router *relay_router(unsigned n)
{
	struct router *router = calloc(1, sizeof(*router));
	struct config *config = calloc(1, sizeof(*config));
	struct config_group *group;
	uint32_t weights[BACKENDS] = { 1, 1, 1 };
	char why[160];

	config->refs = router->refs = 1;
	router->config = config;
	config->max_connections = 100;
	config->max_buffer_bytes = 64 << 20;
	config->leg_buffer_bytes = 65536;
	config->n_listeners = config->n_groups = 1;
	config->listeners = calloc(1, sizeof(*config->listeners));
	config->listeners[0] = (struct config_listener){
		.id = 1, .handshake_timeout_ms = 3000, .header_timeout_ms = 3000,
		.idle_timeout_ms = 60000, .stall_timeout_ms = 60000,
		.max_streams = 100, .max_header_bytes = 65536,
	};
	config->error_addresses = true;
	config->listeners[0].name = strdup("in");
	group = config->groups = calloc(1, sizeof(*group));
	group->name = strdup("relay");
	group->max_connections = 2;
	group->max_streams = 100;
	group->max_header_bytes = 65536;
	group->connect_timeout_ms = 2000;
	group->idle_timeout_ms = 60000;
	group->breaker.status = GRPC_UNAVAILABLE;
	group->n_endpoints = n;
	group->endpoints = calloc(n, sizeof(*group->endpoints));
	for (unsigned i = 0; i < n; i++) {
		group->endpoints[i] = (struct config_endpoint){
			.id = FIRST_BACKEND + i, .generation = 1, .backend = i, .weight = 1,
			.address = relay.backends[i].address,
		};
		relay.worker.state.backends[FIRST_BACKEND + i].generation = 1;
	}
	router->listeners = calloc(1, sizeof(*router->listeners));
	router->listeners[0].config = &config->listeners[0];
	relay_default_route(config);
	router->listeners[0].routes =
		route_table_new(config, &config->listeners[0], 0, why, sizeof(why));
	assert_non_null(router->listeners[0].routes);
	router->groups = calloc(1, sizeof(*router->groups));
	router->groups[0].config = group;
	router->groups[0].wrr = wrr_new(weights, n, 0);
	router->groups[0].is_special = true; /* as tests change the group later */
	return router;
}

static inline struct config_group *relay_group(void)
{
	return &relay.worker.router->config->groups[0];
}

/* The route of all calls: to be changed before they begin. */
static inline struct config_route *relay_route(void)
{
	return &relay.worker.router->config->listeners[0].routes[0];
}

static inline void relay_commit(unsigned n)
{
	router_unref(relay.worker.router);
	relay.worker.router = relay_router(n);
	pool_sync(&relay.worker.pool, relay.worker.router);
}

static inline void relay_init(unsigned n_backends)
{
	struct worker *worker = &relay.worker;
	int fds[STATE_FDS];

	memset(fds, -1, sizeof(fds));
	memset(&relay, 0, sizeof(relay));
	log_init("relay", LOG_ERROR, LOG_TEXT);
	assert_int_equal(loop_init(&worker->loop), 0);
	relay.tick.on_timer = on_relay_tick;
	on_relay_tick(&relay.tick);
	assert_int_equal(state_create_fds(fds), 0);
	assert_int_equal(state_map(&worker->state, fds), 0);
	for (int i = 0; i < STATE_FDS; i++)
		close(fds[i]);
	worker->stats = &worker->state.workers[0];
	list_init(&worker->listeners);
	list_init(&worker->downstreams);
	list_init(&worker->dead_streams);
	worker->reap_task.on_run = on_relay_reap;
	worker->random_state = 1;
	assert_int_equal(pool_init(&worker->pool, worker), 0);
	relay.backend_options = (struct h2_options){
		.max_streams = 100, .stream_window_bytes = 65536,
		.connection_window_bytes = 1 << 20, .max_header_bytes = 65536,
		.open_timeout_ms = 3000, .header_timeout_ms = 3000,
	};
	for (int i = 0; i < BACKENDS; i++) {
		struct backend *backend = &relay.backends[i];

		backend->listen_fd = relay_listen(&backend->address);
		backend->io.on_event = on_backend_accept;
		loop_io_add(&worker->loop, &backend->io, backend->listen_fd, EPOLLIN);
	}
	worker->router = relay_router(n_backends);
	relay.listen_fd = relay_listen(&relay.address);
	relay.client = calloc(1, sizeof(*relay.client));
}

static inline void relay_connect(void)
{
	static const struct h2_options options = {
		.max_streams = 1000, .stream_window_bytes = 65536,
		.connection_window_bytes = 1 << 20, .max_header_bytes = 65536,
		.open_timeout_ms = 3000,
	};
	struct addr peer = { .len = sizeof(peer.v6) };
	int err;

	relay.client->h2 = h2_connect(&relay.worker.loop, &relay.address, NULL, NULL, &options,
				      &world_events, relay.client, &err);
	assert_non_null(relay.client->h2);
	downstream_accept(&relay.worker, &relay.worker.router->listeners[0],
			  accept4(relay.listen_fd, &peer.sa, &peer.len,
				  SOCK_NONBLOCK | SOCK_CLOEXEC),
			  &peer);
	assert_true(WORLD_UNTIL(&relay.worker, relay.client->n_up));
}

static inline void relay_stop_listening(unsigned i)
{
	loop_io_del(&relay.worker.loop, &relay.backends[i].io);
	if (relay.backends[i].listen_fd >= 0)
		close(relay.backends[i].listen_fd);
	relay.backends[i].listen_fd = -1;
}

/* Every counter is back where it began. */
static inline void relay_assert_quiet(void)
{
	struct worker *worker = &relay.worker;

	assert_int_equal(worker->stats->active_rpcs, 0);
	assert_int_equal(worker->state.groups[0].active_calls, 0);
	assert_int_equal(worker->state.groups[0].pending, 0);
	for (int i = 0; i < BACKENDS; i++)
		assert_int_equal(worker->state.backends[FIRST_BACKEND + i].active_rpcs, 0);
	assert_int_equal(buf_in_use(), 0);
	assert_int_equal(worker->header_bytes, 0);
}

static inline void relay_done(void)
{
	struct worker *worker = &relay.worker;

	if (relay.client->h2)
		h2_close(relay.client->h2, H2_NO_ERROR);
	while (!list_empty(&worker->downstreams))
		downstream_close(list_first(&worker->downstreams, struct downstream, link));
	assert_true(WORLD_UNTIL(worker, list_empty(&worker->dead_streams)));
	relay_assert_quiet();
	assert_int_equal(worker->stats->connections, 0);
	pool_close_all(&worker->pool);
	for (int i = 0; i < BACKENDS; i++) {
		relay_stop_listening((unsigned)i);
		for (unsigned j = 0; j < relay.backends[i].n_accepted; j++)
			if (relay.backends[i].sides[j]->h2)
				h2_close(relay.backends[i].sides[j]->h2, H2_NO_ERROR);
	}
	assert_true(WORLD_UNTIL(worker, !h2_alive()));
	for (int i = 0; i < BACKENDS; i++) {
		assert_int_equal(worker->state.backends[FIRST_BACKEND + i].connections, 0);
		for (unsigned j = 0; j < relay.backends[i].n_accepted; j++)
			free(relay.backends[i].sides[j]);
	}
	assert_int_equal(worker->state.groups[0].connections, 0);
	pool_done(&worker->pool);
	router_unref(worker->router);
	close(relay.listen_fd);
	free(relay.client);
	state_unmap(&worker->state);
	loop_done(&worker->loop);
	buf_pool_trim();
	h2_pool_trim();
}

/* Calls that the client makes; bytes of body, timeout "" for none. */
static inline int32_t relay_call(size_t bytes, const char *timeout)
{
	struct h2_header fields[N_REQUEST_FIELDS + 1];
	size_t n = N_REQUEST_FIELDS;
	int32_t id;

	memcpy(fields, request_fields, sizeof(request_fields));
	if (*timeout)
		fields[n++] = (struct h2_header){ "grpc-timeout", timeout, 12,
						  (uint32_t)strlen(timeout), false };
	id = h2_submit_request(relay.client->h2, fields, n, !bytes, &relay);
	assert_true(id > 0);
	record_of(relay.client, id)->to_send = bytes;
	return id;
}

static inline struct record *call(int32_t id)
{
	return record_of(relay.client, id);
}

#define RELAY_UNTIL(cond) assert_true(WORLD_UNTIL(&relay.worker, cond))
#define RELAY_FOR_MS(ms)  WORLD_FOR_MS(&relay.worker, ms)

/* Connection n of backend i, once it is there. */
static inline struct side *backend_side(unsigned i, unsigned n)
{
	RELAY_UNTIL(relay.backends[i].n_accepted > n);
	return relay.backends[i].sides[n];
}

/* Which backend has requests; -1: none yet. */
static inline int busy_backend(void)
{
	for (int i = 0; i < BACKENDS; i++)
		for (unsigned j = 0; j < relay.backends[i].n_accepted; j++)
			if (relay.backends[i].sides[j]->n_requests)
				return i;
	return -1;
}

/* Every backend answers each call with so many bytes, once it has all of the call. */
static inline void backends_answer(size_t bytes)
{
	for (int i = 0; i < BACKENDS; i++) {
		relay.backends[i].preset.reply = relay.backends[i].preset.reply_at_end = true;
		relay.backends[i].preset.reply_trailers = true;
		relay.backends[i].preset.reply_bytes = bytes;
	}
}

/* ---- for cmocka ---- */

static inline int relay_setup_one(void **state)
{
	relay_init(1);
	return 0;
}

static inline int relay_setup_two(void **state)
{
	relay_init(2);
	return 0;
}

static inline int relay_teardown(void **state)
{
	relay_done();
	return 0;
}

#endif
