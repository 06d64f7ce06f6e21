/* SPDX-License-Identifier: MIT */
/*
 * health_text.c - health states and reasons in words. One place, so that the log, sluicectl and
 * docs/HEALTH.md say the same. Must not depend on anything that does I/O.
 */
#include "shared/health_text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const char *health_state_name(uint32_t health)
{
	switch (health) {
	case SLUICE_HEALTH_UP:
		return "up";
	case SLUICE_HEALTH_DOWN:
		return "down";
	default:
		return "unknown";
	}
}

const char *health_codes_text(uint64_t codes, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (unsigned first = 0; first < 64; first++) {
		unsigned last = first;
		char text[16];
		int len;

		if (!(codes >> first & 1))
			continue;
		while (last < 63 && codes >> (last + 1) & 1)
			last++;
		if (first == last)
			len = snprintf(text, sizeof(text), "%s%u", at ? "," : "", first);
		else
			len = snprintf(text, sizeof(text), "%s%u-%u", at ? "," : "", first, last);
		if (at + (size_t)len >= size)
			break;
		memcpy(buf + at, text, (size_t)len + 1);
		at += (size_t)len;
		first = last;
	}
	return buf;
}

/* RFC 9113 section 7; here because this folder may not ask the HTTP/2 engine. */
static const char *const reset_names[] = {
	"NO_ERROR",	    "PROTOCOL_ERROR",	   "INTERNAL_ERROR",	"FLOW_CONTROL_ERROR",
	"SETTINGS_TIMEOUT", "STREAM_CLOSED",	   "FRAME_SIZE_ERROR",	"REFUSED_STREAM",
	"CANCEL",	    "COMPRESSION_ERROR",   "CONNECT_ERROR",	"ENHANCE_YOUR_CALM",
	"INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
};

static const char *const serving_names[] = { "UNKNOWN", "SERVING", "NOT_SERVING",
					     "SERVICE_UNKNOWN" };

static const char *const protocol_texts[] = {
	[HEALTH_NOT_HTTP2] = "the answer is not HTTP/2",
	[HEALTH_NO_GRPC_STATUS] = "the answer has no grpc-status",
	[HEALTH_BAD_MESSAGE] = "the answer is no HealthCheckResponse",
	[HEALTH_WATCH_ENDED] = "the backend ended the Watch",
};

#define NAME_OF(table, n) ((n) < sizeof(table) / sizeof((table)[0]) ? (table)[n] : "unknown")

const char *health_reason_text(uint32_t reason, uint32_t detail, uint64_t codes, char *buf,
			       size_t size)
{
	char want[160];

	buf[0] = '\0';
	switch (reason) {
	case SLUICE_REASON_NONE:
		break;
	case SLUICE_REASON_CONNECT:
		snprintf(buf, size, "%s", strerror((int)detail));
		buf[0] = (char)tolower((unsigned char)buf[0]);
		break;
	case SLUICE_REASON_TIMEOUT:
		if (detail % 1000 == 0)
			snprintf(buf, size, "timeout after %us", detail / 1000);
		else
			snprintf(buf, size, "timeout after %ums", detail);
		break;
	case SLUICE_REASON_RESET:
		snprintf(buf, size, "reset with %s", NAME_OF(reset_names, detail));
		break;
	case SLUICE_REASON_DISCONNECT:
		snprintf(buf, size, "connection closed before the answer");
		break;
	case SLUICE_REASON_GRPC_STATUS:
		snprintf(buf, size, "grpc-status %u, want %s", detail,
			 health_codes_text(codes, want, sizeof(want)));
		break;
	case SLUICE_REASON_HTTP_STATUS:
		snprintf(buf, size, "HTTP status %u without grpc-status, want 200", detail);
		break;
	case SLUICE_REASON_NOT_SERVING:
		snprintf(buf, size, "serving status %s, want SERVING",
			 NAME_OF(serving_names, detail));
		break;
	case SLUICE_REASON_PROTOCOL:
		snprintf(buf, size, "%s", NAME_OF(protocol_texts, detail));
		break;
	case SLUICE_REASON_FORCED:
		snprintf(buf, size, "forced by command");
		break;
	case SLUICE_REASON_TLS:
		snprintf(buf, size, "TLS handshake failed");
		break;
	default:
		snprintf(buf, size, "unknown reason %u", reason);
		break;
	}
	return buf;
}
