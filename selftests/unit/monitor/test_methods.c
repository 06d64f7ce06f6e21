/* SPDX-License-Identifier: MIT */
/*
 * test_methods.c - the monitor process with a standing Watch, TCP connects, an authority of its own,
 * forced health and drained backends, against real peers on loopback.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cm.h"
#include "monitor_world.c"
#include "proxy/grpc.h"
#include "shared/health_text.h"

static uint32_t detail(unsigned i)
{
	return state_load32(&words(i)->health_detail);
}

static struct config_health_check *check(void)
{
	return &world.group.health_check;
}

/* n backends with Watch; nothing but what they tell can come for a minute. */
static void start_watching(unsigned n)
{
	world_init(&world, n);
	for (unsigned i = 0; i < n; i++)
		world.backends[i].has_watch = true;
	check()->method = HEALTH_METHOD_WATCH;
	check()->interval_ms = 60000;
	check()->timeout_ms = 1000;
	check()->healthy_threshold = check()->unhealthy_threshold = 3;
	world_start_monitor(&world);
	world_configure(&world);
}

static void what_a_watch_tells_holds_at_once(void **state)
{
	start_watching(2);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP && health(1) == SLUICE_HEALTH_UP);
	for (int round = 0; round < 3; round++) {
		uint32_t epoch = world.state.groups[WORLD_GROUP].epoch;

		backend_tell_status(&world.backends[0], 2);
		world_wait(&world, 1000, health(0) == SLUICE_HEALTH_DOWN && live() == 1);
		assert_int_equal(reason(0), SLUICE_REASON_NOT_SERVING);
		assert_int_not_equal(world.state.groups[WORLD_GROUP].epoch, epoch);
		backend_tell_status(&world.backends[0], 1);
		world_wait(&world, 1000, health(0) == SLUICE_HEALTH_UP && live() == 2);
	}
	assert_int_equal(world.backends[0].n_watches, 1);
	assert_int_equal(world.backends[0].n_calls, 0);
	world_done(&world);
}

static void messages_come_in_pieces_and_in_heaps(void **state)
{
	static const uint8_t heap[] = { 0, 0, 0, 0, 2, 8, 2, 0, 0, 0, 0, 2, 8, 1,
					0, 0, 0, 0, 2, 8, 2, 0, 0, 0 };
	static const uint8_t rest[] = { 0, 2, 8, 1 };

	start_watching(1);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP);
	backend_tell(&world.backends[0], heap, sizeof(heap));
	world_wait(&world, 1000, words(0)->health_changes == 4);
	assert_int_equal(health(0), SLUICE_HEALTH_DOWN);
	backend_tell(&world.backends[0], rest, sizeof(rest));
	world_wait(&world, 1000, health(0) == SLUICE_HEALTH_UP);
	world_done(&world);
}

/* The log's text, and in lines how many of them tell of changes. */
static char *read_log(int fd, unsigned *lines)
{
	static char text[65536];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	assert_true(n >= 0 && n < (ssize_t)sizeof(text) - 1);
	text[n] = '\0';
	*lines = 0;
	for (const char *at = text; (at = strstr(at, "backend is ")); at++)
		(*lines)++;
	return text;
}

static bool last_word_is_down(int fd)
{
	unsigned lines;
	char *text = read_log(fd, &lines), *up = NULL, *down = NULL;

	for (char *at = text; (at = strstr(at, "backend is ")); at++)
		*(strncmp(at, "backend is up", 13) ? &down : &up) = at;
	return down > up;
}

static void a_watch_that_wavers_does_not_fill_the_log(void **state)
{
	static const uint8_t down_up[] = { 0, 0, 0, 0, 2, 8, 2, 0, 0, 0, 0, 2, 8, 1 };
	int log = memfd_create("log", MFD_CLOEXEC), own = dup(STDERR_FILENO);
	uint8_t heap[30 * sizeof(down_up)];
	unsigned lines;

	for (size_t i = 0; i < 30; i++)
		memcpy(heap + i * sizeof(down_up), down_up, sizeof(down_up));
	assert_int_equal(dup2(log, STDERR_FILENO), STDERR_FILENO);
	start_watching(1);
	assert_int_equal(dup2(own, STDERR_FILENO), STDERR_FILENO);
	close(own);
	check()->interval_ms = 300;
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP);
	backend_tell(&world.backends[0], heap, sizeof(heap));
	backend_tell_status(&world.backends[0], 2);
	world_wait(&world, 1000, words(0)->health_changes == 62);
	world_wait(&world, 3000, last_word_is_down(log));
	read_log(log, &lines);
	assert_in_range(lines, 2, 20);
	world_done(&world);
	close(log);
}

static void a_backend_without_watch_is_called(void **state)
{
	start_watching(1);
	world.backends[0].has_watch = false;
	check()->interval_ms = 100;
	world_configure(&world);
	world_wait(&world, 2000, world.backends[0].n_calls >= 3);
	assert_int_equal(health(0), SLUICE_HEALTH_UP);
	assert_true(world.backends[0].n_watches <= 2);
	assert_string_equal(world.backends[0].path, "/grpc.health.v1.Health/Check");
	world.backends[0].mode = BACKEND_NOT_SERVING;
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_DOWN);
	world_done(&world);
}

static void the_end_of_a_watch_is_one_failure(void **state)
{
	start_watching(1);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP);
	backend_end_watch(&world.backends[0], 0);
	world_wait(&world, 1000, reason(0) == SLUICE_REASON_PROTOCOL);
	assert_int_equal(detail(0), HEALTH_WATCH_ENDED);
	world_wait(&world, 1000, world.backends[0].n_watches == 2);
	backend_end_watch(&world.backends[0], GRPC_UNAVAILABLE);
	world_wait(&world, 1000, reason(0) == SLUICE_REASON_GRPC_STATUS);
	assert_int_equal(detail(0), GRPC_UNAVAILABLE);
	world_wait(&world, 1000, world.backends[0].n_watches == 3);
	backend_reset_watch(&world.backends[0], H2_INTERNAL_ERROR);
	world_wait(&world, 1000, reason(0) == SLUICE_REASON_RESET);
	world_wait(&world, 1000, world.backends[0].n_watches == 4);
	assert_int_equal(words(0)->checks_failed, 3);
	assert_int_equal(health(0), SLUICE_HEALTH_UP);
	world_done(&world);
}

static void what_is_no_message_ends_the_watch(void **state)
{
	static const uint8_t compressed[] = { 1, 0, 0, 0, 0 };
	static const uint8_t long_one[] = { 0, 0, 1, 0, 0 }; /* its first bytes are enough */
	static const uint8_t nonsense[] = { 0, 0, 0, 0, 2, 0xff, 0xff };
	uint8_t filled[300] = { 0, 0, 0, 255, 255 };

	start_watching(1);
	const struct {
		const uint8_t *bytes;
		size_t len;
	} bad[] = {
		{ compressed, sizeof(compressed) },
		{ nonsense, sizeof(nonsense) },
		{ filled, sizeof(filled) },
		{ long_one, sizeof(long_one) },
	};

	for (unsigned i = 0; i < 4; i++) {
		world_wait(&world, 3000, world.backends[0].n_watches == i + 1 &&
						 world.backends[0].watch_h2);
		world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP);
		backend_tell(&world.backends[0], bad[i].bytes, bad[i].len);
		world_wait(&world, 1000, words(0)->checks_failed == i + 1);
		assert_int_equal(reason(0), SLUICE_REASON_PROTOCOL);
	}
	world_done(&world);
}

static void a_watch_that_says_nothing_times_out(void **state)
{
	world_init(&world, 1);
	world.backends[0].has_watch = true;
	world.backends[0].mode = BACKEND_SILENT;
	check()->method = HEALTH_METHOD_WATCH;
	check()->timeout_ms = 200;
	world_start_monitor(&world);
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_DOWN);
	assert_int_equal(reason(0), SLUICE_REASON_TIMEOUT);
	world_done(&world);
}

static void beside_a_watch_silence_is_found_by_a_call(void **state)
{
	world_init(&world, 1);
	world.backends[0].has_watch = true;
	check()->method = HEALTH_METHOD_WATCH;
	check()->timeout_ms = 200;
	world_start_monitor(&world);
	world_configure(&world);
	world_wait(&world, 2000, world.backends[0].n_calls >= 2);
	assert_int_equal(health(0), SLUICE_HEALTH_UP);
	assert_int_equal(world.backends[0].n_watches, 1);
	/* The call's own verdict does not count. */
	world.backends[0].mode = BACKEND_STATUS;
	world.backends[0].status = GRPC_INTERNAL;
	world_hold(&world, 700, health(0) == SLUICE_HEALTH_UP);
	assert_int_equal(world.backends[0].n_watches, 1);
	world.backends[0].mode = BACKEND_SILENT;
	world_wait(&world, 3000, health(0) == SLUICE_HEALTH_DOWN);
	assert_int_equal(reason(0), SLUICE_REASON_TIMEOUT);
	world_done(&world);
}

static void a_backend_with_room_for_one_stream_keeps_its_watch(void **state)
{
	world_init(&world, 1);
	world.backends[0].has_watch = world.backends[0].one_stream = true;
	check()->method = HEALTH_METHOD_WATCH;
	check()->interval_ms = 50;
	check()->timeout_ms = 100;
	world_start_monitor(&world);
	world_configure(&world);
	world_wait(&world, 2000, words(0)->checks > 5);
	assert_int_equal(health(0), SLUICE_HEALTH_UP);
	assert_int_equal(words(0)->checks_failed, 0);
	assert_int_equal(world.backends[0].n_watches, 1);
	backend_tell_status(&world.backends[0], 2);
	world_wait(&world, 1000, health(0) == SLUICE_HEALTH_DOWN);
	world_done(&world);
}

static void a_connection_that_ends_in_order_costs_no_failure(void **state)
{
	start_watching(1);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP);
	backend_goaway(&world.backends[0]);
	world_wait(&world, 2000, world.backends[0].n_watches == 2);
	world_wait(&world, 2000, words(0)->checks == 2);
	assert_int_equal(words(0)->checks_failed, 0);
	assert_int_equal(health(0), SLUICE_HEALTH_UP);
	world_done(&world);
}

static void a_killed_backend_is_down_though_checks_are_rare(void **state)
{
	start_watching(1);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP);
	world.backends[0].mode = BACKEND_HANG_UP;
	for (size_t i = 0; i < 16; i++)
		if (world.backends[0].connections[i])
			h2_close(world.backends[0].connections[i], H2_INTERNAL_ERROR);
	memset(world.backends[0].connections, 0, sizeof(world.backends[0].connections));
	world.backends[0].watch_h2 = NULL;
	world_wait(&world, 3000, health(0) == SLUICE_HEALTH_DOWN);
	world_done(&world);
}

static void a_connect_is_all_that_tcp_asks(void **state)
{
	world_init(&world, 2);
	check()->method = HEALTH_METHOD_TCP;
	check()->interval_ms = 50;
	world.backends[0].mode = BACKEND_HANG_UP;
	backend_kill(&world.backends[1]);
	world_start_monitor(&world);
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP && health(1) == SLUICE_HEALTH_DOWN);
	assert_int_equal(reason(1), SLUICE_REASON_CONNECT);
	assert_int_equal(detail(1), ECONNREFUSED);
	world_wait(&world, 2000, words(0)->checks > 3);
	assert_int_equal(words(0)->checks_failed, 0);
	backend_kill(&world.backends[0]);
	backend_listen(&world.backends[1]);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_DOWN && health(1) == SLUICE_HEALTH_UP);
	world_done(&world);
}

static void the_authority_can_be_the_files(void **state)
{
	world_init(&world, 1);
	check()->authority = "health.example:443";
	world_start_monitor(&world);
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP);
	assert_string_equal(world.backends[0].authority, "health.example:443");
	check()->authority = "other.example";
	world_configure(&world);
	world_wait(&world, 2000, !strcmp(world.backends[0].authority, "other.example"));
	world_done(&world);
}

static void forced_health_stands_until_it_is_not_and_checks_go_on(void **state)
{
	world_init(&world, 2);
	check()->interval_ms = 50;
	world.backends[1].mode = BACKEND_NOT_SERVING;
	world_start_monitor(&world);
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP && health(1) == SLUICE_HEALTH_DOWN);
	world.endpoints[0].forced = SLUICE_HEALTH_DOWN;
	world.endpoints[1].forced = SLUICE_HEALTH_UP;
	world_configure(&world);
	world_wait(&world, 1000, health(0) == SLUICE_HEALTH_DOWN && health(1) == SLUICE_HEALTH_UP);
	assert_int_equal(live(), 1);
	uint64_t checks = words(0)->checks;

	world_wait(&world, 2000, words(0)->checks > checks + 3);
	assert_int_equal(reason(0), SLUICE_REASON_FORCED);
	assert_int_equal(reason(1), SLUICE_REASON_FORCED);
	assert_int_equal(health(0), SLUICE_HEALTH_DOWN);
	assert_int_equal(health(1), SLUICE_HEALTH_UP);

	/* A monitor that replaces a dead one takes no forced word for a verdict. */
	kill(world.monitor, SIGKILL);
	waitpid(world.monitor, NULL, 0);
	world_start_monitor(&world);
	world_configure(&world);
	world_wait(&world, 2000, words(1)->checks_failed > 3);
	world.endpoints[0].forced = world.endpoints[1].forced = SLUICE_HEALTH_UNKNOWN;
	world_configure(&world);
	world_wait(&world, 1000, health(0) == SLUICE_HEALTH_UP && health(1) == SLUICE_HEALTH_DOWN);
	assert_int_equal(reason(1), SLUICE_REASON_NOT_SERVING);
	assert_int_equal(live(), 1);
	world_done(&world);
}

static void a_drained_backend_is_checked_and_does_not_count(void **state)
{
	world_init(&world, 2);
	check()->interval_ms = 50;
	world.endpoints[0].drained = true;
	world_start_monitor(&world);
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP && health(1) == SLUICE_HEALTH_UP);
	assert_int_equal(live(), 1);
	assert_int_equal(world.state.groups[WORLD_GROUP].total, 1);
	world.backends[0].mode = BACKEND_NOT_SERVING;
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_DOWN);
	assert_int_equal(live(), 1);
	world.backends[0].mode = BACKEND_SERVING;
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP);
	world.endpoints[0].drained = false;
	world_configure(&world);
	world_wait(&world, 1000, live() == 2);
	assert_int_equal(world.state.groups[WORLD_GROUP].total, 2);
	world_done(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
		TEST(what_a_watch_tells_holds_at_once),
		TEST(messages_come_in_pieces_and_in_heaps),
		TEST(a_watch_that_wavers_does_not_fill_the_log),
		TEST(a_backend_without_watch_is_called),
		TEST(the_end_of_a_watch_is_one_failure),
		TEST(what_is_no_message_ends_the_watch),
		TEST(a_watch_that_says_nothing_times_out),
		TEST(beside_a_watch_silence_is_found_by_a_call),
		TEST(a_backend_with_room_for_one_stream_keeps_its_watch),
		TEST(a_connection_that_ends_in_order_costs_no_failure),
		TEST(a_killed_backend_is_down_though_checks_are_rare),
		TEST(a_connect_is_all_that_tcp_asks),
		TEST(the_authority_can_be_the_files),
		TEST(forced_health_stands_until_it_is_not_and_checks_go_on),
		TEST(a_drained_backend_is_checked_and_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
