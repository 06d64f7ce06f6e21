/* SPDX-License-Identifier: MIT */
/*
 * probe.c - a check's beginning and end, and the connection under calls and Watch, see probe.h. The
 * connection is given up when it broke, when the peer announced its end, and whenever a check on it
 * timed out (a half-open connection looks just like that).
 *
 * A check that fails because an old connection had died unnoticed, or that the peer certainly did
 * not process, is begun anew once on a fresh connection: it says nothing of the backend yet.
 */
#include "monitor/probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "monitor/probe_internal.h"
#include "proxy/grpc.h"
#include "shared/health_text.h"

#define SERVER_GRACE_NS NS_PER_S

static const struct h2_options probe_options = {
	.max_streams = 0,
	.stream_window_bytes = 65535,
	.connection_window_bytes = 65535,
	.max_header_bytes = 16384,
	/* The check's own timeout comes long before. */
	.open_timeout_ms = 600000,
};

static void probe_connect(struct probe *probe);

void probe_finish(struct probe *probe, enum probe_word word, struct health_result result)
{
	probe->stream = 0;
	if (probe->retire)
		probe_disconnect(probe);
	probe->busy = false;
	loop_timer_cancel(probe->loop, &probe->timeout);
	probe->on_done(probe, word, result);
}

bool probe_errno_is_local(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS;
}

static void on_finish(struct loop_task *task)
{
	struct probe *probe = container_of(task, struct probe, finish);

	probe->busy = false;
	loop_timer_cancel(probe->loop, &probe->timeout);
	probe->on_done(probe, probe->word, probe->result);
}

void probe_fail_later(struct probe *probe, int err)
{
	probe->word = probe_errno_is_local(err) ? PROBE_LOCAL : PROBE_CHECKED;
	probe->result = (struct health_result){ SLUICE_REASON_CONNECT, (uint32_t)err };
	loop_defer(probe->loop, &probe->finish);
}

bool probe_retry(struct probe *probe)
{
	if (probe->retried)
		return false;
	probe->retried = true;
	probe_disconnect(probe);
	probe_connect(probe);
	return true;
}

int32_t probe_submit(struct probe *probe, const char *path, bool deadline)
{
	char timeout[GRPC_TIMEOUT_TEXT_MAX];
	uint64_t now_ns = loop_now(probe->loop);
	int32_t id;

	/* Later than ours: a server that keeps deadlines would else answer 4 just then, which codes
	 * may even call healthy. */
	grpc_timeout_format(timeout, (probe->deadline_ns > now_ns ? probe->deadline_ns - now_ns : 0) +
					     SERVER_GRACE_NS);
#define HEADER(n, v)                                                                               \
	{                                                                                          \
		.name = (n), .value = (v), .name_len = sizeof(n) - 1,                              \
		.value_len = (uint32_t)strlen(v),                                                  \
	}
	const struct h2_header headers[] = {
		HEADER(":method", "POST"),
		HEADER(":scheme", probe->tls ? "https" : "http"),
		HEADER(":path", path),
		HEADER(":authority", probe->authority),
		HEADER("content-type", "application/grpc"),
		HEADER("te", "trailers"),
		HEADER("user-agent", "sluice-health"),
		HEADER("grpc-timeout", timeout),
	};
#undef HEADER
	size_t n = sizeof(headers) / sizeof(headers[0]);

	id = h2_submit_request(probe->h2, headers, deadline ? n : n - 1, false, probe);
	if (id > 0)
		return id;
	if (id == -EAGAIN) /* on_capacity goes on, or the timeout ends it */
		return 0;
	if (id == -EPIPE && probe_retry(probe))
		return 0;
	probe_fail_later(probe, id == -EPIPE ? ECONNRESET : -id);
	return 0;
}

void probe_ask(struct probe *probe)
{
	if (probe->check->method == HEALTH_METHOD_WATCH && !probe->watch && !probe->watch_refused) {
		probe_watch_submit(probe);
	} else if (probe_stands(probe) && !h2_capacity(probe->h2)) {
		/* A backend that allows one stream a connection has given it to the Watch. */
		probe->word = PROBE_ALIVE;
		loop_defer(probe->loop, &probe->finish);
	} else {
		probe_call_submit(probe);
	}
}

/* A check is under way, and waits for a connection that can carry it. */
static bool waits_to_ask(const struct probe *probe)
{
	return probe->busy && !probe->stream && !(probe->watch && !probe->told) &&
	       !probe->finish.queued;
}

static void on_up(struct h2 *h2)
{
	struct probe *probe = h2_user(h2);

	if (waits_to_ask(probe))
		probe_ask(probe);
}

static void on_capacity(struct h2 *h2)
{
	struct probe *probe = h2_user(h2);

	if (waits_to_ask(probe) && h2_capacity(h2) > 0)
		probe_ask(probe);
}

static bool is_call(const struct probe *probe, int32_t id)
{
	return probe->busy && probe->stream == id;
}

static void on_headers(struct h2 *h2, int32_t id, enum h2_block block,
		       const struct h2_header *headers, size_t n, bool end)
{
	struct probe *probe = h2_user(h2);

	if (block == H2_BLOCK_INFORMATIONAL)
		return;
	if (is_call(probe, id))
		probe_call_headers(probe, headers, n, end);
	else if (id == probe->watch)
		probe_watch_headers(probe, headers, n, end);
}

static void on_data(struct h2 *h2, int32_t id, const uint8_t *data, size_t size)
{
	struct probe *probe = h2_user(h2);

	/* Whatever a custom method streams is let through until the timeout. */
	h2_credit(h2, id, size);
	if (is_call(probe, id))
		health_reply_data(&probe->reply, data, size);
	else if (id == probe->watch)
		probe_watch_data(probe, data, size);
}

static void on_end(struct h2 *h2, int32_t id)
{
	struct probe *probe = h2_user(h2);

	if (is_call(probe, id))
		probe_call_end(probe);
	else if (id == probe->watch)
		probe_watch_end(probe);
}

static void on_stream_closed(struct h2 *h2, int32_t id, uint32_t code, bool unprocessed,
			     bool by_peer)
{
	struct probe *probe = h2_user(h2);

	if (is_call(probe, id))
		probe_call_closed(probe, code, unprocessed, by_peer);
	else if (id == probe->watch)
		probe_watch_closed(probe, code, unprocessed, by_peer);
}

static size_t on_pull(struct h2 *h2, int32_t id, uint8_t *dst, size_t size, bool *end)
{
	struct probe *probe = h2_user(h2);
	uint32_t *at = is_call(probe, id) ? &probe->request_at : &probe->watch_at;
	size_t n;

	if (!is_call(probe, id) && id != probe->watch) {
		*end = true;
		return 0;
	}
	n = probe->request_len - *at;
	if (n > size)
		n = size;
	memcpy(dst, probe->request + *at, n);
	*at += (uint32_t)n;
	*end = *at == probe->request_len;
	return n;
}

static void on_goaway(struct h2 *h2, int32_t last_id, uint32_t code)
{
	struct probe *probe = h2_user(h2);
	const struct health_result result = { SLUICE_REASON_RESET, code };

	probe->retire = true;
	if (probe_stands(probe))
		probe_finish(probe, PROBE_AGAIN, result);
	else if (!probe->busy)
		probe_disconnect(probe);
	else if (!probe->stream && !probe->finish.queued && !probe_retry(probe))
		probe_finish(probe, PROBE_CHECKED, result);
}

static void on_down(struct h2 *h2, enum h2_down why, int err, const char *text)
{
	struct probe *probe = h2_user(h2);
	bool used = probe->used, stood = probe_stands(probe);
	struct health_result result = { SLUICE_REASON_DISCONNECT, 0 };

	probe->h2 = NULL;
	probe_disconnect(probe);
	if ((!probe->busy && !stood) || probe->finish.queued)
		return;
	switch (why) {
	case H2_DOWN_CONNECT:
		if (probe_errno_is_local(err)) {
			probe_fail_later(probe, err);
			return;
		}
		result = (struct health_result){ SLUICE_REASON_CONNECT, (uint32_t)err };
		if (err == ETIMEDOUT)
			result = (struct health_result){ SLUICE_REASON_TIMEOUT,
							 probe->check->timeout_ms };
		break;
	case H2_DOWN_PROTOCOL:
		result = (struct health_result){ SLUICE_REASON_PROTOCOL, HEALTH_NOT_HTTP2 };
		break;
	case H2_DOWN_TLS:
		result = (struct health_result){ SLUICE_REASON_TLS, 0 };
		snprintf(probe->reply.message, sizeof(probe->reply.message), "%s", text);
		break;
	case H2_DOWN_CLOSED:
		/* Nothing had come on a connection that had worked: it was stale. */
		if (used && !stood && probe->reply.http_status == 0 && probe_retry(probe))
			return;
		break;
	case H2_DOWN_KEEPALIVE:
	case H2_DOWN_SETTINGS:
		result = (struct health_result){ SLUICE_REASON_TIMEOUT, probe->check->timeout_ms };
		break;
	}
	probe_finish(probe, PROBE_CHECKED, result);
}

static const struct h2_events probe_events = {
	.on_up = on_up,
	.on_headers = on_headers,
	.on_data = on_data,
	.on_end = on_end,
	.on_stream_closed = on_stream_closed,
	.on_pull = on_pull,
	.on_goaway = on_goaway,
	.on_capacity = on_capacity,
	.on_down = on_down,
};

static void on_timeout(struct loop_timer *timer)
{
	struct probe *probe = container_of(timer, struct probe, timeout);

	probe_tcp_stop(probe);
	probe_disconnect(probe);
	probe_finish(probe, PROBE_CHECKED,
		     (struct health_result){ SLUICE_REASON_TIMEOUT, probe->check->timeout_ms });
}

static void probe_connect(struct probe *probe)
{
	int err = 0;

	health_reply_init(&probe->reply);
	probe->h2 = h2_connect(probe->loop, &probe->to, probe->tls, probe->server_name,
			       &probe_options, &probe_events, probe, &err);
	if (!probe->h2)
		probe_fail_later(probe, err < 0 ? -err : err);
}

void probe_init(struct probe *probe, struct loop *loop,
		void (*on_done)(struct probe *probe, enum probe_word word,
				struct health_result result))
{
	memset(probe, 0, sizeof(*probe));
	probe->loop = loop;
	probe->on_done = on_done;
	probe->tcp.fd = -1;
	probe->timeout.on_timer = on_timeout;
	probe->finish.on_run = on_finish;
	list_init(&probe->finish.link);
}

void probe_done(struct probe *probe)
{
	probe_cancel(probe);
	probe_disconnect(probe);
}

void probe_start(struct probe *probe)
{
	probe->busy = true;
	probe->retried = false;
	probe->request_len = (uint32_t)health_request_build(probe->request, probe->check);
	probe->deadline_ns = loop_now(probe->loop) + probe->check->timeout_ms * NS_PER_MS;
	if (loop_timer_set(probe->loop, &probe->timeout, probe->check->timeout_ms * NS_PER_MS) < 0)
		probe_fail_later(probe, ENOMEM);
	else if (probe->check->method == HEALTH_METHOD_TCP)
		probe_tcp_start(probe);
	else if (!probe->h2)
		probe_connect(probe);
	else if (h2_is_up(probe->h2))
		probe_ask(probe);
}

void probe_cancel(struct probe *probe)
{
	if (probe->stream)
		h2_reset(probe->h2, probe->stream, H2_CANCEL);
	if (probe->watch)
		h2_reset(probe->h2, probe->watch, H2_CANCEL);
	probe->stream = probe->watch = 0;
	probe->told = false;
	probe_tcp_stop(probe);
	loop_timer_cancel(probe->loop, &probe->timeout);
	loop_defer_cancel(&probe->finish);
	probe->busy = false;
}

void probe_disconnect(struct probe *probe)
{
	if (probe->h2)
		h2_close(probe->h2, H2_NO_ERROR);
	probe->h2 = NULL;
	probe->stream = probe->watch = 0;
	probe->told = false;
	probe->watch_refused = false;
	probe->used = false;
	probe->retire = false;
}
