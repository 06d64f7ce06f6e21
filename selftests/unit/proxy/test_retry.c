/* SPDX-License-Identifier: MIT */
/*
 * test_retry.c - a route's retries in a whole relay: what is tried again and what never is, the
 * budget, the pauses, the time of a try, and that every count comes back to zero.
 */
#include "proxy/relay_world.h"

#define FIELD(n, v) { (n), (v), sizeof(n) - 1, sizeof(v) - 1, false }

static struct config_retry *policy(void)
{
	return &relay_route()->retry;
}

static const struct sluice_route *facts(void)
{
	return &relay.worker.state.routes[RELAY_ROUTE];
}

/* Two backends that do nothing by themselves, and a policy for UNAVAILABLE. */
static int setup(void **state)
{
	relay_init(2);
	*policy() = (struct config_retry){
		.codes = 1u << GRPC_UNAVAILABLE, .attempts = 3,
		.backoff_base_ms = 2, .backoff_max_ms = 4, .budget_percent = 20, .budget_floor = 10,
	};
	return 0;
}

static int teardown(void **state)
{
	RELAY_FOR_MS(5);
	assert_int_equal(facts()->active_retries, 0);
	relay_done();
	return 0;
}

/* Which backend has the only request that is not closed; waits for it. */
static int asked(void)
{
	int at = -1;

	RELAY_UNTIL(({
		at = -1;
		for (int i = 0; i < BACKENDS; i++)
			for (unsigned j = 0; j < relay.backends[i].n_accepted; j++)
				for (int32_t k = 0; k < 8; k++) {
					struct record *r = &relay.backends[i].sides[j]->records[k];

					if (r->n_headers && r->ended && !r->closed &&
					    relay.backends[i].sides[j]->h2)
						at = i;
				}
		at >= 0;
	}));
	return at;
}

/* The stream at backend i that is open. */
static int32_t open_id(int i)
{
	for (int32_t k = 0; k < 8; k++) {
		const struct record *r = &backend_side((unsigned)i, 0)->records[k];

		if (r->n_headers && !r->closed)
			return r->id;
	}
	fail();
	return 0;
}

/* Trailers-Only from backend i. */
static void refuse_with(int i, const char *status, const char *pushback)
{
	struct h2_header fields[] = {
		FIELD(":status", "200"), FIELD("content-type", "application/grpc"),
		{ "grpc-status", status, 11, (uint32_t)strlen(status), false },
		{ "grpc-retry-pushback-ms", pushback, 22, (uint32_t)strlen(pushback), false },
	};

	assert_int_equal(h2_submit_response(backend_side((unsigned)i, 0)->h2, open_id(i), fields,
					    *pushback ? 4 : 3, true), 0);
}

static void answer(int i)
{
	struct side *side = backend_side((unsigned)i, 0);

	side->reply_trailers = true;
	side->reply_bytes = 10;
	world_respond(side, open_id(i));
}

static void a_listed_status_is_tried_again_elsewhere(void **state)
{
	int32_t id;
	int first;

	relay_connect();
	id = relay_call(30000, "");
	first = asked();
	refuse_with(first, "14", "");
	RELAY_UNTIL(asked() == !first);
	assert_int_equal(facts()->active_retries, 1);
	answer(!first);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 0);
	assert_int_equal(record_of(backend_side(!first, 0), 1)->received, 30000);
	assert_false(record_of(backend_side(!first, 0), 1)->corrupt);
	assert_int_equal(relay.worker.stats->retries, 1);
	assert_int_equal(facts()->retries, 1);
	assert_int_equal(relay.worker.stats->replays, 0);
}

static void another_status_is_the_answer(void **state)
{
	int32_t id;

	relay_connect();
	id = relay_call(100, "");
	refuse_with(asked(), "13", "");
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 13);
	assert_int_equal(relay.worker.stats->retries, 0);
}

/* An error page is a status by gRPC's mapping, and nothing of it has gone to the client. */
static void an_http_error_counts_as_the_status_it_maps_to(void **state)
{
	static const struct h2_header page[] = { FIELD(":status", "503"),
						 FIELD("content-type", "text/html") };
	int32_t id;
	int first;

	relay_connect();
	id = relay_call(100, "");
	first = asked();
	assert_int_equal(h2_submit_response(backend_side((unsigned)first, 0)->h2, 1, page, 2, true),
			 0);
	RELAY_UNTIL(asked() == !first);
	answer(!first);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 0);
}

static void attempts_are_bounded_and_the_last_answer_is_passed_on(void **state)
{
	int32_t id;

	relay_connect();
	id = relay_call(100, "");
	for (int i = 0; i < 3; i++) {
		assert_false(call(id)->closed);
		refuse_with(asked(), "14", "");
		RELAY_UNTIL(busy_backend() >= 0 && facts()->retries == (unsigned)(i < 2 ? i + 1 : 2));
	}
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 14);
	assert_int_equal(relay.worker.stats->retries, 2);
	assert_int_equal(relay.worker.stats->calls_failed, 0); /* the backend's own answer */
}

static void a_response_that_began_is_never_tried_again(void **state)
{
	int32_t id;
	struct side *side;

	policy()->on_reset = true;
	relay_connect();
	id = relay_call(100, "");
	side = backend_side((unsigned)asked(), 0);
	side->reply_bytes = 10;
	record_of(side, 1)->hold_end = true;
	world_respond(side, 1);
	RELAY_UNTIL(call(id)->received == 10);
	h2_reset(side->h2, 1, H2_INTERNAL_ERROR);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_INTERNAL);
	assert_int_equal(relay.worker.stats->retries, 0);
}

static void a_reset_is_tried_again_only_where_the_route_says_so(void **state)
{
	int32_t id;
	int first;

	relay_connect();
	id = relay_call(100, "");
	first = asked();
	h2_reset(backend_side((unsigned)first, 0)->h2, open_id(first), H2_INTERNAL_ERROR);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_INTERNAL);
	assert_int_equal(relay.worker.stats->retries, 0);

	policy()->on_reset = true;
	id = relay_call(100, "");
	first = asked();
	world_close(backend_side((unsigned)first, 0));
	RELAY_UNTIL(facts()->retries == 1);
	RELAY_UNTIL(asked() == !first);
	answer(!first);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 0);
}

static void a_request_over_the_replay_buffer_is_not_tried_again(void **state)
{
	int32_t id;

	relay_connect();
	id = relay_call(STREAM_REPLAY_BYTES + 20000, "");
	refuse_with(asked(), "14", "");
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 14);
	assert_int_equal(relay.worker.stats->retries, 0);
}

static void the_budget_bounds_retries_and_counts_what_it_denies(void **state)
{
	int32_t first, second;
	int at;

	policy()->budget_floor = 1;
	policy()->budget_percent = 0;
	policy()->backoff_base_ms = policy()->backoff_max_ms = 3000;
	relay_connect();
	first = relay_call(100, "");
	at = asked();
	refuse_with(at, "14", "");
	RELAY_UNTIL(facts()->active_retries == 1);
	assert_int_equal(facts()->active_calls, 1);
	second = relay_call(100, "");
	refuse_with(asked(), "14", "");
	RELAY_UNTIL(call(second)->closed);
	assert_int_equal(call(second)->grpc_status, 14);
	assert_int_equal(facts()->retries_denied, 1);
	assert_int_equal(relay.worker.stats->retries_denied, 1);
	assert_false(call(first)->closed);
	/* Its place in the budget comes back with the call. */
	h2_reset(relay.client->h2, first, H2_CANCEL);
	RELAY_UNTIL(facts()->active_retries == 0 && facts()->active_calls == 0);
}

static void a_share_of_the_calls_under_way_may_be_retries(void **state)
{
	int32_t ids[10];

	policy()->budget_floor = 0;
	policy()->budget_percent = 20;
	policy()->backoff_base_ms = policy()->backoff_max_ms = 3000;
	relay_connect();
	for (int i = 0; i < 10; i++)
		ids[i] = relay_call(0, "");
	RELAY_UNTIL(facts()->active_calls == 10);
	for (unsigned i = 0; i < 2; i++)
		for (int32_t k = 0; k < 5; k++) {
			RELAY_UNTIL(record_of(backend_side(i, 0), 2 * k + 1)->ended);
			refuse_with((int)i, "14", "");
			RELAY_FOR_MS(5);
		}
	RELAY_UNTIL(facts()->retries + facts()->retries_denied == 10);
	assert_int_equal(facts()->active_retries, facts()->retries);
	assert_in_range(facts()->retries, 1, 2);
	for (int i = 0; i < 10; i++)
		if (!call(ids[i])->closed)
			h2_reset(relay.client->h2, ids[i], H2_CANCEL);
	RELAY_UNTIL(facts()->active_calls == 0);
}

static void the_pause_grows_and_the_backend_may_name_it(void **state)
{
	uint64_t began;
	int32_t id;
	int first;

	policy()->backoff_base_ms = policy()->backoff_max_ms = 60;
	relay_connect();
	id = relay_call(100, "");
	first = asked();
	began = loop_refresh(&relay.worker.loop);
	refuse_with(first, "14", "");
	RELAY_UNTIL(asked() == !first);
	assert_in_range((loop_refresh(&relay.worker.loop) - began) / NS_PER_MS, 30, 2000);
	policy()->backoff_base_ms = policy()->backoff_max_ms = 60000;
	refuse_with(!first, "14", "0");
	RELAY_UNTIL(facts()->retries == 2); /* and not after half a minute */
	answer(asked());
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 0);
}

static void a_pushback_that_is_negative_or_no_number_means_no(void **state)
{
	static const char *const no[] = { "-1", "", "soon", "1.5", "999999999", " 1" };

	relay_connect();
	for (unsigned i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		int32_t id = relay_call(100, "");

		if (!*no[i])
			refuse_with(asked(), "13", ""); /* none at all, and no listed code */
		else
			refuse_with(asked(), "14", no[i]);
		RELAY_UNTIL(call(id)->closed);
	}
	assert_int_equal(relay.worker.stats->retries, 0);
}

static void no_pause_goes_beyond_the_deadline(void **state)
{
	int32_t id;

	relay_connect();
	id = relay_call(100, "2S");
	refuse_with(asked(), "14", "5000");
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 14);
	assert_int_equal(relay.worker.stats->retries, 0);
}

static void a_try_that_takes_too_long_is_cancelled_and_the_next_begins(void **state)
{
	int32_t id;
	int first;

	policy()->per_try_timeout_ms = 40;
	policy()->attempts = 2;
	relay_connect();
	id = relay_call(100, "");
	first = asked();
	RELAY_UNTIL(record_of(backend_side((unsigned)first, 0), 1)->closed);
	assert_int_equal(record_of(backend_side((unsigned)first, 0), 1)->code, H2_CANCEL);
	RELAY_UNTIL(asked() == !first);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_DEADLINE_EXCEEDED);
	assert_non_null(strstr(call(id)->grpc_message, "attempt 2 of 2"));
}

/* Once the response has begun, a try may last. */
static void the_time_of_a_try_ends_with_the_headers(void **state)
{
	struct side *side;
	int32_t id;

	policy()->per_try_timeout_ms = 300;
	relay_connect();
	id = relay_call(100, "");
	side = backend_side((unsigned)asked(), 0);
	side->reply_bytes = 10;
	record_of(side, 1)->hold_end = true;
	world_respond(side, 1);
	RELAY_FOR_MS(400);
	assert_false(call(id)->closed);
	assert_int_equal(call(id)->received, 10);
	h2_reset(relay.client->h2, id, H2_CANCEL);
	RELAY_UNTIL(record_of(side, 1)->closed);
}

static void a_deadline_holds_in_the_pause_too(void **state)
{
	int32_t id;

	policy()->backoff_base_ms = policy()->backoff_max_ms = 400;
	relay_connect();
	id = relay_call(100, "1S");
	refuse_with(asked(), "14", "");
	RELAY_UNTIL(facts()->retries == 1);
	RELAY_UNTIL(call(id)->closed); /* the second backend answers nothing */
	assert_int_equal(call(id)->grpc_status, GRPC_DEADLINE_EXCEEDED);
	RELAY_FOR_MS(5);
	relay_assert_quiet();
}

static void a_client_that_goes_in_the_pause_leaves_nothing(void **state)
{
	int32_t id;

	policy()->backoff_base_ms = policy()->backoff_max_ms = 3000;
	relay_connect();
	id = relay_call(100, "");
	refuse_with(asked(), "14", "");
	RELAY_UNTIL(facts()->active_retries == 1);
	h2_reset(relay.client->h2, id, H2_CANCEL);
	RELAY_UNTIL(facts()->active_retries == 0);
	RELAY_FOR_MS(5);
	relay_assert_quiet();
}

/* A request that is still being sent goes on at the second backend. */
static void a_request_that_goes_on_is_tried_again_whole(void **state)
{
	int32_t id;
	int first;

	relay_connect();
	id = h2_submit_request(relay.client->h2, request_fields, N_REQUEST_FIELDS, false, &relay);
	call(id)->to_send = 20000;
	call(id)->hold_end = true;
	RELAY_UNTIL(busy_backend() >= 0);
	first = busy_backend();
	RELAY_UNTIL(record_of(backend_side((unsigned)first, 0), 1)->received == 20000);
	refuse_with(first, "14", "");
	RELAY_UNTIL(facts()->retries == 1);
	RELAY_UNTIL(record_of(backend_side(!first, 0), 1)->received == 20000);
	call(id)->to_send = 50000;
	call(id)->hold_end = false;
	h2_resume(relay.client->h2, id);
	RELAY_UNTIL(asked() == !first);
	assert_int_equal(record_of(backend_side(!first, 0), 1)->received, 50000);
	assert_false(record_of(backend_side(!first, 0), 1)->corrupt);
	answer(!first);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_listed_status_is_tried_again_elsewhere),
		TEST(another_status_is_the_answer),
		TEST(an_http_error_counts_as_the_status_it_maps_to),
		TEST(attempts_are_bounded_and_the_last_answer_is_passed_on),
		TEST(a_response_that_began_is_never_tried_again),
		TEST(a_reset_is_tried_again_only_where_the_route_says_so),
		TEST(a_request_over_the_replay_buffer_is_not_tried_again),
		TEST(the_budget_bounds_retries_and_counts_what_it_denies),
		TEST(a_share_of_the_calls_under_way_may_be_retries),
		TEST(the_pause_grows_and_the_backend_may_name_it),
		TEST(a_pushback_that_is_negative_or_no_number_means_no),
		TEST(no_pause_goes_beyond_the_deadline),
		TEST(a_try_that_takes_too_long_is_cancelled_and_the_next_begins),
		TEST(the_time_of_a_try_ends_with_the_headers),
		TEST(a_deadline_holds_in_the_pause_too),
		TEST(a_client_that_goes_in_the_pause_leaves_nothing),
		TEST(a_request_that_goes_on_is_tried_again_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
