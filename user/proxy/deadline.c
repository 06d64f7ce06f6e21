/* SPDX-License-Identifier: MIT */
/*
 * deadline.c - what ends a call by the clock, see deadline.h. Called by dispatch when a call
 * begins, by retry, and by the loop. It answers; freeing the legs is reply's and stream's.
 */
#include "proxy/deadline.h"

#include <errno.h>

#include "proxy/reply.h"
#include "proxy/request.h"
#include "proxy/retry.h"
#include "proxy/route.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

#define NEVER UINT64_MAX

static uint64_t idle_timeout_ns(const struct stream *stream)
{
	return stream->route ? stream->route->config->idle_timeout_ms * NS_PER_MS : 0;
}

/* 0: none. */
static uint64_t first_of(const struct stream *stream)
{
	uint64_t idle_ns = idle_timeout_ns(stream);
	uint64_t at[] = {
		stream->deadline_ns,
		stream->aged_ns,
		idle_ns ? stream->passed_ns + idle_ns : 0,
		stream->retry ? retry_due_ns(stream->retry) : 0,
	};
	uint64_t first = NEVER;

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		if (at[i] && at[i] < first)
			first = at[i];
	return first == NEVER ? 0 : first;
}

int deadline_arm(struct stream *stream)
{
	struct loop *loop = &stream->worker->loop;
	uint64_t first_ns, now_ns = loop_now(loop);

	/* Most calls have none of them. */
	if (!stream->deadline_ns && !stream->aged_ns && !stream->retry && !idle_timeout_ns(stream))
		return 0;
	first_ns = first_of(stream);
	if (!first_ns)
		return 0;
	if (loop_timer_is_set(&stream->deadline_timer) &&
	    stream->deadline_timer.deadline_ns <= first_ns)
		return 0; /* it fires early enough, and looks then */
	return loop_timer_set(loop, &stream->deadline_timer,
			      first_ns > now_ns ? first_ns - now_ns : 0);
}

int deadline_begin(struct stream *stream, const struct request_facts *facts)
{
	const struct config_route *route = stream->route ? stream->route->config : NULL;
	uint64_t timeout_ns = NEVER;

	if (facts->grpc && facts->has_timeout)
		timeout_ns = facts->timeout_ns;
	else if (route && route->default_timeout_ms)
		timeout_ns = route->default_timeout_ms * NS_PER_MS;
	if (route && route->max_timeout_ms && timeout_ns > route->max_timeout_ms * NS_PER_MS)
		timeout_ns = route->max_timeout_ms * NS_PER_MS;
	if (timeout_ns < INT64_MAX / 2)
		stream->deadline_ns = stream->started_ns + timeout_ns;
	if (route && route->max_age_ms)
		stream->aged_ns = stream->started_ns +
				  loop_jittered(route->max_age_ms * NS_PER_MS,
						worker_random(stream->worker));
	return deadline_arm(stream);
}

static void expire(struct stream *stream)
{
	worker_count(&stream->worker->stats->deadlines);
	if (stream->endpoint)
		stream_attempt_over(stream, stream->endpoint, OUTCOME_STATUS,
				    GRPC_DEADLINE_EXCEEDED);
	reply_error(stream, ERROR_DEADLINE,
		    (unsigned long long)((stream->deadline_ns - stream->started_ns) / NS_PER_MS));
}

void deadline_on_timer(struct loop_timer *timer)
{
	struct stream *stream = container_of(timer, struct stream, deadline_timer);
	struct sluice_worker *stats = stream->worker->stats;
	uint64_t now_ns = loop_now(&stream->worker->loop), idle_ns = idle_timeout_ns(stream);

	if (stream->down.end) /* answered: what is left is the client's to read */
		return;
	if (stream->deadline_ns && now_ns >= stream->deadline_ns) {
		expire(stream);
	} else if (stream->aged_ns && now_ns >= stream->aged_ns) {
		worker_count(&stats->streams_aged);
		reply_error(stream, ERROR_AGE, stream->route->config->name,
			    (unsigned long long)((now_ns - stream->started_ns) / NS_PER_MS));
	} else if (idle_ns && now_ns >= stream->passed_ns + idle_ns) {
		worker_count(&stats->streams_idle);
		reply_error(stream, ERROR_IDLE, stream->route->config->name,
			    stream->route->config->idle_timeout_ms);
	} else {
		if (stream->retry && retry_due_ns(stream->retry) &&
		    now_ns >= retry_due_ns(stream->retry))
			retry_on_time(stream);
		if (!stream->dead && !stream->down.end && deadline_arm(stream))
			reply_error(stream, ERROR_NO_MEMORY);
	}
}
