/* SPDX-License-Identifier: MIT */
/*
 * reload.h - takes a new config into force, whole or not at all: prepare everywhere, then commit.
 * A changed file, a changed DNS answer and an operator's command go the same way.
 */
#ifndef SLUICE_CONTROL_RELOAD_H
#define SLUICE_CONTROL_RELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/loop.h"
#include "config/config.h"
#include "control/overrides.h"

struct supervisor;

/* A config with its ids and endpoints, and the sealed bytes that children get. */
struct revision {
	struct config *config; /* NULL: none */
	int fd;
	size_t length;
};
void revision_done(struct revision *revision);

/* An operator's command on its way into force. The caller's memory, until on_done or
 * reload_forget_command. */
struct reload_command {
	struct list link;
	struct override_command what;
	/* message: why not. */
	void (*on_done)(struct reload_command *command, bool ok, const char *message);
};

struct reload {
	struct revision candidate; /* sent to the children, not all READY yet */
	bool settles;		   /* committed; not all children have said so yet */
	bool from_file;
	bool want_file, want_names; /* asked for while one was under way */
	bool with_names; /* the file's candidate has answers in it that were wanted before */
	struct list commands; /* struct reload_command: asked for */
	struct list running;  /* ... in the candidate */
	char kept[256];	      /* settings of the file read last that wait for a restart */
	struct loop_timer timer;    /* children that never answer */
	bool waits_for_names;	    /* a new name is being asked for the first time */
	struct loop_timer names_timer;
	struct loop_task task;	    /* begins what is wanted next */
	struct loop_timer sweep_timer;
	uint64_t asked;		    /* reloads of the file asked for so far */
	uint64_t covers;	    /* of these, how many the file read last answers */
	uint64_t last_number;	    /* of revisions */
	uint64_t committed_ns;
};

void reload_init(struct supervisor *supervisor);
void reload_done(struct supervisor *supervisor);

/* Makes config (taken over, also on failure) the first revision. 0 or -errno after logging. */
int reload_first(struct supervisor *supervisor, struct config *config);
/* Puts the current revision's rules into the kernel and listens. 0 or -errno after logging. */
int reload_enforce(struct supervisor *supervisor);

/* Reads the file anew. Returns the number of this request: control_reload_done gets it, or a
 * higher one, when the outcome is known. */
uint64_t reload_file(struct supervisor *supervisor);
/* DNS answers changed. */
void reload_names(struct supervisor *supervisor);
/* Puts a command into a new revision of the running config; on_done tells when it is in force. */
void reload_command(struct supervisor *supervisor, struct reload_command *command);
/* Nobody wants to know any more. Idempotent; takes commands that were never given. */
void reload_forget_command(struct reload_command *command);
/* For reload.c: takes in what was asked for so far; tells those in the revision that ended how; all, that
 * it will not come to it. */
void reload_commands_take(struct supervisor *supervisor);
void reload_commands_done(struct supervisor *supervisor, bool ok, const char *message);
void reload_commands_drop(struct supervisor *supervisor);
bool reload_under_way(const struct supervisor *supervisor);

/* A child said READY or COMMITTED, or is gone; or a name was answered. */
void reload_on_ready(struct supervisor *supervisor);
void reload_on_refused(struct supervisor *supervisor, const char *who, uint64_t revision,
		       const char *reason);

#endif
