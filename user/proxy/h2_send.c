/* SPDX-License-Identifier: MIT */
/*
 * h2_send.c - bytes out: control frames and header blocks are made when they are asked for and
 * leave in that order; DATA is pulled at the flush, one frame a stream in turn, straight into the
 * output area of the process. Called by h2.c for the flush, by the other h2_ files for frames.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/h2_internal.h"
#include "proxy/h2_session.h"

#define OUT_SIZE	((size_t)64 * 1024)
#define CONTROL_KEEP	((size_t)16 * 1024)
#define CONTROL_MIN	((size_t)1024)
#define CONTROL_SPARES	64u

static struct {
	size_t len;
	uint8_t bytes[OUT_SIZE];
} out;

/* ---- buffers of control frames: only connections with something to say hold one ---- */

static struct h2_bytes spares[CONTROL_SPARES];
static uint32_t n_spares;

int h2_bytes_reserve(struct h2_bytes *bytes, size_t size)
{
	size_t cap = bytes->cap ? bytes->cap : CONTROL_MIN;
	uint8_t *grown;

	if (bytes->len + size <= bytes->cap)
		return 0;
	if (!bytes->cap && n_spares && size <= spares[n_spares - 1].cap) {
		*bytes = spares[--n_spares];
		return 0;
	}
	while (cap < bytes->len + size)
		cap *= 2;
	grown = realloc(bytes->at, cap);
	if (!grown)
		return -ENOMEM;
	bytes->at = grown;
	bytes->cap = cap;
	return 0;
}

void h2_bytes_done(struct h2_bytes *bytes)
{
	bytes->len = 0;
	if (bytes->cap && bytes->cap <= CONTROL_KEEP && n_spares < CONTROL_SPARES)
		spares[n_spares++] = *bytes;
	else
		free(bytes->at);
	*bytes = (struct h2_bytes){ 0 };
}

void h2_bytes_pool_trim(void)
{
	while (n_spares)
		free(spares[--n_spares].at);
}

/* ---- frames ---- */

static uint8_t *reserve_frame(struct h2 *h2, size_t size)
{
	struct h2_bytes *control = &h2->session->control;

	if (h2_bytes_reserve(control, H2_FRAME_HEAD + size)) {
		h2_session_error(h2, H2_INTERNAL_ERROR, "out of memory");
		return NULL;
	}
	return control->at + control->len;
}

void h2_send_frame(struct h2 *h2, enum h2_frame_type type, uint8_t flags, int32_t id,
		   const void *payload, size_t size)
{
	uint8_t *at = reserve_frame(h2, size);

	if (!at)
		return;
	h2_put_head(at, size, type, flags, id);
	if (size)
		memcpy(at + H2_FRAME_HEAD, payload, size);
	h2->session->control.len += H2_FRAME_HEAD + size;
	h2_want_flush(h2);
}

void h2_send_u32(struct h2 *h2, enum h2_frame_type type, int32_t id, uint32_t value)
{
	uint8_t payload[4];

	h2_put_u32(payload, value);
	h2_send_frame(h2, type, 0, id, payload, sizeof(payload));
}

/* The block lies behind its first frame's head; where it is longer than a frame may be, the rest
 * moves apart to make room for CONTINUATION heads. */
static int split_block(struct h2_bytes *control, size_t block, uint8_t flags, int32_t id)
{
	size_t heads = (block - 1) / H2_FRAME_PAYLOAD_MAX;
	uint8_t *first;

	if (h2_bytes_reserve(control, H2_FRAME_HEAD + block + heads * H2_FRAME_HEAD))
		return -ENOMEM;
	first = control->at + control->len;
	for (size_t i = heads; i > 0; i--) {
		size_t from = i * H2_FRAME_PAYLOAD_MAX;
		size_t size = i == heads ? block - from : H2_FRAME_PAYLOAD_MAX;
		uint8_t *to = first + H2_FRAME_HEAD + from + (i - 1) * H2_FRAME_HEAD;

		memmove(to + H2_FRAME_HEAD, first + H2_FRAME_HEAD + from, size);
		h2_put_head(to, size, H2_CONTINUATION, i == heads ? H2_FLAG_END_HEADERS : 0, id);
	}
	h2_put_head(first, H2_FRAME_PAYLOAD_MAX, H2_HEADERS,
		    (uint8_t)(flags & ~H2_FLAG_END_HEADERS), id);
	control->len += H2_FRAME_HEAD + block + heads * H2_FRAME_HEAD;
	return 0;
}

int h2_send_headers(struct h2 *h2, int32_t id, const struct h2_header *headers, size_t n, bool end)
{
	struct h2_session *session = h2->session;
	uint8_t flags = (uint8_t)(H2_FLAG_END_HEADERS | (end ? H2_FLAG_END_STREAM : 0));
	size_t bound;
	uint8_t *at;
	ssize_t len;

	if (n > H2_HEADERS_MAX)
		return -E2BIG;
	session->pinged_ns = 0;
	bound = h2_hpack_bound(headers, n);
	at = reserve_frame(h2, bound);
	if (!at)
		return -ENOMEM;
	len = h2_hpack_encode(&session->encoder, at + H2_FRAME_HEAD, bound, headers, n);
	if (len < 0) {
		/* The table may have changed: the peer's would not follow. */
		h2_session_error(h2, H2_INTERNAL_ERROR, "header compression failed");
		return -ENOMEM;
	}
	if ((size_t)len > H2_FRAME_PAYLOAD_MAX) {
		if (split_block(&session->control, (size_t)len, flags, id)) {
			h2_session_error(h2, H2_INTERNAL_ERROR, "out of memory");
			return -ENOMEM;
		}
	} else {
		h2_put_head(at, (size_t)len, H2_HEADERS, flags, id);
		session->control.len += H2_FRAME_HEAD + (size_t)len;
	}
	h2_want_flush(h2);
	return 0;
}

void h2_send_ready(struct h2 *h2, struct h2_stream *stream)
{
	if (!stream->has_body || stream->local_end || stream->closing || !list_empty(&stream->ready))
		return;
	list_add_tail(&h2->session->ready, &stream->ready);
	h2_want_flush(h2);
}

/* ---- the flush ---- */

static int write_out(struct h2 *h2)
{
	size_t len = out.len;

	out.len = 0;
	return len ? h2_write(h2, out.bytes, len) : 0;
}

/* Moves the control frames into the output area; -EAGAIN where the socket blocks before all is. */
static int move_control(struct h2 *h2)
{
	struct h2_bytes *control = &h2->session->control;
	size_t at = 0;
	int err = 0;

	while (at < control->len && !err) {
		size_t n = control->len - at;

		if (n > OUT_SIZE - out.len)
			n = OUT_SIZE - out.len;
		memcpy(out.bytes + out.len, control->at + at, n);
		out.len += n;
		at += n;
		if (at < control->len) {
			err = write_out(h2);
			if (!err && transport_blocked(&h2->transport))
				err = -EAGAIN;
		}
	}
	h2->session->control_left += at;
	if (at == control->len) {
		h2->session->acks = 0;
		h2_bytes_done(control);
	} else {
		memmove(control->at, control->at + at, control->len - at);
		control->len -= at;
	}
	return err;
}

/* One DATA frame of stream, or its end. */
static void pull(struct h2 *h2, struct h2_stream *stream)
{
	struct h2_session *session = h2->session;
	uint8_t *frame = out.bytes + out.len;
	int64_t room = H2_FRAME_PAYLOAD_MAX;
	int32_t id = stream->id;
	bool end = false;
	size_t n;

	list_del(&stream->ready);
	if (room > stream->send_window)
		room = stream->send_window > 0 ? stream->send_window : 0;
	if (room > session->send_window)
		room = session->send_window > 0 ? session->send_window : 0;
	session->trailers_submitted = false;
	/* With no window left the pull may still give the end, which trailers need none for. */
	n = h2->events->on_pull(h2, id, frame + H2_FRAME_HEAD, (size_t)room, &end);
	if (n) {
		stream->send_window -= (int32_t)n;
		session->send_window -= (int64_t)n;
		session->control_frames.tat_ns = 0;
		session->pinged_ns = 0;
	}
	if (n || (end && !session->trailers_submitted)) {
		bool last = end && !session->trailers_submitted;

		h2_put_head(frame, n, H2_DATA, last ? H2_FLAG_END_STREAM : 0, id);
		out.len += H2_FRAME_HEAD + n;
	}
	if (stream->closing)
		return;
	if (end) {
		stream->local_end = true;
		h2_session_stream_check(h2, stream);
	} else if (n && stream->send_window > 0) {
		/* In turn. A stream that has no window comes back with WINDOW_UPDATE, one that has
		 * no data with h2_resume. */
		list_add_tail(&session->ready, &stream->ready);
	}
}

/* Tells the owner of the streams that ended here since the last flush. */
static void close_streams(struct h2 *h2)
{
	struct h2_session *session = h2->session;

	while (!list_empty(&session->closing)) {
		struct h2_stream *stream = list_first(&session->closing, struct h2_stream, ready);

		h2_session_stream_closed(h2, stream, stream->close_code, false, false);
	}
}

static int send_queued(struct h2 *h2, size_t max)
{
	struct h2_session *session = h2->session;
	size_t before = h2->tx_bytes;
	int err;

	for (;;) {
		struct h2_stream *stream;

		err = move_control(h2);
		if (err)
			return err;
		if (h2->silent || session->ended || list_empty(&session->ready))
			break;
		if (OUT_SIZE - out.len < H2_FRAME_HEAD + H2_FRAME_PAYLOAD_MAX) {
			err = write_out(h2);
			if (err || transport_blocked(&h2->transport))
				return err;
			if (h2->tx_bytes - before > max) {
				transport_yield(&h2->transport);
				return 0;
			}
		}
		stream = list_first(&session->ready, struct h2_stream, ready);
		pull(h2, stream);
	}
	close_streams(h2);
	err = move_control(h2);
	return err ? err : write_out(h2);
}

int h2_session_send(struct h2 *h2, size_t max)
{
	int err;

	out.len = 0;
	close_streams(h2);
	err = send_queued(h2, max);
	/* Also where the socket blocks: the peer may know their end already, and open others. */
	close_streams(h2);
	return err;
}
