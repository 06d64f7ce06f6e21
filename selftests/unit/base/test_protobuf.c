/* SPDX-License-Identifier: MIT */
/*
 * test_protobuf.c - every kind of field is read or refused, and no byte behind the message is.
 */
#include "base/protobuf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cm.h"

/* What protobuf_next says of a message in memory of just its size; *last: its last field. */
static int read_all(const uint8_t *bytes, size_t len, struct protobuf_field *last, unsigned *n)
{
	uint8_t *exact = malloc(len + 1);
	size_t at = 0;
	int ret;

	assert_non_null(exact);
	memcpy(exact, bytes, len);
	*n = 0;
	while ((ret = protobuf_next(exact, len, &at, last)) > 0) {
		(*n)++;
		if (last->kind != PROTOBUF_VARINT && last->len)
			assert_true(last->bytes >= exact && last->bytes + last->len <= exact + len);
	}
	free(exact);
	return ret;
}

static void fields_of_every_kind_are_read(void **state)
{
	const uint8_t message[] = { 0x08, 0x96, 0x01, 0x12, 0x03, 'a', 'b', 'c', 0x1d, 1, 2, 3, 4,
				    0x21, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct protobuf_field field;
	size_t at = 0;

	(void)state;
	assert_int_equal(protobuf_next(message, sizeof(message), &at, &field), 1);
	assert_true(field.number == 1 && field.kind == PROTOBUF_VARINT && field.value == 150);
	assert_int_equal(protobuf_next(message, sizeof(message), &at, &field), 1);
	assert_true(field.number == 2 && field.kind == PROTOBUF_BYTES && field.len == 3);
	assert_memory_equal(field.bytes, "abc", 3);
	assert_int_equal(protobuf_next(message, sizeof(message), &at, &field), 1);
	assert_true(field.number == 3 && field.kind == PROTOBUF_FIXED32 && field.len == 4);
	assert_int_equal(protobuf_next(message, sizeof(message), &at, &field), 1);
	assert_true(field.number == 4 && field.kind == PROTOBUF_FIXED64 && field.len == 8);
	assert_int_equal(protobuf_next(message, sizeof(message), &at, &field), 0);
}

static void what_is_malformed_is_refused(void **state)
{
	static const struct {
		uint8_t bytes[12];
		size_t len;
	} bad[] = {
		{ { 0x08 }, 1 },		     /* no value */
		{ { 0x08, 0x80 }, 2 },		     /* a value without end */
		{ { 0x80 }, 1 },		     /* a tag without end */
		{ { 0x00, 0x00 }, 2 },		     /* field 0 */
		{ { 0x0b }, 1 }, { { 0x0c }, 1 },    /* groups */
		{ { 0x0e, 0 }, 2 }, { { 0x0f, 0 }, 2 }, /* no such kinds */
		{ { 0x0a, 0x02, 'a' }, 3 },	     /* longer than the message */
		{ { 0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01 }, 11 },
		{ { 0x0d, 1, 2, 3 }, 4 }, { { 0x09, 1, 2, 3, 4, 5, 6, 7 }, 8 },
		/* more than 64 bits */
		{ { 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02 }, 11 },
	};
	struct protobuf_field field;
	unsigned n;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(read_all(bad[i].bytes, bad[i].len, &field, &n), -EBADMSG);
}

static void no_bytes_whatever_lead_out_of_the_message(void **state)
{
	uint32_t random = 12345;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		uint8_t bytes[24];
		struct protobuf_field field;
		unsigned n;
		size_t len;

		for (size_t i = 0; i < sizeof(bytes); i++) {
			random = random * 1664525 + 1013904223;
			bytes[i] = (uint8_t)(random >> 24);
		}
		len = bytes[0] % sizeof(bytes);
		read_all(bytes + 1, len, &field, &n);
		assert_true(n <= len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_of_every_kind_are_read),
		cmocka_unit_test(what_is_malformed_is_refused),
		cmocka_unit_test(no_bytes_whatever_lead_out_of_the_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
