/* SPDX-License-Identifier: MIT */
/*
 * stream.c - a call's life, and what its client sends and takes, see stream.h. Called by
 * downstream.c; stream_up.c is the other side. Runs inside h2's callbacks, so it frees nothing at
 * once: a dead stream is reaped at the end of the turn.
 */
#include "proxy/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/breaker.h"
#include "proxy/deadline.h"
#include "proxy/downstream.h"
#include "proxy/evidence.h"
#include "proxy/health_service.h"
#include "proxy/mirror.h"
#include "proxy/reply.h"
#include "proxy/request.h"
#include "proxy/retry.h"
#include "proxy/route.h"
#include "proxy/worker.h"

struct stream *stream_new(struct downstream *client, int32_t id)
{
	struct worker *worker = client->worker;
	struct stream *stream = malloc(sizeof(*stream));

	if (!stream)
		return NULL;
	/* All but the arena's memory. */
	memset(stream, 0, offsetof(struct stream, arena_bytes));
	stream->worker = worker;
	stream->client = client;
	stream->router = router_ref(downstream_router(client));
	stream->down.h2 = client->h2;
	stream->down.id = id;
	stream->started_ns = loop_now(&worker->loop);
	stream->passed_ns = stream->started_ns;
	stream->grpc_status = -1;
	stream->grpc = true; /* until its headers say otherwise */
	stream->replayable = true;
	stream->deadline_timer.on_timer = deadline_on_timer;
	buf_retain(&stream->up.out);
	arena_init(&stream->arena, stream->arena_bytes, sizeof(stream->arena_bytes));
	list_init(&stream->up_link);
	list_add_tail(&client->streams, &stream->down_link);
	worker_count(&worker->stats->calls);
	state_store32(&worker->stats->active_rpcs, worker->stats->active_rpcs + 1);
	return stream;
}

static void stream_free(struct stream *stream)
{
	buf_done(&stream->down.out);
	buf_done(&stream->up.out);
	stream->worker->header_bytes -= stream->header_bytes;
	arena_done(&stream->arena);
	router_unref(stream->group_router);
	router_unref(stream->router);
	free(stream);
}

void stream_reap(struct worker *worker)
{
	struct stream *stream, *next;

	list_for_each_safe(stream, next, &worker->dead_streams, down_link) {
		list_del(&stream->down_link);
		stream_free(stream);
	}
}

int stream_copy_headers(struct stream *stream, struct stream_headers *to,
			const struct h2_header *headers, size_t n)
{
	struct h2_header *fields = arena_alloc(&stream->arena, n * sizeof(*fields));
	size_t bytes = 0;
	char *at;

	for (size_t i = 0; i < n; i++)
		bytes += headers[i].name_len + headers[i].value_len;
	at = arena_alloc(&stream->arena, bytes);
	if (!fields || !at)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		fields[i] = headers[i];
		fields[i].name = memcpy(at, headers[i].name, headers[i].name_len);
		at += headers[i].name_len;
		fields[i].value = memcpy(at, headers[i].value, headers[i].value_len);
		at += headers[i].value_len;
	}
	to->fields = fields;
	to->n = n;
	return 0;
}

/* Messages and metadata count together. A worker that is over its limit fails the stream that wants
 * more, and no other. */
bool stream_over_memory(struct stream *stream)
{
	struct worker *worker = stream->worker;

	worker->header_bytes += stream->arena.held - stream->header_bytes;
	stream->header_bytes = stream->arena.held;
	if (buf_in_use() + worker->header_bytes <= stream->router->config->max_buffer_bytes)
		return false;
	reply_error(stream, ERROR_BUFFER_MEMORY);
	return true;
}

/* ---- the client's side ---- */

void stream_down_closed(struct stream *stream, bool in_order)
{
	struct worker *worker = stream->worker;
	bool finished = in_order && stream->down.end;

	if (stream->dead)
		return;
	if (!finished)
		worker_count(&worker->stats->calls_cancelled);
	else if (stream->grpc_status >= 0 && stream->grpc_status < GRPC_STATUS_COUNT)
		worker_count(&worker->stats->calls_ended[stream->grpc_status]);
	if (finished && !stream->grpc_status)
		evidence_good(stream->client);
	stream_detach_up(stream, H2_CANCEL);
	breaker_leave(stream);
	if (stream->mirror)
		mirror_leave(stream);
	if (stream->local)
		health_service_leave(stream);
	loop_timer_cancel(&worker->loop, &stream->deadline_timer);
	if (stream->retry)
		retry_leave(stream);
	if (stream->route_counted)
		state_count_down(&worker->state, worker->slot, STATE_ROUTE_CALLS,
				 stream->route->config->id);
	state_store32(&worker->stats->active_rpcs, worker->stats->active_rpcs - 1);
	stream->dead = true;
	list_del(&stream->down_link);
	list_add_tail(&worker->dead_streams, &stream->down_link);
	loop_defer(&worker->loop, &worker->reap_task);
}

void stream_down_data(struct stream *stream, const uint8_t *data, size_t size)
{
	if (stream->down.end || stream->up.end) {
		/* Answered already: the rest of the request has nowhere to go. */
		h2_credit(stream->down.h2, stream->down.id, size);
		return;
	}
	if (stream_over_memory(stream))
		return;
	stream->passed_ns = loop_now(&stream->worker->loop);
	if (buf_append(&stream->up.out, data, size)) {
		reply_error(stream, ERROR_NO_MEMORY);
		return;
	}
	if (stream->mirror)
		mirror_data(stream, data, size);
	if (stream->up.h2)
		h2_resume(stream->up.h2, stream->up.id);
}

void stream_down_end(struct stream *stream)
{
	stream->up.end = true;
	if (stream->mirror)
		mirror_end(stream);
	if (stream->local)
		health_service_request(stream);
	if (stream->up.h2)
		h2_resume(stream->up.h2, stream->up.id);
}

void stream_down_trailers(struct stream *stream, const struct h2_header *headers, size_t n)
{
	if (request_trailers(stream, headers, n))
		reply_error(stream, ERROR_NO_MEMORY);
	else
		stream_down_end(stream);
}

void stream_drop_response(struct stream *stream)
{
	buf_done(&stream->down.out);
	buf_init(&stream->down.out);
}

void stream_down_check_stall(struct stream *stream, uint64_t before_ns)
{
	if (!buf_unread(&stream->down.out) || stream->taken_ns >= before_ns)
		return;
	if (stream->broken) { /* the client is told of the failure without the rest */
		stream_drop_response(stream);
		h2_resume(stream->down.h2, stream->down.id);
	} else if (stream->down.end) { /* the backend is done: only the client's buffer is held */
		h2_reset(stream->down.h2, stream->down.id, H2_CANCEL);
	} else {
		reply_error(stream, ERROR_CLIENT_STALLED);
	}
}

size_t stream_down_pull(struct stream *stream, uint8_t *dst, size_t size, bool *end)
{
	size_t n = buf_pull(&stream->down.out, dst, size);

	if (n)
		stream->taken_ns = stream->passed_ns = loop_now(&stream->worker->loop);
	if (n && stream->up.h2)
		h2_credit(stream->up.h2, stream->up.id, n);
	if (stream->down.end && !buf_unread(&stream->down.out)) {
		*end = true;
		if (stream->down.trailers.n)
			h2_submit_trailers(stream->down.h2, stream->down.id,
					   stream->down.trailers.fields, stream->down.trailers.n);
	}
	return n;
}
