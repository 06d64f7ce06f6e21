/* SPDX-License-Identifier: MIT */
/*
 * ctl.h - what sluicectl's commands share: the options, one entry point a command, and the codes
 * that they exit with.
 */
#ifndef SLUICE_CTL_CTL_H
#define SLUICE_CTL_CTL_H

#include <stdbool.h>

enum { CTL_OK, CTL_FAILED, CTL_USAGE };

#define CTL_OPTIONS_MAX 64 /* of one command line */

struct ctl {
	const char *socket;
	bool json;
	char **arguments; /* as many as the command takes */
	int n_arguments;
	struct {
		const char *name, *value;
	} options[CTL_OPTIONS_MAX]; /* the command's own, as given */
	int n_options;
};

/* The value of an option of the command's own; NULL where it is not given. The last one counts. */
const char *ctl_option(const struct ctl *ctl, const char *name);
/* Whether it is given: for options that take no value. */
bool ctl_has_option(const struct ctl *ctl, const char *name);

/* Each prints its result on stdout, its errors on stderr, and returns the exit code. */
int ctl_status(const struct ctl *ctl);
int ctl_status_kernel(const struct ctl *ctl); /* with --kernel */
int ctl_listeners(const struct ctl *ctl);
int ctl_groups(const struct ctl *ctl);
int ctl_backends(const struct ctl *ctl);
int ctl_workers(const struct ctl *ctl);
int ctl_verdicts(const struct ctl *ctl);
int ctl_penalties(const struct ctl *ctl);
int ctl_sources(const struct ctl *ctl);
int ctl_pardon(const struct ctl *ctl);
int ctl_penalize(const struct ctl *ctl);
int ctl_acl(const struct ctl *ctl);
int ctl_explain(const struct ctl *ctl);
int ctl_events(const struct ctl *ctl);
int ctl_capture(const struct ctl *ctl);
int ctl_top(const struct ctl *ctl);
int ctl_check(const struct ctl *ctl);
int ctl_reload(const struct ctl *ctl);
int ctl_routes(const struct ctl *ctl);
int ctl_route(const struct ctl *ctl);
int ctl_drain(const struct ctl *ctl);
int ctl_undrain(const struct ctl *ctl);
/* Of a listener: where the first argument is "listener". */
int ctl_listener_drain(const struct ctl *ctl, bool drain);
int ctl_weight(const struct ctl *ctl);
int ctl_health(const struct ctl *ctl);

#endif
