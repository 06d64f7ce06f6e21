/* SPDX-License-Identifier: MIT */
/*
 * upstream.c - the client side of h2 for one backend connection: requests out, responses in.
 * Called by pool.c; calls stream.c with what arrives. It neither picks backends nor retries.
 */
#include "proxy/upstream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/dispatch.h"
#include "proxy/mirror.h"
#include "proxy/pool.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

#define RETRY_BACKOFF_MIN_NS (250 * NS_PER_MS)
#define RETRY_BACKOFF_MAX_NS (10 * NS_PER_S)

/* A connection that was idle for so long needs no other in its place. */
#define REPLACE_IDLE_NS NS_PER_S

/* The interval of PINGs to a backend is doubled so often, at most. */
#define CALMED_MAX 6

/* ---- circuit breakers ---- */

static bool count_connection(struct upstream *upstream)
{
	struct pool_endpoint *endpoint = upstream->endpoint;
	struct worker *worker = endpoint->worker;
	uint32_t limit = endpoint->breaker.group_connections;

	if (!endpoint->breaker.backend_connections)
		state_count_up(&worker->state, worker->slot, STATE_BACKEND_CONNECTIONS,
			       endpoint->id);
	else if (!state_count_up_below(&worker->state, worker->slot, STATE_BACKEND_CONNECTIONS,
				       endpoint->id, endpoint->breaker.backend_connections))
		return false;
	if (!limit)
		return true;
	upstream->group_counted = state_count_up_below(
		&worker->state, worker->slot, STATE_GROUP_CONNECTIONS, endpoint->group, limit);
	if (!upstream->group_counted)
		state_count_down(&worker->state, worker->slot, STATE_BACKEND_CONNECTIONS,
				 endpoint->id);
	return upstream->group_counted;
}

static void uncount_connection(struct upstream *upstream)
{
	struct pool_endpoint *endpoint = upstream->endpoint;
	struct worker *worker = endpoint->worker;

	state_count_down(&worker->state, worker->slot, STATE_BACKEND_CONNECTIONS, endpoint->id);
	if (upstream->group_counted)
		state_count_down(&worker->state, worker->slot, STATE_GROUP_CONNECTIONS,
				 endpoint->group);
}

static void upstream_free(struct upstream *upstream)
{
	struct pool_endpoint *endpoint = upstream->endpoint;
	struct worker *worker = endpoint->worker;

	loop_timer_cancel(&worker->loop, &upstream->idle_timer);
	loop_timer_cancel(&worker->loop, &upstream->age_timer);
	list_del(&upstream->link);
	endpoint->n_connections--;
	if (upstream->opening)
		endpoint->n_opening--;
	if (upstream->retiring)
		endpoint->n_retiring--;
	if (upstream->going_away)
		endpoint->n_going_away--;
	uncount_connection(upstream);
	free(upstream);
}

static uint64_t idle_ns(const struct upstream *upstream)
{
	return list_empty(&upstream->streams) ?
		       loop_now(&upstream->endpoint->worker->loop) - upstream->idle_since_ns :
		       0;
}

/* The timer runs on while streams come and go, and looks when it fires: a call costs no timer. */
static void on_idle(struct loop_timer *timer)
{
	struct upstream *upstream = container_of(timer, struct upstream, idle_timer);
	struct loop *loop = &upstream->endpoint->worker->loop;
	uint64_t timeout = upstream->endpoint->idle_timeout_ms * NS_PER_MS;
	uint64_t idle = idle_ns(upstream);

	if (idle < timeout)
		loop_timer_set(loop, timer, timeout - idle);
	else if (pool_can_spare(upstream->endpoint))
		upstream_drain(upstream);
	else
		loop_timer_set(loop, timer, timeout);
}

/* Old: it serves on until there is another. */
static void on_age(struct loop_timer *timer)
{
	struct upstream *upstream = container_of(timer, struct upstream, age_timer);
	struct pool_endpoint *endpoint = upstream->endpoint;

	if (upstream->going_away || upstream->retiring)
		return;
	if (idle_ns(upstream) >= REPLACE_IDLE_NS && pool_can_spare(endpoint)) {
		upstream_drain(upstream);
		return;
	}
	upstream->retiring = true;
	endpoint->n_retiring++;
	pool_tend(endpoint);
}

void upstream_set_age(struct upstream *upstream)
{
	struct worker *worker = upstream->endpoint->worker;
	uint64_t age_ns = upstream->endpoint->max_age_ms * NS_PER_MS;

	if (age_ns && !upstream->opening)
		loop_timer_set(&worker->loop, &upstream->age_timer,
			       loop_jittered(age_ns, worker_random(worker)));
	else
		loop_timer_cancel(&worker->loop, &upstream->age_timer);
}

/* ---- h2 events ---- */

static void on_up(struct h2 *h2)
{
	struct upstream *upstream = h2_user(h2);
	struct pool_endpoint *endpoint = upstream->endpoint;
	struct worker *worker = endpoint->worker;

	upstream->opening = false;
	endpoint->n_opening--;
	endpoint->failures = 0;
	endpoint->retry_at_ns = 0;
	upstream->idle_since_ns = loop_now(&worker->loop);
	loop_timer_set(&worker->loop, &upstream->idle_timer,
		       endpoint->idle_timeout_ms * NS_PER_MS);
	upstream_set_age(upstream);
	pool_replace(endpoint);
	pool_tend(endpoint);
}

static void on_headers(struct h2 *h2, int32_t id, enum h2_block block,
		       const struct h2_header *headers, size_t n, bool end)
{
	struct stream *stream = h2_stream_user(h2, id);

	if (!stream)
		return;
	if (mirror_is_copy(stream)) {
		mirror_headers(stream, block, headers, n, end);
		return;
	}
	switch (block) {
	case H2_BLOCK_RESPONSE:
		stream_up_response(stream, headers, n, end);
		break;
	case H2_BLOCK_TRAILERS:
		if (end)
			stream_up_trailers(stream, headers, n);
		break;
	case H2_BLOCK_TOO_LARGE:
		stream_up_too_large(stream);
		break;
	case H2_BLOCK_INFORMATIONAL:
		stream_up_informational(stream, headers, n);
		break;
	default:
		break;
	}
}

static void on_data(struct h2 *h2, int32_t id, const uint8_t *data, size_t size)
{
	struct stream *stream = h2_stream_user(h2, id);

	if (stream && mirror_is_copy(stream))
		h2_credit(h2, id, size);
	else if (stream)
		stream_up_data(stream, data, size);
}

static void on_end(struct h2 *h2, int32_t id)
{
	struct stream *stream = h2_stream_user(h2, id);

	if (stream && mirror_is_copy(stream))
		mirror_ended(stream);
	else if (stream)
		stream_up_end(stream);
}

static void on_stream_closed(struct h2 *h2, int32_t id, uint32_t code, bool unprocessed,
			     bool by_peer)
{
	struct stream *stream = h2_stream_user(h2, id);
	struct upstream *upstream = h2_user(h2);

	if (stream && mirror_is_copy(stream))
		mirror_closed(stream, unprocessed ? OUTCOME_CANCELLED : OUTCOME_LOST);
	else if (stream)
		stream_up_closed(stream, code, unprocessed, by_peer);
	if (list_empty(&upstream->streams))
		upstream->idle_since_ns = loop_now(&upstream->endpoint->worker->loop);
}

static size_t on_pull(struct h2 *h2, int32_t id, uint8_t *dst, size_t size, bool *end)
{
	struct stream *stream = h2_stream_user(h2, id);

	if (!stream)
		return 0;
	return mirror_is_copy(stream) ? mirror_pull(stream, dst, size, end) :
					stream_up_pull(stream, dst, size, end);
}

/* It takes no more streams, so another one may be opened in its place. */
static void leave(struct upstream *upstream)
{
	struct pool_endpoint *endpoint = upstream->endpoint;

	if (upstream->going_away)
		return;
	upstream->going_away = true;
	endpoint->n_going_away++;
	if (upstream->retiring) {
		upstream->retiring = false;
		endpoint->n_retiring--;
	}
}

/* Where calls come all the time, the next one finds a new connection open before this one is done. */
static void on_goaway(struct h2 *h2, int32_t last_id, uint32_t code)
{
	struct upstream *upstream = h2_user(h2);
	struct pool_endpoint *endpoint = upstream->endpoint;
	bool in_demand = !upstream->going_away && upstream->served &&
			 idle_ns(upstream) < REPLACE_IDLE_NS;

	leave(upstream);
	/* Mostly for our PINGs: gRPC's clients send half as many to this server from then on. */
	if (code == H2_ENHANCE_YOUR_CALM && endpoint->calmed < CALMED_MAX) {
		endpoint->calmed++;
		endpoint->options.keepalive_interval_ms *= 2;
	}
	if (in_demand)
		pool_open_next(endpoint);
	pool_tend(endpoint);
}

static void on_capacity(struct h2 *h2)
{
	struct upstream *upstream = h2_user(h2);

	if (upstream->endpoint->n_waiting && !upstream->opening)
		pool_tend(upstream->endpoint);
}

/* Nobody answered: the next one waits longer, and picks prefer others meanwhile. */
static void back_off(struct pool_endpoint *endpoint)
{
	uint64_t delay = RETRY_BACKOFF_MIN_NS << (endpoint->failures < 6 ? endpoint->failures : 6);

	endpoint->failures++;
	endpoint->failed_at_ns = loop_now(&endpoint->worker->loop);
	endpoint->retry_at_ns = endpoint->failed_at_ns +
				(delay < RETRY_BACKOFF_MAX_NS ? delay : RETRY_BACKOFF_MAX_NS);
}

static void on_down(struct h2 *h2, enum h2_down why, int err, const char *text)
{
	struct upstream *upstream = h2_user(h2);
	struct pool_endpoint *endpoint = upstream->endpoint;
	struct worker *worker = endpoint->worker;
	bool failed = upstream->opening && !upstream->going_away, in_tls;
	char reason[128];
	struct list lost;
	struct stream *stream, *next;

	/* Calls that are answered may open new connections: work on what was here only. */
	list_init(&lost);
	list_for_each_safe(stream, next, &upstream->streams, up_link) {
		list_del(&stream->up_link);
		list_add_tail(&lost, &stream->up_link);
	}
	upstream_free(upstream);
	endpoint->n_connections++; /* not freed before the end */
	endpoint->n_going_away++;
	if (failed) {
		worker_count(&worker->stats->upstream_connect_failures);
		back_off(endpoint);
		/* Some servers close, and say nothing, where they do not like our certificate. */
		in_tls = why == H2_DOWN_TLS || (why == H2_DOWN_CLOSED && endpoint->tls);
		snprintf(reason, sizeof(reason), "%s%s", in_tls ? "TLS: " : "", text);
		if (pool_is_hopeless(endpoint))
			pool_fail_waiting(endpoint, reason);
	}
	while (!list_empty(&lost)) {
		stream = list_first(&lost, struct stream, up_link);
		if (mirror_is_copy(stream))
			mirror_closed(stream, OUTCOME_LOST);
		else
			stream_up_lost(stream, text, h2_is_unsent(h2, stream->up.id));
	}
	pool_tend(endpoint);
	endpoint->n_connections--;
	endpoint->n_going_away--;
	pool_release(endpoint);
}

static const struct h2_events events = {
	.on_up = on_up,
	.on_headers = on_headers,
	.on_data = on_data,
	.on_end = on_end,
	.on_stream_closed = on_stream_closed,
	.on_pull = on_pull,
	.on_goaway = on_goaway,
	.on_capacity = on_capacity,
	.on_down = on_down,
};

/* ---- for the pool ---- */

struct upstream *upstream_open(struct pool_endpoint *endpoint, int *err)
{
	struct worker *worker = endpoint->worker;
	struct upstream *upstream = calloc(1, sizeof(*upstream));

	*err = ENOMEM;
	if (!upstream)
		return NULL;
	upstream->endpoint = endpoint;
	if (!count_connection(upstream)) {
		*err = EDQUOT;
		free(upstream);
		return NULL;
	}
	upstream->opening = true;
	upstream->idle_timer.on_timer = on_idle;
	upstream->age_timer.on_timer = on_age;
	list_init(&upstream->streams);
	upstream->h2 = h2_connect(&worker->loop, &endpoint->address, endpoint->tls,
				  endpoint->server_name, &endpoint->options, &events, upstream, err);
	worker_count(&worker->stats->upstream_connects);
	if (!upstream->h2) {
		worker_count(&worker->stats->upstream_connect_failures);
		back_off(endpoint);
		uncount_connection(upstream);
		free(upstream);
		return NULL;
	}
	list_add_tail(&endpoint->connections, &upstream->link);
	endpoint->n_connections++;
	endpoint->n_opening++;
	return upstream;
}

/* Some servers refuse a scheme that is not the connection's. */
static void set_scheme(struct stream *stream, bool tls)
{
	for (size_t i = 0; i < stream->request.n; i++) {
		struct h2_header *field = &stream->request.fields[i];

		if (!H2_HEADER_IS(field, ":scheme"))
			continue;
		field->value = tls ? "https" : "http";
		field->value_len = tls ? 5 : 4;
		return;
	}
}

int upstream_submit(struct upstream *upstream, struct stream *stream)
{
	uint64_t now = loop_now(&upstream->endpoint->worker->loop);
	bool whole;
	int32_t id;

	if (stream->timeout_field && stream->deadline_ns) {
		stream->timeout_field->value_len = (uint32_t)grpc_timeout_format(
			stream->timeout_text,
			stream->deadline_ns > now ? stream->deadline_ns - now : 0);
		stream->timeout_field->value = stream->timeout_text;
	}
	if (upstream->endpoint->tls || mirror_is_copy(stream))
		set_scheme(stream, upstream->endpoint->tls != NULL);
	/* Of gRPC never END_STREAM on the headers, also where nothing follows: it wants an empty DATA
	 * frame, and grpc-go's server waits for one for ever. */
	whole = !stream->grpc && stream->up.end && !stream->up.trailers.n &&
		!buf_unread(&stream->up.out);
	id = h2_submit_request(upstream->h2, stream->request.fields, stream->request.n, whole,
			       stream);
	if (id == -EPIPE)
		leave(upstream);
	if (id < 0)
		return id;
	upstream->served = true;
	stream->upstream = upstream;
	stream->up.h2 = upstream->h2;
	stream->up.id = id;
	stream->up.ended = whole;
	list_add_tail(&upstream->streams, &stream->up_link);
	return 0;
}

void upstream_drain(struct upstream *upstream)
{
	leave(upstream);
	h2_drain(upstream->h2);
}

void upstream_close(struct upstream *upstream)
{
	leave(upstream);
	h2_close(upstream->h2, H2_NO_ERROR);
	on_down(upstream->h2, H2_DOWN_CLOSED, 0, "closed");
}
