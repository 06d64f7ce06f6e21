/* SPDX-License-Identifier: MIT */
/*
 * grpc.c - gRPC's wire vocabulary. Called by the relay, the router and the health checks; must
 * not allocate, log or read a clock.
 */
#include "proxy/grpc.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "proxy/h2.h"

static const char *const status_names[GRPC_STATUS_COUNT] = {
	[GRPC_OK] = "OK",
	[GRPC_CANCELLED] = "CANCELLED",
	[GRPC_UNKNOWN] = "UNKNOWN",
	[GRPC_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
	[GRPC_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
	[GRPC_NOT_FOUND] = "NOT_FOUND",
	[GRPC_ALREADY_EXISTS] = "ALREADY_EXISTS",
	[GRPC_PERMISSION_DENIED] = "PERMISSION_DENIED",
	[GRPC_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
	[GRPC_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
	[GRPC_ABORTED] = "ABORTED",
	[GRPC_OUT_OF_RANGE] = "OUT_OF_RANGE",
	[GRPC_UNIMPLEMENTED] = "UNIMPLEMENTED",
	[GRPC_INTERNAL] = "INTERNAL",
	[GRPC_UNAVAILABLE] = "UNAVAILABLE",
	[GRPC_DATA_LOSS] = "DATA_LOSS",
	[GRPC_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

const char *grpc_status_name(int status)
{
	if (status < 0 || status >= GRPC_STATUS_COUNT)
		return "unknown";
	return status_names[status];
}

/* The number in 1 to max digits, or -EINVAL. max is at most 9, so that an int holds it. */
static int parse_digits(const char *text, size_t len, size_t max)
{
	int value = 0;

	if (len == 0 || len > max)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		value = value * 10 + (text[i] - '0');
	}
	return value;
}

int grpc_number_parse(const char *text, size_t len)
{
	return parse_digits(text, len, 9);
}

int grpc_status_parse(const char *text, size_t len)
{
	return grpc_number_parse(text, len);
}

/* From the largest to the smallest. */
static const struct {
	char unit;
	uint64_t ns;
} timeout_units[] = {
	{ 'H', 3600000000000ull }, { 'M', 60000000000ull }, { 'S', 1000000000ull },
	{ 'm', 1000000ull },	   { 'u', 1000ull },	    { 'n', 1ull },
};
#define N_UNITS (sizeof(timeout_units) / sizeof(timeout_units[0]))
#define TIMEOUT_VALUE_MAX 99999999ull

int grpc_timeout_parse(const char *text, size_t len, uint64_t *timeout_ns)
{
	int value;

	if (len < 2)
		return -EINVAL;
	value = parse_digits(text, len - 1, 8);
	if (value < 0)
		return -EINVAL;
	for (size_t i = 0; i < N_UNITS; i++) {
		if (timeout_units[i].unit != text[len - 1])
			continue;
		if (__builtin_mul_overflow((uint64_t)value, timeout_units[i].ns, timeout_ns))
			*timeout_ns = UINT64_MAX;
		return 0;
	}
	return -EINVAL;
}

size_t grpc_timeout_format(char text[GRPC_TIMEOUT_TEXT_MAX], uint64_t timeout_ns)
{
	uint64_t value = 0;
	char digits[8];
	size_t len = 0, n = 0, i;

	if (timeout_ns == 0)
		timeout_ns = 1;
	/* The smallest unit that fits is the closest. */
	for (i = N_UNITS; i-- > 0;) {
		value = timeout_ns / timeout_units[i].ns + (timeout_ns % timeout_units[i].ns != 0);
		if (value <= TIMEOUT_VALUE_MAX)
			break;
	}
	/* A larger one that says the same is shorter. */
	while (i > 0 && value % (timeout_units[i - 1].ns / timeout_units[i].ns) == 0) {
		value /= timeout_units[i - 1].ns / timeout_units[i].ns;
		i--;
	}
	for (; value; value /= 10)
		digits[n++] = (char)('0' + value % 10);
	while (n)
		text[len++] = digits[--n];
	text[len++] = timeout_units[i].unit;
	text[len] = '\0';
	return len;
}

size_t grpc_message_encode(char *dst, size_t size, const char *src, size_t len)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t at = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t byte = (uint8_t)src[i];
		bool plain = byte >= 0x20 && byte <= 0x7e && byte != '%';

		if (byte == ' ' && (i == 0 || i == len - 1))
			plain = false;
		if (at + (plain ? 1 : 3) >= size)
			break;
		if (plain) {
			dst[at++] = (char)byte;
			continue;
		}
		dst[at++] = '%';
		dst[at++] = hex[byte >> 4];
		dst[at++] = hex[byte & 15];
	}
	/* A cut must not leave a space at the end either. */
	while (at && dst[at - 1] == ' ')
		at--;
	dst[at] = '\0';
	return at;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

size_t grpc_message_decode(char *dst, size_t size, const char *src, size_t len)
{
	size_t at = 0;

	for (size_t i = 0; i < len && at + 1 < size; i++) {
		int high = -1, low = -1;

		if (src[i] == '%' && len - i > 2) {
			high = hex_value(src[i + 1]);
			low = hex_value(src[i + 2]);
		}
		if (high >= 0 && low >= 0) {
			dst[at++] = (char)(high << 4 | low);
			i += 2;
		} else {
			dst[at++] = src[i];
		}
	}
	dst[at] = '\0';
	return at;
}

bool grpc_content_type(const char *text, size_t len)
{
	static const char base[] = "application/grpc";
	const size_t base_len = sizeof(base) - 1;

	if (len < base_len || strncasecmp(text, base, base_len) != 0)
		return false;
	return len == base_len || text[base_len] == '+' || text[base_len] == ';';
}

enum grpc_status grpc_status_from_http(int http_status)
{
	switch (http_status) {
	case 400:
	case 431:
		return GRPC_INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

int grpc_status_to_http(int status)
{
	static const int http[GRPC_STATUS_COUNT] = {
		[GRPC_OK] = 200,	      [GRPC_CANCELLED] = 499,
		[GRPC_UNKNOWN] = 500,	      [GRPC_INVALID_ARGUMENT] = 400,
		[GRPC_DEADLINE_EXCEEDED] = 504, [GRPC_NOT_FOUND] = 404,
		[GRPC_ALREADY_EXISTS] = 409,  [GRPC_PERMISSION_DENIED] = 403,
		[GRPC_RESOURCE_EXHAUSTED] = 429, [GRPC_FAILED_PRECONDITION] = 400,
		[GRPC_ABORTED] = 409,	      [GRPC_OUT_OF_RANGE] = 400,
		[GRPC_UNIMPLEMENTED] = 501,   [GRPC_INTERNAL] = 500,
		[GRPC_UNAVAILABLE] = 503,     [GRPC_DATA_LOSS] = 500,
		[GRPC_UNAUTHENTICATED] = 401,
	};

	return status >= 0 && status < GRPC_STATUS_COUNT ? http[status] : 500;
}

enum grpc_status grpc_status_from_h2(uint32_t code)
{
	switch (code) {
	case H2_NO_ERROR:
	case H2_PROTOCOL_ERROR:
	case H2_INTERNAL_ERROR:
	case H2_FLOW_CONTROL_ERROR:
	case H2_SETTINGS_TIMEOUT:
	case H2_FRAME_SIZE_ERROR:
	case H2_COMPRESSION_ERROR:
	case H2_CONNECT_ERROR:
		return GRPC_INTERNAL;
	case H2_REFUSED_STREAM:
		return GRPC_UNAVAILABLE;
	case H2_CANCEL:
		return GRPC_CANCELLED;
	case H2_ENHANCE_YOUR_CALM:
		return GRPC_RESOURCE_EXHAUSTED;
	case H2_INADEQUATE_SECURITY:
		return GRPC_PERMISSION_DENIED;
	default:
		/* STREAM_CLOSED, HTTP_1_1_REQUIRED and codes yet unknown: the document maps none. */
		return GRPC_UNKNOWN;
	}
}

uint32_t grpc_status_to_h2(int status)
{
	switch (status) {
	case GRPC_OK:
		return H2_NO_ERROR;
	case GRPC_INTERNAL:
		return H2_INTERNAL_ERROR;
	default:
		return H2_CANCEL;
	}
}
