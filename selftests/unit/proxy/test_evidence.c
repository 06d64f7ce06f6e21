/* SPDX-License-Identifier: MIT */
/*
 * test_evidence.c - what a worker does about its clients' sources: counted exactly, accused of what ends
 * their connections, closed under a penalty, and the supervisor told of it.
 */
#include "proxy/relay_world.h"

#include "proxy/evidence.h"
#include "shared/channel.h"
#include "shared/sources.h"

static int supervisor; /* its end of the channel */
static uint32_t source[4];

static const struct sluice_worker *stats(void)
{
	return relay.worker.stats;
}

static struct config_kernel *kernel(void)
{
	return &relay.worker.router->config->kernel;
}

static const struct sluice_source_state *row(void)
{
	uint32_t found = source_find(&relay.worker.state, source);

	return source_at(&relay.worker.state, found);
}

static uint32_t connections(void)
{
	return row() ? row()->connections : 0;
}

static int setup(void **state)
{
	static const struct config_penalties defaults = {
		.enabled = true, .threshold = 100, .half_life_ms = 10000, .first_ms = 10000,
		.max_ms = 60000, .forget_ms = 3600000, .packets_after = 1, .bad_percent = 50,
		.points = { [SLUICE_EVIDENCE_ABUSE] = 100, [SLUICE_EVIDENCE_NOT_H2] = 10,
			    [SLUICE_EVIDENCE_PROTOCOL] = 20, [SLUICE_EVIDENCE_OVER_LIMIT] = 1 },
	};
	int ends[2], err = relay_setup_one(state);
	struct addr addr;

	if (err || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
		return -1;
	relay.worker.channel_io.fd = ends[0];
	supervisor = ends[1];
	relay.worker.state.switches->v4_prefix = kernel()->source_v4_prefix = 32;
	relay.worker.state.switches->v6_prefix = kernel()->source_v6_prefix = 64;
	kernel()->penalties = defaults;
	evidence_configure(&relay.worker);
	addr_from_ip(&addr, "127.0.0.1", 0);
	source_of_addr(&relay.worker.state, &addr, source);
	return 0;
}

static int teardown(void **state)
{
	close(relay.worker.channel_io.fd);
	close(supervisor);
	return relay_teardown(state);
}

/* The row that the supervisor was told of; SOURCE_NONE: of none. */
static uint32_t told(void)
{
	struct channel_message message;
	struct channel_penalized penalized;

	if (channel_receive(supervisor, &message) != 1)
		return SOURCE_NONE;
	assert_int_equal(message.type, CHANNEL_PENALIZED);
	assert_int_equal(message.length, sizeof(penalized));
	memcpy(&penalized, message.payload, sizeof(penalized));
	return penalized.row;
}

/* A raw client of the worker; bytes: what it says. */
static int raw_client(const void *bytes, size_t size)
{
	struct addr peer = { .len = sizeof(peer.v6) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, &relay.address.sa, relay.address.len), 0);
	downstream_accept(&relay.worker, &relay.worker.router->listeners[0],
			  accept4(relay.listen_fd, &peer.sa, &peer.len,
				  SOCK_NONBLOCK | SOCK_CLOEXEC), &peer);
	if (size)
		assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
	return fd;
}

static const char up[] = RAW_PREFACE "\0\0\0\4\0\0\0\0\0";
/* WINDOW_UPDATE of 0 */
static const char broken[] = RAW_PREFACE "\0\0\0\4\0\0\0\0\0" "\0\0\4\10\0\0\0\0\0\0\0\0\0";

static void offend(const char *bytes, size_t size)
{
	uint64_t before = relay.worker.stats->accepted;
	int fd = raw_client(bytes, size);

	assert_int_equal(relay.worker.stats->accepted, before + 1);
	RELAY_UNTIL(list_empty(&relay.worker.downstreams));
	close(fd);
}

static void connections_are_counted_and_given_back(void **state)
{
	int a = raw_client(up, sizeof(up) - 1), b = raw_client(up, sizeof(up) - 1);

	assert_int_equal(connections(), 2);
	close(a);
	RELAY_UNTIL(connections() == 1);
	close(b);
	RELAY_UNTIL(connections() == 0);
	assert_int_equal(row()->points, 0);
}

static void over_the_sources_limit_a_connection_is_closed_at_once(void **state)
{
	char byte;
	int a, b, c;

	kernel()->source_connections = 2;
	a = raw_client(up, sizeof(up) - 1);
	b = raw_client(up, sizeof(up) - 1);
	c = raw_client(NULL, 0);
	assert_int_equal(recv(c, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(stats()->source_full, 1);
	assert_int_equal(stats()->accepted, 2);
	assert_int_equal(connections(), 2);
	close(a);
	close(b);
	close(c);
	RELAY_UNTIL(connections() == 0);
}

static void errors_of_the_protocol_add_up_to_a_penalty(void **state)
{
	for (int i = 0; i < 4; i++)
		offend(broken, sizeof(broken) - 1);
	assert_int_equal(row()->points / SOURCE_POINT, 80);
	assert_int_equal(told(), SOURCE_NONE);
	offend(broken, sizeof(broken) - 1);
	assert_true(source_is_penalized(row(), loop_now(&relay.worker.loop)));
	assert_int_equal(row()->reason, SLUICE_EVIDENCE_PROTOCOL);
	assert_int_equal(told(), source_find(&relay.worker.state, source));
	assert_int_equal(stats()->penalties, 1);
	/* And nothing of this source is let in. */
	close(raw_client(NULL, 0));
	assert_int_equal(stats()->penalized_refused, 1);
	assert_int_equal(stats()->accepted, 5);
}

static void who_speaks_no_http2_is_not_h2(void **state)
{
	offend("GET / HTTP/1.1\r\n\r\n", 18);
	assert_int_equal(row()->points / SOURCE_POINT, 10);
	assert_int_equal(row()->reason, SLUICE_EVIDENCE_NOT_H2);
}

static void a_penalty_closes_what_is_open_at_the_next_heartbeat(void **state)
{
	int a = raw_client(up, sizeof(up) - 1), b = raw_client(up, sizeof(up) - 1);

	RELAY_FOR_MS(10);
	evidence_heartbeat(&relay.worker);
	assert_int_equal(stats()->penalized_closed, 0);
	source_penalize(&relay.worker.state, source, loop_now(&relay.worker.loop) + NS_PER_S,
			SLUICE_PENALTY_CONNECTIONS, SLUICE_EVIDENCE_BY_HAND,
			loop_now(&relay.worker.loop));
	evidence_heartbeat(&relay.worker);
	assert_true(list_empty(&relay.worker.downstreams));
	assert_int_equal(stats()->penalized_closed, 2);
	assert_int_equal(connections(), 0);
	close(a);
	close(b);
}

static void where_sources_are_not_counted_a_penalty_by_command_holds_all_the_same(void **state)
{
	uint64_t until_ns;
	int a;

	kernel()->penalties.enabled = false;
	evidence_configure(&relay.worker);
	offend(broken, sizeof(broken) - 1);
	a = raw_client(up, sizeof(up) - 1);
	assert_null(row());
	until_ns = loop_now(&relay.worker.loop) + NS_PER_S;
	source_penalize(&relay.worker.state, source, until_ns, SLUICE_PENALTY_CONNECTIONS,
			SLUICE_EVIDENCE_BY_HAND, loop_now(&relay.worker.loop));
	relay.worker.state.switches->penalties_until_ns = until_ns;
	evidence_heartbeat(&relay.worker);
	assert_true(list_empty(&relay.worker.downstreams));
	close(raw_client(NULL, 0));
	assert_int_equal(stats()->penalized_refused, 1);
	close(a);
}

static void a_reload_takes_counting_up_for_what_is_open(void **state)
{
	int a;

	kernel()->penalties.enabled = false;
	evidence_configure(&relay.worker);
	a = raw_client(up, sizeof(up) - 1);
	assert_int_equal(connections(), 0);
	kernel()->source_connections = 10;
	evidence_configure(&relay.worker);
	assert_int_equal(connections(), 1);
	/* Under another prefix it is another source. */
	relay.worker.state.switches->v4_prefix = kernel()->source_v4_prefix = 8;
	evidence_configure(&relay.worker);
	assert_int_equal(connections(), 0);
	source[3] = htonl(0x7f000000);
	assert_int_equal(connections(), 1);
	kernel()->source_connections = 0;
	evidence_configure(&relay.worker);
	assert_int_equal(connections(), 0);
	close(a);
	RELAY_UNTIL(list_empty(&relay.worker.downstreams));
}

static void a_supervisor_that_could_not_be_told_is_told_later(void **state)
{
	const struct channel_penalized filler = { 0 };

	while (!channel_try_send(relay.worker.channel_io.fd, CHANNEL_PENALIZED, &filler,
				 sizeof(filler)))
		;
	kernel()->penalties.points[SLUICE_EVIDENCE_PROTOCOL] = 100;
	offend(broken, sizeof(broken) - 1);
	assert_true(relay.worker.penalty_untold);
	evidence_heartbeat(&relay.worker);
	assert_true(relay.worker.penalty_untold);
	while (told() != SOURCE_NONE)
		;
	evidence_heartbeat(&relay.worker);
	assert_false(relay.worker.penalty_untold);
	assert_int_equal(told(), CHANNEL_PENALIZED_SOME);
}

static void good_calls_and_calls_over_a_limit_are_told_in_bundles(void **state)
{
	struct downstream *downstream;
	int a = raw_client(up, sizeof(up) - 1);

	downstream = list_first(&relay.worker.downstreams, struct downstream, link);
	/* The first is told at once, what comes within a second of it waits. */
	evidence_good(downstream);
	assert_int_equal(row()->good, 1 * SOURCE_POINT);
	for (int i = 0; i < 29; i++)
		evidence_good(downstream);
	assert_int_equal(row()->good, 1 * SOURCE_POINT);
	for (int i = 0; i < 15; i++)
		evidence_over_limit(downstream);
	assert_int_equal(row()->points, 0);
	evidence_over_limit(downstream);
	assert_int_equal(row()->points, 16 * SOURCE_POINT);
	assert_int_equal(row()->good, 30 * SOURCE_POINT);
	downstream->told_ns -= NS_PER_S;
	evidence_good(downstream);
	assert_int_equal(row()->good, 31 * SOURCE_POINT);
	for (int i = 0; i < 4; i++)
		evidence_good(downstream);
	evidence_over_limit(downstream);
	close(a);
	RELAY_UNTIL(list_empty(&relay.worker.downstreams));
	assert_in_range(row()->points, 16 * SOURCE_POINT, 17 * SOURCE_POINT);
	assert_in_range(row()->good, 34 * SOURCE_POINT, 35 * SOURCE_POINT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(connections_are_counted_and_given_back),
		TEST(over_the_sources_limit_a_connection_is_closed_at_once),
		TEST(errors_of_the_protocol_add_up_to_a_penalty),
		TEST(who_speaks_no_http2_is_not_h2),
		TEST(a_penalty_closes_what_is_open_at_the_next_heartbeat),
		TEST(where_sources_are_not_counted_a_penalty_by_command_holds_all_the_same),
		TEST(a_reload_takes_counting_up_for_what_is_open),
		TEST(a_supervisor_that_could_not_be_told_is_told_later),
		TEST(good_calls_and_calls_over_a_limit_are_told_in_bundles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
