/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_events.c - the reading end of the gate's ring of events. Opened by events.c while
 * somebody listens; never writes but the ring's own position.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "control/bpf_loader_impl.h"

struct bpf_events {
	struct ring_buffer *ring;
	bpf_on_event on_event;
	void *context;
	unsigned room; /* how many more this turn */
};

/* A negative answer ends the turn; the event itself counts as taken. */
static int on_sample(void *context, void *data, size_t bytes)
{
	struct bpf_events *events = context;

	if (bytes >= sizeof(struct sluice_event) && events->on_event)
		events->on_event(events->context, data);
	return --events->room ? 0 : -EAGAIN;
}

int bpf_events_open(const struct bpf *bpf, bpf_on_event on_event, void *context,
		    struct bpf_events **ret_events)
{
	struct bpf_events *events = calloc(1, sizeof(*events));
	int err;

	if (!events)
		return -ENOMEM;
	events->ring = ring_buffer__new(bpf->maps[MAP_events], on_sample, events, NULL);
	if (!events->ring) {
		err = errno ? -errno : -ENOMEM;
		free(events);
		return err;
	}
	/* What was sent before is nobody's. */
	bpf_events_take(events, UINT32_MAX);
	events->on_event = on_event;
	events->context = context;
	*ret_events = events;
	return 0;
}

int bpf_events_fd(const struct bpf_events *events)
{
	return ring_buffer__epoll_fd(events->ring);
}

int bpf_events_take(struct bpf_events *events, unsigned at_most)
{
	int ret;

	events->room = at_most;
	ret = ring_buffer__consume(events->ring);
	return ret < 0 && ret != -EAGAIN ? ret : (int)(at_most - events->room);
}

void bpf_events_close(struct bpf_events *events)
{
	if (!events)
		return;
	ring_buffer__free(events->ring);
	free(events);
}
