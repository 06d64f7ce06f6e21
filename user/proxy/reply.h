/* SPDX-License-Identifier: MIT */
/*
 * reply.h - what a client is told when sluice itself ends a call: a Trailers-Only gRPC response
 * where nothing has been sent yet, else trailers after what was sent. Never HTML, never a bare
 * HTTP error to anything that speaks gRPC.
 */
#ifndef SLUICE_PROXY_REPLY_H
#define SLUICE_PROXY_REPLY_H

#include "proxy/grpc.h"
#include "proxy/stream.h"

/* Ends the call: detaches upstream, answers status with "sluice: " and the message. */
void reply_status(struct stream *stream, enum grpc_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* For what is not gRPC: an HTTP status and no body. */
void reply_http(struct stream *stream, const char *http_status);

#endif
