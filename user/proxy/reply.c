/* SPDX-License-Identifier: MIT */
/*
 * reply.c - sluice's own answers, see reply.h. Called by dispatch and stream; counts each as
 * calls_failed. It only queues: the stream ends when the client's side closes.
 */
#include "proxy/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proxy/worker.h"

#define MESSAGE_MAX 512

#define HEADER(n, v) { .name = (n), .name_len = sizeof(n) - 1, .value = (v), .value_len = sizeof(v) - 1 }

static void answer(struct stream *stream, const struct h2_header *headers, size_t n)
{
	if (h2_submit_response(stream->down.h2, stream->down.id, headers, n, true))
		h2_reset(stream->down.h2, stream->down.id, H2_INTERNAL_ERROR);
	stream->response_started = true;
	stream->down.end = true;
}

/* The response has begun: what still waits is dropped, since a client that reads slowly must learn
 * of the end too, and trailers are not under flow control. */
static void end_with_trailers(struct stream *stream, const struct h2_header *fields, size_t n)
{
	buf_done(&stream->down.out);
	buf_init(&stream->down.out);
	if (stream_copy_headers(stream, &stream->down.trailers, fields, n)) {
		h2_reset(stream->down.h2, stream->down.id, H2_INTERNAL_ERROR);
		return;
	}
	stream->down.end = true;
	h2_resume(stream->down.h2, stream->down.id);
}

void reply_status(struct stream *stream, enum grpc_status status, const char *format, ...)
{
	char message[MESSAGE_MAX], encoded[MESSAGE_MAX * 2], number[4];
	size_t len = sizeof("sluice: ") - 1;
	va_list args;
	int n;

	if (stream->down.end || stream->dead)
		return;
	stream_detach_up(stream, grpc_status_to_h2(status));
	memcpy(message, "sluice: ", len);
	va_start(args, format);
	n = vsnprintf(message + len, sizeof(message) - len, format, args);
	va_end(args);
	len += n < 0 ? 0 : (size_t)n;
	if (len > sizeof(message) - 1)
		len = sizeof(message) - 1;
	len = grpc_message_encode(encoded, sizeof(encoded), message, len);
	stream->grpc_status = status;
	worker_count(&stream->worker->stats->calls_failed);

	struct h2_header headers[] = {
		HEADER(":status", "200"),
		HEADER("content-type", "application/grpc"),
		{ .name = "grpc-status", .name_len = 11, .value = number,
		  .value_len = (uint32_t)snprintf(number, sizeof(number), "%d", status) },
		{ .name = "grpc-message", .name_len = 12, .value = encoded,
		  .value_len = (uint32_t)len },
	};

	if (stream->response_started)
		end_with_trailers(stream, headers + 2, 2);
	else
		answer(stream, headers, 4);
}

void reply_http(struct stream *stream, const char *http_status)
{
	struct h2_header headers[] = {
		{ .name = ":status", .name_len = 7, .value = http_status,
		  .value_len = (uint32_t)strlen(http_status) },
		HEADER("content-length", "0"),
	};

	if (stream->down.end || stream->dead)
		return;
	worker_count(&stream->worker->stats->calls_failed);
	answer(stream, headers, 2);
}
