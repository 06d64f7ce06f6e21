/* SPDX-License-Identifier: MIT */
/*
 * test_pool.c - how many connections to a backend there are and who may use them: minimum, age, a
 * connect that fails once, circuit breakers, drained backends, mirrors' copies.
 */
#include "proxy/relay_world.h"

/* What a test changed in the configuration is in force, as after a commit. */
static void commit(void)
{
	relay.worker.router->groups[0].is_special = true;
	pool_sync(&relay.worker.pool, relay.worker.router);
}

/* Connects to the backend go nowhere, or to it again; what is open stays. */
static void set_reachable(bool reachable)
{
	struct pool_endpoint *endpoint = relay.worker.pool.by_id[FIRST_BACKEND];

	if (reachable)
		endpoint->address = relay.backends[0].address;
	else
		addr_set_port(&endpoint->address, 1);
}

static struct sluice_group *group_row(void)
{
	return &relay.worker.state.groups[0];
}

static int32_t busy_call(void)
{
	int32_t id = relay_call(10, "");

	RELAY_UNTIL(relay.worker.state.backends[FIRST_BACKEND].active_rpcs +
			    relay.worker.state.backends[FIRST_BACKEND + 1].active_rpcs >
		    0);
	RELAY_FOR_MS(10);
	return id;
}

static void refused(const char *text)
{
	int32_t id = relay_call(10, "");

	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, (int)relay_group()->breaker.status);
	if (!strstr(call(id)->grpc_message, text))
		fail_msg("%s", call(id)->grpc_message);
}

/* ---- how many there are ---- */

static void a_minimum_is_open_from_the_commit_on_and_again_when_lost(void **state)
{
	relay_group()->min_connections = 2;
	commit();
	RELAY_UNTIL(relay.backends[0].n_accepted == 2);
	RELAY_FOR_MS(20);
	assert_int_equal(relay.backends[0].n_accepted, 2);
	RELAY_UNTIL(backend_side(0, 0)->n_up);
	world_close(backend_side(0, 0));
	RELAY_UNTIL(relay.backends[0].n_accepted == 3);
	relay_group()->min_connections = 0;
	commit();
}

static void a_refused_minimum_is_tried_again(void **state)
{
	addr_set_port(&relay_group()->endpoints[0].address, 1);
	relay_group()->min_connections = 1;
	commit();
	RELAY_UNTIL(relay.worker.stats->upstream_connect_failures == 1);
	RELAY_FOR_MS(30);
	assert_int_equal(relay.worker.stats->upstream_connect_failures, 1);
	set_reachable(true);
	RELAY_UNTIL(relay.backends[0].n_accepted == 1);
}

static void who_waits_beside_a_full_connection_has_the_connect_tried_again(void **state)
{
	int32_t waiting;

	relay.backend_options.max_streams = 1;
	relay_connect();
	busy_call();
	set_reachable(false);
	waiting = relay_call(10, "");
	RELAY_UNTIL(relay.worker.stats->upstream_connect_failures == 1);
	assert_false(call(waiting)->closed);
	backends_answer(10);
	set_reachable(true);
	RELAY_UNTIL(call(waiting)->closed);
	assert_int_equal(call(waiting)->grpc_status, 0);
}

static void an_old_connection_goes_when_a_new_one_is_up(void **state)
{
	int32_t old;

	relay_group()->max_connections = 1;
	commit();
	relay_connect();
	old = busy_call();
	RELAY_FOR_MS(80);
	assert_int_equal(relay.backends[0].n_accepted, 1);
	relay_group()->max_age_ms = 60; /* holds for those that are open, too */
	commit();
	RELAY_UNTIL(relay.backends[0].n_accepted == 2);
	assert_false(call(old)->closed);
	RELAY_UNTIL(backend_side(0, 0)->n_goaway);
	assert_int_equal(backend_side(0, 1)->n_goaway, 0);
	relay_group()->max_age_ms = 0;
	commit();
	backend_side(0, 0)->reply_trailers = true;
	world_respond(backend_side(0, 0), 1);
	RELAY_UNTIL(call(old)->closed);
	assert_int_equal(call(old)->grpc_status, 0);
	RELAY_UNTIL(!backend_side(0, 0)->h2);
}

/* ---- circuit breakers ---- */

static void a_group_has_no_more_calls_than_its_limit(void **state)
{
	int32_t busy;

	relay_group()->breaker.group_calls = 1;
	relay_group()->breaker.status = GRPC_RESOURCE_EXHAUSTED;
	commit();
	relay_connect();
	busy = busy_call();
	refused("has its 1 concurrent calls"); /* ERROR_GROUP_CALLS */
	assert_int_equal(group_row()->active_calls, 1);
	assert_int_equal(group_row()->overflows, 1);
	assert_int_equal(relay.worker.stats->breaker_calls, 1);
	h2_reset(relay.client->h2, busy, H2_CANCEL);
	RELAY_UNTIL(group_row()->active_calls == 0);
}

static void a_full_backend_is_passed_over_and_all_full_is_a_refusal(void **state)
{
	relay_group()->breaker.backend_calls = 1;
	commit();
	relay_connect();
	busy_call();
	busy_call();
	assert_int_equal(relay.worker.state.backends[FIRST_BACKEND].active_rpcs, 1);
	assert_int_equal(relay.worker.state.backends[FIRST_BACKEND + 1].active_rpcs, 1);
	refused("every backend has its 1 concurrent calls"); /* ERROR_BACKEND_CALLS */
	assert_int_equal(group_row()->overflows, 1);
}

static void waiting_calls_are_bounded_and_served_in_order(void **state)
{
	int32_t busy, first, second;

	relay.backend_options.max_streams = 1;
	relay_group()->max_connections = 1;
	relay_group()->breaker.pending = 2;
	commit();
	relay_connect();
	busy = busy_call();
	first = relay_call(10, "");
	second = relay_call(10, "");
	RELAY_UNTIL(group_row()->pending == 2);
	refused("2 calls wait for a connection already"); /* ERROR_PENDING */
	assert_int_equal(relay.worker.stats->breaker_pending, 1);
	h2_reset(relay.client->h2, busy, H2_CANCEL);
	RELAY_UNTIL(group_row()->pending == 1);
	RELAY_UNTIL(record_of(backend_side(0, 0), 3)->ended);
	backend_side(0, 0)->reply_trailers = true;
	world_respond(backend_side(0, 0), 3);
	RELAY_UNTIL(call(first)->closed);
	assert_false(call(second)->closed);
	h2_reset(relay.client->h2, second, H2_CANCEL);
	RELAY_UNTIL(group_row()->pending == 0);
}

static void who_waits_longer_than_allowed_is_told_so(void **state)
{
	relay.backend_options.max_streams = 1;
	relay_group()->max_connections = 1;
	relay_group()->breaker.pending_timeout_ms = 50;
	commit();
	relay_connect();
	busy_call();
	refused("waited 50 ms for a connection to"); /* ERROR_PENDING_TIMEOUT */
	assert_int_equal(relay.worker.stats->pending_expired, 1);
}

static void a_limit_of_connections_makes_calls_share_or_wait(void **state)
{
	int32_t ids[3];

	relay.backend_options.max_streams = 1;
	relay_group()->breaker.group_connections = 1;
	commit();
	relay_connect();
	for (int i = 0; i < 3; i++)
		ids[i] = relay_call(10, "");
	RELAY_FOR_MS(60);
	assert_int_equal(group_row()->connections, 1);
	assert_int_equal(relay.backends[0].n_accepted + relay.backends[1].n_accepted, 1);
	backends_answer(10);
	/* It goes, with its call: whoever waits has the next, at whichever backend. */
	world_close(backend_side(relay.backends[0].n_accepted ? 0 : 1, 0));
	RELAY_UNTIL(relay.backends[0].n_accepted + relay.backends[1].n_accepted >= 2);
	RELAY_UNTIL(call(ids[0])->closed + call(ids[1])->closed + call(ids[2])->closed >= 2);
	assert_true(group_row()->connections <= 1);
}

/* The other backend would be their turn, but the one connection that may be is to the first. */
static void calls_go_where_a_connection_is_when_no_more_may_be_opened(void **state)
{
	int32_t ids[6];

	backends_answer(10);
	relay_group()->breaker.group_connections = 1;
	commit();
	relay_connect();
	for (int i = 0; i < 6; i++) {
		ids[i] = relay_call(10, "");
		RELAY_UNTIL(call(ids[i])->closed);
		assert_int_equal(call(ids[i])->grpc_status, 0);
	}
	assert_int_equal(relay.backends[0].n_accepted + relay.backends[1].n_accepted, 1);
}

/* As if so many waited: no client of a test has that many calls. */
static void a_queue_has_an_end(void **state)
{
	struct pool_endpoint *endpoint;
	int32_t id;

	relay.backend_options.max_streams = 1;
	relay_group()->max_connections = 1;
	commit();
	relay_connect();
	busy_call();
	endpoint = relay.worker.pool.by_id[FIRST_BACKEND];
	endpoint->n_waiting = POOL_WAITING_MAX;
	id = relay_call(10, "");
	RELAY_UNTIL(call(id)->closed);
	endpoint->n_waiting = 0;
	assert_int_equal(call(id)->grpc_status, GRPC_RESOURCE_EXHAUSTED); /* ERROR_QUEUE_FULL */
	assert_non_null(strstr(call(id)->grpc_message, "too many calls wait for a connection"));
}

/* ---- drained backends ---- */

static void a_drained_backends_calls_are_cut_at_their_time(void **state)
{
	uint64_t until_ns;
	int32_t id;

	relay_connect();
	id = busy_call();
	until_ns = loop_now(&relay.worker.loop) + 60 * NS_PER_MS;
	relay_group()->endpoints[0].drained = true;
	relay_group()->endpoints[0].drain_until_ns = until_ns;
	commit();
	RELAY_FOR_MS(20);
	assert_false(call(id)->closed);
	commit(); /* another commit changes nothing about it */
	RELAY_UNTIL(call(id)->closed);
	assert_true(loop_now(&relay.worker.loop) >= until_ns);
	assert_int_equal(call(id)->grpc_status, GRPC_UNAVAILABLE);
	assert_non_null(strstr(call(id)->grpc_message, "is drained")); /* ERROR_DRAINED */
	RELAY_UNTIL(relay.worker.state.backends[FIRST_BACKEND].connections == 0);
	relay_group()->endpoints[0].drained = false;
	relay_group()->endpoints[0].drain_until_ns = 0;
	commit();
	backends_answer(10);
	id = relay_call(10, "");
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 0);
}

static void who_waits_for_a_backend_that_is_drained_goes_elsewhere(void **state)
{
	struct sluice_backend *rows = &relay.worker.state.backends[FIRST_BACKEND];
	int32_t waiting;
	unsigned drained;

	relay.backend_options.max_streams = 1;
	relay_group()->max_connections = 1;
	commit();
	relay_connect();
	busy_call();
	busy_call();
	waiting = busy_call();
	assert_int_equal(rows[0].active_rpcs + rows[1].active_rpcs, 3);
	drained = rows[0].active_rpcs == 2 ? 0 : 1;
	relay_group()->endpoints[drained].drained = true;
	commit();
	assert_int_equal(rows[!drained].active_rpcs, 2);
	assert_int_equal(rows[drained].failures, 0);
	backend_side(!drained, 0)->reply_trailers = true;
	backend_side(!drained, 0)->reply = backend_side(!drained, 0)->reply_at_end = true;
	world_respond(backend_side(!drained, 0), 1);
	RELAY_UNTIL(call(waiting)->closed);
	assert_int_equal(call(waiting)->grpc_status, 0);
}

/* ---- mirrors ---- */

static void mirror_all(void)
{
	relay_route()->mirror_group = 0;
	relay_route()->mirror_permyriad = 10000;
}

/* Both go to the same group here: one of the two requests is the call, the other its copy. */
static void a_copy_goes_along_and_its_answer_nowhere(void **state)
{
	int32_t id;

	mirror_all();
	backends_answer(10);
	relay_connect();
	id = relay_call(30000, "5S");
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 0);
	assert_int_equal(call(id)->received, 10);
	RELAY_UNTIL(relay.worker.state.backends[FIRST_BACKEND].active_rpcs == 0);
	for (int stream = 1; stream <= 3; stream += 2) {
		assert_int_equal(record_of(backend_side(0, 0), stream)->received, 30000);
		assert_false(record_of(backend_side(0, 0), stream)->corrupt && stream == 1);
	}
	assert_int_equal(relay.worker.stats->mirrored, 1);
	assert_int_equal(relay.worker.stats->mirror_dropped, 0);
	assert_int_equal(relay.worker.state.routes[RELAY_ROUTE].mirrored, 1);
	assert_int_equal(relay.worker.stats->calls, 1);
}

/* The backend takes nothing of either: the call waits, as it must, and the copy is given up. */
static void a_copy_that_holds_too_much_is_given_up(void **state)
{
	int32_t id;

	mirror_all();
	relay.backends[0].preset.no_credit = true;
	relay_connect();
	id = relay_call(300000, "");
	RELAY_FOR_MS(50);
	assert_false(call(id)->closed);
	h2_reset(relay.client->h2, id, H2_CANCEL);
	RELAY_UNTIL(relay.worker.state.backends[FIRST_BACKEND].active_rpcs == 0);
	assert_int_equal(relay.worker.stats->mirrored, 1);
}

static void a_copy_without_a_backend_harms_nobody(void **state)
{
	int32_t id;

	mirror_all();
	backends_answer(10);
	relay_group()->breaker.group_calls = 1; /* the call takes the only place */
	commit();
	relay_connect();
	id = relay_call(100, "");
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, 0);
	assert_int_equal(relay.worker.stats->mirror_dropped, 1);
	assert_int_equal(group_row()->overflows, 0);
}

static void a_copy_is_cancelled_with_its_call(void **state)
{
	int32_t id;

	mirror_all();
	relay_connect();
	id = relay_call(100, "");
	call(id)->hold_end = true;
	RELAY_UNTIL(relay.worker.state.backends[FIRST_BACKEND].active_rpcs == 2);
	h2_reset(relay.client->h2, id, H2_CANCEL);
	RELAY_UNTIL(relay.worker.state.backends[FIRST_BACKEND].active_rpcs == 0);
}

/* As gRPC's clients do. */
static void a_backend_that_has_too_many_pings_gets_half_as_many(void **state)
{
	struct pool_endpoint *endpoint;

	relay_group()->keepalive_interval_ms = 1000;
	relay_connect();
	relay_call(10, "");
	RELAY_UNTIL(backend_side(0, 0)->n_requests == 1);
	endpoint = relay.worker.pool.by_id[FIRST_BACKEND];
	assert_int_equal(endpoint->options.keepalive_interval_ms, 1000);
	h2_close(backend_side(0, 0)->h2, H2_ENHANCE_YOUR_CALM);
	backend_side(0, 0)->h2 = NULL;
	RELAY_UNTIL(endpoint->options.keepalive_interval_ms == 2000);
}

int main(void)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, relay_setup_one, relay_teardown)
#define TWO(f) cmocka_unit_test_setup_teardown(f, relay_setup_two, relay_teardown)
	const struct CMUnitTest tests[] = {
		ONE(a_minimum_is_open_from_the_commit_on_and_again_when_lost),
		ONE(a_refused_minimum_is_tried_again),
		ONE(who_waits_beside_a_full_connection_has_the_connect_tried_again),
		ONE(an_old_connection_goes_when_a_new_one_is_up),
		ONE(a_group_has_no_more_calls_than_its_limit),
		TWO(a_full_backend_is_passed_over_and_all_full_is_a_refusal),
		ONE(waiting_calls_are_bounded_and_served_in_order),
		ONE(who_waits_longer_than_allowed_is_told_so),
		TWO(a_limit_of_connections_makes_calls_share_or_wait),
		TWO(calls_go_where_a_connection_is_when_no_more_may_be_opened),
		ONE(a_queue_has_an_end),
		ONE(a_backend_that_has_too_many_pings_gets_half_as_many),
		ONE(a_drained_backends_calls_are_cut_at_their_time),
		TWO(who_waits_for_a_backend_that_is_drained_goes_elsewhere),
		ONE(a_copy_goes_along_and_its_answer_nowhere),
		ONE(a_copy_that_holds_too_much_is_given_up),
		ONE(a_copy_without_a_backend_harms_nobody),
		ONE(a_copy_is_cancelled_with_its_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
