/* SPDX-License-Identifier: MIT */
/*
 * h2.c - the HTTP/2 engine behind h2.h: a session layer joined to a transport, the same for both
 * sides. Owns the connection's life: opening, keepalive, draining, the two ways to die. The other
 * half (frames, streams, windows) is described in h2_session.h. A connection that dies is marked,
 * and freed by a task at the end of the turn, so that every caller on the stack is done with it.
 */
#include "proxy/h2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/h2_internal.h"

#define LINGER_NS      (1 * NS_PER_S)
#define DRAIN_PING_NS  (1 * NS_PER_S)
#define READ_SIZE      ((size_t)64 * 1024)
#define READS_A_TURN   8
#define FLUSH_MAX      ((size_t)1024 * 1024)
#define BACKLOG_MAX    ((size_t)256 * 1024)

static uint8_t in[READ_SIZE];
static unsigned alive;

unsigned h2_alive(void)
{
	return alive;
}

const char *h2_error_name(uint32_t code)
{
	static const char *const names[] = {
		"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR",
		"SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM",
		"CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
		"INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
	};

	return code < sizeof(names) / sizeof(names[0]) ? names[code] : "unknown";
}

/* ---- the end of a connection ---- */

static void on_reap(struct loop_task *task)
{
	struct h2 *h2 = container_of(task, struct h2, reap_task);

	h2_session_done(h2);
	free(h2->tail);
	free(h2);
	alive--;
}

/* Closes the socket now; the memory goes at the end of the turn. */
static void bury(struct h2 *h2)
{
	if (h2->phase == PHASE_DEAD)
		return;
	h2->phase = PHASE_DEAD;
	h2->silent = true;
	transport_close(&h2->transport);
	loop_timer_cancel(h2->loop, &h2->timer);
	loop_timer_cancel(h2->loop, &h2->header_timer);
	loop_timer_cancel(h2->loop, &h2->keepalive_timer);
	loop_defer_cancel(&h2->flush_task);
	loop_defer(h2->loop, &h2->reap_task);
}

/* The owner's options may be gone from here on. */
static void let_go(struct h2 *h2)
{
	static const struct h2_options none;

	h2->silent = true;
	h2->options = &none;
	loop_timer_cancel(h2->loop, &h2->header_timer);
	loop_timer_cancel(h2->loop, &h2->keepalive_timer);
}

static void report_down(struct h2 *h2, enum h2_down why, int err, const char *text)
{
	if (h2->silent)
		return;
	let_go(h2);
	h2->events->on_down(h2, why, err, text);
}

static void fail(struct h2 *h2, enum h2_down why, int err, const char *text)
{
	report_down(h2, why, err, text);
	bury(h2);
}

/* All is sent: FIN, then read on until the peer closes too, so that our last frames are not lost
 * to a TCP reset. */
static void linger(struct h2 *h2)
{
	if (h2->phase >= PHASE_LINGER)
		return;
	h2->phase = PHASE_LINGER;
	transport_shutdown(&h2->transport);
	transport_want_read(&h2->transport, !h2->deaf);
	if (loop_timer_set(h2->loop, &h2->timer, LINGER_NS))
		bury(h2);
}

/* Only our last frames are left to be sent. */
static bool is_ending(const struct h2 *h2)
{
	return h2->goaway_code || (h2->drain == DRAIN_LAST && !h2->n_streams);
}

/* What the session wants after a read or a write. */
static void settle(struct h2 *h2)
{
	if (h2->phase >= PHASE_LINGER)
		return;
	if (transport_blocked(&h2->transport) || h2->tail) {
		/* A peer that takes nothing does not keep the connection. */
		if (is_ending(h2) && !loop_timer_is_set(&h2->timer))
			loop_timer_set(h2->loop, &h2->timer, LINGER_NS);
		return;
	}
	if (h2->drain == DRAIN_LAST && !h2->n_streams && !h2->goaway_code) {
		report_down(h2, H2_DOWN_CLOSED, 0, "drained");
		linger(h2);
		return;
	}
	if (!h2_session_ended(h2))
		return;
	if (h2->goaway_code)
		report_down(h2, H2_DOWN_PROTOCOL, (int)h2->goaway_code, h2_session_reason(h2));
	else
		report_down(h2, H2_DOWN_CLOSED, 0, "closed");
	linger(h2);
}

void h2_close(struct h2 *h2, uint32_t code)
{
	if (h2->phase == PHASE_DEAD || (h2->silent && h2->phase != PHASE_UP))
		return;
	let_go(h2);
	/* A peer that takes nothing any more does not keep the connection. */
	if (h2->phase != PHASE_UP || loop_timer_set(h2->loop, &h2->timer, LINGER_NS)) {
		bury(h2);
		return;
	}
	h2_session_terminate(h2, code);
}

void h2_stop_reading(struct h2 *h2)
{
	if (h2->phase == PHASE_DEAD)
		return;
	h2->deaf = true;
	transport_want_read(&h2->transport, false);
}

/* ---- output ---- */

void h2_want_flush(struct h2 *h2)
{
	if (h2->phase == PHASE_UP || h2->phase == PHASE_OPENING)
		loop_defer(h2->loop, &h2->flush_task);
}

static int keep_tail(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	size_t have = h2->tail ? h2->tail_len - h2->tail_at : 0;
	uint8_t *tail = malloc(have + size);

	if (!tail)
		return -ENOMEM;
	if (have)
		memcpy(tail, h2->tail + h2->tail_at, have);
	memcpy(tail + have, bytes, size);
	free(h2->tail);
	h2->tail = tail;
	h2->tail_at = 0;
	h2->tail_len = have + size;
	return 0;
}

/* Writes; what the socket does not take joins the tail. 0 or -errno. */
int h2_write(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	/* What waits goes first. */
	ssize_t n = h2->tail ? 0 : transport_write(&h2->transport, bytes, size);

	h2->tx_bytes += size;
	if (n == -EAGAIN)
		n = 0;
	if (n < 0)
		return (int)n;
	return (size_t)n < size ? keep_tail(h2, bytes + n, size - (size_t)n) : 0;
}

static int write_tail(struct h2 *h2)
{
	while (h2->tail) {
		ssize_t n = transport_write(&h2->transport, h2->tail + h2->tail_at,
					    h2->tail_len - h2->tail_at);

		if (n < 0)
			return (int)n;
		h2->tail_at += (size_t)n;
		if (h2->tail_at == h2->tail_len) {
			free(h2->tail);
			h2->tail = NULL;
		}
	}
	return 0;
}

static void flush(struct h2 *h2)
{
	int err;

	if (h2->phase >= PHASE_LINGER || h2->transport.state != TRANSPORT_OPEN)
		return;
	err = transport_blocked(&h2->transport) ? -EAGAIN : write_tail(h2);
	if (!err && h2->drain == DRAIN_DUE) {
		/* Only now, so that no stream comes between the last id and its leaving. */
		h2->drain = DRAIN_LAST;
		h2_session_goaway_last(h2, H2_NO_ERROR, NULL);
	}
	if (!err)
		err = h2_session_send(h2, FLUSH_MAX);
	if (err && err != -EAGAIN) {
		fail(h2, H2_DOWN_CLOSED, -err, strerror(-err));
		return;
	}
	if (h2->reading_stopped && !h2->read_closed && !h2->deaf && !transport_blocked(&h2->transport)) {
		h2->reading_stopped = false;
		transport_want_read(&h2->transport, true);
	}
	settle(h2);
}

static void on_flush(struct loop_task *task)
{
	flush(container_of(task, struct h2, flush_task));
}

/* ---- input ---- */

/* The client sends no more: FIN, or TLS's close_notify. What it asked for in full it may still be
 * waiting for, so that is answered, and then the connection ends. One that is gone altogether
 * answers the PING with a reset. False where there is nothing to answer. */
static bool peer_ended(struct h2 *h2)
{
	if (!h2->server || h2->phase != PHASE_UP || h2->silent || h2->goaway_code || !h2->n_streams)
		return false;
	h2->read_closed = true;
	h2_session_peer_ended(h2);
	if (h2->phase == PHASE_DEAD || !h2->n_streams)
		return false;
	transport_want_read(&h2->transport, false);
	loop_timer_cancel(h2->loop, &h2->header_timer);
	h2_session_ping(h2, "slukeepa");
	h2_drain_last(h2);
	return true;
}

/* With TLS 1.3 a backend's refusal of our certificate comes after the handshake. */
static enum h2_down read_failure(const struct h2 *h2, ssize_t n)
{
	return n == -EPROTO && !h2->server && h2->phase == PHASE_OPENING ? H2_DOWN_TLS :
									   H2_DOWN_CLOSED;
}

static void receive(struct h2 *h2)
{
	bool dry = false;

	/* Only the connection's end is left to be told. */
	if (h2->deaf || (h2->read_closed && h2->phase < PHASE_LINGER)) {
		fail(h2, H2_DOWN_CLOSED, ECONNRESET, strerror(ECONNRESET));
		return;
	}

	for (int i = 0; i < READS_A_TURN; i++) {
		ssize_t n = transport_read(&h2->transport, in, sizeof(in));

		dry = n == -EAGAIN;
		if (dry)
			break;
		if (n <= 0) {
			if (h2->phase == PHASE_LINGER)
				bury(h2);
			else if (n || !peer_ended(h2))
				fail(h2, read_failure(h2, n), (int)-n,
				     n == -EPROTO ? transport_error(&h2->transport) :
				     n ? strerror((int)-n) : "closed by the peer");
			return;
		}
		if (h2->phase == PHASE_LINGER)
			continue;
		h2->rx_bytes += (uint64_t)n;
		h2->last_receive_ns = loop_now(h2->loop);
		h2_session_receive(h2, in, (size_t)n);
		if (h2->phase == PHASE_DEAD)
			return;
		if ((size_t)n < sizeof(in) && !transport_pending(&h2->transport))
			break;
	}
	h2_want_flush(h2);
	/* Half a record is pending too, and would have us spin. */
	if (!dry && transport_pending(&h2->transport))
		transport_yield(&h2->transport);
	if (!h2_session_in_block(h2))
		loop_timer_cancel(h2->loop, &h2->header_timer);
	else if (!loop_timer_is_set(&h2->header_timer) && h2->options->header_timeout_ms)
		loop_timer_set(h2->loop, &h2->header_timer,
			       h2->options->header_timeout_ms * NS_PER_MS);
	/* Who takes no answers need not be asked for more. */
	if (transport_blocked(&h2->transport) && h2_session_backlog(h2) > BACKLOG_MAX) {
		h2->reading_stopped = true;
		transport_want_read(&h2->transport, false);
	}
}

static void on_readable(struct transport *transport)
{
	receive(container_of(transport, struct h2, transport));
}

static void on_writable(struct transport *transport)
{
	struct h2 *h2 = container_of(transport, struct h2, transport);

	if (transport_pending(transport) && !h2->read_closed && !h2->deaf) {
		receive(h2);
		if (h2->phase == PHASE_DEAD)
			return;
	}
	flush(h2);
}

static void on_open(struct transport *transport)
{
	struct h2 *h2 = container_of(transport, struct h2, transport);

	if (h2->events->on_open)
		h2->events->on_open(h2);
	if (h2->phase != PHASE_OPENING)
		return;
	h2_want_flush(h2);
	/* What came with the end of the handshake is in TLS's hands: the socket will not tell. */
	if (transport_pending(transport))
		receive(h2);
}

static void on_failed(struct transport *transport, int err)
{
	struct h2 *h2 = container_of(transport, struct h2, transport);

	if (transport->state == TRANSPORT_HANDSHAKE)
		fail(h2, H2_DOWN_TLS, err, transport_error(transport));
	else
		fail(h2, H2_DOWN_CONNECT, err, strerror(err));
}

static const struct transport_events transport_events = {
	.on_open = on_open,
	.on_readable = on_readable,
	.on_writable = on_writable,
	.on_failed = on_failed,
};

/* ---- timers ---- */

static void on_timer(struct loop_timer *timer)
{
	struct h2 *h2 = container_of(timer, struct h2, timer);

	if (h2->silent || h2->phase == PHASE_LINGER) {
		bury(h2);
	} else if (h2->phase == PHASE_OPENING) {
		if (h2->transport.state == TRANSPORT_CONNECTING)
			fail(h2, H2_DOWN_CONNECT, ETIMEDOUT, "connect timed out");
		else if (h2->transport.state == TRANSPORT_HANDSHAKE)
			fail(h2, H2_DOWN_TLS, ETIMEDOUT, "TLS handshake timed out");
		else
			fail(h2, H2_DOWN_SETTINGS, ETIMEDOUT, "no SETTINGS in time");
	} else if (is_ending(h2)) {
		fail(h2, h2->goaway_code ? H2_DOWN_PROTOCOL : H2_DOWN_CLOSED, (int)h2->goaway_code,
		     h2->goaway_code ? h2_session_reason(h2) : "drained");
	} else if (h2->drain == DRAIN_NOTICE) {
		h2_drain_last(h2);
	}
}

static void on_header_timer(struct loop_timer *timer)
{
	struct h2 *h2 = container_of(timer, struct h2, header_timer);

	h2_session_error(h2, H2_ENHANCE_YOUR_CALM, "header block not finished in time");
	h2_want_flush(h2);
}

static void arm_keepalive(struct h2 *h2, uint64_t delay_ns)
{
	loop_timer_set(h2->loop, &h2->keepalive_timer, delay_ns);
}

static void on_keepalive(struct loop_timer *timer)
{
	struct h2 *h2 = container_of(timer, struct h2, keepalive_timer);
	uint64_t interval = h2->options->keepalive_interval_ms * NS_PER_MS, now = loop_now(h2->loop);
	uint64_t quiet = now - h2->last_receive_ns;

	/* A client that sends no more cannot answer either: there the reset tells, or TCP's own
	 * time-out for what is not acknowledged. */
	if (h2->ping_sent_ns && h2->last_receive_ns < h2->ping_sent_ns && !h2->read_closed) {
		fail(h2, H2_DOWN_KEEPALIVE, ETIMEDOUT, "no answer to PING");
		return;
	}
	h2->ping_sent_ns = 0;
	if (!h2->n_streams || h2->phase != PHASE_UP)
		return;
	if (quiet < interval) {
		arm_keepalive(h2, interval - quiet);
		return;
	}
	h2_session_ping(h2, "slukeepa");
	h2->ping_sent_ns = now;
	arm_keepalive(h2, h2->options->keepalive_timeout_ms * NS_PER_MS);
}

/* ---- life ---- */

/* Never came to life. */
static void h2_abandon(struct h2 *h2)
{
	loop_timer_cancel(h2->loop, &h2->timer);
	loop_defer_cancel(&h2->flush_task);
	h2_session_done(h2);
	free(h2);
	alive--;
}

static struct h2 *h2_new(struct loop *loop, bool server, const struct h2_options *options,
			 const struct h2_events *events, void *user)
{
	struct h2 *h2 = calloc(1, sizeof(*h2));

	if (!h2)
		return NULL;
	alive++;
	h2->loop = loop;
	h2->server = server;
	h2->options = options;
	h2->events = events;
	h2->user = user;
	h2->flush_task.on_run = on_flush;
	h2->reap_task.on_run = on_reap;
	h2->timer.on_timer = on_timer;
	h2->header_timer.on_timer = on_header_timer;
	h2->keepalive_timer.on_timer = on_keepalive;
	h2->last_receive_ns = loop_now(loop);
	if (h2_session_init(h2) ||
	    (options->open_timeout_ms &&
	     loop_timer_set(loop, &h2->timer, options->open_timeout_ms * NS_PER_MS))) {
		h2_abandon(h2);
		return NULL;
	}
	return h2;
}

struct h2 *h2_accept(struct loop *loop, int fd, struct tls_context *tls_context,
		     const struct h2_options *options, const struct h2_events *events, void *user,
		     int *err)
{
	struct h2 *h2 = h2_new(loop, true, options, events, user);

	*err = h2 ? -transport_accept(&h2->transport, loop, fd, tls_context, &transport_events) :
		    ENOMEM;
	if (h2 && *err) {
		h2_abandon(h2);
		h2 = NULL;
	}
	return h2;
}

struct h2 *h2_connect(struct loop *loop, const struct addr *to, struct tls_context *tls_context,
		      const char *server_name, const struct h2_options *options,
		      const struct h2_events *events, void *user, int *err)
{
	struct h2 *h2 = h2_new(loop, false, options, events, user);

	*err = h2 ? -transport_connect(&h2->transport, loop, to, tls_context, server_name,
				       &transport_events) :
		    ENOMEM;
	if (h2 && *err) {
		h2_abandon(h2);
		h2 = NULL;
	}
	return h2;
}

/* The peer's SETTINGS came: the connection is up. */
void h2_mark_up(struct h2 *h2)
{
	if (h2->phase != PHASE_OPENING)
		return;
	h2->phase = PHASE_UP;
	loop_timer_cancel(h2->loop, &h2->timer);
	if (!h2->silent)
		h2->events->on_up(h2);
}

void h2_stream_opened(struct h2 *h2)
{
	h2->n_streams++;
	if (h2->options->keepalive_interval_ms && !loop_timer_is_set(&h2->keepalive_timer))
		arm_keepalive(h2, h2->options->keepalive_interval_ms * NS_PER_MS);
}

void h2_drain_last(struct h2 *h2)
{
	if (h2->drain >= DRAIN_DUE)
		return;
	h2->drain = DRAIN_DUE;
	h2_want_flush(h2);
}

void h2_drain(struct h2 *h2)
{
	if (h2->drain != DRAIN_NONE || h2->silent)
		return;
	if (h2->phase == PHASE_OPENING) {
		fail(h2, H2_DOWN_CLOSED, 0, "drained");
		return;
	}
	if (h2->server && !loop_timer_set(h2->loop, &h2->timer, DRAIN_PING_NS)) {
		h2->drain = DRAIN_NOTICE;
		h2_session_goaway_notice(h2);
		return;
	}
	h2_drain_last(h2);
}

void h2_trim(struct h2 *h2)
{
	if (h2->phase == PHASE_UP && !h2->n_streams)
		h2_session_trim(h2);
}

void *h2_user(const struct h2 *h2)
{
	return h2->user;
}

bool h2_is_up(const struct h2 *h2)
{
	return h2->phase == PHASE_UP && !h2->silent && h2->drain == DRAIN_NONE;
}

uint32_t h2_streams(const struct h2 *h2)
{
	return h2->n_streams;
}

uint32_t h2_capacity(const struct h2 *h2)
{
	uint32_t max = h2->peer_max_streams;

	if (!h2_is_up(h2) || h2->goaway_received || h2->goaway_code || h2->server)
		return 0;
	if (h2->options->max_streams && h2->options->max_streams < max)
		max = h2->options->max_streams;
	return h2->n_streams < max ? max - h2->n_streams : 0;
}

void h2_bytes(const struct h2 *h2, uint64_t *rx, uint64_t *tx)
{
	*rx = h2->rx_bytes;
	*tx = h2->tx_bytes;
}

struct tls *h2_tls(const struct h2 *h2)
{
	return h2->transport.tls;
}
