/* SPDX-License-Identifier: MIT */
/*
 * outlier.h - the looks at success rate and latency: every interval of a group with outlier
 * detection, what its backends' attempts came to since the last look is compared, and those that
 * fall out of line are ejected. Called by monitor.c.
 */
#ifndef SLUICE_MONITOR_OUTLIER_H
#define SLUICE_MONITOR_OUTLIER_H

#include "base/loop.h"
#include "config/config.h"
#include "shared/state.h"

struct outlier_watch;

/* loop and state must outlive it. NULL: no memory. */
struct outlier_watch *outlier_watch_new(struct loop *loop, struct state *state);
void outlier_watch_free(struct outlier_watch *watch); /* takes NULL */
/* A committed config; it takes a reference of its own. Intervals under way go on. 0 or -ENOMEM: some
 * groups are not looked at. */
int outlier_watch_apply(struct outlier_watch *watch, struct config *config);

#endif
