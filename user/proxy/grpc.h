/* SPDX-License-Identifier: MIT */
/*
 * grpc.h - gRPC's wire vocabulary over HTTP/2: status codes and their names, grpc-timeout,
 * grpc-message, content-type, and the mappings of gRPC's PROTOCOL-HTTP2.md and
 * http-grpc-status-mapping.md. Pure functions: no I/O, no allocation, no clock. Texts are given
 * with their lengths and need no NUL.
 */
#ifndef SLUICE_PROXY_GRPC_H
#define SLUICE_PROXY_GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum grpc_status {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
};
#define GRPC_STATUS_COUNT 17

/* "UNAVAILABLE"; "unknown" for numbers outside 0..16. Never NULL. */
const char *grpc_status_name(int status);
/* The value of a grpc-status field: its number (numbers above 16 too), or -EINVAL where it is
 * empty, has anything but digits, or more than 9 of them. */
int grpc_status_parse(const char *text, size_t len);

/* A whole number of 1 to 9 digits and nothing else, or -EINVAL. */
int grpc_number_parse(const char *text, size_t len);

/* Room for the longest grpc-timeout and its NUL. */
#define GRPC_TIMEOUT_TEXT_MAX 10
/* 1 to 8 digits and one of H M S m u n, as nanoseconds; saturates at UINT64_MAX. A timeout of 0 is
 * valid and has already expired. 0, or -EINVAL with *timeout_ns untouched. */
int grpc_timeout_parse(const char *text, size_t len, uint64_t *timeout_ns);
/* The shortest value that is not less than timeout_ns and as close to it as 8 digits allow; at
 * least "1n", so that a rest of time never turns into none. Writes a NUL; the length without it. */
size_t grpc_timeout_format(char text[GRPC_TIMEOUT_TEXT_MAX], uint64_t timeout_ns);

/* Percent-encodes a message for grpc-message: bytes outside 0x20..0x7e and '%' become %XX, and so do
 * spaces at either end, which HTTP/2 forbids there. Stops before the first byte whose form has no room,
 * never inside an escape. Writes a NUL (size > 0); the length without it. */
size_t grpc_message_encode(char *dst, size_t size, const char *src, size_t len);
/* The reverse; broken escapes stay as they stand, as gRPC demands. The result is bytes, not text:
 * whoever prints it escapes it. dst may be src. Cut at size - 1. Writes a NUL; the length without it. */
size_t grpc_message_decode(char *dst, size_t size, const char *src, size_t len);

/* application/grpc, application/grpc+NAME, either with ;parameters. Not application/grpc-web. */
bool grpc_content_type(const char *text, size_t len);

/* The status a client sees for a response without grpc-status. */
enum grpc_status grpc_status_from_http(int http_status);
/* The HTTP status for a request that is not gRPC, as google/rpc/code.proto maps them. */
int grpc_status_to_http(int status);
/* The status a client sees for a stream that ended by RST_STREAM with this code (enum h2_error). */
enum grpc_status grpc_status_from_h2(uint32_t code);
/* The code to reset the upstream stream with, when its call was answered with status here: NO_ERROR
 * after OK, INTERNAL_ERROR where the backend's bytes made no sense (13), else CANCEL. */
uint32_t grpc_status_to_h2(int status);

#endif
