/* SPDX-License-Identifier: MIT */
/*
 * probe.c - one backend's health checks over h2.h. The connection stays open between checks, so a
 * check costs one round trip; it is given up when it broke, when the peer announced its end, and
 * whenever a check on it timed out (a half-open connection looks just like that).
 *
 * A check that fails because an old connection had died unnoticed, or that the peer certainly did
 * not process, is begun anew once on a fresh connection: it says nothing of the backend yet.
 */
#include "monitor/probe.h"

#include <errno.h>
#include <string.h>

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

/* Ends the check from within a callback of the loop. */
static void probe_finish(struct probe *probe, enum sluice_health_reason reason, uint32_t detail)
{
	struct health_result result = { reason, detail };

	probe->stream = 0;
	if (probe->retire)
		probe_disconnect(probe);
	probe->busy = false;
	loop_timer_cancel(probe->loop, &probe->timeout);
	probe->on_done(probe, result, false);
}

/* Is this machine itself unable to make the check? */
static bool errno_is_local(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS;
}

static void on_finish(struct loop_task *task)
{
	struct probe *probe = container_of(task, struct probe, finish);

	probe->busy = false;
	loop_timer_cancel(probe->loop, &probe->timeout);
	probe->on_done(probe, probe->result, probe->failed_local);
}

/* The check could not even begin; the owner hears of it when the turn ends. */
static void probe_fail_later(struct probe *probe, int err)
{
	probe->failed_local = errno_is_local(err);
	probe->result = (struct health_result){ SLUICE_REASON_CONNECT, (uint32_t)err };
	loop_defer(probe->loop, &probe->finish);
}

/* Begins the check anew where that is fair. False: the failure counts. */
static bool probe_retry(struct probe *probe)
{
	if (probe->retried)
		return false;
	probe->retried = true;
	probe->stream = 0;
	probe_disconnect(probe);
	probe_connect(probe);
	return true;
}

static void probe_submit(struct probe *probe)
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
		HEADER(":scheme", "http"),
		HEADER(":path", probe->check->path),
		HEADER(":authority", probe->authority),
		HEADER("grpc-timeout", timeout),
		HEADER("content-type", "application/grpc"),
		HEADER("te", "trailers"),
		HEADER("user-agent", "sluice-health"),
	};
#undef HEADER

	health_reply_init(&probe->reply);
	probe->request_at = 0;
	id = h2_submit_request(probe->h2, headers, sizeof(headers) / sizeof(headers[0]), false,
			       probe);
	if (id > 0) {
		probe->stream = id;
		return;
	}
	if (id == -EAGAIN) /* on_capacity goes on, or the timeout ends it */
		return;
	if (id == -EPIPE && probe_retry(probe))
		return;
	probe_fail_later(probe, id == -EPIPE ? ECONNRESET : -id);
}

static void on_up(struct h2 *h2)
{
	struct probe *probe = h2_user(h2);

	if (probe->busy && !probe->stream)
		probe_submit(probe);
}

static void on_capacity(struct h2 *h2)
{
	struct probe *probe = h2_user(h2);

	if (probe->busy && !probe->stream && !probe->finish.queued && h2_capacity(h2) > 0)
		probe_submit(probe);
}

/* The stream's answer ended in order. */
static void probe_judge(struct probe *probe)
{
	struct health_result result = health_reply_judge(&probe->reply, probe->check);

	/* An answer before the end of the question: gRPC lets go of the stream like this. */
	if (probe->request_at < probe->request_len)
		h2_reset(probe->h2, probe->stream, H2_NO_ERROR);
	probe->used = true;
	probe_finish(probe, result.reason, result.detail);
}

static bool is_current(const struct probe *probe, int32_t id)
{
	return probe->busy && probe->stream == id;
}

static void on_headers(struct h2 *h2, int32_t id, enum h2_block block,
		       const struct h2_header *headers, size_t n, bool end)
{
	struct probe *probe = h2_user(h2);

	if (!is_current(probe, id) || block == H2_BLOCK_INFORMATIONAL)
		return;
	health_reply_headers(&probe->reply, headers, n);
	if (end)
		probe_judge(probe);
}

static void on_data(struct h2 *h2, int32_t id, const uint8_t *data, size_t size)
{
	struct probe *probe = h2_user(h2);

	/* Whatever a custom method streams is let through until the timeout. */
	h2_credit(h2, id, size);
	if (is_current(probe, id))
		health_reply_data(&probe->reply, data, size);
}

static void on_end(struct h2 *h2, int32_t id)
{
	struct probe *probe = h2_user(h2);

	if (is_current(probe, id))
		probe_judge(probe);
}

static void on_stream_closed(struct h2 *h2, int32_t id, uint32_t code, bool unprocessed,
			     bool by_peer)
{
	struct probe *probe = h2_user(h2);

	if (!is_current(probe, id))
		return;
	probe->stream = 0;
	if (unprocessed && probe_retry(probe))
		return;
	probe_finish(probe, by_peer ? SLUICE_REASON_RESET : SLUICE_REASON_PROTOCOL,
		     by_peer ? code : HEALTH_NOT_HTTP2);
}

static size_t on_pull(struct h2 *h2, int32_t id, uint8_t *dst, size_t size, bool *end)
{
	struct probe *probe = h2_user(h2);
	size_t n;

	if (!is_current(probe, id)) {
		*end = true;
		return 0;
	}
	n = probe->request_len - probe->request_at;
	if (n > size)
		n = size;
	memcpy(dst, probe->request + probe->request_at, n);
	probe->request_at += (uint32_t)n;
	*end = probe->request_at == probe->request_len;
	return n;
}

static void on_goaway(struct h2 *h2, int32_t last_id, uint32_t code)
{
	struct probe *probe = h2_user(h2);

	probe->retire = true;
	if (!probe->busy)
		probe_disconnect(probe);
	else if (!probe->stream && !probe->finish.queued && !probe_retry(probe))
		probe_finish(probe, SLUICE_REASON_RESET, code);
}

static void on_down(struct h2 *h2, enum h2_down why, int err, const char *text)
{
	struct probe *probe = h2_user(h2);
	bool used = probe->used;

	probe->h2 = NULL;
	probe->stream = 0;
	if (!probe->busy || probe->finish.queued)
		return;
	switch (why) {
	case H2_DOWN_CONNECT:
		if (err == ETIMEDOUT)
			break;
		if (errno_is_local(err))
			probe_fail_later(probe, err);
		else
			probe_finish(probe, SLUICE_REASON_CONNECT, (uint32_t)err);
		return;
	case H2_DOWN_PROTOCOL:
	case H2_DOWN_PINGS:
		probe_finish(probe, SLUICE_REASON_PROTOCOL, HEALTH_NOT_HTTP2);
		return;
	case H2_DOWN_CLOSED:
	case H2_DOWN_TLS:
		/* Nothing had come on a connection that had worked: it was stale. */
		if (used && probe->reply.http_status == 0 && probe_retry(probe))
			return;
		probe_finish(probe, SLUICE_REASON_DISCONNECT, 0);
		return;
	case H2_DOWN_KEEPALIVE:
	case H2_DOWN_SETTINGS:
		break;
	}
	probe_finish(probe, SLUICE_REASON_TIMEOUT, probe->check->timeout_ms);
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

	probe->stream = 0;
	probe_disconnect(probe);
	probe_finish(probe, SLUICE_REASON_TIMEOUT, probe->check->timeout_ms);
}

static void probe_connect(struct probe *probe)
{
	int err = 0;

	health_reply_init(&probe->reply);
	probe->h2 = h2_connect(probe->loop, &probe->to, NULL, NULL, &probe_options,
			       &probe_events, probe, &err);
	if (!probe->h2)
		probe_fail_later(probe, err < 0 ? -err : err);
}

void probe_init(struct probe *probe, struct loop *loop,
		void (*on_done)(struct probe *probe, struct health_result result, bool local))
{
	memset(probe, 0, sizeof(*probe));
	probe->loop = loop;
	probe->on_done = on_done;
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
	probe->failed_local = false;
	probe->request_len = (uint32_t)health_request_build(probe->request, probe->check);
	probe->deadline_ns = loop_now(probe->loop) + probe->check->timeout_ms * NS_PER_MS;
	if (loop_timer_set(probe->loop, &probe->timeout, probe->check->timeout_ms * NS_PER_MS) < 0) {
		probe_fail_later(probe, ENOMEM);
		return;
	}
	if (!probe->h2)
		probe_connect(probe);
	else if (h2_is_up(probe->h2))
		probe_submit(probe);
}

void probe_cancel(struct probe *probe)
{
	if (probe->stream) {
		h2_reset(probe->h2, probe->stream, H2_CANCEL);
		probe->stream = 0;
	}
	loop_timer_cancel(probe->loop, &probe->timeout);
	loop_defer_cancel(&probe->finish);
	probe->busy = false;
}

void probe_disconnect(struct probe *probe)
{
	if (probe->h2)
		h2_close(probe->h2, H2_NO_ERROR);
	probe->h2 = NULL;
	probe->stream = 0;
	probe->used = false;
	probe->retire = false;
}
