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
	/* Looks after the connection from time to time: idle, stalled readers, age, its drain. */
	struct loop_timer timer;
	uint64_t idle_since_ns; /* when the last stream ended */
	uint64_t drain_at_ns;	/* by age, or its turn among many that drain; 0: none is due */
	uint64_t cut_at_ns;	/* drained for its age: what is left of its calls ends then; 0: never */
	uint32_t max_age_ms, max_age_grace_ms;
	uint32_t calls_left; /* until it has had max_calls; 0: any number, or it drains already */
	bool up;
	bool drain_when_up;
	bool drain_for_age; /* drain_at_ns is that of its age */
	bool cut;	    /* calls were ended; it closes next */
	/* evidence.h */
	uint32_t source; /* its row, or SOURCE_NONE */
	uint32_t good_calls, over_limit; /* not yet counted there */
	bool abuse_told;		 /* it ended for that */
	uint64_t told_ns;		 /* when they last were */
	struct h2_options options;
	struct addr peer;
	char peer_ip[ADDR_TEXT_MAX];
};

/* Takes over the accepted socket, also on failure. */
void downstream_accept(struct worker *worker, const struct router_listener *listener, int fd,
		       const struct addr *peer);
/* Finishes its calls, then closes: begins delay_ns from now, or when the handshake is done. */
void downstream_drain(struct downstream *downstream, uint64_t delay_ns);
/* Before a drain for the reason that its listener is in the worker's router no more: calls that
 * begin before the client knows still go where old, which had it, sends them. */
void downstream_keep_router(struct downstream *downstream, struct router *old);
/* Ends its calls with UNAVAILABLE, and closes soon after. */
enum downstream_cut { CUT_AGE, CUT_SHUTDOWN, CUT_PINGS };
void downstream_cut(struct downstream *downstream, enum downstream_cut why);
/* What a call that begins now goes by. */
struct router *downstream_router(const struct downstream *downstream);
/* Closes now, with GOAWAY ENHANCE_YOUR_CALM, and nothing is read from the client any more. */
void downstream_expel(struct downstream *downstream);
/* Closes now; its calls are cancelled. */
void downstream_close(struct downstream *downstream);

#endif
