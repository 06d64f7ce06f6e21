/* SPDX-License-Identifier: MIT */
/*
 * stream.c - the relay: data, end, trailers and resets between a call's two legs, see stream.h.
 * downstream.c and upstream.c call it with what their sides received; it calls dispatch for
 * another attempt and reply for sluice's own answers. Runs inside h2's callbacks, so it frees
 * nothing at once: a dead stream is reaped at the end of the turn.
 */
#include "proxy/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/dispatch.h"
#include "proxy/downstream.h"
#include "proxy/pool.h"
#include "proxy/reply.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

static void on_deadline(struct loop_timer *timer)
{
	struct stream *stream = container_of(timer, struct stream, deadline_timer);

	worker_count(&stream->worker->stats->deadlines);
	reply_status(stream, GRPC_DEADLINE_EXCEEDED, "deadline exceeded after %llu ms",
		     (unsigned long long)((stream->deadline_ns - stream->started_ns) / NS_PER_MS));
}

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
	stream->grpc_status = -1;
	stream->replayable = true;
	stream->deadline_timer.on_timer = on_deadline;
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
	reply_status(stream, GRPC_RESOURCE_EXHAUSTED, "out of buffer memory");
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
	stream_detach_up(stream, H2_CANCEL);
	loop_timer_cancel(&worker->loop, &stream->deadline_timer);
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
	if (buf_append(&stream->up.out, data, size)) {
		reply_status(stream, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	if (stream->up.h2)
		h2_resume(stream->up.h2, stream->up.id);
}

void stream_down_end(struct stream *stream)
{
	stream->up.end = true;
	if (stream->up.h2)
		h2_resume(stream->up.h2, stream->up.id);
}

void stream_down_trailers(struct stream *stream, const struct h2_header *headers, size_t n)
{
	if (stream_copy_headers(stream, &stream->up.trailers, headers, n))
		reply_status(stream, GRPC_RESOURCE_EXHAUSTED, "out of memory");
	else
		stream_down_end(stream);
}

void stream_down_check_stall(struct stream *stream, uint64_t before_ns)
{
	if (!buf_unread(&stream->down.out) || stream->taken_ns >= before_ns)
		return;
	if (stream->down.end) /* the backend is done: only the client's buffer is held */
		h2_reset(stream->down.h2, stream->down.id, H2_CANCEL);
	else
		reply_status(stream, GRPC_RESOURCE_EXHAUSTED,
			     "the client has not read what waits for it for too long");
}

size_t stream_down_pull(struct stream *stream, uint8_t *dst, size_t size, bool *end)
{
	size_t n = buf_pull(&stream->down.out, dst, size);

	if (n)
		stream->taken_ns = loop_now(&stream->worker->loop);
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

/* ---- the backend's side ---- */

void stream_enter(struct stream *stream, struct pool_endpoint *endpoint)
{
	stream->endpoint = endpoint;
	state_count_up(&stream->worker->state, stream->worker->slot, STATE_BACKEND_CALLS,
			 endpoint->id);
}

void stream_detach_up(struct stream *stream, uint32_t code)
{
	struct pool_endpoint *endpoint = stream->endpoint;
	struct upstream *upstream = stream->upstream;

	if (!endpoint)
		return;
	state_count_down(&stream->worker->state, stream->worker->slot, STATE_BACKEND_CALLS,
			 endpoint->id);
	stream->endpoint = NULL;
	stream->upstream = NULL;
	if (!upstream) {
		pool_forget_waiting(endpoint, stream);
		return;
	}
	list_del(&stream->up_link);
	if (stream->up.h2) {
		h2_stream_set_user(stream->up.h2, stream->up.id, NULL);
		h2_reset(stream->up.h2, stream->up.id, code);
		stream->up.h2 = NULL;
	}
}

/* The backend's HTTP/2 stream is gone by itself. */
static void up_gone(struct stream *stream)
{
	stream->up.h2 = NULL;
	stream_detach_up(stream, H2_NO_ERROR);
}

static void note_status(struct stream *stream, const struct h2_header *headers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (H2_HEADER_IS(&headers[i], "grpc-status"))
			stream->grpc_status = grpc_status_parse(headers[i].value,
								headers[i].value_len);
}

/* The call is over at the backend: a request that is still being sent is moot. One that was sent
 * whole closes by itself. */
static void drop_rest_of_request(struct stream *stream)
{
	if (!stream->up.end || buf_unread(&stream->up.out))
		stream_detach_up(stream, H2_NO_ERROR);
}

void stream_up_response(struct stream *stream, const struct h2_header *headers, size_t n, bool end)
{
	bool foreign_type = false; /* a content-type, and not gRPC's */
	int http_status = 0;

	if (stream->response_started) {
		reply_status(stream, GRPC_INTERNAL, "backend %s sent response headers twice",
			     stream->endpoint->name);
		return;
	}
	note_status(stream, headers, n);
	for (size_t i = 0; i < n; i++) {
		if (H2_HEADER_IS(&headers[i], ":status"))
			http_status = atoi(headers[i].value);
		else if (H2_HEADER_IS(&headers[i], "content-type"))
			foreign_type = !grpc_content_type(headers[i].value,
							  headers[i].value_len);
	}
	if (stream->grpc_status < 0 && (http_status != 200 || foreign_type || end)) {
		/* An error page, or an end without a status: what gRPC's mapping makes of it. */
		reply_status(stream, http_status == 200 ? GRPC_UNKNOWN :
				     grpc_status_from_http(http_status),
			     "backend %s answered HTTP %d without grpc-status",
			     stream->endpoint->name, http_status);
		return;
	}
	/* From here on the call belongs to this backend. */
	stream->replayable = false;
	buf_release(&stream->up.out);
	if (h2_submit_response(stream->down.h2, stream->down.id, headers, n, end)) {
		reply_status(stream, GRPC_INTERNAL, "response headers cannot be forwarded");
		return;
	}
	stream->response_started = true;
	if (end) {
		stream->down.end = true;
		drop_rest_of_request(stream);
	}
}

void stream_up_data(struct stream *stream, const uint8_t *data, size_t size)
{
	if (stream->down.end || stream_over_memory(stream))
		return;
	if (!buf_unread(&stream->down.out))
		stream->taken_ns = loop_now(&stream->worker->loop);
	if (buf_append(&stream->down.out, data, size)) {
		reply_status(stream, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	h2_resume(stream->down.h2, stream->down.id);
}

void stream_up_trailers(struct stream *stream, const struct h2_header *headers, size_t n)
{
	if (stream->down.end)
		return;
	note_status(stream, headers, n);
	if (stream->grpc_status < 0) {
		reply_status(stream, GRPC_INTERNAL, "backend %s sent no grpc-status",
			     stream->endpoint->name);
		return;
	}
	if (stream_copy_headers(stream, &stream->down.trailers, headers, n)) {
		reply_status(stream, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	stream->down.end = true;
	h2_resume(stream->down.h2, stream->down.id);
	drop_rest_of_request(stream);
}

void stream_up_end(struct stream *stream)
{
	if (!stream->down.end)
		reply_status(stream, GRPC_INTERNAL, "backend %s ended without trailers",
			     stream->endpoint->name);
}

void stream_up_too_large(struct stream *stream)
{
	reply_status(stream, GRPC_RESOURCE_EXHAUSTED,
		     "header list from backend %s is over the limit of %u bytes",
		     stream->endpoint->name, stream->endpoint->options.max_header_bytes);
}

void stream_up_closed(struct stream *stream, uint32_t code, bool unprocessed)
{
	char backend[ADDR_TEXT_MAX];

	snprintf(backend, sizeof(backend), "%s", stream->endpoint->name);
	if (stream->down.end) {
		up_gone(stream);
		return;
	}
	__atomic_fetch_add(&stream->worker->state.backends[stream->endpoint->id].failures, 1,
			   __ATOMIC_RELAXED);
	up_gone(stream);
	if (unprocessed && !stream->response_started) {
		snprintf(stream->failure, sizeof(stream->failure), "backend %s refused the stream",
			 backend);
		dispatch_again(stream, false);
		return;
	}
	reply_status(stream, grpc_status_from_h2(code), "backend %s reset the stream: %s", backend,
		     h2_error_name(code));
}

void stream_up_lost(struct stream *stream, const char *why, bool unsent)
{
	char backend[ADDR_TEXT_MAX];

	snprintf(backend, sizeof(backend), "%s", stream->endpoint->name);
	if (!stream->down.end)
		__atomic_fetch_add(&stream->worker->state.backends[stream->endpoint->id].failures,
				   1, __ATOMIC_RELAXED);
	up_gone(stream);
	if (unsent && !stream->down.end) {
		snprintf(stream->failure, sizeof(stream->failure),
			 "connection to backend %.64s lost: %.64s", backend, why);
		dispatch_again(stream, false);
		return;
	}
	/* The backend may have acted on it, so it is not sent again here; UNAVAILABLE is what a
	 * client connected to that backend would see. */
	reply_status(stream, GRPC_UNAVAILABLE, "connection to backend %s lost: %s", backend, why);
}

size_t stream_up_pull(struct stream *stream, uint8_t *dst, size_t size, bool *end)
{
	struct buf *out = &stream->up.out;
	size_t n = buf_pull(out, dst, size);

	if (n) {
		size_t before = n < stream->credited ? n : stream->credited;

		stream->credited -= before;
		h2_credit(stream->down.h2, stream->down.id, n - before);
		if (out->retained > STREAM_REPLAY_BYTES) {
			stream->replayable = false;
			buf_release(out);
		}
	}
	if (stream->up.end && !buf_unread(out)) {
		*end = true;
		if (stream->up.trailers.n)
			h2_submit_trailers(stream->up.h2, stream->up.id, stream->up.trailers.fields,
					   stream->up.trailers.n);
	}
	return n;
}
