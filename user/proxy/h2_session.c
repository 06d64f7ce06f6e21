/* SPDX-License-Identifier: MIT */
/*
 * h2_session.c - the session layer of h2: nghttp2's callbacks turned into h2's events, and h2's
 * submissions turned into nghttp2's. The only file that calls nghttp2. DATA is pulled straight
 * into the output area of the process.
 */
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/h2_block.h"
#include "proxy/h2_internal.h"
#include "proxy/h2_mem.h"

#define OUT_SIZE    ((size_t)64 * 1024)
#define FRAME_HEAD  9u
#define SEND_BLOCK_MAX ((size_t)2 * 1024 * 1024)
#define CONTINUATIONS_MAX 72 /* 1 MiB, the largest header list to be configured, and some */

static struct {
	size_t len;
	bool paused; /* a DATA frame wants room first */
	uint8_t bytes[OUT_SIZE];
} out;

/* Frees what is kept for reuse, for a leak-clean exit. */
void h2_pool_trim(void)
{
	h2_block_trim();
	h2_mem_trim();
}

/* ---- callbacks: receiving ---- */

static void abuse(struct h2 *h2, uint32_t code, const char *reason)
{
	if (h2->goaway_code)
		return;
	h2->goaway_code = code;
	h2->reason = reason;
	h2_session_terminate(h2, code);
}

void h2_session_abuse(struct h2 *h2, uint32_t code, const char *reason)
{
	abuse(h2, code, reason);
}

/* What a receiving callback returns: receiving stops where the end was asked for. */
static int go_on(const struct h2 *h2)
{
	return h2->deaf || h2->silent ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct h2 *h2 = user_data;

	if (h2->server && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		h2_stream_opened(h2);
	h2_block_put(h2->in_block);
	h2->in_block = h2_block_get(frame->hd.stream_id);
	return h2->in_block ? go_on(h2) : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *user_data)
{
	struct h2 *h2 = user_data;
	struct h2_block_buffer *block = h2->in_block;

	if (!block)
		return 0;
	block->list_bytes += name_len + value_len + 32;
	if (block->list_bytes > h2->options->max_header_bytes || block->n == H2_BLOCK_FIELDS_MAX) {
		block->too_large = true;
		/* A small block that inflates without end (an HPACK bomb) ends here. */
		if (block->list_bytes > 8ull * h2->options->max_header_bytes)
			abuse(h2, H2_ENHANCE_YOUR_CALM, "header list far over its limit");
		return go_on(h2);
	}
	if (h2_block_add(block, (const char *)name, name_len, (const char *)value, value_len,
			 flags & NGHTTP2_NV_FLAG_NO_INDEX))
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return 0;
}

static enum h2_block block_kind(const struct h2 *h2, const nghttp2_frame *frame,
				const struct h2_block_buffer *block)
{
	if (block->too_large)
		return H2_BLOCK_TOO_LARGE;
	if (h2->server)
		return frame->headers.cat == NGHTTP2_HCAT_REQUEST ? H2_BLOCK_REQUEST :
								    H2_BLOCK_TRAILERS;
	if (block->n && !strcmp(block->headers[0].name, ":status"))
		return block->headers[0].value[0] == '1' ? H2_BLOCK_INFORMATIONAL :
							   H2_BLOCK_RESPONSE;
	return H2_BLOCK_TRAILERS;
}

static void on_block_complete(struct h2 *h2, const nghttp2_frame *frame)
{
	struct h2_block_buffer *block = h2->in_block;

	h2->in_block = NULL;
	loop_timer_cancel(h2->loop, &h2->header_timer);
	if (block && !h2->silent)
		h2->events->on_headers(h2, frame->hd.stream_id, block_kind(h2, frame, block),
				       block->headers, block->too_large ? 0 : block->n,
				       frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
	h2_block_put(block);
}

static void on_settings(struct h2 *h2)
{
	uint32_t max = nghttp2_session_get_remote_settings(h2->session,
							   NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	h2->peer_max_streams = max;
	h2_mark_up(h2);
	if (h2->events->on_capacity && !h2->silent)
		h2->events->on_capacity(h2);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct h2 *h2 = user_data;
	uint64_t now = loop_now(h2->loop);
	bool calm = true;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		h2->control.tat_ns = 0;
		on_block_complete(h2, frame);
		break;
	case NGHTTP2_DATA:
		if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
			if (!h2->silent)
				h2->events->on_end(h2, frame->hd.stream_id);
		} else if (!frame->hd.length) {
			calm = h2_guard_allow(&h2->empty_data, now, GUARD_EMPTY_INTERVAL_NS,
					      GUARD_EMPTY_BURST);
			if (!calm)
				abuse(h2, H2_ENHANCE_YOUR_CALM, "flood of empty DATA frames");
		}
		h2->control.tat_ns = 0;
		break;
	case NGHTTP2_RST_STREAM:
		h2->peer_reset_id = frame->hd.stream_id;
		if (h2->server && !h2_guard_allow(&h2->resets, now, GUARD_RESET_INTERVAL_NS,
						  GUARD_RESET_BURST))
			abuse(h2, H2_ENHANCE_YOUR_CALM, "streams reset too fast");
		break;
	case NGHTTP2_SETTINGS:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
			calm = h2_guard_allow(&h2->control, now, GUARD_CONTROL_INTERVAL_NS,
					      GUARD_CONTROL_BURST);
			on_settings(h2);
		}
		break;
	case NGHTTP2_PING:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			calm = h2_guard_allow(&h2->control, now, GUARD_CONTROL_INTERVAL_NS,
					      GUARD_CONTROL_BURST);
		else if (h2->drain == DRAIN_NOTICE &&
			 !memcmp(frame->ping.opaque_data, "sludrain", 8))
			h2_drain_last(h2);
		break;
	case NGHTTP2_GOAWAY:
		h2->goaway_received = true;
		if (h2->events->on_goaway && !h2->silent)
			h2->events->on_goaway(h2, frame->goaway.last_stream_id,
					      frame->goaway.error_code);
		break;
	default:
		break;
	}
	if (!calm)
		abuse(h2, H2_ENHANCE_YOUR_CALM, "flood of control frames");
	return go_on(h2);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
			 size_t size, void *user_data)
{
	struct h2 *h2 = user_data;

	/* The connection's window is given back at once: only streams stall. */
	nghttp2_session_consume_connection(session, size);
	if (!h2->silent)
		h2->events->on_data(h2, id, data, size);
	return go_on(h2);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data)
{
	struct h2 *h2 = user_data;
	bool by_peer = h2->peer_reset_id == id;
	/* nghttp2 closes what lies above GOAWAY's last id with REFUSED_STREAM. */
	bool unprocessed = h2->unsent_id == id ||
			   (code == H2_REFUSED_STREAM && (by_peer || h2->goaway_received));

	if (h2->unsent_id == id)
		h2->unsent_id = 0;
	if (by_peer)
		h2->peer_reset_id = 0;
	if (h2->in_block && h2->in_block->id == id) {
		h2_block_put(h2->in_block);
		h2->in_block = NULL;
	}
	h2->n_streams--;
	if (h2->silent)
		return 0;
	h2->events->on_stream_closed(h2, id, code, unprocessed, by_peer);
	if (h2->events->on_capacity && !h2->silent)
		h2->events->on_capacity(h2);
	if (h2->drain == DRAIN_LAST || h2->goaway_received)
		h2_want_flush(h2);
	return 0;
}

/* ---- callbacks: sending ---- */

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct h2 *h2 = user_data;
	int32_t id = frame->hd.stream_id;

	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code && !h2->goaway_code) {
		h2->goaway_code = frame->goaway.error_code;
		if (!h2->reason)
			h2->reason = "protocol error";
	}
	/* Only now: a PING that overtook the notice would prove nothing. */
	if (frame->hd.type == NGHTTP2_GOAWAY && h2->drain == DRAIN_NOTICE)
		h2_session_ping(h2, "sludrain");
	if (h2->server && id && frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
	    (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    !nghttp2_session_get_stream_remote_close(session, id))
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, H2_NO_ERROR);
	return 0;
}

/* A request whose HEADERS never left; on_stream_close follows. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
			     void *user_data)
{
	struct h2 *h2 = user_data;

	if (!h2->server && frame->hd.type == NGHTTP2_HEADERS &&
	    frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		h2->unsent_id = frame->hd.stream_id;
	return 0;
}

static ssize_t on_read_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t size,
			    uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
	struct h2 *h2 = user_data;
	bool end = false;
	size_t n;

	if (h2->silent)
		return NGHTTP2_ERR_DEFERRED;
	if (OUT_SIZE - out.len < FRAME_HEAD + size) {
		out.paused = true;
		return NGHTTP2_ERR_PAUSE;
	}
	h2->trailers_id = 0;
	n = h2->events->on_pull(h2, id, out.bytes + out.len + FRAME_HEAD, size, &end);
	if (!n && !end)
		return NGHTTP2_ERR_DEFERRED;
	if (n)
		h2->control.tat_ns = 0;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (end)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (h2->trailers_id == id)
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	return (ssize_t)n;
}

/* The payload lies in place already: on_read_data put it there. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
			size_t size, nghttp2_data_source *source, void *user_data)
{
	memcpy(out.bytes + out.len, head, FRAME_HEAD);
	out.len += FRAME_HEAD + size;
	return 0;
}

static int on_error(nghttp2_session *session, int error, const char *text, size_t len,
		    void *user_data)
{
	struct h2 *h2 = user_data;

	if (!h2->reason)
		h2->reason = nghttp2_strerror(error);
	return 0;
}

/* ---- session ---- */

static void *mem_alloc(size_t size, void *user_data)
{
	return h2_mem_alloc(size);
}

static void *mem_zalloc(size_t n, size_t size, void *user_data)
{
	return h2_mem_zalloc(n, size);
}

/* The one block that a session grows beyond 16 KiB is the buffer that it makes frames in. */
static void *mem_resize(void *block, size_t size, void *user_data)
{
	void *resized = h2_mem_resize(block, size);

	if (resized && size >= 16384)
		((struct h2 *)user_data)->frame_buffer = resized;
	return resized;
}

static void mem_free(void *block, void *user_data)
{
	if (block && block == ((struct h2 *)user_data)->frame_buffer)
		((struct h2 *)user_data)->frame_buffer = NULL;
	h2_mem_free(block);
}

static nghttp2_session_callbacks *callbacks(void)
{
	static nghttp2_session_callbacks *made;

	if (made || nghttp2_session_callbacks_new(&made))
		return made;
	nghttp2_session_callbacks_set_on_begin_headers_callback(made, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(made, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(made, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(made, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(made, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(made, on_frame_not_send);
	nghttp2_session_callbacks_set_send_data_callback(made, on_send_data);
	nghttp2_session_callbacks_set_error_callback2(made, on_error);
	return made;
}

static nghttp2_option *session_options(void)
{
	static nghttp2_option *made;

	if (made || nghttp2_option_new(&made))
		return made;
	nghttp2_option_set_no_auto_window_update(made, 1);
	/* Ours ends the connection first, and with the right code. */
	nghttp2_option_set_stream_reset_rate_limit(made, 4 * GUARD_RESET_BURST, 1000);
	/* What was let in can be sent on, with what is added. */
	nghttp2_option_set_max_send_header_block_length(made, SEND_BLOCK_MAX);
	nghttp2_option_set_max_continuations(made, CONTINUATIONS_MAX);
	/* Closed streams are of no use to us; keep none for the priority tree. */
	nghttp2_option_set_no_closed_streams(made, 1);
	return made;
}

int h2_session_init(struct h2 *h2)
{
	const struct h2_options *options = h2->options;
	nghttp2_mem mem = { h2, mem_alloc, mem_free, mem_zalloc, mem_resize };
	nghttp2_settings_entry settings[5];
	size_t n = 0;
	int err;

	if (!callbacks() || !session_options())
		return -ENOMEM;
	err = h2->server ? nghttp2_session_server_new3(&h2->session, callbacks(), h2,
						       session_options(), &mem) :
			   nghttp2_session_client_new3(&h2->session, callbacks(), h2,
						       session_options(), &mem);
	if (err)
		return -ENOMEM;
	settings[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
						  options->stream_window_bytes };
	settings[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
						  options->max_header_bytes };
	if (h2->server)
		settings[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
							  options->max_streams };
	else
		settings[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 };
	if (nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, n) ||
	    nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
						  (int32_t)options->connection_window_bytes))
		return -ENOMEM;
	return 0;
}

void h2_session_done(struct h2 *h2)
{
	nghttp2_session_del(h2->session);
	h2_block_put(h2->in_block);
}

int h2_session_receive(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	ssize_t n;

	if (h2->deaf)
		return 0;
	h2->receiving = true;
	n = nghttp2_session_mem_recv(h2->session, bytes, size);
	h2->receiving = false;
	if (h2->deaf)
		return nghttp2_session_terminate_session(h2->session, h2->last_code) ?
			       H2_INTERNAL_ERROR :
			       0;
	if (n >= 0)
		return 0;
	if (!h2->reason)
		h2->reason = nghttp2_strerror((int)n);
	if (n == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
		return H2_PROTOCOL_ERROR;
	if (n == NGHTTP2_ERR_NOMEM || n == NGHTTP2_ERR_CALLBACK_FAILURE)
		return H2_INTERNAL_ERROR;
	/* Floods: too many outstanding acknowledgements, SETTINGS entries, CONTINUATION frames. */
	return H2_ENHANCE_YOUR_CALM;
}

static int out_flush(struct h2 *h2)
{
	size_t len = out.len;

	out.len = 0;
	return len ? h2_write(h2, out.bytes, len) : 0;
}

int h2_session_send(struct h2 *h2, size_t max)
{
	size_t sent = 0;
	int err = 0;

	out.len = 0;
	for (;;) {
		const uint8_t *bytes;
		ssize_t n;

		out.paused = false;
		n = nghttp2_session_mem_send(h2->session, &bytes);
		if (n < 0)
			return -EPROTO;
		if (!n && !out.paused)
			break;
		if (OUT_SIZE - out.len < (size_t)n || out.paused) {
			sent += out.len;
			err = out_flush(h2);
			if (err)
				return err;
		}
		if ((size_t)n > OUT_SIZE) {
			err = h2_write(h2, bytes, (size_t)n);
			if (err)
				return err;
		} else if (n) {
			memcpy(out.bytes + out.len, bytes, (size_t)n);
			out.len += (size_t)n;
		}
		if (transport_blocked(&h2->transport))
			break;
		if (sent > max) {
			transport_yield(&h2->transport);
			break;
		}
	}
	return out_flush(h2);
}

void h2_session_trim(struct h2 *h2)
{
	/* Between two frames its content is of no use to anyone. */
	if (!nghttp2_session_want_write(h2->session))
		h2_mem_discard(h2->frame_buffer);
}

bool h2_session_ended(const struct h2 *h2)
{
	if (h2->goaway_received && !h2->server && !h2->n_streams)
		return true;
	return !nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session);
}

const char *h2_session_reason(const struct h2 *h2)
{
	return h2->reason ? h2->reason : "protocol error";
}

int h2_session_terminate(struct h2 *h2, uint32_t code)
{
	if (h2->deaf)
		return 0;
	h2->deaf = true;
	h2->last_code = code;
	/* Within its receiving, nghttp2 may forget that it ends, and then asserts that it knew. */
	if (h2->receiving)
		return 0;
	return nghttp2_session_terminate_session(h2->session, code) ? -ENOMEM : 0;
}

int h2_session_ping(struct h2 *h2, const char opaque[8])
{
	return nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, (const uint8_t *)opaque) ?
		       -ENOMEM :
		       0;
}

int h2_session_goaway_notice(struct h2 *h2)
{
	return nghttp2_submit_shutdown_notice(h2->session) ? -ENOMEM : 0;
}

void h2_session_goaway_last(struct h2 *h2)
{
	nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
			      nghttp2_session_get_last_proc_stream_id(h2->session), H2_NO_ERROR,
			      NULL, 0);
}

void h2_session_write_goaway(struct h2 *h2, uint32_t code)
{
	uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(h2->session);
	const uint8_t frame[FRAME_HEAD + 8] = {
		0, 0, 8, NGHTTP2_GOAWAY, 0, 0, 0, 0, 0,
		(uint8_t)(last >> 24), (uint8_t)(last >> 16), (uint8_t)(last >> 8), (uint8_t)last,
		(uint8_t)(code >> 24), (uint8_t)(code >> 16), (uint8_t)(code >> 8), (uint8_t)code,
	};

	/* A server that never sent its SETTINGS owes them first; a tail must go out whole before. */
	if (!h2->tail && !transport_blocked(&h2->transport)) {
		if (h2->phase == PHASE_OPENING)
			h2_session_send(h2, OUT_SIZE);
		h2_write(h2, frame, sizeof(frame));
	}
}

/* ---- submissions ---- */

static size_t to_nv(nghttp2_nv *nv, const struct h2_header *headers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		nv[i].name = (uint8_t *)(uintptr_t)headers[i].name;
		nv[i].namelen = headers[i].name_len;
		nv[i].value = (uint8_t *)(uintptr_t)headers[i].value;
		nv[i].valuelen = headers[i].value_len;
		nv[i].flags = headers[i].sensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
	}
	return n;
}

/* One block is submitted at a time: the array need not be on the stack. */
static nghttp2_nv nv_scratch[H2_HEADERS_MAX];

static const nghttp2_data_provider provider = { .read_callback = on_read_data };

int32_t h2_submit_request(struct h2 *h2, const struct h2_header *headers, size_t n, bool end,
			  void *stream_user)
{
	int32_t id;

	if (!h2_is_up(h2) || h2->goaway_received)
		return -EPIPE;
	if (!h2_capacity(h2))
		return -EAGAIN;
	if (n > H2_HEADERS_MAX)
		return -E2BIG;
	id = nghttp2_submit_request(h2->session, NULL, nv_scratch, to_nv(nv_scratch, headers, n),
				    end ? NULL : &provider, stream_user);
	if (id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE)
		h2_drain(h2); /* 2^30 streams: the connection is used up */
	if (id < 0)
		return id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? -EPIPE : -ENOMEM;
	h2_stream_opened(h2);
	h2_want_flush(h2);
	return id;
}

static int submitted(struct h2 *h2, int rc)
{
	if (rc)
		return rc == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EINVAL;
	h2_want_flush(h2);
	return 0;
}

int h2_submit_response(struct h2 *h2, int32_t id, const struct h2_header *headers, size_t n,
		       bool end)
{
	if (n > H2_HEADERS_MAX)
		return -E2BIG;
	return submitted(h2, nghttp2_submit_response(h2->session, id, nv_scratch,
						     to_nv(nv_scratch, headers, n),
						     end ? NULL : &provider));
}

int h2_submit_trailers(struct h2 *h2, int32_t id, const struct h2_header *headers, size_t n)
{
	if (n > H2_HEADERS_MAX)
		return -E2BIG;
	h2->trailers_id = id;
	return submitted(h2, nghttp2_submit_trailer(h2->session, id, nv_scratch,
						    to_nv(nv_scratch, headers, n)));
}

void *h2_stream_user(const struct h2 *h2, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h2->session, id);
}

void h2_stream_set_user(struct h2 *h2, int32_t id, void *user)
{
	nghttp2_session_set_stream_user_data(h2->session, id, user);
}

void h2_resume(struct h2 *h2, int32_t id)
{
	if (!nghttp2_session_resume_data(h2->session, id))
		h2_want_flush(h2);
}

void h2_reset(struct h2 *h2, int32_t id, uint32_t code)
{
	nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, id, code);
	h2_want_flush(h2);
}

void h2_credit(struct h2 *h2, int32_t id, size_t size)
{
	if (size && !nghttp2_session_consume_stream(h2->session, id, size))
		h2_want_flush(h2);
}
