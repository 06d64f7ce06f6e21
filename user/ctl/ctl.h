/* SPDX-License-Identifier: MIT */
/*
 * ctl.h - what sluicectl's commands share: the options, one entry point a command, and the codes
 * that they exit with.
 */
#ifndef SLUICE_CTL_CTL_H
#define SLUICE_CTL_CTL_H

#include <stdbool.h>

enum { CTL_OK, CTL_FAILED, CTL_USAGE };

struct ctl {
	const char *socket;
	bool json;
	const char *argument; /* of commands that take one */
};

/* Each prints its result on stdout, its errors on stderr, and returns the exit code. */
int ctl_status(const struct ctl *ctl);
int ctl_listeners(const struct ctl *ctl);
int ctl_groups(const struct ctl *ctl);
int ctl_backends(const struct ctl *ctl);
int ctl_workers(const struct ctl *ctl);
int ctl_verdicts(const struct ctl *ctl);
int ctl_check(const struct ctl *ctl);
int ctl_reload(const struct ctl *ctl);

#endif
