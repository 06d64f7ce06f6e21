/* SPDX-License-Identifier: MIT */
/*
 * test_h2.c - the HTTP/2 engine against itself over loopback: calls, bodies, backpressure, resets,
 * limits, and a connection that is closed from within each callback.
 */

#include "proxy/h2_fixture.h"

#include "proxy/h2_internal.h"
#include "proxy/h2_session.h"

static void a_call_goes_there_and_back_with_trailers(void **state)
{
	int32_t id;

	world.server.reply = world.server.reply_at_end = world.server.reply_trailers = true;
	world.server.reply_bytes = 1000;
	world_pair(&world);
	id = world_request(&world, 500);
	assert_true(WORLD_UNTIL(&world, at_client(id)->closed && at_server(id)->closed));
	assert_int_equal(at_server(id)->received, 500);
	assert_int_equal(at_client(id)->received, 1000);
	assert_true(at_client(id)->trailers && at_client(id)->ended);
	assert_string_equal(at_client(id)->x_test, "trailers");
	assert_string_equal(at_server(id)->x_test, "request");
	assert_int_equal(at_client(id)->code, H2_NO_ERROR);
	assert_int_equal(at_server(id)->code, H2_NO_ERROR);
	assert_false(at_client(id)->corrupt || at_server(id)->corrupt);
	assert_int_equal(h2_streams(world.client.h2), 0);
	assert_int_equal(h2_streams(world.server.h2), 0);
}

static void a_response_without_body_ends_with_its_headers(void **state)
{
	int32_t id;

	world.server.reply = true;
	world_pair(&world);
	id = world_request(&world, 0);
	assert_true(WORLD_UNTIL(&world, at_client(id)->closed));
	assert_int_equal(at_client(id)->n_headers, 1);
	assert_true(at_client(id)->ended && !at_client(id)->trailers);
	assert_int_equal(at_client(id)->code, H2_NO_ERROR);
}

static void large_bodies_pass_both_ways_at_once(void **state)
{
	const size_t size = 3 * 1000 * 1000 + 7;
	int32_t ids[8];

	world.server.reply = world.server.reply_trailers = true;
	world.server.reply_bytes = size;
	world_pair(&world);
	for (int i = 0; i < 8; i++) {
		ids[i] = world_request(&world, size);
		at_server(ids[i])->hold_end = true; /* or it could end first, and reset */
	}
	for (int i = 0; i < 8; i++) {
		struct record *there = at_server(ids[i]), *back = at_client(ids[i]);

		assert_true(WORLD_UNTIL(&world, there->ended && back->received == size));
		there->hold_end = false;
		h2_resume(world.server.h2, ids[i]);
		assert_true(WORLD_UNTIL(&world, back->trailers));
		assert_int_equal(there->received, size);
		assert_int_equal(back->received, size);
		assert_false(there->corrupt || back->corrupt);
	}
}

/* Header blocks that do not fit behind the DATA that is gathered for one write, towards a socket
 * that takes little at once. */
static void nothing_is_lost_or_swapped_where_the_socket_takes_little(void **state)
{
	static char big[9000];
	struct h2_header fields[N_REQUEST_FIELDS + 1];
	int one = 1, small = 4096;
	int32_t ids[300];
	unsigned n = 0;

	world.options.max_streams = 1000;
	assert_int_equal(setsockopt(world.listen_fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	world_connect(&world);
	world_accept(&world);
	for (int fd = 3; fd < 64; fd++) /* our ends of it */
		if (!setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one)))
			setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	assert_true(WORLD_UNTIL(&world, world.client.n_up && world.server.n_up));
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)('\\' + i % 3); /* long codes in HPACK: no shorter than they are */
	memcpy(fields, request_fields, sizeof(request_fields));
	for (unsigned turn = 0; turn < 30; turn++) {
		for (int i = 0; i < 10; i++) {
			size_t len = 500 + (turn * 10 + (unsigned)i) * 7919 % 8000;
			int32_t id;

			fields[N_REQUEST_FIELDS] = (struct h2_header){ "x-big", big, 5,
								       (uint32_t)len, true };
			id = h2_submit_request(world.client.h2, fields, N_REQUEST_FIELDS + 1,
					       false, &world);
			assert_true(id > 0);
			at_client(id)->to_send = 20000 + len;
			at_client(id)->big_field = len;
			ids[n++] = id;
		}
		assert_int_equal(loop_turn(&world.loop), 0);
	}
	for (unsigned i = 0; i < n; i++) {
		struct record *there = at_server(ids[i]);

		assert_true(WORLD_UNTIL(&world, there->ended || !world.server.h2));
		assert_non_null(world.server.h2);
		assert_int_equal(there->received, at_client(ids[i])->to_send);
		assert_int_equal(there->big_field, at_client(ids[i])->big_field);
		assert_false(there->corrupt);
	}
}

static void without_credit_a_stream_stops_at_its_window_and_no_other_does(void **state)
{
	int32_t stalled, free_id;

	world.server.no_credit = true;
	world_pair(&world);
	stalled = world_request(&world, 300000);
	assert_true(WORLD_UNTIL(&world, at_server(stalled)->received == 65536));
	WORLD_FOR_MS(&world, 30);
	assert_int_equal(at_server(stalled)->received, 65536);
	assert_false(at_server(stalled)->ended);

	world.server.no_credit = false;
	free_id = world_request(&world, 5000000);
	assert_true(WORLD_UNTIL(&world, at_server(free_id)->ended));
	assert_int_equal(at_server(free_id)->received, 5000000);
	assert_int_equal(at_server(stalled)->received, 65536);

	h2_credit(world.server.h2, stalled, 65536);
	assert_true(WORLD_UNTIL(&world, at_server(stalled)->ended));
	assert_int_equal(at_server(stalled)->received, 300000);
	assert_false(at_server(stalled)->corrupt);
}

static void more_streams_than_the_connection_window_holds_can_stall_at_once(void **state)
{
	int32_t id = 0;

	/* 40 times 64 KiB is more than the connection's 1 MiB. */
	world.server.no_credit = true;
	world_pair(&world);
	for (int i = 0; i < 40; i++) {
		id = world_request(&world, 70000);
		assert_true(WORLD_UNTIL(&world, at_server(id)->received == 65536));
	}
	world.server.no_credit = false;
	id = world_request(&world, 1000000);
	assert_true(WORLD_UNTIL(&world, at_server(id)->ended));
}

static void a_pull_that_had_nothing_goes_on_after_resume(void **state)
{
	int32_t id;

	world_pair(&world);
	id = h2_submit_request(world.client.h2, request_fields, N_REQUEST_FIELDS, false, &world);
	at_client(id)->stop_pull = true;
	at_client(id)->to_send = 10;
	assert_true(WORLD_UNTIL(&world, at_server(id)->n_headers == 1));
	WORLD_FOR_MS(&world, 10);
	assert_int_equal(at_server(id)->received, 0);
	at_client(id)->stop_pull = false;
	h2_resume(world.client.h2, id);
	assert_true(WORLD_UNTIL(&world, at_server(id)->received == 10));
}

/* RFC 9113 8.1. */
static void a_server_that_ends_early_resets_with_no_error(void **state)
{
	int32_t id;

	world.server.reply = world.server.reply_trailers = true;
	world.server.reply_bytes = 200000;
	world_pair(&world);
	id = h2_submit_request(world.client.h2, request_fields, N_REQUEST_FIELDS, false, &world);
	at_client(id)->to_send = 100;
	at_client(id)->hold_end = true;
	assert_true(WORLD_UNTIL(&world, at_client(id)->closed && at_server(id)->closed));
	assert_int_equal(at_client(id)->received, 200000);
	assert_true(at_client(id)->trailers);
	assert_int_equal(at_client(id)->code, H2_NO_ERROR);
	assert_true(at_client(id)->by_peer);
	assert_false(at_client(id)->unprocessed);
	assert_int_equal(at_server(id)->code, H2_NO_ERROR);
	assert_false(at_server(id)->by_peer);
}

static void a_reset_reaches_the_other_side_with_its_code(void **state)
{
	int32_t id;

	world_pair(&world);
	id = world_request(&world, 300000);
	assert_true(WORLD_UNTIL(&world, at_server(id)->received));
	h2_reset(world.client.h2, id, H2_CANCEL);
	assert_true(WORLD_UNTIL(&world, at_client(id)->closed && at_server(id)->closed));
	assert_int_equal(at_server(id)->code, H2_CANCEL);
	assert_true(at_server(id)->by_peer);
	assert_false(at_client(id)->by_peer);

	id = world_request(&world, 0);
	assert_true(WORLD_UNTIL(&world, at_server(id)->n_headers));
	h2_reset(world.server.h2, id, H2_REFUSED_STREAM);
	assert_true(WORLD_UNTIL(&world, at_client(id)->closed));
	assert_int_equal(at_client(id)->code, H2_REFUSED_STREAM);
	assert_true(at_client(id)->unprocessed && at_client(id)->by_peer);
}

static void a_request_reset_before_it_left_is_reset_at_the_peer(void **state)
{
	int32_t id, other;

	world_pair(&world);
	id = world_request(&world, 100);
	h2_reset(world.client.h2, id, H2_CANCEL);
	other = world_request(&world, 100);
	assert_true(WORLD_UNTIL(&world, at_client(id)->closed && at_server(other)->ended));
	assert_ptr_equal(h2_stream_user(world.client.h2, other), &world);
	assert_true(at_server(id)->closed && at_server(id)->by_peer);
	assert_int_equal(at_server(id)->received, 0);
	assert_int_equal(h2_streams(world.client.h2), 1);
}

static void capacity_is_the_lesser_of_both_limits_and_comes_back(void **state)
{
	int32_t first = 0;
	unsigned told;

	world.options.max_streams = 3;
	world.server.reply = false;
	world_pair(&world);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(h2_capacity(world.client.h2), 3 - i);
		first = world_request(&world, 0);
	}
	assert_int_equal(h2_capacity(world.client.h2), 0);
	assert_int_equal(h2_submit_request(world.client.h2, request_fields, N_REQUEST_FIELDS, true,
					   &world), -EAGAIN);
	assert_true(WORLD_UNTIL(&world, at_server(first)->n_headers));
	told = world.client.n_capacity;
	world_respond(&world.server, first);
	assert_true(WORLD_UNTIL(&world, at_client(first)->closed));
	assert_true(world.client.n_capacity > told);
	assert_int_equal(h2_capacity(world.client.h2), 1);
	world_request(&world, 0);
}

static void a_used_up_connection_takes_no_more_and_ends_in_order(void **state)
{
	struct h2 *client;
	int32_t id;

	world.server.reply = true;
	world_pair(&world);
	client = world.client.h2;
	client->session->next_id = INT32_MAX;
	id = h2_submit_request(client, request_fields, N_REQUEST_FIELDS, false, &world);
	assert_int_equal(id, INT32_MAX);
	assert_int_equal(h2_submit_request(client, request_fields, N_REQUEST_FIELDS, true, &world),
			 -EPIPE);
	assert_int_equal(h2_capacity(client), 0);
	h2_reset(client, id, H2_CANCEL);
	assert_true(WORLD_UNTIL(&world, world.client.n_down));
	assert_int_equal(world.client.why, H2_DOWN_CLOSED);
}

static void a_header_list_over_the_limit_is_said_to_be_so(void **state)
{
	static char big[5000];
	struct h2_header fields[N_REQUEST_FIELDS + 1];
	int32_t id;

	world.options.max_header_bytes = 4096;
	world_pair(&world);
	memset(big, 'b', sizeof(big));
	memcpy(fields, request_fields, sizeof(request_fields));
	fields[N_REQUEST_FIELDS] = (struct h2_header){ "x-big", big, 5, 5000, false };
	id = h2_submit_request(world.client.h2, fields, N_REQUEST_FIELDS + 1, true, &world);
	assert_true(WORLD_UNTIL(&world, at_server(id)->n_headers));
	assert_int_equal(at_server(id)->block, H2_BLOCK_TOO_LARGE);
	/* The connection goes on. */
	id = world_request(&world, 10);
	assert_true(WORLD_UNTIL(&world, at_server(id)->ended));
	assert_int_equal(at_server(id)->block, H2_BLOCK_REQUEST);
}

static void a_header_list_of_a_mebibyte_passes_where_it_is_allowed(void **state)
{
	static char big[60000];
	struct h2_header fields[N_REQUEST_FIELDS + 16];
	int32_t id;

	world.options.max_header_bytes = 1 << 20;
	world_pair(&world);
	memset(big, '~', sizeof(big));
	memcpy(fields, request_fields, sizeof(request_fields));
	for (size_t i = 0; i < 16; i++)
		fields[N_REQUEST_FIELDS + i] = (struct h2_header){ "x-big", big, 5, 60000, false };
	id = h2_submit_request(world.client.h2, fields, N_REQUEST_FIELDS + 16, true, &world);
	assert_true(WORLD_UNTIL(&world, at_server(id)->n_headers || at_client(id)->closed));
	assert_int_equal(at_server(id)->block, H2_BLOCK_REQUEST);
	assert_int_equal(at_server(id)->big_field, 60000);
	assert_int_equal(h2_submit_request(world.client.h2, fields, H2_HEADERS_MAX + 1, true, NULL),
			 -E2BIG);
}

static void closing_from_within_a_callback_is_safe(void **state, bool *where, bool at_the_client)
{
	int32_t id;

	world.server.reply = world.server.reply_trailers = true;
	world.server.reply_bytes = 100000;
	*where = true;
	world_connect(&world);
	world_accept(&world);
	assert_true(WORLD_UNTIL(&world, world.client.n_up || !world.client.h2));
	if (world.client.h2 && h2_capacity(world.client.h2)) {
		id = world_request(&world, 100000);
		assert_true(id > 0);
	}
	assert_true(WORLD_UNTIL(&world, !world.client.h2 && !world.server.h2));
	/* The one that closed is told nothing more. */
	assert_int_equal(at_the_client ? world.client.n_down : world.server.n_down, 0);
	assert_int_equal(at_the_client ? world.server.n_down : world.client.n_down, 1);
}

#define CLOSE_IN(side, event, at_the_client)                                                       \
	static void side##_may_close_in_##event(void **state)                                      \
	{                                                                                          \
		closing_from_within_a_callback_is_safe(state, &world.side.close_in_##event,        \
						       at_the_client);                             \
	}
CLOSE_IN(server, headers, false)
CLOSE_IN(server, data, false)
CLOSE_IN(server, pull, false)
CLOSE_IN(server, closed, false)
CLOSE_IN(server, up, false)
CLOSE_IN(client, headers, true)
CLOSE_IN(client, data, true)
CLOSE_IN(client, pull, true)
CLOSE_IN(client, closed, true)
CLOSE_IN(client, up, true)

static void a_call_survives_the_trimming_of_idle_memory(void **state)
{
	int32_t id;

	world.server.reply = world.server.reply_trailers = true;
	world.server.reply_bytes = 50000;
	world_pair(&world);
	for (int i = 0; i < 5; i++) {
		id = world_request(&world, 50000);
		assert_true(WORLD_UNTIL(&world, at_client(id)->closed && at_server(id)->closed));
		h2_trim(world.client.h2);
		h2_trim(world.server.h2);
		assert_false(at_client(id)->corrupt || at_server(id)->corrupt);
	}
}

static void error_codes_have_names(void **state)
{
	assert_string_equal(h2_error_name(H2_CANCEL), "CANCEL");
	assert_string_equal(h2_error_name(H2_HTTP_1_1_REQUIRED), "HTTP_1_1_REQUIRED");
	assert_string_equal(h2_error_name(0xffffffff), "unknown");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_call_goes_there_and_back_with_trailers),
		TEST(a_response_without_body_ends_with_its_headers),
		TEST(large_bodies_pass_both_ways_at_once),
		TEST(nothing_is_lost_or_swapped_where_the_socket_takes_little),
		TEST(without_credit_a_stream_stops_at_its_window_and_no_other_does),
		TEST(more_streams_than_the_connection_window_holds_can_stall_at_once),
		TEST(a_pull_that_had_nothing_goes_on_after_resume),
		TEST(a_server_that_ends_early_resets_with_no_error),
		TEST(a_reset_reaches_the_other_side_with_its_code),
		TEST(a_request_reset_before_it_left_is_reset_at_the_peer),
		TEST(capacity_is_the_lesser_of_both_limits_and_comes_back),
		TEST(a_used_up_connection_takes_no_more_and_ends_in_order),
		TEST(a_header_list_over_the_limit_is_said_to_be_so),
		TEST(a_header_list_of_a_mebibyte_passes_where_it_is_allowed),
		TEST(server_may_close_in_headers), TEST(server_may_close_in_data),
		TEST(server_may_close_in_pull), TEST(server_may_close_in_closed),
		TEST(server_may_close_in_up), TEST(client_may_close_in_headers),
		TEST(client_may_close_in_data), TEST(client_may_close_in_pull),
		TEST(client_may_close_in_closed), TEST(client_may_close_in_up),
		TEST(a_call_survives_the_trimming_of_idle_memory),
		TEST(error_codes_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
