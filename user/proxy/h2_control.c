/* SPDX-License-Identifier: MIT */
/*
 * h2_control.c - frames that come in and are neither DATA nor header blocks: PING, GOAWAY,
 * WINDOW_UPDATE, RST_STREAM, PRIORITY (SETTINGS are h2_settings.c's), and how many of them a peer
 * may send. Called by h2_receive.c with whole frames.
 */
#include <string.h>

#include "proxy/h2_internal.h"
#include "proxy/h2_session.h"

/* Acknowledgements that the peer made us queue and does not take. */
#define ACKS_MAX 1000u

bool h2_session_depends_on_itself(const struct h2_session *session, const uint8_t *priority)
{
	return (int32_t)(h2_get_u32(priority) & H2_STREAM_ID_MAX) == session->frame_id;
}

bool h2_session_control_allowed(struct h2 *h2)
{
	struct h2_session *session = h2->session;

	if (session->acks < ACKS_MAX &&
	    h2_guard_allow(&session->control_frames, loop_now(h2->loop), GUARD_CONTROL_INTERVAL_NS,
			   GUARD_CONTROL_BURST))
		return true;
	h2_session_error(h2, H2_ENHANCE_YOUR_CALM, "flood of control frames");
	return false;
}

/* Counts the client's PINGs that come too early. */
static void police_ping(struct h2 *h2)
{
	struct h2_session *session = h2->session;
	uint64_t now = loop_now(h2->loop), last = session->pinged_ns;
	uint64_t interval = h2->n_streams || h2->options->ping_without_streams ?
				    h2->options->min_ping_interval_ms * NS_PER_MS :
				    GUARD_PING_IDLE_INTERVAL_NS;

	/* Who sends them in just that interval is not to blame for how evenly they arrive. */
	interval -= interval / GUARD_PING_EARLY;
	session->pinged_ns = now;
	if (!last)
		session->ping_strikes = 0;
	if (!last || now - last >= interval || session->ping_strikes++ < GUARD_PING_STRIKES ||
	    h2->drain == DRAIN_LAST)
		return;
	/* The words that gRPC's clients look for, to send them less often from then on. */
	h2->drain = DRAIN_LAST;
	h2_session_goaway_last(h2, H2_ENHANCE_YOUR_CALM, "too_many_pings");
	if (h2->events->on_too_many_pings)
		h2->events->on_too_many_pings(h2);
}

static void on_ping(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	struct h2_session *session = h2->session;

	if (session->frame_id) {
		h2_session_error(h2, H2_PROTOCOL_ERROR, "PING on a stream");
	} else if (size != 8) {
		h2_session_error(h2, H2_FRAME_SIZE_ERROR, "PING of a broken length");
	} else if (session->flags & H2_FLAG_ACK) {
		if (h2->drain == DRAIN_NOTICE && !memcmp(bytes, "sludrain", 8))
			h2_drain_last(h2);
	} else if (h2_session_control_allowed(h2)) {
		session->acks++;
		h2_send_frame(h2, H2_PING, H2_FLAG_ACK, 0, bytes, 8);
		if (h2->server && !h2->silent)
			police_ping(h2);
	}
}

struct goaway {
	struct h2 *h2;
	int32_t last_id;
};

static void close_above(void *ctx, struct h2_stream *stream)
{
	struct goaway *goaway = ctx;

	if (stream->id > goaway->last_id && !stream->closing)
		h2_session_stream_closed(goaway->h2, stream, H2_REFUSED_STREAM, true, true);
}

static void on_goaway(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	struct h2_session *session = h2->session;
	struct goaway goaway = { .h2 = h2 };

	if (session->frame_id || size < 8) {
		h2_session_error(h2, session->frame_id ? H2_PROTOCOL_ERROR : H2_FRAME_SIZE_ERROR,
				 "broken GOAWAY");
		return;
	}
	goaway.last_id = (int32_t)(h2_get_u32(bytes) & H2_STREAM_ID_MAX);
	h2->goaway_received = true;
	if (h2->events->on_goaway && !h2->silent)
		h2->events->on_goaway(h2, goaway.last_id, h2_get_u32(bytes + 4));
	if (!h2->server)
		h2_streams_each(session, close_above, &goaway);
}

static void on_window_update(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	struct h2_session *session = h2->session;
	int32_t id = session->frame_id;
	struct h2_stream *stream;
	int64_t delta;

	if (size != 4) {
		h2_session_error(h2, H2_FRAME_SIZE_ERROR, "WINDOW_UPDATE of a broken length");
		return;
	}
	delta = h2_get_u32(bytes) & H2_WINDOW_MAX;
	if (!id) {
		bool was_empty = session->send_window <= 0;

		session->send_window += delta;
		if (!delta)
			h2_session_error(h2, H2_PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
		else if (session->send_window > H2_WINDOW_MAX)
			h2_session_error(h2, H2_FLOW_CONTROL_ERROR, "window over 2^31-1");
		else if (was_empty)
			h2_settings_move_windows(h2, 0);
		return;
	}
	stream = h2_streams_find(session, id);
	if (!stream || stream->closing) {
		if (h2_session_is_idle(session, h2->server, id))
			h2_session_error(h2, H2_PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream");
		return;
	}
	if (!delta)
		h2_session_stream_error(h2, stream, H2_PROTOCOL_ERROR);
	else if (stream->send_window + delta > H2_WINDOW_MAX)
		h2_session_stream_error(h2, stream, H2_FLOW_CONTROL_ERROR);
	else
		h2_settings_move_window(h2, stream, delta);
}

static void on_rst_stream(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	struct h2_session *session = h2->session;
	int32_t id = session->frame_id;
	struct h2_stream *stream = h2_streams_find(session, id);
	uint32_t code;

	if (size != 4) {
		h2_session_error(h2, H2_FRAME_SIZE_ERROR, "RST_STREAM of a broken length");
		return;
	}
	if (!id || h2_session_is_idle(session, h2->server, id)) {
		h2_session_error(h2, H2_PROTOCOL_ERROR, "RST_STREAM on an idle stream");
		return;
	}
	h2_session_guard_resets(h2);
	if (!stream || stream->closing || session->ended)
		return;
	code = h2_get_u32(bytes);
	h2_session_stream_closed(h2, stream, code, code == H2_REFUSED_STREAM, true);
}

static void on_priority(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	struct h2_session *session = h2->session;
	struct h2_stream *stream;

	if (!session->frame_id) {
		h2_session_error(h2, H2_PROTOCOL_ERROR, "PRIORITY without a stream");
	} else if (size != 5) {
		stream = h2_streams_find(session, session->frame_id);
		if (stream && !stream->closing)
			h2_session_stream_error(h2, stream, H2_FRAME_SIZE_ERROR);
		else
			h2_session_error(h2, H2_FRAME_SIZE_ERROR, "PRIORITY of a broken length");
	} else if (h2_session_depends_on_itself(session, bytes)) {
		h2_session_error(h2, H2_PROTOCOL_ERROR, "stream that depends on itself");
	}
}

void h2_control_frame(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	switch (h2->session->type) {
	case H2_PRIORITY:
		on_priority(h2, bytes, size);
		break;
	case H2_RST_STREAM:
		on_rst_stream(h2, bytes, size);
		break;
	case H2_SETTINGS:
		h2_settings_received(h2, bytes, size);
		break;
	case H2_PUSH_PROMISE:
		h2_session_error(h2, H2_PROTOCOL_ERROR, "PUSH_PROMISE");
		break;
	case H2_PING:
		on_ping(h2, bytes, size);
		break;
	case H2_GOAWAY:
		on_goaway(h2, bytes, size);
		break;
	case H2_WINDOW_UPDATE:
		on_window_update(h2, bytes, size);
		break;
	default: /* unknown types are ignored (RFC 9113 5.5), but not for free */
		h2_session_control_allowed(h2);
		break;
	}
}
