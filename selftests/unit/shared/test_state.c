/* SPDX-License-Identifier: MIT */
/*
 * test_state.c - the shared facts: made, sealed and mapped by several processes, and the ledger
 * that takes back what a killed worker left counted.
 */
#include "shared/state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cm.h"

static int fds[STATE_FDS];
static struct state shared;

static int setup(void **state)
{
	(void)state;
	memset(fds, -1, sizeof(fds));
	if (state_create_fds(fds) != 0)
		return -1;
	return state_map(&shared, fds);
}

static int teardown(void **state)
{
	int i;

	(void)state;
	state_unmap(&shared);
	for (i = 0; i < STATE_FDS; i++)
		close(fds[i]);
	return 0;
}

static void test_memory_is_zero_and_shared_by_all_who_map_it(void **state)
{
	struct state other;

	(void)state;
	assert_int_equal(state_map(&other, fds), 0);
	assert_int_equal(other.backends[SLUICE_MAX_BACKENDS - 1].weight, 0);
	shared.backends[SLUICE_MAX_BACKENDS - 1].weight = 77;
	shared.groups[SLUICE_MAX_GROUPS - 1].live = 5;
	state_store64(&shared.workers[SLUICE_MAX_WORKERS - 1].heartbeat_ns, 99);
	shared.ledger[SLUICE_MAX_WORKERS - 1].backends[SLUICE_MAX_BACKENDS - 1][1] = 3;
	assert_int_equal(other.backends[SLUICE_MAX_BACKENDS - 1].weight, 77);
	assert_int_equal(other.groups[SLUICE_MAX_GROUPS - 1].live, 5);
	assert_int_equal(state_load64(&other.workers[SLUICE_MAX_WORKERS - 1].heartbeat_ns), 99);
	assert_int_equal(
		other.ledger[SLUICE_MAX_WORKERS - 1].backends[SLUICE_MAX_BACKENDS - 1][1], 3);
	state_unmap(&other);
	assert_null(other.workers);
	state_unmap(&other);
	state_unmap(NULL);
}

static void test_descriptors_given_are_kept(void **state)
{
	int mine[STATE_FDS] = { fds[STATE_FD_WORKERS], fds[STATE_FD_GROUPS],
				fds[STATE_FD_BACKENDS], fds[STATE_FD_ROUTES],
				fds[STATE_FD_LIMITS], fds[STATE_FD_SOURCES],
				fds[STATE_FD_SWITCHES], -1 };
	struct state other;

	(void)state;
	assert_int_equal(state_create_fds(mine), 0);
	assert_int_equal(mine[STATE_FD_WORKERS], fds[STATE_FD_WORKERS]);
	assert_int_equal(mine[STATE_FD_BACKENDS], fds[STATE_FD_BACKENDS]);
	assert_true(mine[STATE_FD_LEDGER] >= 0 && mine[STATE_FD_LEDGER] != fds[STATE_FD_LEDGER]);
	assert_int_equal(state_map(&other, mine), 0);
	shared.ledger[0].backends[0][0] = 4;
	assert_int_equal(other.ledger[0].backends[0][0], 0);
	state_unmap(&other);
	close(mine[STATE_FD_LEDGER]);
}

static void test_no_process_can_shrink_it_under_the_others(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < STATE_FDS; i++) {
		assert_int_equal(ftruncate(fds[i], 0), -1);
		assert_int_equal(errno, EPERM);
		assert_int_equal(ftruncate(fds[i], 1 << 30), -1);
		assert_int_equal(fcntl(fds[i], F_ADD_SEALS, F_SEAL_WRITE), -1);
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
	}
}

static void test_create_and_map_leave_nothing_behind_on_failure(void **state)
{
	int none[STATE_FDS], bad[STATE_FDS], i, lowest;
	struct rlimit limit, tight;
	struct state other;

	(void)state;
	memset(none, 0xff, sizeof(none));
	lowest = dup(0);
	close(lowest);
	getrlimit(RLIMIT_NOFILE, &limit);
	tight = limit;
	tight.rlim_cur = (rlim_t)lowest + 2; /* room for two of them */
	setrlimit(RLIMIT_NOFILE, &tight);
	assert_int_equal(state_create_fds(none), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &limit);
	for (i = 0; i < STATE_FDS; i++)
		assert_int_equal(none[i], -1);
	i = dup(0);
	assert_int_equal(i, lowest);
	close(i);

	memcpy(bad, fds, sizeof(bad));
	bad[STATE_FD_LEDGER] = -1;
	assert_int_equal(state_map(&other, bad), -EBADF);
}

static void test_ledger_and_backends_count_together(void **state)
{
	const struct sluice_backend *backend = &shared.backends[7];
	int i;

	(void)state;
	for (i = 0; i < 5; i++)
		state_count_up(&shared, 0, STATE_BACKEND_CALLS, 7);
	for (i = 0; i < 3; i++)
		state_count_up(&shared, 1, STATE_BACKEND_CALLS, 7);
	state_count_up(&shared, 0, STATE_BACKEND_CONNECTIONS, 7);
	state_count_up(&shared, 1, STATE_BACKEND_CONNECTIONS, 7);
	assert_int_equal(state_load32(&backend->active_rpcs), 8);
	assert_int_equal(state_load32(&backend->connections), 2);
	state_count_down(&shared, 0, STATE_BACKEND_CALLS, 7);
	state_count_down(&shared, 1, STATE_BACKEND_CONNECTIONS, 7);
	assert_int_equal(state_load32(&backend->active_rpcs), 7);
	assert_int_equal(state_load32(&backend->connections), 1);
	assert_int_equal(shared.ledger[0].backends[7][0], 4);
	assert_int_equal(shared.ledger[1].backends[7][0], 3);
}

static void test_a_dead_slot_gives_back_its_own_share_only(void **state)
{
	uint32_t last = SLUICE_MAX_BACKENDS - 1;

	(void)state;
	state_count_up(&shared, 2, STATE_BACKEND_CALLS, 0);
	state_count_up(&shared, 2, STATE_BACKEND_CALLS, 0);
	state_count_up(&shared, 3, STATE_BACKEND_CALLS, 0);
	state_count_up(&shared, 2, STATE_BACKEND_CONNECTIONS, last);
	state_count_up(&shared, 3, STATE_BACKEND_CONNECTIONS, last);
	state_forget_slot(&shared, 2);
	assert_int_equal(shared.backends[0].active_rpcs, 1);
	assert_int_equal(shared.backends[last].connections, 1);
	state_forget_slot(&shared, 2);
	assert_int_equal(shared.backends[0].active_rpcs, 1);
	state_count_down(&shared, 3, STATE_BACKEND_CALLS, 0);
	state_count_down(&shared, 3, STATE_BACKEND_CONNECTIONS, last);
	assert_int_equal(shared.backends[0].active_rpcs, 0);
	assert_int_equal(shared.backends[last].connections, 0);
}

/* A worker that counts up and down as fast as it can, killed at some moment. */
static void test_a_killed_worker_leaves_at_most_its_half_step(void **state)
{
	uint32_t left = 0, round;

	(void)state;
	for (round = 0; round < 20; round++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			for (;;) {
				state_count_up(&shared, 5, STATE_BACKEND_CALLS, 9);
				state_count_up(&shared, 5, STATE_BACKEND_CALLS, 9);
				state_count_down(&shared, 5, STATE_BACKEND_CALLS, 9);
				state_count_down(&shared, 5, STATE_BACKEND_CALLS, 9);
			}
		usleep(2000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		state_forget_slot(&shared, 5);
		/* Never below, which would be four billion; at most one up for each kill. */
		assert_in_range(shared.backends[9].active_rpcs, left, left + 1);
		left = shared.backends[9].active_rpcs;
	}
}

static void test_processes_count_exactly_at_the_same_time(void **state)
{
	pid_t pids[3];
	int i, p;

	(void)state;
	for (p = 0; p < 3; p++) {
		pids[p] = fork();
		assert_true(pids[p] >= 0);
		if (pids[p] == 0) {
			for (i = 0; i < 20000; i++) {
				state_count_up(&shared, (uint32_t)p, STATE_BACKEND_CALLS, 11);
				if (i % 2)
					state_count_down(&shared, (uint32_t)p, STATE_BACKEND_CALLS, 11);
			}
			_exit(0);
		}
	}
	for (p = 0; p < 3; p++)
		waitpid(pids[p], NULL, 0);
	assert_int_equal(shared.backends[11].active_rpcs, 3 * 10000);
	for (p = 0; p < 3; p++)
		state_forget_slot(&shared, (uint32_t)p);
	assert_int_equal(shared.backends[11].active_rpcs, 0);
}

#define STATE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STATE_TEST(test_memory_is_zero_and_shared_by_all_who_map_it),
		STATE_TEST(test_descriptors_given_are_kept),
		STATE_TEST(test_no_process_can_shrink_it_under_the_others),
		STATE_TEST(test_create_and_map_leave_nothing_behind_on_failure),
		STATE_TEST(test_ledger_and_backends_count_together),
		STATE_TEST(test_a_dead_slot_gives_back_its_own_share_only),
		STATE_TEST(test_a_killed_worker_leaves_at_most_its_half_step),
		STATE_TEST(test_processes_count_exactly_at_the_same_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
