/* SPDX-License-Identifier: MIT */
/*
 * test_penalties.c - the supervisor's table of penalties, without BPF: what workers claim and what is
 * made of it, commands, new configurations, and the bound.
 */
#include "control/penalties.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cm.h"
#include "control/supervisor.h"
#include "fault.h"
#include "shared/sources.h"

static struct supervisor *supervisor;
static struct config *config;
static struct prefix never;

static const struct config_penalties defaults = {
	.enabled = true, .threshold = 100, .half_life_ms = 10000, .first_ms = 10000,
	.max_ms = 60000, .forget_ms = 3600000, .packets_after = 1, .bad_percent = 50,
	.points = { [SLUICE_EVIDENCE_ABUSE] = 100 },
};

static int setup(void **state)
{
	int fds[STATE_FDS];

	(void)state;
	log_init("test", LOG_ERROR, LOG_TEXT);
	supervisor = calloc(1, sizeof(*supervisor));
	config = calloc(1, sizeof(*config));
	memset(fds, -1, sizeof(fds));
	if (!supervisor || !config || loop_init(&supervisor->loop) || state_create_fds(fds) ||
	    state_map(&supervisor->state, fds))
		return -1;
	for (int i = 0; i < STATE_FDS; i++)
		close(fds[i]);
	loop_refresh(&supervisor->loop);
	config->kernel.penalties = defaults;
	config->kernel.source_v4_prefix = supervisor->state.switches->v4_prefix = 32;
	config->kernel.source_v6_prefix = supervisor->state.switches->v6_prefix = 64;
	supervisor->current.config = config;
	penalties_init(supervisor);
	penalties_adopt(&supervisor->penalties, config);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	penalties_done(&supervisor->penalties);
	state_unmap(&supervisor->state);
	loop_done(&supervisor->loop);
	free(config);
	free(supervisor);
	return 0;
}

static struct penalties *penalties(void)
{
	return &supervisor->penalties;
}

static uint64_t now(void)
{
	return loop_now(&supervisor->loop);
}

static struct addr ip(const char *text)
{
	struct addr addr;

	assert_int_equal(addr_from_ip(&addr, text, 0), 0);
	return addr;
}

static const struct penalty *find(const char *text)
{
	struct addr addr = ip(text);
	uint32_t source[4];

	source_of_addr(&supervisor->state, &addr, source);
	for (uint32_t i = 0; i < penalties()->n; i++)
		if (!memcmp(penalties()->rows[i].source, source, sizeof(source)))
			return &penalties()->rows[i];
	return NULL;
}

/* A worker's penalty for a source, as it stands in its row; told to the supervisor. */
static uint32_t offend(const char *text)
{
	struct addr addr = ip(text);
	uint32_t source[4], row;

	source_of_addr(&supervisor->state, &addr, source);
	assert_int_equal(source_open(&supervisor->state, 0, source, 0, now(), &row),
			 SOURCE_OPEN_COUNTED);
	assert_true(source_accuse(&supervisor->state, 0, row, &defaults, SLUICE_EVIDENCE_ABUSE, SOURCE_PIECE,
				  now()));
	source_close(&supervisor->state, 0, row);
	return row;
}

static void tell(uint32_t row)
{
	const struct channel_penalized message = { .row = row };

	penalties_on_message(penalties(), &message);
}

static bool row_holds(const char *text)
{
	struct addr addr = ip(text);
	uint32_t source[4], row;

	source_of_addr(&supervisor->state, &addr, source);
	row = source_find(&supervisor->state, source);
	return row != SOURCE_NONE && source_is_penalized(source_at(&supervisor->state, row), now());
}

static void what_a_worker_tells_is_entered(void **state)
{
	uint64_t until_ns;

	tell(offend("192.0.2.1"));
	assert_int_equal(penalties()->n, 1);
	assert_int_equal(find("192.0.2.1")->level, SLUICE_PENALTY_CONNECTIONS);
	assert_int_equal(find("192.0.2.1")->reason, SLUICE_EVIDENCE_ABUSE);
	assert_int_equal(find("192.0.2.1")->count, 1);
	assert_int_equal(penalties()->given[SLUICE_EVIDENCE_ABUSE], 1);
	until_ns = find("192.0.2.1")->until_ns;
	assert_int_equal(supervisor->state.switches->penalties_until_ns, until_ns);
	assert_int_equal(supervisor->state.switches->packets_until_ns, 0);
	/* Told twice it is the same. */
	tell(CHANNEL_PENALIZED_SOME);
	penalties_sweep(penalties(), now());
	assert_int_equal(penalties()->n, 1);
	assert_int_equal(penalties()->given[SLUICE_EVIDENCE_ABUSE], 1);
	penalties_sweep(penalties(), until_ns - 1);
	assert_int_equal(penalties()->n, 1);
	penalties_sweep(penalties(), until_ns);
	assert_int_equal(penalties()->n, 0);
	assert_int_equal(supervisor->state.switches->penalties_until_ns, 0);
}

static void more_than_could_be_told_is_found(void **state)
{
	char text[32];

	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "2001:db8:0:%x::1", i + 1);
		offend(text);
	}
	tell(CHANNEL_PENALIZED_SOME);
	assert_int_equal(penalties()->n, 0);
	penalties_sweep(penalties(), now());
	assert_int_equal(penalties()->n, 100);
	assert_non_null(find("2001:db8:0:64::7"));
}

/* A worker that was taken over may write what it likes into the rows. */
static void claims_that_the_configuration_would_not_give_are_refused(void **state)
{
	uint32_t row = offend("192.0.2.2");
	struct sluice_source_state *way =
		&supervisor->state.sources[row / SLUICE_SOURCE_WAYS].ways[row % SLUICE_SOURCE_WAYS];

	tell(SOURCE_NONE - 1);
	tell(SLUICE_SOURCE_SETS * SLUICE_SOURCE_WAYS);
	way->reason = SLUICE_EVIDENCE_BY_HAND;
	tell(row);
	assert_int_equal(penalties()->n, 0);
	assert_false(row_holds("192.0.2.2"));
	way->reason = 77;
	way->penalized_until_ns = now() + 1000;
	tell(row);
	assert_int_equal(penalties()->n, 0);
	/* A year becomes the longest that there is. */
	way->reason = SLUICE_EVIDENCE_ABUSE;
	way->penalty_level = 99;
	way->penalized_until_ns = now() + 365ull * 24 * 3600 * NS_PER_S;
	tell(row);
	assert_int_equal(find("192.0.2.2")->level, SLUICE_PENALTY_CONNECTIONS);
	assert_true(find("192.0.2.2")->until_ns <= now() + 60 * NS_PER_S);
	/* Not the first address of its prefix. */
	supervisor->state.switches->v4_prefix = 24;
	way->address[3] = htonl(0xc0000202);
	way->penalized_until_ns = now() + NS_PER_S;
	penalties_pardon_all(penalties());
	way->penalized_until_ns = now() + NS_PER_S;
	tell(row);
	assert_int_equal(penalties()->n, 0);
}

static void a_second_penalty_before_the_first_was_swept_is_a_new_one(void **state)
{
	struct addr addr = ip("192.0.2.8");
	uint32_t row;

	penalties_penalize(penalties(), &addr, 1, SLUICE_PENALTY_PACKETS);
	loop_refresh(&supervisor->loop);
	row = offend("192.0.2.8");
	tell(row);
	assert_int_equal(penalties()->n, 1);
	assert_int_equal(find("192.0.2.8")->level, SLUICE_PENALTY_CONNECTIONS);
	assert_int_equal(find("192.0.2.8")->since_ns, now());
}

static void without_penalties_in_the_configuration_no_worker_gives_any(void **state)
{
	config->kernel.penalties.enabled = false;
	tell(offend("192.0.2.3"));
	assert_int_equal(penalties()->n, 0);
	assert_false(row_holds("192.0.2.3"));
}

static void by_command_a_penalty_is_given_replaced_and_taken_back(void **state)
{
	struct addr addr = ip("192.0.2.4");

	assert_int_equal(penalties_penalize(penalties(), &addr, 100 * NS_PER_S,
					    SLUICE_PENALTY_PACKETS), 0);
	assert_true(row_holds("192.0.2.4"));
	assert_int_equal(find("192.0.2.4")->until_ns, now() + 100 * NS_PER_S);
	assert_int_equal(supervisor->state.switches->packets_until_ns, now() + 100 * NS_PER_S);
	/* Also for less. */
	assert_int_equal(penalties_penalize(penalties(), &addr, 5 * NS_PER_S,
					    SLUICE_PENALTY_CONNECTIONS), 0);
	assert_int_equal(penalties()->n, 1);
	assert_int_equal(find("192.0.2.4")->until_ns, now() + 5 * NS_PER_S);
	assert_int_equal(find("192.0.2.4")->level, SLUICE_PENALTY_CONNECTIONS);
	assert_int_equal(penalties_pardon(penalties(), &addr), 0);
	assert_int_equal(penalties_pardon(penalties(), &addr), -ENOENT);
	assert_false(row_holds("192.0.2.4"));
	assert_int_equal(supervisor->state.switches->penalties_until_ns, 0);
	assert_int_equal(supervisor->state.switches->packets_until_ns, 0);
	assert_int_equal(prefix_parse(&never, "192.0.2.0/24"), 0);
	config->kernel.penalties.never = &never;
	config->kernel.penalties.n_never = 1;
	assert_int_equal(penalties_penalize(penalties(), &addr, 5 * NS_PER_S,
					    SLUICE_PENALTY_CONNECTIONS), -EPERM);
}

static void a_new_configuration_ends_what_it_does_not_want(void **state)
{
	struct addr by_hand = ip("198.51.100.1");

	tell(offend("192.0.2.5"));
	tell(offend("192.0.2.6"));
	penalties_penalize(penalties(), &by_hand, 100 * NS_PER_S, SLUICE_PENALTY_CONNECTIONS);
	penalties_configure(penalties(), config);
	assert_int_equal(penalties()->n, 3);
	assert_int_equal(prefix_parse(&never, "192.0.2.5/32"), 0);
	config->kernel.penalties.never = &never;
	config->kernel.penalties.n_never = 1;
	penalties_configure(penalties(), config);
	assert_null(find("192.0.2.5"));
	assert_false(row_holds("192.0.2.5"));
	assert_int_equal(penalties()->n, 2);
	config->kernel.penalties.enabled = false;
	penalties_configure(penalties(), config);
	assert_null(find("192.0.2.6"));
	assert_non_null(find("198.51.100.1"));
	/* Under another prefix it would be another source. */
	config->kernel.source_v4_prefix = supervisor->state.switches->v4_prefix = 24;
	penalties_configure(penalties(), config);
	assert_int_equal(penalties()->n, 0);
}

static void a_flood_of_them_is_bounded_and_the_longest_stay(void **state)
{
	unsigned longest = 0;

	for (uint32_t i = 0; i < PENALTIES_MAX + 5000; i++) {
		struct addr addr;
		char text[64];

		snprintf(text, sizeof(text), "2001:db8:%x:%x::", i >> 16, i & 0xffff);
		addr_from_ip(&addr, text, 0);
		/* The first 1000 for longest. */
		penalties_penalize(penalties(), &addr, (i < 1000 ? 3600 : 60) * NS_PER_S,
				   SLUICE_PENALTY_CONNECTIONS);
	}
	/* Without BPF some found no room among the rows. */
	assert_in_range(penalties()->n, PENALTIES_MAX - 100, PENALTIES_MAX);
	for (uint32_t i = 0; i < penalties()->n; i++)
		longest += penalties()->rows[i].until_ns > now() + 1000 * NS_PER_S;
	assert_in_range(longest, 990, 1000);
	assert_true(penalties()->pushed_out > 4000);
	assert_int_equal(penalties_pardon_all(penalties()), penalties()->cap ? PENALTIES_MAX : 0);
	assert_int_equal(penalties()->n, 0);
	assert_int_equal(supervisor->state.switches->penalties_until_ns, 0);
}

static void without_memory_none_is_given_and_nothing_breaks(void **state)
{
	struct addr addr = ip("192.0.2.9");

	FAULT_EACH(n) {
		int err = penalties_penalize(penalties(), &addr, NS_PER_S,
					     SLUICE_PENALTY_CONNECTIONS);

		fault_stop();
		assert_int_equal(err, fault_hit() ? -ENOMEM : 0);
		assert_int_equal(penalties()->n, fault_hit() ? 0 : 1);
		assert_int_equal(row_holds("192.0.2.9"), !fault_hit());
		penalties_pardon_all(penalties());
		penalties_done(penalties());
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_a_worker_tells_is_entered),
		TEST(more_than_could_be_told_is_found),
		TEST(claims_that_the_configuration_would_not_give_are_refused),
		TEST(a_second_penalty_before_the_first_was_swept_is_a_new_one),
		TEST(without_penalties_in_the_configuration_no_worker_gives_any),
		TEST(by_command_a_penalty_is_given_replaced_and_taken_back),
		TEST(a_new_configuration_ends_what_it_does_not_want),
		TEST(without_memory_none_is_given_and_nothing_breaks),
		TEST(a_flood_of_them_is_bounded_and_the_longest_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
