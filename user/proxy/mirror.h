/* SPDX-License-Identifier: MIT */
/*
 * mirror.h - a copy of a call to a second group, whose answers are thrown away. It never slows or
 * fails the original: what the copy cannot take at once waits in a bounded buffer, and a copy over
 * its bounds is given up. Called by dispatch and stream.
 */
#ifndef SLUICE_PROXY_MIRROR_H
#define SLUICE_PROXY_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/stream.h"

struct router_listener;

/* Starts a copy where the route has a mirror and the draw says so. headers are the client's; those
 * for the backend are built. */
void mirror_begin(struct stream *stream, const struct router_listener *listener,
		  const struct h2_header *headers, size_t n);
/* What the client sent, as it comes. */
void mirror_data(struct stream *stream, const uint8_t *data, size_t size);
void mirror_end(struct stream *stream);
/* The original is over: the copy ends in order where the request was whole, else it is cancelled. */
void mirror_leave(struct stream *stream);

/* ---- for pool.c and upstream.c: a copy is a stream without a client ---- */

static inline bool mirror_is_copy(const struct stream *stream)
{
	return !stream->client;
}

/* It got no place, or its backend is drained. */
void mirror_failed(struct stream *copy);
/* What the backend answers is thrown away, but for what outlier detection makes of it. */
void mirror_headers(struct stream *copy, enum h2_block block, const struct h2_header *headers,
		    size_t n, bool end);
/* END_STREAM came with data. */
void mirror_ended(struct stream *copy);
/* Its HTTP/2 stream is gone by itself, or no connection is to be had. */
void mirror_closed(struct stream *copy, enum outcome how);
size_t mirror_pull(struct stream *copy, uint8_t *dst, size_t size, bool *end);

#endif
