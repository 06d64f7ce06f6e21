/* SPDX-License-Identifier: MIT */
/*
 * health.h - the health of all backends of the current config: when each is checked, what the
 * checks make of it, and the words of it in the backends and groups maps (docs/HEALTH.md). The one
 * writer of those words.
 */
#ifndef SLUICE_MONITOR_HEALTH_H
#define SLUICE_MONITOR_HEALTH_H

#include "base/loop.h"
#include "config/config.h"
#include "shared/state.h"

struct health;

/* state must outlive it. NULL: no memory. */
struct health *health_new(struct loop *loop, struct state *state);
void health_free(struct health *health); /* takes NULL; the words in the maps stay */

/* Makes config current (takes its own reference): what has the same id and generation keeps its
 * health and its connection; new backends are checked soon; groups are counted anew. 0, or -ENOMEM
 * with some backends left unchecked (they count as live). */
int health_apply(struct health *health, struct config *config);

#endif
