/* SPDX-License-Identifier: MIT */
/*
 * fuzz_grpc.c - gRPC's wire vocabulary against any bytes: nothing reads past its end, what was
 * encoded decodes to itself, and a timeout never grows shorter by being written.
 */
#include <stdlib.h>
#include <string.h>

#include "proxy/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void message_round_trip(const char *text, size_t len)
{
	size_t room = len * 3 + 1, encoded_len, decoded_len, i;
	char *encoded = malloc(room), *decoded = malloc(room);

	encoded_len = grpc_message_encode(encoded, room, text, len);
	for (i = 0; i < encoded_len; i++)
		require(encoded[i] >= 0x20 && encoded[i] <= 0x7e);
	decoded_len = grpc_message_decode(decoded, room, encoded, encoded_len);
	require(decoded_len == len && memcmp(decoded, text, len) == 0);
	grpc_message_decode(decoded, room, text, len);
	if (len) {
		grpc_message_encode(encoded, len, text, len);
		grpc_message_decode(decoded, len, text, len);
	}
	free(encoded);
	free(decoded);
}

static void timeout_round_trip(const char *text, size_t len)
{
	char written[GRPC_TIMEOUT_TEXT_MAX];
	uint64_t first, second;

	if (grpc_timeout_parse(text, len, &first) != 0)
		return;
	len = grpc_timeout_format(written, first);
	require(grpc_timeout_parse(written, len, &second) == 0);
	/* Eight digits of hours end before 2^64 ns do not: the form saturates, as parsing does. */
	require(second >= first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of its own, so that reading past the end is seen. */
	char *text = malloc(size ? size : 1);

	if (size)
		memcpy(text, data, size);
	grpc_status_name(grpc_status_parse(text, size));
	grpc_content_type(text, size);
	timeout_round_trip(text, size);
	message_round_trip(text, size);
	free(text);
	return 0;
}
