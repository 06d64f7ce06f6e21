/* SPDX-License-Identifier: MIT */
/*
 * publish.h - what the supervisor writes into the groups, backends and routes maps. Health and live counts
 * are the monitor's; only rows that are new get a first value here.
 */
#ifndef SLUICE_CONTROL_PUBLISH_H
#define SLUICE_CONTROL_PUBLISH_H

#include "config/config.h"
#include "control/ids.h"
#include "shared/state.h"

/* Before config's commit: fills new rows, brings weights and totals of the others up to date. */
void publish_config(struct state *state, const struct config *config, uint64_t now_ns);
/* Rows whose id nobody has become unused. Not before every worker has left the config that had
 * them. */
void publish_sweep(struct state *state, const struct ids *ids);

#endif
