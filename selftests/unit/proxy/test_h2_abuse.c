/* SPDX-License-Identifier: MIT */
/*
 * test_h2_abuse.c - what a hostile peer may send: garbage, floods of cheap frames, header blocks
 * without end. Each ends its own connection with a GOAWAY that says why, and leaks nothing.
 */
#include "proxy/h2_fixture.h"

#include "proxy/h2_guard.h"

static void guard_lets_the_burst_through_and_then_the_rate(void **state)
{
	struct h2_guard guard = { 0 };
	uint64_t now = 1000000000000ull;

	for (unsigned i = 0; i < 10; i++)
		assert_true(h2_guard_allow(&guard, now, 1000, 10));
	assert_false(h2_guard_allow(&guard, now, 1000, 10));
	assert_false(h2_guard_allow(&guard, now + 999, 1000, 10));
	assert_true(h2_guard_allow(&guard, now + 1000, 1000, 10));
	assert_false(h2_guard_allow(&guard, now + 1000, 1000, 10));
	/* A refusal costs nothing more: three intervals on, three more. */
	for (unsigned i = 0; i < 3; i++)
		assert_true(h2_guard_allow(&guard, now + 4000, 1000, 10));
	assert_false(h2_guard_allow(&guard, now + 4000, 1000, 10));
	/* However long the rest was, the burst is not exceeded. */
	now += 3600 * NS_PER_S;
	for (unsigned i = 0; i < 10; i++)
		assert_true(h2_guard_allow(&guard, now, 1000, 10));
	assert_false(h2_guard_allow(&guard, now, 1000, 10));
}

static void guard_of_burst_one_allows_one_an_interval(void **state)
{
	struct h2_guard guard = { 0 };

	assert_true(h2_guard_allow(&guard, 5, 100, 1));
	assert_false(h2_guard_allow(&guard, 104, 100, 1));
	assert_true(h2_guard_allow(&guard, 105, 100, 1));
}

/* The connection ends by GOAWAY with code; the owner is told the same. */
static void ends_with(uint32_t code)
{
	assert_int_equal(raw_goaway_code(&world), code);
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
	assert_int_equal(world.server.why, H2_DOWN_PROTOCOL);
	assert_int_equal(world.server.err, code);
	assert_true(strlen(world.server.text) > 0);
}

static void garbage_instead_of_a_preface_is_a_protocol_error(void **state)
{
	world_raw_client(&world, false);
	raw_send(&world, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
	ends_with(H2_PROTOCOL_ERROR);
	assert_int_equal(world.server.n_up, 0);
}

static void garbage_after_the_preface_is_an_error(void **state)
{
	world_raw_client(&world, true);
	for (unsigned i = 0; i < 100 && world.server.h2; i++) {
		uint8_t noise[64];

		for (size_t j = 0; j < sizeof(noise); j++)
			noise[j] = byte_at((int32_t)i * 7 + 1, j);
		if (send(world.raw, noise, sizeof(noise), MSG_NOSIGNAL) < 0)
			break;
		WORLD_FOR_MS(&world, 1);
	}
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
	assert_int_equal(world.server.why, H2_DOWN_PROTOCOL);
}

static void a_frame_over_the_size_limit_is_a_frame_size_error(void **state)
{
	static const uint8_t head[9] = { 0, 0x40, 1, RAW_HEADERS, RAW_END_HEADERS, 0, 0, 0, 1 };

	world_raw_client(&world, true);
	raw_send(&world, head, sizeof(head));
	ends_with(H2_FRAME_SIZE_ERROR);
}

static void a_broken_hpack_block_is_a_compression_error(void **state)
{
	static const uint8_t broken[] = { 0xff, 0xff, 0xff, 0xff, 0x7f };

	world_raw_client(&world, true);
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS, 1, broken, sizeof(broken));
	ends_with(H2_COMPRESSION_ERROR);
	assert_int_equal(world.server.n_requests, 0);
}

static void data_beyond_the_window_is_refused(void **state)
{
	static uint8_t data[16384];

	world.server.no_credit = true;
	world_raw_client(&world, true);
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS, 1, raw_request, sizeof(raw_request));
	for (int i = 0; i < 5; i++) {
		raw_frame(&world, RAW_DATA, 0, 1, data, sizeof(data));
		WORLD_FOR_MS(&world, 5);
	}
	assert_true(WORLD_UNTIL(&world, at_server(1)->closed || world.server.n_down));
	assert_true(at_server(1)->received <= 65536);
	if (at_server(1)->closed)
		assert_int_equal(at_server(1)->code, H2_FLOW_CONTROL_ERROR);
}

/* Padding counts against the window, and comes back by itself. */
static void padding_is_given_back(void **state)
{
	uint8_t padded[256] = { 254 }; /* one byte of data */
	unsigned ms = 0;

	world.options.stream_window_bytes = 16384;
	world_raw_client(&world, true);
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS, 1, raw_request, sizeof(raw_request));
	padded[1] = byte_at(1, 0);
	for (size_t i = 0; i < 400; i++) {
		padded[1] = byte_at(1, i);
		raw_frame(&world, RAW_DATA, 8 /* PADDED */, 1, padded, sizeof(padded));
		if (i % 16 == 15)
			WORLD_FOR_MS(&world, ++ms % 2 + 1);
	}
	assert_true(WORLD_UNTIL(&world, at_server(1)->received == 400));
	assert_false(at_server(1)->corrupt || at_server(1)->closed);
	assert_int_equal(world.server.n_down, 0);
}

static void streams_reset_as_fast_as_they_are_opened_end_the_connection(void **state)
{
	static const uint8_t cancel[4] = { 0, 0, 0, H2_CANCEL };
	uint32_t id = 1;

	world_raw_client(&world, true);
	for (; id < 2 * STREAMS_KEPT - 2 && world.server.h2; id += 2) {
		uint8_t bytes[64];
		size_t size = raw_frame_put(bytes, RAW_HEADERS, RAW_END_HEADERS, id, raw_request,
					    sizeof(raw_request));

		size += raw_frame_put(bytes + size, RAW_RST, 0, id, cancel, 4);
		if (send(world.raw, bytes, size, MSG_NOSIGNAL) < 0)
			break;
		if (id % 64 == 1)
			loop_turn(&world.loop);
	}
	ends_with(H2_ENHANCE_YOUR_CALM);
	assert_in_range(world.server.n_requests, GUARD_RESET_BURST / 2, 3 * GUARD_RESET_BURST);
}

static void flood(uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t size)
{
	for (unsigned i = 0; i < 20000 && world.server.h2; i++) {
		uint8_t bytes[32];
		size_t n = raw_frame_put(bytes, type, flags, id, payload, size);

		if (send(world.raw, bytes, n, MSG_NOSIGNAL) < 0)
			break;
		if (i % 100 == 99)
			assert_int_equal(loop_turn(&world.loop), 0);
	}
}

static void a_flood_of_pings_ends_the_connection(void **state)
{
	world_raw_client(&world, true);
	flood(RAW_PING, 0, 0, "12345678", 8);
	ends_with(H2_ENHANCE_YOUR_CALM);
}

static void a_flood_of_settings_ends_the_connection(void **state)
{
	world_raw_client(&world, true);
	flood(RAW_SETTINGS, 0, 0, NULL, 0);
	ends_with(H2_ENHANCE_YOUR_CALM);
}

static void a_flood_of_empty_data_ends_the_connection(void **state)
{
	world_raw_client(&world, true);
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS, 1, raw_request, sizeof(raw_request));
	flood(RAW_DATA, 0, 1, NULL, 0);
	ends_with(H2_ENHANCE_YOUR_CALM);
}

static void a_flood_of_continuations_ends_the_connection(void **state)
{
	world_raw_client(&world, true);
	raw_frame(&world, RAW_HEADERS, 0, 1, raw_request, sizeof(raw_request));
	flood(RAW_CONTINUATION, 0, 1, NULL, 0);
	assert_true(WORLD_UNTIL(&world, world.server.n_down));
	assert_int_equal(world.server.why, H2_DOWN_PROTOCOL);
	assert_int_equal(world.server.err, H2_ENHANCE_YOUR_CALM);
}

static void pings_between_calls_are_no_flood(void **state)
{
	world.server.reply = true;
	world_raw_client(&world, true);
	for (uint32_t i = 0; i < 3000; i++) {
		raw_frame(&world, RAW_PING, 0, 0, "12345678", 8);
		if (i % 20 == 0)
			raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS | RAW_END_STREAM,
				  2 * (i / 20) + 1, raw_request, sizeof(raw_request));
		if (i % 20 == 19) {
			uint8_t frame[9 + 16384];

			assert_int_equal(loop_turn(&world.loop), 0);
			while (raw_find(&world, RAW_PING, frame))
				;
		}
	}
	WORLD_FOR_MS(&world, 20);
	assert_int_equal(world.server.n_down, 0);
	assert_int_equal(world.server.n_requests, 150);
}

/* nghttp2 asserts where it is told to end within a callback and then meets another error. */
static void what_follows_the_end_in_the_same_read_is_not_looked_at(void **state)
{
	static const uint8_t oversized[9] = { 0xff, 0xff, 0xff, RAW_DATA, 0, 0, 0, 0, 1 };
	static const uint8_t bad_ping[9 + 1] = { 0, 0, 1, RAW_PING, 0, 0, 0, 0, 0, 0 };
	static const uint8_t cancel[4] = { 0, 0, 0, H2_CANCEL };
	uint8_t bytes[8192];
	size_t size = raw_frame_put(bytes, RAW_HEADERS, RAW_END_HEADERS, 1, raw_request,
				    sizeof(raw_request));

	for (int i = 0; i < 150; i++)
		size += raw_frame_put(bytes + size, RAW_DATA, 0, 1, NULL, 0);
	memcpy(bytes + size, bad_ping, sizeof(bad_ping));
	size += sizeof(bad_ping);
	memcpy(bytes + size, oversized, sizeof(oversized));
	size += sizeof(oversized);
	world_raw_client(&world, true);
	raw_send(&world, bytes, size);
	ends_with(H2_ENHANCE_YOUR_CALM);
	close(world.raw);
	world.raw_len = 0;

	/* And where it is the owner who closes, in any callback. */
	for (int where = 0; where < 3; where++) {
		size = raw_frame_put(bytes, RAW_HEADERS, RAW_END_HEADERS, 1, raw_request,
				     sizeof(raw_request));
		size += raw_frame_put(bytes + size, RAW_DATA, 0, 1, "x", 1);
		size += raw_frame_put(bytes + size, RAW_RST, 0, 1, cancel, 4);
		memcpy(bytes + size, oversized, sizeof(oversized));
		size += sizeof(oversized);
		memset(&world.server, 0, sizeof(world.server));
		world.server.close_in_headers = where == 0;
		world.server.close_in_data = where == 1;
		world.server.close_in_closed = where == 2;
		world_raw_client(&world, true);
		raw_send(&world, bytes, size);
		assert_int_equal(raw_goaway_code(&world), H2_NO_ERROR);
		assert_null(world.server.h2);
		close(world.raw);
		world.raw = -1;
		world.raw_len = 0;
	}
}

/* A table entry of 4 KiB, then named again by one byte each. */
static void a_block_that_inflates_without_end_is_cut_off(void **state)
{
	uint8_t block[16000];
	size_t size = 0;

	world_raw_client(&world, true);
	block[size++] = 0x40; /* literal, to be indexed, new name */
	block[size++] = 1;
	block[size++] = 'a';
	block[size++] = 0x7f; /* 3900 bytes */
	block[size++] = (3900 - 127) % 128 | 128;
	block[size++] = (3900 - 127) / 128;
	memset(block + size, 'b', 3900);
	size += 3900;
	memset(block + size, 0x80 | 62, 12000); /* index 62: that one */
	size += 12000;
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS, 1, block, size);
	ends_with(H2_ENHANCE_YOUR_CALM);
	/* What comes behind is ignored, also by whoever is gone by now. */
	send(world.raw, block, 100, MSG_NOSIGNAL);
	WORLD_FOR_MS(&world, 10);
}

static void a_header_block_that_trickles_is_cut_off(void **state)
{
	world.options.header_timeout_ms = 60;
	world_raw_client(&world, true);
	raw_frame(&world, RAW_HEADERS, 0, 1, raw_request, sizeof(raw_request));
	ends_with(H2_ENHANCE_YOUR_CALM);
	assert_int_equal(world.server.n_requests, 0);
}

/* Each block has its own time, also where there is always one that is not complete. */
static void many_slow_blocks_are_no_slow_block(void **state)
{
	world.options.header_timeout_ms = 200;
	world.server.reply = true;
	world_raw_client(&world, true);
	raw_frame(&world, RAW_HEADERS, RAW_END_STREAM, 1, raw_request, sizeof(raw_request));
	for (uint32_t id = 1; id < 21; id += 2) {
		uint8_t bytes[64];
		size_t size = raw_frame_put(bytes, RAW_CONTINUATION, RAW_END_HEADERS, id, NULL, 0);

		WORLD_FOR_MS(&world, 60);
		size += raw_frame_put(bytes + size, RAW_HEADERS, RAW_END_STREAM, id + 2, raw_request,
				      sizeof(raw_request));
		raw_send(&world, bytes, size);
	}
	WORLD_FOR_MS(&world, 20);
	assert_int_equal(world.server.n_down, 0);
	assert_int_equal(world.server.n_requests, 10);
}

/* The owner frees its options with itself; frames still come. */
static void options_may_go_with_their_owner(void **state)
{
	struct h2_options *options = malloc(sizeof(*options));
	int err, fd;

	*options = world.options;
	world.raw = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(world.raw, &world.address.sa, world.address.len), 0);
	fd = accept4(world.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	world.server.h2 = h2_accept(&world.loop, fd, NULL, options, &world_events, &world.server,
				    &err);
	raw_send(&world, RAW_PREFACE, 24);
	raw_frame(&world, RAW_SETTINGS, 0, 0, NULL, 0);
	raw_frame(&world, RAW_HEADERS, 0, 1, raw_request, sizeof(raw_request));
	assert_true(WORLD_UNTIL(&world, world.server.n_up));
	WORLD_FOR_MS(&world, 5);
	h2_close(world.server.h2, H2_NO_ERROR);
	world.server.h2 = NULL;
	free(options);
	for (int i = 0; i < 20; i++) {
		send(world.raw, "\0\0\0\x9\0\0\0\0\x1", 9, MSG_NOSIGNAL);
		WORLD_FOR_MS(&world, 3);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guard_lets_the_burst_through_and_then_the_rate),
		cmocka_unit_test(guard_of_burst_one_allows_one_an_interval),
		TEST(garbage_instead_of_a_preface_is_a_protocol_error),
		TEST(garbage_after_the_preface_is_an_error),
		TEST(a_frame_over_the_size_limit_is_a_frame_size_error),
		TEST(a_broken_hpack_block_is_a_compression_error),
		TEST(data_beyond_the_window_is_refused),
		TEST(padding_is_given_back),
		TEST(streams_reset_as_fast_as_they_are_opened_end_the_connection),
		TEST(a_flood_of_pings_ends_the_connection),
		TEST(a_flood_of_settings_ends_the_connection),
		TEST(a_flood_of_empty_data_ends_the_connection),
		TEST(a_flood_of_continuations_ends_the_connection),
		TEST(pings_between_calls_are_no_flood),
		TEST(what_follows_the_end_in_the_same_read_is_not_looked_at),
		TEST(a_block_that_inflates_without_end_is_cut_off),
		TEST(a_header_block_that_trickles_is_cut_off),
		TEST(many_slow_blocks_are_no_slow_block),
		TEST(options_may_go_with_their_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
