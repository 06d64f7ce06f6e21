/* SPDX-License-Identifier: MIT */
/*
 * events.c - see events.h. Owned by the supervisor; what a line says is control_events.c's. Each
 * subscriber has a buffer of its own: one that reads too slowly loses events, and is told how many;
 * it never holds up the others, nor the loop.
 */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "control/control_events.h"
#include "control/events.h"
#include "control/supervisor.h"

#define SUBSCRIBER_BYTES (512 * 1024)
#define LINE_ROOM	 1024 /* kept free in it, so that losses can be told */
#define EVENTS_A_TURN	 512
#define TELL_MS		 1000

struct subscriber {
	struct events *events;
	struct list link;
	struct loop_io io;
	struct loop_task reap;
	struct events_wish wish;
	struct events_lost lost;       /* since it was last told */
	uint64_t limited, ring_full;   /* the gate's counts when it was */
	size_t at, len; /* of bytes, what waits to go out */
	char bytes[SUBSCRIBER_BYTES];
};

static struct loop *events_loop(struct events *events)
{
	return &events->supervisor->loop;
}

static struct sluice_switches *events_switches(struct events *events)
{
	return events->supervisor->state.switches;
}

/* ---- what the gate sends ---- */

static void set_mask(struct events *events)
{
	struct subscriber *subscriber;
	uint64_t mask = 0;

	list_for_each(subscriber, &events->subscribers, link)
		mask |= subscriber->wish.mask;
	if (events_switches(events))
		state_store64(&events_switches(events)->events_mask, mask);
}

static void close_ring(struct events *events)
{
	if (!events->ring)
		return;
	loop_io_del(events_loop(events), &events->ring_io);
	loop_timer_cancel(events_loop(events), &events->timer);
	bpf_events_close(events->ring);
	events->ring = NULL;
}

/* ---- subscribers ---- */

static void on_reap(struct loop_task *task)
{
	free(container_of(task, struct subscriber, reap));
}

static void subscriber_close(struct subscriber *subscriber)
{
	struct events *events = subscriber->events;
	int fd = subscriber->io.fd;

	if (fd < 0)
		return;
	loop_io_del(events_loop(events), &subscriber->io);
	close(fd);
	list_del(&subscriber->link);
	events->n_subscribers--;
	loop_defer(events_loop(events), &subscriber->reap);
	set_mask(events);
	if (list_empty(&events->subscribers))
		close_ring(events);
}

static void subscriber_flush(struct subscriber *subscriber)
{
	while (subscriber->at < subscriber->len) {
		ssize_t n = send(subscriber->io.fd, subscriber->bytes + subscriber->at,
				 subscriber->len - subscriber->at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			loop_io_mod(events_loop(subscriber->events), &subscriber->io,
				    EPOLLIN | EPOLLOUT);
			return;
		}
		if (n < 0) {
			subscriber_close(subscriber);
			return;
		}
		subscriber->at += (size_t)n;
	}
	subscriber->at = subscriber->len = 0;
	loop_io_mod(events_loop(subscriber->events), &subscriber->io, EPOLLIN);
}

/* False: no room. spare: how much must be left. */
static bool subscriber_put(struct subscriber *subscriber, const char *line, size_t len,
			   size_t spare)
{
	if (subscriber->len + len + spare > sizeof(subscriber->bytes) && subscriber->at) {
		subscriber->len -= subscriber->at;
		memmove(subscriber->bytes, subscriber->bytes + subscriber->at, subscriber->len);
		subscriber->at = 0;
	}
	if (subscriber->len + len + spare > sizeof(subscriber->bytes))
		return false;
	memcpy(subscriber->bytes + subscriber->len, line, len);
	subscriber->len += len;
	return true;
}

/* A subscriber says nothing more: what comes is its end. */
static void on_subscriber(struct loop_io *io, uint32_t events)
{
	struct subscriber *subscriber = container_of(io, struct subscriber, io);
	char bytes[256];

	if (events & EPOLLOUT)
		subscriber_flush(subscriber);
	if (io->fd < 0 || !(events & ~EPOLLOUT))
		return;
	ssize_t n = recv(io->fd, bytes, sizeof(bytes), 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		subscriber_close(subscriber);
}

/* What the gate did not send since subscriber was last told, and what it did not take itself. */
static void tell_lost(struct subscriber *subscriber)
{
	const struct sluice_switches *on = events_switches(subscriber->events);
	uint64_t limited = state_load64(&on->events_limited);
	uint64_t ring_full = state_load64(&on->events_lost);
	char line[CONTROL_EVENTS_LINE_MAX];

	subscriber->lost.limited = limited - subscriber->limited;
	subscriber->lost.ring_full = ring_full - subscriber->ring_full;
	if (!subscriber->lost.limited && !subscriber->lost.ring_full && !subscriber->lost.slow)
		return;
	size_t len = control_events_lost(&subscriber->lost, line);

	if (!subscriber_put(subscriber, line, len, 0))
		return; /* told later */
	subscriber->limited = limited;
	subscriber->ring_full = ring_full;
	subscriber->lost.slow = 0;
}

/* ---- the ring ---- */

static void read_clocks(struct events *events)
{
	struct timespec wall, mono;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	events->wall_offset_ns =
		(uint64_t)(wall.tv_sec - mono.tv_sec) * NS_PER_S + (uint64_t)(wall.tv_nsec - mono.tv_nsec);
}

static void on_event(void *context, const struct sluice_event *event)
{
	struct events *events = context;
	char lines[2][CONTROL_EVENTS_LINE_MAX]; /* without the packet's bytes, and with them */
	size_t lens[2] = { 0, 0 };
	struct subscriber *subscriber;

	if (event->reason >= VERDICT_MAX)
		return;
	list_for_each(subscriber, &events->subscribers, link) {
		bool packets = subscriber->wish.packets;

		if (!(subscriber->wish.mask & (1ull << event->reason)))
			continue;
		if (!lens[packets])
			lens[packets] = control_events_line(events, event, packets, lines[packets]);
		if (!lens[packets] ||
		    !subscriber_put(subscriber, lines[packets], lens[packets], LINE_ROOM))
			subscriber->lost.slow++;
	}
}

static void flush_all(struct events *events)
{
	struct subscriber *subscriber, *next;

	list_for_each_safe(subscriber, next, &events->subscribers, link)
		subscriber_flush(subscriber);
}

static void on_ring(struct loop_io *io, uint32_t what)
{
	struct events *events = container_of(io, struct events, ring_io);

	read_clocks(events);
	int ret = bpf_events_take(events->ring, EVENTS_A_TURN);

	if (ret < 0)
		log_warn("cannot read the ring of events", F_ERR(ret));
	flush_all(events);
}

static void on_timer(struct loop_timer *timer)
{
	struct events *events = container_of(timer, struct events, timer);
	struct subscriber *subscriber;

	memset(events->names, 0, sizeof(events->names));
	list_for_each(subscriber, &events->subscribers, link)
		tell_lost(subscriber);
	flush_all(events);
	if (events->ring)
		loop_timer_set(events_loop(events), timer, TELL_MS * NS_PER_MS);
}

static int open_ring(struct events *events)
{
	int ret = bpf_events_open(events->supervisor->kernel.bpf, on_event, events, &events->ring);

	if (ret)
		return ret;
	ret = loop_io_add(events_loop(events), &events->ring_io, bpf_events_fd(events->ring),
			  EPOLLIN);
	if (!ret)
		ret = loop_timer_set(events_loop(events), &events->timer, TELL_MS * NS_PER_MS);
	if (ret)
		close_ring(events);
	return ret;
}

/* ---- from outside ---- */

void events_init(struct supervisor *supervisor)
{
	struct events *events = &supervisor->events;

	events->supervisor = supervisor;
	events->ring_io = (struct loop_io){ .fd = -1, .on_event = on_ring };
	events->timer.on_timer = on_timer;
	list_init(&events->subscribers);
}

void events_done(struct events *events)
{
	struct subscriber *subscriber, *next;

	list_for_each_safe(subscriber, next, &events->subscribers, link) {
		subscriber_close(subscriber);
		loop_defer_cancel(&subscriber->reap);
		on_reap(&subscriber->reap);
	}
}

void events_forget(struct events *events)
{
	struct subscriber *subscriber, *next;

	list_for_each_safe(subscriber, next, &events->subscribers, link)
		free(subscriber);
	list_init(&events->subscribers);
	bpf_events_close(events->ring);
	events->ring = NULL;
}

void events_configure(struct events *events, const struct config *config)
{
	const struct config_rate *rate = &config->kernel.events;
	struct sluice_switches *on = events_switches(events);

	state_store64(&on->events_interval_ns, rate->interval_ns);
	state_store64(&on->events_tolerance_ns,
		      rate->burst > 1 ? rate->interval_ns * (rate->burst - 1) : 0);
}

const char *events_refusal(const struct events *events)
{
	if (!kernel_is_on(&events->supervisor->kernel))
		return "the kernel side is off, so there are no events (see sluicectl status)";
	if (events->n_subscribers >= EVENTS_SUBSCRIBERS_MAX)
		return "as many as may listen to events do already";
	return NULL;
}

int events_subscribe(struct events *events, int fd, const struct events_wish *wish)
{
	struct subscriber *subscriber = calloc(1, sizeof(*subscriber));
	int ret = -ENOMEM;

	if (!subscriber)
		goto out;
	subscriber->events = events;
	subscriber->wish = *wish;
	subscriber->io = (struct loop_io){ .fd = -1, .on_event = on_subscriber };
	subscriber->reap.on_run = on_reap;
	ret = events->ring ? 0 : open_ring(events);
	if (!ret)
		ret = loop_io_add(events_loop(events), &subscriber->io, fd, EPOLLIN);
	if (ret)
		goto out;
	subscriber->limited = state_load64(&events_switches(events)->events_limited);
	subscriber->ring_full = state_load64(&events_switches(events)->events_lost);
	list_add_tail(&events->subscribers, &subscriber->link);
	events->n_subscribers++;
	set_mask(events);
	subscriber->len = control_events_begin(wish, subscriber->bytes);
	subscriber_flush(subscriber);
	return 0;
out:
	log_error("cannot send events", F_ERR(ret));
	if (list_empty(&events->subscribers))
		close_ring(events);
	free(subscriber);
	close(fd);
	return ret;
}

const char *events_interface(struct events *events, uint32_t ifindex)
{
	char name[IF_NAMESIZE];
	unsigned at = ifindex % EVENTS_NAMES;

	if (events->names[at].ifindex != ifindex) {
		events->names[at].ifindex = ifindex;
		strcpy(events->names[at].name, if_indextoname(ifindex, name) ? name : "");
	}
	return events->names[at].name;
}
