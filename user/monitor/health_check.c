/* SPDX-License-Identifier: MIT */
/*
 * health_check.c - the judgement of health checks: thresholds, cadence, the request's and the
 * answer's bytes. Called by probe.c (one check) and health.c (the run of them); must not do I/O.
 */
#include "monitor/health_check.h"

#include <errno.h>
#include <string.h>

#include "base/loop.h"
#include "base/protobuf.h"
#include "proxy/grpc.h"
#include "shared/health_text.h"

#define FRAME_HEADER 5
#define SERVING	     1

bool health_verdict_update(struct health_verdict *verdict, const struct health_result *result,
			   const struct config_health_check *check)
{
	bool ok = result->reason == SLUICE_REASON_NONE;
	enum sluice_health next = ok ? SLUICE_HEALTH_UP : SLUICE_HEALTH_DOWN;
	uint32_t threshold = ok ? check->healthy_threshold : check->unhealthy_threshold;

	if (verdict->health == next) {
		verdict->run = 0;
		return false;
	}
	if (verdict->health == SLUICE_HEALTH_UNKNOWN &&
	    (ok || result->reason == SLUICE_REASON_TIMEOUT))
		threshold = 1;
	if (++verdict->run < threshold)
		return false;
	verdict->health = next;
	verdict->run = 0;
	return true;
}

bool health_verdict_told(struct health_verdict *verdict, const struct health_result *result)
{
	enum sluice_health next = result->reason == SLUICE_REASON_NONE ? SLUICE_HEALTH_UP :
									 SLUICE_HEALTH_DOWN;
	bool changed = verdict->health != next;

	verdict->health = next;
	verdict->run = 0;
	return changed;
}

#define WATCH_RETRY_NS (50 * NS_PER_MS)

uint64_t health_watch_delay_ns(uint32_t failures, const struct config_health_check *check,
			       uint64_t random)
{
	uint64_t interval_ns = check->interval_ms * NS_PER_MS;
	uint64_t delay_ns = WATCH_RETRY_NS;

	while (failures-- > 1 && delay_ns < interval_ns)
		delay_ns *= 2;
	return loop_jittered(delay_ns < interval_ns ? delay_ns : interval_ns, random);
}

#define FAST_MAX_NS (200 * NS_PER_MS)
#define FAST_MIN_NS NS_PER_MS

uint64_t health_next_delay_ns(const struct health_verdict *verdict,
			      const struct config_health_check *check, uint64_t random)
{
	uint64_t interval_ns = check->interval_ms * NS_PER_MS;
	uint64_t delay_ns = interval_ns;

	if (verdict->health == SLUICE_HEALTH_UNKNOWN && verdict->run) {
		/* All that are missing fit into what the first checks' spread leaves. */
		delay_ns = interval_ns / 2 / (check->unhealthy_threshold + 1);
		if (delay_ns > FAST_MAX_NS)
			delay_ns = FAST_MAX_NS;
		if (delay_ns < FAST_MIN_NS)
			delay_ns = FAST_MIN_NS;
	}
	return loop_jittered(delay_ns, random);
}

#define SPREAD_STEP_NS NS_PER_MS
#define SPREAD_MAX_NS  NS_PER_S

uint64_t health_first_delay_ns(uint32_t index, uint32_t n, const struct config_health_check *check)
{
	uint64_t window_ns = n * SPREAD_STEP_NS;

	if (window_ns > SPREAD_MAX_NS)
		window_ns = SPREAD_MAX_NS;
	if (window_ns > check->interval_ms * NS_PER_MS / 2)
		window_ns = check->interval_ms * NS_PER_MS / 2;
	return n ? window_ns * index / n : 0;
}

size_t health_request_build(uint8_t buf[HEALTH_REQUEST_MAX],
			    const struct config_health_check *check)
{
	size_t service_len = check->standard_path ? strlen(check->service) : 0;
	size_t at = FRAME_HEADER;

	if (service_len > HEALTH_SERVICE_MAX)
		service_len = HEALTH_SERVICE_MAX;
	if (service_len) {
		buf[at++] = 1 << 3 | 2; /* field 1, length-delimited */
		if (service_len < 0x80) {
			buf[at++] = (uint8_t)service_len;
		} else {
			buf[at++] = (uint8_t)(service_len | 0x80);
			buf[at++] = (uint8_t)(service_len >> 7);
		}
		memcpy(buf + at, check->service, service_len);
		at += service_len;
	}
	memset(buf, 0, 3);
	buf[3] = (uint8_t)((at - FRAME_HEADER) >> 8);
	buf[4] = (uint8_t)(at - FRAME_HEADER);
	return at;
}

void health_reply_init(struct health_reply *reply)
{
	reply->http_status = 0;
	reply->grpc_status = -1;
	reply->overlong = false;
	reply->body_len = 0;
	reply->message[0] = '\0';
}

static bool name_is(const struct h2_header *header, const char *name)
{
	return header->name_len == strlen(name) && memcmp(header->name, name, header->name_len) == 0;
}

void health_reply_headers(struct health_reply *reply, const struct h2_header *headers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct h2_header *header = &headers[i];

		if (name_is(header, ":status"))
			reply->http_status = grpc_status_parse(header->value, header->value_len);
		else if (name_is(header, "grpc-status"))
			reply->grpc_status = grpc_status_parse(header->value, header->value_len);
		else if (name_is(header, "grpc-message"))
			grpc_message_decode(reply->message, sizeof(reply->message), header->value,
					    header->value_len);
	}
}

void health_reply_data(struct health_reply *reply, const uint8_t *data, size_t size)
{
	if (size > sizeof(reply->body) - reply->body_len) {
		size = sizeof(reply->body) - reply->body_len;
		reply->overlong = true;
	}
	memcpy(reply->body + reply->body_len, data, size);
	reply->body_len += (uint32_t)size;
}

int64_t health_response_parse(const uint8_t *body, size_t len)
{
	struct protobuf_field field;
	size_t at = FRAME_HEADER;
	uint64_t status = 0;
	int ret;

	/* body[0]: compressed, which was not offered. */
	if (len < FRAME_HEADER || body[0] != 0 ||
	    ((size_t)body[1] << 24 | (size_t)body[2] << 16 | (size_t)body[3] << 8 | body[4]) !=
		    len - FRAME_HEADER)
		return -EBADMSG;
	while ((ret = protobuf_next(body, len, &at, &field)) > 0)
		if (field.number == 1 && field.kind == PROTOBUF_VARINT)
			status = field.value;
	if (ret < 0)
		return ret;
	/* An enum takes an int32; what is outside is no status anybody defined. */
	return status <= INT32_MAX ? (int64_t)status : INT32_MAX;
}

struct health_result health_reply_judge(const struct health_reply *reply,
					const struct config_health_check *check)
{
	int64_t serving;

	/* A grpc-status counts whatever the HTTP status; without one nothing is made up. */
	if (reply->grpc_status < 0) {
		if (reply->http_status > 0 && reply->http_status != 200)
			return (struct health_result){ SLUICE_REASON_HTTP_STATUS,
						       (uint32_t)reply->http_status };
		return (struct health_result){ SLUICE_REASON_PROTOCOL, HEALTH_NO_GRPC_STATUS };
	}
	if (reply->grpc_status > 63 || !(check->codes >> reply->grpc_status & 1))
		return (struct health_result){ SLUICE_REASON_GRPC_STATUS,
					       (uint32_t)reply->grpc_status };
	if (!check->standard_path || reply->grpc_status != GRPC_OK)
		return (struct health_result){ SLUICE_REASON_NONE, 0 };

	serving = reply->overlong ? -EBADMSG : health_response_parse(reply->body, reply->body_len);
	if (serving < 0)
		return (struct health_result){ SLUICE_REASON_PROTOCOL, HEALTH_BAD_MESSAGE };
	if (serving != SERVING)
		return (struct health_result){ SLUICE_REASON_NOT_SERVING, (uint32_t)serving };
	return (struct health_result){ SLUICE_REASON_NONE, 0 };
}
