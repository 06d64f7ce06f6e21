/* SPDX-License-Identifier: MIT */
/*
 * test_relay.c - the relay of a worker with one client and some backends in one loop: what is
 * replayed and what never is, who waits and for how long, and counters that come back to zero.
 */
#include "proxy/relay_world.h"

#include "fault.h"

static void a_call_goes_there_and_back_and_leaves_nothing(void **state)
{
	int32_t id;

	backends_answer(300000);
	relay_connect();
	id = relay_call(200000, "5S");
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 0);
	assert_int_equal(call(id)->received, 300000);
	assert_int_equal(backend_side(0, 0)->records[0].received, 200000);
	assert_false(call(id)->corrupt || backend_side(0, 0)->records[0].corrupt);
	RELAY_FOR_MS(5);
	relay_assert_quiet();
	assert_int_equal(relay.worker.stats->calls_ended[0], 1);
}

static void a_refused_stream_is_sent_to_another_backend_with_all_its_body(void **state)
{
	struct side *first;
	int32_t id;
	int which;

	backends_answer(1000);
	relay.backends[0].preset.reply = relay.backends[1].preset.reply = false;
	relay_connect();
	id = relay_call(50000, "");
	RELAY_UNTIL(busy_backend() >= 0);
	which = busy_backend();
	first = backend_side((unsigned)which, 0);
	RELAY_UNTIL(record_of(first, 1)->received == 50000);
	relay.backends[!which].preset.reply = true;
	h2_reset(first->h2, 1, H2_REFUSED_STREAM);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 0);
	assert_int_equal(record_of(backend_side(!which, 0), 1)->received, 50000);
	assert_false(record_of(backend_side(!which, 0), 1)->corrupt);
	assert_int_equal(relay.worker.stats->replays, 1);
}

/* The window that the client had back for the first attempt is not given twice, and none is lost. */
static void a_replay_neither_stalls_the_client_nor_overruns_it(void **state)
{
	struct side *first;
	int32_t id;
	int which;

	backends_answer(0);
	relay.backends[0].preset.reply = relay.backends[1].preset.reply = false;
	relay_connect();
	id = h2_submit_request(relay.client->h2, request_fields, N_REQUEST_FIELDS, false, &relay);
	call(id)->to_send = 60000;
	call(id)->hold_end = true;
	RELAY_UNTIL(busy_backend() >= 0);
	which = busy_backend();
	first = backend_side((unsigned)which, 0);
	RELAY_UNTIL(record_of(first, 1)->received == 60000);
	relay.backends[!which].preset.no_credit = true; /* takes 64 KiB and stalls */
	h2_reset(first->h2, 1, H2_REFUSED_STREAM);
	RELAY_UNTIL(record_of(backend_side(!which, 0), 1)->received == 60000);
	call(id)->to_send = 1000000;
	h2_resume(relay.client->h2, id);
	RELAY_UNTIL(record_of(backend_side(!which, 0), 1)->received == 65536);
	RELAY_FOR_MS(30);
	/* The backend's window, one in the worker's buffer and one more under way at the most. */
	assert_in_range(call(id)->sent, 65536, 4 * 65536);
	h2_credit(backend_side(!which, 0)->h2, 1, 65536);
	relay.backends[!which].sides[0]->no_credit = false;
	call(id)->hold_end = false;
	h2_resume(relay.client->h2, id);
	relay.backends[!which].sides[0]->reply = true;
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(record_of(backend_side(!which, 0), 1)->received, 1000000);
	assert_false(record_of(backend_side(!which, 0), 1)->corrupt);
}

static void a_call_that_may_have_been_processed_is_never_sent_again(void **state)
{
	int32_t id;
	int which;

	relay_connect();
	id = relay_call(100, "");
	RELAY_UNTIL(busy_backend() >= 0);
	which = busy_backend();
	RELAY_UNTIL(record_of(backend_side((unsigned)which, 0), 1)->ended);
	h2_reset(backend_side((unsigned)which, 0)->h2, 1, H2_INTERNAL_ERROR);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_INTERNAL);
	assert_int_equal(relay.backends[!which].n_accepted, 0);

	id = relay_call(100, "");
	RELAY_UNTIL(busy_backend() >= 0 && relay.worker.stats->calls == 2);
	RELAY_UNTIL(relay.backends[!which].n_accepted == 1);
	RELAY_UNTIL(record_of(backend_side(!which, 0), 1)->ended);
	world_close(backend_side(!which, 0));
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_UNAVAILABLE);
	assert_int_equal(relay.worker.stats->replays, 0);
}

static void a_connect_that_fails_goes_to_another_backend(void **state)
{
	int32_t id;

	backends_answer(10);
	relay_stop_listening(0);
	relay_connect();
	for (int i = 0; i < 6; i++) {
		id = relay_call(100, "");
		RELAY_UNTIL(call(id)->closed);
		assert_int_equal(call(id)->grpc_status, 0);
	}
	assert_int_equal(relay.backends[1].n_accepted, 1);
}

static void without_any_backend_the_answer_names_the_group(void **state)
{
	int32_t id;

	relay_stop_listening(0);
	relay_connect();
	id = relay_call(100, "");
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_UNAVAILABLE);
	assert_non_null(strstr(call(id)->grpc_message, "relay"));
}

static void calls_over_the_capacity_wait_and_are_served(void **state)
{
	int32_t ids[50];

	backends_answer(10);
	relay.backend_options.max_streams = 3;
	relay_connect();
	for (int i = 0; i < 50; i++)
		ids[i] = relay_call(1000, "");
	for (int i = 0; i < 50; i++) {
		RELAY_UNTIL(call(ids[i])->closed);
		assert_int_equal(call(ids[i])->grpc_status, 0);
	}
	assert_true(relay.backends[0].n_accepted <= 2);
}

/* One connection allowed, and it takes no more: those who wait need not wait for its last call. */
static void goaway_makes_room_for_a_new_connection(void **state)
{
	int32_t busy, waiting;

	relay.backend_options.max_streams = 1;
	relay_group()->max_connections = 1;
	relay_connect();
	busy = relay_call(10, "");
	RELAY_UNTIL(record_of(backend_side(0, 0), 1)->ended);
	waiting = relay_call(10, "");
	RELAY_FOR_MS(20);
	assert_int_equal(relay.backends[0].n_accepted, 1);
	backends_answer(10);
	h2_drain(backend_side(0, 0)->h2);
	RELAY_UNTIL(call(waiting)->closed);
	assert_int_equal(call(waiting)->grpc_status, 0);
	assert_int_equal(relay.backends[0].n_accepted, 2);
	assert_false(call(busy)->closed);
	backend_side(0, 0)->reply_trailers = true;
	world_respond(backend_side(0, 0), 1);
	RELAY_UNTIL(call(busy)->closed);
	assert_int_equal(call(busy)->grpc_status, 0);
}

/* The only other connection is going away, and the new one is refused: nobody waits for ever. */
static void who_waits_is_told_when_no_connection_can_come(void **state)
{
	int32_t waiting;

	relay.backend_options.max_streams = 1;
	relay_group()->max_connections = 1;
	relay_connect();
	relay_call(10, "");
	RELAY_UNTIL(record_of(backend_side(0, 0), 1)->ended);
	waiting = relay_call(10, "");
	RELAY_FOR_MS(10);
	relay_stop_listening(0);
	h2_drain(backend_side(0, 0)->h2);
	RELAY_UNTIL(call(waiting)->closed);
	assert_int_equal(call(waiting)->grpc_status, GRPC_UNAVAILABLE);
}

static void deadlines_hold_for_those_who_wait_too(void **state)
{
	int32_t busy, waiting;

	relay.backend_options.max_streams = 1;
	relay_group()->max_connections = 1;
	relay_connect();
	busy = relay_call(10, "100m");
	waiting = relay_call(10, "60m");
	RELAY_UNTIL(call(busy)->closed && call(waiting)->closed);
	assert_int_equal(call(busy)->grpc_status, GRPC_DEADLINE_EXCEEDED);
	assert_int_equal(call(waiting)->grpc_status, GRPC_DEADLINE_EXCEEDED);
	RELAY_UNTIL(record_of(backend_side(0, 0), 1)->closed);
	assert_int_equal(record_of(backend_side(0, 0), 1)->code, H2_CANCEL);
	assert_int_equal(relay.worker.stats->deadlines, 2);
	RELAY_FOR_MS(5);
	relay_assert_quiet();
}

static void a_client_that_vanishes_cancels_its_calls_wherever_they_are(void **state)
{
	relay.backend_options.max_streams = 2;
	relay_group()->max_connections = 1;
	relay_connect();
	for (int i = 0; i < 6; i++)
		relay_call(30000, "");
	RELAY_UNTIL(record_of(backend_side(0, 0), 3)->n_headers);
	world_close(relay.client);
	RELAY_UNTIL(record_of(backend_side(0, 0), 1)->closed &&
		    record_of(backend_side(0, 0), 3)->closed);
	assert_int_equal(record_of(backend_side(0, 0), 1)->code, H2_CANCEL);
	RELAY_FOR_MS(10);
	relay_assert_quiet();
	assert_int_equal(backend_side(0, 0)->n_requests, 2);
	assert_int_equal(relay.worker.stats->calls_cancelled, 6);
}

static void a_reload_moves_those_who_wait_and_leaves_those_who_run(void **state)
{
	int32_t ids[8];
	unsigned n_ok = 0;

	relay.backend_options.max_streams = 1;
	relay_group()->max_connections = 1;
	relay_connect();
	for (int i = 0; i < 8; i++)
		ids[i] = relay_call(10, "");
	RELAY_UNTIL(record_of(backend_side(0, 0), 1)->ended && record_of(backend_side(1, 0), 1)->ended);
	backends_answer(0); /* on new connections */
	/* The second one is removed: whoever waited for it goes to the first. */
	relay_commit(1);
	relay.worker.state.backends[FIRST_BACKEND + 1].generation = 0;
	backend_side(0, 0)->reply = backend_side(0, 0)->reply_at_end = true;
	backend_side(0, 0)->reply_trailers = backend_side(1, 0)->reply_trailers = true;
	world_respond(backend_side(0, 0), 1);
	RELAY_FOR_MS(30);
	world_respond(backend_side(1, 0), 1);
	for (int i = 0; i < 8; i++) {
		RELAY_UNTIL(call(ids[i])->closed);
		n_ok += call(ids[i])->grpc_status == 0;
	}
	assert_int_equal(n_ok, 8);
	RELAY_UNTIL(relay.worker.state.backends[FIRST_BACKEND + 1].connections == 0);
	RELAY_FOR_MS(5);
	relay_assert_quiet();
}

static void a_worker_out_of_buffer_memory_fails_who_wants_more_and_no_other(void **state)
{
	int32_t small, large;

	relay.worker.router->config->max_buffer_bytes = 100000;
	relay_connect();
	large = relay_call(1000000, "");
	backends_answer(10);
	RELAY_UNTIL(backend_side(0, 0)->n_requests == 1);
	backend_side(0, 0)->no_credit = true;
	small = relay_call(1000000, "");
	RELAY_UNTIL(call(small)->closed || call(large)->closed);
	assert_int_equal(call(call(small)->closed ? small : large)->grpc_status,
			 GRPC_RESOURCE_EXHAUSTED);
	RELAY_FOR_MS(10);
}

/* Calls that hold nothing but metadata. */
static void metadata_counts_as_memory_too(void **state)
{
	static char big[60000];
	struct h2_header fields[N_REQUEST_FIELDS + 1];
	unsigned n_refused = 0, n_waiting = 0;
	int32_t ids[30];

	relay.worker.router->config->max_buffer_bytes = 1000000;
	relay_connect();
	memset(big, '~', sizeof(big));
	memcpy(fields, request_fields, sizeof(request_fields));
	fields[N_REQUEST_FIELDS] = (struct h2_header){ "x-big", big, 5, sizeof(big), true };
	for (int i = 0; i < 30; i++) {
		ids[i] = h2_submit_request(relay.client->h2, fields, N_REQUEST_FIELDS + 1, true,
					   &relay);
		RELAY_UNTIL(relay.worker.stats->calls == (unsigned)i + 1);
	}
	RELAY_FOR_MS(50);
	for (int i = 0; i < 30; i++) {
		if (!call(ids[i])->closed)
			n_waiting++;
		else if (call(ids[i])->grpc_status == GRPC_RESOURCE_EXHAUSTED)
			n_refused++;
	}
	assert_in_range(n_waiting, 12, 17);
	assert_int_equal(n_refused, 30 - n_waiting);
}

static void a_stalled_client_stalls_the_backend_and_nothing_grows(void **state)
{
	int32_t id;

	backends_answer(10000000);
	relay.client->no_credit = true;
	relay_connect();
	id = relay_call(10, "");
	RELAY_UNTIL(call(id)->received == 65536);
	RELAY_FOR_MS(30);
	assert_in_range(record_of(backend_side(0, 0), 1)->sent, 65536, 4 * 65536);
	assert_true(buf_in_use() < 3 * 65536);
	relay.client->no_credit = false;
	h2_credit(relay.client->h2, id, 65536);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->received, 10000000);
	assert_false(call(id)->corrupt);
}

/* The client reads nothing any more, and is told all the same once it has stalled for too long. */
static void a_backend_that_dies_is_told_to_a_stalled_client(void **state)
{
	int32_t id;

	relay.worker.router->config->listeners[0].stall_timeout_ms = 100;
	backends_answer(10000000);
	relay.client->no_credit = true;
	relay_connect();
	id = relay_call(10, "");
	RELAY_UNTIL(call(id)->received == 65536);
	world_close(backend_side(0, 0));
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_UNAVAILABLE);
	assert_true(call(id)->trailers);
}

/* Closed by the backend in the very turn that a call was given to it: it never left. */
static void a_call_that_never_left_a_dying_connection_is_sent_elsewhere(void **state)
{
	int32_t id;
	unsigned n;

	backends_answer(10);
	relay_connect();
	id = relay_call(10, "");
	RELAY_UNTIL(call(id)->closed);
	for (int i = 0; i < 20; i++) {
		for (n = relay.backends[0].n_accepted; n-- > 0;)
			if (relay.backends[0].sides[n]->h2)
				world_close(relay.backends[0].sides[n]);
		id = relay_call(10, "");
		RELAY_UNTIL(call(id)->closed);
		/* Either it crossed the FIN on the wire, or it was served. */
		assert_true(call(id)->grpc_status == 0 || call(id)->grpc_status == GRPC_UNAVAILABLE);
	}
}

/* Whatever cannot be had: the call is answered, reset or its connection gone, and nothing is left. */
static void without_memory_a_call_fails_and_nothing_is_left(void **state)
{
	static const struct h2_options options = {
		.max_streams = 10, .stream_window_bytes = 65536,
		.connection_window_bytes = 1 << 20, .max_header_bytes = 65536,
		.open_timeout_ms = 3000,
	};
	struct addr nobody = relay.address;
	unsigned n_ok = 0;

	backends_answer(40000);
	relay.backends[0].preset.may_fail = true;
	for (unsigned n = 0; n < 160; n++) {
		int32_t id = 0;
		int err, fd;

		memset(relay.client, 0, sizeof(*relay.client));
		buf_pool_trim();
		h2_pool_trim();
		fault_start(n);
		relay.client->h2 = h2_connect(&relay.worker.loop, &relay.address, NULL, NULL, &options,
					      &world_events, relay.client, &err);
		if (relay.client->h2) {
			fd = accept4(relay.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			downstream_accept(&relay.worker, &relay.worker.router->listeners[0], fd,
					  &nobody);
		}
		for (int i = 0; i < 400 && relay.client->h2 && !(id > 0 && call(id)->closed); i++) {
			if (!id && relay.client->n_up) {
				id = h2_submit_request(relay.client->h2, request_fields,
						       N_REQUEST_FIELDS, false, &relay);
				if (id > 0)
					call(id)->to_send = 30000;
			}
			loop_turn(&relay.worker.loop);
		}
		fault_stop();
		if (relay.client->h2)
			world_close(relay.client);
		RELAY_UNTIL(list_empty(&relay.worker.downstreams) &&
			    list_empty(&relay.worker.dead_streams));
		relay_assert_quiet();
		n_ok += id > 0 && call(id)->closed && call(id)->grpc_status == 0;
		pool_close_all(&relay.worker.pool);
		RELAY_UNTIL(!h2_alive());
		assert_int_equal(relay.worker.state.backends[FIRST_BACKEND].connections, 0);
	}
	/* The last rounds needed less. */
	assert_true(n_ok > 10);
}

#define TEST_ONE(name) cmocka_unit_test_setup_teardown(name, relay_setup_one, relay_teardown)
#define TEST_TWO(name) cmocka_unit_test_setup_teardown(name, relay_setup_two, relay_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_ONE(a_call_goes_there_and_back_and_leaves_nothing),
		TEST_TWO(a_refused_stream_is_sent_to_another_backend_with_all_its_body),
		TEST_TWO(a_replay_neither_stalls_the_client_nor_overruns_it),
		TEST_TWO(a_call_that_may_have_been_processed_is_never_sent_again),
		TEST_TWO(a_connect_that_fails_goes_to_another_backend),
		TEST_ONE(without_any_backend_the_answer_names_the_group),
		TEST_ONE(calls_over_the_capacity_wait_and_are_served),
		TEST_ONE(goaway_makes_room_for_a_new_connection),
		TEST_ONE(who_waits_is_told_when_no_connection_can_come),
		TEST_ONE(deadlines_hold_for_those_who_wait_too),
		TEST_ONE(a_client_that_vanishes_cancels_its_calls_wherever_they_are),
		TEST_TWO(a_reload_moves_those_who_wait_and_leaves_those_who_run),
		TEST_ONE(a_worker_out_of_buffer_memory_fails_who_wants_more_and_no_other),
		TEST_ONE(metadata_counts_as_memory_too),
		TEST_ONE(a_stalled_client_stalls_the_backend_and_nothing_grows),
		TEST_ONE(a_backend_that_dies_is_told_to_a_stalled_client),
		TEST_ONE(a_call_that_never_left_a_dying_connection_is_sent_elsewhere),
		TEST_ONE(without_memory_a_call_fails_and_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
