/* SPDX-License-Identifier: MIT */
/*
 * retry.c - whether and when a call is tried again by its route's policy, see retry.h. Called by
 * dispatch, stream_up and deadline, and only for calls of routes with retries. How a backend is picked
 * and the request sent is dispatch's.
 */
#include "proxy/retry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/bounds.h"
#include "proxy/deadline.h"
#include "proxy/dispatch.h"
#include "proxy/pool.h"
#include "proxy/reply.h"
#include "proxy/route.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

_Static_assert(STREAM_ATTEMPTS_MAX == BOUNDS_ATTEMPTS, "retry.attempts may ask for them all");

/* A backend that asks for a longer pause than this is taken at its word: not now, so not at all. */
#define PUSHBACK_MAX_MS 60000

struct retry {
	const struct config_retry *config;
	uint32_t attempts;	  /* begun by the policy, the first included */
	uint32_t client_attempts; /* grpc-previous-rpc-attempts, as the client sent it */
	uint32_t pauses;	  /* since the backend last named one */
	bool pausing;
	bool counted; /* in the route's active retries */
	uint64_t pause_ns;
	uint64_t due_ns;	 /* 0: nothing to wait for */
	struct h2_header *field; /* grpc-previous-rpc-attempts in the request; NULL: not there yet */
	char text[12];
};

int retry_begin(struct stream *stream)
{
	const struct config_route *route = stream->route->config;
	struct worker *worker = stream->worker;
	struct retry *retry;

	if (!route->retry.codes && !route->retry.on_reset && !route->retry.per_try_timeout_ms)
		return 0;
	retry = arena_alloc(&stream->arena, sizeof(*retry));
	if (!retry)
		return -ENOMEM;
	*retry = (struct retry){ .config = &route->retry, .attempts = 1 };
	stream->retry = retry;
	if (!stream->route_counted) {
		state_count_up(&worker->state, worker->slot, STATE_ROUTE_CALLS, route->id);
		stream->route_counted = true;
	}
	return 0;
}

static void leave_budget(struct stream *stream)
{
	struct worker *worker = stream->worker;

	if (!stream->retry->counted)
		return;
	stream->retry->counted = false;
	state_count_down(&worker->state, worker->slot, STATE_ROUTE_RETRIES,
			 stream->route->config->id);
}

/* Of the calls under way at this route, on all workers, a share may be retries; some always may. */
static bool enter_budget(struct stream *stream)
{
	struct worker *worker = stream->worker;
	const struct config_retry *config = stream->retry->config;
	uint32_t id = stream->route->config->id;
	uint64_t limit = (uint64_t)state_counted(&worker->state, STATE_ROUTE_CALLS, id) *
			 config->budget_percent / 100;

	if (limit < config->budget_floor)
		limit = config->budget_floor;
	if (!state_count_up_below(&worker->state, worker->slot, STATE_ROUTE_RETRIES, id,
				  (uint32_t)limit)) {
		worker_count(&worker->stats->retries_denied);
		__atomic_fetch_add(&worker->state.routes[id].retries_denied, 1, __ATOMIC_RELAXED);
		return false;
	}
	stream->retry->counted = true;
	worker_count(&worker->stats->retries);
	__atomic_fetch_add(&worker->state.routes[id].retries, 1, __ATOMIC_RELAXED);
	return true;
}

/* Doubled each time up to the most, and somewhere between the half and the whole of that. */
static uint64_t next_pause(struct stream *stream)
{
	struct retry *retry = stream->retry;
	uint64_t pause_ms = (uint64_t)retry->config->backoff_base_ms << retry->pauses++;

	if (pause_ms > retry->config->backoff_max_ms)
		pause_ms = retry->config->backoff_max_ms;
	return pause_ms * NS_PER_MS / 2 +
	       worker_random(stream->worker) % (pause_ms * NS_PER_MS / 2 + 1);
}

/* grpc-retry-pushback-ms. False: not to be tried again. */
static bool obey(struct retry *retry, const struct h2_header *pushback, uint64_t *pause_ns)
{
	int ms = grpc_number_parse(pushback->value, pushback->value_len);

	if (ms < 0 || ms > PUSHBACK_MAX_MS)
		return false;
	retry->pauses = 0;
	*pause_ns = (uint64_t)ms * NS_PER_MS;
	return true;
}

static bool decide(struct stream *stream, const struct h2_header *pushback)
{
	struct retry *retry = stream->retry;
	uint64_t now_ns = loop_now(&stream->worker->loop);

	leave_budget(stream);
	if (retry->attempts >= retry->config->attempts ||
	    stream->attempts >= STREAM_ATTEMPTS_MAX || !stream->replayable ||
	    stream->response_started)
		return false;
	if (!pushback)
		retry->pause_ns = next_pause(stream);
	else if (!obey(retry, pushback, &retry->pause_ns))
		return false;
	/* What the backend said is more use to the client than an expired deadline. */
	if (stream->deadline_ns && now_ns + retry->pause_ns >= stream->deadline_ns)
		return false;
	return enter_budget(stream);
}

bool retry_status(struct stream *stream, int grpc_status, const struct h2_header *pushback)
{
	if (!stream->grpc || grpc_status <= 0 || grpc_status >= GRPC_STATUS_COUNT ||
	    !(stream->retry->config->codes >> grpc_status & 1)) {
		leave_budget(stream);
		return false;
	}
	return decide(stream, pushback);
}

bool retry_lost(struct stream *stream)
{
	if (!stream->retry->config->on_reset) {
		leave_budget(stream);
		return false;
	}
	return decide(stream, NULL);
}

/* grpc-previous-rpc-attempts, with those that the client made by itself before. */
static int mark_request(struct stream *stream)
{
	static const char name[] = "grpc-previous-rpc-attempts";
	struct retry *retry = stream->retry;
	size_t n = stream->request.n;

	for (size_t i = 0; i < n && !retry->field; i++) {
		struct h2_header *field = &stream->request.fields[i];
		int before;

		if (!h2_header_is(field, name, sizeof(name) - 1))
			continue;
		before = grpc_number_parse(field->value, field->value_len);
		retry->client_attempts = before > 0 ? (uint32_t)before : 0;
		retry->field = field;
	}
	if (!retry->field) {
		struct h2_header *fields = arena_alloc(&stream->arena, (n + 1) * sizeof(*fields));

		if (!fields)
			return -ENOMEM;
		memcpy(fields, stream->request.fields, n * sizeof(*fields));
		if (stream->timeout_field)
			stream->timeout_field = fields + (stream->timeout_field - stream->request.fields);
		retry->field = &fields[n];
		*retry->field = (struct h2_header){ .name = name, .name_len = sizeof(name) - 1 };
		stream->request.fields = fields;
		stream->request.n = n + 1;
	}
	retry->field->value = retry->text;
	retry->field->value_len = (uint32_t)snprintf(retry->text, sizeof(retry->text), "%u",
						     retry->client_attempts + retry->attempts - 1);
	return 0;
}

static void go(struct stream *stream)
{
	struct retry *retry = stream->retry;

	retry->pausing = false;
	retry->due_ns = 0;
	retry->attempts++;
	if (mark_request(stream))
		reply_error(stream, ERROR_NO_MEMORY);
	else if (!stream_over_memory(stream))
		dispatch_retry(stream);
}

void retry_again(struct stream *stream)
{
	struct retry *retry = stream->retry;

	stream_detach_up(stream, H2_CANCEL);
	if (!retry->pause_ns) {
		go(stream);
		return;
	}
	retry->pausing = true;
	retry->due_ns = loop_now(&stream->worker->loop) + retry->pause_ns;
	if (deadline_arm(stream))
		reply_error(stream, ERROR_NO_MEMORY);
}

void retry_attempt(struct stream *stream)
{
	struct retry *retry = stream->retry;

	retry->due_ns = 0;
	if (!retry->config->per_try_timeout_ms)
		return;
	retry->due_ns = loop_now(&stream->worker->loop) +
			retry->config->per_try_timeout_ms * NS_PER_MS;
	if (deadline_arm(stream))
		retry->due_ns = 0; /* without memory for it a try may last */
}

void retry_on_time(struct stream *stream)
{
	struct retry *retry = stream->retry;
	struct pool_endpoint *endpoint = stream->endpoint;

	if (retry->pausing) {
		go(stream);
		return;
	}
	retry->due_ns = 0;
	if (!endpoint)
		return;
	stream_attempt_over(stream, endpoint, OUTCOME_STATUS, GRPC_DEADLINE_EXCEEDED);
	if (decide(stream, NULL))
		retry_again(stream);
	else
		reply_error(stream, ERROR_TRY_TIMEOUT, stream->group->config->name,
			    error_backend(stream, endpoint), retry->config->per_try_timeout_ms,
			    retry->attempts, retry->config->attempts);
}

void retry_committed(struct stream *stream)
{
	stream->retry->due_ns = 0;
}

void retry_leave(struct stream *stream)
{
	leave_budget(stream);
}

uint64_t retry_due_ns(const struct retry *retry)
{
	return retry->due_ns;
}
