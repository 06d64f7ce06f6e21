/* SPDX-License-Identifier: MIT */
/*
 * test_explain.c - what an explanation says besides the program's own account: tokens left of a limit, as
 * the limit itself then gives them; and the state of a connection, without a look-up that counts.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#include "../../../bpf/limit.h"
#include "cm.h"
#include "control/explain.h"
#include "control/explain_socket.h"

/* How many the limit lets through now. */
static uint64_t take_all(uint64_t tat, uint64_t now, uint64_t interval, uint64_t tolerance)
{
	__u64 clock = tat;
	uint64_t taken = 0;

	while (taken < 1000 && limit_take(&clock, now, interval, tolerance))
		taken++;
	return taken;
}

static void tokens_are_as_many_as_the_limit_then_gives(void **state)
{
	static const uint64_t now = 1000000;
	static const uint64_t intervals[] = { 1, 7, 100 };

	for (size_t i = 0; i < sizeof(intervals) / sizeof(intervals[0]); i++) {
		for (uint64_t burst = 1; burst < 20; burst++) {
			uint64_t interval = intervals[i], tolerance = interval * (burst - 1);

			for (uint64_t tat = now - 30; tat < now + tolerance + 2 * interval; tat++) {
				struct explain_tokens tokens =
					explain_tokens(tat, now, interval, tolerance);

				assert_int_equal(tokens.burst, burst);
				assert_int_equal(tokens.left,
						 take_all(tat, now, interval, tolerance));
				assert_int_equal(tokens.left == 0, tokens.next_ns != 0);
			}
		}
	}
}

static void the_next_token_is_there_when_it_is_said_to_be(void **state)
{
	static const uint64_t now = 1000000, interval = 100, tolerance = 400;

	for (uint64_t tat = now + tolerance + 1; tat < now + tolerance + interval; tat++) {
		struct explain_tokens tokens = explain_tokens(tat, now, interval, tolerance);

		assert_int_equal(tokens.left, 0);
		assert_int_equal(take_all(tat, now + tokens.next_ns - 1, interval, tolerance), 0);
		assert_int_equal(take_all(tat, now + tokens.next_ns, interval, tolerance), 1);
	}
}

static void a_clock_written_under_a_slower_limit_starts_anew(void **state)
{
	static const uint64_t now = 1000000, far = 1ull << 50;
	struct explain_tokens tokens = explain_tokens(far, now, 100, 400);

	assert_int_equal(tokens.left, 5);
	assert_int_equal(take_all(far, now, 100, 400), 5);
}

/* Connections */

static int listen_on(const char *ip, struct addr *address)
{
	int fd;

	assert_int_equal(addr_from_ip(address, ip, 0), 0);
	fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, &address->sa, address->len) || listen(fd, 4)) {
		printf("SKIP: cannot listen on %s (%s)\n", ip, strerror(errno));
		skip();
	}
	assert_int_equal(getsockname(fd, &address->sa, &address->len), 0);
	return fd;
}

static int state_of(const struct addr *local, const struct addr *remote)
{
	int found = explain_socket_state(local, remote);

	if (found < 0) {
		printf("SKIP: this kernel tells nothing of sockets (%s)\n", strerror(-found));
		skip();
	}
	return found;
}

/* Connects to ip on the port that `listener` listens on. */
static void check_connection(const char *listener_ip, const char *ip)
{
	struct addr listening, local, remote;
	int listener = listen_on(listener_ip, &listening), client, server;

	assert_int_equal(addr_from_ip(&local, ip, addr_port(&listening)), 0);
	client = socket(local.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, &local.sa, local.len), 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	memset(&remote, 0, sizeof(remote));
	remote.len = sizeof(remote.v6);
	assert_int_equal(getsockname(client, &remote.sa, &remote.len), 0);
	assert_int_equal(state_of(&local, &remote), TCP_ESTABLISHED);
	close(client);
	/* Its FIN may be on its way. */
	for (int i = 0; i < 500 && state_of(&local, &remote) == TCP_ESTABLISHED; i++)
		usleep(10000);
	assert_int_equal(state_of(&local, &remote), TCP_CLOSE_WAIT);
	addr_set_port(&remote, addr_port(&remote) == 1 ? 2 : 1);
	assert_int_equal(state_of(&local, &remote), 0);
	close(server);
	close(listener);
}

static void a_connection_is_found_by_its_two_ends(void **state)
{
	check_connection("127.0.0.1", "127.0.0.1");
	check_connection("::1", "::1");
}

static void an_ipv4_connection_of_a_listener_on_any_address_is_found(void **state)
{
	check_connection("::", "127.0.0.1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_are_as_many_as_the_limit_then_gives),
		cmocka_unit_test(the_next_token_is_there_when_it_is_said_to_be),
		cmocka_unit_test(a_clock_written_under_a_slower_limit_starts_anew),
		cmocka_unit_test(a_connection_is_found_by_its_two_ends),
		cmocka_unit_test(an_ipv4_connection_of_a_listener_on_any_address_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
