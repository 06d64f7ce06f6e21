/* SPDX-License-Identifier: MIT */
/*
 * test_h2_end.c - how an HTTP/2 connection ends: draining on both sides, GOAWAY received, failed
 * connects, peers that fall silent, and peers that never take what is sent to them.
 */
#include "proxy/h2_fixture.h"

static void a_drained_server_finishes_its_calls_and_closes(void **state)
{
	int32_t id;

	world_pair(&world);
	id = world_request(&world, 100);
	assert_true(WORLD_UNTIL(&world, at_server(id)->ended));
	h2_drain(world.server.h2);
	assert_false(h2_is_up(world.server.h2));
	assert_true(WORLD_UNTIL(&world, world.client.n_goaway == 2));
	assert_int_equal(world.client.goaway_last, id);
	assert_int_equal(world.client.goaway_code, H2_NO_ERROR);
	WORLD_FOR_MS(&world, 20);
	assert_int_equal(world.server.n_down, 0);

	world.server.reply_trailers = true;
	world.server.reply_bytes = 100000;
	world_respond(&world.server, id);
	assert_true(WORLD_UNTIL(&world, world.server.n_down && world.client.n_down));
	assert_int_equal(at_client(id)->received, 100000);
	assert_true(at_client(id)->trailers);
	assert_int_equal(world.server.why, H2_DOWN_CLOSED);
	assert_int_equal(world.client.why, H2_DOWN_CLOSED);
}

/* RFC 9113 6.8: what the client sends before it knows is served. */
static void a_call_that_crosses_the_notice_is_served(void **state)
{
	uint8_t frame[9 + 16384];

	world.server.reply = true;
	world_raw_client(&world, true);
	h2_drain(world.server.h2);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_GOAWAY, frame)));
	assert_int_equal(raw_u32(frame + 9), 0x7fffffff);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_PING, frame)));
	WORLD_FOR_MS(&world, 20);
	assert_int_equal(world.server.n_down, 0);

	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS | RAW_END_STREAM, 1, raw_request,
		  sizeof(raw_request));
	assert_true(WORLD_UNTIL(&world, world.server.n_requests == 1));
	raw_frame(&world, RAW_PING, RAW_ACK, 0, frame + 9, 8);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_GOAWAY, frame)));
	assert_int_equal(raw_u32(frame + 9), 1);
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
	assert_true(at_server(1)->closed);
}

/* The answer to the PING and a new call in one segment: served, and so within the last id. */
static void a_call_right_behind_the_ping_answer_is_within_the_last_id(void **state)
{
	uint8_t frame[9 + 16384], bytes[256];
	size_t size;

	world_raw_client(&world, true);
	h2_drain(world.server.h2);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_PING, frame)));
	size = raw_frame_put(bytes, RAW_PING, RAW_ACK, 0, frame + 9, 8);
	size += raw_frame_put(bytes + size, RAW_HEADERS, RAW_END_HEADERS | RAW_END_STREAM, 1,
			      raw_request, sizeof(raw_request));
	raw_send(&world, bytes, size);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_GOAWAY, frame)));
	assert_int_equal(world.server.n_requests, 1);
	assert_int_equal(raw_u32(frame + 9), 1);
	assert_false(at_server(1)->closed);
}

static void a_client_that_never_answers_the_ping_is_drained_all_the_same(void **state)
{
	uint8_t frame[9 + 16384];

	world_raw_client(&world, true);
	h2_drain(world.server.h2);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_GOAWAY, frame)));
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_GOAWAY, frame)));
	assert_int_equal(raw_u32(frame + 9), 0);
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
}

static void a_drained_client_opens_none_and_finishes_what_it_has(void **state)
{
	int32_t id;

	world_pair(&world);
	id = world_request(&world, 100);
	assert_true(WORLD_UNTIL(&world, at_server(id)->ended));
	h2_drain(world.client.h2);
	assert_int_equal(h2_capacity(world.client.h2), 0);
	assert_int_equal(h2_submit_request(world.client.h2, request_fields, N_REQUEST_FIELDS, true,
					   NULL), -EPIPE);
	WORLD_FOR_MS(&world, 10);
	world_respond(&world.server, id);
	assert_true(WORLD_UNTIL(&world, world.client.n_down && world.server.n_down));
	assert_int_equal(at_client(id)->code, H2_NO_ERROR);
	assert_true(at_client(id)->closed);
}

static void draining_before_the_connection_is_up_ends_it(void **state)
{
	world_connect(&world);
	h2_drain(world.client.h2);
	assert_int_equal(world.client.n_down, 1);
}

static void streams_above_goaways_last_id_are_unprocessed_the_others_go_on(void **state)
{
	static const uint8_t goaway[8] = { 0, 0, 0, 1, 0, 0, 0, 0 };
	static const uint8_t ok[] = { 0x88 };

	world_raw_server(&world, true);
	for (int i = 0; i < 3; i++)
		world_request(&world, 0);
	WORLD_FOR_MS(&world, 10);
	raw_frame(&world, RAW_GOAWAY, 0, 0, goaway, 8);
	assert_true(WORLD_UNTIL(&world, at_client(3)->closed && at_client(5)->closed));
	assert_true(at_client(3)->unprocessed && at_client(5)->unprocessed);
	assert_false(at_client(1)->closed);
	assert_int_equal(world.client.goaway_last, 1);
	assert_int_equal(h2_capacity(world.client.h2), 0);
	assert_int_equal(world.client.n_down, 0);
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS | RAW_END_STREAM, 1, ok, 1);
	assert_true(WORLD_UNTIL(&world, world.client.n_down));
	assert_true(at_client(1)->closed && at_client(1)->ended && !at_client(1)->unprocessed);
	assert_int_equal(world.client.why, H2_DOWN_CLOSED);
}

/* Not even sent when GOAWAY came: in the same turn. */
static void a_request_that_goaway_overtakes_is_unprocessed(void **state)
{
	static const uint8_t goaway[8] = { 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0 };
	struct h2 *client;
	int32_t id;

	world_raw_server(&world, true);
	client = world.client.h2;
	raw_frame(&world, RAW_GOAWAY, 0, 0, goaway, 8);
	id = h2_submit_request(client, request_fields, N_REQUEST_FIELDS, true, &world);
	assert_true(id > 0);
	assert_true(WORLD_UNTIL(&world, at_client(id)->closed || at_client(id)->n_headers ||
			world.client.n_goaway));
	if (at_client(id)->closed)
		assert_true(at_client(id)->unprocessed);
}

static void a_refused_connect_is_told(void **state)
{
	struct addr nobody = world.address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	nobody.v4.sin_port = 0;
	assert_int_equal(bind(fd, &nobody.sa, nobody.len), 0); /* bound, and does not listen */
	assert_int_equal(getsockname(fd, &nobody.sa, &nobody.len), 0);
	world.client.h2 = h2_connect(&world.loop, &nobody, NULL, NULL, &world.options,
				     &world_events, &world.client, &err);
	if (world.client.h2) {
		assert_true(WORLD_UNTIL(&world, world.client.n_down));
		assert_int_equal(world.client.why, H2_DOWN_CONNECT);
		assert_int_equal(world.client.err, ECONNREFUSED);
	} else {
		assert_int_equal(err, ECONNREFUSED);
	}
	close(fd);
}

/* The accept queue is full and the SYN goes unanswered. */
static void a_connect_that_hangs_times_out(void **state)
{
	int fds[8], n = 0, err;

	world.options.open_timeout_ms = 60;
	assert_int_equal(listen(world.listen_fd, 0), 0);
	for (; n < 8; n++) {
		fds[n] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(fds[n], &world.address.sa, world.address.len);
	}
	world.client.h2 = h2_connect(&world.loop, &world.address, NULL, NULL, &world.options,
				     &world_events, &world.client, &err);
	assert_non_null(world.client.h2);
	assert_true(WORLD_UNTIL(&world, world.client.n_down));
	assert_int_equal(world.client.why, H2_DOWN_CONNECT);
	assert_int_equal(world.client.err, ETIMEDOUT);
	while (n--)
		close(fds[n]);
}

static void a_server_that_sends_no_settings_times_out(void **state)
{
	world.options.open_timeout_ms = 60;
	world_raw_server(&world, false);
	assert_true(WORLD_UNTIL(&world, world.client.n_down));
	assert_int_equal(world.client.why, H2_DOWN_SETTINGS);
	assert_int_equal(world.client.n_up, 0);
}

static void a_client_that_sends_no_preface_times_out(void **state)
{
	world.options.open_timeout_ms = 60;
	world_raw_client(&world, false);
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
	assert_int_equal(world.server.why, H2_DOWN_SETTINGS);
}

static void keepalive_finds_a_server_that_fell_silent(void **state)
{
	uint8_t frame[9 + 16384];

	world.options.keepalive_interval_ms = 40;
	world.options.keepalive_timeout_ms = 60;
	world_raw_server(&world, true);
	WORLD_FOR_MS(&world, 150);
	assert_int_equal(world.client.n_down, 0); /* no stream, no PING */
	world_request(&world, 0);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_PING, frame)));
	raw_frame(&world, RAW_PING, RAW_ACK, 0, frame + 9, 8);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_PING, frame)));
	assert_int_equal(world.client.n_down, 0);
	assert_true(WORLD_UNTIL(&world, world.client.n_down));
	assert_int_equal(world.client.why, H2_DOWN_KEEPALIVE);
}

static void keepalive_leaves_a_server_that_answers(void **state)
{
	world.options.keepalive_interval_ms = 20;
	world.options.keepalive_timeout_ms = 200;
	world_pair(&world);
	world_request(&world, 0);
	WORLD_FOR_MS(&world, 300);
	assert_int_equal(world.client.n_down, 0);
}

static void the_peers_end_is_told_with_streams_still_open(void **state)
{
	int32_t id;

	world_raw_server(&world, true);
	id = world_request(&world, 0);
	WORLD_FOR_MS(&world, 10);
	close(world.raw);
	world.raw = -1;
	assert_true(WORLD_UNTIL(&world, world.client.n_down));
	assert_int_equal(world.client.why, H2_DOWN_CLOSED);
	assert_false(at_client(id)->closed);
}

/* GOAWAY can not leave: the peer's window is shut. */
static void a_peer_that_takes_nothing_does_not_hold_a_drained_connection(void **state)
{
	static const uint8_t wide[4] = { 0x3f, 0xff, 0xff, 0xff }, window[6] = { 0, 4, 0x7f, 0xff,
										  0xff, 0xff };
	int small = 4096;

	assert_int_equal(setsockopt(world.listen_fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	world.server.reply = world.server.reply_trailers = true;
	world.server.reply_bytes = 50 * 1000 * 1000;
	world_raw_client(&world, true);
	raw_frame(&world, RAW_SETTINGS, 0, 0, window, 6);
	raw_frame(&world, RAW_WINDOW_UPDATE, 0, 0, wide, 4);
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS | RAW_END_STREAM, 1, raw_request,
		  sizeof(raw_request));
	assert_true(WORLD_UNTIL(&world, at_server(1)->sent > 100000));
	WORLD_FOR_MS(&world, 50);
	h2_reset(world.server.h2, 1, H2_CANCEL);
	h2_close(world.server.h2, H2_NO_ERROR);
	world.server.h2 = NULL;
	assert_true(WORLD_UNTIL(&world, !h2_alive()));
}

static void an_abuser_that_takes_nothing_is_cut_off(void **state)
{
	static const uint8_t wide[4] = { 0x3f, 0xff, 0xff, 0xff }, window[6] = { 0, 4, 0x7f, 0xff,
										  0xff, 0xff };

	world.server.reply = world.server.reply_trailers = true;
	world.server.reply_bytes = 50 * 1000 * 1000;
	world_raw_client(&world, true);
	raw_frame(&world, RAW_SETTINGS, 0, 0, window, 6);
	raw_frame(&world, RAW_WINDOW_UPDATE, 0, 0, wide, 4);
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS | RAW_END_STREAM, 1, raw_request,
		  sizeof(raw_request));
	assert_true(WORLD_UNTIL(&world, at_server(1)->sent > 100000));
	WORLD_FOR_MS(&world, 50);
	for (int i = 0; i < 200; i++)
		raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS, (uint32_t)(3 + 2 * i), raw_request,
			  sizeof(raw_request));
	for (int i = 0; i < 300; i++)
		raw_frame(&world, RAW_DATA, 0, 3, NULL, 0);
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
	assert_int_equal(world.server.why, H2_DOWN_PROTOCOL);
	assert_true(WORLD_UNTIL(&world, !h2_alive()));
}

static void who_is_read_no_more_still_gets_what_is_queued(void **state)
{
	uint8_t frame[9 + 16384];
	char some[4096] = { 0 };

	world_raw_client(&world, true);
	h2_stop_reading(world.server.h2);
	h2_close(world.server.h2, H2_ENHANCE_YOUR_CALM);
	world.server.h2 = NULL;
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_GOAWAY, frame)));
	assert_int_equal(raw_u32(frame + 13), H2_ENHANCE_YOUR_CALM);
	/* It goes on sending, and that is nobody's business: the connection ends in its time. */
	for (int i = 0; i < 20; i++) {
		send(world.raw, some, sizeof(some), MSG_NOSIGNAL | MSG_DONTWAIT);
		WORLD_FOR_MS(&world, 2);
	}
	assert_true(WORLD_UNTIL(&world, !h2_alive()));
	assert_int_equal(world.server.n_down, 0);
}

static void on_down_may_stop_the_reading(void **state)
{
	uint8_t frame[9 + 16384];

	world.server.deaf_when_down = true;
	world_raw_client(&world, true);
	raw_frame(&world, RAW_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4);
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
	assert_int_equal(world.server.why, H2_DOWN_PROTOCOL);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_GOAWAY, frame)));
	for (int i = 0; i < 20; i++) {
		raw_frame(&world, RAW_PING, 0, 0, "12345678", 8);
		WORLD_FOR_MS(&world, 2);
	}
	assert_true(WORLD_UNTIL(&world, !h2_alive()));
}

static void bytes_are_counted_both_ways(void **state)
{
	uint64_t rx, tx, rx_server, tx_server;
	int32_t id;

	world.server.reply = world.server.reply_at_end = true;
	world_pair(&world);
	id = world_request(&world, 100000);
	assert_true(WORLD_UNTIL(&world, at_client(id)->closed));
	WORLD_FOR_MS(&world, 20);
	h2_bytes(world.client.h2, &rx, &tx);
	h2_bytes(world.server.h2, &rx_server, &tx_server);
	assert_int_equal(tx, rx_server);
	assert_int_equal(rx, tx_server);
	assert_true(tx > 100000 && tx < 101000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_drained_server_finishes_its_calls_and_closes),
		TEST(a_call_that_crosses_the_notice_is_served),
		TEST(a_call_right_behind_the_ping_answer_is_within_the_last_id),
		TEST(a_client_that_never_answers_the_ping_is_drained_all_the_same),
		TEST(a_drained_client_opens_none_and_finishes_what_it_has),
		TEST(draining_before_the_connection_is_up_ends_it),
		TEST(streams_above_goaways_last_id_are_unprocessed_the_others_go_on),
		TEST(a_request_that_goaway_overtakes_is_unprocessed),
		TEST(a_refused_connect_is_told),
		TEST(a_connect_that_hangs_times_out),
		TEST(a_server_that_sends_no_settings_times_out),
		TEST(a_client_that_sends_no_preface_times_out),
		TEST(keepalive_finds_a_server_that_fell_silent),
		TEST(keepalive_leaves_a_server_that_answers),
		TEST(the_peers_end_is_told_with_streams_still_open),
		TEST(a_peer_that_takes_nothing_does_not_hold_a_drained_connection),
		TEST(an_abuser_that_takes_nothing_is_cut_off),
		TEST(who_is_read_no_more_still_gets_what_is_queued),
		TEST(on_down_may_stop_the_reading),
		TEST(bytes_are_counted_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
