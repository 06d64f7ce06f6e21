/* SPDX-License-Identifier: MIT */
/*
 * reply.h - what a client is told when sluice itself ends a call: a Trailers-Only gRPC response
 * where nothing has been sent yet, else trailers after what was sent. Requests that are not gRPC
 * (of `protocol: http2` groups) get an HTTP status and the message as plain text, or a reset where
 * the response has begun. Never HTML, never a bare HTTP error to anything that speaks gRPC.
 */
#ifndef SLUICE_PROXY_REPLY_H
#define SLUICE_PROXY_REPLY_H

#include "proxy/errors.h"
#include "proxy/stream.h"

struct pool_endpoint;

/* Ends the call: detaches upstream, answers with "sluice: " and the message. Called with a line of
 * errors.h: reply_error(stream, ERROR_BACKEND_LOST, group, backend, why). */
void reply_error(struct stream *stream, enum grpc_status status, int http_status,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Likewise, where the backend's answer ended badly: what came of it before is the client's. */
void reply_error_after(struct stream *stream, enum grpc_status status, int http_status,
		       const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Likewise, with one field more: a trailer, of gRPC's. */
void reply_error_with(struct stream *stream, const struct h2_header *extra,
		      enum grpc_status status, int http_status, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
/* An answer that the configuration gives: the message as it stands, and not counted as failed. */
void reply_fixed(struct stream *stream, enum grpc_status status, const char *message);

/* The backend's address for messages, or "a backend" where `errors.addresses` is false. */
const char *error_backend(const struct stream *stream, const struct pool_endpoint *endpoint);

#endif
