/* SPDX-License-Identifier: MIT */
/*
 * breaker.c - see breaker.h. Called by dispatch for each call, by the pool for those who wait.
 */
#include "proxy/breaker.h"

#include "proxy/pool.h"
#include "proxy/reply.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

static const struct config_breaker *breaker_of(const struct stream *stream)
{
	return &stream->group->config->breaker;
}

static enum grpc_status count_refusal(struct stream *stream, __u64 *counter)
{
	struct sluice_group *row = &stream->worker->state.groups[stream->group->config->id];

	worker_count(counter);
	__atomic_fetch_add(&row->overflows, 1, __ATOMIC_RELAXED);
	return (enum grpc_status)breaker_of(stream)->status;
}

bool breaker_enter(struct stream *stream)
{
	struct worker *worker = stream->worker;
	uint32_t limit = breaker_of(stream)->group_calls;

	if (!limit)
		return true;
	stream->group_counted = state_count_up_below(&worker->state, worker->slot, STATE_GROUP_CALLS,
						     stream->group->config->id, limit);
	return stream->group_counted;
}

void breaker_leave(struct stream *stream)
{
	struct worker *worker = stream->worker;

	if (!stream->group_counted)
		return;
	stream->group_counted = false;
	state_count_down(&worker->state, worker->slot, STATE_GROUP_CALLS, stream->group->config->id);
}

void breaker_group_full(struct stream *stream)
{
	enum grpc_status status =
		count_refusal(stream, &stream->worker->stats->breaker_calls);

	reply_error(stream, ERROR_GROUP_CALLS(status), stream->group->config->name,
		    breaker_of(stream)->group_calls);
}

void breaker_backends_full(struct stream *stream)
{
	enum grpc_status status =
		count_refusal(stream, &stream->worker->stats->breaker_calls);

	reply_error(stream, ERROR_BACKEND_CALLS(status), stream->group->config->name,
		    breaker_of(stream)->backend_calls);
}

void breaker_pending_full(struct stream *stream)
{
	enum grpc_status status =
		count_refusal(stream, &stream->worker->stats->breaker_pending);

	reply_error(stream, ERROR_PENDING(status), stream->group->config->name,
		    breaker_of(stream)->pending);
}

void breaker_pending_expired(struct stream *stream, const struct pool_endpoint *endpoint)
{
	enum grpc_status status =
		count_refusal(stream, &stream->worker->stats->pending_expired);

	reply_error(stream, ERROR_PENDING_TIMEOUT(status), stream->group->config->name,
		    endpoint->breaker.pending_timeout_ms, error_backend(stream, endpoint));
}
