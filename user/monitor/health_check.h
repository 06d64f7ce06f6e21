/* SPDX-License-Identifier: MIT */
/*
 * health_check.h - what one health check asks, how its answer is judged, and what a run of results
 * makes of a backend. Pure: no I/O, no clock, no allocation; probe.c and health.c drive it. Meaning
 * and reasons: docs/HEALTH.md.
 */
#ifndef SLUICE_MONITOR_HEALTH_CHECK_H
#define SLUICE_MONITOR_HEALTH_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "proxy/h2.h"
#include "sluice/abi.h"

/* What one check found: reason SLUICE_REASON_NONE is a success. */
struct health_result {
	enum sluice_health_reason reason;
	uint32_t detail; /* as abi.h says for each reason */
};

/* The state of one backend over its checks. Zeroed: no verdict yet. */
struct health_verdict {
	enum sluice_health health;
	uint32_t run; /* results in a row that speak against health */
};

/* Takes the result of one check; true where health changed. The first success makes UP. Without a
 * verdict, DOWN takes unhealthy_threshold failures (which come fast: health_next_delay_ns) or one
 * timeout, which is long enough a proof. */
bool health_verdict_update(struct health_verdict *verdict, const struct health_result *result,
			   const struct config_health_check *check);

/* From the start of one check to the start of the next: the interval ±10 %, or while there is no
 * verdict but a failure, short enough that the verdict comes within the first interval. */
uint64_t health_next_delay_ns(const struct health_verdict *verdict,
			      const struct config_health_check *check, uint64_t random);
/* A word of the backend itself (Watch): holds at once. True where health changed. */
bool health_verdict_told(struct health_verdict *verdict, const struct health_result *result);
/* From the loss of a Watch, or a failure to begin one, to the next try: failures in a row (from 1)
 * double it, up to the interval; ±10 %. */
uint64_t health_watch_delay_ns(uint32_t failures, const struct config_health_check *check,
			       uint64_t random);
/* When the index-th of n new targets is checked first: at once, but many are spread over at most
 * half an interval and at most a second. */
uint64_t health_first_delay_ns(uint32_t index, uint32_t n, const struct config_health_check *check);

/* A gRPC frame with a HealthCheckRequest: its header, a tag, a length of two bytes, the name. */
#define HEALTH_REQUEST_MAX (5 + 1 + 2 + HEALTH_SERVICE_MAX)
/* The request's body into buf; its length. With the standard path and a service: a
 * HealthCheckRequest with that name; else an empty message. */
size_t health_request_build(uint8_t buf[HEALTH_REQUEST_MAX],
			    const struct config_health_check *check);

/* The answer as it comes in. A HealthCheckResponse takes 7 bytes; the rest is for unknown fields. */
#define HEALTH_REPLY_MAX 256
struct health_reply {
	int http_status; /* 0: no header block yet */
	int grpc_status; /* -1: none yet; -EINVAL: not a number */
	bool overlong;
	uint32_t body_len;
	uint8_t body[HEALTH_REPLY_MAX];
	char message[128]; /* grpc-message, decoded and cut; untrusted bytes */
};

void health_reply_init(struct health_reply *reply);
/* One header block: of the response, or its trailers. Informational ones are not for here. */
void health_reply_headers(struct health_reply *reply, const struct h2_header *headers, size_t n);
void health_reply_data(struct health_reply *reply, const uint8_t *data, size_t size);
/* Once the answer has ended in order. */
struct health_result health_reply_judge(const struct health_reply *reply,
					const struct config_health_check *check);

/* The status field of the HealthCheckResponse in a body of exactly one uncompressed gRPC frame, or
 * -EBADMSG. Unknown fields are skipped. */
int64_t health_response_parse(const uint8_t *body, size_t len);

#endif
