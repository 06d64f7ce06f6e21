/* SPDX-License-Identifier: MIT */
/*
 * breaker.h - a group's circuit breaker, as calls meet it: how many may be under way at once, over
 * all workers, and what one is told that is over a limit. (pick.c passes over backends that are
 * full, pool.c and upstream.c count who waits and connections.) Costs nothing where no limit is set.
 */
#ifndef SLUICE_PROXY_BREAKER_H
#define SLUICE_PROXY_BREAKER_H

#include <stdbool.h>

struct pool_endpoint;
struct stream;

/* Counts the call among its group's, where the group limits them. False: they are full, and nothing
 * is counted or answered. */
bool breaker_enter(struct stream *stream);
/* The call is over. */
void breaker_leave(struct stream *stream);

/* Answers, with the group's status for it, and counts which limit was met. */
void breaker_group_full(struct stream *stream);
void breaker_backends_full(struct stream *stream);
void breaker_pending_full(struct stream *stream);
void breaker_pending_expired(struct stream *stream, const struct pool_endpoint *endpoint);

#endif
