/* SPDX-License-Identifier: MIT */
/*
 * loop.c - the epoll loop: descriptors, a 4-ary min-heap of timers, and deferred tasks. Every
 * process has one and does all its work from it. It must not allocate while it runs (only
 * loop_timer_set may grow the heap), must not log, and touches nothing after its callback
 * returned, so that callbacks may remove and free what they like.
 */
#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define HEAP_FIRST 64
/* Children of i: 4i+1 .. 4i+4. Half the depth of a binary heap, and siblings share a line. */
#define HEAP_ARITY 4
#define WAIT_MAX_MS (60 * 60 * 1000)

static uint64_t clock_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

int loop_init(struct loop *loop)
{
	int err;

	memset(loop, 0, sizeof(*loop));
	list_init(&loop->tasks);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	loop->events = calloc(EVENTS_MAX, sizeof(*loop->events));
	loop->heap = calloc(HEAP_FIRST, sizeof(*loop->heap));
	if (!loop->events || !loop->heap) {
		err = -ENOMEM;
		goto out;
	}
	loop->heap_cap = HEAP_FIRST;
	loop->now_ns = clock_now_ns();
	return 0;
out:
	loop_done(loop);
	return err;
}

void loop_done(struct loop *loop)
{
	uint32_t i;

	if (!loop)
		return;
	/* Owners may still cancel what they hold after the loop has gone. */
	for (i = 0; i < loop->heap_len; i++)
		loop->heap[i]->index = 0;
	while (!list_empty(&loop->tasks))
		loop_defer_cancel(list_first(&loop->tasks, struct loop_task, link));
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	free(loop->heap);
	free(loop->events);
	memset(loop, 0, sizeof(*loop));
	list_init(&loop->tasks);
	loop->epoll_fd = -1;
}

uint64_t loop_refresh(struct loop *loop)
{
	loop->now_ns = clock_now_ns();
	return loop->now_ns;
}

int loop_io_add(struct loop *loop, struct loop_io *io, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = io };

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	io->fd = fd;
	io->events = events;
	return 0;
}

int loop_io_mod(struct loop *loop, struct loop_io *io, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = io };

	if (io->fd < 0)
		return -EBADF;
	if (io->events == events)
		return 0;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, io->fd, &ev) < 0)
		return -errno;
	io->events = events;
	return 0;
}

void loop_io_del(struct loop *loop, struct loop_io *io)
{
	int i;

	if (io->fd < 0)
		return;
	if (loop->epoll_fd >= 0)
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	for (i = loop->events_at; i < loop->events_len; i++)
		if (loop->events[i].data.ptr == io)
			loop->events[i].data.ptr = NULL;
	io->fd = -1;
	io->events = 0;
}

static void heap_place(struct loop *loop, uint32_t i, struct loop_timer *timer)
{
	loop->heap[i] = timer;
	timer->index = i + 1;
}

static void heap_up(struct loop *loop, uint32_t i, struct loop_timer *timer)
{
	while (i > 0) {
		uint32_t parent = (i - 1) / HEAP_ARITY;

		if (loop->heap[parent]->deadline_ns <= timer->deadline_ns)
			break;
		heap_place(loop, i, loop->heap[parent]);
		i = parent;
	}
	heap_place(loop, i, timer);
}

static void heap_down(struct loop *loop, uint32_t i, struct loop_timer *timer)
{
	for (;;) {
		uint32_t first = i * HEAP_ARITY + 1, best = first, c;

		if (first >= loop->heap_len)
			break;
		for (c = first + 1; c < first + HEAP_ARITY && c < loop->heap_len; c++)
			if (loop->heap[c]->deadline_ns < loop->heap[best]->deadline_ns)
				best = c;
		if (loop->heap[best]->deadline_ns >= timer->deadline_ns)
			break;
		heap_place(loop, i, loop->heap[best]);
		i = best;
	}
	heap_place(loop, i, timer);
}

static int heap_reserve(struct loop *loop)
{
	uint32_t cap = loop->heap_cap ? loop->heap_cap * 2 : HEAP_FIRST;
	struct loop_timer **heap;

	if (loop->heap_len < loop->heap_cap)
		return 0;
	heap = realloc(loop->heap, cap * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	loop->heap = heap;
	loop->heap_cap = cap;
	return 0;
}

int loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t delay_ns)
{
	uint64_t deadline, before = timer->deadline_ns;
	int err;

	/* At least 1: a timer that re-arms itself with 0 runs once a turn, not for ever in one. */
	if (delay_ns == 0)
		delay_ns = 1;
	deadline = loop->now_ns + delay_ns;
	if (deadline < delay_ns)
		deadline = UINT64_MAX;

	if (timer->index) {
		timer->deadline_ns = deadline;
		if (deadline < before)
			heap_up(loop, timer->index - 1, timer);
		else
			heap_down(loop, timer->index - 1, timer);
		return 0;
	}
	err = heap_reserve(loop);
	if (err)
		return err;
	timer->deadline_ns = deadline;
	heap_up(loop, loop->heap_len++, timer);
	return 0;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	uint32_t i = timer->index - 1;
	struct loop_timer *last;

	if (!timer->index)
		return;
	timer->index = 0;
	last = loop->heap[--loop->heap_len];
	if (last == timer)
		return;
	if (i > 0 && loop->heap[(i - 1) / HEAP_ARITY]->deadline_ns > last->deadline_ns)
		heap_up(loop, i, last);
	else
		heap_down(loop, i, last);
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	list_add_tail(&loop->tasks, &task->link);
}

void loop_defer_cancel(struct loop_task *task)
{
	if (!task->queued)
		return;
	task->queued = false;
	list_del(&task->link);
}

/* How long epoll may sleep. Rounded up: waking before the deadline would only spin. */
static int wait_ms(const struct loop *loop)
{
	uint64_t now, deadline, ms;

	if (!list_empty(&loop->tasks))
		return 0;
	if (!loop->heap_len)
		return -1;
	deadline = loop->heap[0]->deadline_ns;
	if (deadline <= loop->now_ns)
		return 0;
	now = clock_now_ns();
	if (deadline <= now)
		return 0;
	ms = (deadline - now - 1) / NS_PER_MS + 1;
	return ms < WAIT_MAX_MS ? (int)ms : WAIT_MAX_MS;
}

static void run_events(struct loop *loop)
{
	loop->events_at = 0;
	while (loop->events_at < loop->events_len) {
		struct epoll_event *ev = &loop->events[loop->events_at++];
		struct loop_io *io = ev->data.ptr;

		if (io)
			io->on_event(io, ev->events);
	}
	loop->events_at = loop->events_len = 0;
}

static void run_timers(struct loop *loop)
{
	uint64_t due_ns = loop->now_ns;

	while (loop->heap_len && loop->heap[0]->deadline_ns <= due_ns) {
		struct loop_timer *timer = loop->heap[0];

		loop_timer_cancel(loop, timer);
		timer->on_timer(timer);
	}
}

static void run_tasks(struct loop *loop)
{
	while (!list_empty(&loop->tasks)) {
		struct loop_task *task = list_first(&loop->tasks, struct loop_task, link);

		loop_defer_cancel(task);
		task->on_run(task);
	}
}

int loop_turn(struct loop *loop)
{
	int n = epoll_wait(loop->epoll_fd, loop->events, EVENTS_MAX, wait_ms(loop));

	if (n < 0 && errno != EINTR)
		return -errno;
	loop->events_len = n < 0 ? 0 : n;
	loop_refresh(loop);
	run_events(loop);
	run_timers(loop);
	run_tasks(loop);
	return 0;
}

int loop_run(struct loop *loop)
{
	int err = 0;

	while (!loop->stopped && !err)
		err = loop_turn(loop);
	loop->stopped = false;
	return err;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}
