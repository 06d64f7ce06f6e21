/* SPDX-License-Identifier: MIT */
/*
 * test_deadline.c - the times that a route gives its calls, in a whole relay: what ends a call, with
 * which status, and what does not; one timer that traffic does not move.
 */
#include "proxy/relay_world.h"

/* The backend's stream was cancelled, and nothing is left of the call. */
static void assert_cancelled(int32_t id)
{
	RELAY_UNTIL(record_of(backend_side(0, 0), id)->closed);
	assert_int_equal(record_of(backend_side(0, 0), id)->code, H2_CANCEL);
	RELAY_FOR_MS(5);
	relay_assert_quiet();
}

static unsigned answered_after_ms(int32_t id)
{
	uint64_t began = loop_refresh(&relay.worker.loop);

	RELAY_UNTIL(call(id)->closed);
	return (unsigned)((loop_refresh(&relay.worker.loop) - began) / NS_PER_MS);
}

static void the_routes_default_holds_where_the_client_sets_none(void **state)
{
	int32_t id;

	relay_route()->default_timeout_ms = 60;
	relay_connect();
	id = relay_call(10, "");
	assert_in_range(answered_after_ms(id), 50, 3000);
	assert_int_equal(call(id)->grpc_status, GRPC_DEADLINE_EXCEEDED);
	assert_cancelled(1);
	id = relay_call(10, "300m");
	assert_in_range(answered_after_ms(id), 250, 4000);
	assert_int_equal(relay.worker.stats->deadlines, 2);
}

static void the_routes_maximum_holds_for_all(void **state)
{
	static const char *const timeouts[] = { "", "10S", "99999999H" };

	relay_route()->max_timeout_ms = 60;
	relay_connect();
	for (unsigned i = 0; i < 3; i++) {
		int32_t id = relay_call(10, timeouts[i]);

		assert_in_range(answered_after_ms(id), 50, 3000);
		assert_int_equal(call(id)->grpc_status, GRPC_DEADLINE_EXCEEDED);
	}
	relay_route()->max_timeout_ms = 60000;
	assert_in_range(answered_after_ms(relay_call(10, "10m")), 0, 4000);
}

static void a_call_that_sets_no_time_has_no_timer(void **state)
{
	const struct stream *stream;

	relay_connect();
	relay_call(10, "");
	RELAY_UNTIL(record_of(backend_side(0, 0), 1)->ended);
	stream = list_first(&list_first(&relay.worker.downstreams, struct downstream, link)->streams,
			    struct stream, down_link);
	assert_false(loop_timer_is_set(&stream->deadline_timer));
	assert_null(stream->retry);
	assert_int_equal(relay.worker.state.routes[RELAY_ROUTE].active_calls, 0);
}

static void whatever_passes_keeps_a_stream_from_being_idle(void **state)
{
	const struct stream *stream;
	int32_t id;

	relay_route()->idle_timeout_ms = 400;
	relay_connect();
	id = h2_submit_request(relay.client->h2, request_fields, N_REQUEST_FIELDS, false, &relay);
	call(id)->hold_end = true;
	RELAY_UNTIL(record_of(backend_side(0, 0), 1)->n_headers);
	stream = list_first(&list_first(&relay.worker.downstreams, struct downstream, link)->streams,
			    struct stream, down_link);
	for (int i = 0; i < 8; i++) {
		uint64_t due_ns = stream->deadline_timer.deadline_ns;

		call(id)->to_send++;
		h2_resume(relay.client->h2, id);
		RELAY_UNTIL(record_of(backend_side(0, 0), 1)->received == (size_t)i + 1);
		/* It passed, and the timer stands where it stood. */
		assert_int_equal(stream->deadline_timer.deadline_ns, due_ns);
		RELAY_FOR_MS(60);
		assert_false(call(id)->closed);
	}
	assert_in_range(answered_after_ms(id), 200, 4000);
	assert_int_equal(call(id)->grpc_status, GRPC_UNAVAILABLE);
	assert_int_equal(relay.worker.stats->streams_idle, 1);
	assert_cancelled(1);
}

static void a_stream_ends_at_its_age_whatever_passes(void **state)
{
	int32_t id;

	relay_route()->max_age_ms = 200;
	relay_route()->idle_timeout_ms = 2000;
	relay_connect();
	id = h2_submit_request(relay.client->h2, request_fields, N_REQUEST_FIELDS, false, &relay);
	call(id)->hold_end = true;
	for (int i = 0; i < 200 && !call(id)->closed; i++) {
		call(id)->to_send++;
		h2_resume(relay.client->h2, id);
		RELAY_FOR_MS(10);
	}
	assert_true(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_UNAVAILABLE);
	assert_non_null(strstr(call(id)->grpc_message, "max_age"));
	assert_int_equal(relay.worker.stats->streams_aged, 1);
	assert_cancelled(1);
}

/* The backend is done; what is left is the client's to read, and no deadline takes it away. */
static void a_deadline_does_not_cut_a_response_that_is_whole(void **state)
{
	int32_t id;

	relay.backends[0].preset.reply = relay.backends[0].preset.reply_at_end = true;
	relay.backends[0].preset.reply_trailers = true;
	relay.backends[0].preset.reply_bytes = 100000;
	relay.client->no_credit = true;
	relay_connect();
	id = relay_call(10, "400m");
	RELAY_UNTIL(call(id)->received == 65536 && record_of(backend_side(0, 0), 1)->closed);
	RELAY_FOR_MS(450);
	assert_false(call(id)->closed);
	assert_int_equal(relay.worker.stats->deadlines, 0);
	h2_credit(relay.client->h2, id, 65536);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 0);
	assert_int_equal(call(id)->received, 100000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, relay_setup_one, relay_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_routes_default_holds_where_the_client_sets_none),
		TEST(the_routes_maximum_holds_for_all),
		TEST(a_call_that_sets_no_time_has_no_timer),
		TEST(whatever_passes_keeps_a_stream_from_being_idle),
		TEST(a_stream_ends_at_its_age_whatever_passes),
		TEST(a_deadline_does_not_cut_a_response_that_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
