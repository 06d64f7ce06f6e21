/* SPDX-License-Identifier: MIT */
/*
 * health_service.h - grpc.health.v1.Health answered by sluice itself on listeners with
 * `health_service: true`: Check, Watch and List, for "" (the node: SERVING unless it or the listener
 * drains) and for each group's name (SERVING while a backend of it is live), from the maps. Called by
 * dispatch and stream.
 */
#ifndef SLUICE_PROXY_HEALTH_SERVICE_H
#define SLUICE_PROXY_HEALTH_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/h2.h"

struct request_facts;
struct stream;

/* Takes the call where it is one for here: stream->local is set, its request is collected in up.out,
 * and the answer, or a refusal, is sluice's own. False: it is any other call. */
bool health_service_take(struct stream *stream, const struct request_facts *facts,
			 const struct h2_header *headers, size_t n);
/* The request has ended. */
void health_service_request(struct stream *stream);
/* The stream is over. */
void health_service_leave(struct stream *stream);

#endif
