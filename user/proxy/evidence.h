/* SPDX-License-Identifier: MIT */
/*
 * evidence.h - what a worker does about its clients' sources (shared/sources.h): counts their connections
 * and good calls, reports what they did wrong, and closes the connections of those under a penalty.
 * Called by downstream.c and worker.c. Where neither penalties nor a limit of connections is
 * configured, a connection costs one test of a flag and a call one addition.
 */
#ifndef SLUICE_PROXY_EVIDENCE_H
#define SLUICE_PROXY_EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "proxy/h2.h"
#include "shared/sources.h"

struct downstream;
struct worker;

/* After a commit: takes counting up or leaves it off, for connections that are open too. */
void evidence_configure(struct worker *worker);
/* Every SLUICE_HEARTBEAT_NS: acts on new penalties, whoever gave them. */
void evidence_heartbeat(struct worker *worker);

/* False: fd is closed, its source is under a penalty or has too many. Else evidence_leave takes it
 * back (*ret_source may be SOURCE_NONE). */
bool evidence_admit(struct worker *worker, int fd, const struct addr *peer, uint32_t *ret_source);
/* Tells what is not counted yet, and gives the connection back. Idempotent. */
void evidence_leave(struct downstream *downstream);
/* Tells what is not counted yet. */
void evidence_flush(struct downstream *downstream);

void evidence_add(struct downstream *downstream, enum sluice_evidence what, uint32_t n);
/* From h2's on_down. */
void evidence_down(struct downstream *downstream, enum h2_down why, int err);
/* At the connection's end, whoever ended it: what it stopped just short of. */
void evidence_end(struct downstream *downstream);
/* A call that ended with OK, and one over a route's rate. Counted in bundles. */
void evidence_good(struct downstream *downstream);
void evidence_over_limit(struct downstream *downstream);

#endif
