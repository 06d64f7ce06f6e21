/* SPDX-License-Identifier: MIT */
/*
 * loop.h - one epoll loop: descriptors, timers, and tasks run at the end of a turn. Single
 * threaded, one a process. Everything is embedded in its owner; the loop allocates only its
 * timer heap. A callback may remove and (by a deferred task) free anything.
 */
#ifndef SLUICE_BASE_LOOP_H
#define SLUICE_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/list.h"

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

/* delay_ns ± 10 %, so that what began together does not end together. random: 64 uniform bits. */
static inline uint64_t loop_jittered(uint64_t delay_ns, uint64_t random)
{
	return delay_ns - delay_ns / 10 + random % (delay_ns / 5 + 1);
}

struct loop_io {
	int fd;		 /* -1 while not in the loop; the owner closes it */
	uint32_t events; /* EPOLLIN | EPOLLOUT ..., level triggered unless EPOLLET is given */
	void (*on_event)(struct loop_io *io, uint32_t events);
};

struct loop_timer {
	uint64_t deadline_ns;
	uint32_t index; /* place in the heap + 1; 0 while not set */
	void (*on_timer)(struct loop_timer *timer);
};

/* Run once, after the events of this turn (tasks queued by tasks run in the same turn). */
struct loop_task {
	struct list link;
	bool queued;
	void (*on_run)(struct loop_task *task);
};

struct loop {
	int epoll_fd;
	bool stopped;
	uint64_t now_ns; /* CLOCK_MONOTONIC, read once a turn */
	struct loop_timer **heap;
	uint32_t heap_len, heap_cap;
	struct list tasks;
	struct epoll_event *events; /* of this turn */
	int events_len, events_at;
};

/* 0 or -errno. */
int loop_init(struct loop *loop);
void loop_done(struct loop *loop);

static inline uint64_t loop_now(const struct loop *loop)
{
	return loop->now_ns;
}

/* Reads the clock anew (after long work). */
uint64_t loop_refresh(struct loop *loop);

/* io->on_event must be set. 0 or -errno. */
int loop_io_add(struct loop *loop, struct loop_io *io, int fd, uint32_t events);
/* No system call where events does not change. */
int loop_io_mod(struct loop *loop, struct loop_io *io, uint32_t events);
/* Idempotent; no event of this turn reaches io any more. Does not close the descriptor. */
void loop_io_del(struct loop *loop, struct loop_io *io);

/* (Re)arms timer, delay_ns from the turn's time. 0 or -ENOMEM (the timer is then not set). */
int loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t delay_ns);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);
static inline bool loop_timer_is_set(const struct loop_timer *timer)
{
	return timer->index != 0;
}

/* Idempotent while queued. */
void loop_defer(struct loop *loop, struct loop_task *task);
void loop_defer_cancel(struct loop_task *task);

/* One turn: waits (at most until the next timer), runs events, timers, tasks. 0 or -errno. */
int loop_turn(struct loop *loop);
/* Turns until loop_stop. 0 or -errno. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
