/* SPDX-License-Identifier: MIT */
/*
 * test_h2_session.c - the rules of RFC 9113 that only a raw peer can try: windows before and after
 * SETTINGS are acknowledged, streams behind GOAWAY, streams refused and reset, what has left and
 * what has not, and a session without memory.
 */
#include "proxy/h2_fixture.h"

#include "fault.h"

static void raw_request_on(uint32_t id, uint8_t flags)
{
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS | flags, id, raw_request,
		  sizeof(raw_request));
}

static void raw_body(uint32_t id, size_t size)
{
	uint8_t bytes[16384];

	for (size_t at = 0; at < size;) {
		size_t n = size - at < 8000 ? size - at : 8000;

		for (size_t i = 0; i < n; i++)
			bytes[i] = byte_at((int32_t)id, at + i);
		raw_frame(&world, RAW_DATA, 0, id, bytes, n);
		at += n;
		WORLD_FOR_MS(&world, 1);
	}
}

/* Until the peer acknowledges our SETTINGS, the window it may use is HTTP/2's own. */
static void a_smaller_window_holds_from_its_acknowledgement_on(void **state)
{
	world.options.stream_window_bytes = 16384;
	world.server.no_credit = true;
	world_raw_client(&world, true);
	raw_request_on(1, 0);
	raw_body(1, 60000);
	assert_true(WORLD_UNTIL(&world, at_server(1)->received == 60000));
	assert_false(at_server(1)->closed);
	raw_frame(&world, RAW_SETTINGS, RAW_ACK, 0, NULL, 0);

	raw_request_on(3, 0);
	raw_body(3, 16384);
	assert_true(WORLD_UNTIL(&world, at_server(3)->received == 16384));
	assert_false(at_server(3)->closed);
	raw_body(3, 1);
	assert_true(WORLD_UNTIL(&world, at_server(3)->closed));
	assert_int_equal(at_server(3)->code, H2_FLOW_CONTROL_ERROR);
	/* The first one owes what it was ahead. */
	h2_credit(world.server.h2, 1, 60000);
	raw_body(1, 16384);
	assert_true(WORLD_UNTIL(&world, at_server(1)->received == 76384));
	assert_false(at_server(1)->closed);
	assert_int_equal(world.server.n_down, 0);
}

static void a_larger_window_is_used_as_soon_as_it_is_known(void **state)
{
	int32_t id;

	world.options.stream_window_bytes = 500000;
	world.server.no_credit = true;
	world_pair(&world);
	id = world_request(&world, 2000000);
	assert_true(WORLD_UNTIL(&world, at_server(id)->received == 500000));
	WORLD_FOR_MS(&world, 20);
	assert_int_equal(at_server(id)->received, 500000);
	assert_false(at_server(id)->closed);
}

/* Streams that were under way when the last GOAWAY left are ignored, with all that belongs to them. */
static void streams_behind_the_last_goaway_do_no_harm(void **state)
{
	uint8_t frame[9 + 16384];

	world_raw_client(&world, true);
	raw_request_on(1, 0);
	assert_true(WORLD_UNTIL(&world, at_server(1)->n_headers));
	h2_drain(world.server.h2);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_PING, frame)));
	raw_frame(&world, RAW_PING, RAW_ACK, 0, frame + 9, 8);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_GOAWAY, frame)));
	assert_int_equal(raw_u32(frame + 9), 1);
	raw_request_on(3, 0);
	raw_body(3, 20000);
	raw_frame(&world, RAW_WINDOW_UPDATE, 0, 3, "\0\0\1\0", 4);
	raw_frame(&world, RAW_RST, 0, 3, "\0\0\0\x8", 4);
	raw_request_on(5, RAW_END_STREAM);
	/* The one that counts goes on. */
	raw_body(1, 10000);
	assert_true(WORLD_UNTIL(&world, at_server(1)->received == 10000 || world.server.n_down));
	assert_int_equal(world.server.n_down, 0);
	assert_int_equal(world.server.n_requests, 1);
	world.server.reply_trailers = true;
	world_respond(&world.server, 1);
	assert_true(WORLD_UNTIL(&world, at_server(1)->closed && world.server.n_down));
	assert_int_equal(world.server.why, H2_DOWN_CLOSED);
}

static void streams_over_the_limit_are_refused_and_too_many_of_them_end_it(void **state)
{
	uint8_t frame[9 + 16384];
	uint32_t id = 7;

	world.options.max_streams = 2;
	world_raw_client(&world, true);
	raw_request_on(1, 0);
	raw_request_on(3, 0);
	raw_request_on(5, 0);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_RST, frame)));
	assert_int_equal(raw_u32(frame + 5), 5);
	assert_int_equal(raw_u32(frame + 9), H2_REFUSED_STREAM);
	assert_int_equal(h2_streams(world.server.h2), 2);
	assert_int_equal(world.server.n_requests, 2);
	for (; id < 6000 && world.server.h2; id += 2) {
		uint8_t bytes[32];
		size_t size = raw_frame_put(bytes, RAW_HEADERS, RAW_END_HEADERS, id, raw_request,
					    sizeof(raw_request));

		if (send(world.raw, bytes, size, MSG_NOSIGNAL) < 0)
			break;
		if (id % 64 == 1)
			assert_int_equal(loop_turn(&world.loop), 0);
	}
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
	assert_int_equal(world.server.err, H2_ENHANCE_YOUR_CALM);
}

/* CVE-2025-8671: streams that the peer makes us reset. */
static void provoked_resets_end_the_connection_too(void **state)
{
	for (uint32_t id = 1; id < 6000; id += 2) {
		uint8_t bytes[64];
		size_t size;

		if (id == 1)
			world_raw_client(&world, true);
		size = raw_frame_put(bytes, RAW_HEADERS, RAW_END_HEADERS, id, raw_request,
				     sizeof(raw_request));
		size += raw_frame_put(bytes + size, RAW_WINDOW_UPDATE, 0, id, "\0\0\0\0", 4);
		if (!world.server.h2 || send(world.raw, bytes, size, MSG_NOSIGNAL) < 0)
			break;
		if (id % 64 == 1)
			assert_int_equal(loop_turn(&world.loop), 0);
	}
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
	assert_int_equal(world.server.err, H2_ENHANCE_YOUR_CALM);
	assert_in_range(world.server.n_requests, 500, 2500);
}

static void a_request_is_unsent_until_it_leaves(void **state)
{
	int32_t id, behind;

	world_pair(&world);
	id = world_request(&world, 0);
	behind = world_request(&world, 0);
	assert_true(h2_is_unsent(world.client.h2, id) && h2_is_unsent(world.client.h2, behind));
	assert_true(WORLD_UNTIL(&world, at_server(behind)->n_headers));
	assert_false(h2_is_unsent(world.client.h2, id) || h2_is_unsent(world.client.h2, behind));
	id = world_request(&world, 0);
	assert_true(h2_is_unsent(world.client.h2, id));
	assert_false(h2_is_unsent(world.client.h2, behind));
	assert_false(h2_is_unsent(world.client.h2, 9999));
}

/* The end, and trailers, need no window. */
static void a_reader_that_stalls_still_learns_of_the_end(void **state)
{
	int32_t id;

	world.server.reply = world.server.reply_trailers = true;
	world.server.reply_bytes = 500000;
	world.client.no_credit = true;
	world_pair(&world);
	id = world_request(&world, 0);
	assert_true(WORLD_UNTIL(&world, at_client(id)->received == 65536));
	at_server(id)->to_send = at_server(id)->sent; /* the rest was dropped */
	h2_resume(world.server.h2, id);
	assert_true(WORLD_UNTIL(&world, at_client(id)->trailers && at_client(id)->closed));
}

static void a_header_frame_that_trickles_is_cut_off(void **state)
{
	static const uint8_t head[9] = { 0, 1, 0, RAW_HEADERS, RAW_END_HEADERS, 0, 0, 0, 1 };

	world.options.header_timeout_ms = 60;
	world_raw_client(&world, true);
	raw_send(&world, head, sizeof(head));
	raw_send(&world, raw_request, 3);
	assert_int_equal(raw_goaway_code(&world), H2_ENHANCE_YOUR_CALM);
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
}

static void late_frames_of_streams_we_reset_do_no_harm(void **state)
{
	static const uint8_t ok[] = { 0x88 };
	uint8_t frame[9 + 16384];
	unsigned n_resets = 0;
	int32_t ids[40];

	world_raw_server(&world, true);
	for (int i = 0; i < 40; i++)
		ids[i] = world_request(&world, 0);
	WORLD_FOR_MS(&world, 10);
	for (int i = 0; i < 39; i++)
		h2_reset(world.client.h2, ids[i], H2_CANCEL);
	assert_true(WORLD_UNTIL(&world, at_client(ids[38])->closed));
	for (int i = 0; i < 40; i++) {
		raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS, (uint32_t)ids[i], ok, 1);
		raw_body((uint32_t)ids[i], 100);
		raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS | RAW_END_STREAM,
			  (uint32_t)ids[i], "\x40\x01" "a\x01" "b", 5);
	}
	assert_true(WORLD_UNTIL(&world, at_client(ids[39])->closed || world.client.n_down));
	assert_int_equal(world.client.n_down, 0);
	assert_true(at_client(ids[39])->trailers);
	assert_int_equal(at_client(ids[39])->received, 100);
	assert_int_equal(at_client(ids[0])->n_headers, 0);
	/* Resets in answer would look like an attack to the peer. */
	while (raw_find(&world, RAW_RST, frame))
		n_resets++;
	assert_int_equal(n_resets, 39);
}

/* A reload changes the options of connections that are open: what counts is what was announced. */
static void a_window_is_given_back_as_it_was_announced(void **state)
{
	int32_t id;

	world.options.stream_window_bytes = 100000;
	world_pair(&world);
	world.options.stream_window_bytes = 1000000;
	id = world_request(&world, 700000);
	assert_true(WORLD_UNTIL(&world, at_server(id)->received == 700000));
	assert_int_equal(world.server.n_down, 0);
}

/* Whatever cannot be had, the connection ends or the stream does; nothing leaks or hangs. */
static void without_memory_connections_end_and_nothing_leaks(void **state)
{
	for (unsigned n = 0; n < 80; n++) {
		int fd, err;

		memset(&world.client, 0, sizeof(world.client));
		memset(&world.server, 0, sizeof(world.server));
		world.server.reply = world.server.reply_at_end = world.server.may_fail = true;
		h2_pool_trim();
		fault_start(n);
		world.client.h2 = h2_connect(&world.loop, &world.address, NULL, NULL, &world.options,
					     &world_events, &world.client, &err);
		if (!world.client.h2) {
			assert_int_equal(err, ENOMEM);
			fault_stop();
			continue;
		}
		fd = accept4(world.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		world.server.h2 = h2_accept(&world.loop, fd, NULL, &world.options, &world_events,
					    &world.server, &err);
		if (!world.server.h2)
			close(fd);
		for (int i = 0; i < 200 && world.client.h2 && world.server.h2 &&
				!at_client(1)->closed; i++) {
			if (world.client.n_up && !at_client(1)->to_send) {
				int32_t id = h2_submit_request(world.client.h2, request_fields,
							       N_REQUEST_FIELDS, false, &world);

				at_client(1)->to_send = 1000;
				if (id < 0)
					break;
			}
			loop_turn(&world.loop);
		}
		fault_stop();
		if (world.client.h2)
			h2_close(world.client.h2, H2_NO_ERROR);
		if (world.server.h2)
			h2_close(world.server.h2, H2_NO_ERROR);
		assert_true(WORLD_UNTIL(&world, !h2_alive()));
	}
	world.client.h2 = world.server.h2 = NULL;
}

/* Its end was its own word, so these are no frames that crossed a reset of ours. They cost it the
 * stream only: others' calls are on the same connection. */
static void frames_after_a_servers_end_are_answered(void **state)
{
	static const uint8_t ok[] = { 0x88 }; /* :status 200 */
	uint8_t frame[9 + 16384];
	int32_t id, other;

	world_raw_server(&world, true);
	id = world_request(&world, 0);
	other = world_request(&world, 0);
	for (int late = 0; late < 2; late++) {
		raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS | RAW_END_STREAM, (uint32_t)id, ok, 1);
		assert_true(WORLD_UNTIL(&world, at_client(id)->ended));
		if (late)
			WORLD_FOR_MS(&world, 10);
		for (int data = 0; data < 2; data++) {
			if (data)
				raw_frame(&world, RAW_DATA, RAW_END_STREAM, (uint32_t)id, "x", 1);
			else
				raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS | RAW_END_STREAM,
					  (uint32_t)id, ok, 1);
			assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_RST, frame)));
			assert_int_equal(raw_u32(frame + 5), id);
			assert_int_equal(raw_u32(frame + 9), H2_STREAM_CLOSED);
		}
		id = world_request(&world, 0);
	}
	assert_int_equal(world.client.n_down, 0);
	assert_false(at_client(other)->closed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_smaller_window_holds_from_its_acknowledgement_on),
		TEST(a_larger_window_is_used_as_soon_as_it_is_known),
		TEST(streams_behind_the_last_goaway_do_no_harm),
		TEST(streams_over_the_limit_are_refused_and_too_many_of_them_end_it),
		TEST(provoked_resets_end_the_connection_too),
		TEST(a_request_is_unsent_until_it_leaves),
		TEST(a_reader_that_stalls_still_learns_of_the_end),
		TEST(a_header_frame_that_trickles_is_cut_off),
		TEST(late_frames_of_streams_we_reset_do_no_harm),
		TEST(frames_after_a_servers_end_are_answered),
		TEST(a_window_is_given_back_as_it_was_announced),
		TEST(without_memory_connections_end_and_nothing_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
