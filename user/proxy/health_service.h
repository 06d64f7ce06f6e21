/* SPDX-License-Identifier: MIT */
/*
 * health_service.h - grpc.health.v1.Health answered by sluice itself on listeners with
 * `health_service: true`: Check and Watch, for "" (the node: SERVING unless it drains) and for each
 * group's name (SERVING while a backend of it is live), from the maps. Called by dispatch and stream.
 */
#ifndef SLUICE_PROXY_HEALTH_SERVICE_H
#define SLUICE_PROXY_HEALTH_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

struct stream;

/* Whether a call of this :path is served here. */
bool health_service_takes(const char *path, size_t len);
/* Takes the call: stream->local is set, and its request is collected in up.out. */
void health_service_begin(struct stream *stream, const char *path, size_t len);
/* The request has ended. */
void health_service_request(struct stream *stream);
/* The client is gone, or the call was answered. */
void health_service_leave(struct stream *stream);

#endif
