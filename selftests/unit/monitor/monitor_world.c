/* SPDX-License-Identifier: MIT */
/*
 * monitor_world.c - see monitor_world.h. Included by the test programs, which are one file each.
 */
#include "monitor_world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cm.h"
#include "monitor/monitor.h"
#include "proxy/grpc.h"

uint64_t world_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- backends ---- */

static const struct h2_options server_options = {
	.max_streams = 100,
	.stream_window_bytes = 65535,
	.connection_window_bytes = 65535,
	.max_header_bytes = 16384,
	.open_timeout_ms = 5000,
};

static const struct h2_options one_stream_options = {
	.max_streams = 1,
	.stream_window_bytes = 65535,
	.connection_window_bytes = 65535,
	.max_header_bytes = 16384,
	.open_timeout_ms = 5000,
};

#define FIELD(n, v)                                                                                \
	{                                                                                          \
		.name = (n), .value = (v), .name_len = sizeof(n) - 1,                              \
		.value_len = (uint32_t)strlen(v),                                                  \
	}

static void answer_status(struct h2 *h2, int32_t id, int status)
{
	char text[8];

	snprintf(text, sizeof(text), "%d", status);
	const struct h2_header headers[] = { FIELD(":status", "200"),
					     FIELD("content-type", "application/grpc"),
					     FIELD("grpc-status", text),
					     FIELD("grpc-message", "as told") };

	h2_submit_response(h2, id, headers, 4, true);
}

static void backend_answer(struct backend *backend, struct h2 *h2, int32_t id)
{
	const struct h2_header ok[] = { FIELD(":status", "200"),
					FIELD("content-type", "application/grpc") };
	const struct h2_header missing[] = { FIELD(":status", "404") };

	backend->n_calls++;
	switch (backend->mode) {
	case BACKEND_SERVING:
	case BACKEND_NOT_SERVING:
		h2_submit_response(h2, id, ok, 2, false);
		h2_resume(h2, id);
		break;
	case BACKEND_STATUS:
		answer_status(h2, id, backend->status);
		break;
	case BACKEND_HTTP_404:
		h2_submit_response(h2, id, missing, 1, true);
		break;
	case BACKEND_RESET:
		h2_reset(h2, id, H2_CANCEL);
		break;
	case BACKEND_REFUSE:
		h2_reset(h2, id, H2_REFUSED_STREAM);
		break;
	case BACKEND_SILENT:
	case BACKEND_HANG_UP:
	case BACKEND_HTTP1:
		break;
	}
}

static void backend_watched(struct backend *backend, struct h2 *h2, int32_t id)
{
	const struct h2_header ok[] = { FIELD(":status", "200"),
					FIELD("content-type", "application/grpc") };

	backend->n_watches++;
	if (!backend->has_watch) {
		answer_status(h2, id, GRPC_UNIMPLEMENTED);
		return;
	}
	backend->watch_h2 = h2;
	backend->watch = id;
	backend->told_len = 0;
	backend->watch_end = -1;
	if (backend->mode == BACKEND_SILENT)
		return;
	h2_submit_response(h2, id, ok, 2, false);
	backend_tell_status(backend, backend->mode == BACKEND_SERVING ? 1 : 2);
}

void backend_tell(struct backend *backend, const uint8_t *bytes, size_t len)
{
	assert_non_null(backend->watch_h2);
	assert_true(len <= sizeof(backend->told) - backend->told_len);
	memcpy(backend->told + backend->told_len, bytes, len);
	backend->told_len += len;
	h2_resume(backend->watch_h2, backend->watch);
}

void backend_tell_status(struct backend *backend, uint8_t status)
{
	const uint8_t message[7] = { 0, 0, 0, 0, 2, 8, status };

	backend_tell(backend, message, sizeof(message));
}

void backend_end_watch(struct backend *backend, int status)
{
	backend->watch_end = status;
	h2_resume(backend->watch_h2, backend->watch);
}

void backend_reset_watch(struct backend *backend, uint32_t code)
{
	h2_reset(backend->watch_h2, backend->watch, code);
}

static size_t watch_pull(struct backend *backend, uint8_t *dst, size_t size, bool *end)
{
	static char number[4];
	size_t n = backend->told_len < size ? backend->told_len : size;

	memcpy(dst, backend->told, n);
	backend->told_len -= n;
	memmove(backend->told, backend->told + n, backend->told_len);
	if (backend->watch_end >= 0 && !backend->told_len) {
		const struct h2_header trailers[] = {
			{ .name = "grpc-status", .name_len = 11, .value = number,
			  .value_len = (uint32_t)snprintf(number, sizeof(number), "%d",
							  backend->watch_end) },
		};

		h2_submit_trailers(backend->watch_h2, backend->watch, trailers, 1);
		*end = true;
	}
	return n;
}

static void server_on_headers(struct h2 *h2, int32_t id, enum h2_block block,
			      const struct h2_header *headers, size_t n, bool end)
{
	static const char *const names[] = { ":path", ":authority", "content-type", "grpc-timeout" };
	struct backend *backend = h2_user(h2);
	char *const copies[] = { backend->path, backend->authority, backend->content_type,
				 backend->timeout };
	const size_t sizes[] = { sizeof(backend->path), sizeof(backend->authority),
				 sizeof(backend->content_type), sizeof(backend->timeout) };

	/* The question of the check, which the tests look at, is not that of the Watch beside it. */
	for (size_t i = 0; i < n; i++)
		if (strcmp(headers[i].name, ":path") == 0 &&
		    strcmp(headers[i].value, "/grpc.health.v1.Health/Watch") == 0)
			h2_stream_set_user(h2, id, backend);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < 4; k++)
			if (strcmp(headers[i].name, names[k]) == 0)
				snprintf(copies[k], sizes[k], "%s", headers[i].value);
	backend->body_len = 0;
	if (end)
		backend_answer(backend, h2, id);
}

static void server_on_data(struct h2 *h2, int32_t id, const uint8_t *data, size_t size)
{
	struct backend *backend = h2_user(h2);

	assert_true(size <= sizeof(backend->body) - backend->body_len);
	memcpy(backend->body + backend->body_len, data, size);
	backend->body_len += size;
	h2_credit(h2, id, size);
}

static void server_on_end(struct h2 *h2, int32_t id)
{
	if (h2_stream_user(h2, id)) {
		backend_watched(h2_user(h2), h2, id);
		return;
	}
	backend_answer(h2_user(h2), h2, id);
}

static size_t server_on_pull(struct h2 *h2, int32_t id, uint8_t *dst, size_t size, bool *end)
{
	static const struct h2_header trailers[] = { { .name = "grpc-status",
						       .value = "0",
						       .name_len = 11,
						       .value_len = 1 } };
	struct backend *backend = h2_user(h2);

	if (h2_stream_user(h2, id))
		return watch_pull(backend, dst, size, end);
	const uint8_t message[7] = { 0, 0, 0, 0, 2, 8, backend->mode == BACKEND_SERVING ? 1 : 2 };

	memcpy(dst, message, sizeof(message));
	h2_submit_trailers(h2, id, trailers, 1);
	*end = true;
	return sizeof(message);
}

static void server_on_up(struct h2 *h2)
{
}

static void server_on_stream_closed(struct h2 *h2, int32_t id, uint32_t code, bool unprocessed,
				    bool by_peer)
{
	struct backend *backend = h2_user(h2);

	if (backend->watch_h2 == h2 && backend->watch == id)
		backend->watch_h2 = NULL;
}

static void server_on_goaway(struct h2 *h2, int32_t last_id, uint32_t code)
{
}

static void server_on_down(struct h2 *h2, enum h2_down why, int err, const char *text)
{
	struct backend *backend = h2_user(h2);

	for (size_t i = 0; i < 16; i++)
		if (backend->connections[i] == h2)
			backend->connections[i] = NULL;
	if (backend->watch_h2 == h2)
		backend->watch_h2 = NULL;
}

static const struct h2_events server_events = {
	.on_up = server_on_up,
	.on_headers = server_on_headers,
	.on_data = server_on_data,
	.on_end = server_on_end,
	.on_stream_closed = server_on_stream_closed,
	.on_pull = server_on_pull,
	.on_goaway = server_on_goaway,
	.on_down = server_on_down,
};

static void on_accept(struct loop_io *io, uint32_t events)
{
	struct backend *backend = container_of(io, struct backend, listener);
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), err;

	if (fd < 0)
		return;
	backend->n_accepted++;
	if (backend->mode == BACKEND_HTTP1 || backend->mode == BACKEND_HANG_UP) {
		static const char bad[] = "HTTP/1.1 400 Bad Request\r\n\r\n";

		if (backend->mode == BACKEND_HANG_UP) {
			close(fd);
			return;
		}
		/* Kept open: a reset would overtake the answer. */
		assert_int_equal(send(fd, bad, sizeof(bad) - 1, 0), sizeof(bad) - 1);
		if (backend->http1_fd)
			close(backend->http1_fd);
		backend->http1_fd = fd;
		return;
	}
	for (size_t i = 0; i < 16; i++) {
		if (backend->connections[i])
			continue;
		backend->connections[i] = h2_accept(&backend->world->loop, fd, NULL,
						    backend->one_stream ? &one_stream_options :
									  &server_options,
						    &server_events, backend, &err);
		assert_non_null(backend->connections[i]);
		return;
	}
	fail_msg("too many connections");
}

void backend_listen(struct backend *backend)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(backend->port) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	backend->port = ntohs(sin.sin_port);
	backend->listener.on_event = on_accept;
	assert_int_equal(loop_io_add(&backend->world->loop, &backend->listener, fd, EPOLLIN), 0);
}

static void backend_stop(struct backend *backend)
{
	int fd = backend->listener.fd;

	if (backend->http1_fd)
		close(backend->http1_fd);
	backend->http1_fd = 0;
	if (fd < 0)
		return;
	loop_io_del(&backend->world->loop, &backend->listener);
	backend->listener.fd = -1;
	close(fd);
}

void backend_goaway(struct backend *backend)
{
	for (size_t i = 0; i < 16; i++) {
		if (backend->connections[i])
			h2_close(backend->connections[i], H2_NO_ERROR);
		backend->connections[i] = NULL;
	}
	backend->watch_h2 = NULL;
}

void backend_kill(struct backend *backend)
{
	backend_stop(backend);
	backend_goaway(backend);
}

/* ---- the supervisor's side ---- */

static void on_tick(struct loop_timer *timer)
{
	struct world *world = container_of(timer, struct world, tick);

	loop_timer_set(&world->loop, timer, 10 * NS_PER_MS);
}

void world_turn(struct world *world)
{
	struct channel_message message;

	if (!loop_timer_is_set(&world->tick))
		loop_timer_set(&world->loop, &world->tick, 10 * NS_PER_MS);
	assert_int_equal(loop_turn(&world->loop), 0);
	while (world->channel >= 0 && channel_receive(world->channel, &message) == 1) {
		if (message.type == CHANNEL_RESOLVED) {
			memcpy(&world->resolved, message.payload, sizeof(world->resolved));
			world->n_resolved++;
		} else {
			assert_true(message.type == CHANNEL_READY ||
				    message.type == CHANNEL_COMMITTED);
		}
		channel_message_close_fds(&message);
	}
}

void world_init(struct world *world, unsigned n)
{
	static struct config_health_check check = {
		.enabled = true,
		.path = "/grpc.health.v1.Health/Check",
		.service = "",
		.standard_path = true,
		.codes = 1,
		.interval_ms = 200,
		.timeout_ms = 400,
		.healthy_threshold = 2,
		.unhealthy_threshold = 2,
	};

	signal(SIGPIPE, SIG_IGN);
	memset(world, 0, sizeof(*world));
	world->channel = -1;
	assert_int_equal(loop_init(&world->loop), 0);
	world->tick.on_timer = on_tick;
	for (size_t i = 0; i < STATE_FDS; i++)
		world->fds[i] = -1;
	assert_int_equal(state_create_fds(world->fds), 0);
	assert_int_equal(state_map(&world->state, world->fds), 0);
	world->group = (struct config_group){ .id = WORLD_GROUP, .name = "g",
					      .backends = world->config_backends, .n_backends = n,
					      .endpoints = world->endpoints, .n_endpoints = n,
					      .health_check = check };
	world->config = (struct config){ .control_socket = "", .log_level = LOG_DEBUG,
					 .groups = &world->group, .n_groups = 1,
					 .kernel.pin_path = "" };
	for (unsigned i = 0; i < WORLD_BACKENDS; i++) {
		struct backend *backend = &world->backends[i];

		backend->world = world;
		backend->listener.fd = -1;
		if (i >= n)
			continue;
		backend_listen(backend);
		world->config_backends[i] = (struct config_backend){ .host = "127.0.0.1",
								     .port = backend->port,
								     .weight = 1 };
		world->endpoints[i] = (struct config_endpoint){ .id = WORLD_BACKEND(i),
								.generation = 1, .backend = i,
								.weight = 1 };
		assert_int_equal(addr_from_ip(&world->endpoints[i].address, "127.0.0.1",
					      backend->port), 0);
		world->config_backends[i].address = world->endpoints[i].address;
	}
}

void world_start_monitor(struct world *world)
{
	const struct channel_setup setup = { .n_slots = 1 };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	world->monitor = fork();
	assert_true(world->monitor >= 0);
	if (world->monitor == 0) {
		/* As the supervisor's children: nothing but the channel, or a killed backend's
		 * socket would live on here. */
		if (dup2(ends[1], CHANNEL_FD) < 0 || close_range(CHANNEL_FD + 1, ~0u, 0) < 0)
			_exit(99);
		exit(monitor_main(CHANNEL_FD));
	}
	close(ends[1]);
	world->channel = ends[0];
	assert_int_equal(channel_send(world->channel, CHANNEL_SETUP, &setup, sizeof(setup),
				      world->fds, STATE_FDS), 0);
}

void world_configure(struct world *world)
{
	struct channel_config header = { .revision = ++world->revision };
	struct channel_message message;
	uint8_t *bytes;
	size_t len;
	int fd;

	fcntl(world->channel, F_SETFL, 0);
	world->config.revision = header.revision;
	assert_int_equal(config_encode(&world->config, &bytes, &len), 0);
	fd = channel_seal("config", bytes, len);
	assert_true(fd >= 0);
	free(bytes);
	header.length = len;
	assert_int_equal(channel_send(world->channel, CHANNEL_CONFIG, &header, sizeof(header), &fd,
				      1), 0);
	close(fd);
	/* The channel blocks in this one place; an answer to a name may come between. */
	do {
		assert_int_equal(channel_receive(world->channel, &message), 1);
	} while (message.type == CHANNEL_RESOLVED || message.type == CHANNEL_COMMITTED);
	assert_int_equal(message.type, CHANNEL_READY);
	for (size_t i = 0; i < world->group.n_endpoints; i++)
		world->state.backends[world->endpoints[i].id].generation =
			world->endpoints[i].generation;
	header.length = 0;
	assert_int_equal(channel_send(world->channel, CHANNEL_COMMIT, &header, sizeof(header), NULL,
				      0), 0);
	fcntl(world->channel, F_SETFL, O_NONBLOCK);
}

int world_monitor_exit(struct world *world)
{
	uint64_t end_ms = world_now_ms() + 5000;
	int status;

	while (waitpid(world->monitor, &status, WNOHANG) == 0) {
		if (world_now_ms() > end_ms) {
			kill(world->monitor, SIGKILL);
			waitpid(world->monitor, &status, 0);
			world->monitor = 0;
			return -1;
		}
		world_turn(world);
	}
	world->monitor = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

void world_done(struct world *world)
{
	const struct channel_drain drain = { .grace_ms = 1000 };

	if (world->monitor) {
		assert_int_equal(channel_send(world->channel, CHANNEL_DRAIN, &drain, sizeof(drain),
					      NULL, 0), 0);
		assert_int_equal(world_monitor_exit(world), 0);
	}
	for (unsigned i = 0; i < WORLD_BACKENDS; i++)
		backend_kill(&world->backends[i]);
	loop_timer_cancel(&world->loop, &world->tick);
	for (int i = 0; i < 100 && world->loop.heap_len; i++)
		loop_turn(&world->loop);
	loop_done(&world->loop);
	if (world->channel >= 0)
		close(world->channel);
	state_unmap(&world->state);
	for (size_t i = 0; i < STATE_FDS; i++)
		close(world->fds[i]);
}

/* ---- a test program's one world; below all that has a parameter of that name ---- */

static struct world world;

static struct sluice_backend *words(unsigned i)
{
	return &world.state.backends[WORLD_BACKEND(i)];
}

static uint32_t health(unsigned i)
{
	return state_load32(&words(i)->health);
}

static uint32_t reason(unsigned i)
{
	return state_load32(&words(i)->health_reason);
}

static uint32_t live(void)
{
	return state_load32(&world.state.groups[WORLD_GROUP].live);
}

/* What a failed test leaves behind; one that passes ends its world itself. */
static int teardown(void **state)
{
	if (world.monitor) {
		kill(world.monitor, SIGKILL);
		waitpid(world.monitor, NULL, 0);
		world.monitor = 0;
	}
	return 0;
}
