/* SPDX-License-Identifier: MIT */
/*
 * fuzz_h2_relay.c - the whole relay of a worker, with any bytes from the client and from the
 * backend. The input is a row of pieces: a byte that says whose it is and what happens besides
 * (bit 0: the backend's; bit 1: that side hangs up afterwards; bit 2: time passes; bit 3: the
 * configuration is committed anew, with what bits 4 to 7 say), a length byte, and the bytes. Both
 * sides' prefaces are sent.
 */
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "proxy/downstream.h"
#include "proxy/route.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

enum { BACKENDS_BYTES = 1, HANG_UP = 2, TIME_PASSES = 4, COMMIT = 8 };
enum { PLAIN_HTTP2 = 16, RETRIES = 32, MIRROR = 64, LIMITS_AND_EDITS = 128 };

#define BACKEND_ID 7
#define CONNECTIONS 8

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct worker worker;
static struct loop_timer tick;
static int listen_fd = -1;
static struct addr address;
static struct {
	int client;
	int backends[CONNECTIONS]; /* the last one is fed */
	unsigned n;
} peers;

static void on_tick(struct loop_timer *timer)
{
	loop_timer_set(&worker.loop, timer, 0);
}

static void on_reap(struct loop_task *task)
{
	stream_reap(&worker);
}

static void make_group(struct config_group *group, const char *name, uint8_t ways)
{
	*group = (struct config_group){
		.name = strdup(name), .max_connections = 2, .max_streams = 4,
		.max_header_bytes = 65536, .connect_timeout_ms = 5000, .idle_timeout_ms = 60000,
		.protocol = ways & PLAIN_HTTP2 ? PROTOCOL_HTTP2 : PROTOCOL_GRPC,
		.n_endpoints = 1, .endpoints = calloc(1, sizeof(struct config_endpoint)),
	};
	group->endpoints[0] = (struct config_endpoint){
		.id = BACKEND_ID, .generation = 1, .weight = 1, .address = address,
	};
}

static void make_route(struct config_route *route, uint8_t ways)
{
	*route = (struct config_route){
		.name = strdup("default"), .status = -1,
		.mirror_group = ways & MIRROR ? 1 : CONFIG_NO_GROUP,
		.mirror_permyriad = ways & MIRROR ? 10000 : 0,
		.n_splits = 1, .splits = calloc(1, sizeof(struct config_split)),
	};
	if (ways & RETRIES)
		route->retry = (struct config_retry){
			.codes = 1 << 14 | 1 << 8 | 1 << 13, .on_reset = true, .attempts = 3,
			.backoff_base_ms = 1, .backoff_max_ms = 1, .budget_floor = 10,
			.per_try_timeout_ms = 1000,
		};
	if (!(ways & LIMITS_AND_EDITS))
		return;
	route->max_calls = 3;
	route->default_timeout_ms = 1000;
	route->max_timeout_ms = 2000;
	route->rewrite_prefix = strdup("/sluice.");
	route->rewrite_to = strdup("/other.");
	route->request.n = route->response.n = 1;
	route->request.items = calloc(1, sizeof(struct config_edit));
	route->request.items[0] = (struct config_edit){
		.op = EDIT_SET, .key = strdup("x-from"),
		.value = strdup("{client.ip} {request.header.x} {request.path}"),
	};
	route->response.items = calloc(1, sizeof(struct config_edit));
	route->response.items[0] = (struct config_edit){
		.op = EDIT_REMOVE, .key = strdup("x"),
	};
}

/* ways: PLAIN_HTTP2 and what follows it. */
static struct router *make_router(uint8_t ways)
{
	struct router *router = calloc(1, sizeof(*router));
	struct config *config = calloc(1, sizeof(*config));
	static const uint32_t weight = 1;
	static uint64_t revision;
	char why[160];

	router->refs = config->refs = 1;
	router->config = config;
	config->revision = ++revision;
	config->max_connections = 10;
	config->max_buffer_bytes = 256 * 1024;
	config->leg_buffer_bytes = 16384;
	config->n_listeners = 1;
	config->n_groups = 2;
	config->listeners = calloc(1, sizeof(*config->listeners));
	config->listeners[0] = (struct config_listener){
		.id = 1, .handshake_timeout_ms = 5000, .header_timeout_ms = 5000,
		.idle_timeout_ms = 60000, .stall_timeout_ms = 60000,
		.max_streams = 8, .max_header_bytes = 4096,
		.max_calls = ways & LIMITS_AND_EDITS ? 20 : 0,
		.min_ping_interval_ms = ways & LIMITS_AND_EDITS ? 10000 : 0,
		.request_id = ways & LIMITS_AND_EDITS, .trusted_hops = 1,
		.health_service = true,
	};
	config->groups = calloc(2, sizeof(*config->groups));
	make_group(&config->groups[0], "fuzz", ways);
	make_group(&config->groups[1], "shadow", ways);
	router->listeners = calloc(1, sizeof(*router->listeners));
	router->listeners[0].config = &config->listeners[0];
	config->listeners[0].n_routes = 1;
	config->listeners[0].routes = calloc(1, sizeof(struct config_route));
	make_route(&config->listeners[0].routes[0], ways);
	router->listeners[0].routes =
		route_table_new(config, &config->listeners[0], 0, why, sizeof(why));
	router->groups = calloc(2, sizeof(*router->groups));
	for (int i = 0; i < 2; i++) {
		router->groups[i].config = &config->groups[i];
		router->groups[i].wrr = wrr_new(&weight, 1, 0);
	}
	return router;
}

static void setup(void)
{
	int fds[STATE_FDS];

	memset(fds, 0xff, sizeof(fds)); /* -1 each: all are to be made */
	signal(SIGPIPE, SIG_IGN);
	log_init("fuzz", LOG_ERROR, LOG_TEXT);
	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (loop_init(&worker.loop) || state_create_fds(fds) || state_map(&worker.state, fds) ||
	    addr_parse(&address, "127.0.0.1:0") || bind(listen_fd, &address.sa, address.len) ||
	    listen(listen_fd, 16) || getsockname(listen_fd, &address.sa, &address.len))
		abort();
	tick.on_timer = on_tick;
	on_tick(&tick);
	worker.stats = &worker.state.workers[0];
	worker.state.backends[BACKEND_ID].generation = 1;
	list_init(&worker.listeners);
	list_init(&worker.downstreams);
	list_init(&worker.dead_streams);
	worker.reap_task.on_run = on_reap;
	worker.random_state = 1;
}

static void drain_socket(int fd)
{
	static uint8_t sink[65536];

	while (fd >= 0 && recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

/* Turns; takes what the worker opens, and throws away what it says. */
static void turn(void)
{
	static const struct linger at_once = { .l_onoff = 1 };
	static const uint8_t settings[9] = { 0, 0, 0, 4 };
	int fd;

	loop_turn(&worker.loop);
	drain_socket(peers.client);
	for (unsigned i = 0; i < peers.n; i++)
		drain_socket(peers.backends[i]);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	if (peers.n == CONNECTIONS) {
		close(fd);
		return;
	}
	peers.backends[peers.n++] = fd;
	send(fd, settings, sizeof(settings), MSG_NOSIGNAL | MSG_DONTWAIT);
	loop_turn(&worker.loop);
}

static void hang_up(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void run(const uint8_t *bytes, size_t size)
{
	for (size_t at = 0; at + 2 <= size;) {
		uint8_t what = bytes[at], len = bytes[at + 1];
		int *fd = what & BACKENDS_BYTES && peers.n ? &peers.backends[peers.n - 1] :
							     &peers.client;

		at += 2;
		if (len > size - at)
			len = (uint8_t)(size - at);
		if (len && *fd >= 0)
			send(*fd, bytes + at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		at += len;
		if (what & HANG_UP)
			hang_up(fd);
		if (what & COMMIT) {
			router_unref(worker.router);
			worker.router = make_router(what);
			pool_sync(&worker.pool, worker.router);
		}
		for (int turns = what & TIME_PASSES ? 6 : 2; turns; turns--)
			turn();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct addr nobody;
	int pair[2];

	if (listen_fd < 0)
		setup();
	if (size > 8000)
		return 0;
	if (pool_init(&worker.pool, &worker) || addr_parse(&nobody, "192.0.2.1:1") ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		abort();
	worker.router = make_router(0);
	peers.client = pair[0];
	peers.n = 0;
	downstream_accept(&worker, &worker.router->listeners[0], pair[1], &nobody);
	send(peers.client, hello, sizeof(hello) - 1, MSG_NOSIGNAL);
	turn();
	turn();
	run(bytes, size);
	hang_up(&peers.client);
	for (int turns = 0; turns < 100 && !list_empty(&worker.downstreams); turns++)
		turn();
	loop_turn(&worker.loop);
	/* Nothing is left of any call, whatever was said. */
	assert(list_empty(&worker.downstreams) && list_empty(&worker.dead_streams));
	assert(!worker.stats->active_rpcs && !worker.stats->connections);
	pool_close_all(&worker.pool);
	for (unsigned i = 0; i < peers.n; i++)
		hang_up(&peers.backends[i]);
	for (int turns = 0; turns < 100 && h2_alive(); turns++)
		turn();
	/* Nor of copies, which may outlive their calls. */
	assert(!h2_alive() && !worker.state.backends[BACKEND_ID].connections);
	assert(!worker.state.backends[BACKEND_ID].active_rpcs && !buf_in_use());
	for (unsigned i = 0; i < peers.n; i++)
		hang_up(&peers.backends[i]);
	pool_done(&worker.pool);
	router_unref(worker.router);
	return 0;
}
