/* SPDX-License-Identifier: MIT */
/*
 * probe_watch.c - a standing Watch of grpc.health.v1, see probe.h. Called by probe.c with what the
 * connection brings. Messages are read one by one out of the stream's bytes; a backend that has no
 * Watch is asked by calls from there on, as long as the connection holds.
 */
#include <string.h>

#include "monitor/probe_internal.h"
#include "proxy/grpc.h"
#include "shared/health_text.h"

#define WATCH_PATH   "/grpc.health.v1.Health/Watch"
#define FRAME_HEADER 5
#define SERVING	     1

void probe_watch_submit(struct probe *probe)
{
	health_reply_init(&probe->watch_reply);
	probe->told = false;
	probe->watch_at = 0;
	probe->watch = probe_submit(probe, WATCH_PATH, false);
}

/* The Watch is over. What stood counts as a check that failed. */
static void watch_lost(struct probe *probe, struct health_result result)
{
	probe->watch = 0;
	probe->told = false;
	if (probe->stream)
		h2_reset(probe->h2, probe->stream, H2_CANCEL);
	probe_finish(probe, PROBE_CHECKED, result);
}

static void watch_broken(struct probe *probe)
{
	h2_reset(probe->h2, probe->watch, H2_CANCEL);
	watch_lost(probe, (struct health_result){ SLUICE_REASON_PROTOCOL, HEALTH_BAD_MESSAGE });
}

/* A whole frame of len bytes. False: the Watch ended with it. */
static bool watch_message(struct probe *probe, const uint8_t *frame, size_t len)
{
	int64_t status = health_response_parse(frame, len);
	struct health_result result = { SLUICE_REASON_NONE, 0 };

	if (status < 0) {
		watch_broken(probe);
		return false;
	}
	if (status != SERVING)
		result = (struct health_result){ SLUICE_REASON_NOT_SERVING, (uint32_t)status };
	probe->used = true;
	if (probe->told) {
		probe->on_done(probe, PROBE_TOLD, result);
	} else {
		probe->told = true;
		probe_finish(probe, PROBE_TOLD, result);
	}
	return true;
}

void probe_watch_data(struct probe *probe, const uint8_t *data, size_t size)
{
	struct health_reply *reply = &probe->watch_reply;

	while (size) {
		size_t room = sizeof(reply->body) - reply->body_len, n = size < room ? size : room;
		size_t len = 0;

		health_reply_data(reply, data, n);
		data += n;
		size -= n;
		while (reply->body_len >= FRAME_HEADER) {
			const uint8_t *body = reply->body;

			len = FRAME_HEADER + ((size_t)body[1] << 24 | (size_t)body[2] << 16 |
					      (size_t)body[3] << 8 | body[4]);
			if (len > reply->body_len)
				break;
			if (!watch_message(probe, body, len) || !probe->watch)
				return;
			reply->body_len -= (uint32_t)len;
			memmove(reply->body, reply->body + len, reply->body_len);
		}
		if (len > sizeof(reply->body)) {
			watch_broken(probe);
			return;
		}
	}
}

static struct health_result judge_end(const struct health_reply *reply)
{
	if (reply->grpc_status > 0)
		return (struct health_result){ SLUICE_REASON_GRPC_STATUS,
					       (uint32_t)reply->grpc_status };
	if (reply->grpc_status == GRPC_OK)
		return (struct health_result){ SLUICE_REASON_PROTOCOL, HEALTH_WATCH_ENDED };
	if (reply->http_status > 0 && reply->http_status != 200)
		return (struct health_result){ SLUICE_REASON_HTTP_STATUS,
					       (uint32_t)reply->http_status };
	return (struct health_result){ SLUICE_REASON_PROTOCOL, HEALTH_NO_GRPC_STATUS };
}

void probe_watch_end(struct probe *probe)
{
	if (probe->watch_at < probe->request_len)
		h2_reset(probe->h2, probe->watch, H2_NO_ERROR);
	probe->used = true;
	if (!probe->told && probe->watch_reply.grpc_status == GRPC_UNIMPLEMENTED) {
		probe->watch = 0;
		probe->watch_refused = true;
		probe_ask(probe);
		return;
	}
	watch_lost(probe, judge_end(&probe->watch_reply));
}

void probe_watch_headers(struct probe *probe, const struct h2_header *headers, size_t n, bool end)
{
	health_reply_headers(&probe->watch_reply, headers, n);
	if (end)
		probe_watch_end(probe);
}

void probe_watch_closed(struct probe *probe, uint32_t code, bool unprocessed, bool by_peer)
{
	const struct health_result reset = { SLUICE_REASON_RESET, code };
	const struct health_result nonsense = { SLUICE_REASON_PROTOCOL, HEALTH_NOT_HTTP2 };
	bool stood = probe->told;

	probe->watch = 0;
	if (unprocessed && !stood && probe_retry(probe))
		return;
	watch_lost(probe, by_peer ? reset : nonsense);
}
