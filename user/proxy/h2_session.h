/* SPDX-License-Identifier: MIT */
/*
 * h2_session.h - the session layer under h2.c: frames, streams, flow control, header blocks
 * (RFC 9113) on nghttp2's HPACK codec. For the h2_*.c files only.
 *
 *   h2_session.c  settings, submissions, errors, the two kinds of GOAWAY
 *   h2_receive.c  bytes in: DATA and header blocks to events
 *   h2_control.c  all other frames in, and the clients' PINGs policed
 *   h2_settings.c SETTINGS in, and the windows that they move
 *   h2_send.c     bytes out: control frames in order, then DATA pulled round robin
 *   h2_streams.c  the table of open streams
 *   h2_fields.c   one header block: decoded, checked, counted
 *   h2_hpack.c    the codec; the only file with nghttp2
 *
 * A connection that has not carried a stream yet holds none of the codec's memory and no table.
 */
#ifndef SLUICE_PROXY_H2_SESSION_H
#define SLUICE_PROXY_H2_SESSION_H

#include "base/list.h"
#include "proxy/h2.h"
#include "proxy/h2_guard.h"

#define H2_FRAME_HEAD	     9u
#define H2_FRAME_PAYLOAD_MAX 16384u /* SETTINGS_MAX_FRAME_SIZE of both sides: never raised */
#define H2_WINDOW_DEFAULT    65535
#define H2_WINDOW_MAX	     0x7fffffff
#define H2_STREAM_ID_MAX     0x7fffffff
#define H2_RECENT_RESETS     16 /* frames of these that were under way are ignored */

/* What a client begins with, RFC 9113 3.4. */
#define H2_MAGIC     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_MAGIC_LEN (sizeof(H2_MAGIC) - 1)

enum h2_frame_type {
	H2_DATA = 0,
	H2_HEADERS = 1,
	H2_PRIORITY = 2,
	H2_RST_STREAM = 3,
	H2_SETTINGS = 4,
	H2_PUSH_PROMISE = 5,
	H2_PING = 6,
	H2_GOAWAY = 7,
	H2_WINDOW_UPDATE = 8,
	H2_CONTINUATION = 9,
};

#define H2_FLAG_END_STREAM  0x1u
#define H2_FLAG_ACK	    0x1u
#define H2_FLAG_END_HEADERS 0x4u
#define H2_FLAG_PADDED	    0x8u
#define H2_FLAG_PRIORITY    0x20u

enum h2_settings_id {
	H2_SETTINGS_HEADER_TABLE_SIZE = 1,
	H2_SETTINGS_ENABLE_PUSH = 2,
	H2_SETTINGS_MAX_CONCURRENT_STREAMS = 3,
	H2_SETTINGS_INITIAL_WINDOW_SIZE = 4,
	H2_SETTINGS_MAX_FRAME_SIZE = 5,
	H2_SETTINGS_MAX_HEADER_LIST_SIZE = 6,
};

struct h2_stream {
	struct h2_stream *next; /* in its bucket, or in the free list */
	struct list ready;	/* in session.ready while DATA may be pulled, or in session.closing */
	void *user;
	int32_t id;
	int32_t send_window;
	int32_t receive_window; /* what the peer may still send */
	uint32_t consumed;	/* credited, and not yet given back by WINDOW_UPDATE */
	int64_t content_left;	/* of content-length; -1: none was given */
	bool local_end;		/* END_STREAM was sent */
	bool remote_end;	/* END_STREAM came */
	bool headers_done;	/* the first (final) header block came */
	bool has_body;		/* on_pull may be asked */
	bool head;		/* client: the request was HEAD, so the response has no body */
	bool closing;		/* over: on_stream_closed is due at the flush */
	uint32_t close_code;
	uint64_t queued_at; /* client: where in all control bytes its HEADERS begin */
};

struct h2_fields;
struct h2_codec; /* of one direction */

/* Bytes that are ready to go out, in order. */
struct h2_bytes {
	uint8_t *at;
	size_t len, cap;
};

struct h2_session {
	/* receiving */
	uint8_t head[H2_FRAME_HEAD];
	uint8_t head_len;
	uint8_t type, flags;
	bool in_frame;		/* head is complete, payload is not */
	bool preface_done;	/* server: the client's magic came */
	uint8_t magic_len;
	bool settings_received;
	uint8_t padding;	/* DATA: what follows the data */
	bool padding_read;
	bool ended;		/* an error GOAWAY is queued: nothing is received any more */
	int32_t frame_id;
	uint32_t payload_left;
	struct h2_bytes partial; /* payload of a frame that is not complete */
	struct h2_fields *block;	 /* header block being received */
	int32_t block_id;	 /* CONTINUATION must follow for this stream; 0: none */
	uint8_t block_flags;
	uint32_t continuations;
	struct h2_codec *decoder, *encoder;

	/* streams */
	struct h2_stream **buckets;
	uint32_t n_buckets, n_streams;
	int32_t last_peer_id; /* server: highest opened by the client */
	int32_t goaway_id;    /* server: last id of our final GOAWAY; H2_STREAM_ID_MAX before */
	uint32_t next_id;     /* client: of the next stream; over H2_STREAM_ID_MAX: used up */
	struct list ready;    /* h2_stream, round robin */
	struct list closing;  /* h2_stream */
	int32_t recent_resets[H2_RECENT_RESETS];
	uint32_t n_resets; /* noted there, ever */

	/* flow control of the connection */
	int64_t send_window;
	uint32_t receive_consumed; /* received since the last WINDOW_UPDATE */
	int32_t peer_initial_window;
	int32_t own_initial_window; /* that the peer may assume: RFC 9113 6.5.3 */
	uint32_t announced_window;  /* in our SETTINGS; the options may change under us */
	bool settings_acked;	    /* ours, by the peer */

	/* sending */
	struct h2_bytes control; /* frames in order, HEADERS included */
	uint64_t control_left;	 /* bytes that have left it, ever */
	uint32_t acks;		 /* PING and SETTINGS acknowledgements in it */
	bool trailers_submitted; /* in this pull */
	struct h2_guard resets, control_frames, empty_data;
	uint64_t pinged_ns; /* server: the client's last PING since HEADERS or DATA left; 0: none */
	uint8_t ping_strikes;
};

/* ---- h2_streams.c ---- */
struct h2_stream *h2_streams_find(const struct h2_session *session, int32_t id);
/* NULL: no memory. */
struct h2_stream *h2_streams_add(struct h2_session *session, int32_t id);
void h2_streams_remove(struct h2_session *session, struct h2_stream *stream);
void h2_streams_done(struct h2_session *session);
/* Calls visit for every stream; it may remove the one it gets. */
void h2_streams_each(struct h2_session *session,
		     void (*visit)(void *ctx, struct h2_stream *stream), void *ctx);
void h2_streams_pool_trim(void);

/* ---- h2_fields.c ---- */
struct h2_fields *h2_fields_new(uint32_t max_bytes); /* NULL: no memory */
void h2_fields_free(struct h2_fields *block);	   /* takes NULL */
void h2_fields_pool_trim(void);

enum h2_fields_verdict {
	H2_FIELDS_OK,
	H2_FIELDS_OVER,	    /* more than max_bytes, or too many fields: they were dropped */
	H2_FIELDS_MALFORMED, /* RFC 9113 8.1.1: a stream error */
	H2_FIELDS_BOMB,	    /* far over max_bytes: a connection error */
	H2_FIELDS_NOMEM,
};
/* Adds one decoded field. */
void h2_fields_add(struct h2_fields *block, const uint8_t *name, size_t name_len,
		  const uint8_t *value, size_t value_len, bool sensitive);
/* What the complete block is worth as a request, response or trailers. content_length: -1 none. */
enum h2_fields_verdict h2_fields_check(struct h2_fields *block, enum h2_block kind,
				     int64_t *content_length);
enum h2_fields_verdict h2_fields_so_far(const struct h2_fields *block);
const struct h2_header *h2_fields_headers(const struct h2_fields *block, size_t *n);

/* ---- h2_hpack.c ---- */
/* Decodes a fragment into block; last: the block ends with it. 0, -EBADMSG (a connection error),
 * -ENOMEM. The decoder is made at its first use. */
int h2_hpack_decode(struct h2_codec **decoder, struct h2_fields *block, const uint8_t *bytes,
		    size_t size, bool last);
/* Room that headers need at the most. */
size_t h2_hpack_bound(const struct h2_header *headers, size_t n);
/* Encodes into dst of h2_hpack_bound bytes; the length, or -ENOMEM. The encoder is made at its
 * first use. */
ssize_t h2_hpack_encode(struct h2_codec **encoder, uint8_t *dst, size_t size,
			const struct h2_header *headers, size_t n);
/* The peer's SETTINGS_HEADER_TABLE_SIZE. */
int h2_hpack_set_table_size(struct h2_codec **encoder, uint32_t size);
void h2_hpack_free_decoder(struct h2_codec *decoder);
void h2_hpack_free_encoder(struct h2_codec *encoder);

/* ---- h2_session.c ---- */
/* What the peer did with one stream and what made work for nothing: too often, and the connection
 * ends. */
void h2_session_guard_resets(struct h2 *h2);
/* A stream error: RST_STREAM, and on_stream_closed in this turn. */
void h2_session_stream_error(struct h2 *h2, struct h2_stream *stream, uint32_t code);
/* The stream is over: tells the owner, and forgets it. */
void h2_session_stream_closed(struct h2 *h2, struct h2_stream *stream, uint32_t code,
			      bool unprocessed, bool by_peer);
/* After END_STREAM of either side: closes the stream where both have ended, or where the server
 * has. on_stream_closed follows in this turn. */
void h2_session_stream_check(struct h2 *h2, struct h2_stream *stream);
/* Remembers that we ended stream id, so that what the peer had sent by then is no error. */
void h2_session_note_reset(struct h2_session *session, int32_t id);
/* We may have ended the closed stream id: its frames are passed over. True also where the id could
 * be forgotten by now, since an error must be certain. */
bool h2_session_was_reset(const struct h2_session *session, int32_t id);

/* ---- h2_control.c ---- */
/* A whole frame of a type that is neither DATA nor HEADERS nor CONTINUATION. */
void h2_control_frame(struct h2 *h2, const uint8_t *bytes, size_t size);
/* Whether a frame that costs the peer nothing is not one too many; else the connection ends. */
bool h2_session_control_allowed(struct h2 *h2);
/* RFC 7540 5.3.1, for those who still send priorities; all else of them is ignored. */
bool h2_session_depends_on_itself(const struct h2_session *session, const uint8_t *priority);

/* ---- h2_settings.c ---- */
void h2_settings_received(struct h2 *h2, const uint8_t *bytes, size_t size);
/* A stream's window for sending, or all streams' (0: they may go on). */
void h2_settings_move_window(struct h2 *h2, struct h2_stream *stream, int64_t delta);
void h2_settings_move_windows(struct h2 *h2, int64_t delta);

/* ---- h2_send.c ---- */
/* Appends one control frame. -ENOMEM ends the connection by itself. */
void h2_send_frame(struct h2 *h2, enum h2_frame_type type, uint8_t flags, int32_t id,
		   const void *payload, size_t size);
void h2_send_u32(struct h2 *h2, enum h2_frame_type type, int32_t id, uint32_t value);
/* HEADERS and CONTINUATION. 0 or -errno. */
int h2_send_headers(struct h2 *h2, int32_t id, const struct h2_header *headers, size_t n, bool end);
void h2_send_ready(struct h2 *h2, struct h2_stream *stream);

int h2_bytes_reserve(struct h2_bytes *bytes, size_t size);
void h2_bytes_done(struct h2_bytes *bytes);
void h2_bytes_pool_trim(void);

/* Stream id was never opened by anyone. */
static inline bool h2_session_is_idle(const struct h2_session *session, bool server, int32_t id)
{
	if (server)
		return !(id & 1) || id > session->last_peer_id;
	return !(id & 1) || (uint32_t)id >= session->next_id;
}

static inline uint32_t h2_get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void h2_put_u32(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 24);
	at[1] = (uint8_t)(value >> 16);
	at[2] = (uint8_t)(value >> 8);
	at[3] = (uint8_t)value;
}

static inline void h2_put_head(uint8_t *at, size_t size, enum h2_frame_type type, uint8_t flags,
			       int32_t id)
{
	at[0] = (uint8_t)(size >> 16);
	at[1] = (uint8_t)(size >> 8);
	at[2] = (uint8_t)size;
	at[3] = (uint8_t)type;
	at[4] = flags;
	h2_put_u32(at + 5, (uint32_t)id);
}

#endif
