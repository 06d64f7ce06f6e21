/* SPDX-License-Identifier: MIT */
/*
 * test_monitor.c - the monitor process against real h2c backends on loopback: what each answer
 * makes of the words in the maps, and when.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "monitor_world.c"
#include "proxy/grpc.h"

static uint64_t checks(unsigned i)
{
	return state_load64(&words(i)->checks);
}

static struct sluice_group *group_words(void)
{
	return &world.state.groups[WORLD_GROUP];
}

static void start(unsigned n)
{
	world_init(&world, n);
	world_start_monitor(&world);
}

static void a_serving_backend_is_up_at_its_first_check(void **state)
{
	start(2);
	world.group.health_check.interval_ms = 60000;
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP && health(1) == SLUICE_HEALTH_UP);
	assert_int_equal(live(), 2);
	assert_int_equal(group_words()->total, 2);
	assert_int_equal(checks(0), 1);
	assert_int_equal(words(0)->checks_failed, 0);
	assert_int_equal(words(0)->health_changes, 1);
	assert_true(words(0)->health_changed_ns != 0);
	assert_int_equal(reason(0), SLUICE_REASON_NONE);
	world_done(&world);
}

static void the_question_is_grpcs_own(void **state)
{
	static const uint8_t want[] = { 0, 0, 0, 0, 5, 0x0a, 3, 'a', '.', 'B' };
	uint64_t timeout_ns = 0;
	char authority[32];

	start(1);
	world.group.health_check.service = "a.B";
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP);
	snprintf(authority, sizeof(authority), "127.0.0.1:%u", world.backends[0].port);
	assert_string_equal(world.backends[0].path, "/grpc.health.v1.Health/Check");
	assert_string_equal(world.backends[0].authority, authority);
	assert_string_equal(world.backends[0].content_type, "application/grpc");
	grpc_timeout_parse(world.backends[0].timeout, strlen(world.backends[0].timeout),
			   &timeout_ns);
	/* beyond our own 400 ms, so that the verdict is ours */
	assert_true(timeout_ns > 1200 * NS_PER_MS && timeout_ns <= 1400 * NS_PER_MS);
	assert_int_equal(world.backends[0].body_len, sizeof(want));
	assert_memory_equal(world.backends[0].body, want, sizeof(want));
	world_done(&world);
}

static void checks_share_one_connection(void **state)
{
	start(1);
	world_configure(&world);
	world_wait(&world, 5000, checks(0) >= 5);
	assert_int_equal(world.backends[0].n_accepted, 1);
	world_done(&world);
}

static void a_refused_connection_is_down_before_the_first_interval_ends(void **state)
{
	start(2);
	backend_kill(&world.backends[1]);
	world.group.health_check.interval_ms = 2000;
	world.group.health_check.unhealthy_threshold = 3;
	world_configure(&world);
	world_wait(&world, 2000, health(1) == SLUICE_HEALTH_DOWN);
	assert_int_equal(reason(1), SLUICE_REASON_CONNECT);
	assert_int_equal(words(1)->health_detail, ECONNREFUSED);
	assert_int_equal(words(1)->checks_failed, 3);
	assert_int_equal(live(), 1);
	assert_int_equal(group_words()->total, 2);
	world_done(&world);
}

static void a_silent_backend_times_out_and_blocks_no_other(void **state)
{
	start(2);
	world.backends[0].mode = BACKEND_SILENT;
	world_configure(&world);
	world_wait(&world, 300, health(1) == SLUICE_HEALTH_UP);
	assert_int_equal(health(0), SLUICE_HEALTH_UNKNOWN);
	assert_int_equal(live(), 2);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_DOWN);
	assert_int_equal(reason(0), SLUICE_REASON_TIMEOUT);
	assert_int_equal(words(0)->health_detail, 400);
	assert_true(checks(1) > checks(0));
	world_done(&world);
}

static void a_half_open_peer_times_out(void **state)
{
	start(1);
	/* The kernel completes the handshake; nobody ever reads. */
	loop_io_del(&world.loop, &world.backends[0].listener);
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_DOWN);
	assert_int_equal(reason(0), SLUICE_REASON_TIMEOUT);
	world_done(&world);
}

static void every_bad_answer_has_its_reason(void **state)
{
	static const struct {
		enum backend_mode mode;
		int status;
		uint32_t reason, detail;
	} cases[] = {
		{ BACKEND_NOT_SERVING, 0, SLUICE_REASON_NOT_SERVING, 2 },
		{ BACKEND_STATUS, 14, SLUICE_REASON_GRPC_STATUS, 14 },
		{ BACKEND_HTTP_404, 0, SLUICE_REASON_HTTP_STATUS, 404 },
		{ BACKEND_RESET, 0, SLUICE_REASON_RESET, H2_CANCEL },
		{ BACKEND_REFUSE, 0, SLUICE_REASON_RESET, H2_REFUSED_STREAM },
		{ BACKEND_HANG_UP, 0, SLUICE_REASON_DISCONNECT, 0 },
		{ BACKEND_HTTP1, 0, SLUICE_REASON_PROTOCOL, 0 },
	};
	enum { N = sizeof(cases) / sizeof(cases[0]) };

	start(N);
	for (unsigned i = 0; i < N; i++) {
		world.backends[i].mode = cases[i].mode;
		world.backends[i].status = cases[i].status;
	}
	world_configure(&world);
	for (unsigned i = 0; i < N; i++) {
		world_wait(&world, 2000, health(i) == SLUICE_HEALTH_DOWN);
		assert_int_equal(reason(i), cases[i].reason);
		assert_int_equal(words(i)->health_detail, cases[i].detail);
	}
	assert_int_equal(live(), 0);
	world_done(&world);
}

/* The cloud's own example: a backend without a health service is healthy by code 12. */
static void a_backend_without_health_service_is_healthy_by_code_12(void **state)
{
	start(1);
	world.backends[0].mode = BACKEND_STATUS;
	world.backends[0].status = 12;
	world.group.health_check.codes = 1 | 1 << 12;
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP);
	world_done(&world);
}

static void a_killed_backend_goes_down_by_threshold_and_comes_back_by_threshold(void **state)
{
	uint64_t changed_ns;

	start(2);
	world_configure(&world);
	world_wait(&world, 2000, live() == 2 && health(0) == SLUICE_HEALTH_UP &&
				 health(1) == SLUICE_HEALTH_UP);
	changed_ns = state_load64(&group_words()->changed_ns);
	backend_kill(&world.backends[0]);
	world_wait(&world, 3000, health(0) == SLUICE_HEALTH_DOWN);
	assert_int_equal(words(0)->checks_failed, 2);
	assert_int_equal(live(), 1);
	assert_true(state_load64(&group_words()->changed_ns) > changed_ns);
	backend_listen(&world.backends[0]);
	world_wait(&world, 3000, health(0) == SLUICE_HEALTH_UP);
	assert_int_equal(words(0)->health_changes, 3);
	assert_int_equal(live(), 2);
	world_done(&world);
}

static void a_goaway_between_checks_costs_no_check(void **state)
{
	start(1);
	world_configure(&world);
	for (unsigned round = 1; round <= 3; round++) {
		world_wait(&world, 3000, world.backends[0].n_accepted == round &&
					 checks(0) >= round);
		backend_goaway(&world.backends[0]);
	}
	world_wait(&world, 3000, world.backends[0].n_accepted == 4);
	assert_int_equal(words(0)->checks_failed, 0);
	world_done(&world);
}

static void a_hand_edit_of_live_stays_until_the_facts_change(void **state)
{
	start(2);
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP && health(1) == SLUICE_HEALTH_UP);
	state_store32(&group_words()->live, 0);
	world_hold(&world, 600, live() == 0);
	backend_kill(&world.backends[0]);
	world_wait(&world, 3000, live() == 1);
	world_done(&world);
}

static void weight_zero_is_neither_probed_nor_counted(void **state)
{
	start(2);
	world.endpoints[1].weight = 0;
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP && checks(0) >= 2);
	assert_int_equal(world.backends[1].n_accepted, 0);
	assert_int_equal(health(1), SLUICE_HEALTH_UNKNOWN);
	assert_int_equal(group_words()->total, 1);
	assert_int_equal(live(), 1);
	world.endpoints[1].weight = 5;
	world_configure(&world);
	world_wait(&world, 2000, health(1) == SLUICE_HEALTH_UP);
	assert_int_equal(group_words()->total, 2);
	assert_int_equal(live(), 2);
	world_done(&world);
}

static void without_a_health_check_backends_are_up_at_once(void **state)
{
	start(2);
	backend_kill(&world.backends[0]);
	world.group.health_check.enabled = false;
	world_configure(&world);
	world_wait(&world, 1000, health(0) == SLUICE_HEALTH_UP && health(1) == SLUICE_HEALTH_UP);
	assert_int_equal(live(), 2);
	assert_int_equal(world.backends[1].n_accepted, 0);
	world_done(&world);
}

static void a_reload_keeps_health_and_connections(void **state)
{
	uint64_t before;

	start(3);
	backend_kill(&world.backends[2]);
	world_configure(&world);
	world_wait(&world, 3000, health(0) == SLUICE_HEALTH_UP && health(2) == SLUICE_HEALTH_DOWN);
	/* the first is removed, the second re-weighted, thresholds and interval change */
	world.group.n_endpoints = 2;
	world.group.endpoints = &world.endpoints[1];
	world.endpoints[1].weight = 7;
	world.group.health_check.healthy_threshold = 1;
	world.group.health_check.interval_ms = 100;
	world_configure(&world);
	world_wait(&world, 1000, group_words()->total == 2);
	assert_int_equal(live(), 1);
	assert_int_equal(health(2), SLUICE_HEALTH_DOWN);
	before = checks(1);
	world_wait(&world, 2000, checks(1) > before + 5);
	assert_int_equal(world.backends[1].n_accepted, 1);
	backend_listen(&world.backends[2]);
	world_wait(&world, 2000, live() == 2);
	world_done(&world);
}

static void another_generation_of_an_id_starts_unknown(void **state)
{
	start(1);
	backend_kill(&world.backends[0]);
	world_configure(&world);
	world_wait(&world, 3000, health(0) == SLUICE_HEALTH_DOWN);
	backend_listen(&world.backends[0]);
	world.endpoints[0].generation = 2;
	world_configure(&world);
	/* one success is enough, where down would take two */
	world_wait(&world, 1000, health(0) != SLUICE_HEALTH_DOWN);
	assert_int_equal(live(), 1);
	world_wait(&world, 1000, health(0) == SLUICE_HEALTH_UP);
	world_done(&world);
}

static void a_changed_question_is_asked_soon(void **state)
{
	start(1);
	world.group.health_check.interval_ms = 4000;
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP);
	world.group.health_check.path = "/my.Service/Ping";
	world.group.health_check.standard_path = false;
	world_configure(&world);
	world_wait(&world, 1500, strcmp(world.backends[0].path, "/my.Service/Ping") == 0);
	assert_int_equal(world.backends[0].body_len, 5);
	world_done(&world);
}

static void another_port_can_be_asked(void **state)
{
	start(2);
	world.group.n_endpoints = 1;
	backend_kill(&world.backends[0]);
	world.group.health_check.port = world.backends[1].port;
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP);
	assert_true(world.backends[1].n_calls > 0);
	world_done(&world);
}

static void a_replaced_monitor_goes_on_from_the_maps(void **state)
{
	start(2);
	backend_kill(&world.backends[1]);
	world_configure(&world);
	world_wait(&world, 3000, health(0) == SLUICE_HEALTH_UP && health(1) == SLUICE_HEALTH_DOWN);
	kill(world.monitor, SIGKILL);
	waitpid(world.monitor, NULL, 0);
	close(world.channel);
	world.channel = -1;
	world_start_monitor(&world);
	world_configure(&world);
	world_hold(&world, 500, health(0) == SLUICE_HEALTH_UP && health(1) == SLUICE_HEALTH_DOWN &&
				live() == 1);
	world_done(&world);
}

static void it_ends_when_the_supervisor_is_gone(void **state)
{
	start(1);
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP);
	close(world.channel);
	world.channel = -1;
	assert_int_equal(world_monitor_exit(&world), 0);
	world_done(&world);
}

static void a_malformed_config_is_refused_and_the_old_one_goes_on(void **state)
{
	const struct channel_config header = { .revision = 9, .length = 3 };
	struct channel_message message;
	uint64_t before;
	int fd = channel_seal("config", "bad", 3);

	start(1);
	world_configure(&world);
	world_wait(&world, 2000, health(0) == SLUICE_HEALTH_UP);
	assert_int_equal(channel_send(world.channel, CHANNEL_CONFIG, &header, sizeof(header), &fd, 1),
			 0);
	close(fd);
	fcntl(world.channel, F_SETFL, 0);
	assert_int_equal(channel_receive(world.channel, &message), 1);
	assert_int_equal(message.type, CHANNEL_REFUSED);
	fcntl(world.channel, F_SETFL, O_NONBLOCK);
	before = checks(0);
	world_wait(&world, 2000, checks(0) > before + 1);
	world_done(&world);
}

static void names_from_the_hosts_file_resolve(void **state)
{
	start(1);
	world.config_backends[0].host = "localhost";
	world.config_backends[0].is_name = true;
	world.group.n_endpoints = 0;
	world_configure(&world);
	world_wait(&world, 5000, world.n_resolved >= 1);
	assert_string_equal(world.resolved.host, "localhost");
	assert_true(world.resolved.n >= 1);
	world_done(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_teardown(f, teardown)
		TEST(a_serving_backend_is_up_at_its_first_check),
		TEST(the_question_is_grpcs_own),
		TEST(checks_share_one_connection),
		TEST(a_refused_connection_is_down_before_the_first_interval_ends),
		TEST(a_silent_backend_times_out_and_blocks_no_other),
		TEST(a_half_open_peer_times_out),
		TEST(every_bad_answer_has_its_reason),
		TEST(a_backend_without_health_service_is_healthy_by_code_12),
		TEST(a_killed_backend_goes_down_by_threshold_and_comes_back_by_threshold),
		TEST(a_goaway_between_checks_costs_no_check),
		TEST(a_hand_edit_of_live_stays_until_the_facts_change),
		TEST(weight_zero_is_neither_probed_nor_counted),
		TEST(without_a_health_check_backends_are_up_at_once),
		TEST(a_reload_keeps_health_and_connections),
		TEST(another_generation_of_an_id_starts_unknown),
		TEST(a_changed_question_is_asked_soon),
		TEST(another_port_can_be_asked),
		TEST(a_replaced_monitor_goes_on_from_the_maps),
		TEST(it_ends_when_the_supervisor_is_gone),
		TEST(a_malformed_config_is_refused_and_the_old_one_goes_on),
		TEST(names_from_the_hosts_file_resolve),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
