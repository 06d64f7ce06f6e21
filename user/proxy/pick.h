/* SPDX-License-Identifier: MIT */
/*
 * pick.h - the backend for a call's next attempt, by the group's algorithm among those that health,
 * ejection, drain and circuit breakers leave. Called by dispatch only.
 */
#ifndef SLUICE_PROXY_PICK_H
#define SLUICE_PROXY_PICK_H

#include <stdbool.h>

#include "config/config.h"

struct stream;

/* The endpoint for the next attempt; NULL: none is left. only_others: those in stream->tried are out
 * of the question. */
const struct config_endpoint *pick_endpoint(struct stream *stream, bool only_others);

#endif
