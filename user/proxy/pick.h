/* SPDX-License-Identifier: MIT */
/*
 * pick.h - the backend for a call's next attempt, by the group's algorithm among those that health,
 * ejection, drain, tiers and circuit breakers leave. Called by dispatch only.
 */
#ifndef SLUICE_PROXY_PICK_H
#define SLUICE_PROXY_PICK_H

#include <stdbool.h>

struct config_endpoint;
struct stream;

/* The endpoint for the next attempt; NULL: none is left. only_others: those that have refused the
 * call are out of the question. *full: whether one was passed over since it has all the calls that
 * the group's circuit breaker (backend_calls) lets it have; with NULL that is why the call cannot
 * go on. */
const struct config_endpoint *pick_endpoint(struct stream *stream, bool only_others, bool *full);

#endif
