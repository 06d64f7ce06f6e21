/* SPDX-License-Identifier: MIT */
/*
 * test_grpc.c - gRPC's wire vocabulary: grpc-timeout, grpc-message, grpc-status, content-type and
 * the mappings between HTTP, HTTP/2 and gRPC codes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/grpc.h"
#include "proxy/h2.h"

static void timeout_is_parsed_in_every_unit(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} cases[] = {
		{ "1n", 1 },
		{ "1u", 1000 },
		{ "1m", 1000000 },
		{ "1S", 1000000000ull },
		{ "1M", 60000000000ull },
		{ "1H", 3600000000000ull },
		{ "0S", 0 },
		{ "00000010m", 10000000 },
		{ "99999999n", 99999999 },
		{ "99999999S", 99999999000000000ull },
		{ "99999999M", 5999999940000000000ull },
		{ "99999999H", UINT64_MAX },
		{ "5124095H", 5124095 * 3600000000000ull },
		{ "5124096H", UINT64_MAX },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t ns = 42;

		assert_int_equal(grpc_timeout_parse(cases[i].text, strlen(cases[i].text), &ns), 0);
		assert_int_equal(ns, cases[i].ns);
	}
}

static void malformed_timeouts_are_refused_and_leave_the_result_alone(void **state)
{
	static const char *const cases[] = { "",    "S",   "1",	  "123456789n", "1s",  "1h", "-1S",
					     "+1S", "1 S", " 1S", "1S ",	"1.5S", "1SS", "0x1S" };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t ns = 42;

		assert_int_equal(grpc_timeout_parse(cases[i], strlen(cases[i]), &ns), -EINVAL);
		assert_int_equal(ns, 42);
	}
}

static void timeout_is_formatted_short_and_rounded_up(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "1n" },
		{ 1, "1n" },
		{ 1000, "1u" },
		{ 1001, "1001n" },
		{ 99999999, "99999999n" },
		{ 100000000, "100m" },
		{ 100000001, "100001u" },
		{ 1000000000, "1S" },
		{ 1500000000, "1500m" },
		{ 4999999999ull, "5S" },
		{ 4987654321ull, "4987655u" },
		{ 60000000000ull, "1M" },
		{ 3600000000000ull, "1H" },
		{ 5400000000000ull, "90M" },
		{ UINT64_MAX, "5124096H" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[GRPC_TIMEOUT_TEXT_MAX];
		size_t len = grpc_timeout_format(text, cases[i].ns);

		assert_string_equal(text, cases[i].text);
		assert_int_equal(len, strlen(text));
	}
}

static void formatted_timeouts_parse_to_no_less_and_hardly_more(void **state)
{
	for (uint64_t ns = 1; ns < UINT64_MAX / 3; ns = ns * 3 + 7) {
		char text[GRPC_TIMEOUT_TEXT_MAX];
		size_t len = grpc_timeout_format(text, ns);
		uint64_t back;

		assert_true(len >= 2 && len <= 9);
		assert_int_equal(grpc_timeout_parse(text, len, &back), 0);
		assert_true(back >= ns);
		/* The coarsest step: 99999999 of one unit to the next, minutes to hours at worst. */
		assert_true(back - ns <= ns / 10000);
	}
}

static void message_bytes_outside_printable_ascii_are_percent_encoded(void **state)
{
	static const struct {
		const char *plain, *encoded;
	} cases[] = {
		{ "", "" },
		{ "my error message", "my error message" },
		{ "100% sure", "100%25 sure" },
		{ "line\nline\ttab", "line%0Aline%09tab" },
		{ "\xc3\xbc\x7f", "%C3%BC%7F" },
		{ "~!$&", "~!$&" },
		{ " both ", "%20both%20" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[64];
		size_t len = grpc_message_encode(out, sizeof(out), cases[i].plain,
						 strlen(cases[i].plain));

		assert_string_equal(out, cases[i].encoded);
		assert_int_equal(len, strlen(out));
		len = grpc_message_decode(out, sizeof(out), out, len);
		assert_string_equal(out, cases[i].plain);
		assert_int_equal(len, strlen(cases[i].plain));
	}
}

static void a_message_cut_for_room_never_ends_inside_an_escape(void **state)
{
	static const char message[] = "a\nb \n\n";
	static const char *const want[] = { NULL, "", "a", "a", "a", "a%0A", "a%0Ab", "a%0Ab",
					    "a%0Ab", "a%0Ab", "a%0Ab %0A", "a%0Ab %0A",
					    "a%0Ab %0A", "a%0Ab %0A%0A" };

	for (size_t size = 1; size < sizeof(want) / sizeof(want[0]); size++) {
		char out[32];

		memset(out, 'x', sizeof(out));
		grpc_message_encode(out, size, message, sizeof(message) - 1);
		assert_string_equal(out, want[size]);
		assert_int_equal(out[size], 'x');
	}
}

static void broken_escapes_are_left_as_they_stand(void **state)
{
	static const struct {
		const char *encoded, *plain;
	} cases[] = {
		{ "%", "%" }, { "%4", "%4" },	{ "%zz", "%zz" }, { "%4g", "%4g" },
		{ "%%41", "%A" }, { "a%c3%bc", "a\xc3\xbc" }, { "%41%", "A%" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[32];

		grpc_message_decode(out, sizeof(out), cases[i].encoded, strlen(cases[i].encoded));
		assert_string_equal(out, cases[i].plain);
	}
}

static void a_decoded_message_is_cut_at_its_room(void **state)
{
	char out[3] = "xx";

	assert_int_equal(grpc_message_decode(out, sizeof(out), "%41%42%43", 9), 2);
	assert_string_equal(out, "AB");
	assert_int_equal(grpc_message_decode(out, 1, "abc", 3), 0);
	assert_string_equal(out, "");
}

static void status_is_digits_only(void **state)
{
	assert_int_equal(grpc_status_parse("0", 1), 0);
	assert_int_equal(grpc_status_parse("14", 2), 14);
	assert_int_equal(grpc_status_parse("16", 2), 16);
	assert_int_equal(grpc_status_parse("99", 2), 99);
	assert_int_equal(grpc_status_parse("", 0), -EINVAL);
	assert_int_equal(grpc_status_parse("-1", 2), -EINVAL);
	assert_int_equal(grpc_status_parse("1 ", 2), -EINVAL);
	assert_int_equal(grpc_status_parse("OK", 2), -EINVAL);
	assert_int_equal(grpc_status_parse("4294967296", 10), -EINVAL);
}

static void every_status_has_its_name(void **state)
{
	assert_string_equal(grpc_status_name(0), "OK");
	assert_string_equal(grpc_status_name(4), "DEADLINE_EXCEEDED");
	assert_string_equal(grpc_status_name(14), "UNAVAILABLE");
	assert_string_equal(grpc_status_name(16), "UNAUTHENTICATED");
	assert_string_equal(grpc_status_name(17), "unknown");
	assert_string_equal(grpc_status_name(-1), "unknown");
	for (int i = 0; i < GRPC_STATUS_COUNT; i++)
		assert_non_null(grpc_status_name(i));
}

static void content_type_tells_grpc_from_its_neighbours(void **state)
{
	static const char *const yes[] = { "application/grpc", "application/grpc+proto",
					   "application/grpc+json", "application/grpc;charset=utf-8",
					   "application/grpc+proto;v=1", "Application/gRPC" };
	static const char *const no[] = { "",		      "application/grp",
					  "application/grpc-web", "application/grpc-web+proto",
					  "application/grpcx",	  "application/json",
					  "text/application/grpc" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(grpc_content_type(yes[i], strlen(yes[i])));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(grpc_content_type(no[i], strlen(no[i])));
}

static void http_status_maps_as_grpc_documents(void **state)
{
	assert_int_equal(grpc_status_from_http(400), GRPC_INTERNAL);
	assert_int_equal(grpc_status_from_http(401), GRPC_UNAUTHENTICATED);
	assert_int_equal(grpc_status_from_http(403), GRPC_PERMISSION_DENIED);
	assert_int_equal(grpc_status_from_http(404), GRPC_UNIMPLEMENTED);
	assert_int_equal(grpc_status_from_http(429), GRPC_UNAVAILABLE);
	assert_int_equal(grpc_status_from_http(431), GRPC_INTERNAL);
	assert_int_equal(grpc_status_from_http(502), GRPC_UNAVAILABLE);
	assert_int_equal(grpc_status_from_http(503), GRPC_UNAVAILABLE);
	assert_int_equal(grpc_status_from_http(504), GRPC_UNAVAILABLE);
	assert_int_equal(grpc_status_from_http(200), GRPC_UNKNOWN);
	assert_int_equal(grpc_status_from_http(500), GRPC_UNKNOWN);
	assert_int_equal(grpc_status_from_http(0), GRPC_UNKNOWN);
}

static void http2_error_maps_as_grpc_documents(void **state)
{
	static const enum grpc_status want[] = {
		[H2_NO_ERROR] = GRPC_INTERNAL,
		[H2_PROTOCOL_ERROR] = GRPC_INTERNAL,
		[H2_INTERNAL_ERROR] = GRPC_INTERNAL,
		[H2_FLOW_CONTROL_ERROR] = GRPC_INTERNAL,
		[H2_SETTINGS_TIMEOUT] = GRPC_INTERNAL,
		[H2_STREAM_CLOSED] = GRPC_UNKNOWN,
		[H2_FRAME_SIZE_ERROR] = GRPC_INTERNAL,
		[H2_REFUSED_STREAM] = GRPC_UNAVAILABLE,
		[H2_CANCEL] = GRPC_CANCELLED,
		[H2_COMPRESSION_ERROR] = GRPC_INTERNAL,
		[H2_CONNECT_ERROR] = GRPC_INTERNAL,
		[H2_ENHANCE_YOUR_CALM] = GRPC_RESOURCE_EXHAUSTED,
		[H2_INADEQUATE_SECURITY] = GRPC_PERMISSION_DENIED,
		[H2_HTTP_1_1_REQUIRED] = GRPC_UNKNOWN,
	};

	for (uint32_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(grpc_status_from_h2(i), want[i]);
	assert_int_equal(grpc_status_from_h2(0xffffffff), GRPC_UNKNOWN);
}

/* google/rpc/code.proto. */
static void a_status_has_an_http_status_for_what_is_not_grpc(void **state)
{
	static const int http[] = { 200, 499, 500, 400, 504, 404, 409, 403, 429,
				    400, 409, 400, 501, 500, 503, 500, 401 };

	for (int i = 0; i < GRPC_STATUS_COUNT; i++)
		assert_int_equal(grpc_status_to_http(i), http[i]);
	assert_int_equal(grpc_status_to_http(17), 500);
	assert_int_equal(grpc_status_to_http(-1), 500);
}

static void a_number_is_digits_and_nothing_else(void **state)
{
	assert_int_equal(grpc_number_parse("0", 1), 0);
	assert_int_equal(grpc_number_parse("999999999", 9), 999999999);
	assert_int_equal(grpc_number_parse("1000000000", 10), -EINVAL);
	assert_int_equal(grpc_number_parse("-1", 2), -EINVAL);
	assert_int_equal(grpc_number_parse("", 0), -EINVAL);
	assert_int_equal(grpc_number_parse("1 ", 2), -EINVAL);
}

static void an_answered_call_cancels_upstream(void **state)
{
	assert_int_equal(grpc_status_to_h2(GRPC_OK), H2_NO_ERROR);
	assert_int_equal(grpc_status_to_h2(GRPC_CANCELLED), H2_CANCEL);
	assert_int_equal(grpc_status_to_h2(GRPC_DEADLINE_EXCEEDED), H2_CANCEL);
	assert_int_equal(grpc_status_to_h2(GRPC_UNAVAILABLE), H2_CANCEL);
	assert_int_equal(grpc_status_to_h2(GRPC_INTERNAL), H2_INTERNAL_ERROR);
	assert_int_equal(grpc_status_to_h2(99), H2_CANCEL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timeout_is_parsed_in_every_unit),
		cmocka_unit_test(malformed_timeouts_are_refused_and_leave_the_result_alone),
		cmocka_unit_test(timeout_is_formatted_short_and_rounded_up),
		cmocka_unit_test(formatted_timeouts_parse_to_no_less_and_hardly_more),
		cmocka_unit_test(message_bytes_outside_printable_ascii_are_percent_encoded),
		cmocka_unit_test(a_message_cut_for_room_never_ends_inside_an_escape),
		cmocka_unit_test(broken_escapes_are_left_as_they_stand),
		cmocka_unit_test(a_decoded_message_is_cut_at_its_room),
		cmocka_unit_test(status_is_digits_only),
		cmocka_unit_test(every_status_has_its_name),
		cmocka_unit_test(content_type_tells_grpc_from_its_neighbours),
		cmocka_unit_test(http_status_maps_as_grpc_documents),
		cmocka_unit_test(http2_error_maps_as_grpc_documents),
		cmocka_unit_test(a_status_has_an_http_status_for_what_is_not_grpc),
		cmocka_unit_test(a_number_is_digits_and_nothing_else),
		cmocka_unit_test(an_answered_call_cancels_upstream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
