/* SPDX-License-Identifier: MIT */
/*
 * test_loop.c - the event loop: order of timers, what a removed descriptor still hears (nothing),
 * deferred tasks, and no allocation while it runs.
 */
#include "base/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cm.h"
#include "fault.h"

#define PIPES 8
#define TIMERS 2000

static struct loop loop;

static int setup(void **state)
{
	(void)state;
	return loop_init(&loop);
}

static int teardown(void **state)
{
	(void)state;
	loop_done(&loop);
	return 0;
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Timers */

struct tick {
	struct loop_timer timer;
	uint64_t deadline_ns;
	unsigned runs;
	uint64_t again_ns; /* re-arm with this, where not UINT64_MAX */
	struct tick *cancels;
};

static struct {
	uint64_t last_ns;
	unsigned runs;
} ticks;

static void on_tick(struct loop_timer *timer)
{
	struct tick *tick = container_of(timer, struct tick, timer);

	assert_false(loop_timer_is_set(timer));
	assert_true(tick->deadline_ns >= ticks.last_ns);
	assert_true(loop_now(&loop) >= tick->deadline_ns);
	ticks.last_ns = tick->deadline_ns;
	ticks.runs++;
	tick->runs++;
	if (tick->cancels)
		loop_timer_cancel(&loop, &tick->cancels->timer);
	if (tick->again_ns != UINT64_MAX) {
		assert_int_equal(loop_timer_set(&loop, timer, tick->again_ns), 0);
		tick->deadline_ns = timer->deadline_ns;
	}
}

static void tick_set(struct tick *tick, uint64_t delay_ns)
{
	tick->timer.on_timer = on_tick;
	assert_int_equal(loop_timer_set(&loop, &tick->timer, delay_ns), 0);
	tick->deadline_ns = tick->timer.deadline_ns;
}

static void tick_init(struct tick *tick)
{
	memset(tick, 0, sizeof(*tick));
	tick->again_ns = UINT64_MAX;
}

static void test_timers_run_in_order_of_their_deadlines(void **state)
{
	struct tick *many = calloc(TIMERS, sizeof(*many));
	unsigned i, set = 0;

	(void)state;
	srandom(4);
	memset(&ticks, 0, sizeof(ticks));
	for (i = 0; i < TIMERS; i++) {
		tick_init(&many[i]);
		tick_set(&many[i], (uint64_t)random() % (20 * NS_PER_MS));
	}
	/* Move some, cancel some, from anywhere in the heap. */
	for (i = 0; i < TIMERS; i += 3)
		tick_set(&many[i], (uint64_t)random() % (20 * NS_PER_MS));
	for (i = 1; i < TIMERS; i += 5) {
		loop_timer_cancel(&loop, &many[i].timer);
		loop_timer_cancel(&loop, &many[i].timer);
	}
	for (i = 0; i < TIMERS; i++)
		set += loop_timer_is_set(&many[i].timer);
	assert_int_equal(set, loop.heap_len);
	while (loop.heap_len)
		assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(ticks.runs, set);
	for (i = 0; i < TIMERS; i++)
		assert_int_equal(many[i].runs, i % 5 != 1);
	free(many);
}

static void test_a_timer_never_runs_early_and_not_much_late(void **state)
{
	uint64_t begun = clock_ns();
	struct tick tick;

	(void)state;
	memset(&ticks, 0, sizeof(ticks));
	tick_init(&tick);
	loop_refresh(&loop);
	tick_set(&tick, 30 * NS_PER_MS);
	while (!tick.runs)
		assert_int_equal(loop_turn(&loop), 0);
	assert_in_range(clock_ns() - begun, 30 * NS_PER_MS, 2 * NS_PER_S);
}

static void test_a_timer_that_rearms_with_zero_runs_once_a_turn(void **state)
{
	struct tick tick;
	unsigned i;

	(void)state;
	memset(&ticks, 0, sizeof(ticks));
	tick_init(&tick);
	tick.again_ns = 0;
	tick_set(&tick, 0);
	for (i = 1; i <= 100; i++) {
		assert_int_equal(loop_turn(&loop), 0);
		assert_int_equal(tick.runs, i);
	}
	loop_timer_cancel(&loop, &tick.timer);
}

static void test_a_timer_may_cancel_one_that_is_due_in_the_same_turn(void **state)
{
	struct tick first, second;

	(void)state;
	memset(&ticks, 0, sizeof(ticks));
	tick_init(&first);
	tick_init(&second);
	first.cancels = &second;
	tick_set(&first, 1);
	tick_set(&second, 2);
	usleep(100);
	assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(first.runs, 1);
	assert_int_equal(second.runs, 0);
}

static void test_endless_delays_do_not_wrap(void **state)
{
	struct tick tick, soon;

	(void)state;
	memset(&ticks, 0, sizeof(ticks));
	tick_init(&tick);
	tick_init(&soon);
	tick_set(&tick, UINT64_MAX);
	assert_true(tick.timer.deadline_ns == UINT64_MAX);
	tick_set(&soon, NS_PER_MS);
	while (!soon.runs)
		assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(tick.runs, 0);
	loop_timer_cancel(&loop, &tick.timer);
}

static void test_no_memory_for_a_timer_leaves_it_unset(void **state)
{
	struct tick many[65], *last = &many[64];
	unsigned i;

	(void)state;
	for (i = 0; i < 64; i++) {
		tick_init(&many[i]);
		tick_set(&many[i], NS_PER_S);
	}
	tick_init(last);
	last->timer.on_timer = on_tick;
	fault_start(0);
	assert_int_equal(loop_timer_set(&loop, &last->timer, NS_PER_MS), -ENOMEM);
	fault_stop();
	assert_false(loop_timer_is_set(&last->timer));
	loop_timer_cancel(&loop, &last->timer);
	assert_int_equal(loop_timer_set(&loop, &last->timer, NS_PER_MS), 0);
	assert_ptr_equal(loop.heap[0], &last->timer);
	for (i = 0; i < 65; i++)
		loop_timer_cancel(&loop, &many[i].timer);
	assert_int_equal(loop.heap_len, 0);
}

/* Descriptors */

struct end {
	struct loop_io io;
	int writer;
	unsigned heard;
	uint32_t events;
	struct end *removes[PIPES];
	bool frees_by_task;
	struct loop_task task;
};

static struct end *ends[PIPES];

static void on_end(struct loop_io *io, uint32_t events)
{
	struct end *end = container_of(io, struct end, io);
	unsigned i;

	end->heard++;
	end->events = events;
	for (i = 0; i < PIPES; i++)
		if (end->removes[i])
			loop_io_del(&loop, &end->removes[i]->io);
}

static int setup_ends(void **state)
{
	unsigned i;
	int fds[2];

	setup(state);
	for (i = 0; i < PIPES; i++) {
		ends[i] = calloc(1, sizeof(*ends[i]));
		assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
		ends[i]->writer = fds[1];
		ends[i]->io.on_event = on_end;
		assert_int_equal(loop_io_add(&loop, &ends[i]->io, fds[0], EPOLLIN), 0);
	}
	return 0;
}

static int teardown_ends(void **state)
{
	unsigned i;

	for (i = 0; i < PIPES; i++) {
		int fd = ends[i]->io.fd;

		loop_io_del(&loop, &ends[i]->io);
		if (fd >= 0)
			close(fd);
		close(ends[i]->writer);
		free(ends[i]);
	}
	return teardown(state);
}

static void make_all_ready(void)
{
	unsigned i;

	for (i = 0; i < PIPES; i++)
		assert_int_equal(write(ends[i]->writer, "x", 1), 1);
}

static unsigned heard(void)
{
	unsigned i, sum = 0;

	for (i = 0; i < PIPES; i++)
		sum += ends[i]->heard;
	return sum;
}

static void test_the_first_of_a_batch_silences_all_others(void **state)
{
	int fds[PIPES];
	unsigned i, other;

	(void)state;
	for (i = 0; i < PIPES; i++) {
		fds[i] = ends[i]->io.fd;
		for (other = 0; other < PIPES; other++)
			ends[i]->removes[other] = other == i ? NULL : ends[other];
	}
	make_all_ready();
	assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(heard(), 1);
	for (i = 0; i < PIPES; i++) {
		assert_int_equal(ends[i]->io.fd >= 0, ends[i]->heard == 1);
		if (ends[i]->io.fd < 0)
			close(fds[i]);
	}
}

static void test_one_may_remove_itself(void **state)
{
	int fd = ends[0]->io.fd;

	(void)state;
	ends[0]->removes[0] = ends[0];
	make_all_ready();
	assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(ends[0]->heard, 1);
	assert_int_equal(ends[1]->heard, 2);
	assert_int_equal(ends[0]->io.fd, -1);
	close(fd);
}

static void free_end(struct loop_task *task)
{
	struct end *end = container_of(task, struct end, task);

	memset(end, 0xee, sizeof(*end));
	free(end);
}

static void remove_and_free_all_others(struct loop_io *io, uint32_t events)
{
	struct end *end = container_of(io, struct end, io);
	unsigned i;

	(void)events;
	end->heard++;
	for (i = 0; i < PIPES; i++) {
		if (ends[i] == end)
			continue;
		close(ends[i]->writer);
		close(ends[i]->io.fd);
		loop_io_del(&loop, &ends[i]->io);
		ends[i]->task.on_run = free_end;
		loop_defer(&loop, &ends[i]->task);
		ends[i] = calloc(1, sizeof(*ends[i]));
		ends[i]->io.fd = ends[i]->writer = -1;
	}
	loop_io_del(&loop, &end->io);
}

/* Under the address sanitizer this is the test for use after free. */
static void test_removed_and_freed_in_the_same_turn(void **state)
{
	int fds[PIPES];
	unsigned i;

	(void)state;
	for (i = 0; i < PIPES; i++) {
		fds[i] = ends[i]->io.fd;
		ends[i]->io.on_event = remove_and_free_all_others;
	}
	make_all_ready();
	assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(heard(), 1);
	for (i = 0; i < PIPES; i++)
		if (ends[i]->heard)
			close(fds[i]);
}

static void test_events_follow_mod(void **state)
{
	struct loop_io *io = &ends[0]->io;

	(void)state;
	make_all_ready();
	assert_int_equal(loop_io_mod(&loop, io, 0), 0);
	assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(ends[0]->heard, 0);
	assert_int_equal(loop_io_mod(&loop, io, EPOLLIN), 0);
	assert_int_equal(loop_io_mod(&loop, io, EPOLLIN), 0);
	assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(ends[0]->heard, 1);
	assert_true(ends[0]->events & EPOLLIN);
	/* A hang-up is heard whatever was asked for. */
	close(ends[1]->writer);
	ends[1]->writer = -1;
	assert_int_equal(loop_turn(&loop), 0);
	assert_true(ends[1]->events & EPOLLHUP);
}

static void test_errors_are_returned(void **state)
{
	struct loop_io io = { .fd = -1, .on_event = on_end };
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(loop_io_add(&loop, &io, 1000000, EPOLLIN), -EBADF);
	assert_int_equal(io.fd, -1);
	assert_int_equal(loop_io_mod(&loop, &io, EPOLLIN), -EBADF);
	loop_io_del(&loop, &io);
	assert_int_equal(loop_io_add(&loop, &ends[0]->io, ends[0]->io.fd, EPOLLIN), -EEXIST);
	close(file);
}

static void test_turns_allocate_nothing(void **state)
{
	struct tick tick;
	unsigned i;

	(void)state;
	memset(&ticks, 0, sizeof(ticks));
	tick_init(&tick);
	tick.again_ns = 0;
	make_all_ready();
	fault_start_all(0);
	tick_set(&tick, 0);
	for (i = 0; i < 50; i++)
		assert_int_equal(loop_turn(&loop), 0);
	fault_stop();
	assert_int_equal(fault_count(), 0);
	assert_int_equal(heard(), 50 * PIPES);
	loop_timer_cancel(&loop, &tick.timer);
}

/* Tasks */

struct job {
	struct loop_task task;
	struct job *next;
	unsigned runs;
};

static void on_job(struct loop_task *task)
{
	struct job *job = container_of(task, struct job, task);

	assert_false(task->queued);
	job->runs++;
	if (job->next)
		loop_defer(&loop, &job->next->task);
}

static void test_tasks_run_once_a_turn_with_those_they_queue(void **state)
{
	struct job third = { .task.on_run = on_job }, second = third, first = third;
	struct job cancelled = third;

	(void)state;
	first.next = &second;
	second.next = &third;
	loop_defer(&loop, &first.task);
	loop_defer(&loop, &first.task);
	loop_defer(&loop, &cancelled.task);
	loop_defer_cancel(&cancelled.task);
	loop_defer_cancel(&cancelled.task);
	assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(first.runs, 1);
	assert_int_equal(second.runs, 1);
	assert_int_equal(third.runs, 1);
	assert_int_equal(cancelled.runs, 0);
}

static void stop(struct loop_task *task)
{
	(void)task;
	loop_stop(&loop);
}

static void test_run_ends_with_the_turn_that_stops_it(void **state)
{
	struct job job = { .task.on_run = on_job };
	struct loop_task stopper = { .on_run = stop };

	(void)state;
	loop_defer(&loop, &stopper);
	loop_defer(&loop, &job.task);
	assert_int_equal(loop_run(&loop), 0);
	assert_int_equal(job.runs, 1);
	loop_defer(&loop, &stopper);
	assert_int_equal(loop_run(&loop), 0);
}

static void test_owners_may_let_go_after_the_loop_is_gone(void **state)
{
	struct job job = { .task.on_run = on_job };
	struct tick tick;
	struct loop other;

	(void)state;
	tick_init(&tick);
	tick.timer.on_timer = on_tick;
	assert_int_equal(loop_init(&other), 0);
	assert_int_equal(loop_timer_set(&other, &tick.timer, NS_PER_S), 0);
	loop_defer(&other, &job.task);
	loop_done(&other);
	loop_timer_cancel(&other, &tick.timer);
	loop_defer_cancel(&job.task);
	loop_done(&other);
	loop_done(NULL);
}

static void test_init_fails_cleanly_without_memory(void **state)
{
	struct loop other;

	(void)state;
	FAULT_EACH(n) {
		int err = loop_init(&other);

		fault_stop();
		assert_int_equal(err, fault_hit() ? -ENOMEM : 0);
		loop_done(&other);
	}
}

#define LOOP_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define ENDS_TEST(test) cmocka_unit_test_setup_teardown(test, setup_ends, teardown_ends)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_timers_run_in_order_of_their_deadlines),
		LOOP_TEST(test_a_timer_never_runs_early_and_not_much_late),
		LOOP_TEST(test_a_timer_that_rearms_with_zero_runs_once_a_turn),
		LOOP_TEST(test_a_timer_may_cancel_one_that_is_due_in_the_same_turn),
		LOOP_TEST(test_endless_delays_do_not_wrap),
		LOOP_TEST(test_no_memory_for_a_timer_leaves_it_unset),
		ENDS_TEST(test_the_first_of_a_batch_silences_all_others),
		ENDS_TEST(test_one_may_remove_itself),
		ENDS_TEST(test_removed_and_freed_in_the_same_turn),
		ENDS_TEST(test_events_follow_mod),
		ENDS_TEST(test_errors_are_returned),
		ENDS_TEST(test_turns_allocate_nothing),
		LOOP_TEST(test_tasks_run_once_a_turn_with_those_they_queue),
		LOOP_TEST(test_run_ends_with_the_turn_that_stops_it),
		LOOP_TEST(test_owners_may_let_go_after_the_loop_is_gone),
		LOOP_TEST(test_init_fails_cleanly_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
