/* SPDX-License-Identifier: MIT */
/*
 * test_downstream.c - the end of a client's connection: by age and its grace, by number of calls, at
 * its turn among many, with a listener that is gone; and clients that are lost or PING too much.
 */
#include "proxy/relay_world.h"

static struct config_listener *listener(void)
{
	return &relay.worker.router->config->listeners[0];
}

static struct downstream *downstream(void)
{
	return list_first(&relay.worker.downstreams, struct downstream, link);
}

static const struct sluice_worker *stats(void)
{
	return relay.worker.stats;
}

/* A call that the backend has and does not answer. */
static int32_t open_call(void)
{
	int32_t id = relay_call(10, "");
	unsigned before = relay.backends[0].n_accepted ? backend_side(0, 0)->n_requests : 0;

	RELAY_UNTIL(backend_side(0, 0)->n_requests > before);
	return id;
}

static uint64_t ms_since(uint64_t began_ns)
{
	return (loop_refresh(&relay.worker.loop) - began_ns) / NS_PER_MS;
}

static void a_connection_drains_at_its_age(void **state)
{
	uint64_t began = loop_refresh(&relay.worker.loop);
	int32_t id;

	listener()->max_age_ms = 200;
	relay_connect();
	id = open_call();
	RELAY_UNTIL(relay.client->n_goaway == 2);
	assert_in_range(ms_since(began), 170, 1000);
	assert_int_equal(relay.client->goaway_code, H2_NO_ERROR);
	assert_int_equal(relay.client->goaway_last, id);
	assert_int_equal(stats()->connections_aged, 1);
	/* Without a grace the call takes as long as it likes. */
	RELAY_FOR_MS(300);
	assert_false(call(id)->closed);
	world_respond(backend_side(0, 0), 1);
	RELAY_UNTIL(call(id)->closed && relay.client->n_down);
	assert_int_equal(stats()->calls_failed, 1); /* the backend gave no grpc-status */
}

static void past_the_grace_of_its_age_calls_end(void **state)
{
	int32_t id;

	listener()->max_age_ms = 50;
	listener()->max_age_grace_ms = 50;
	relay_connect();
	id = open_call();
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_UNAVAILABLE);
	assert_string_equal(call(id)->grpc_message, "sluice: the connection is over its age");
	RELAY_UNTIL(relay.client->n_down);
	RELAY_UNTIL(record_of(backend_side(0, 0), 1)->closed);
	assert_int_equal(record_of(backend_side(0, 0), 1)->code, H2_CANCEL);
	assert_int_equal(stats()->connections, 0);
}

static void a_connection_drains_after_its_last_call(void **state)
{
	int32_t ids[4];

	listener()->max_calls = 3;
	relay_connect();
	for (int i = 0; i < 4; i++)
		ids[i] = relay_call(10, ""); /* the last one before the client can know */
	RELAY_UNTIL(relay.client->n_goaway == 2);
	assert_int_equal(stats()->connections_aged, 1);
	assert_int_equal(stats()->calls, 4);
	assert_int_equal(relay.client->goaway_last, ids[3]);
	assert_int_equal(relay.client->n_closed, 0);
	for (int i = 0; i < 4; i++)
		h2_reset(relay.client->h2, ids[i], H2_CANCEL);
	RELAY_UNTIL(relay.client->n_down);
}

static void fewer_calls_do_not_end_it(void **state)
{
	listener()->max_calls = 3;
	relay_connect();
	open_call();
	relay_call(10, "");
	RELAY_FOR_MS(50);
	assert_int_equal(relay.client->n_goaway, 0);
	assert_int_equal(stats()->connections_aged, 0);
}

static void a_drain_waits_for_its_turn(void **state)
{
	uint64_t began;

	relay_connect();
	RELAY_UNTIL(downstream()->up);
	began = loop_refresh(&relay.worker.loop);
	downstream_drain(downstream(), 100 * NS_PER_MS);
	/* A later turn changes nothing, an earlier one does. */
	downstream_drain(downstream(), 10 * NS_PER_S);
	RELAY_UNTIL(relay.client->n_goaway);
	assert_in_range(ms_since(began), 95, 1000);
	assert_int_equal(stats()->connections_aged, 0);
	RELAY_UNTIL(relay.client->n_down);
}

static void a_turn_before_its_age_is_no_age(void **state)
{
	listener()->max_age_ms = 60000;
	relay_connect();
	RELAY_UNTIL(downstream()->up);
	downstream_drain(downstream(), 20 * NS_PER_MS);
	RELAY_UNTIL(relay.client->n_down);
	assert_int_equal(stats()->connections_aged, 0);
}

/* In its handshake it has no calls that could be told; it drains when it is up. */
static void a_drain_before_the_handshake_is_done_comes_after_it(void **state)
{
	struct addr peer = { .len = sizeof(peer.v6) };
	uint8_t byte;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, &relay.address.sa, relay.address.len), 0);
	downstream_accept(&relay.worker, &relay.worker.router->listeners[0],
			  accept4(relay.listen_fd, &peer.sa, &peer.len,
				  SOCK_NONBLOCK | SOCK_CLOEXEC), &peer);
	downstream_drain(downstream(), 0);
	RELAY_FOR_MS(20);
	assert_false(list_empty(&relay.worker.downstreams));
	assert_int_equal(send(fd, RAW_PREFACE "\0\0\0\4\0\0\0\0\0", 33, 0), 33);
	RELAY_UNTIL(list_empty(&relay.worker.downstreams));
	for (bool seen = false; !seen;) {
		/* SETTINGS, WINDOW_UPDATE, then GOAWAY's type among what came. */
		assert_int_equal(recv(fd, &byte, 1, 0), 1);
		seen = byte == RAW_GOAWAY;
	}
	close(fd);
}

static void cut_calls_get_a_status(void **state)
{
	int32_t id;

	relay_connect();
	id = open_call();
	downstream_cut(downstream(), CUT_SHUTDOWN);
	RELAY_UNTIL(call(id)->closed);
	assert_int_equal(call(id)->grpc_status, GRPC_UNAVAILABLE);
	assert_string_equal(call(id)->grpc_message,
			    "sluice: shutting down, and the time to finish is over");
	RELAY_UNTIL(relay.client->n_down);
}

static void a_lost_client_is_counted_and_its_calls_cancelled(void **state)
{
	/* raw_request and content-type application/grpc */
	static const uint8_t block[] = "\x83\x86\x84\x01\x01x\x0f\x10\x10" "application/grpc";
	struct addr peer = { .len = sizeof(peer.v6) };
	uint8_t frame[9 + sizeof(block) - 1];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	listener()->keepalive_interval_ms = 50;
	listener()->keepalive_timeout_ms = 50;
	assert_int_equal(connect(fd, &relay.address.sa, relay.address.len), 0);
	downstream_accept(&relay.worker, &relay.worker.router->listeners[0],
			  accept4(relay.listen_fd, &peer.sa, &peer.len,
				  SOCK_NONBLOCK | SOCK_CLOEXEC), &peer);
	assert_int_equal(send(fd, RAW_PREFACE "\0\0\0\4\0\0\0\0\0", 33, 0), 33);
	raw_frame_put(frame, RAW_HEADERS, RAW_END_HEADERS, 1, block, sizeof(block) - 1);
	assert_int_equal(send(fd, frame, sizeof(frame), 0), (ssize_t)sizeof(frame));
	RELAY_UNTIL(backend_side(0, 0)->n_requests == 1);
	RELAY_UNTIL(list_empty(&relay.worker.downstreams));
	assert_int_equal(stats()->clients_lost, 1);
	RELAY_UNTIL(record_of(backend_side(0, 0), 1)->closed);
	assert_int_equal(record_of(backend_side(0, 0), 1)->code, H2_CANCEL);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, relay_setup_one, relay_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_connection_drains_at_its_age),
		TEST(past_the_grace_of_its_age_calls_end),
		TEST(a_connection_drains_after_its_last_call),
		TEST(fewer_calls_do_not_end_it),
		TEST(a_drain_waits_for_its_turn),
		TEST(a_turn_before_its_age_is_no_age),
		TEST(a_drain_before_the_handshake_is_done_comes_after_it),
		TEST(cut_calls_get_a_status),
		TEST(a_lost_client_is_counted_and_its_calls_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
