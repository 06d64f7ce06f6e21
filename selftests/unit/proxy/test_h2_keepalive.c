/* SPDX-License-Identifier: MIT */
/*
 * test_h2_keepalive.c - the server's PINGs to its clients, the rules for the clients' own PINGs, and
 * clients that end their sending side while they wait for answers.
 */
#include "proxy/h2_fixture.h"

static void raw_request_on(uint32_t id, bool end)
{
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS | (end ? RAW_END_STREAM : 0), id, raw_request,
		  sizeof(raw_request));
	assert_true(WORLD_UNTIL(&world, at_server((int32_t)id)->n_headers));
}

/* ---- keepalive of the server ---- */

static void a_silent_client_is_found_while_it_has_a_call(void **state)
{
	uint8_t frame[9 + 16384];

	world.options.keepalive_interval_ms = 40;
	world.options.keepalive_timeout_ms = 60;
	world_raw_client(&world, true);
	WORLD_FOR_MS(&world, 150);
	assert_int_equal(world.server.n_down, 0); /* no call, no PING */
	raw_request_on(1, true);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_PING, frame)));
	raw_frame(&world, RAW_PING, RAW_ACK, 0, frame + 9, 8);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_PING, frame)));
	assert_int_equal(world.server.n_down, 0);
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
	assert_int_equal(world.server.why, H2_DOWN_KEEPALIVE);
}

static void a_client_that_sends_anything_gets_no_ping(void **state)
{
	static const uint8_t window[4] = { 0, 0, 0, 1 };
	uint8_t frame[9 + 16384];

	world.options.keepalive_interval_ms = 100;
	world.options.keepalive_timeout_ms = 100;
	world_raw_client(&world, true);
	raw_request_on(1, true);
	for (int i = 0; i < 20; i++) {
		raw_frame(&world, RAW_WINDOW_UPDATE, 0, 0, window, 4);
		WORLD_FOR_MS(&world, 15);
		assert_false(raw_find(&world, RAW_PING, frame));
	}
	assert_int_equal(world.server.n_down, 0);
}

/* ---- the client's own PINGs ---- */

static void send_ping(void)
{
	raw_frame(&world, RAW_PING, 0, 0, "pingping", 8);
}

/* One that is answered. */
static void ping(void)
{
	uint8_t frame[9 + 16384];

	send_ping();
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_PING, frame)));
	assert_int_equal(world.server.n_down, 0);
	WORLD_FOR_MS(&world, 4);
}

static void assert_too_many_pings(void)
{
	uint8_t frame[9 + 16384];

	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_GOAWAY, frame)));
	assert_int_equal(raw_u32(frame + 13), H2_ENHANCE_YOUR_CALM);
	assert_int_equal(frame[2], 8 + 14);
	assert_memory_equal(frame + 17, "too_many_pings", 14);
	assert_int_equal(world.server.n_too_many_pings, 1);
	/* Told once; what goes on is the owner's to end. */
	send_ping();
	WORLD_FOR_MS(&world, 10);
	assert_int_equal(world.server.n_too_many_pings, 1);
}

/* The first is no strike, two strikes are allowed. */
static void the_third_ping_too_early_ends_the_connection(void **state)
{
	world.options.min_ping_interval_ms = 60000;
	world_raw_client(&world, true);
	raw_request_on(1, true);
	for (int i = 0; i < 3; i++)
		ping();
	send_ping();
	assert_too_many_pings();
	assert_int_equal(world.server.n_down, 0);
	world_respond(&world.server, 1);
	assert_true(WORLD_UNTIL(&world, at_server(1)->closed && world.server.n_down));
	assert_int_equal(world.server.why, H2_DOWN_CLOSED);
}

static void pings_that_keep_the_interval_are_welcome(void **state)
{
	world.options.min_ping_interval_ms = 20;
	world_raw_client(&world, true);
	for (int i = 0; i < 8; i++) {
		ping();
		WORLD_FOR_MS(&world, 25);
	}
	assert_int_equal(world.server.n_down, 0);
}

static void an_interval_of_0_allows_any(void **state)
{
	world_raw_client(&world, true);
	for (int i = 0; i < 20; i++)
		ping();
	assert_int_equal(world.server.n_down, 0);
}

/* A client measures its bandwidth with a PING for what it was sent. */
static void a_response_begins_the_count_anew(void **state)
{
	world.options.min_ping_interval_ms = 60000;
	world.server.reply_bytes = 10;
	world_raw_client(&world, true);
	for (uint32_t id = 1; id < 21; id += 2) {
		raw_request_on(id, true);
		ping();
		ping();
		ping();
		world_respond(&world.server, (int32_t)id);
		WORLD_FOR_MS(&world, 4);
	}
	assert_int_equal(world.server.n_down, 0);
}

static void data_begins_the_count_anew(void **state)
{
	world.options.min_ping_interval_ms = 60000;
	world_raw_client(&world, true);
	raw_request_on(1, true);
	world.server.reply_bytes = 1;
	world_respond(&world.server, 1);
	at_server(1)->hold_end = true;
	for (int i = 0; i < 10; i++) {
		ping();
		ping();
		ping();
		at_server(1)->to_send++;
		h2_resume(world.server.h2, 1);
		WORLD_FOR_MS(&world, 4);
	}
	assert_int_equal(world.server.n_down, 0);
}

static void without_calls_pings_may_be_forbidden(void **state)
{
	world.options.min_ping_interval_ms = 1;
	world.options.ping_without_streams = false;
	world_raw_client(&world, true);
	for (int i = 0; i < 3; i++)
		ping();
	send_ping();
	assert_too_many_pings();
}

static void where_they_are_forbidden_a_call_allows_them(void **state)
{
	world.options.min_ping_interval_ms = 1;
	world.options.ping_without_streams = false;
	world_raw_client(&world, true);
	raw_request_on(1, true);
	for (int i = 0; i < 10; i++)
		ping();
	assert_int_equal(world.server.n_down, 0);
}

static void answers_to_our_pings_are_no_pings(void **state)
{
	uint8_t frame[9 + 16384];

	world.options.keepalive_interval_ms = 10;
	world.options.keepalive_timeout_ms = 1000;
	world.options.min_ping_interval_ms = 60000;
	world_raw_client(&world, true);
	raw_request_on(1, true);
	for (int i = 0; i < 6; i++) {
		assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_PING, frame)));
		raw_frame(&world, RAW_PING, RAW_ACK, 0, frame + 9, 8);
	}
	WORLD_FOR_MS(&world, 10);
	assert_int_equal(world.server.n_down, 0);
}

/* ---- clients that end their sending side ---- */

static void a_client_that_sends_no_more_gets_its_answers(void **state)
{
	uint8_t frame[9 + 16384];

	world.server.reply_bytes = 100;
	world.server.reply_trailers = true;
	world_raw_client(&world, true);
	raw_request_on(1, true);
	raw_request_on(3, true);
	raw_request_on(5, false);
	assert_int_equal(shutdown(world.raw, SHUT_WR), 0);
	/* The request that can never be complete is over; the others are not. */
	assert_true(WORLD_UNTIL(&world, at_server(5)->closed));
	assert_int_equal(at_server(5)->code, H2_CANCEL);
	assert_true(at_server(5)->by_peer);
	WORLD_FOR_MS(&world, 30);
	assert_int_equal(world.server.n_down, 0);
	world_respond(&world.server, 1);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_DATA, frame)));
	assert_int_equal(raw_u32(frame + 5), 1);
	assert_int_equal(world.server.n_down, 0);
	world_respond(&world.server, 3);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_DATA, frame)));
	assert_int_equal(raw_u32(frame + 5), 3);
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
	assert_int_equal(world.server.why, H2_DOWN_CLOSED);
	assert_true(at_server(1)->closed && at_server(3)->closed);
}

/* The keepalive's PING cannot be answered any more, and must not be held against the client. */
static void a_client_that_sends_no_more_may_wait_for_long(void **state)
{
	uint8_t frame[9 + 16384];

	world.options.keepalive_interval_ms = 20;
	world.options.keepalive_timeout_ms = 20;
	world.server.reply_bytes = 100;
	world_raw_client(&world, true);
	raw_request_on(1, true);
	assert_int_equal(shutdown(world.raw, SHUT_WR), 0);
	WORLD_FOR_MS(&world, 150);
	assert_int_equal(world.server.n_down, 0);
	world_respond(&world.server, 1);
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_DATA, frame)));
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
	assert_int_equal(world.server.why, H2_DOWN_CLOSED);
}

static void a_client_that_is_gone_is_found_at_once(void **state)
{
	uint64_t began;

	world_raw_client(&world, true);
	raw_request_on(1, true);
	WORLD_FOR_MS(&world, 10);
	/* Nothing unread: a FIN, not a reset. */
	while (recv(world.raw, world.raw_in, sizeof(world.raw_in), MSG_DONTWAIT) > 0)
		;
	began = loop_refresh(&world.loop);
	close(world.raw);
	world.raw = -1;
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
	assert_int_equal(world.server.why, H2_DOWN_CLOSED);
	assert_false(at_server(1)->closed); /* told by the connection's end */
	assert_true(loop_refresh(&world.loop) - began < 200 * NS_PER_MS);
}

static void a_client_without_complete_requests_ends_with_its_sending(void **state)
{
	world_raw_client(&world, true);
	raw_request_on(1, false);
	assert_int_equal(shutdown(world.raw, SHUT_WR), 0);
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
	assert_int_equal(world.server.why, H2_DOWN_CLOSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_silent_client_is_found_while_it_has_a_call),
		TEST(a_client_that_sends_anything_gets_no_ping),
		TEST(the_third_ping_too_early_ends_the_connection),
		TEST(pings_that_keep_the_interval_are_welcome),
		TEST(an_interval_of_0_allows_any),
		TEST(a_response_begins_the_count_anew),
		TEST(data_begins_the_count_anew),
		TEST(without_calls_pings_may_be_forbidden),
		TEST(where_they_are_forbidden_a_call_allows_them),
		TEST(answers_to_our_pings_are_no_pings),
		TEST(a_client_that_sends_no_more_gets_its_answers),
		TEST(a_client_that_sends_no_more_may_wait_for_long),
		TEST(a_client_that_is_gone_is_found_at_once),
		TEST(a_client_without_complete_requests_ends_with_its_sending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
