/* SPDX-License-Identifier: MIT */
/*
 * h2_internal.h - what h2.c (the connection) and h2_session.c (the session layer) share. For these
 * two only. The session layer's own state is opaque here: replacing nghttp2 touches h2_session.c
 * alone.
 */
#ifndef SLUICE_PROXY_H2_INTERNAL_H
#define SLUICE_PROXY_H2_INTERNAL_H

#include "proxy/h2.h"
#include "proxy/h2_guard.h"
#include "proxy/transport.h"

enum h2_phase { PHASE_OPENING, PHASE_UP, PHASE_LINGER, PHASE_DEAD };
enum h2_drain_phase { DRAIN_NONE, DRAIN_NOTICE, DRAIN_DUE, DRAIN_LAST };

struct nghttp2_session;
struct h2_block_buffer;

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
	struct nghttp2_session *session;
	bool receiving;	    /* within the session's receiving */
	bool deaf;	    /* the end was asked for: nothing more is received */
	uint32_t last_code; /* what it ends with, while deaf */
	struct h2_block_buffer *in_block; /* a header block that is not complete yet */
	void *frame_buffer;		  /* the session's large output buffer */
	int32_t peer_reset_id;		  /* stream of the RST_STREAM being received */
	int32_t trailers_id;		  /* stream whose trailers were submitted in this pull */
	uint32_t goaway_code;		  /* error of the GOAWAY that we sent */
	const char *reason;		  /* why we sent it */
	int32_t unsent_id;		  /* request whose HEADERS could not be sent */
	struct h2_guard resets, control, empty_data;
};

/* h2.c, for the session layer */
void h2_mark_up(struct h2 *h2);
void h2_stream_opened(struct h2 *h2);
void h2_want_flush(struct h2 *h2);
void h2_drain_last(struct h2 *h2);
int h2_write(struct h2 *h2, const uint8_t *bytes, size_t size);

/* h2_session.c, for the connection */
int h2_session_init(struct h2 *h2);
void h2_session_done(struct h2 *h2);
/* Feeds bytes. 0, or the enum h2_error to end the connection with. */
int h2_session_receive(struct h2 *h2, const uint8_t *bytes, size_t size);
/* Writes what is queued, about max bytes. 0, -EAGAIN (blocked), -EPROTO, -errno. */
int h2_session_send(struct h2 *h2, size_t max);
/* Gives back memory that an idle session does not need. */
void h2_session_trim(struct h2 *h2);
/* Neither side has anything to say any more. */
bool h2_session_ended(const struct h2 *h2);
const char *h2_session_reason(const struct h2 *h2);
int h2_session_terminate(struct h2 *h2, uint32_t code);
/* GOAWAY with code for what the peer did; the connection ends once it is sent. */
void h2_session_abuse(struct h2 *h2, uint32_t code, const char *reason);
int h2_session_ping(struct h2 *h2, const char opaque[8]);
int h2_session_goaway_notice(struct h2 *h2);
void h2_session_goaway_last(struct h2 *h2);
void h2_session_write_goaway(struct h2 *h2, uint32_t code);

#endif
