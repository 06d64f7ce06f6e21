/* SPDX-License-Identifier: MIT */
/*
 * reply.c - sluice's own answers, see reply.h. Called by dispatch, stream and whatever else ends
 * calls. It only queues: the stream ends when the client's side closes.
 */
#include "proxy/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proxy/pool.h"
#include "proxy/worker.h"

#define MESSAGE_MAX 512

#define HEADER(n, v) { .name = (n), .name_len = sizeof(n) - 1, .value = (v), .value_len = sizeof(v) - 1 }

const char *error_backend(const struct stream *stream, const struct pool_endpoint *endpoint)
{
	return stream->router->config->error_addresses ? endpoint->name : "a backend";
}

static void respond(struct stream *stream, const struct h2_header *headers, size_t n, bool end)
{
	if (h2_submit_response(stream->down.h2, stream->down.id, headers, n, end))
		h2_reset(stream->down.h2, stream->down.id, H2_INTERNAL_ERROR);
	stream->response_started = true;
	stream->down.end = true;
}

/* The response has begun. What still waits of it is dropped unless keep, since a client that reads
 * slowly must learn of the end too, and trailers are not under flow control. */
static void end_with_trailers(struct stream *stream, const struct h2_header *fields, size_t n,
			      bool keep)
{
	if (!keep)
		stream_drop_response(stream);
	if (stream_copy_headers(stream, &stream->down.trailers, fields, n)) {
		h2_reset(stream->down.h2, stream->down.id, H2_INTERNAL_ERROR);
		return;
	}
	stream->down.end = stream->broken = true;
	h2_resume(stream->down.h2, stream->down.id);
}

static void reply_grpc(struct stream *stream, const struct h2_header *extra, bool keep,
		       enum grpc_status status, const char *message, size_t len)
{
	char encoded[MESSAGE_MAX * 3 + 1], number[4];
	size_t n = 2;
	struct h2_header headers[5] = {
		HEADER(":status", "200"),
		HEADER("content-type", "application/grpc"),
	};

	headers[n++] = (struct h2_header){
		.name = "grpc-status", .name_len = 11, .value = number,
		.value_len = (uint32_t)snprintf(number, sizeof(number), "%d", status),
	};
	len = grpc_message_encode(encoded, sizeof(encoded), message, len);
	if (len)
		headers[n++] = (struct h2_header){
			.name = "grpc-message", .name_len = 12, .value = encoded,
			.value_len = (uint32_t)len,
		};
	if (extra)
		headers[n++] = *extra;
	if (stream->response_started)
		end_with_trailers(stream, headers + 2, n - 2, keep);
	else
		respond(stream, headers, n, true);
}

static void reply_text(struct stream *stream, const struct h2_header *extra, int http_status,
		       const char *message, size_t len)
{
	char number[12], length[24];
	size_t n = 3;
	struct h2_header headers[4] = {
		{ .name = ":status", .name_len = 7, .value = number,
		  .value_len = (uint32_t)snprintf(number, sizeof(number), "%d", http_status) },
		HEADER("content-type", "text/plain; charset=utf-8"),
		{ .name = "content-length", .name_len = 14, .value = length,
		  .value_len = (uint32_t)snprintf(length, sizeof(length), "%zu", len + 1) },
	};

	if (stream->response_started) { /* there is no other way to say that it is not whole */
		h2_reset(stream->down.h2, stream->down.id, H2_INTERNAL_ERROR);
		return;
	}
	if (!stream->head && (buf_append(&stream->down.out, message, len) ||
			      buf_append(&stream->down.out, "\n", 1))) {
		h2_reset(stream->down.h2, stream->down.id, H2_INTERNAL_ERROR);
		return;
	}
	if (extra)
		headers[n++] = *extra;
	respond(stream, headers, n, stream->head);
}

static void reply(struct stream *stream, const struct h2_header *extra, bool keep,
		  enum grpc_status status, int http_status, const char *message, size_t len)
{
	stream_detach_up(stream, grpc_status_to_h2(status));
	stream->grpc_status = status;
	if (stream->grpc)
		reply_grpc(stream, extra, keep, status, message, len);
	else
		reply_text(stream, extra, http_status, message, len);
}

static void reply_formatted(struct stream *stream, const struct h2_header *extra, bool keep,
			    enum grpc_status status, int http_status, const char *format,
			    va_list args)
{
	char message[MESSAGE_MAX] = "sluice: ";
	size_t len = strlen(message);
	int n;

	if (stream->down.end || stream->dead)
		return;
	n = vsnprintf(message + len, sizeof(message) - len, format, args);
	len += n < 0 ? 0 : (size_t)n;
	if (len > sizeof(message) - 1)
		len = sizeof(message) - 1;
	worker_count(&stream->worker->stats->calls_failed);
	reply(stream, extra, keep, status, http_status, message, len);
}

void reply_error(struct stream *stream, enum grpc_status status, int http_status,
		 const char *format, ...)
{
	va_list args;

	va_start(args, format);
	reply_formatted(stream, NULL, false, status, http_status, format, args);
	va_end(args);
}

void reply_error_after(struct stream *stream, enum grpc_status status, int http_status,
		       const char *format, ...)
{
	va_list args;

	va_start(args, format);
	reply_formatted(stream, NULL, true, status, http_status, format, args);
	va_end(args);
}

void reply_error_with(struct stream *stream, const struct h2_header *extra,
		      enum grpc_status status, int http_status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	reply_formatted(stream, extra, false, status, http_status, format, args);
	va_end(args);
}

void reply_fixed(struct stream *stream, enum grpc_status status, const char *message)
{
	size_t len = strlen(message);

	if (stream->down.end || stream->dead)
		return;
	worker_count(&stream->worker->stats->answered_here);
	reply(stream, NULL, false, status, grpc_status_to_http(status), message,
	      len < MESSAGE_MAX ? len : MESSAGE_MAX);
}
