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

#include "proxy/downstream.h"
#include "proxy/pick.h"
#include "proxy/pool.h"
#include "proxy/reply.h"
#include "proxy/request.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

static void answer_no_backend(struct stream *stream)
{
	const struct config_group *group = stream->group->config;
	const struct sluice_group *facts = &stream->worker->state.groups[group->id];
	uint32_t total = state_load32(&facts->total), live = state_load32(&facts->live);

	reply_status(stream, GRPC_UNAVAILABLE, "group \"%s\": %s (%u of %u backends down)",
		     group->name, stream->failure[0] ? stream->failure : "no backend",
		     total > live ? total - live : 0, total);
}

/* Picks and attaches until one takes the stream. */
static void attempt(struct stream *stream, bool only_others)
{
	struct worker *worker = stream->worker;

	while (stream->attempts < STREAM_ATTEMPTS_MAX) {
		struct pool_endpoint *endpoint;
		const struct config_endpoint *config;
		bool full;
		int err;

		config = pick_endpoint(stream, only_others, &full);
		if (!config)
			break;
		endpoint = pool_endpoint(&worker->pool, stream->group->config, config);
		if (!endpoint) {
			reply_status(stream, GRPC_RESOURCE_EXHAUSTED, "out of memory");
			return;
		}
		stream->tried[stream->attempts++] = config->id;
		__atomic_fetch_add(&worker->state.backends[config->id].calls, 1, __ATOMIC_RELAXED);
		err = pool_attach(endpoint, stream);
		if (!err)
			return;
		if (err == -ENOBUFS) {
			reply_status(stream, GRPC_RESOURCE_EXHAUSTED,
				     "group \"%s\": too many calls wait for a connection to %s",
				     stream->group->config->name, endpoint->name);
			return;
		}
		if (err == -ENOMEM || err == -E2BIG) {
			reply_status(stream, GRPC_RESOURCE_EXHAUSTED, "request cannot be sent: %s",
				     strerror(-err));
			return;
		}
		snprintf(stream->failure, sizeof(stream->failure), "connect to %s: %s",
			 endpoint->name, strerror(-err));
		only_others = true;
	}
	answer_no_backend(stream);
}

void dispatch_request(struct stream *stream, const struct router_listener *listener,
		      const struct h2_header *headers, size_t n, bool end)
{
	struct worker *worker = stream->worker;
	struct request_facts facts;

	stream->up.end = end;
	request_read(&facts, headers, n);
	if (!facts.grpc) {
		reply_http(stream, "415");
		return;
	}
	if (facts.bad_timeout) {
		reply_status(stream, GRPC_INTERNAL, "malformed grpc-timeout");
		return;
	}
	stream->group = router_match(stream->router, listener);
	if (!stream->group) {
		reply_status(stream, GRPC_UNIMPLEMENTED, "no group for this call");
		return;
	}
	if (facts.has_timeout && facts.timeout_ns < INT64_MAX / 2) {
		stream->deadline_ns = stream->started_ns + facts.timeout_ns;
		if (loop_timer_set(&worker->loop, &stream->deadline_timer, facts.timeout_ns)) {
			reply_status(stream, GRPC_RESOURCE_EXHAUSTED, "out of memory");
			return;
		}
	}
	if (request_build(stream, headers, n, stream->client->peer_ip)) {
		reply_status(stream, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	if (stream_over_memory(stream))
		return;
	attempt(stream, false);
}

void dispatch_again(struct stream *stream, bool only_others)
{
	if (!stream->replayable) {
		reply_status(stream, GRPC_UNAVAILABLE,
			     "group \"%s\": %s; the request is too large to be sent again",
			     stream->group->config->name, stream->failure);
		return;
	}
	worker_count(&stream->worker->stats->replays);
	stream->credited += stream->up.out.retained;
	buf_rewind(&stream->up.out);
	attempt(stream, only_others);
}

void dispatch_connect_failed(struct stream *stream, const struct pool_endpoint *endpoint,
			     const char *why)
{
	__atomic_fetch_add(&stream->worker->state.backends[endpoint->id].failures, 1,
			   __ATOMIC_RELAXED);
	snprintf(stream->failure, sizeof(stream->failure), "connect to %s: %s", endpoint->name,
		 why);
	dispatch_again(stream, true);
}

void dispatch_failed(struct stream *stream, const struct pool_endpoint *endpoint, int err)
{
	if (err == -EAGAIN || err == -EPIPE) {
		snprintf(stream->failure, sizeof(stream->failure), "backend %s is going away",
			 endpoint->name);
		dispatch_again(stream, false);
	} else {
		reply_status(stream, GRPC_RESOURCE_EXHAUSTED, "request cannot be sent: %s",
			     strerror(-err));
	}
}
