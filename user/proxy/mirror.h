/* SPDX-License-Identifier: MIT */
/*
 * mirror.h - a copy of a call to a second group, whose answers are thrown away. It never slows or
 * fails the original: what the copy cannot take at once waits in a bounded buffer, and a copy over
 * its bounds is given up. Called by dispatch and stream.
 */
#ifndef SLUICE_PROXY_MIRROR_H
#define SLUICE_PROXY_MIRROR_H

#include <stddef.h>
#include <stdint.h>

struct stream;

/* Starts a copy where the route has a mirror and the draw says so; the request's headers are built. */
void mirror_begin(struct stream *stream);
/* What the client sent, as it comes. */
void mirror_data(struct stream *stream, const uint8_t *data, size_t size);
void mirror_end(struct stream *stream);
/* The original is over: the copy ends in order where the request was whole, else it is cancelled. */
void mirror_leave(struct stream *stream);

#endif
