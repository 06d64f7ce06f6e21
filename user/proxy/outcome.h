/* SPDX-License-Identifier: MIT */
/*
 * outcome.h - what attempts at backends came to, as outlier detection sees it: counts in the shared
 * backends map, ejection once a threshold is passed, the way back by one trial call. Called by the
 * relay at every end of an attempt; costs nothing in groups without outlier detection.
 */
#ifndef SLUICE_PROXY_OUTCOME_H
#define SLUICE_PROXY_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

struct pool_endpoint;
struct stream;

enum outcome {
	OUTCOME_STATUS,	   /* the backend gave a grpc-status (an HTTP error or missing trailers: the
			    * status that was made of it), or its deadline or per-try timeout passed (4) */
	OUTCOME_LOST,	   /* reset, connection lost, no connection to be had */
	OUTCOME_CANCELLED, /* ended by the client, or refused unprocessed (GOAWAY): says nothing */
};

/* A stream's attempt under way; set by pick, only in groups with outlier detection. */
struct outcome_attempt {
	uint64_t started_ns; /* also the trial's name in the map */
	uint32_t latency_us; /* 0: not known yet */
	bool trial;
};

/* The first response headers of the attempt came: its latency is known. */
void outcome_answered(struct stream *stream, const struct pool_endpoint *endpoint);
/* The attempt is over; exactly once for each that pick_endpoint began. */
void outcome_ended(struct stream *stream, const struct pool_endpoint *endpoint, enum outcome how,
		   int grpc_status);

#endif
