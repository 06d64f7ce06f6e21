/* SPDX-License-Identifier: MIT */
/*
 * listener.h - a worker's listening sockets: each is its slot's own member of a SO_REUSEPORT
 * group, handed over by the supervisor, which keeps it open as well.
 */
#ifndef SLUICE_PROXY_LISTENER_H
#define SLUICE_PROXY_LISTENER_H

#include <stdint.h>

#include "base/list.h"
#include "base/loop.h"

struct worker;

struct listener {
	struct worker *worker;
	struct list link; /* in worker.listeners */
	uint32_t id;	  /* config_listener.id */
	struct loop_io io;
	struct loop_timer pause_timer; /* no descriptors left: accepting rests */
};

/* Takes over fd, also on failure; replaces the socket of a listener with the same id. Accepts once
 * the worker has a committed config. 0 or -errno. */
int listener_add(struct worker *worker, uint32_t id, int fd);
/* Takes what waits in the accept queue, then closes. */
void listener_close(struct listener *listener);
/* Begins to accept where a commit made that possible; closes what is in no config any more. */
void listener_sync(struct worker *worker);

#endif
