/* SPDX-License-Identifier: MIT */
/*
 * test_health_text.c - health reasons in words, as the log and sluicectl show them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shared/health_text.h"

#define CODE(n) (1ull << (n))

static void codes_are_listed_with_runs_as_ranges(void **state)
{
	static const struct {
		uint64_t codes;
		const char *text;
	} cases[] = {
		{ 0, "" },
		{ CODE(0), "0" },
		{ CODE(0) | CODE(12), "0,12" },
		{ CODE(0) | CODE(4) | CODE(5) | CODE(12), "0,4-5,12" },
		{ CODE(62) | CODE(63), "62-63" },
		{ ~0ull, "0-63" },
	};
	char buf[HEALTH_TEXT_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(health_codes_text(cases[i].codes, buf, sizeof(buf)),
				    cases[i].text);
}

static void codes_are_cut_between_and_never_past_the_end(void **state)
{
	char buf[HEALTH_TEXT_MAX];

	for (size_t size = 1; size < sizeof(buf); size++) {
		memset(buf, 'x', sizeof(buf));
		health_codes_text(0xaaaaaaaaaaaaaaaaull, buf, size);
		assert_true(strlen(buf) < size);
		assert_true(size == 1 || buf[strlen(buf) - 1] != ',');
	}
}

static void every_reason_has_its_words(void **state)
{
	static const struct {
		uint32_t reason, detail;
		const char *text;
	} cases[] = {
		{ SLUICE_REASON_NONE, 0, "" },
		{ SLUICE_REASON_CONNECT, ECONNREFUSED, "connection refused" },
		{ SLUICE_REASON_CONNECT, EHOSTUNREACH, "no route to host" },
		{ SLUICE_REASON_TIMEOUT, 5000, "timeout after 5s" },
		{ SLUICE_REASON_TIMEOUT, 1500, "timeout after 1500ms" },
		{ SLUICE_REASON_RESET, 7, "reset with REFUSED_STREAM" },
		{ SLUICE_REASON_RESET, 99, "reset with unknown" },
		{ SLUICE_REASON_DISCONNECT, 0, "connection closed before the answer" },
		{ SLUICE_REASON_GRPC_STATUS, 14, "grpc-status 14, want 0,12" },
		{ SLUICE_REASON_HTTP_STATUS, 404, "HTTP status 404 without grpc-status, want 200" },
		{ SLUICE_REASON_NOT_SERVING, 2, "serving status NOT_SERVING, want SERVING" },
		{ SLUICE_REASON_NOT_SERVING, 77, "serving status unknown, want SERVING" },
		{ SLUICE_REASON_PROTOCOL, HEALTH_NOT_HTTP2, "the answer is not HTTP/2" },
		{ SLUICE_REASON_PROTOCOL, HEALTH_NO_GRPC_STATUS, "the answer has no grpc-status" },
		{ SLUICE_REASON_PROTOCOL, HEALTH_BAD_MESSAGE,
		  "the answer is no HealthCheckResponse" },
		{ 999, 0, "unknown reason 999" },
	};
	char buf[HEALTH_TEXT_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(health_reason_text(cases[i].reason, cases[i].detail,
						       CODE(0) | CODE(12), buf, sizeof(buf)),
				    cases[i].text);
}

static void states_have_names(void **state)
{
	assert_string_equal(health_state_name(SLUICE_HEALTH_UNKNOWN), "unknown");
	assert_string_equal(health_state_name(SLUICE_HEALTH_UP), "up");
	assert_string_equal(health_state_name(SLUICE_HEALTH_DOWN), "down");
	assert_string_equal(health_state_name(77), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_are_listed_with_runs_as_ranges),
		cmocka_unit_test(codes_are_cut_between_and_never_past_the_end),
		cmocka_unit_test(every_reason_has_its_words),
		cmocka_unit_test(states_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
