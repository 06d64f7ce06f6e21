/* SPDX-License-Identifier: MIT */
/*
 * spawn.h - forks one child with nothing but standard error and its channel, and without rights.
 */
#ifndef SLUICE_CONTROL_SPAWN_H
#define SLUICE_CONTROL_SPAWN_H

#include <sys/types.h>

#include "control/rights.h"

struct spawn {
	const char *name; /* of the process, at most 15 bytes */
	const struct identity *identity;
	int (*entry)(int channel_fd); /* runs in the child; returns the exit code */
	void (*forget)(void *ctx);    /* in the child: lets go of the supervisor's mappings */
	void *ctx;
};

/* Starts the child. 0 with its pid and our end of the channel (non-blocking, the caller's), or
 * -errno. */
int spawn_child(const struct spawn *spawn, pid_t *pid, int *channel);

#endif
