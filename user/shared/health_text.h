/* SPDX-License-Identifier: MIT */
/*
 * health_text.h - the words of a health state for people: the monitor logs them, the control socket
 * shows them. Pure: needs only what the backends map holds and the group's codes.
 */
#ifndef SLUICE_SHARED_HEALTH_TEXT_H
#define SLUICE_SHARED_HEALTH_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/abi.h"

/* sluice_backend.health_detail where health_reason is SLUICE_REASON_PROTOCOL. */
enum health_protocol_detail {
	HEALTH_NOT_HTTP2 = 0,
	HEALTH_NO_GRPC_STATUS = 1,
	HEALTH_BAD_MESSAGE = 2,
	HEALTH_WATCH_ENDED = 3,
};

/* Room for the longest text: a grpc-status with every second code wanted. */
#define HEALTH_TEXT_MAX 256

/* "unknown", "up", "down". Never NULL. */
const char *health_state_name(uint32_t health);
/* The codes of config_health_check.codes as "0,4-5,12". Cut where size ends; returns buf. */
const char *health_codes_text(uint64_t codes, char *buf, size_t size);
/* Why the last failed check failed: "connection refused", "grpc-status 14, want 0,12",
 * "timeout after 5s"; "" for SLUICE_REASON_NONE. size > 0, HEALTH_TEXT_MAX is enough; returns buf. */
const char *health_reason_text(uint32_t reason, uint32_t detail, uint64_t codes, char *buf,
			       size_t size);

#endif
