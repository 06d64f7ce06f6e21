/* SPDX-License-Identifier: MIT */
/*
 * h2_world.h - one or two HTTP/2 endpoints of ours in one loop, joined by a real socket on
 * loopback, and a raw peer that sends what frames it likes. Each side keeps a record of what it
 * was told, and answers and sends as the test set it up. For the tests of h2 only.
 */
#ifndef SLUICE_SELFTESTS_H2_WORLD_H
#define SLUICE_SELFTESTS_H2_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cm.h"
#include "proxy/h2.h"

#define WAIT_NS	     (5 * NS_PER_S)
#define STREAMS_KEPT 4096

struct record {
	int32_t id;
	unsigned n_headers; /* blocks */
	enum h2_block block; /* the last one */
	bool ended;	     /* END_STREAM came */
	bool trailers;
	bool closed, unprocessed, by_peer;
	uint32_t code;
	size_t received, credited;
	bool corrupt; /* a byte was not the one that was sent */
	/* what this side sends */
	size_t to_send, sent;
	bool hold_end;	/* no end after to_send */
	bool stop_pull; /* on_pull has nothing for now */
	bool send_trailers;
	int grpc_status;    /* -1: none came */
	char grpc_message[256];
	char x_test[64]; /* value of the last x-test field that came */
	size_t big_field; /* length of the last x-big field that came */
};

struct side {
	struct h2 *h2; /* NULL once it is down */
	unsigned n_up, n_open, n_down, n_goaway, n_too_many_pings, n_closed, n_requests, n_capacity;
	enum h2_down why;
	int err;
	char text[128];
	int32_t goaway_last;
	uint32_t goaway_code;
	bool no_credit;	    /* data stays in the window */
	bool reply;	    /* a server: answer each request at once */
	size_t reply_bytes; /* with so much DATA */
	bool reply_trailers;
	bool reply_at_end; /* only once the request ended */
	bool may_fail; /* memory is short */
	bool deaf_when_down;
	bool close_in_headers, close_in_data, close_in_pull, close_in_closed, close_in_up;
	struct record records[STREAMS_KEPT];
};

struct h2_world {
	struct loop loop;
	struct loop_timer tick;
	struct h2_options options; /* for both, where a test changes nothing */
	struct side client, server;
	int listen_fd;
	struct addr address;
	int raw; /* a raw peer's socket, or -1 */
	uint8_t raw_in[1 << 16];
	size_t raw_len;
};

static const struct h2_header request_fields[] = {
	{ ":method", "POST", 7, 4, false },
	{ ":scheme", "http", 7, 4, false },
	{ ":path", "/echo.Echo/Unary", 5, 16, false },
	{ ":authority", "test", 10, 4, false },
	{ "content-type", "application/grpc", 12, 16, false },
	{ "te", "trailers", 2, 8, false },
	{ "x-test", "request", 6, 7, true },
};
#define N_REQUEST_FIELDS (sizeof(request_fields) / sizeof(request_fields[0]))
static const struct h2_header response_fields[] = {
	{ ":status", "200", 7, 3, false },
	{ "content-type", "application/grpc", 12, 16, false },
	{ "x-test", "response", 6, 8, false },
};
static const struct h2_header trailer_fields[] = {
	{ "grpc-status", "0", 11, 1, false },
	{ "x-test", "trailers", 6, 8, false },
};

static inline struct record *record_of(struct side *side, int32_t id)
{
	if (id == INT32_MAX)
		id = 2 * STREAMS_KEPT - 1;
	assert_in_range(id, 1, 2 * STREAMS_KEPT - 1);
	if (!side->records[id / 2].id)
		side->records[id / 2].grpc_status = -1;
	side->records[id / 2].id = id;
	return &side->records[id / 2];
}

static inline uint8_t byte_at(int32_t id, size_t offset)
{
	return (uint8_t)(offset * 31 + offset / 251 + (size_t)id);
}

/* ---- h2's events ---- */

static inline void world_close(struct side *side)
{
	h2_close(side->h2, H2_NO_ERROR);
	side->h2 = NULL;
}

static inline void world_respond(struct side *side, int32_t id)
{
	struct record *record = record_of(side, id);
	int err;

	record->to_send = side->reply_bytes;
	record->send_trailers = side->reply_trailers;
	err = h2_submit_response(side->h2, id, response_fields, 3,
				 !side->reply_bytes && !side->reply_trailers);
	assert_true(!err || side->may_fail);
}

static inline void on_world_open(struct h2 *h2)
{
	((struct side *)h2_user(h2))->n_open++;
}

static inline void on_world_up(struct h2 *h2)
{
	struct side *side = h2_user(h2);

	side->n_up++;
	if (side->close_in_up)
		world_close(side);
}

static inline void on_world_headers(struct h2 *h2, int32_t id, enum h2_block block,
				    const struct h2_header *headers, size_t n, bool end)
{
	struct side *side = h2_user(h2);
	struct record *record = record_of(side, id);

	record->n_headers++;
	record->block = block;
	record->ended = record->ended || end;
	record->trailers = record->trailers || block == H2_BLOCK_TRAILERS;
	if (block == H2_BLOCK_REQUEST)
		side->n_requests++;
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(strlen(headers[i].name), headers[i].name_len);
		if (!strcmp(headers[i].name, "x-test"))
			snprintf(record->x_test, sizeof(record->x_test), "%s", headers[i].value);
		if (!strcmp(headers[i].name, "grpc-status"))
			record->grpc_status = atoi(headers[i].value);
		if (!strcmp(headers[i].name, "grpc-message"))
			snprintf(record->grpc_message, sizeof(record->grpc_message), "%s",
				 headers[i].value);
		if (!strcmp(headers[i].name, "x-big"))
			record->big_field = headers[i].value_len;
	}
	if (side->close_in_headers)
		world_close(side);
	else if (side->reply && (block == H2_BLOCK_REQUEST || end) && (end || !side->reply_at_end))
		world_respond(side, id);
}

static inline void on_world_data(struct h2 *h2, int32_t id, const uint8_t *data, size_t size)
{
	struct side *side = h2_user(h2);
	struct record *record = record_of(side, id);

	for (size_t i = 0; i < size; i++)
		record->corrupt = record->corrupt || data[i] != byte_at(id, record->received + i);
	record->received += size;
	if (!side->no_credit) {
		h2_credit(h2, id, size);
		record->credited += size;
	}
	if (side->close_in_data)
		world_close(side);
}

static inline void on_world_end(struct h2 *h2, int32_t id)
{
	struct side *side = h2_user(h2);

	record_of(side, id)->ended = true;
	if (side->reply && side->reply_at_end)
		world_respond(side, id);
}

static inline void on_world_stream_closed(struct h2 *h2, int32_t id, uint32_t code,
					  bool unprocessed, bool by_peer)
{
	struct side *side = h2_user(h2);
	struct record *record = record_of(side, id);

	assert_false(record->closed);
	side->n_closed++;
	record->closed = true;
	record->code = code;
	record->unprocessed = unprocessed;
	record->by_peer = by_peer;
	if (side->close_in_closed)
		world_close(side);
}

static inline size_t on_world_pull(struct h2 *h2, int32_t id, uint8_t *dst, size_t size, bool *end)
{
	struct side *side = h2_user(h2);
	struct record *record = record_of(side, id);
	size_t n = record->to_send - record->sent;

	if (side->close_in_pull) {
		world_close(side);
		return 0;
	}
	if (record->stop_pull)
		return 0;
	if (n > size)
		n = size;
	for (size_t i = 0; i < n; i++)
		dst[i] = byte_at(id, record->sent + i);
	record->sent += n;
	if (record->sent == record->to_send && !record->hold_end) {
		*end = true;
		if (record->send_trailers)
			assert_true(!h2_submit_trailers(h2, id, trailer_fields, 2) ||
				    side->may_fail);
	}
	return n;
}

static inline void on_world_goaway(struct h2 *h2, int32_t last_id, uint32_t code)
{
	struct side *side = h2_user(h2);

	side->n_goaway++;
	side->goaway_last = last_id;
	side->goaway_code = code;
}

static inline void on_world_too_many_pings(struct h2 *h2)
{
	((struct side *)h2_user(h2))->n_too_many_pings++;
}

static inline void on_world_capacity(struct h2 *h2)
{
	((struct side *)h2_user(h2))->n_capacity++;
}

static inline void on_world_down(struct h2 *h2, enum h2_down why, int err, const char *text)
{
	struct side *side = h2_user(h2);

	side->n_down++;
	side->why = why;
	side->err = err;
	snprintf(side->text, sizeof(side->text), "%s", text);
	side->h2 = NULL;
	if (side->deaf_when_down)
		h2_stop_reading(h2);
}

static const struct h2_events world_events = {
	.on_open = on_world_open,
	.on_up = on_world_up,
	.on_headers = on_world_headers,
	.on_data = on_world_data,
	.on_end = on_world_end,
	.on_stream_closed = on_world_stream_closed,
	.on_pull = on_world_pull,
	.on_goaway = on_world_goaway,
	.on_too_many_pings = on_world_too_many_pings,
	.on_capacity = on_world_capacity,
	.on_down = on_world_down,
};

/* ---- the world ---- */

static inline void on_world_tick(struct loop_timer *timer)
{
	loop_timer_set(&container_of(timer, struct h2_world, tick)->loop, timer, 2 * NS_PER_MS);
}

static inline void world_init(struct h2_world *world)
{
	memset(world, 0, sizeof(*world));
	assert_int_equal(loop_init(&world->loop), 0);
	world->tick.on_timer = on_world_tick;
	on_world_tick(&world->tick);
	world->options = (struct h2_options){
		.max_streams = 100,
		.stream_window_bytes = 65536,
		.connection_window_bytes = 1 << 20,
		.max_header_bytes = 64 * 1024,
		.open_timeout_ms = 3000,
		.header_timeout_ms = 3000,
		.ping_without_streams = true,
	};
	world->raw = -1;
	assert_int_equal(addr_parse(&world->address, "127.0.0.1:0"), 0);
	world->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(world->listen_fd >= 0);
	assert_int_equal(bind(world->listen_fd, &world->address.sa, world->address.len), 0);
	assert_int_equal(listen(world->listen_fd, 16), 0);
	assert_int_equal(getsockname(world->listen_fd, &world->address.sa, &world->address.len), 0);
}

/* Turns until cond; false where that takes too long. */
#define WORLD_UNTIL(world, cond)                                                                   \
	({                                                                                         \
		uint64_t until_ = loop_refresh(&(world)->loop) + WAIT_NS;                          \
		bool done_;                                                                        \
		while (!(done_ = (cond)) && loop_refresh(&(world)->loop) < until_)                 \
			assert_int_equal(loop_turn(&(world)->loop), 0);                            \
		done_;                                                                             \
	})
/* For what must not happen: turns for a while. */
#define WORLD_FOR_MS(world, ms)                                                                    \
	do {                                                                                       \
		uint64_t until_ = loop_refresh(&(world)->loop) + (ms) * NS_PER_MS;                 \
		while (loop_refresh(&(world)->loop) < until_)                                      \
			assert_int_equal(loop_turn(&(world)->loop), 0);                            \
	} while (0)

static inline void world_done(struct h2_world *world)
{
	if (world->client.h2)
		h2_close(world->client.h2, H2_NO_ERROR);
	if (world->server.h2)
		h2_close(world->server.h2, H2_NO_ERROR);
	if (world->raw >= 0)
		close(world->raw);
	assert_true(WORLD_UNTIL(world, !h2_alive()));
	close(world->listen_fd);
	loop_done(&world->loop);
	h2_pool_trim();
}

static inline void world_accept(struct h2_world *world)
{
	int fd = accept4(world->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), err;

	assert_true(fd >= 0);
	world->server.h2 = h2_accept(&world->loop, fd, NULL, &world->options, &world_events,
				     &world->server, &err);
	assert_non_null(world->server.h2);
}

static inline void world_connect(struct h2_world *world)
{
	int err;

	world->client.h2 = h2_connect(&world->loop, &world->address, NULL, NULL, &world->options,
				      &world_events, &world->client, &err);
	assert_non_null(world->client.h2);
}

/* Both sides of ours, up. */
static inline void world_pair(struct h2_world *world)
{
	world_connect(world);
	world_accept(world);
	assert_true(WORLD_UNTIL(world, world->client.n_up && world->server.n_up));
}

/* A request with a body of bytes (0: none). Its id. */
static inline int32_t world_request(struct h2_world *world, size_t bytes)
{
	int32_t id = h2_submit_request(world->client.h2, request_fields, N_REQUEST_FIELDS, !bytes,
				       world);

	assert_true(id > 0);
	record_of(&world->client, id)->to_send = bytes;
	return id;
}

/* ---- a raw peer ---- */

static inline void raw_send(struct h2_world *world, const void *bytes, size_t size)
{
	assert_int_equal(send(world->raw, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

static inline size_t raw_frame_put(uint8_t *at, uint8_t type, uint8_t flags, uint32_t id,
				   const void *payload, size_t size)
{
	const uint8_t head[9] = { (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size,
				  type, flags, (uint8_t)(id >> 24), (uint8_t)(id >> 16),
				  (uint8_t)(id >> 8), (uint8_t)id };

	memcpy(at, head, 9);
	if (size)
		memcpy(at + 9, payload, size);
	return 9 + size;
}

static inline void raw_frame(struct h2_world *world, uint8_t type, uint8_t flags, uint32_t id,
			     const void *payload, size_t size)
{
	uint8_t bytes[9 + 16384];

	assert_true(size <= 16384);
	raw_send(world, bytes, raw_frame_put(bytes, type, flags, id, payload, size));
}

enum { RAW_DATA = 0, RAW_HEADERS = 1, RAW_RST = 3, RAW_SETTINGS = 4, RAW_PING = 6, RAW_GOAWAY = 7,
       RAW_WINDOW_UPDATE = 8, RAW_CONTINUATION = 9 };
enum { RAW_END_STREAM = 1, RAW_ACK = 1, RAW_END_HEADERS = 4 };

/* :method POST, :scheme http, :path /, :authority x: valid HPACK without any table. */
static const uint8_t raw_request[] = { 0x83, 0x86, 0x84, 0x01, 0x01, 'x' };
#define RAW_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* A raw client, connected to our server (which is accepted); with its preface and SETTINGS. */
static inline void world_raw_client(struct h2_world *world, bool preface)
{
	world->raw = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(world->raw, &world->address.sa, world->address.len), 0);
	assert_int_equal(fcntl(world->raw, F_SETFL, O_NONBLOCK), 0);
	world_accept(world);
	if (preface) {
		raw_send(world, RAW_PREFACE, 24);
		raw_frame(world, RAW_SETTINGS, 0, 0, NULL, 0);
		assert_true(WORLD_UNTIL(world, world->server.n_up));
	}
}

/* Our client, connected to a raw server. */
static inline void world_raw_server(struct h2_world *world, bool settings)
{
	world_connect(world);
	world->raw = accept4(world->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(world->raw >= 0);
	if (settings) {
		raw_frame(world, RAW_SETTINGS, 0, 0, NULL, 0);
		assert_true(WORLD_UNTIL(world, world->client.n_up));
	}
}

/* Reads what has come; skips frames until one of type (and fills frame with head and payload).
 * False where none has come yet. */
static inline bool raw_find(struct h2_world *world, uint8_t type, uint8_t frame[9 + 16384])
{
	ssize_t n = recv(world->raw, world->raw_in + world->raw_len,
			 sizeof(world->raw_in) - world->raw_len, 0);

	world->raw_len += n > 0 ? (size_t)n : 0;
	if (world->raw_len >= 24 && !memcmp(world->raw_in, RAW_PREFACE, 24)) {
		world->raw_len -= 24;
		memmove(world->raw_in, world->raw_in + 24, world->raw_len);
	}
	while (world->raw_len >= 9) {
		const uint8_t *in = world->raw_in;
		size_t size = 9 + ((size_t)in[0] << 16 | (size_t)in[1] << 8 | in[2]);
		bool found = in[3] == type;

		if (world->raw_len < size)
			break;
		if (found)
			memcpy(frame, in, size);
		world->raw_len -= size;
		memmove(world->raw_in, world->raw_in + size, world->raw_len);
		if (found)
			return true;
	}
	return false;
}

static inline uint32_t raw_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Waits for a GOAWAY frame; its error code. */
static inline uint32_t raw_goaway_code(struct h2_world *world)
{
	uint8_t frame[9 + 16384];

	assert_true(WORLD_UNTIL(world, raw_find(world, RAW_GOAWAY, frame)));
	return raw_u32(frame + 13);
}

#endif
