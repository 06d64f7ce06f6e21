/* SPDX-License-Identifier: MIT */
/*
 * test_penalties.c - the supervisor's penalties as the gate sees them: who is dropped, until when, and
 * which packets; what a next run takes over; and that the map holds all that the table does.
 */
#include "control/bpf_loader_impl.h"
#include "control/bpf_loader_penalties.h"
#include "control/supervisor.h"
#include "gate_help.h"
#include "shared/sources.h"
#include "world_help.h"

static struct supervisor *supervisor;
static struct config *config;

static void open_maps(void)
{
	struct sluice_listener listener = { .id = 1, .group = SLUICE_GROUP_NONE };
	struct bpf_options options = { .pin_path = world_pins };
	char why[BPF_WHY_MAX];
	int fds[STATE_FDS];
	struct addr any;

	if (bpf_open(&supervisor->kernel.bpf, &options, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(bpf_state_fds(supervisor->kernel.bpf, fds), 0);
	assert_int_equal(state_create_fds(fds), 0);
	assert_int_equal(state_map(&supervisor->state, fds), 0);
	for (int i = 0; i < STATE_FDS; i++)
		close(fds[i]);
	supervisor->state.switches->v4_prefix = config->kernel.source_v4_prefix;
	supervisor->state.switches->v6_prefix = config->kernel.source_v6_prefix;
	supervisor->state.switches->hash_key[1] = 0x123456789abcdef1;
	loop_refresh(&supervisor->loop);
	penalties_init(supervisor);
	penalties_adopt(&supervisor->penalties, config);
	addr_parse(&any, "[::]:8443");
	assert_int_equal(bpf_listener_set(supervisor->kernel.bpf, &any, &listener), 0);
}

static void close_maps(bool keep)
{
	penalties_done(&supervisor->penalties);
	state_unmap(&supervisor->state);
	bpf_close(supervisor->kernel.bpf, keep);
}

static int setup(void **state)
{
	(void)state;
	log_init("test", LOG_ERROR, LOG_TEXT);
	supervisor = calloc(1, sizeof(*supervisor));
	config = calloc(1, sizeof(*config));
	if (!supervisor || !config || loop_init(&supervisor->loop))
		return -1;
	config->kernel.penalties.enabled = true;
	config->kernel.source_v4_prefix = 32;
	config->kernel.source_v6_prefix = 64;
	supervisor->current.config = config;
	open_maps();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close_maps(false);
	loop_done(&supervisor->loop);
	free(config);
	free(supervisor);
	return 0;
}

static void penalize(const char *ip, uint64_t for_ns, enum sluice_penalty_level level)
{
	struct addr addr;

	assert_int_equal(addr_from_ip(&addr, ip, 0), 0);
	loop_refresh(&supervisor->loop);
	assert_int_equal(penalties_penalize(&supervisor->penalties, &addr, for_ns, level), 0);
}

static unsigned gate(const char *source, uint8_t flags)
{
	struct sluice_verdict_count before[VERDICT_MAX], after[VERDICT_MAX];
	const struct frame_spec spec = {
		.source = source,
		.destination = strchr(source, ':') ? "fd00::1" : "198.18.0.1",
		.source_port = 40000,
		.destination_port = LISTENER_PORT,
		.flags = flags,
	};
	struct bpf *bpf = supervisor->kernel.bpf;
	struct frame frame;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.bytes, .repeat = 1);

	frame_build(&frame, &spec);
	options.data_size_in = frame.len;
	assert_int_equal(bpf_read_verdicts(bpf, before), 0);
	assert_int_equal(bpf_prog_test_run_opts(bpf->gate_fd, &options), 0);
	assert_int_equal(bpf_read_verdicts(bpf, after), 0);
	for (unsigned i = 0; i < VERDICT_MAX; i++)
		if (after[i].packets > before[i].packets)
			return i;
	return VERDICT_MAX;
}


static void assert_gate(const char *source, uint8_t flags, unsigned want)
{
	assert_string_equal(verdict_name(gate(source, flags)), verdict_name(want));
}

static uint64_t dropped(const char *ip)
{
	struct addr addr;
	uint32_t source[4];
	struct sluice_penalty penalty;

	addr_from_ip(&addr, ip, 0);
	source_of_addr(&supervisor->state, &addr, source);
	assert_int_equal(bpf_penalty_get(supervisor->kernel.bpf, source, &penalty), 0);
	return penalty.dropped;
}

static void new_connections_are_dropped_and_old_ones_pass(void **state)
{
	(void)state;
	assert_gate("203.0.113.7", SYN, VERDICT_PASS_NEW);
	penalize("203.0.113.7", HOUR_NS, SLUICE_PENALTY_CONNECTIONS);
	assert_gate("203.0.113.7", SYN, VERDICT_DROP_PENALTY);
	assert_gate("203.0.113.7", SYN, VERDICT_DROP_PENALTY);
	assert_gate("203.0.113.7", ACK, VERDICT_PASS_ESTABLISHED);
	assert_gate("203.0.113.8", SYN, VERDICT_PASS_NEW);
	assert_int_equal(dropped("203.0.113.7"), 2);
	/* Anew, the count goes on. */
	penalize("203.0.113.7", 2 * HOUR_NS, SLUICE_PENALTY_PACKETS);
	assert_gate("203.0.113.7", ACK, VERDICT_DROP_PENALTY_ALL);
	assert_gate("203.0.113.7", SYN, VERDICT_DROP_PENALTY_ALL);
	assert_gate("203.0.113.8", ACK, VERDICT_PASS_ESTABLISHED);
	penalties_pardon_all(&supervisor->penalties);
	assert_gate("203.0.113.7", SYN, VERDICT_PASS_NEW);
	assert_gate("203.0.113.7", ACK, VERDICT_PASS_ESTABLISHED);
}

static void a_source_of_ipv6_is_its_prefix(void **state)
{
	(void)state;
	penalize("2001:db8:0:1::5", HOUR_NS, SLUICE_PENALTY_CONNECTIONS);
	assert_gate("2001:db8:0:1:ffff::1", SYN, VERDICT_DROP_PENALTY);
	assert_gate("2001:db8:0:2::5", SYN, VERDICT_PASS_NEW);
	assert_int_equal(dropped("2001:db8:0:1::77"), 1);
}

static void a_penalty_ends_by_itself(void **state)
{
	uint64_t deadline = now_ns() + 5000000000ull;

	(void)state;
	penalize("203.0.113.9", 300000000, SLUICE_PENALTY_PACKETS);
	assert_gate("203.0.113.9", SYN, VERDICT_DROP_PENALTY_ALL);
	while (gate("203.0.113.9", SYN) != VERDICT_PASS_NEW)
		assert_true(now_ns() < deadline);
	assert_int_equal(supervisor->penalties.n, 1);
	penalties_sweep(&supervisor->penalties, now_ns());
	assert_int_equal(supervisor->penalties.n, 0);
	assert_int_equal(supervisor->state.switches->penalties_until_ns, 0);
	assert_int_equal(supervisor->state.switches->packets_until_ns, 0);
}

static void count_one(void *ctx, const uint32_t source[4], const struct sluice_penalty *penalty)
{
	(void)source;
	(void)penalty;
	++*(unsigned *)ctx;
}

static unsigned in_the_map(void)
{
	unsigned n = 0;

	assert_int_equal(bpf_penalty_each(supervisor->kernel.bpf, count_one, &n), 0);
	return n;
}

static void what_an_earlier_run_left_in_force_is_taken_over(void **state)
{
	(void)state;
	penalize("203.0.113.7", HOUR_NS, SLUICE_PENALTY_CONNECTIONS);
	penalize("2001:db8::1", HOUR_NS, SLUICE_PENALTY_PACKETS);
	penalize("203.0.113.8", 1, SLUICE_PENALTY_PACKETS); /* over */
	assert_int_equal(in_the_map(), 3);
	close_maps(true);
	open_maps();
	assert_int_equal(supervisor->penalties.n, 2);
	assert_int_equal(in_the_map(), 2);
	assert_gate("203.0.113.7", SYN, VERDICT_DROP_PENALTY);
	assert_gate("2001:db8::5", ACK, VERDICT_DROP_PENALTY_ALL);
	assert_gate("203.0.113.8", SYN, VERDICT_PASS_NEW);
	/* Under another prefix they would be other sources. */
	close_maps(true);
	config->kernel.source_v4_prefix = 24;
	config->kernel.source_v6_prefix = 128;
	open_maps();
	assert_int_equal(supervisor->penalties.n, 1);
	assert_gate("203.0.113.7", SYN, VERDICT_PASS_NEW);
	config->kernel.source_v4_prefix = 32;
	config->kernel.source_v6_prefix = 64;
}

/* The map is larger than the table, so that what is in the table is in the map. */
static void a_full_table_is_whole_in_the_map(void **state)
{
	struct penalties *penalties = &supervisor->penalties;
	struct sluice_penalty penalty;

	(void)state;
	for (uint32_t i = 0; i < PENALTIES_MAX + 3000; i++) {
		struct addr addr;
		char text[64];

		snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		addr_from_ip(&addr, text, 0);
		assert_int_equal(penalties_penalize(penalties, &addr, HOUR_NS + i,
						    SLUICE_PENALTY_CONNECTIONS), 0);
	}
	assert_int_equal(penalties->n, PENALTIES_MAX);
	for (uint32_t i = 0; i < penalties->n; i++)
		assert_int_equal(bpf_penalty_get(supervisor->kernel.bpf, penalties->rows[i].source,
						 &penalty), 0);
	assert_int_equal(in_the_map(), PENALTIES_MAX);
	assert_int_equal(penalties_pardon_all(penalties), PENALTIES_MAX);
	assert_int_equal(in_the_map(), 0);
}

int main(void)
{
	static const char *const tools[] = { "ip", NULL };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(new_connections_are_dropped_and_old_ones_pass, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_source_of_ipv6_is_its_prefix, setup, teardown),
		cmocka_unit_test_setup_teardown(a_penalty_ends_by_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(what_an_earlier_run_left_in_force_is_taken_over,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_table_is_whole_in_the_map, setup, teardown),
	};
	int failed;

	if (!bpf_is_allowed() || !world_enter(tools))
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_leave();
	return failed;
}
