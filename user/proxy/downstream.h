/* SPDX-License-Identifier: MIT */
/*
 * downstream.h - one client's connection: TLS and HTTP/2 in, a stream for each call. Made by the
 * listener, ended by itself.
 */
#ifndef SLUICE_PROXY_DOWNSTREAM_H
#define SLUICE_PROXY_DOWNSTREAM_H

#include <stdint.h>

#include "base/addr.h"
#include "base/list.h"
#include "base/loop.h"
#include "proxy/h2.h"
#include "proxy/router.h"

struct worker;

struct downstream {
	struct worker *worker;
	struct h2 *h2;
	uint32_t listener_id;
	struct router *last_router; /* the last that knew its listener, once that is gone; or NULL */
	uint32_t idle_timeout_ms;
	uint32_t stall_timeout_ms;
	struct list link;    /* in worker.downstreams */
	struct list streams; /* struct stream, by down_link */
	struct loop_timer idle_timer;
	uint64_t idle_since_ns; /* when the last stream ended */
	struct h2_options options;
	struct addr peer;
	char peer_ip[ADDR_TEXT_MAX];
};

/* Takes over the accepted socket, also on failure. */
void downstream_accept(struct worker *worker, const struct router_listener *listener, int fd,
		       const struct addr *peer);
/* Finishes its calls, then closes. */
void downstream_drain(struct downstream *downstream);
/* As downstream_drain, when its listener is in the worker's router no more: calls that are on their
 * way before the client knows still go where old, which had it, sends them. */
void downstream_drain_removed(struct downstream *downstream, struct router *old);
/* What a call that begins now goes by. */
struct router *downstream_router(const struct downstream *downstream);
/* Closes now; its calls are cancelled. */
void downstream_close(struct downstream *downstream);

#endif
