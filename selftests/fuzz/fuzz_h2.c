/* SPDX-License-Identifier: MIT */
/*
 * fuzz_h2.c - one HTTP/2 connection of ours, either side, against any bytes a peer may send. The
 * first byte says how: bit 0: we are the client; bit 1: bytes come in small pieces; bit 2: we
 * drain half way; bit 3: we credit nothing; bit 4: we close from within a callback; bit 5: we reset
 * what we get. The rest is what the peer sends, behind the preface where it is the client.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/h2.h"

enum { AS_CLIENT = 1, IN_PIECES = 2, DRAIN = 4, NO_CREDIT = 8, CLOSE = 16, RESET = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct loop loop;
static struct loop_timer tick;
static int listen_fd = -1;
static struct addr address;

static struct {
	struct h2 *h2;
	uint8_t mode;
	uint32_t n_events;
} us;

static const struct h2_header fields[] = {
	{ ":status", "200", 7, 3, false },
	{ "grpc-status", "0", 11, 1, false },
	{ ":method", "POST", 7, 4, false },
	{ ":scheme", "http", 7, 4, false },
	{ ":path", "/a/b", 5, 4, false },
	{ ":authority", "x", 10, 1, false },
};

static bool closed_in_between(void)
{
	if (++us.n_events % 5 || !(us.mode & CLOSE) || !us.h2)
		return false;
	h2_close(us.h2, H2_NO_ERROR);
	us.h2 = NULL;
	return true;
}

static void on_up(struct h2 *h2)
{
	assert(us.h2 == h2);
	if (closed_in_between() || !(us.mode & AS_CLIENT))
		return;
	for (int i = 0; i < 3 && h2_capacity(h2); i++)
		assert(h2_submit_request(h2, fields + 2, 4, i == 2, &us) > 0);
}

static void on_headers(struct h2 *h2, int32_t id, enum h2_block block,
		       const struct h2_header *headers, size_t n, bool end)
{
	assert(us.h2 == h2 && id > 0);
	assert(block != H2_BLOCK_TOO_LARGE || !n);
	for (size_t i = 0; i < n; i++)
		assert(!headers[i].name[headers[i].name_len] &&
		       !headers[i].value[headers[i].value_len]);
	if (closed_in_between())
		return;
	if (us.mode & RESET)
		h2_reset(h2, id, H2_REFUSED_STREAM);
	else if (block == H2_BLOCK_REQUEST)
		h2_submit_response(h2, id, fields, 1, id % 3 == 0);
}

static void on_data(struct h2 *h2, int32_t id, const uint8_t *data, size_t size)
{
	assert(us.h2 == h2 && size);
	if (!closed_in_between() && !(us.mode & NO_CREDIT))
		h2_credit(h2, id, size);
}

static void on_end(struct h2 *h2, int32_t id)
{
	assert(us.h2 == h2);
	if (!closed_in_between())
		h2_resume(h2, id);
}

static void on_stream_closed(struct h2 *h2, int32_t id, uint32_t code, bool unprocessed,
			     bool by_peer)
{
	assert(us.h2 == h2);
	closed_in_between();
}

static size_t on_pull(struct h2 *h2, int32_t id, uint8_t *dst, size_t size, bool *end)
{
	assert(us.h2 == h2);
	if (closed_in_between())
		return 0;
	if (id % 4 == 1)
		return us.n_events % 2 ? 0 : (memset(dst, 'x', size), size);
	*end = true;
	if (!(us.mode & AS_CLIENT))
		h2_submit_trailers(h2, id, fields + 1, 1);
	return 0;
}

static void on_goaway(struct h2 *h2, int32_t last_id, uint32_t code)
{
	assert(us.h2 == h2);
	closed_in_between();
}

static void on_down(struct h2 *h2, enum h2_down why, int err, const char *text)
{
	assert(us.h2 == h2 && text);
	us.h2 = NULL;
}

static const struct h2_events events = {
	.on_up = on_up,
	.on_headers = on_headers,
	.on_data = on_data,
	.on_end = on_end,
	.on_stream_closed = on_stream_closed,
	.on_pull = on_pull,
	.on_goaway = on_goaway,
	.on_down = on_down,
};

/* Due in every turn: no turn waits. */
static void on_tick(struct loop_timer *timer)
{
	loop_timer_set(&loop, timer, 0);
}

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	if (loop_init(&loop) || addr_parse(&address, "127.0.0.1:0"))
		abort();
	tick.on_timer = on_tick;
	on_tick(&tick);
	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listen_fd, &address.sa, address.len) || listen(listen_fd, 16) ||
	    getsockname(listen_fd, &address.sa, &address.len))
		abort();
}

/* Our side and the peer's socket. */
static int open_connection(void)
{
	static const struct h2_options options = {
		.max_streams = 8,
		.stream_window_bytes = 16384,
		.connection_window_bytes = 65536,
		.max_header_bytes = 2048,
		.open_timeout_ms = 5000,
		.header_timeout_ms = 5000,
	};
	static const struct linger at_once = { .l_onoff = 1 };
	int pair[2], err;

	if (us.mode & AS_CLIENT) {
		us.h2 = h2_connect(&loop, &address, NULL, NULL, &options, &events, &us, &err);
		if (!us.h2)
			abort();
		pair[0] = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		/* No port is left waiting. */
		setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		return pair[0];
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		abort();
	us.h2 = h2_accept(&loop, pair[1], NULL, &options, &events, &us, &err);
	if (!us.h2)
		abort();
	return pair[0];
}

static void send_some(int fd, const uint8_t *bytes, size_t size)
{
	static uint8_t sink[65536];

	while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) == (ssize_t)sizeof(sink))
		;
	if (size && send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
	loop_turn(&loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	size_t at = 1, piece;
	int fd;

	if (listen_fd < 0)
		setup();
	if (!size || size > 60000)
		return 0;
	us.mode = bytes[0];
	us.n_events = 0;
	piece = us.mode & IN_PIECES ? 1 + size / 16 : size;
	fd = open_connection();
	loop_turn(&loop);
	if (!(us.mode & AS_CLIENT))
		send_some(fd, (const uint8_t *)"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	while (at < size) {
		size_t n = size - at < piece ? size - at : piece;

		send_some(fd, bytes + at, n);
		if (us.mode & DRAIN && us.h2 && at < size / 2 && at + n >= size / 2)
			h2_drain(us.h2);
		at += n;
	}
	send_some(fd, NULL, 0);
	if (us.h2 && us.mode & NO_CREDIT)
		h2_close(us.h2, H2_CANCEL), us.h2 = NULL;
	send_some(fd, NULL, 0);
	close(fd);
	for (int turns = 0; h2_alive() && turns < 100; turns++)
		loop_turn(&loop);
	/* The peer has gone, so nothing keeps a connection. */
	assert(!h2_alive() && !us.h2);
	return 0;
}
