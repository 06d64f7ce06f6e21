/* SPDX-License-Identifier: MIT */
/*
 * upstream.h - one HTTP/2 connection to a backend and the calls on it. Opened and found by the
 * pool; hands what it receives to stream.c.
 */
#ifndef SLUICE_PROXY_UPSTREAM_H
#define SLUICE_PROXY_UPSTREAM_H

#include "base/list.h"
#include "base/loop.h"
#include "proxy/h2.h"

struct pool_endpoint;
struct stream;

struct upstream {
	struct pool_endpoint *endpoint;
	struct h2 *h2;
	struct list link;    /* in endpoint.connections */
	struct list streams; /* struct stream, by up_link */
	struct loop_timer idle_timer, age_timer;
	uint64_t idle_since_ns; /* when the last stream ended */
	bool opening;
	bool served;	 /* it has had a call */
	bool retiring;	 /* too old: goes away when another is up */
	bool going_away; /* the backend sent GOAWAY, or it is drained */
	bool group_counted; /* in the group's connections, which have a limit */
};

/* Opens a connection for endpoint and links it there. NULL with the errno in *err: EDQUOT where a
 * circuit breaker allows no more. */
struct upstream *upstream_open(struct pool_endpoint *endpoint, int *err);
/* Sends the stream's request here. 0; -EAGAIN or -EPIPE (no room here), -ENOMEM, -E2BIG. */
int upstream_submit(struct upstream *upstream, struct stream *stream);
/* It grows old from now on, by the endpoint's max_age_ms. */
void upstream_set_age(struct upstream *upstream);
/* No new streams; closes when the last one ends. */
void upstream_drain(struct upstream *upstream);
/* Closes now; the streams on it are told that it is lost. */
void upstream_close(struct upstream *upstream);

#endif
