/* SPDX-License-Identifier: MIT */
/*
 * h2_receive.c - bytes in: frames are taken apart and checked (RFC 9113 sections 4 to 6), and what
 * they mean is told to the owner. Called by h2.c with what the transport read. DATA is handed on
 * piece by piece as it comes; other frames are gathered first where they come in pieces.
 */
#include <errno.h>
#include <string.h>

#include "proxy/h2_internal.h"
#include "proxy/h2_session.h"

/* Frames of one block beyond those that its allowed size needs: CVE-2024-28182. */
#define CONTINUATIONS_SPARE 8u

/* Its frames were under way when we reset it, or when GOAWAY said that it comes too late. */
static bool is_ignored(const struct h2_session *session, int32_t id)
{
	return id > session->goaway_id || h2_session_was_reset(session, id);
}

/* A frame on a stream that the peer itself has ended. One that we ended may still be under way. */
static bool comes_after_end(const struct h2 *h2, const struct h2_stream *stream, int32_t id)
{
	return stream ? stream->closing && stream->remote_end : !is_ignored(h2->session, id);
}

static void answer_closed(struct h2 *h2, int32_t id)
{
	if (h2_session_control_allowed(h2))
		h2_send_u32(h2, H2_RST_STREAM, id, H2_STREAM_CLOSED);
}

/* ---- header blocks ---- */

static void stream_ended(struct h2 *h2, struct h2_stream *stream)
{
	if (stream->closing)
		return;
	if (stream->content_left > 0) {
		h2_session_stream_error(h2, stream, H2_PROTOCOL_ERROR);
		return;
	}
	stream->remote_end = true;
	h2_session_stream_check(h2, stream);
}

/* What a complete block of an open stream is; the check of its fields decides the rest. */
static enum h2_block block_kind(const struct h2 *h2, const struct h2_stream *stream,
				const struct h2_fields *block)
{
	const struct h2_header *headers;
	size_t n;

	if (stream->headers_done)
		return H2_BLOCK_TRAILERS;
	if (h2->server)
		return H2_BLOCK_REQUEST;
	headers = h2_fields_headers(block, &n);
	if (n && !strcmp(headers[0].name, ":status") && headers[0].value[0] == '1')
		return H2_BLOCK_INFORMATIONAL;
	return H2_BLOCK_RESPONSE;
}

/* 204 and 304, RFC 9110 6.4.1. */
static bool status_has_no_body(const struct h2_fields *block)
{
	size_t n;
	const struct h2_header *headers = h2_fields_headers(block, &n);

	return n && headers[0].value_len == 3 &&
	       (!memcmp(headers[0].value, "204", 3) || !memcmp(headers[0].value, "304", 3));
}

static void deliver_block(struct h2 *h2, struct h2_stream *stream, struct h2_fields *block,
			  bool end)
{
	enum h2_block kind = block_kind(h2, stream, block);
	enum h2_fields_verdict verdict;
	const struct h2_header *headers;
	int64_t content_length;
	int32_t id = stream->id;
	size_t n;

	verdict = h2_fields_check(block, kind, &content_length);
	if (kind == H2_BLOCK_RESPONSE && (stream->head || status_has_no_body(block)))
		content_length = 0; /* it tells of another response's body */
	if (verdict == H2_FIELDS_MALFORMED || verdict == H2_FIELDS_NOMEM ||
	    (kind == H2_BLOCK_TRAILERS && (!end || stream->content_left > 0)) ||
	    (kind == H2_BLOCK_INFORMATIONAL && end) ||
	    (end && content_length > 0)) {
		/* A malformed message is a stream error (RFC 9113 8.1.1). */
		h2_session_stream_error(h2, stream,
					verdict == H2_FIELDS_NOMEM ? H2_INTERNAL_ERROR :
								     H2_PROTOCOL_ERROR);
		return;
	}
	if (kind == H2_BLOCK_REQUEST || kind == H2_BLOCK_RESPONSE) {
		stream->headers_done = true;
		stream->content_left = content_length;
	}
	headers = h2_fields_headers(block, &n);
	if (verdict == H2_FIELDS_OVER) {
		kind = H2_BLOCK_TOO_LARGE;
		n = 0;
	}
	if (!h2->silent)
		h2->events->on_headers(h2, id, kind, headers, n, end);
	/* The owner may have reset it, but nothing is forgotten before the flush. */
	if (end)
		stream_ended(h2, stream);
}

/* HEADERS that open a stream at the server. NULL: refused, or the connection is over. */
static struct h2_stream *open_stream(struct h2 *h2, int32_t id)
{
	struct h2_session *session = h2->session;
	struct h2_stream *stream;

	/* It is open to the client also where we ignore it: its DATA is no error. */
	session->last_peer_id = id;
	if (id > session->goaway_id)
		return NULL;
	stream = h2->n_streams >= h2->options->max_streams ? NULL : h2_streams_add(session, id);
	if (!stream) {
		h2_send_u32(h2, H2_RST_STREAM, id, H2_REFUSED_STREAM);
		h2_session_note_reset(session, id);
		h2_session_guard_resets(h2);
		return NULL;
	}
	stream->send_window = session->peer_initial_window;
	stream->receive_window = session->own_initial_window;
	h2_stream_opened(h2);
	return stream;
}

static void block_complete(struct h2 *h2)
{
	struct h2_session *session = h2->session;
	struct h2_fields *block = session->block;
	int32_t id = session->block_id;
	struct h2_stream *stream = h2_streams_find(session, id);
	bool end = session->block_flags & H2_FLAG_END_STREAM, refused = false;

	session->block = NULL;
	session->block_id = 0;
	loop_timer_cancel(h2->loop, &h2->header_timer);
	if (!stream && h2->server && h2_session_is_idle(session, h2->server, id)) {
		stream = open_stream(h2, id);
		refused = !stream;
	}
	if (stream && !stream->closing && !session->ended) {
		if (stream->remote_end)
			h2_session_stream_error(h2, stream, H2_STREAM_CLOSED);
		else
			deliver_block(h2, stream, block, end);
	} else if (!refused && !session->ended && comes_after_end(h2, stream, id)) {
		answer_closed(h2, id);
	}
	h2_fields_free(block);
}

static void take_fragment(struct h2 *h2, const uint8_t *bytes, size_t size, bool last)
{
	struct h2_session *session = h2->session;
	int err = h2_hpack_decode(&session->decoder, session->block, bytes, size, last);

	if (err == -EBADMSG)
		h2_session_error(h2, H2_COMPRESSION_ERROR, "header block cannot be decompressed");
	else if (err)
		h2_session_error(h2, H2_INTERNAL_ERROR, "out of memory");
	else if (h2_fields_so_far(session->block) == H2_FIELDS_BOMB)
		h2_session_error(h2, H2_ENHANCE_YOUR_CALM, "header list far over its limit");
	else if (last)
		block_complete(h2);
}

static void on_headers_frame(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	struct h2_session *session = h2->session;
	int32_t id = session->frame_id;
	struct h2_stream *stream = h2_streams_find(session, id);
	size_t padding = 0, skip = 0;
	bool idle;

	session->control_frames.tat_ns = 0;
	if (session->flags & H2_FLAG_PADDED) {
		skip = 1;
		padding = size ? bytes[0] : 0;
	}
	if (session->flags & H2_FLAG_PRIORITY)
		skip += 5;
	if (size < skip || size - skip < padding) {
		h2_session_error(h2, H2_PROTOCOL_ERROR, "HEADERS too short for its padding");
		return;
	}
	if (session->flags & H2_FLAG_PRIORITY &&
	    h2_session_depends_on_itself(session, bytes + skip - 5)) {
		h2_session_error(h2, H2_PROTOCOL_ERROR, "stream that depends on itself");
		return;
	}
	idle = !stream && h2_session_is_idle(session, h2->server, id);
	if (!id || (h2->server && !(id & 1)) || (!h2->server && idle)) {
		h2_session_error(h2, H2_PROTOCOL_ERROR, "HEADERS on a stream that cannot be");
		return;
	}
	if (h2->server && !stream && !idle && !is_ignored(session, id)) {
		h2_session_error(h2, H2_STREAM_CLOSED, "HEADERS on a closed stream");
		return;
	}
	session->block = h2_fields_new(h2->options->max_header_bytes);
	if (!session->block) {
		h2_session_error(h2, H2_INTERNAL_ERROR, "out of memory");
		return;
	}
	session->block_id = id;
	session->block_flags = session->flags;
	session->continuations = 0;
	take_fragment(h2, bytes + skip, size - skip - padding,
		      session->flags & H2_FLAG_END_HEADERS);
}

static void on_continuation(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	struct h2_session *session = h2->session;

	if (++session->continuations >
	    h2->options->max_header_bytes / H2_FRAME_PAYLOAD_MAX + CONTINUATIONS_SPARE) {
		h2_session_error(h2, H2_ENHANCE_YOUR_CALM, "too many CONTINUATION frames");
		return;
	}
	take_fragment(h2, bytes, size, session->flags & H2_FLAG_END_HEADERS);
}

/* ---- frames by type ---- */

static void on_frame(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	switch (h2->session->type) {
	case H2_HEADERS:
		on_headers_frame(h2, bytes, size);
		break;
	case H2_CONTINUATION:
		on_continuation(h2, bytes, size);
		break;
	default:
		h2_control_frame(h2, bytes, size);
		break;
	}
}

/* ---- DATA ---- */

/* The whole frame counts against both windows, padding included (RFC 9113 6.9.1). */
static void data_begins(struct h2 *h2)
{
	struct h2_session *session = h2->session;
	int32_t id = session->frame_id;
	struct h2_stream *stream = h2_streams_find(session, id);
	uint32_t size = session->payload_left, window = h2->options->connection_window_bytes;

	session->control_frames.tat_ns = 0;
	session->padding = 0;
	session->padding_read = !(session->flags & H2_FLAG_PADDED);
	if (!id || h2_session_is_idle(session, h2->server, id)) {
		h2_session_error(h2, H2_PROTOCOL_ERROR, "DATA on an idle stream");
		return;
	}
	if (!session->padding_read && !size) {
		h2_session_error(h2, H2_FRAME_SIZE_ERROR, "DATA too short for its padding");
		return;
	}
	/* The connection's window is given back at once, so only streams stall, and the peer cannot
	 * exceed it: half of it is more than a frame. */
	session->receive_consumed += size;
	if (session->receive_consumed >= window / 2) {
		h2_send_u32(h2, H2_WINDOW_UPDATE, 0, session->receive_consumed);
		session->receive_consumed = 0;
	}
	if (!size && !(session->flags & H2_FLAG_END_STREAM) &&
	    !h2_guard_allow(&session->empty_data, loop_now(h2->loop), GUARD_EMPTY_INTERVAL_NS,
			    GUARD_EMPTY_BURST)) {
		h2_session_error(h2, H2_ENHANCE_YOUR_CALM, "flood of empty DATA frames");
		return;
	}
	if (comes_after_end(h2, stream, id))
		answer_closed(h2, id);
	if (!stream || stream->closing)
		return;
	if (stream->remote_end) {
		h2_session_stream_error(h2, stream, H2_STREAM_CLOSED);
	} else if (!stream->headers_done) {
		h2_session_stream_error(h2, stream, H2_PROTOCOL_ERROR);
	} else if ((int64_t)size > stream->receive_window) {
		h2_session_stream_error(h2, stream, H2_FLOW_CONTROL_ERROR);
	} else {
		stream->receive_window -= (int32_t)size;
	}
}

static void data_ends(struct h2 *h2)
{
	struct h2_session *session = h2->session;
	struct h2_stream *stream = h2_streams_find(session, session->frame_id);

	if (!stream || stream->closing || !(session->flags & H2_FLAG_END_STREAM))
		return;
	if (!h2->silent && stream->content_left <= 0)
		h2->events->on_end(h2, session->frame_id);
	stream_ended(h2, stream);
}

/* Takes what is here of the frame's payload; the number of bytes. */
static size_t take_data(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	struct h2_session *session = h2->session;
	struct h2_stream *stream = h2_streams_find(session, session->frame_id);
	size_t taken = 0, data;

	if (size > session->payload_left)
		size = session->payload_left;
	if (!session->padding_read && size) {
		session->padding = bytes[0];
		session->padding_read = true;
		session->payload_left--;
		taken = 1;
		if (session->padding > session->payload_left) {
			h2_session_error(h2, H2_PROTOCOL_ERROR, "DATA too short for its padding");
			return size;
		}
		h2_credit(h2, session->frame_id, session->padding + 1u);
	}
	data = session->payload_left > session->padding ? session->payload_left - session->padding :
							  0;
	if (data > size - taken)
		data = size - taken;
	if (data && stream && !stream->closing) {
		if (stream->content_left >= 0 && (stream->content_left -= (int64_t)data) < 0)
			h2_session_stream_error(h2, stream, H2_PROTOCOL_ERROR);
		else if (!h2->silent)
			h2->events->on_data(h2, session->frame_id, bytes + taken, data);
	}
	session->payload_left -= (uint32_t)(size - taken);
	return size;
}

/* ---- the byte stream ---- */

static void frame_begins(struct h2 *h2)
{
	struct h2_session *session = h2->session;
	const uint8_t *head = session->head;

	session->payload_left = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
	session->type = head[3];
	session->flags = head[4];
	session->frame_id = (int32_t)(h2_get_u32(head + 5) & H2_STREAM_ID_MAX);
	session->in_frame = true;
	session->head_len = 0;
	if (!session->settings_received &&
	    (session->type != H2_SETTINGS || session->flags & H2_FLAG_ACK))
		h2_session_error(h2, H2_PROTOCOL_ERROR, "the first frame is not SETTINGS");
	else if (session->payload_left > H2_FRAME_PAYLOAD_MAX)
		h2_session_error(h2, H2_FRAME_SIZE_ERROR, "frame over 16384 bytes");
	else if (session->block_id &&
		 (session->type != H2_CONTINUATION || session->frame_id != session->block_id))
		h2_session_error(h2, H2_PROTOCOL_ERROR, "header block interrupted");
	else if (!session->block_id && session->type == H2_CONTINUATION)
		h2_session_error(h2, H2_PROTOCOL_ERROR, "CONTINUATION without HEADERS");
	else if (session->type == H2_DATA)
		data_begins(h2);
}

/* Frames other than DATA: whole from where they are, or gathered. The number of bytes taken, or
 * -ENOMEM. */
static ssize_t take_control(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	struct h2_session *session = h2->session;
	struct h2_bytes *partial = &session->partial;

	if (!partial->len && size >= session->payload_left) {
		size = session->payload_left;
		session->in_frame = false;
		on_frame(h2, bytes, size);
		return (ssize_t)size;
	}
	if (size > session->payload_left - partial->len)
		size = session->payload_left - partial->len;
	if (h2_bytes_reserve(partial, size))
		return -ENOMEM;
	memcpy(partial->at + partial->len, bytes, size);
	partial->len += size;
	if (partial->len == session->payload_left) {
		session->in_frame = false;
		on_frame(h2, partial->at, partial->len);
		h2_bytes_done(partial);
	}
	return (ssize_t)size;
}

/* The client's connection preface. The number of bytes taken; -EPROTO. */
static ssize_t take_magic(struct h2_session *session, const uint8_t *bytes, size_t size)
{
	if (size > H2_MAGIC_LEN - session->magic_len)
		size = H2_MAGIC_LEN - session->magic_len;
	if (memcmp(&H2_MAGIC[session->magic_len], bytes, size))
		return -EPROTO;
	session->magic_len += (uint8_t)size;
	session->preface_done = session->magic_len == H2_MAGIC_LEN;
	return (ssize_t)size;
}

static size_t take_head(struct h2_session *session, const uint8_t *bytes, size_t size)
{
	if (size > H2_FRAME_HEAD - session->head_len)
		size = H2_FRAME_HEAD - session->head_len;
	memcpy(session->head + session->head_len, bytes, size);
	session->head_len += (uint8_t)size;
	return size;
}

void h2_session_receive(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	struct h2_session *session = h2->session;

	while (!session->ended && (size || (session->in_frame && !session->payload_left))) {
		ssize_t n;

		if (!session->preface_done) {
			n = take_magic(session, bytes, size);
			if (n < 0) {
				h2_session_error(h2, H2_PROTOCOL_ERROR, "not HTTP/2");
				break;
			}
		} else if (!session->in_frame) {
			n = (ssize_t)take_head(session, bytes, size);
			if (session->head_len == H2_FRAME_HEAD)
				frame_begins(h2);
		} else if (session->type == H2_DATA) {
			n = (ssize_t)take_data(h2, bytes, size);
			if (!session->payload_left && !session->ended) {
				session->in_frame = false;
				data_ends(h2);
			}
		} else {
			n = take_control(h2, bytes, size);
			if (n < 0) {
				h2_session_error(h2, H2_INTERNAL_ERROR, "out of memory");
				break;
			}
		}
		bytes += n;
		size -= (size_t)n;
	}
}
