/* SPDX-License-Identifier: MIT */
/*
 * stream.h - one call: two legs, and the only place where the two HTTP/2 sides meet. What
 * arrives on one leg waits in the other leg's bounded buffer; draining it gives the first leg's
 * stream window back, so each side is stalled by the other's pace and nothing else.
 *
 * A stream lives exactly as long as its downstream HTTP/2 stream. The upstream leg comes and goes:
 * attached by the pool, detached when the backend's stream ends or the call is answered here.
 *
 * Which file: its life, and the client's side - stream.c; the backend's side - stream_up.c; headers
 * of the request - dispatch.c; times - deadline.c; a route's retries - retry.c; what the client is
 * told when sluice answers itself - reply.c.
 */
#ifndef SLUICE_PROXY_STREAM_H
#define SLUICE_PROXY_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/loop.h"
#include "proxy/grpc.h"
#include "proxy/h2.h"
#include "proxy/outcome.h"

struct downstream;
struct upstream;
struct pool_endpoint;
struct health_call;
struct mirror;
struct retry;
struct route;
struct router;
struct router_group;
struct worker;

/* A request that may be sent again keeps this much of what it has sent. */
#define STREAM_REPLAY_BYTES ((size_t)64 * 1024)
#define STREAM_ATTEMPTS_MAX 5

struct stream_headers {
	struct h2_header *fields; /* in the stream's arena */
	size_t n;
};

struct leg {
	struct h2 *h2; /* NULL: not attached */
	int32_t id;
	struct buf out; /* waits to go out on this leg */
	bool end;	/* nothing more will be appended to out */
	bool ended;	/* up: END_STREAM was handed over */
	struct stream_headers trailers; /* that follow out; n = 0: none */
};

struct stream {
	struct worker *worker;
	struct downstream *client;
	struct router *router; /* the configuration it began with */
	const struct route *route; /* NULL until it is known */
	struct router_group *group;
	struct router *group_router; /* whose group it is; NULL: router's */
	struct mirror *mirror;	   /* NULL: not mirrored */
	struct health_call *local; /* NULL: not answered by sluice itself */
	uint64_t hash;		   /* of the group's key, for consistent hashing */
	struct list down_link; /* in the client's streams; at the end in the worker's dead_streams */
	struct list up_link;   /* in the upstream's streams, or the endpoint's waiting */
	struct leg down, up;
	struct pool_endpoint *endpoint; /* where it waits or runs; NULL: nowhere */
	struct upstream *upstream;	/* NULL while it waits */
	struct stream_headers request;	/* as sent to backends */
	const char *client_ip;	/* the connection's, or what trusted hops give */
	const char *request_id; /* NULL: none */
	struct h2_header *timeout_field; /* grpc-timeout in request.fields; NULL: none */
	char timeout_text[GRPC_TIMEOUT_TEXT_MAX];
	struct retry *retry;	   /* NULL: its route has no retries */
	uint64_t started_ns, deadline_ns; /* deadline 0: none */
	uint64_t aged_ns;   /* when it is open for too long; 0: never */
	uint64_t passed_ns; /* when something last passed, either way */
	uint64_t waiting_since_ns; /* in the queue for a connection */
	uint64_t taken_ns; /* when the client last took of down.out, or something came into it */
	struct loop_timer deadline_timer;
	uint32_t tried[STREAM_ATTEMPTS_MAX]; /* endpoint ids */
	uint32_t attempts;
	uint32_t refused; /* a bit for each of them: certainly not processed */
	uint32_t n_informational; /* 1xx responses passed on */
	struct outcome_attempt attempt; /* the one under way */
	size_t credited; /* bytes sent again whose window was given back at the first attempt */
	int grpc_status;	 /* as the client sees it; -1: not known yet */
	bool grpc;		 /* the request is gRPC; else errors are plain HTTP's */
	bool head;		 /* HEAD: its response has no body */
	bool attempting;	 /* an attempt was begun, and its outcome is not known yet */
	bool route_counted;	 /* in its route's active calls */
	bool group_counted;	 /* in its group's active calls */
	bool pending_counted;	 /* in its group's pending calls */
	bool response_started;	 /* headers have gone to the client */
	bool replayable;	 /* all that was sent is retained */
	bool broken;		 /* its trailers are sluice's: the response is not whole */
	bool dead;
	char failure[160]; /* the last failure of an attempt, for the message */
	size_t header_bytes; /* of the arena's, as counted in the worker's */
	struct arena arena;
	max_align_t arena_bytes[120];
};

/* For downstream.c. NULL: no memory. */
struct stream *stream_new(struct downstream *client, int32_t id);
/* The client's side is over (ended, reset, or its connection is gone): cancels upstream. */
void stream_down_closed(struct stream *stream, bool in_order);
void stream_down_data(struct stream *stream, const uint8_t *data, size_t size);
void stream_down_end(struct stream *stream);
void stream_down_trailers(struct stream *stream, const struct h2_header *headers, size_t n);
/* Ends the call where the client has taken nothing of what waits for it since before_ns. */
void stream_down_check_stall(struct stream *stream, uint64_t before_ns);
size_t stream_down_pull(struct stream *stream, uint8_t *dst, size_t size, bool *end);

/* For worker.c: frees the streams that died in this turn. */
void stream_reap(struct worker *worker);

/* For upstream.c. */
void stream_up_response(struct stream *stream, const struct h2_header *headers, size_t n, bool end);
void stream_up_informational(struct stream *stream, const struct h2_header *headers, size_t n);
void stream_up_trailers(struct stream *stream, const struct h2_header *headers, size_t n);
void stream_up_data(struct stream *stream, const uint8_t *data, size_t size);
void stream_up_end(struct stream *stream);
void stream_up_closed(struct stream *stream, uint32_t code, bool unprocessed, bool by_peer);
void stream_up_too_large(struct stream *stream);
/* The connection under it died; unsent: before anything of the request was sent. */
void stream_up_lost(struct stream *stream, const char *why, bool unsent);
size_t stream_up_pull(struct stream *stream, uint8_t *dst, size_t size, bool *end);

/* For pool.c and dispatch.c: enters or leaves an endpoint's active calls. False: it has as many as
 * the group's circuit breaker lets it have. */
bool stream_enter(struct stream *stream, struct pool_endpoint *endpoint);
void stream_leave(struct stream *stream);
/* The status that a response block amounts to, where it is the whole answer; -1: it is none. */
int stream_status_of(const struct stream *stream, const struct h2_header *headers, size_t n,
		     bool end);
/* The attempt at endpoint is over, if it was not told before: for outlier detection. */
void stream_attempt_over(struct stream *stream, const struct pool_endpoint *endpoint,
			 enum outcome how, int grpc_status);
/* Lets go of the upstream side: out of the queue, or reset with code where its HTTP/2 stream is
 * still open. */
void stream_detach_up(struct stream *stream, uint32_t code);

/* Answers, and true, where the worker is over its memory: call after the arena grew. */
bool stream_over_memory(struct stream *stream);

/* Drops what of the response waits for the client. */
void stream_drop_response(struct stream *stream);
/* Copies of headers into the stream's arena. 0 or -ENOMEM. */
int stream_copy_headers(struct stream *stream, struct stream_headers *to,
			const struct h2_header *headers, size_t n);

#endif
