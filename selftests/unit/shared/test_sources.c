/* SPDX-License-Identifier: MIT */
/*
 * test_sources.c - the table of sources: connections counted exactly over processes that come, go and
 * are killed, and who keeps his row when there is no room for all.
 */
#include "shared/sources.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cm.h"
#include "shared/sources_internal.h"

#define NS_PER_S 1000000000ull
#define NOW	 (100 * NS_PER_S)

static struct state shared;

static int setup(void **state)
{
	int fds[STATE_FDS];

	(void)state;
	memset(fds, -1, sizeof(fds));
	if (state_create_fds(fds) || state_map(&shared, fds))
		return -1;
	for (int i = 0; i < STATE_FDS; i++)
		close(fds[i]);
	shared.switches->v4_prefix = 32;
	shared.switches->v6_prefix = 64;
	shared.switches->hash_key[0] = 0x1234567812345678;
	shared.switches->hash_key[1] = 0x9abcdef19abcdef1;
	shared.switches->hash_key[2] = 0x1357924680135792;
	for (uint32_t slot = 0; slot < 4; slot++)
		shared.workers[slot].state = SLUICE_WORKER_LIVE;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	state_unmap(&shared);
	return 0;
}

static void source_text(const char *ip, uint32_t source[4])
{
	struct addr addr;

	assert_int_equal(addr_from_ip(&addr, ip, 0), 0);
	source_of_addr(&shared, &addr, source);
}

static uint32_t connections(const uint32_t source[4])
{
	const struct sluice_source_state *row = source_at(&shared, source_find(&shared, source));

	return row ? row->connections : 0;
}

static uint32_t open_one(uint32_t slot, const uint32_t source[4])
{
	uint32_t row;

	assert_int_equal(source_open(&shared, slot, source, 0, NOW, &row), SOURCE_OPEN_COUNTED);
	return row;
}

static void test_a_source_is_the_first_address_of_its_prefix(void **state)
{
	uint32_t a[4], b[4];
	char text[ADDR_TEXT_MAX];

	(void)state;
	source_text("203.0.113.7", a);
	assert_string_equal(source_format(&shared, a, text, sizeof(text)), "203.0.113.7");
	source_text("::ffff:203.0.113.7", b);
	assert_memory_equal(a, b, sizeof(a));
	source_text("2001:db8:0:5:1:2:3:4", a);
	assert_string_equal(source_format(&shared, a, text, sizeof(text)), "2001:db8:0:5::/64");
	source_text("2001:db8:0:5:ffff::1", b);
	assert_memory_equal(a, b, sizeof(a));
	source_text("2001:db8:0:6::", b);
	assert_memory_not_equal(a, b, sizeof(a));
	shared.switches->v4_prefix = 24;
	shared.switches->v6_prefix = 128;
	source_text("203.0.113.7", a);
	assert_string_equal(source_format(&shared, a, text, sizeof(text)), "203.0.113.0/24");
	source_text("2001:db8::7", a);
	assert_string_equal(source_format(&shared, a, text, sizeof(text)), "2001:db8::7");
	shared.switches->v4_prefix = 32;
	shared.switches->v6_prefix = 64;
}

static void test_connections_are_counted_over_all_workers_and_given_back(void **state)
{
	uint32_t source[4], rows[3];

	(void)state;
	source_text("192.0.2.1", source);
	assert_int_equal(source_find(&shared, source), SOURCE_NONE);
	rows[0] = open_one(0, source);
	rows[1] = open_one(1, source);
	rows[2] = open_one(0, source);
	assert_int_equal(rows[0], rows[1]);
	assert_int_equal(rows[0], source_find(&shared, source));
	assert_int_equal(connections(source), 3);
	source_close(&shared, 1, rows[1]);
	assert_int_equal(connections(source), 2);
	sources_forget_slot(&shared, 1);
	assert_int_equal(connections(source), 2);
	sources_forget_slot(&shared, 0);
	assert_int_equal(connections(source), 0);
	source_close(&shared, 0, SOURCE_NONE);
}

static void test_a_limit_lets_in_as_many_as_it_says(void **state)
{
	uint32_t source[4], row, other;

	(void)state;
	source_text("192.0.2.2", source);
	for (int i = 0; i < 3; i++)
		assert_int_equal(source_open(&shared, (uint32_t)i, source, 3, NOW, &row),
				 SOURCE_OPEN_COUNTED);
	assert_int_equal(source_open(&shared, 0, source, 3, NOW, &other), SOURCE_OPEN_FULL);
	assert_int_equal(other, SOURCE_NONE);
	assert_int_equal(connections(source), 3);
	source_close(&shared, 2, row);
	assert_int_equal(source_open(&shared, 3, source, 3, NOW, &row), SOURCE_OPEN_COUNTED);
}

/* Sources whose rows are in one set, found by trying. */
static void neighbours(uint32_t sources[][4], unsigned n, uint32_t first_net)
{
	uint32_t set = UINT32_MAX;
	unsigned found = 0;

	for (uint32_t i = 0; found < n; i++) {
		uint32_t source[4] = { 0, 0, htonl(0xffff), htonl(first_net + i) };
		uint32_t is = source_hash(source, shared.switches->hash_key) % SLUICE_SOURCE_SETS;

		if (set == UINT32_MAX)
			set = is;
		if (is == set)
			memcpy(sources[found++], source, sizeof(source));
	}
}

static void test_who_has_connections_keeps_his_row_and_others_go_uncounted(void **state)
{
	uint32_t sources[10][4], rows[10];

	(void)state;
	neighbours(sources, 10, 0x0a000000);
	for (int i = 0; i < 8; i++)
		rows[i] = open_one(0, sources[i]);
	assert_int_equal(source_open(&shared, 0, sources[8], 0, NOW, &rows[8]),
			 SOURCE_OPEN_UNTRACKED);
	assert_int_equal(rows[8], SOURCE_NONE);
	assert_int_equal(source_penalize(&shared, sources[8], NOW + NS_PER_S,
					 SLUICE_PENALTY_CONNECTIONS, SLUICE_EVIDENCE_BY_HAND, NOW),
			 -ENOSPC);
	for (int i = 0; i < 8; i++)
		assert_int_equal(connections(sources[i]), 1);
	/* The first that has none makes room. */
	source_close(&shared, 0, rows[3]);
	rows[9] = open_one(0, sources[9]);
	assert_int_equal(rows[9], rows[3]);
	assert_int_equal(source_find(&shared, sources[3]), SOURCE_NONE);
	assert_int_equal(connections(sources[9]), 1);
	sources_forget_slot(&shared, 0);
}

static void test_a_flood_of_sources_takes_the_rows_of_those_with_nothing_to_lose(void **state)
{
	uint32_t sources[200][4];
	uint32_t row;

	(void)state;
	neighbours(sources, 200, 0x0b000000);
	/* Under a penalty, penalized before, with points, with nothing: seen in this order. */
	assert_int_equal(source_penalize(&shared, sources[0], NOW + 3600 * NS_PER_S,
					 SLUICE_PENALTY_CONNECTIONS, SLUICE_EVIDENCE_ABUSE, NOW), 0);
	row = open_one(0, sources[1]);
	sources_row(&shared, row)->penalty_count = 1;
	source_close(&shared, 0, row);
	row = open_one(0, sources[2]);
	sources_row(&shared, row)->points = 5 * SOURCE_POINT;
	source_close(&shared, 0, row);
	for (int i = 3; i < 200; i++)
		source_close(&shared, 0, open_one(0, sources[i]));
	for (int i = 0; i < 3; i++)
		assert_int_not_equal(source_find(&shared, sources[i]), SOURCE_NONE);
	assert_int_equal(source_find(&shared, sources[3]), SOURCE_NONE);
	assert_int_not_equal(source_find(&shared, sources[199]), SOURCE_NONE);
	/* With connections open everywhere else even a penalty's row goes: the last of all. */
	for (int i = 10; i < 18; i++)
		open_one(1, sources[i]);
	assert_int_equal(source_find(&shared, sources[0]), SOURCE_NONE);
	sources_forget_slot(&shared, 1);
}

/* Ten times more sources than there is room for, none of which stays connected. */
static void test_a_million_sources_push_out_none_that_matters(void **state)
{
	struct { uint32_t source[4]; uint32_t row; } kept[1000];
	uint32_t source[4] = { 0, 0, htonl(0xffff), 0 }, row;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		source[3] = htonl(0x0f000000 + i);
		memcpy(kept[i].source, source, sizeof(source));
		/* A third connected, a third under a penalty, a third penalized before. */
		kept[i].row = open_one(3, source);
		if (i % 3)
			source_close(&shared, 3, kept[i].row);
		if (i % 3 == 1)
			assert_int_equal(source_penalize(&shared, source, NOW + 3600 * NS_PER_S,
							 SLUICE_PENALTY_CONNECTIONS,
							 SLUICE_EVIDENCE_ABUSE, NOW), 0);
		if (i % 3 == 2)
			sources_row(&shared, kept[i].row)->penalty_count = 1;
	}
	for (uint32_t i = 0; i < 10 * SOURCES_MAX; i++) {
		source[3] = htonl(0x20000000 + i);
		if (source_open(&shared, 0, source, 0, NOW + i, &row) == SOURCE_OPEN_COUNTED)
			source_close(&shared, 0, row);
	}
	for (int i = 0; i < 1000; i++)
		assert_int_equal(source_find(&shared, kept[i].source), kept[i].row);
	assert_in_range(sources_used(&shared), SOURCES_MAX / 2, SOURCES_MAX);
	sources_forget_slot(&shared, 3);
}

static void test_history_is_worth_nothing_after_an_hour(void **state)
{
	uint32_t sources[9][4], row;

	(void)state;
	neighbours(sources, 9, 0x0c000000);
	row = open_one(0, sources[0]);
	sources_row(&shared, row)->penalty_count = 3;
	source_close(&shared, 0, row);
	for (int i = 1; i < 9; i++) {
		assert_int_equal(source_open(&shared, 0, sources[i], 0, NOW + 3601 * NS_PER_S, &row),
				 SOURCE_OPEN_COUNTED);
		source_close(&shared, 0, row);
	}
	assert_int_equal(source_find(&shared, sources[0]), SOURCE_NONE);
}

static void test_a_source_under_a_penalty_is_not_let_in(void **state)
{
	uint32_t source[4], row;

	(void)state;
	source_text("192.0.2.9", source);
	assert_int_equal(source_penalize(&shared, source, NOW + NS_PER_S, SLUICE_PENALTY_PACKETS,
					 SLUICE_EVIDENCE_BY_HAND, NOW), 0);
	assert_int_equal(source_open(&shared, 0, source, 0, NOW, &row), SOURCE_OPEN_PENALIZED);
	assert_int_equal(source_open(&shared, 0, source, 0, NOW + NS_PER_S, &row),
			 SOURCE_OPEN_COUNTED);
	source_close(&shared, 0, row);
	assert_int_equal(source_penalize(&shared, source, NOW + NS_PER_S, SLUICE_PENALTY_PACKETS,
					 SLUICE_EVIDENCE_BY_HAND, NOW), 0);
	assert_int_equal(source_pardon(&shared, source), 0);
	assert_int_equal(source_open(&shared, 0, source, 0, NOW, &row), SOURCE_OPEN_COUNTED);
	source_close(&shared, 0, row);
	source_text("192.0.2.10", source);
	assert_int_equal(source_pardon(&shared, source), 0);
}

/* A worker that opens and closes as fast as it can, killed at some moment, again and again. */
static void test_a_killed_worker_leaves_no_count_and_no_lock_behind(void **state)
{
	uint32_t sources[3][4], other;

	(void)state;
	neighbours(sources, 3, 0x0d000000);
	other = open_one(1, sources[0]);
	for (int round = 0; round < 40; round++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		for (unsigned i = 0; pid == 0; i++) {
			uint32_t a, b;

			source_open(&shared, 2, sources[i % 3], 0, NOW, &a);
			source_open(&shared, 2, sources[0], 0, NOW, &b);
			source_close(&shared, 2, a);
			source_close(&shared, 2, b);
		}
		usleep(1000 + (useconds_t)round * 37);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		sources_forget_slot(&shared, 2);
		assert_int_equal(connections(sources[0]), 1);
		assert_int_equal(connections(sources[1]), 0);
		assert_int_equal(connections(sources[2]), 0);
		assert_int_equal(shared.sources[other / SLUICE_SOURCE_WAYS].lock, 0);
	}
	source_close(&shared, 1, other);
}

static void test_a_lock_whose_holder_died_holds_nobody_up_for_long(void **state)
{
	uint32_t source[4], row, other;

	(void)state;
	source_text("192.0.2.20", source);
	row = open_one(1, source);
	assert_true(sources_lock(&shared.sources[row / SLUICE_SOURCE_WAYS], 3));
	/* Killed in the middle: one counted that is in no ledger. */
	sources_row(&shared, row)->connections++;
	assert_int_equal(source_open(&shared, 1, source, 0, NOW, &other), SOURCE_OPEN_UNTRACKED);
	sources_forget_slot(&shared, 3);
	assert_int_equal(connections(source), 1);
	other = open_one(2, source);
	assert_int_equal(connections(source), 2);
	source_close(&shared, 1, row);
	source_close(&shared, 2, other);
	assert_int_equal(connections(source), 0);
}

static void test_processes_count_exactly_at_the_same_time(void **state)
{
	uint32_t sources[12][4];
	pid_t pids[3];

	(void)state;
	neighbours(sources, 12, 0x0e000000); /* more than the set has room for */
	for (uint32_t p = 0; p < 3; p++) {
		pids[p] = fork();
		assert_true(pids[p] >= 0);
		for (unsigned i = 0; pids[p] == 0 && i < 20000; i++) {
			uint32_t rows[2];

			source_open(&shared, p, sources[(i + p) % 12], 0, NOW + i, &rows[0]);
			source_open(&shared, p, sources[i % 5], 0, NOW + i, &rows[1]);
			source_close(&shared, p, rows[0]);
			source_close(&shared, p, rows[1]);
		}
		if (!pids[p])
			_exit(0);
	}
	for (int p = 0; p < 3; p++) {
		int status;

		waitpid(pids[p], &status, 0);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < 12; i++)
		assert_int_equal(connections(sources[i]), 0);
	for (uint32_t row = 0; row < SOURCES_MAX; row++)
		assert_int_equal(shared.ledger[0].sources[row], 0);
}

static void test_rows_in_use_are_counted(void **state)
{
	uint32_t before = sources_used(&shared), source[4];

	(void)state;
	source_text("198.51.100.77", source);
	source_close(&shared, 0, open_one(0, source));
	assert_int_equal(sources_used(&shared), before + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_source_is_the_first_address_of_its_prefix),
		cmocka_unit_test(test_connections_are_counted_over_all_workers_and_given_back),
		cmocka_unit_test(test_a_limit_lets_in_as_many_as_it_says),
		cmocka_unit_test(test_who_has_connections_keeps_his_row_and_others_go_uncounted),
		cmocka_unit_test(test_a_flood_of_sources_takes_the_rows_of_those_with_nothing_to_lose),
		cmocka_unit_test(test_history_is_worth_nothing_after_an_hour),
		cmocka_unit_test(test_a_source_under_a_penalty_is_not_let_in),
		cmocka_unit_test(test_a_killed_worker_leaves_no_count_and_no_lock_behind),
		cmocka_unit_test(test_a_lock_whose_holder_died_holds_nobody_up_for_long),
		cmocka_unit_test(test_processes_count_exactly_at_the_same_time),
		cmocka_unit_test(test_rows_in_use_are_counted),
		cmocka_unit_test(test_a_million_sources_push_out_none_that_matters),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
