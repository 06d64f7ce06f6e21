/* SPDX-License-Identifier: MIT */
/*
 * dispatch.c - from a request to a backend, see dispatch.h. Called by downstream for new calls, by
 * stream, upstream and pool when an attempt failed before the backend processed it. Every way out
 * is an attached stream or an answer.
 */
#include "proxy/dispatch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/breaker.h"
#include "proxy/deadline.h"
#include "proxy/downstream.h"
#include "proxy/health_service.h"
#include "proxy/mirror.h"
#include "proxy/pick.h"
#include "proxy/pool.h"
#include "proxy/reply.h"
#include "proxy/request.h"
#include "proxy/retry.h"
#include "proxy/route.h"
#include "proxy/route_call.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

static void answer_no_backend(struct stream *stream)
{
	const struct config_group *group = stream->group->config;
	const struct sluice_group *facts = &stream->worker->state.groups[group->id];
	uint32_t total = state_load32(&facts->total), live = state_load32(&facts->live);

	reply_error(stream, ERROR_NO_BACKEND, group->name,
		    stream->failure[0] ? stream->failure :
		    total	       ? "no backend" :
					 "all its backends are drained or have weight 0",
		    total > live ? total - live : 0, total);
}

/* No connection to endpoint can be had; the reason in lower case, as it stands in a sentence. */
static void note_connect_failure(struct stream *stream, const struct pool_endpoint *endpoint,
				 const char *why)
{
	char first = why[0];

	if (first >= 'A' && first <= 'Z' && why[1] >= 'a' && why[1] <= 'z')
		first = (char)(first - 'A' + 'a');
	stream_attempt_over(stream, endpoint, OUTCOME_LOST, GRPC_UNAVAILABLE);
	snprintf(stream->failure, sizeof(stream->failure), "connect to %s: %c%s",
		 error_backend(stream, endpoint), first, first ? why + 1 : "");
}

static void refuse(struct stream *stream, const struct pool_endpoint *endpoint, int err)
{
	stream_attempt_over(stream, endpoint, OUTCOME_CANCELLED, -1);
	if (err == -ENOBUFS)
		reply_error(stream, ERROR_QUEUE_FULL, stream->group->config->name,
			    error_backend(stream, endpoint));
	else if (err == -EXFULL)
		breaker_pending_full(stream);
	else
		reply_error(stream, ERROR_NO_MEMORY);
}

/* The last attempt was certainly not processed. */
static void note_refusal(struct stream *stream)
{
	if (stream->attempts)
		stream->refused |= 1u << (stream->attempts - 1);
}

/* Picks and attaches until one takes the stream. */
static void attempt(struct stream *stream, bool only_others)
{
	struct worker *worker = stream->worker;
	bool full = false, met_full = false;

	while (stream->attempts < STREAM_ATTEMPTS_MAX) {
		struct pool_endpoint *endpoint;
		const struct config_endpoint *config;
		int err;

		config = pick_endpoint(stream, only_others, &full);
		if (!config)
			break;
		endpoint = pool_endpoint(&worker->pool, stream->group, config);
		if (!endpoint) {
			reply_error(stream, ERROR_NO_MEMORY);
			return;
		}
		stream->attempting = true;
		stream->tried[stream->attempts++] = config->id;
		__atomic_fetch_add(&worker->state.backends[config->id].calls, 1, __ATOMIC_RELAXED);
		if (stream->retry)
			retry_attempt(stream);
		err = pool_attach(endpoint, stream);
		if (!err)
			return;
		if (err == -ENOBUFS || err == -EXFULL || err == -ENOMEM || err == -E2BIG) {
			refuse(stream, endpoint, err);
			return;
		}
		met_full = err == -EDQUOT; /* another worker was faster */
		if (met_full)
			stream_attempt_over(stream, endpoint, OUTCOME_CANCELLED, -1);
		else
			note_connect_failure(stream, endpoint, strerror(-err));
		note_refusal(stream);
		only_others = true;
	}
	if (full || met_full)
		breaker_backends_full(stream);
	else
		answer_no_backend(stream);
}

/* What was sent is sent again: its window was given back at the first time. */
static void rewind_request(struct stream *stream)
{
	stream->credited += stream->up.out.retained;
	stream->up.ended = false;
	buf_rewind(&stream->up.out);
}

void dispatch_request(struct stream *stream, const struct router_listener *listener,
		      const struct h2_header *headers, size_t n, bool end)
{
	struct request_facts facts;

	stream->up.end = end;
	request_read(&facts, headers, n);
	stream->grpc = facts.grpc;
	stream->head = facts.head;
	if (listener->config->health_service && facts.grpc &&
	    health_service_take(stream, &facts, headers, n))
		return;
	if (!route_call(stream, listener, headers, n))
		return;
	if (!facts.grpc && stream->group->config->protocol == PROTOCOL_GRPC) {
		reply_error(stream, ERROR_NOT_GRPC, stream->group->config->name);
		return;
	}
	if (facts.connect) {
		reply_error(stream, ERROR_CONNECT);
		return;
	}
	if (facts.grpc && facts.bad_timeout) {
		reply_error(stream, ERROR_BAD_TIMEOUT);
		return;
	}
	if (deadline_begin(stream, &facts) || retry_begin(stream) ||
	    request_build(stream, listener->config, headers, n)) {
		reply_error(stream, ERROR_NO_MEMORY);
		return;
	}
	if (stream_over_memory(stream))
		return;
	if (!breaker_enter(stream)) {
		breaker_group_full(stream);
		return;
	}
	if (stream->route->config->mirror_permyriad)
		mirror_begin(stream, listener, headers, n);
	attempt(stream, false);
}

/* One more attempt goes by what a reload has made of the group: all its backends may be others. */
static void follow_reload(struct stream *stream)
{
	struct router *router = stream->worker->router;
	struct router_group *group;

	if (router == stream->router || router == stream->group_router)
		return;
	group = router_same_group(router, stream->group->config);
	if (!group)
		return;
	stream->group = group;
	router_unref(stream->group_router);
	stream->group_router = router_ref(router);
}

void dispatch_again(struct stream *stream, bool only_others)
{
	if (!stream->replayable) {
		reply_error(stream, ERROR_NO_REPLAY, stream->group->config->name, stream->failure);
		return;
	}
	worker_count(&stream->worker->stats->replays);
	note_refusal(stream);
	follow_reload(stream);
	rewind_request(stream);
	attempt(stream, only_others);
}

void dispatch_retry(struct stream *stream)
{
	follow_reload(stream);
	rewind_request(stream);
	attempt(stream, false);
}

void dispatch_connect_failed(struct stream *stream, const struct pool_endpoint *endpoint,
			     const char *why)
{
	__atomic_fetch_add(&stream->worker->state.backends[endpoint->id].failures, 1,
			   __ATOMIC_RELAXED);
	note_connect_failure(stream, endpoint, why);
	stream_detach_up(stream, H2_CANCEL);
	dispatch_again(stream, true);
}

void dispatch_failed(struct stream *stream, const struct pool_endpoint *endpoint, int err)
{
	stream_attempt_over(stream, endpoint, OUTCOME_CANCELLED, -1);
	stream_detach_up(stream, H2_CANCEL);
	if (err == -EAGAIN || err == -EPIPE) {
		snprintf(stream->failure, sizeof(stream->failure), "%s is going away",
			 error_backend(stream, endpoint));
		dispatch_again(stream, false);
	} else {
		refuse(stream, endpoint, err);
	}
}
