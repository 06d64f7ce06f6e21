/* SPDX-License-Identifier: MIT */
/*
 * stream_up.c - the backend's side of a call, see stream.h: what its answers, resets and lost
 * connections mean for the client. Called by upstream.c with what came; it asks retry.c and calls
 * dispatch for another attempt, reply for an answer of sluice's own, and never both.
 *
 * In a `protocol: grpc` group every way a response can be wrong becomes a grpc-status, as gRPC's
 * http-grpc-status-mapping.md and PROTOCOL-HTTP2.md have it. In an `http2` group a response needs
 * no status, and is passed on as it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/dispatch.h"
#include "proxy/metadata.h"
#include "proxy/pool.h"
#include "proxy/reply.h"
#include "proxy/retry.h"
#include "proxy/route.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

#define INFORMATIONAL_MAX 8

bool stream_enter(struct stream *stream, struct pool_endpoint *endpoint)
{
	struct worker *worker = stream->worker;
	uint32_t limit = endpoint->breaker.backend_calls;

	if (!limit)
		state_count_up(&worker->state, worker->slot, STATE_BACKEND_CALLS, endpoint->id);
	else if (!state_count_up_below(&worker->state, worker->slot, STATE_BACKEND_CALLS,
				       endpoint->id, limit))
		return false;
	stream->endpoint = endpoint;
	return true;
}

void stream_leave(struct stream *stream)
{
	state_count_down(&stream->worker->state, stream->worker->slot, STATE_BACKEND_CALLS,
			 stream->endpoint->id);
	stream->endpoint = NULL;
}

void stream_attempt_over(struct stream *stream, const struct pool_endpoint *endpoint,
			 enum outcome how, int grpc_status)
{
	if (!stream->attempting)
		return;
	stream->attempting = false;
	outcome_ended(stream, endpoint, how, grpc_status);
}

void stream_detach_up(struct stream *stream, uint32_t code)
{
	struct pool_endpoint *endpoint = stream->endpoint;
	struct upstream *upstream = stream->upstream;

	if (!endpoint)
		return;
	stream_attempt_over(stream, endpoint, OUTCOME_CANCELLED, -1);
	stream_leave(stream);
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

/* The backend has ended its side, and the call goes on without it. Where the request has ended too,
 * the HTTP/2 stream is over by itself. */
static void leave_ended(struct stream *stream)
{
	if (stream->up.ended && stream->up.h2) {
		h2_stream_set_user(stream->up.h2, stream->up.id, NULL);
		stream->up.h2 = NULL;
	}
	stream_detach_up(stream, H2_NO_ERROR);
}

/* The call is over at the backend: a request that is still being sent is moot. One that was sent
 * whole closes by itself. */
static void drop_rest_of_request(struct stream *stream)
{
	if (!stream->up.end || buf_unread(&stream->up.out))
		stream_detach_up(stream, H2_NO_ERROR);
}

/* ---- what a block says ---- */

struct answer {
	int http_status;
	int grpc_status;   /* < 0: none, or not a number */
	bool foreign_type; /* a content-type, and not gRPC's */
	const struct h2_header *pushback; /* grpc-retry-pushback-ms; NULL: none */
};

static void read_answer(struct answer *answer, const struct h2_header *headers, size_t n)
{
	*answer = (struct answer){ .grpc_status = -1 };
	for (size_t i = 0; i < n; i++) {
		const struct h2_header *header = &headers[i];

		if (H2_HEADER_IS(header, ":status"))
			answer->http_status = atoi(header->value);
		else if (H2_HEADER_IS(header, "grpc-status"))
			answer->grpc_status = grpc_status_parse(header->value, header->value_len);
		else if (H2_HEADER_IS(header, "content-type"))
			answer->foreign_type =
				!grpc_content_type(header->value, header->value_len);
		else if (H2_HEADER_IS(header, "grpc-retry-pushback-ms"))
			answer->pushback = header;
	}
}

static bool is_strict(const struct stream *stream)
{
	return stream->group->config->protocol == PROTOCOL_GRPC;
}

/* What a response without grpc-status comes to. */
static int http_outcome(int http_status)
{
	return http_status < 400 ? GRPC_OK : grpc_status_from_http(http_status);
}

/* The status that the block amounts to, where it is the whole answer. -1: it is none. */
static int whole_answer(const struct stream *stream, const struct answer *answer, bool end)
{
	if (!is_strict(stream)) {
		if (!end)
			return -1;
		return answer->grpc_status >= 0 ? answer->grpc_status :
						  http_outcome(answer->http_status);
	}
	if (end && answer->grpc_status >= 0)
		return answer->grpc_status;
	if (!end && answer->http_status == 200 && !answer->foreign_type)
		return -1;
	/* An error page, or an end without a status: what gRPC's mapping makes of it. */
	if (answer->grpc_status > 0)
		return answer->grpc_status;
	return grpc_status_from_http(answer->http_status);
}

int stream_status_of(const struct stream *stream, const struct h2_header *headers, size_t n,
		     bool end)
{
	struct answer answer;

	read_answer(&answer, headers, n);
	return whole_answer(stream, &answer, end);
}

/* ---- what came ---- */

void stream_up_response(struct stream *stream, const struct h2_header *headers, size_t n, bool end)
{
	const struct pool_endpoint *endpoint = stream->endpoint;
	struct stream_headers response = { .fields = (struct h2_header *)headers, .n = n };
	struct answer answer;
	int status;

	outcome_answered(stream, endpoint);
	read_answer(&answer, headers, n);
	status = whole_answer(stream, &answer, end);
	if (status >= 0) {
		stream_attempt_over(stream, endpoint, OUTCOME_STATUS, status);
		if (stream->retry && retry_status(stream, status, answer.pushback)) {
			if (end)
				leave_ended(stream);
			retry_again(stream);
			return;
		}
	}
	if (is_strict(stream) && status >= 0 && !(end && answer.grpc_status >= 0)) {
		if (end)
			leave_ended(stream);
		reply_error(stream, ERROR_BACKEND_HTTP((enum grpc_status)status),
			    stream->group->config->name, error_backend(stream, endpoint),
			    answer.http_status);
		return;
	}
	/* From here on the call belongs to this backend. */
	stream->replayable = false;
	buf_release(&stream->up.out);
	if (stream->retry)
		retry_committed(stream);
	if (stream->route->response &&
	    metadata_edit(stream->route->response, stream, &response, &stream->request)) {
		reply_error(stream, ERROR_NO_MEMORY);
		return;
	}
	if (h2_submit_response(stream->down.h2, stream->down.id, response.fields, response.n,
			       end)) {
		reply_error(stream, ERROR_NO_MEMORY);
		return;
	}
	stream->response_started = true;
	stream->passed_ns = loop_now(&stream->worker->loop);
	stream->grpc_status = is_strict(stream) || end ? status : http_outcome(answer.http_status);
	if (end) {
		stream->down.end = true;
		drop_rest_of_request(stream);
	}
}

/* 1xx mean nothing to gRPC. Few, since they wait outside of any window. */
void stream_up_informational(struct stream *stream, const struct h2_header *headers, size_t n)
{
	if (!stream->grpc && !stream->down.end && stream->n_informational++ < INFORMATIONAL_MAX)
		h2_submit_informational(stream->down.h2, stream->down.id, headers, n);
}

void stream_up_data(struct stream *stream, const uint8_t *data, size_t size)
{
	if (stream->down.end || stream_over_memory(stream))
		return;
	stream->passed_ns = loop_now(&stream->worker->loop);
	if (!buf_unread(&stream->down.out))
		stream->taken_ns = stream->passed_ns;
	if (buf_append(&stream->down.out, data, size)) {
		reply_error(stream, ERROR_NO_MEMORY);
		return;
	}
	h2_resume(stream->down.h2, stream->down.id);
}

/* The response is whole. */
static void end_response(struct stream *stream)
{
	stream_attempt_over(stream, stream->endpoint, OUTCOME_STATUS, stream->grpc_status);
	stream->down.end = true;
	h2_resume(stream->down.h2, stream->down.id);
	drop_rest_of_request(stream);
}

void stream_up_trailers(struct stream *stream, const struct h2_header *headers, size_t n)
{
	const struct pool_endpoint *endpoint = stream->endpoint;
	struct answer answer;

	if (stream->down.end)
		return;
	read_answer(&answer, headers, n);
	if (answer.grpc_status >= 0) {
		stream->grpc_status = answer.grpc_status;
	} else if (is_strict(stream)) {
		stream_attempt_over(stream, endpoint, OUTCOME_STATUS, GRPC_UNKNOWN);
		leave_ended(stream);
		reply_error_after(stream, ERROR_NO_STATUS, stream->group->config->name,
				  error_backend(stream, endpoint));
		return;
	}
	if (stream_copy_headers(stream, &stream->down.trailers, headers, n) ||
	    (stream->route->response &&
	     metadata_edit_trailers(stream->route->response, stream, &stream->down.trailers))) {
		reply_error(stream, ERROR_NO_MEMORY);
		return;
	}
	end_response(stream);
}

void stream_up_end(struct stream *stream)
{
	const struct pool_endpoint *endpoint = stream->endpoint;

	if (stream->down.end)
		return;
	if (!is_strict(stream)) {
		end_response(stream);
		return;
	}
	stream_attempt_over(stream, endpoint, OUTCOME_STATUS, GRPC_UNKNOWN);
	leave_ended(stream);
	reply_error_after(stream, ERROR_NO_TRAILERS, stream->group->config->name,
			  error_backend(stream, endpoint));
}

void stream_up_too_large(struct stream *stream)
{
	stream_attempt_over(stream, stream->endpoint, OUTCOME_STATUS, GRPC_RESOURCE_EXHAUSTED);
	reply_error(stream, ERROR_RESPONSE_HEADERS, stream->group->config->name,
		    error_backend(stream, stream->endpoint),
		    stream->endpoint->options.max_header_bytes, H2_HEADERS_RECEIVED_MAX);
}

/* The attempt has failed; processed: the backend may have acted on the call. True where another
 * attempt is made. */
static bool try_again(struct stream *stream, bool processed)
{
	if (stream->response_started)
		return false;
	if (!processed) {
		dispatch_again(stream, false);
		return true;
	}
	if (!stream->retry || !retry_lost(stream))
		return false;
	retry_again(stream);
	return true;
}

static void count_failure(const struct stream *stream, const struct pool_endpoint *endpoint)
{
	__atomic_fetch_add(&stream->worker->state.backends[endpoint->id].failures, 1,
			   __ATOMIC_RELAXED);
}

void stream_up_closed(struct stream *stream, uint32_t code, bool unprocessed, bool by_peer)
{
	const struct pool_endpoint *endpoint = stream->endpoint;
	const char *group = stream->group->config->name, *backend = error_backend(stream, endpoint);
	enum grpc_status status = grpc_status_from_h2(code);

	if (stream->down.end) {
		up_gone(stream);
		return;
	}
	count_failure(stream, endpoint);
	stream_attempt_over(stream, endpoint, unprocessed ? OUTCOME_CANCELLED : OUTCOME_LOST,
			    status);
	up_gone(stream);
	if (unprocessed)
		snprintf(stream->failure, sizeof(stream->failure), "%s refused the stream", backend);
	if (try_again(stream, !unprocessed))
		return;
	if (by_peer)
		reply_error_after(stream, ERROR_BACKEND_RESET(status), group, backend,
				  h2_error_name(code));
	else
		reply_error(stream, ERROR_BACKEND_BROKE(status), group, backend,
			    h2_error_name(code));
}

void stream_up_lost(struct stream *stream, const char *why, bool unsent)
{
	const struct pool_endpoint *endpoint = stream->endpoint;
	const char *group = stream->group->config->name, *backend = error_backend(stream, endpoint);

	if (stream->down.end) {
		up_gone(stream);
		return;
	}
	count_failure(stream, endpoint);
	stream_attempt_over(stream, endpoint, OUTCOME_LOST, GRPC_UNAVAILABLE);
	up_gone(stream);
	if (unsent)
		snprintf(stream->failure, sizeof(stream->failure), "connection to %.64s lost: %.64s",
			 backend, why);
	/* The backend may have acted on what was sent, so only a route's word sends that again;
	 * UNAVAILABLE is what a client connected to that backend would see. */
	if (!try_again(stream, !unsent))
		reply_error_after(stream, ERROR_BACKEND_LOST, group, backend, why);
}

size_t stream_up_pull(struct stream *stream, uint8_t *dst, size_t size, bool *end)
{
	struct buf *out = &stream->up.out;
	size_t n = buf_pull(out, dst, size);

	if (n) {
		size_t before = n < stream->credited ? n : stream->credited;

		stream->passed_ns = loop_now(&stream->worker->loop);
		stream->credited -= before;
		h2_credit(stream->down.h2, stream->down.id, n - before);
		if (out->retained > STREAM_REPLAY_BYTES) {
			stream->replayable = false;
			buf_release(out);
		}
	}
	if (stream->up.end && !buf_unread(out)) {
		*end = stream->up.ended = true;
		if (stream->up.trailers.n)
			h2_submit_trailers(stream->up.h2, stream->up.id, stream->up.trailers.fields,
					   stream->up.trailers.n);
	}
	return n;
}
