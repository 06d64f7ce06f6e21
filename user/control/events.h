/* SPDX-License-Identifier: MIT */
/*
 * events.h - who listens to the gate's events (`sluicectl events`, `capture`, `top`), and what they
 * get. While nobody listens the gate sends nothing and the ring is not even mapped.
 */
#ifndef SLUICE_CONTROL_EVENTS_H
#define SLUICE_CONTROL_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/loop.h"
#include "config/config.h"
#include "sluice/abi.h"

struct bpf_events;
struct supervisor;

#define EVENTS_SUBSCRIBERS_MAX 16
#define EVENTS_NAMES 16 /* interfaces whose names are remembered */

/* What one of them asked for. */
struct events_wish {
	uint64_t mask; /* bits 1 << verdict */
	bool packets;  /* with the first bytes of each packet */
};

struct events {
	struct supervisor *supervisor;
	struct bpf_events *ring; /* NULL while nobody listens */
	struct loop_io ring_io;
	struct loop_timer timer; /* what was lost is told once a second */
	struct list subscribers;
	unsigned n_subscribers;
	uint64_t wall_offset_ns; /* from the gate's clock to the wall's; once a turn */
	struct {
		uint32_t ifindex; /* 0: free */
		char name[16];
	} names[EVENTS_NAMES]; /* forgotten once a second: interfaces come and go */
};

void events_init(struct supervisor *supervisor);
/* Ends all streams. */
void events_done(struct events *events);
/* In a forked child: lets go of the ring. */
void events_forget(struct events *events);

/* The rate of the config that comes into force. */
void events_configure(struct events *events, const struct config *config);

/* Why nobody more can listen, as one line; NULL: one can. */
const char *events_refusal(const struct events *events);
/* Takes fd (a non-blocking stream socket) over, also on failure. From now on it gets a line for each
 * event until it is closed by its peer. 0 or -errno. */
int events_subscribe(struct events *events, int fd, const struct events_wish *wish);

/* The name of an interface; "" where it has gone. Valid until the next call. */
const char *events_interface(struct events *events, uint32_t ifindex);

#endif
