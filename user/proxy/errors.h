/* SPDX-License-Identifier: MIT */
/*
 * errors.h - every error that sluice itself answers a call with, one line each: the grpc-status, the
 * HTTP status (for requests that are not gRPC), and the message. reply_error(stream, ERROR_..., args)
 * sends it. selftests/lint/check_errors holds this list, the rows of docs/ERRORS.md and the tests
 * together, so a new line here needs both.
 *
 * Backends are named by error_backend() only, which leaves out addresses where the file says so.
 */
#ifndef SLUICE_PROXY_ERRORS_H
#define SLUICE_PROXY_ERRORS_H

#include "proxy/grpc.h"

/* the request */
#define ERROR_NOT_GRPC	      GRPC_UNKNOWN, 415, "group \"%s\" takes gRPC only"
#define ERROR_BAD_TIMEOUT     GRPC_INTERNAL, 400, "malformed grpc-timeout"
#define ERROR_CONNECT	      GRPC_UNIMPLEMENTED, 501, "CONNECT is not served"
#define ERROR_REQUEST_HEADERS                                                                      \
	GRPC_RESOURCE_EXHAUSTED, 431, "header list is over the limit (%u bytes, %d fields)"
#define ERROR_NO_ROUTE	      GRPC_UNIMPLEMENTED, 404, "listener \"%s\": no route for %.200s at host %.100s"
#define ERROR_EXPRESSIONS                                                                          \
	GRPC_RESOURCE_EXHAUSTED, 431, "listener \"%s\": too much work for its routes' expressions"
#define ERROR_LISTENER_GONE   GRPC_UNAVAILABLE, 503, "this listener is gone"

/* a route's limits */
#define ERROR_RATE_LIMITED                                                                         \
	GRPC_RESOURCE_EXHAUSTED, 429, "route \"%s\": over its rate of calls; again in %u ms"
#define ERROR_ROUTE_FULL   GRPC_RESOURCE_EXHAUSTED, 503, "route \"%s\": has its %u concurrent calls"

/* the client's connection */
#define ERROR_CONNECTION_AGE GRPC_UNAVAILABLE, 503, "the connection is over its age"
#define ERROR_SHUTDOWN	     GRPC_UNAVAILABLE, 503, "shutting down, and the time to finish is over"
#define ERROR_PINGS	     GRPC_UNAVAILABLE, 503, "too many pings"

/* no backend to be had */
#define ERROR_NO_BACKEND GRPC_UNAVAILABLE, 503, "group \"%s\": %s (%u of %u backends down)"
#define ERROR_NO_REPLAY                                                                            \
	GRPC_UNAVAILABLE, 503, "group \"%s\": %s; the request is too large to be sent again"
#define ERROR_QUEUE_FULL                                                                           \
	GRPC_RESOURCE_EXHAUSTED, 503, "group \"%s\": too many calls wait for a connection to %s"

#define ERROR_DRAINED GRPC_UNAVAILABLE, 503, "group \"%s\": %s is drained"

/* circuit breakers; s: circuit_breaker.status */
#define ERROR_GROUP_CALLS(s) (s), 503, "group \"%s\": has its %u concurrent calls (circuit_breaker.calls)"
#define ERROR_BACKEND_CALLS(s)                                                                     \
	(s), 503, "group \"%s\": every backend has its %u concurrent calls (circuit_breaker.backend_calls)"
#define ERROR_PENDING(s)                                                                           \
	(s), 503, "group \"%s\": %u calls wait for a connection already (circuit_breaker.pending)"
#define ERROR_PENDING_TIMEOUT(s)                                                                   \
	(s), 503, "group \"%s\": waited %u ms for a connection to %s (circuit_breaker.pending_timeout)"

/* time */
#define ERROR_DEADLINE GRPC_DEADLINE_EXCEEDED, 504, "deadline exceeded after %llu ms"
#define ERROR_TRY_TIMEOUT                                                                          \
	GRPC_DEADLINE_EXCEEDED, 504, "group \"%s\": no answer from %s in %u ms (attempt %u of %u)"
#define ERROR_IDLE GRPC_UNAVAILABLE, 504, "route \"%s\": nothing passed for %u ms"
#define ERROR_AGE  GRPC_UNAVAILABLE, 503, "route \"%s\": open for %llu ms, its max_age; open it anew"
#define ERROR_CLIENT_STALLED                                                                       \
	GRPC_RESOURCE_EXHAUSTED, 503, "the client has not read what waits for it for too long"

/* what a backend did */
#define ERROR_BACKEND_LOST     GRPC_UNAVAILABLE, 502, "group \"%s\": connection to %s lost: %s"
#define ERROR_BACKEND_RESET(s) (s), 502, "group \"%s\": %s reset the stream: %s"
#define ERROR_BACKEND_BROKE(s) (s), 502, "group \"%s\": %s broke HTTP/2: %s"
#define ERROR_BACKEND_HTTP(s)  (s), 502, "group \"%s\": %s answered HTTP %d without grpc-status"
#define ERROR_NO_TRAILERS      GRPC_UNKNOWN, 502, "group \"%s\": %s ended without trailers"
#define ERROR_NO_STATUS	       GRPC_UNKNOWN, 502, "group \"%s\": %s sent trailers without grpc-status"
#define ERROR_RESPONSE_HEADERS                                                                     \
	GRPC_RESOURCE_EXHAUSTED, 502,                                                              \
		"group \"%s\": header list from %s is over the limit (%u bytes, %d fields)"

/* memory */
#define ERROR_NO_MEMORY	    GRPC_RESOURCE_EXHAUSTED, 503, "out of memory"
#define ERROR_BUFFER_MEMORY GRPC_RESOURCE_EXHAUSTED, 503, "out of buffer memory"

#endif
