/* SPDX-License-Identifier: MIT */
/*
 * test_h2_hpack.c - header blocks there and back: what is to go out verbatim does, at any place and
 * length, leaves the table as it was, and arrives as never indexed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "proxy/h2_session.h"

static struct h2_codec *encoder, *decoder;

static int setup(void **state)
{
	encoder = decoder = NULL;
	return 0;
}

static int teardown(void **state)
{
	h2_hpack_free_encoder(encoder);
	h2_hpack_free_decoder(decoder);
	h2_fields_pool_trim();
	return 0;
}

/* Bytes of the block; all fields came back as they were. */
static size_t round_trip(const struct h2_header *headers, size_t n)
{
	size_t bound = h2_hpack_bound(headers, n), got_n;
	uint8_t *bytes = malloc(bound); /* of its own, so that writing past the bound is seen */
	struct h2_fields *block = h2_fields_new(1 << 20);
	const struct h2_header *got;
	ssize_t len;

	len = h2_hpack_encode(&encoder, bytes, bound, headers, n);
	assert_in_range(len, 1, bound);
	assert_int_equal(h2_hpack_decode(&decoder, block, bytes, (size_t)len, true), 0);
	got = h2_fields_headers(block, &got_n);
	assert_int_equal(got_n, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(got[i].name_len, headers[i].name_len);
		assert_memory_equal(got[i].name, headers[i].name, headers[i].name_len);
		assert_int_equal(got[i].value_len, headers[i].value_len);
		assert_memory_equal(got[i].value, headers[i].value, headers[i].value_len);
		assert_int_equal(got[i].sensitive != 0, headers[i].sensitive != 0);
	}
	h2_fields_free(block);
	free(bytes);
	return (size_t)len;
}

#define FIELD(n, v, s) { (n), (v), sizeof(n) - 1, sizeof(v) - 1, (s) }

static void verbatim_fields_arrive_wherever_they_stand(void **state)
{
	const struct h2_header fields[] = {
		FIELD(":method", "POST", 0), FIELD("x-id", "0123456789abcdef", H2_VERBATIM),
		FIELD("x-id", "", H2_VERBATIM), FIELD("x-a", "1", 0), FIELD("x-b", "2", 1),
		FIELD("x-end", "z", H2_VERBATIM),
	};

	for (size_t n = 1; n <= 6; n++)
		round_trip(fields, n);
}

static void their_length_may_be_any(void **state)
{
	static const size_t lengths[] = { 0, 1, 126, 127, 128, 254, 255, 256, 4000, 16383 };
	char *name = malloc(16384), *value = malloc(16384);

	memset(name, 'n', 16384);
	memset(value, 'v', 16384);
	for (size_t i = 0; i < 10; i++)
		for (size_t k = 1; k < 10; k++) {
			const struct h2_header fields[] = {
				FIELD(":method", "POST", 0),
				{ name, value, (uint32_t)lengths[k], (uint32_t)lengths[i], H2_VERBATIM },
			};

			round_trip(fields, 2);
		}
	free(name);
	free(value);
}

static void they_leave_no_trace_in_the_table(void **state)
{
	struct h2_header fields[] = {
		FIELD(":method", "POST", 0), FIELD("x-known", "a value of some length", 0),
		FIELD("x-id", "0123456789abcdef", H2_VERBATIM),
	};
	char id[17];
	size_t first = round_trip(fields, 3), second = round_trip(fields, 3);

	assert_true(second < first);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(id, sizeof(id), "%016x", i);
		fields[2].value = id;
		assert_int_equal(round_trip(fields, 3), second);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(verbatim_fields_arrive_wherever_they_stand),
		TEST(their_length_may_be_any),
		TEST(they_leave_no_trace_in_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
