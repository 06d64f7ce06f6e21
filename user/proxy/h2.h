/* SPDX-License-Identifier: MIT */
/*
 * h2.h - one HTTP/2 connection, either side, in sluice's own terms. Owns its transport and the
 * session layer under it, and shows neither: the session layer can be replaced behind this header.
 *
 * Output is pulled: h2_submit_* and h2_resume only queue, and one write a loop turn carries it all.
 * Flow control is by consumption: received DATA counts against the stream's window until
 * h2_credit gives it back; the connection's window is given back at once, so a stalled stream
 * never stalls its connection.
 *
 * Callbacks run from the loop, never from within an h2_ call. In any callback h2_close may be
 * called; memory is freed only at the end of the turn.
 *
 * A client that ends its sending side while calls are under way still gets the answers to the
 * requests that it has finished; the others are closed as if it had cancelled them.
 *
 * A server's stream whose response ended while the client was still sending is reset with NO_ERROR
 * right after END_STREAM (RFC 9113 8.1).
 */
#ifndef SLUICE_PROXY_H2_H
#define SLUICE_PROXY_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/addr.h"
#include "base/loop.h"

/* RFC 9113 section 7. */
enum h2_error {
	H2_NO_ERROR = 0x0,
	H2_PROTOCOL_ERROR = 0x1,
	H2_INTERNAL_ERROR = 0x2,
	H2_FLOW_CONTROL_ERROR = 0x3,
	H2_SETTINGS_TIMEOUT = 0x4,
	H2_STREAM_CLOSED = 0x5,
	H2_FRAME_SIZE_ERROR = 0x6,
	H2_REFUSED_STREAM = 0x7,
	H2_CANCEL = 0x8,
	H2_COMPRESSION_ERROR = 0x9,
	H2_CONNECT_ERROR = 0xa,
	H2_ENHANCE_YOUR_CALM = 0xb,
	H2_INADEQUATE_SECURITY = 0xc,
	H2_HTTP_1_1_REQUIRED = 0xd,
};

struct h2;
struct tls;
struct tls_context;

#define H2_HEADERS_MAX 1024 /* fields of one block that can be submitted */
#define H2_HEADERS_RECEIVED_MAX 512 /* that are taken from a peer; more are H2_BLOCK_TOO_LARGE */

struct h2_header {
	const char *name, *value; /* name in lower case; both NUL-terminated when received */
	uint32_t name_len, value_len;
	uint8_t sensitive; /* true: never indexed by HPACK, RFC 7541 7.1.3; or H2_VERBATIM */
};

/* Never indexed, and not compressed either: for values that no other field will have. With less than
 * 16 KiB each in name and value; not of pseudo-headers. */
#define H2_VERBATIM 2

static inline bool h2_header_is(const struct h2_header *header, const char *name, size_t len)
{
	return header->name_len == len && !memcmp(header->name, name, len);
}
#define H2_HEADER_IS(header, name) h2_header_is(header, name, sizeof(name) - 1)

/* The first field of this name among n; NULL: none. */
static inline const struct h2_header *h2_header_find(const struct h2_header *headers, size_t n,
						     const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (h2_header_is(&headers[i], name, len))
			return &headers[i];
	return NULL;
}
#define H2_HEADER_FIND(headers, n, name) h2_header_find(headers, n, name, sizeof(name) - 1)

/* Of one hop only, RFC 9113 8.2.2: connection, upgrade and the like, and te but for trailers. */
bool h2_header_is_connection_specific(const struct h2_header *header);

enum h2_block {
	H2_BLOCK_REQUEST,
	H2_BLOCK_RESPONSE,
	H2_BLOCK_INFORMATIONAL,
	H2_BLOCK_TRAILERS,
	H2_BLOCK_TOO_LARGE, /* any of these, over max_header_bytes: comes without headers */
};

/* Why a connection ended, for on_down. */
enum h2_down {
	H2_DOWN_CLOSED,	      /* the peer closed it, or a read or write failed (err) */
	H2_DOWN_CONNECT,      /* never opened (err: errno, ETIMEDOUT from connect_timeout) */
	H2_DOWN_TLS,	      /* handshake failed (text) */
	H2_DOWN_PROTOCOL,     /* the peer broke the protocol; GOAWAY was sent (err: enum h2_error) */
	H2_DOWN_KEEPALIVE,    /* no answer to a PING in time */
	H2_DOWN_SETTINGS,     /* no SETTINGS from the peer in time */
};

struct h2_events {
	/* The transport is open (TLS handshake done), HTTP/2 not yet. May be NULL. */
	void (*on_open)(struct h2 *h2);
	/* The connection can carry streams (client: connected, the peer's SETTINGS are here; server:
	 * handshake done and the preface received). */
	void (*on_up)(struct h2 *h2);
	/* A header block is complete. headers live until the callback returns. end: END_STREAM came
	 * with it. Server: a REQUEST block opens stream id. */
	void (*on_headers)(struct h2 *h2, int32_t id, enum h2_block block,
			   const struct h2_header *headers, size_t n, bool end);
	/* size bytes of DATA (not counting padding); they stay in the window until h2_credit. */
	void (*on_data)(struct h2 *h2, int32_t id, const uint8_t *data, size_t size);
	/* END_STREAM came with DATA (headers that end the stream say so themselves). */
	void (*on_end)(struct h2 *h2, int32_t id);
	/* The stream is over on both sides, or was reset by either (code; H2_NO_ERROR: ended in
	 * order). unprocessed: the peer certainly did not process it (REFUSED_STREAM, above
	 * GOAWAY's last id, or the request never left). by_peer: the reset came from the peer. The
	 * last event of this stream: id and its user pointer mean nothing afterwards. Not called
	 * for streams still open when on_down comes. */
	void (*on_stream_closed)(struct h2 *h2, int32_t id, uint32_t code, bool unprocessed,
				 bool by_peer);
	/* The session wants DATA of stream id: copy up to size bytes into dst and return how many.
	 * Set *end where no DATA follows (then END_STREAM goes out with it, or in the trailers that
	 * h2_submit_trailers gave). 0 without *end: nothing now, h2_resume says when. */
	size_t (*on_pull)(struct h2 *h2, int32_t id, uint8_t *dst, size_t size, bool *end);
	/* The peer announced its GOAWAY: no new streams here (client side). Streams above last_id
	 * get their on_stream_closed with unprocessed. */
	void (*on_goaway)(struct h2 *h2, int32_t last_id, uint32_t code);
	/* Server: the client sends PINGs more often than it may. GOAWAY with ENHANCE_YOUR_CALM and
	 * "too_many_pings" was sent; the owner ends the calls, and with the last of them the
	 * connection closes. May be NULL. */
	void (*on_too_many_pings)(struct h2 *h2);
	/* The number of streams this side may open changed, or one became free. May be NULL. */
	void (*on_capacity)(struct h2 *h2);
	/* The connection is dead; all its streams with it, without further events. The owner must
	 * forget h2 now: it is freed after this callback. */
	void (*on_down)(struct h2 *h2, enum h2_down why, int err, const char *text);
};

struct h2_options {
	uint32_t max_streams;	      /* server: what the peer may open */
	uint32_t stream_window_bytes; /* of each stream, for receiving */
	uint32_t connection_window_bytes;
	uint32_t max_header_bytes; /* a header list; over it the stream or connection ends */
	uint32_t open_timeout_ms;  /* accept or connect until on_up */
	uint32_t header_timeout_ms; /* a header block from first to last byte; 0: none */
	uint32_t keepalive_interval_ms; /* PING where streams are open and nothing came; 0: off */
	uint32_t keepalive_timeout_ms;
	/* Server, the client's own PINGs, by gRPC's rules: two may come sooner after the one before
	 * than min_ping_interval_ms (0: as soon as it likes), or than two hours while no stream is
	 * open and ping_without_streams is false; at the third comes on_too_many_pings. What the server
	 * sends in HEADERS and DATA begins the count anew. */
	uint32_t min_ping_interval_ms;
	bool ping_without_streams;
};

/* options and events must outlive the connection. user: h2_user's answer. NULL on failure, with
 * the errno in *err; fd (accept) then stays the caller's. */
struct h2 *h2_accept(struct loop *loop, int fd, struct tls_context *tls_context,
		     const struct h2_options *options, const struct h2_events *events, void *user,
		     int *err);
/* tls_context: with TLS, to a backend whose certificate is for server_name; NULL: cleartext. */
struct h2 *h2_connect(struct loop *loop, const struct addr *to, struct tls_context *tls_context,
		      const char *server_name, const struct h2_options *options,
		      const struct h2_events *events, void *user, int *err);

void *h2_user(const struct h2 *h2);
bool h2_is_up(const struct h2 *h2);

/* The pointer that belongs to a stream; NULL for ids unknown or closed. */
void *h2_stream_user(const struct h2 *h2, int32_t id);
void h2_stream_set_user(struct h2 *h2, int32_t id, void *user);

/* Client: nothing of this request has left yet, so the peer has not seen it. Holds in on_down too. */
bool h2_is_unsent(const struct h2 *h2, int32_t id);

/* Client: opens a stream. end: no body. Its id (> 0), or -EAGAIN (no capacity now), -EPIPE (going
 * away or dead), -ENOMEM, -E2BIG. Headers are copied. */
int32_t h2_submit_request(struct h2 *h2, const struct h2_header *headers, size_t n, bool end,
			  void *stream_user);
/* Server. end: no body (Trailers-Only). 0 or -errno. */
int h2_submit_response(struct h2 *h2, int32_t id, const struct h2_header *headers, size_t n,
		       bool end);
/* Server: a 1xx response, before h2_submit_response. 0 or -errno. */
int h2_submit_informational(struct h2 *h2, int32_t id, const struct h2_header *headers, size_t n);
/* Only from within on_pull that sets *end: the trailers that end the stream. 0 or -errno. */
int h2_submit_trailers(struct h2 *h2, int32_t id, const struct h2_header *headers, size_t n);
/* More DATA (or the end) can be pulled now. */
void h2_resume(struct h2 *h2, int32_t id);
/* RST_STREAM; on_stream_closed follows (by_peer false). */
void h2_reset(struct h2 *h2, int32_t id, uint32_t code);
/* Gives size bytes back to the stream's window. */
void h2_credit(struct h2 *h2, int32_t id, size_t size);
/* Client: how many streams may be opened now (0 while not up or going away). */
uint32_t h2_capacity(const struct h2 *h2);
uint32_t h2_streams(const struct h2 *h2); /* open now */

/* Server: GOAWAY in two phases (RFC 9113 6.8): 2^31-1 and a PING, then the last id; then closes
 * when the last stream ends, with on_down(H2_DOWN_CLOSED). Client: opens none, closes likewise. */
void h2_drain(struct h2 *h2);
/* GOAWAY with code at once, then closes after what is queued went out (bounded in time). No
 * callback follows. Idempotent. */
void h2_close(struct h2 *h2, uint32_t code);

/* Nothing is read from the peer any more: what is queued still goes out, then the connection ends.
 * Before h2_close, or in on_down. */
void h2_stop_reading(struct h2 *h2);

/* Gives back memory that a connection without streams does not need. Cheap to call. */
void h2_trim(struct h2 *h2);

/* Bytes received and sent, without TLS. */
void h2_bytes(const struct h2 *h2, uint64_t *rx, uint64_t *tx);
/* How much of the burst of resets that it has at once the client has used now, in thousandths: more than
 * all of it ends the connection. */
uint32_t h2_resets_owed(const struct h2 *h2);
/* The TLS object under it (tls.h), or NULL. */
struct tls *h2_tls(const struct h2 *h2);

/* Connections of this process that hold memory still, closed ones that linger included. */
unsigned h2_alive(void);
/* Frees what is kept for reuse between connections, for a leak-clean exit. */
void h2_pool_trim(void);

const char *h2_error_name(uint32_t code); /* "CANCEL"; "unknown" */

#endif
