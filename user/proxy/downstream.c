/* SPDX-License-Identifier: MIT */
/*
 * downstream.c - the server side of h2 for one client: calls in, responses out. Called by
 * listener.c and worker.c; starts a stream for every request and hands it to dispatch. Knows
 * nothing of backends.
 */
#include "proxy/downstream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/dispatch.h"
#include "proxy/evidence.h"
#include "proxy/reply.h"
#include "proxy/stream.h"
#include "proxy/tls.h"
#include "proxy/worker.h"

#define CONNECTION_WINDOW_BYTES (16u * 1024 * 1024)

/* Between the end of its calls and that of the connection, where the client takes nothing. */
#define CUT_NS (1 * NS_PER_S)

/* A connection that is quiet for this long gives back what memory it can. */
#define TRIM_NS (1 * NS_PER_S)

/* A reader that stalls holds a backend's stream and a buffer: not for ever. */
static void end_stalled(struct downstream *downstream, uint64_t now_ns)
{
	uint64_t timeout = downstream->stall_timeout_ms * NS_PER_MS;
	struct stream *stream, *next;

	if (now_ns < timeout)
		return;
	list_for_each_safe(stream, next, &downstream->streams, down_link)
		stream_down_check_stall(stream, now_ns - timeout);
}

/* Without calls for too long it drains; for a while, it gives memory back. How long until the next
 * look, ns. */
static uint64_t check_idle(struct downstream *downstream, uint64_t now_ns)
{
	uint64_t timeout = downstream->idle_timeout_ms * NS_PER_MS;
	uint64_t soon = timeout < TRIM_NS ? timeout : TRIM_NS;
	uint64_t idle = now_ns - downstream->idle_since_ns;

	if (h2_streams(downstream->h2)) {
		end_stalled(downstream, now_ns);
		return soon;
	}
	if (idle >= timeout) {
		h2_drain(downstream->h2);
		return soon;
	}
	if (idle < soon)
		return soon - idle;
	h2_trim(downstream->h2);
	return timeout - idle;
}

static uint64_t sooner(uint64_t now_ns, uint64_t delay_ns, uint64_t at_ns)
{
	if (!at_ns || at_ns >= now_ns + delay_ns)
		return delay_ns;
	return at_ns > now_ns ? at_ns - now_ns : 0;
}

static void look_again(struct downstream *downstream, uint64_t delay_ns)
{
	struct loop *loop = &downstream->worker->loop;

	delay_ns = sooner(loop_now(loop), delay_ns, downstream->drain_at_ns);
	delay_ns = sooner(loop_now(loop), delay_ns, downstream->cut_at_ns);
	loop_timer_set(loop, &downstream->timer, delay_ns);
}

/* Enough of age or calls: the client opens a new connection, maybe to another instance. */
static void drain_aged(struct downstream *downstream)
{
	struct worker *worker = downstream->worker;

	downstream->calls_left = 0;
	if (downstream->max_age_grace_ms)
		downstream->cut_at_ns = loop_now(&worker->loop) +
					downstream->max_age_grace_ms * NS_PER_MS;
	worker_count(&worker->stats->connections_aged);
	h2_drain(downstream->h2);
}

/* The timer runs on while streams come and go, and looks when it fires: a call costs no timer. */
static void on_look(struct loop_timer *timer)
{
	struct downstream *downstream = container_of(timer, struct downstream, timer);
	uint64_t now = loop_now(&downstream->worker->loop);

	evidence_flush(downstream);
	if (downstream->cut_at_ns && now >= downstream->cut_at_ns) {
		if (downstream->cut) {
			downstream_close(downstream);
			return;
		}
		downstream_cut(downstream, CUT_AGE);
	}
	if (downstream->drain_at_ns && now >= downstream->drain_at_ns) {
		downstream->drain_at_ns = 0;
		if (downstream->drain_for_age && h2_is_up(downstream->h2))
			drain_aged(downstream);
		else
			h2_drain(downstream->h2);
	}
	look_again(downstream, check_idle(downstream, now));
}

/* ---- h2 events ---- */

static void on_open(struct h2 *h2)
{
	struct downstream *downstream = h2_user(h2);
	struct sluice_worker *stats = downstream->worker->stats;

	worker_count(&stats->handshakes);
	if (h2_tls(h2) && tls_resumed(h2_tls(h2)))
		worker_count(&stats->handshakes_resumed);
}

static void on_up(struct h2 *h2)
{
	struct downstream *downstream = h2_user(h2);
	struct worker *worker = downstream->worker;

	downstream->up = true;
	downstream->idle_since_ns = loop_now(&worker->loop);
	if (downstream->max_age_ms) {
		downstream->drain_at_ns =
			downstream->idle_since_ns + loop_jittered(downstream->max_age_ms * NS_PER_MS,
								  worker_random(worker));
		downstream->drain_for_age = true;
	}
	look_again(downstream, TRIM_NS);
	if (worker->draining || downstream->drain_when_up)
		h2_drain(h2);
}

static void on_request(struct downstream *downstream, int32_t id, const struct h2_header *headers,
		       size_t n, bool end)
{
	struct router_listener *listener =
		router_listener(downstream_router(downstream), downstream->listener_id);
	struct stream *stream = stream_new(downstream, id);

	if (downstream->calls_left && !--downstream->calls_left && h2_is_up(downstream->h2)) {
		drain_aged(downstream);
		look_again(downstream, TRIM_NS);
	}
	if (!stream) {
		h2_reset(downstream->h2, id, H2_REFUSED_STREAM);
		return;
	}
	h2_stream_set_user(downstream->h2, id, stream);
	if (!n)
		reply_error(stream, ERROR_REQUEST_HEADERS,
			    downstream->options.max_header_bytes, H2_HEADERS_RECEIVED_MAX);
	else if (!listener)
		reply_error(stream, ERROR_LISTENER_GONE);
	else
		dispatch_request(stream, listener, headers, n, end);
}

static void on_headers(struct h2 *h2, int32_t id, enum h2_block block,
		       const struct h2_header *headers, size_t n, bool end)
{
	struct downstream *downstream = h2_user(h2);
	struct stream *stream = h2_stream_user(h2, id);

	if (block == H2_BLOCK_REQUEST || (block == H2_BLOCK_TOO_LARGE && !stream))
		on_request(downstream, id, headers, n, end);
	else if (stream && block == H2_BLOCK_TRAILERS && end)
		stream_down_trailers(stream, headers, n);
	else if (stream)
		h2_reset(h2, id, H2_PROTOCOL_ERROR);
}

static void on_data(struct h2 *h2, int32_t id, const uint8_t *data, size_t size)
{
	struct stream *stream = h2_stream_user(h2, id);

	if (stream)
		stream_down_data(stream, data, size);
}

static void on_end(struct h2 *h2, int32_t id)
{
	struct stream *stream = h2_stream_user(h2, id);

	if (stream)
		stream_down_end(stream);
}

static void on_stream_closed(struct h2 *h2, int32_t id, uint32_t code, bool unprocessed,
			     bool by_peer)
{
	struct downstream *downstream = h2_user(h2);
	struct stream *stream = h2_stream_user(h2, id);

	if (stream)
		stream_down_closed(stream, code == H2_NO_ERROR);
	if (!h2_streams(h2))
		downstream->idle_since_ns = loop_now(&downstream->worker->loop);
}

static size_t on_pull(struct h2 *h2, int32_t id, uint8_t *dst, size_t size, bool *end)
{
	struct stream *stream = h2_stream_user(h2, id);

	return stream ? stream_down_pull(stream, dst, size, end) : 0;
}

/* Frees the downstream after its calls were told; h2 goes its own way. */
static void end(struct downstream *downstream)
{
	struct worker *worker = downstream->worker;
	uint64_t rx, tx;

	h2_bytes(downstream->h2, &rx, &tx);
	worker->stats->rx_bytes += rx;
	worker->stats->tx_bytes += tx;
	while (!list_empty(&downstream->streams))
		stream_down_closed(list_first(&downstream->streams, struct stream, down_link),
				   false);
	loop_timer_cancel(&worker->loop, &downstream->timer);
	list_del(&downstream->link);
	router_unref(downstream->last_router);
	evidence_end(downstream);
	evidence_leave(downstream);
	state_store32(&worker->stats->connections, worker->stats->connections - 1);
	free(downstream);
	worker_check_idle(worker);
}

static void on_down(struct h2 *h2, enum h2_down why, int err, const char *text)
{
	struct downstream *downstream = h2_user(h2);
	struct worker *worker = downstream->worker;

	if (why == H2_DOWN_TLS && tls_alpn_refused(h2_tls(h2)))
		worker_count(&worker->stats->alpn_refused);
	else if (why == H2_DOWN_TLS)
		worker_count(&worker->stats->handshakes_failed);
	if (why == H2_DOWN_KEEPALIVE)
		worker_count(&worker->stats->clients_lost);
	/* One that was cut for its PINGs is counted, and may well go on to flood. */
	if (why == H2_DOWN_PROTOCOL && !downstream->cut)
		worker_count(&worker->stats->protocol_errors);
	evidence_down(downstream, why, err);
	if ((why == H2_DOWN_PROTOCOL || why == H2_DOWN_TLS) &&
	    log_limit_allow(&worker->log_limit, loop_now(&worker->loop), 10))
		log_info(why == H2_DOWN_TLS ? "TLS handshake failed" : "connection ended by GOAWAY",
			 F_STR("client", downstream->peer_ip), F_STR("reason", text),
			 F_STR("code", why == H2_DOWN_TLS ? "" : h2_error_name((uint32_t)err)));
	end(downstream);
}

static void on_too_many_pings(struct h2 *h2)
{
	struct downstream *downstream = h2_user(h2);
	struct worker *worker = downstream->worker;

	worker_count(&worker->stats->too_many_pings);
	worker_count(&worker->stats->protocol_errors);
	evidence_add(downstream, SLUICE_EVIDENCE_PROTOCOL, 1);
	if (log_limit_allow(&worker->log_limit, loop_now(&worker->loop), 10))
		log_info("connection ended by GOAWAY", F_STR("client", downstream->peer_ip),
			 F_STR("reason", "too many pings"), F_STR("code", "ENHANCE_YOUR_CALM"));
	downstream_cut(downstream, CUT_PINGS);
}

static const struct h2_events events = {
	.on_too_many_pings = on_too_many_pings,
	.on_open = on_open,
	.on_up = on_up,
	.on_headers = on_headers,
	.on_data = on_data,
	.on_end = on_end,
	.on_stream_closed = on_stream_closed,
	.on_pull = on_pull,
	.on_down = on_down,
};

/* ---- for the listener and the worker ---- */

void downstream_accept(struct worker *worker, const struct router_listener *listener, int fd,
		       const struct addr *peer)
{
	const struct config_listener *config = listener->config;
	struct downstream *downstream;
	uint32_t source;
	int err;

	if (!evidence_admit(worker, fd, peer, &source))
		return;
	downstream = calloc(1, sizeof(*downstream));
	if (!downstream) {
		source_close(&worker->state, worker->slot, source);
		close(fd);
		return;
	}
	downstream->worker = worker;
	downstream->source = source;
	downstream->listener_id = config->id;
	downstream->idle_timeout_ms = config->idle_timeout_ms;
	downstream->stall_timeout_ms = config->stall_timeout_ms;
	downstream->max_age_ms = config->max_age_ms;
	downstream->max_age_grace_ms = config->max_age_grace_ms;
	downstream->calls_left = config->max_calls;
	downstream->timer.on_timer = on_look;
	list_init(&downstream->streams);
	downstream->peer = *peer;
	addr_format_ip(peer, downstream->peer_ip, sizeof(downstream->peer_ip));
	downstream->options = (struct h2_options){
		.max_streams = config->max_streams,
		.stream_window_bytes = worker->router->config->leg_buffer_bytes,
		.connection_window_bytes = CONNECTION_WINDOW_BYTES,
		.max_header_bytes = config->max_header_bytes,
		.open_timeout_ms = config->handshake_timeout_ms,
		.header_timeout_ms = config->header_timeout_ms,
		.keepalive_interval_ms = config->keepalive_interval_ms,
		.keepalive_timeout_ms = config->keepalive_timeout_ms,
		.min_ping_interval_ms = config->min_ping_interval_ms,
		.ping_without_streams = config->ping_without_calls,
	};
	downstream->h2 = h2_accept(&worker->loop, fd, listener->tls, &downstream->options, &events,
				   downstream, &err);
	if (!downstream->h2) {
		evidence_leave(downstream);
		close(fd);
		free(downstream);
		return;
	}
	list_add_tail(&worker->downstreams, &downstream->link);
	worker_count(&worker->stats->accepted);
	state_store32(&worker->stats->connections, worker->stats->connections + 1);
}

void downstream_drain(struct downstream *downstream, uint64_t delay_ns)
{
	uint64_t at = loop_now(&downstream->worker->loop) + delay_ns;

	if (!downstream->up) {
		downstream->drain_when_up = true;
	} else if (!delay_ns) {
		h2_drain(downstream->h2);
	} else if (!downstream->drain_at_ns || at < downstream->drain_at_ns) {
		downstream->drain_at_ns = at;
		downstream->drain_for_age = false;
		look_again(downstream, delay_ns);
	}
}

void downstream_keep_router(struct downstream *downstream, struct router *old)
{
	if (!downstream->last_router && router_listener(old, downstream->listener_id))
		downstream->last_router = router_ref(old);
}

static void cut_call(struct stream *stream, enum downstream_cut why)
{
	if (why == CUT_AGE)
		reply_error(stream, ERROR_CONNECTION_AGE);
	else if (why == CUT_SHUTDOWN)
		reply_error(stream, ERROR_SHUTDOWN);
	else
		reply_error(stream, ERROR_PINGS);
}

void downstream_cut(struct downstream *downstream, enum downstream_cut why)
{
	struct stream *stream, *next;

	if (!downstream->up) {
		downstream_close(downstream);
		return;
	}
	list_for_each_safe(stream, next, &downstream->streams, down_link)
		cut_call(stream, why);
	/* Time for these answers to leave. */
	downstream->cut = true;
	downstream->cut_at_ns = loop_now(&downstream->worker->loop) + CUT_NS;
	look_again(downstream, CUT_NS);
}

struct router *downstream_router(const struct downstream *downstream)
{
	return downstream->last_router ? downstream->last_router : downstream->worker->router;
}

void downstream_expel(struct downstream *downstream)
{
	h2_stop_reading(downstream->h2);
	h2_close(downstream->h2, H2_ENHANCE_YOUR_CALM);
	end(downstream);
}

void downstream_close(struct downstream *downstream)
{
	h2_close(downstream->h2, H2_NO_ERROR);
	end(downstream);
}
