/* SPDX-License-Identifier: MIT */
/*
 * probe_call.c - a health check by a unary call, see probe.h. Called by probe.c with what the
 * connection brings. Beside a Watch that stands the same call only shows that the backend answers:
 * PINGs would do for that, but gRPC servers end connections that send more than a few.
 */
#include "monitor/probe_internal.h"
#include "shared/health_text.h"

void probe_call_submit(struct probe *probe)
{
	health_reply_init(&probe->reply);
	probe->request_at = 0;
	probe->stream = probe_submit(probe, probe->check->path, true);
}

/* The answer ended in order. */
void probe_call_end(struct probe *probe)
{
	struct health_result result = health_reply_judge(&probe->reply, probe->check);

	/* An answer before the end of the question: gRPC lets go of the stream like this. */
	if (probe->request_at < probe->request_len)
		h2_reset(probe->h2, probe->stream, H2_NO_ERROR);
	probe->used = true;
	probe_finish(probe, probe_stands(probe) ? PROBE_ALIVE : PROBE_CHECKED, result);
}

void probe_call_headers(struct probe *probe, const struct h2_header *headers, size_t n, bool end)
{
	health_reply_headers(&probe->reply, headers, n);
	if (end)
		probe_call_end(probe);
}

void probe_call_closed(struct probe *probe, uint32_t code, bool unprocessed, bool by_peer)
{
	const struct health_result reset = { SLUICE_REASON_RESET, code };
	const struct health_result nonsense = { SLUICE_REASON_PROTOCOL, HEALTH_NOT_HTTP2 };

	probe->stream = 0;
	if (probe_stands(probe)) {
		probe_finish(probe, PROBE_ALIVE, reset);
		return;
	}
	if (unprocessed && probe_retry(probe))
		return;
	probe_finish(probe, PROBE_CHECKED, by_peer ? reset : nonsense);
}
