/* SPDX-License-Identifier: MIT */
/*
 * h2_session.c - the session's state and what h2's owner asks of it: settings, requests,
 * responses, resets, credit, GOAWAY. Called by h2.c and through h2.h; bytes are h2_receive.c's and
 * h2_send.c's.
 */
#include "proxy/h2_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/h2_internal.h"
#include "proxy/h2_mem.h"

static size_t put_setting(uint8_t *at, enum h2_settings_id id, uint32_t value)
{
	at[0] = 0;
	at[1] = (uint8_t)id;
	h2_put_u32(at + 2, value);
	return 6;
}

int h2_session_init(struct h2 *h2)
{
	const struct h2_options *options = h2->options;
	struct h2_session *session = calloc(1, sizeof(*session));
	uint8_t settings[18];
	size_t n = 0;

	if (!session)
		return -ENOMEM;
	h2->session = session;
	list_init(&session->ready);
	list_init(&session->closing);
	session->next_id = 1;
	session->goaway_id = H2_STREAM_ID_MAX;
	session->send_window = H2_WINDOW_DEFAULT;
	session->peer_initial_window = H2_WINDOW_DEFAULT;
	/* A smaller one holds once the peer has acknowledged it. */
	session->announced_window = options->stream_window_bytes;
	session->own_initial_window = options->stream_window_bytes > H2_WINDOW_DEFAULT ?
					      (int32_t)options->stream_window_bytes :
					      H2_WINDOW_DEFAULT;
	h2->peer_max_streams = UINT32_MAX;
	session->preface_done = !h2->server;
	if (!h2->server) {
		if (h2_bytes_reserve(&session->control, H2_MAGIC_LEN))
			return -ENOMEM;
		memcpy(session->control.at, H2_MAGIC, H2_MAGIC_LEN);
		session->control.len = H2_MAGIC_LEN;
	}
	n += put_setting(settings + n, H2_SETTINGS_INITIAL_WINDOW_SIZE,
			 options->stream_window_bytes);
	n += put_setting(settings + n, H2_SETTINGS_MAX_HEADER_LIST_SIZE, options->max_header_bytes);
	if (h2->server)
		n += put_setting(settings + n, H2_SETTINGS_MAX_CONCURRENT_STREAMS,
				 options->max_streams);
	else
		n += put_setting(settings + n, H2_SETTINGS_ENABLE_PUSH, 0);
	h2_send_frame(h2, H2_SETTINGS, 0, 0, settings, n);
	if (options->connection_window_bytes > H2_WINDOW_DEFAULT)
		h2_send_u32(h2, H2_WINDOW_UPDATE, 0,
			    options->connection_window_bytes - H2_WINDOW_DEFAULT);
	return session->ended ? -ENOMEM : 0;
}

void h2_session_done(struct h2 *h2)
{
	struct h2_session *session = h2->session;

	if (!session)
		return;
	h2_streams_done(session);
	h2_fields_free(session->block);
	h2_bytes_done(&session->partial);
	h2_bytes_done(&session->control);
	h2_hpack_free_decoder(session->decoder);
	h2_hpack_free_encoder(session->encoder);
	free(session);
	h2->session = NULL;
}

/* Frees what is kept for reuse, for a leak-clean exit. */
void h2_pool_trim(void)
{
	h2_fields_pool_trim();
	h2_streams_pool_trim();
	h2_bytes_pool_trim();
	h2_mem_trim();
}

/* ---- errors and ends ---- */

#define GOAWAY_TEXT_MAX 64u

/* text: debug data, NULL: none. */
static void send_goaway(struct h2 *h2, int32_t last_id, uint32_t code, const char *text)
{
	uint8_t payload[8 + GOAWAY_TEXT_MAX];
	size_t len = text ? strnlen(text, GOAWAY_TEXT_MAX) : 0;

	/* A last id never rises again. */
	if (last_id > h2->session->goaway_id)
		last_id = h2->session->goaway_id;
	h2_put_u32(payload, (uint32_t)last_id);
	h2_put_u32(payload + 4, code);
	if (len)
		memcpy(payload + 8, text, len);
	h2_send_frame(h2, H2_GOAWAY, 0, 0, payload, 8 + len);
}

void h2_session_error(struct h2 *h2, uint32_t code, const char *reason)
{
	struct h2_session *session = h2->session;

	if (session->ended)
		return;
	session->ended = true;
	h2->goaway_code = code;
	h2->reason = reason;
	send_goaway(h2, session->last_peer_id, code, reason);
	h2_want_flush(h2);
}

static void cancel_open(void *ctx, struct h2_stream *stream)
{
	struct h2 *h2 = ctx;

	if (!stream->closing)
		h2_send_u32(h2, H2_RST_STREAM, stream->id, H2_CANCEL);
}

void h2_session_terminate(struct h2 *h2, uint32_t code)
{
	if (h2->session->ended)
		return;
	/* A server may take the end of our sending for a wish to read its answers still. */
	if (!h2->server)
		h2_streams_each(h2->session, cancel_open, h2);
	if (h2->session->ended)
		return;
	h2->session->ended = true;
	send_goaway(h2, h2->session->last_peer_id, code, NULL);
}

size_t h2_session_backlog(const struct h2 *h2)
{
	return h2->session->control.len;
}

bool h2_session_in_block(const struct h2 *h2)
{
	const struct h2_session *session = h2->session;

	return session->block ||
	       (session->in_frame && session->type == H2_HEADERS && !session->ended);
}

bool h2_session_ended(const struct h2 *h2)
{
	const struct h2_session *session = h2->session;

	if (session->control.len)
		return false;
	return session->ended || (h2->goaway_received && !h2->server && !session->n_streams);
}

const char *h2_session_reason(const struct h2 *h2)
{
	return h2->reason ? h2->reason : "protocol error";
}

void h2_session_ping(struct h2 *h2, const char opaque[8])
{
	h2_send_frame(h2, H2_PING, 0, 0, opaque, 8);
}

void h2_session_goaway_notice(struct h2 *h2)
{
	send_goaway(h2, H2_STREAM_ID_MAX, H2_NO_ERROR, NULL);
	h2_session_ping(h2, "sludrain");
}

void h2_session_goaway_last(struct h2 *h2, uint32_t code, const char *text)
{
	h2->session->goaway_id = h2->session->last_peer_id;
	send_goaway(h2, h2->session->goaway_id, code, text);
}

void h2_session_trim(struct h2 *h2)
{
	struct h2_session *session = h2->session;

	if (session->n_streams)
		return;
	free(session->buckets);
	session->buckets = NULL;
	session->n_buckets = 0;
}

/* ---- streams ---- */

void h2_session_stream_closed(struct h2 *h2, struct h2_stream *stream, uint32_t code,
			      bool unprocessed, bool by_peer)
{
	h2->n_streams--;
	if (!h2->silent)
		h2->events->on_stream_closed(h2, stream->id, code, unprocessed, by_peer);
	h2_streams_remove(h2->session, stream);
	if (h2->events->on_capacity && !h2->silent)
		h2->events->on_capacity(h2);
	h2_want_flush(h2);
}

static void close_unfinished(void *ctx, struct h2_stream *stream)
{
	if (!stream->remote_end && !stream->closing)
		h2_session_stream_closed(ctx, stream, H2_CANCEL, false, true);
}

void h2_session_peer_ended(struct h2 *h2)
{
	h2_streams_each(h2->session, close_unfinished, h2);
}

static void close_later(struct h2 *h2, struct h2_stream *stream, uint32_t code)
{
	if (stream->closing)
		return;
	stream->closing = true;
	stream->close_code = code;
	list_del(&stream->ready);
	list_add_tail(&h2->session->closing, &stream->ready);
	h2_want_flush(h2);
}

static void reset(struct h2 *h2, struct h2_stream *stream, uint32_t code)
{
	struct h2_session *session = h2->session;

	if (stream->closing)
		return;
	h2_send_u32(h2, H2_RST_STREAM, stream->id, code);
	h2_session_note_reset(session, stream->id);
	close_later(h2, stream, code);
}

void h2_session_note_reset(struct h2_session *session, int32_t id)
{
	session->recent_resets[session->n_resets % H2_RECENT_RESETS] = id;
	if (++session->n_resets == UINT32_MAX)
		session->n_resets = H2_RECENT_RESETS + 1;
}

bool h2_session_was_reset(const struct h2_session *session, int32_t id)
{
	if (session->n_resets > H2_RECENT_RESETS)
		return true;
	for (int i = 0; i < H2_RECENT_RESETS; i++)
		if (session->recent_resets[i] == id)
			return true;
	return false;
}

void h2_session_guard_resets(struct h2 *h2)
{
	if (h2->server && !h2_guard_allow(&h2->session->resets, loop_now(h2->loop),
					  GUARD_RESET_INTERVAL_NS, GUARD_RESET_BURST))
		h2_session_error(h2, H2_ENHANCE_YOUR_CALM, "streams reset too fast");
}

uint32_t h2_resets_owed(const struct h2 *h2)
{
	const struct h2_session *session = h2->session;
	uint64_t now_ns = loop_now(h2->loop);

	if (!session || session->resets.tat_ns <= now_ns)
		return 0;
	return (uint32_t)((session->resets.tat_ns - now_ns) * 1000 /
			  (GUARD_RESET_INTERVAL_NS * GUARD_RESET_BURST));
}

void h2_session_stream_error(struct h2 *h2, struct h2_stream *stream, uint32_t code)
{
	if (stream->closing)
		return;
	reset(h2, stream, code);
	/* A reset that the peer provokes costs as much as its own: CVE-2025-8671. */
	h2_session_guard_resets(h2);
}

void h2_session_stream_check(struct h2 *h2, struct h2_stream *stream)
{
	if (stream->local_end && stream->remote_end)
		close_later(h2, stream, H2_NO_ERROR);
	else if (stream->local_end && h2->server)
		reset(h2, stream, H2_NO_ERROR);
}

void *h2_stream_user(const struct h2 *h2, int32_t id)
{
	struct h2_stream *stream = h2_streams_find(h2->session, id);

	return stream ? stream->user : NULL;
}

bool h2_is_unsent(const struct h2 *h2, int32_t id)
{
	struct h2_stream *stream = h2_streams_find(h2->session, id);

	return stream && h2->session->control_left <= stream->queued_at;
}

void h2_stream_set_user(struct h2 *h2, int32_t id, void *user)
{
	struct h2_stream *stream = h2_streams_find(h2->session, id);

	if (stream)
		stream->user = user;
}

/* ---- submissions ---- */

/* The method is among the pseudo-header fields, which come first. */
static bool is_head(const struct h2_header *headers, size_t n)
{
	for (size_t i = 0; i < n && headers[i].name[0] == ':'; i++)
		if (H2_HEADER_IS(&headers[i], ":method"))
			return headers[i].value_len == 4 && !memcmp(headers[i].value, "HEAD", 4);
	return false;
}

int32_t h2_submit_request(struct h2 *h2, const struct h2_header *headers, size_t n, bool end,
			  void *stream_user)
{
	struct h2_session *session = h2->session;
	struct h2_stream *stream;
	int err;

	if (!h2_is_up(h2) || h2->goaway_received || session->ended)
		return -EPIPE;
	if (session->next_id > H2_STREAM_ID_MAX) {
		h2_drain(h2); /* 2^30 streams: the connection is used up */
		return -EPIPE;
	}
	if (!h2_capacity(h2))
		return -EAGAIN;
	stream = h2_streams_add(session, (int32_t)session->next_id);
	if (!stream)
		return -ENOMEM;
	stream->queued_at = session->control_left + session->control.len;
	err = h2_send_headers(h2, stream->id, headers, n, end);
	if (err) {
		h2_streams_remove(session, stream);
		return err;
	}
	session->next_id += 2;
	stream->user = stream_user;
	stream->local_end = end;
	stream->has_body = !end;
	stream->head = is_head(headers, n);
	stream->send_window = session->peer_initial_window;
	stream->receive_window = session->own_initial_window;
	h2_stream_opened(h2);
	h2_send_ready(h2, stream);
	return stream->id;
}

int h2_submit_response(struct h2 *h2, int32_t id, const struct h2_header *headers, size_t n,
		       bool end)
{
	struct h2_stream *stream = h2_streams_find(h2->session, id);
	int err;

	if (!stream || stream->closing || stream->local_end)
		return -EINVAL;
	err = h2_send_headers(h2, id, headers, n, end);
	if (err)
		return err;
	stream->has_body = !end;
	stream->local_end = end;
	if (end)
		h2_session_stream_check(h2, stream);
	else
		h2_send_ready(h2, stream);
	return 0;
}

int h2_submit_informational(struct h2 *h2, int32_t id, const struct h2_header *headers, size_t n)
{
	struct h2_stream *stream = h2_streams_find(h2->session, id);

	if (!stream || stream->closing || stream->local_end || stream->has_body)
		return -EINVAL;
	return h2_send_headers(h2, id, headers, n, false);
}

int h2_submit_trailers(struct h2 *h2, int32_t id, const struct h2_header *headers, size_t n)
{
	int err = h2_send_headers(h2, id, headers, n, true);

	h2->session->trailers_submitted = !err;
	return err;
}

void h2_resume(struct h2 *h2, int32_t id)
{
	struct h2_stream *stream = h2_streams_find(h2->session, id);

	if (stream)
		h2_send_ready(h2, stream);
}

void h2_reset(struct h2 *h2, int32_t id, uint32_t code)
{
	struct h2_stream *stream = h2_streams_find(h2->session, id);

	if (stream)
		reset(h2, stream, code);
}

void h2_credit(struct h2 *h2, int32_t id, size_t size)
{
	struct h2_stream *stream = h2_streams_find(h2->session, id);
	uint32_t window = h2->session->announced_window;

	if (!stream || stream->remote_end || stream->closing)
		return;
	stream->consumed += (uint32_t)size;
	if (stream->consumed < window / 2)
		return;
	stream->receive_window += (int32_t)stream->consumed;
	h2_send_u32(h2, H2_WINDOW_UPDATE, id, stream->consumed);
	stream->consumed = 0;
}
