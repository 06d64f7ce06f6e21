/* SPDX-License-Identifier: MIT */
/*
 * retry.h - a route's retries: attempts at a call that a backend may have processed already, made
 * because the route says so. (A call that certainly was not processed is sent again without any of
 * this: dispatch_again.) Allowed while nothing of a response has gone to the client and all of the
 * request is retained; bounded in number and by a budget that all workers share.
 */
#ifndef SLUICE_PROXY_RETRY_H
#define SLUICE_PROXY_RETRY_H

#include <stdbool.h>
#include <stdint.h>

struct h2_header;
struct retry;
struct stream;

/* For a new call: sets stream->retry where its route retries. 0 or -ENOMEM. */
int retry_begin(struct stream *stream);
/* An attempt begins: its per-try timeout. */
void retry_attempt(struct stream *stream);

/* Whether the call is to be tried again: a backend answered with grpc_status and nothing else (pushback:
 * its grpc-retry-pushback-ms, or NULL); its stream was reset or its connection lost. On true the
 * attempt is taken out of the budget, and retry_again follows. */
bool retry_status(struct stream *stream, int grpc_status, const struct h2_header *pushback);
bool retry_lost(struct stream *stream);
/* Leaves the backend, and goes to another after the pause. */
void retry_again(struct stream *stream);

/* Response headers go to the client: no more attempts. */
void retry_committed(struct stream *stream);
/* The call is over. */
void retry_leave(struct stream *stream);

/* When retry_on_time is due: a pause or a try ends then. 0: nothing to wait for. */
uint64_t retry_due_ns(const struct retry *retry);
void retry_on_time(struct stream *stream);

#endif
