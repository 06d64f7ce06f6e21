/* SPDX-License-Identifier: MIT */
/*
 * pool_tend.c - how many connections an endpoint has: as many as its calls need, at least the
 * minimum, a new one before an old one goes, and none beyond the limits; and the end of a drained
 * endpoint's. Called by pool.c and upstream.c with every change. What cannot be done now (a connect
 * has just failed, a limit is reached) is tried again by a timer, so that nobody waits for a next
 * call to come along.
 */
#include "proxy/pool.h"

#include <errno.h>
#include <string.h>

#include "proxy/mirror.h"
#include "proxy/reply.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

/* Another worker's connection may have ended meanwhile, and left room under a limit. */
#define LIMIT_RETRY_NS	    (20 * NS_PER_MS) /* a call waits for it */
#define LIMIT_RETRY_IDLE_NS NS_PER_S

enum want { WANT_NOTHING, WANT_FOR_CALLS, WANT_TO_REPLACE, WANT_MINIMUM };

/* Those that are open, or being opened, and not on their way out. */
static uint32_t in_use(const struct pool_endpoint *endpoint)
{
	return endpoint->n_connections - endpoint->n_going_away - endpoint->n_retiring;
}

/* The streams that the connections being opened can take as soon as they are up. */
static uint32_t room_opening(const struct pool_endpoint *endpoint)
{
	return endpoint->n_opening * endpoint->options.max_streams;
}

static enum want wants(const struct pool_endpoint *endpoint)
{
	if (endpoint->retired || in_use(endpoint) >= endpoint->max_connections)
		return WANT_NOTHING;
	if (endpoint->n_waiting > room_opening(endpoint))
		return WANT_FOR_CALLS;
	if (endpoint->drained || endpoint->worker->draining)
		return WANT_NOTHING;
	if (endpoint->n_retiring > endpoint->n_opening)
		return WANT_TO_REPLACE;
	return in_use(endpoint) < endpoint->min_connections ? WANT_MINIMUM : WANT_NOTHING;
}

bool pool_can_spare(const struct pool_endpoint *endpoint)
{
	return endpoint->drained || endpoint->retired ||
	       in_use(endpoint) > endpoint->min_connections;
}

static void retire_one(struct pool_endpoint *endpoint)
{
	struct upstream *upstream;

	list_for_each(upstream, &endpoint->connections, link)
		if (upstream->retiring) {
			upstream_drain(upstream);
			return;
		}
}

void pool_replace(struct pool_endpoint *endpoint)
{
	if (endpoint->n_retiring)
		retire_one(endpoint);
}

/* Opens what is missing and may be opened now. The -errno of a connect that failed at once. */
static int open_wanted(struct pool_endpoint *endpoint)
{
	uint64_t now_ns = loop_now(&endpoint->worker->loop);
	enum want want;
	int err;

	endpoint->limited = false;
	/* Enough new ones are there already. */
	while (endpoint->n_retiring && in_use(endpoint) >= endpoint->max_connections)
		retire_one(endpoint);
	while ((want = wants(endpoint)) != WANT_NOTHING) {
		bool last_hope = want == WANT_FOR_CALLS && pool_is_hopeless(endpoint);

		if (endpoint->retry_at_ns > now_ns && !last_hope)
			return 0;
		if (upstream_open(endpoint, &err))
			continue;
		if (err != EDQUOT)
			return -err;
		endpoint->limited = true;
		if (!endpoint->n_retiring)
			return 0;
		/* No more at once than this, so the old one goes first. */
		retire_one(endpoint);
	}
	return 0;
}

void pool_open_next(struct pool_endpoint *endpoint)
{
	int err;

	if (!endpoint->retired && !endpoint->drained && !endpoint->worker->draining &&
	    !in_use(endpoint) && endpoint->retry_at_ns <= loop_now(&endpoint->worker->loop))
		upstream_open(endpoint, &err);
}

static void arm(struct pool_endpoint *endpoint)
{
	struct loop *loop = &endpoint->worker->loop;
	uint64_t now_ns = loop_now(loop), due_ns = pool_expiry_ns(endpoint);

	if (wants(endpoint) != WANT_NOTHING) {
		bool in_no_hurry = endpoint->limited && !endpoint->n_waiting;
		uint64_t retry_ns = now_ns + (in_no_hurry ? LIMIT_RETRY_IDLE_NS : LIMIT_RETRY_NS);

		if (!endpoint->limited && endpoint->retry_at_ns > retry_ns)
			retry_ns = endpoint->retry_at_ns;
		if (!due_ns || retry_ns < due_ns)
			due_ns = retry_ns;
	}
	if (due_ns)
		loop_timer_set(loop, &endpoint->tend_timer, due_ns > now_ns ? due_ns - now_ns : 0);
	else
		loop_timer_cancel(loop, &endpoint->tend_timer);
}

int pool_make_room(struct pool_endpoint *endpoint)
{
	int err = open_wanted(endpoint);

	arm(endpoint);
	return endpoint->limited || !pool_is_hopeless(endpoint) ? 0 : err;
}

void pool_tend(struct pool_endpoint *endpoint)
{
	int err;

	pool_serve_waiting(endpoint);
	err = open_wanted(endpoint);
	if (err && pool_is_hopeless(endpoint))
		pool_fail_waiting(endpoint, strerror(-err));
	arm(endpoint);
}

static void on_tend(struct loop_timer *timer)
{
	struct pool_endpoint *endpoint = container_of(timer, struct pool_endpoint, tend_timer);

	pool_expire_waiting(endpoint);
	pool_tend(endpoint);
	pool_release(endpoint);
}

/* ---- drained endpoints ---- */

void pool_drain_connections(struct pool_endpoint *endpoint)
{
	struct list old;

	/* Calls that wait may open new ones meanwhile: work on what is here now. */
	list_init(&old);
	while (!list_empty(&endpoint->connections)) {
		struct upstream *upstream =
			list_first(&endpoint->connections, struct upstream, link);

		list_del(&upstream->link);
		list_add_tail(&old, &upstream->link);
	}
	endpoint->n_connections++; /* not freed under this loop */
	endpoint->n_going_away++;
	while (!list_empty(&old)) {
		struct upstream *upstream = list_first(&old, struct upstream, link);

		list_del(&upstream->link);
		list_add_tail(&endpoint->connections, &upstream->link);
		upstream_drain(upstream);
	}
	endpoint->n_connections--;
	endpoint->n_going_away--;
}

/* What the backend has begun ends here; what never left goes to another. */
static void cut_streams(struct upstream *upstream)
{
	struct stream *stream, *next;

	list_for_each_safe(stream, next, &upstream->streams, up_link) {
		if (mirror_is_copy(stream))
			mirror_failed(stream);
		else if (!h2_is_unsent(upstream->h2, stream->up.id))
			reply_error(stream, ERROR_DRAINED, stream->group->config->name,
				    error_backend(stream, upstream->endpoint));
	}
}

static void on_drained(struct loop_timer *timer)
{
	struct pool_endpoint *endpoint = container_of(timer, struct pool_endpoint, drain_timer);
	struct upstream *upstream, *next;

	endpoint->n_connections++; /* not freed under this loop */
	endpoint->n_going_away++;
	list_for_each_safe(upstream, next, &endpoint->connections, link) {
		if (!upstream->going_away)
			continue; /* opened since, for calls that had nowhere else to go */
		cut_streams(upstream);
		upstream_close(upstream);
	}
	endpoint->n_connections--;
	endpoint->n_going_away--;
	pool_release(endpoint);
}

void pool_set_drained(struct pool_endpoint *endpoint, bool drained, uint64_t until_ns)
{
	struct loop *loop = &endpoint->worker->loop;
	bool begins = drained && !endpoint->drained;

	endpoint->drained = drained;
	if (begins) {
		pool_move_waiting(endpoint);
		pool_drain_connections(endpoint);
	}
	if (drained && until_ns)
		loop_timer_set(loop, &endpoint->drain_timer,
			       until_ns > loop_now(loop) ? until_ns - loop_now(loop) : 0);
	else
		loop_timer_cancel(loop, &endpoint->drain_timer);
}

void pool_timers_init(struct pool_endpoint *endpoint)
{
	endpoint->tend_timer.on_timer = on_tend;
	endpoint->drain_timer.on_timer = on_drained;
}
