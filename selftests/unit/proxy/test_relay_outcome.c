/* SPDX-License-Identifier: MIT */
/*
 * test_relay_outcome.c - every way in which an attempt can end tells outlier detection what it was:
 * once, and as a failure only where the backend is to blame.
 */
#include "proxy/relay_world.h"

static struct sluice_backend *row(unsigned i)
{
	return &relay.worker.state.backends[FIRST_BACKEND + i];
}

static void begin(unsigned n_backends)
{
	relay_init(n_backends);
	relay_group()->outlier = (struct config_outlier){
		.enabled = true,
		.codes = 1u << GRPC_UNKNOWN | 1u << GRPC_DEADLINE_EXCEEDED | 1u << GRPC_INTERNAL |
			 1u << GRPC_UNAVAILABLE,
		.base_ejection_ms = 1000,
		.max_ejection_ms = 1000,
		.max_ejected_percent = 100,
	};
	relay_connect();
}

static int setup_one(void **state)
{
	begin(1);
	return 0;
}

static int setup_two(void **state)
{
	begin(2);
	return 0;
}

static void assert_counts(uint64_t outcomes, uint64_t failures)
{
	RELAY_FOR_MS(5);
	assert_int_equal(row(0)->outcomes + row(1)->outcomes, outcomes);
	assert_int_equal(row(0)->outcome_failures + row(1)->outcome_failures, failures);
}

/* A call that has reached a backend whole; *side is there. */
static int32_t begin_call(const char *timeout, struct side **side)
{
	int32_t id = relay_call(100, timeout);

	RELAY_UNTIL(busy_backend() >= 0);
	*side = backend_side((unsigned)busy_backend(), 0);
	RELAY_UNTIL(record_of(*side, 1)->ended);
	return id;
}

static void answer_status(struct side *side, const char *status)
{
	const struct h2_header fields[] = {
		{ ":status", "200", 7, 3, false },
		{ "content-type", "application/grpc", 12, 16, false },
		{ "grpc-status", status, 11, (uint32_t)strlen(status), false },
	};

	assert_int_equal(h2_submit_response(side->h2, 1, fields, 3, true), 0);
}

static void an_answer_is_an_outcome_with_its_latency(void **state)
{
	struct side *side;
	int32_t id = begin_call("", &side);

	RELAY_FOR_MS(20);
	side->reply_trailers = true;
	world_respond(side, 1);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 0);
	assert_counts(1, 0);
	assert_in_range(row(0)->outcome_latency_us, 15000, 5000000);
}

static void a_status_counts_by_the_groups_codes(void **state)
{
	struct side *side;
	int32_t id = begin_call("", &side);

	answer_status(side, "14");
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_UNAVAILABLE);
	assert_counts(1, 1);
	assert_int_equal(row(0)->consecutive_failures, 1);
}

static void a_status_outside_of_them_is_no_failure(void **state)
{
	struct side *side;
	int32_t id = begin_call("", &side);

	answer_status(side, "5");
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_NOT_FOUND);
	assert_counts(1, 0);
}

static void an_error_page_counts_as_what_was_made_of_it(void **state)
{
	const struct h2_header fields[] = { { ":status", "503", 7, 3, false } };
	struct side *side;
	int32_t id = begin_call("", &side);

	assert_int_equal(h2_submit_response(side->h2, 1, fields, 1, true), 0);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_UNAVAILABLE);
	assert_counts(1, 1);
}

static void an_end_without_trailers_is_a_failure(void **state)
{
	struct side *side;
	int32_t id = begin_call("", &side);

	side->reply_bytes = 10;
	world_respond(side, 1);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_UNKNOWN);
	assert_counts(1, 1);
}

static void a_reset_is_a_failure_whatever_its_status(void **state)
{
	struct side *side;
	int32_t id = begin_call("", &side);

	h2_reset(side->h2, 1, H2_CANCEL); /* 1, not among the codes */
	RELAY_UNTIL(call(id)->closed);
	assert_counts(1, 1);
}

static void a_lost_connection_is_a_failure(void **state)
{
	struct side *side;
	int32_t id = begin_call("", &side);

	world_close(side);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_UNAVAILABLE);
	assert_counts(1, 1);
}

static void a_refused_connect_is_a_failure_of_that_backend_only(void **state)
{
	int32_t id;

	relay_stop_listening(0);
	relay.backends[1].preset.reply = relay.backends[1].preset.reply_at_end = true;
	relay.backends[1].preset.reply_trailers = true;
	id = relay_call(100, "");
	RELAY_UNTIL(call(id)->closed);
	if (row(0)->outcomes == 0) { /* it went to the other one: the next cannot */
		id = relay_call(100, "");
		RELAY_UNTIL(call(id)->closed);
	}
	assert_int_equal(call(id)->grpc_status, 0);
	RELAY_FOR_MS(5);
	assert_int_equal(row(0)->outcomes, 1);
	assert_int_equal(row(0)->outcome_failures, 1);
	assert_int_equal(row(1)->outcome_failures, 0);
	assert_true(row(1)->outcomes >= 1);
}

static void a_deadline_is_a_failure_of_the_backend_that_did_not_answer(void **state)
{
	struct side *side;
	int32_t id = begin_call("50m", &side);

	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_DEADLINE_EXCEEDED);
	assert_counts(1, 1);
}

static void a_client_that_cancels_says_nothing(void **state)
{
	struct side *side;
	int32_t id = begin_call("", &side);

	h2_reset(relay.client->h2, id, H2_CANCEL);
	RELAY_UNTIL(record_of(side, 1)->closed);
	assert_counts(0, 0);
}

static void a_client_that_vanishes_says_nothing(void **state)
{
	struct side *side;

	begin_call("", &side);
	world_close(relay.client);
	RELAY_UNTIL(record_of(side, 1)->closed);
	assert_counts(0, 0);
}

/* Neither the refusal nor the second attempt's good end is a failure. */
static void a_refused_stream_says_nothing(void **state)
{
	struct side *side;
	int32_t id = begin_call("", &side);
	unsigned other = !busy_backend();

	relay.backends[other].preset.reply = relay.backends[other].preset.reply_trailers = true;
	h2_reset(side->h2, 1, H2_REFUSED_STREAM);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 0);
	assert_counts(1, 0);
	assert_int_equal(row(other)->outcomes, 1);
}

/* The worker's memory is no backend's fault. */
static void an_answer_of_sluices_own_says_nothing(void **state)
{
	int32_t id = h2_submit_request(relay.client->h2, request_fields, N_REQUEST_FIELDS, false,
				       &relay);

	call(id)->to_send = 100;
	call(id)->hold_end = true;
	RELAY_UNTIL(record_of(backend_side(0, 0), 1)->received == 100);
	relay.worker.router->config->max_buffer_bytes = 1;
	call(id)->to_send = 200;
	h2_resume(relay.client->h2, id);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_RESOURCE_EXHAUSTED);
	assert_counts(0, 0);
}

static void failures_in_a_row_eject_and_the_others_take_over(void **state)
{
	relay_group()->outlier.consecutive_failures = 2;
	relay.backends[1].preset.reply = relay.backends[1].preset.reply_trailers = true;
	for (unsigned i = 0; row(0)->eject_state == SLUICE_EJECT_NONE; i++) {
		int32_t id = relay_call(100, "");

		assert_true(i < 10);
		RELAY_UNTIL(call(id)->closed ||
			    (relay.backends[0].n_accepted &&
			     record_of(relay.backends[0].sides[0],
				       (int32_t)row(0)->outcomes * 2 + 1)
				     ->ended));
		if (!call(id)->closed)
			h2_reset(relay.backends[0].sides[0]->h2, (int32_t)row(0)->outcomes * 2 + 1,
				 H2_INTERNAL_ERROR);
		RELAY_UNTIL(call(id)->closed);
	}
	assert_int_equal(relay.worker.stats->ejections, 1);
	for (unsigned i = 0; i < 5; i++) {
		int32_t id = relay_call(100, "");

		RELAY_UNTIL(call(id)->closed);
		assert_int_equal(call(id)->grpc_status, 0);
	}
	assert_int_equal(row(0)->outcomes, 2);
}

#define ONE(test) cmocka_unit_test_setup_teardown(test, setup_one, relay_teardown)
#define TWO(test) cmocka_unit_test_setup_teardown(test, setup_two, relay_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ONE(an_answer_is_an_outcome_with_its_latency),
		ONE(a_status_counts_by_the_groups_codes),
		ONE(a_status_outside_of_them_is_no_failure),
		ONE(an_error_page_counts_as_what_was_made_of_it),
		ONE(an_end_without_trailers_is_a_failure),
		ONE(a_reset_is_a_failure_whatever_its_status),
		ONE(a_lost_connection_is_a_failure),
		TWO(a_refused_connect_is_a_failure_of_that_backend_only),
		ONE(a_deadline_is_a_failure_of_the_backend_that_did_not_answer),
		ONE(a_client_that_cancels_says_nothing),
		ONE(a_client_that_vanishes_says_nothing),
		TWO(a_refused_stream_says_nothing),
		ONE(an_answer_of_sluices_own_says_nothing),
		TWO(failures_in_a_row_eject_and_the_others_take_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
