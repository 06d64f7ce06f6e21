/* SPDX-License-Identifier: MIT */
/*
 * h2_settings.c - SETTINGS that come in, and what they do to the streams' windows (RFC 9113 6.5 and
 * 6.9.2). Called by h2_control.c.
 */
#include "proxy/h2_internal.h"
#include "proxy/h2_session.h"

#define SETTINGS_MAX 64u /* in one frame */

void h2_settings_move_window(struct h2 *h2, struct h2_stream *stream, int64_t delta)
{
	int64_t window = stream->send_window + delta;

	if (window > H2_WINDOW_MAX) {
		h2_session_error(h2, H2_FLOW_CONTROL_ERROR, "window over 2^31-1");
		return;
	}
	stream->send_window = (int32_t)window;
	if (window > 0)
		h2_send_ready(h2, stream);
}

struct window_move {
	struct h2 *h2;
	int64_t delta;
};

static void move_one(void *ctx, struct h2_stream *stream)
{
	struct window_move *move = ctx;

	h2_settings_move_window(move->h2, stream, move->delta);
}

void h2_settings_move_windows(struct h2 *h2, int64_t delta)
{
	struct window_move move = { .h2 = h2, .delta = delta };

	h2_streams_each(h2->session, move_one, &move);
}

static void apply_setting(struct h2 *h2, uint32_t id, uint32_t value)
{
	struct h2_session *session = h2->session;
	int64_t delta;

	switch (id) {
	case H2_SETTINGS_HEADER_TABLE_SIZE:
		if (h2_hpack_set_table_size(&session->encoder, value))
			h2_session_error(h2, H2_INTERNAL_ERROR, "out of memory");
		break;
	case H2_SETTINGS_ENABLE_PUSH:
		if (value > 1 || (value && !h2->server))
			h2_session_error(h2, H2_PROTOCOL_ERROR, "bad SETTINGS_ENABLE_PUSH");
		break;
	case H2_SETTINGS_MAX_CONCURRENT_STREAMS:
		h2->peer_max_streams = value;
		break;
	case H2_SETTINGS_INITIAL_WINDOW_SIZE:
		if (value > H2_WINDOW_MAX) {
			h2_session_error(h2, H2_FLOW_CONTROL_ERROR, "window over 2^31-1");
			break;
		}
		delta = (int64_t)value - session->peer_initial_window;
		session->peer_initial_window = (int32_t)value;
		h2_settings_move_windows(h2, delta);
		break;
	case H2_SETTINGS_MAX_FRAME_SIZE:
		if (value < 16384 || value > 16777215)
			h2_session_error(h2, H2_PROTOCOL_ERROR, "bad SETTINGS_MAX_FRAME_SIZE");
		break;
	default: /* unknown settings are ignored (6.5.2) */
		break;
	}
}

static void shrink_receive_window(void *ctx, struct h2_stream *stream)
{
	const int32_t *delta = ctx;

	stream->receive_window += *delta;
}

/* From here on the peer keeps to the window that we announced. */
static void on_settings_acked(struct h2 *h2)
{
	struct h2_session *session = h2->session;
	int32_t delta = (int32_t)session->announced_window - session->own_initial_window;

	if (session->settings_acked || h2->silent)
		return;
	session->settings_acked = true;
	session->own_initial_window += delta;
	if (delta)
		h2_streams_each(session, shrink_receive_window, &delta);
}

void h2_settings_received(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	struct h2_session *session = h2->session;

	if (session->frame_id) {
		h2_session_error(h2, H2_PROTOCOL_ERROR, "SETTINGS on a stream");
		return;
	}
	if (session->flags & H2_FLAG_ACK) {
		if (size)
			h2_session_error(h2, H2_FRAME_SIZE_ERROR, "SETTINGS ACK with a payload");
		else
			on_settings_acked(h2);
		return;
	}
	if (size % 6) {
		h2_session_error(h2, H2_FRAME_SIZE_ERROR, "SETTINGS of a broken length");
		return;
	}
	if (size / 6 > SETTINGS_MAX) {
		h2_session_error(h2, H2_ENHANCE_YOUR_CALM, "too many settings");
		return;
	}
	if (!h2_session_control_allowed(h2))
		return;
	for (size_t i = 0; i < size && !session->ended; i += 6)
		apply_setting(h2, (uint32_t)bytes[i] << 8 | bytes[i + 1], h2_get_u32(bytes + i + 2));
	if (session->ended)
		return;
	session->acks++;
	h2_send_frame(h2, H2_SETTINGS, H2_FLAG_ACK, 0, NULL, 0);
	session->settings_received = true;
	h2_mark_up(h2);
	if (h2->events->on_capacity && !h2->silent)
		h2->events->on_capacity(h2);
}
