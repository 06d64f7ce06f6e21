/* SPDX-License-Identifier: MIT */
/*
 * route_call.h - the route of a new call: finds it, answers where the route says a fixed status or is
 * over its limits, chooses the group. Called by dispatch once a call, before anything of it is kept.
 */
#ifndef SLUICE_PROXY_ROUTE_CALL_H
#define SLUICE_PROXY_ROUTE_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/h2.h"

struct router_listener;
struct stream;

/* Sets stream->route, ->group and ->hash. False: the call was answered here. */
bool route_call(struct stream *stream, const struct router_listener *listener,
		const struct h2_header *headers, size_t n);
/* After it: the hash by which the route's mirror group chooses, where that has one. */
uint64_t route_call_mirror_hash(const struct stream *stream, const struct router_listener *listener,
				const struct h2_header *headers, size_t n);

#endif
