/* SPDX-License-Identifier: MIT */
/*
 * supervisor.h - the parent of all: what it holds, and the few events that its parts (children,
 * reload, control) report back to it. One process, one thread, one loop.
 */
#ifndef SLUICE_CONTROL_SUPERVISOR_H
#define SLUICE_CONTROL_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/loop.h"
#include "config/config.h"
#include "control/children.h"
#include "control/control.h"
#include "control/events.h"
#include "control/ids.h"
#include "control/kernel.h"
#include "control/names.h"
#include "control/overrides.h"
#include "control/penalties.h"
#include "control/reload.h"
#include "control/rights.h"
#include "control/sockets.h"
#include "control/totals.h"
#include "shared/channel.h"
#include "shared/state.h"

struct supervisor_options {
	const char *config_path;
	struct kernel_options kernel; /* --replace-maps, --force */
	bool log_format_set; /* --log-format given: the config's does not count */
	enum log_format log_format;
};

enum supervisor_phase {
	PHASE_STARTING, /* until every child took the first config */
	PHASE_RUNNING,
	PHASE_DRAINING,
};

struct supervisor {
	const struct supervisor_options *options;
	enum supervisor_phase phase;
	uint64_t started_ns;
	struct loop loop;
	struct loop_io signals;
	struct loop_timer timer; /* starting: names; draining: the next step */
	struct rights rights;
	struct identity identity;
	uint32_t slots; /* workers */
	struct kernel kernel;
	int state_fds[STATE_FDS];
	struct state state;
	struct ids *ids;
	struct names names;
	struct overrides overrides;
	struct sockets sockets;
	struct channel_tickets tickets;
	uint8_t hash_key[16]; /* of all children, from start to end */
	struct loop_timer ticket_timer, sample_timer;
	struct revision current;
	struct reload reload;
	struct children children;
	struct totals totals;
	struct control control;
	struct penalties penalties;
	struct events events;
	uint64_t drained_ns; /* when draining began */
	bool drain_sent;     /* ... and the workers were told */
	int exit_code;
};

/* Runs until the end; returns the exit code. Prints why where it cannot start. */
int supervisor_run(const struct supervisor_options *options);

/* From the config of this revision on: log level and format. */
void supervisor_set_log(const struct supervisor *supervisor, const struct config *config);
/* A config's report, one record a line; text may be NULL. */
void supervisor_log_report(enum log_level level, const char *text);

/* A child said READY for the current revision. */
void supervisor_on_ready(struct supervisor *supervisor);
/* A child refused the revision that it was started with. */
void supervisor_on_start_refused(struct supervisor *supervisor, const char *reason);
void supervisor_on_resolved(struct supervisor *supervisor, const struct channel_resolved *resolved);
/* A child was reaped. */
void supervisor_on_child_gone(struct supervisor *supervisor);
/* A reload ended, either way. */
void supervisor_on_reloaded(struct supervisor *supervisor);

#endif
