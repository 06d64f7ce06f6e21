/* SPDX-License-Identifier: MIT */
/*
 * h2_internal.h - what h2.c (the connection) and the session layer under it (h2_session.h) share.
 * For the h2_*.c files only.
 */
#ifndef SLUICE_PROXY_H2_INTERNAL_H
#define SLUICE_PROXY_H2_INTERNAL_H

#include "proxy/h2.h"
#include "proxy/transport.h"

enum h2_phase { PHASE_OPENING, PHASE_UP, PHASE_LINGER, PHASE_DEAD };
enum h2_drain_phase { DRAIN_NONE, DRAIN_NOTICE, DRAIN_DUE, DRAIN_LAST };

struct h2_session;

struct h2 {
	struct loop *loop;
	struct transport transport;
	const struct h2_options *options;
	const struct h2_events *events;
	void *user;
	enum h2_phase phase;
	enum h2_drain_phase drain;
	bool server;
	bool silent; /* the owner has let go: no more callbacks */
	bool goaway_received;
	bool reading_stopped; /* until the peer takes what we have for it */
	bool read_closed;     /* server: the client sends no more, and is still answered */
	bool deaf;	      /* nothing is to be read any more: h2_stop_reading */
	struct loop_task flush_task, reap_task;
	struct loop_timer timer; /* opening, draining, closing: never two at once */
	struct loop_timer header_timer, keepalive_timer;
	uint64_t last_receive_ns, ping_sent_ns;
	uint64_t rx_bytes, tx_bytes;
	uint8_t *tail; /* output that the socket did not take yet */
	size_t tail_at, tail_len;
	uint32_t n_streams;
	uint32_t peer_max_streams;

	/* the session layer's */
	struct h2_session *session;
	uint32_t goaway_code; /* error of the GOAWAY that we sent */
	const char *reason;   /* why we sent it */
};

/* h2.c, for the session layer */
void h2_mark_up(struct h2 *h2);
void h2_stream_opened(struct h2 *h2);
void h2_want_flush(struct h2 *h2);
void h2_drain_last(struct h2 *h2);
int h2_write(struct h2 *h2, const uint8_t *bytes, size_t size);

/* The session layer, for the connection. */
int h2_session_init(struct h2 *h2);
void h2_session_done(struct h2 *h2);
/* Feeds bytes. A connection error queues its GOAWAY and ends the session. */
void h2_session_receive(struct h2 *h2, const uint8_t *bytes, size_t size);
/* A header block has begun and is not complete. */
bool h2_session_in_block(const struct h2 *h2);
/* Writes what is queued, about max bytes. 0, -EAGAIN (blocked), -errno. */
int h2_session_send(struct h2 *h2, size_t max);
/* Control frames and header blocks that wait to be written, bytes. */
size_t h2_session_backlog(const struct h2 *h2);
/* Gives back memory that an idle session does not need. */
void h2_session_trim(struct h2 *h2);
/* Server: the client sends no more. Closes the streams whose request is not complete. */
void h2_session_peer_ended(struct h2 *h2);
/* Neither side has anything to say any more. */
bool h2_session_ended(const struct h2 *h2);
const char *h2_session_reason(const struct h2 *h2);
/* GOAWAY and nothing after it. */
void h2_session_terminate(struct h2 *h2, uint32_t code);
/* A connection error: GOAWAY with code, and the end. Only the first one counts. */
void h2_session_error(struct h2 *h2, uint32_t code, const char *reason);
void h2_session_ping(struct h2 *h2, const char opaque[8]);
void h2_session_goaway_notice(struct h2 *h2);
void h2_session_goaway_last(struct h2 *h2, uint32_t code, const char *text);

#endif
