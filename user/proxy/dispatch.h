/* SPDX-License-Identifier: MIT */
/*
 * dispatch.h - where a call goes: reads the request's headers, finds the group, picks a backend,
 * attaches the stream to a connection there; and does it again on another backend where the first
 * one certainly did not process the call.
 */
#ifndef SLUICE_PROXY_DISPATCH_H
#define SLUICE_PROXY_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/h2.h"

struct pool_endpoint;
struct router_listener;
struct stream;

/* A new call. Answers it here where it cannot be sent on. */
void dispatch_request(struct stream *stream, const struct router_listener *listener,
		      const struct h2_header *headers, size_t n, bool end);
/* The attempt ended without the backend having processed the call; stream->failure says how. only_others:
 * those that have refused it are out of the question (no connection to be had). */
void dispatch_again(struct stream *stream, bool only_others);
/* Another attempt, made by the route's retry policy. */
void dispatch_retry(struct stream *stream);
/* No connection to endpoint could be opened for a stream that waited for one. */
void dispatch_connect_failed(struct stream *stream, const struct pool_endpoint *endpoint,
			     const char *why);
/* The request could not be submitted (err: h2_submit_request's). */
void dispatch_failed(struct stream *stream, const struct pool_endpoint *endpoint, int err);

#endif
