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
#include "proxy/pool.h"
#include "proxy/reply.h"
#include "proxy/request.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

enum pick_pass {
	PICK_HEALTHY,  /* not tried, not down, no connect failed just now */
	PICK_NOT_DOWN, /* not tried, not down */
	PICK_ANY,      /* not tried: all are down, and the group fails open */
	PICK_TRIED,    /* one that was tried may try again */
	PICK_PASSES
};

struct pick {
	const struct stream *stream;
	const struct config_group *group;
	enum pick_pass pass;
};

static bool was_tried(const struct stream *stream, uint32_t id)
{
	for (uint32_t i = 0; i < stream->attempts; i++)
		if (stream->tried[i] == id)
			return true;
	return false;
}

static bool is_usable(void *ctx, uint32_t index)
{
	const struct pick *pick = ctx;
	const struct config_endpoint *endpoint = &pick->group->endpoints[index];
	struct worker *worker = pick->stream->worker;
	const struct sluice_backend *backend = &worker->state.backends[endpoint->id];
	uint64_t now_ns = loop_now(&worker->loop);
	uint32_t health;

	/* Its id may be another backend's by now, in a configuration newer than the stream's. */
	if (state_load32(&backend->generation) != endpoint->generation)
		return false;
	if (pick->pass != PICK_TRIED && was_tried(pick->stream, endpoint->id))
		return false;
	if (pick->pass == PICK_ANY)
		return true;
	health = state_load32(&backend->health);
	if (health == SLUICE_HEALTH_DOWN || state_load64(&backend->ejected_until_ns) > now_ns)
		return false;
	return pick->pass != PICK_HEALTHY ||
	       !pool_is_backing_off(&worker->pool, endpoint,
				    health == SLUICE_HEALTH_UP ?
					    state_load64(&backend->health_changed_ns) :
					    0,
				    now_ns);
}

static uint32_t active_rpcs(void *ctx, uint32_t index)
{
	const struct pick *pick = ctx;

	return state_load32(
		&pick->stream->worker->state.backends[pick->group->endpoints[index].id].active_rpcs);
}

static int pick_once(struct router_group *group, struct pick *pick)
{
	if (group->least_request)
		return least_request_pick(group->least_request, is_usable, active_rpcs, pick,
					  worker_random(pick->stream->worker));
	return wrr_pick(group->wrr, is_usable, pick);
}

/* The endpoint for the next attempt; NULL: none is left. */
static const struct config_endpoint *pick_endpoint(struct stream *stream, bool only_others)
{
	struct router_group *group = stream->group;
	struct pick pick = { .stream = stream, .group = group->config };

	for (pick.pass = 0; pick.pass < PICK_PASSES; pick.pass++) {
		int index;

		if (pick.pass == PICK_ANY && group->config->on_all_down != SLUICE_ALL_DOWN_ACCEPT)
			continue;
		if (pick.pass == PICK_TRIED && (only_others || !stream->attempts))
			continue;
		index = pick_once(group, &pick);
		if (index >= 0)
			return &group->config->endpoints[index];
	}
	return NULL;
}

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
		const struct config_endpoint *config = pick_endpoint(stream, only_others);
		struct pool_endpoint *endpoint;
		int err;

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
