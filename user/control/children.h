/* SPDX-License-Identifier: MIT */
/*
 * children.h - the workers and the monitor as the supervisor sees them: started, spoken to over
 * their channels, reaped, replaced.
 */
#ifndef SLUICE_CONTROL_CHILDREN_H
#define SLUICE_CONTROL_CHILDREN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/loop.h"
#include "control/backoff.h"
#include "shared/channel.h"

struct supervisor;

struct child {
	struct supervisor *supervisor;
	bool is_monitor;
	uint32_t slot; /* of a worker */
	bool wanted;   /* to be replaced when it dies */
	pid_t pid;     /* 0: not running */
	struct loop_io channel;
	struct loop_timer timer; /* not running: the next start; running: killed when it fires */
	struct backoff backoff;
	uint64_t started_ns;
	uint64_t ready; /* the last revision that it can commit */
	uint64_t committed; /* the last that it said it goes by */
	unsigned restarts;
};

struct children {
	struct child monitor;
	struct child workers[SLUICE_MAX_WORKERS]; /* by slot, the first supervisor.slots of them */
};

void children_init(struct supervisor *supervisor);
void children_start_monitor(struct supervisor *supervisor);
void children_start_workers(struct supervisor *supervisor);

/* Reaps what died (SIGCHLD). Workers' slots are dead in the maps before this returns. */
void children_reap(struct supervisor *supervisor);

/* To every running child. One that cannot take it is killed: it would act on half a state. */
void children_send(struct supervisor *supervisor, enum channel_type type, const void *payload,
		   size_t length, const int *fds, unsigned n_fds);
void children_send_tickets(struct supervisor *supervisor);
/* To every running worker: its socket of this listener. */
void children_send_listener(struct supervisor *supervisor, uint32_t listener);
/* To every running worker: close it, and finish the calls of its connections. */
void children_send_drain_listener(struct supervisor *supervisor, uint32_t listener);

/* The name of one that has not ("a child": none such), maybe written into text. */
const char *children_not_ready(const struct supervisor *supervisor, uint64_t revision,
			       char text[16]);
/* True where every running child said READY for this revision. */
bool children_all_ready(const struct supervisor *supervisor, uint64_t revision);
/* ... goes by this revision. */
bool children_all_committed(const struct supervisor *supervisor, uint64_t revision);

/* No replacements any more; workers finish their calls within grace_ms. */
void children_drain_workers(struct supervisor *supervisor, uint32_t grace_ms);
void children_drain_monitor(struct supervisor *supervisor);
/* SIGKILL to each that still runs. */
void children_kill(struct supervisor *supervisor);

unsigned children_workers_running(const struct supervisor *supervisor);
unsigned children_running(const struct supervisor *supervisor); /* with the monitor */

#endif
