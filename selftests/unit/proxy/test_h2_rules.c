/* SPDX-License-Identifier: MIT */
/*
 * test_h2_rules.c - what a peer's SETTINGS do to streams that are open and to header blocks, and
 * messages whose lengths belie themselves: rules of RFC 9113 that only a raw peer can try.
 */
#include "proxy/h2_fixture.h"

static void raw_setting(uint8_t id, uint32_t value)
{
	const uint8_t bytes[6] = { 0, id, (uint8_t)(value >> 24), (uint8_t)(value >> 16),
				   (uint8_t)(value >> 8), (uint8_t)value };

	raw_frame(&world, RAW_SETTINGS, 0, 0, bytes, sizeof(bytes));
}

static bool stays_at(size_t sent)
{
	bool there = WORLD_UNTIL(&world, at_server(1)->sent >= sent);

	WORLD_FOR_MS(&world, 10);
	return there && at_server(1)->sent == sent;
}

/* RFC 9113 6.9.2: a window may become negative, and then takes credit to come back. */
static void windows_of_open_streams_follow_the_peers_settings(void **state)
{
	enum { INITIAL_WINDOW_SIZE = 4 };

	world.server.reply = true;
	world.server.reply_bytes = 10000;
	world_raw_client(&world, true);
	raw_setting(INITIAL_WINDOW_SIZE, 0);
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS, 1, raw_request, sizeof(raw_request));
	assert_true(WORLD_UNTIL(&world, at_server(1)->n_headers));
	assert_true(stays_at(0));
	raw_setting(INITIAL_WINDOW_SIZE, 300);
	assert_true(stays_at(300));
	raw_setting(INITIAL_WINDOW_SIZE, 100);
	raw_frame(&world, RAW_WINDOW_UPDATE, 0, 1, "\0\0\0\xc8", 4); /* -200 and 200 */
	assert_true(stays_at(300));
	raw_frame(&world, RAW_WINDOW_UPDATE, 0, 1, "\0\0\0\x32", 4);
	assert_true(stays_at(350));
	raw_setting(INITIAL_WINDOW_SIZE, 1 << 20);
	assert_true(WORLD_UNTIL(&world, at_server(1)->sent == 10000));
	assert_int_equal(world.server.n_down, 0);
}

/* RFC 7541 4.2: a smaller table is said at the start of the next block. */
static void a_smaller_header_table_is_kept_to(void **state)
{
	uint8_t frame[9 + 16384];

	world.server.reply = true;
	world_raw_client(&world, true);
	raw_setting(1, 0); /* SETTINGS_HEADER_TABLE_SIZE */
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS | RAW_END_STREAM, 1, raw_request,
		  sizeof(raw_request));
	assert_true(WORLD_UNTIL(&world, raw_find(&world, RAW_HEADERS, frame)));
	assert_int_equal(frame[9], 0x20); /* dynamic table size: 0 */
}

/* content-length: 5, with a body of size bytes; what became of the stream. */
static uint32_t code_of_body(size_t size)
{
	uint8_t block[sizeof(raw_request) + 4];

	memcpy(block, raw_request, sizeof(raw_request));
	memcpy(block + sizeof(raw_request), "\x0f\x0d\x01" "5", 4);
	world_raw_client(&world, true);
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS, 1, block, sizeof(block));
	raw_frame(&world, RAW_DATA, RAW_END_STREAM, 1, "\1\2\3\4\5\6", size);
	assert_true(WORLD_UNTIL(&world, at_server(1)->ended || at_server(1)->closed));
	WORLD_FOR_MS(&world, 5);
	assert_int_equal(world.server.n_down, 0);
	return at_server(1)->closed ? at_server(1)->code : H2_NO_ERROR;
}

static void a_body_shorter_than_its_content_length_is_malformed(void **state)
{
	assert_int_equal(code_of_body(4), H2_PROTOCOL_ERROR);
}

static void a_body_longer_than_its_content_length_is_malformed(void **state)
{
	assert_int_equal(code_of_body(6), H2_PROTOCOL_ERROR);
}

static void a_body_of_its_content_length_is_taken(void **state)
{
	assert_int_equal(code_of_body(5), H2_NO_ERROR);
	assert_true(at_server(1)->ended);
}

static void more_padding_than_there_is_frame_is_a_protocol_error(void **state)
{
	enum { PADDED = 8 };

	world_raw_client(&world, true);
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS | PADDED, 1, "\xc8\x83\x86\x84", 4);
	assert_int_equal(raw_goaway_code(&world), H2_PROTOCOL_ERROR);
	assert_int_equal(world.server.n_requests, 0);
}

/* A response of status (an index of HPACK's static table) and content-length: 5, and no body. */
static void respond_with_length(uint8_t status, int32_t id)
{
	const uint8_t block[] = { status, 0x0f, 0x0d, 1, '5' };

	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS | RAW_END_STREAM, (uint32_t)id, block,
		  sizeof(block));
	assert_true(WORLD_UNTIL(&world, at_client(id)->closed));
}

static void a_response_to_head_has_a_length_and_no_body(void **state)
{
	struct h2_header fields[N_REQUEST_FIELDS];
	int32_t id;

	memcpy(fields, request_fields, sizeof(fields));
	fields[0] = (struct h2_header){ ":method", "HEAD", 7, 4, false };
	world_raw_server(&world, true);
	id = h2_submit_request(world.client.h2, fields, N_REQUEST_FIELDS, true, &world);
	respond_with_length(0x88, id);
	assert_int_equal(at_client(id)->code, H2_NO_ERROR);
	assert_true(at_client(id)->ended);

	id = h2_submit_request(world.client.h2, fields, N_REQUEST_FIELDS, true, &world);
	raw_frame(&world, RAW_HEADERS, RAW_END_HEADERS, (uint32_t)id, "\x88", 1);
	raw_frame(&world, RAW_DATA, RAW_END_STREAM, (uint32_t)id, "x", 1);
	assert_true(WORLD_UNTIL(&world, at_client(id)->closed));
	assert_int_equal(at_client(id)->code, H2_PROTOCOL_ERROR);
}

static void statuses_without_a_body_may_have_a_length(void **state)
{
	world_raw_server(&world, true);
	respond_with_length(0x89, world_request(&world, 0)); /* 204 */
	assert_int_equal(at_client(1)->code, H2_NO_ERROR);
	respond_with_length(0x8b, world_request(&world, 0)); /* 304 */
	assert_int_equal(at_client(3)->code, H2_NO_ERROR);
	respond_with_length(0x88, world_request(&world, 0));
	assert_int_equal(at_client(5)->code, H2_PROTOCOL_ERROR);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(windows_of_open_streams_follow_the_peers_settings),
		TEST(a_smaller_header_table_is_kept_to),
		TEST(a_body_shorter_than_its_content_length_is_malformed),
		TEST(a_body_longer_than_its_content_length_is_malformed),
		TEST(a_body_of_its_content_length_is_taken),
		TEST(a_response_to_head_has_a_length_and_no_body),
		TEST(statuses_without_a_body_may_have_a_length),
		TEST(more_padding_than_there_is_frame_is_a_protocol_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
