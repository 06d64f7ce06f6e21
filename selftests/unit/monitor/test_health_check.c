/* SPDX-License-Identifier: MIT */
/*
 * test_health_check.c - thresholds, cadence, the request's bytes and the judgement of answers.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/loop.h"
#include "monitor/health_check.h"
#include "shared/health_text.h"

static struct config_health_check standard = {
	.enabled = true,
	.path = "/grpc.health.v1.Health/Check",
	.service = "",
	.standard_path = true,
	.codes = 1,
	.interval_ms = 2000,
	.timeout_ms = 5000,
	.healthy_threshold = 3,
	.unhealthy_threshold = 3,
};

static const struct health_result ok = { SLUICE_REASON_NONE, 0 };
static const struct health_result refused = { SLUICE_REASON_CONNECT, ECONNREFUSED };
static const struct health_result silent = { SLUICE_REASON_TIMEOUT, 5000 };

static void the_first_success_makes_up(void **state)
{
	struct health_verdict v = { 0 };

	assert_true(health_verdict_update(&v, &ok, &standard));
	assert_int_equal(v.health, SLUICE_HEALTH_UP);
}

static void the_first_failures_make_down_at_the_threshold(void **state)
{
	struct health_verdict v = { 0 };

	assert_false(health_verdict_update(&v, &refused, &standard));
	assert_false(health_verdict_update(&v, &refused, &standard));
	assert_int_equal(v.health, SLUICE_HEALTH_UNKNOWN);
	assert_true(health_verdict_update(&v, &refused, &standard));
	assert_int_equal(v.health, SLUICE_HEALTH_DOWN);
}

static void a_success_among_the_first_failures_makes_up(void **state)
{
	struct health_verdict v = { 0 };

	health_verdict_update(&v, &refused, &standard);
	health_verdict_update(&v, &refused, &standard);
	assert_true(health_verdict_update(&v, &ok, &standard));
	assert_int_equal(v.health, SLUICE_HEALTH_UP);
	/* and the early failures count no more */
	health_verdict_update(&v, &refused, &standard);
	health_verdict_update(&v, &refused, &standard);
	assert_int_equal(v.health, SLUICE_HEALTH_UP);
}

static void a_timeout_alone_is_the_first_verdict(void **state)
{
	struct health_verdict v = { 0 };

	assert_true(health_verdict_update(&v, &silent, &standard));
	assert_int_equal(v.health, SLUICE_HEALTH_DOWN);
}

static void up_takes_unhealthy_threshold_failures_in_a_row(void **state)
{
	struct health_verdict v = { .health = SLUICE_HEALTH_UP };

	for (int i = 0; i < 10; i++) {
		assert_false(health_verdict_update(&v, &silent, &standard));
		assert_false(health_verdict_update(&v, &refused, &standard));
		assert_false(health_verdict_update(&v, &ok, &standard));
	}
	assert_false(health_verdict_update(&v, &refused, &standard));
	assert_false(health_verdict_update(&v, &refused, &standard));
	assert_true(health_verdict_update(&v, &refused, &standard));
	assert_int_equal(v.health, SLUICE_HEALTH_DOWN);
}

static void down_takes_healthy_threshold_successes_in_a_row(void **state)
{
	struct health_verdict v = { .health = SLUICE_HEALTH_DOWN };

	for (int i = 0; i < 10; i++) {
		assert_false(health_verdict_update(&v, &ok, &standard));
		assert_false(health_verdict_update(&v, &ok, &standard));
		assert_false(health_verdict_update(&v, &refused, &standard));
	}
	assert_false(health_verdict_update(&v, &ok, &standard));
	assert_false(health_verdict_update(&v, &ok, &standard));
	assert_true(health_verdict_update(&v, &ok, &standard));
	assert_int_equal(v.health, SLUICE_HEALTH_UP);
}

static void thresholds_of_one_change_at_once(void **state)
{
	struct config_health_check check = standard;
	struct health_verdict v = { .health = SLUICE_HEALTH_UP };

	check.healthy_threshold = check.unhealthy_threshold = 1;
	assert_true(health_verdict_update(&v, &refused, &check));
	assert_true(health_verdict_update(&v, &ok, &check));
	assert_false(health_verdict_update(&v, &ok, &check));
}

static void the_interval_is_jittered_by_a_tenth(void **state)
{
	struct health_verdict v = { .health = SLUICE_HEALTH_UP };
	uint64_t least = UINT64_MAX, most = 0;

	for (uint64_t i = 0; i < 100000; i++) {
		uint64_t d = health_next_delay_ns(&v, &standard, i * 0x9e3779b97f4a7c15ull);

		least = d < least ? d : least;
		most = d > most ? d : most;
	}
	assert_true(least >= 1800 * NS_PER_MS && least < 1801 * NS_PER_MS);
	assert_true(most <= 2200 * NS_PER_MS && most > 2199 * NS_PER_MS);
}

/* Whatever the thresholds: refused each time, the verdict comes before the first interval ends. */
static void refusals_give_the_first_verdict_within_the_first_interval(void **state)
{
	struct config_health_check check = standard;

	for (check.interval_ms = 1000; check.interval_ms <= 50000; check.interval_ms += 7000) {
		for (check.unhealthy_threshold = 2; check.unhealthy_threshold <= 10;
		     check.unhealthy_threshold++) {
			struct health_verdict v = { 0 };
			uint64_t at = health_first_delay_ns(999, 1000, &check);

			while (!health_verdict_update(&v, &refused, &check))
				at += health_next_delay_ns(&v, &check, UINT64_MAX);
			assert_true(at < check.interval_ms * NS_PER_MS);
		}
	}
}

static void first_checks_start_at_once_and_many_are_spread(void **state)
{
	assert_int_equal(health_first_delay_ns(0, 3, &standard), 0);
	assert_true(health_first_delay_ns(2, 3, &standard) < 5 * NS_PER_MS);
	assert_true(health_first_delay_ns(9999, 10000, &standard) > 990 * NS_PER_MS);
	assert_true(health_first_delay_ns(9999, 10000, &standard) <= 1000 * NS_PER_MS);
}

static void the_request_is_an_empty_message_without_a_service(void **state)
{
	uint8_t buf[HEALTH_REQUEST_MAX];
	static const uint8_t empty[5];
	struct config_health_check custom = standard;

	assert_int_equal(health_request_build(buf, &standard), 5);
	assert_memory_equal(buf, empty, 5);
	custom.standard_path = false;
	custom.service = "ignored";
	assert_int_equal(health_request_build(buf, &custom), 5);
	assert_memory_equal(buf, empty, 5);
}

static void the_request_names_the_service(void **state)
{
	static const uint8_t want[] = { 0, 0, 0, 0, 6, 0x0a, 4, 'a', '.', 'B', 'c' };
	char name[HEALTH_SERVICE_MAX + 1];
	uint8_t buf[HEALTH_REQUEST_MAX];
	struct config_health_check check = standard;

	check.service = "a.Bc";
	assert_int_equal(health_request_build(buf, &check), sizeof(want));
	assert_memory_equal(buf, want, sizeof(want));

	memset(name, 'x', HEALTH_SERVICE_MAX);
	name[HEALTH_SERVICE_MAX] = '\0';
	check.service = name;
	assert_int_equal(health_request_build(buf, &check), HEALTH_REQUEST_MAX);
	assert_int_equal(buf[3] << 8 | buf[4], HEALTH_REQUEST_MAX - 5);
	assert_int_equal(buf[5], 0x0a);
	assert_int_equal((buf[6] & 0x7f) | buf[7] << 7, HEALTH_SERVICE_MAX);
}

#define BODY(...) ((const uint8_t[]){ __VA_ARGS__ }), sizeof((const uint8_t[]){ __VA_ARGS__ })

static void responses_parse(void **state)
{
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 2, 8, 1)), 1);
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 2, 8, 2)), 2);
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 0)), 0);
	/* the last of several holds */
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 4, 8, 1, 8, 3)), 3);
	/* unknown fields of each wire type around it */
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 5, 0x12, 1, 9, 8, 1)), 1);
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 7, 8, 1, 0x1d, 1, 2, 3, 4)), 1);
	assert_int_equal(
		health_response_parse(BODY(0, 0, 0, 0, 11, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 8, 1)), 1);
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 5, 0x10, 0x96, 1, 8, 1)), 1);
	/* field 1 as text is some other field */
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 3, 0x0a, 1, 1)), 0);
	/* a long varint is read whole, and -1 is no status */
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 3, 8, 0x81, 0)), 1);
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 11, 8, 0xff, 0xff, 0xff, 0xff, 0xff,
						    0xff, 0xff, 0xff, 0xff, 1)),
			 INT32_MAX);
}

static void malformed_responses_are_refused(void **state)
{
	static const uint8_t good[] = { 0, 0, 0, 0, 9, 8, 1, 0x12, 2, 7, 7, 0x18, 0x80, 1 };

	assert_int_equal(health_response_parse(good, sizeof(good)), 1);
	for (size_t len = 0; len < sizeof(good); len++)
		assert_int_equal(health_response_parse(good, len), -EBADMSG);
	/* compressed, longer than said, two frames, a length past the end, a group, field 0 */
	assert_int_equal(health_response_parse(BODY(1, 0, 0, 0, 2, 8, 1)), -EBADMSG);
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 1, 8, 1)), -EBADMSG);
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 0)), -EBADMSG);
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 4, 0x12, 3, 1, 1)), -EBADMSG);
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 2, 0x0b, 0x0c)), -EBADMSG);
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 2, 0, 1)), -EBADMSG);
	/* a length that wraps, a varint without end */
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 11, 0x12, 0xff, 0xff, 0xff, 0xff,
						    0xff, 0xff, 0xff, 0xff, 0xff, 1)),
			 -EBADMSG);
	assert_int_equal(health_response_parse(BODY(0, 0, 0, 0, 12, 8, 0xff, 0xff, 0xff, 0xff, 0xff,
						    0xff, 0xff, 0xff, 0xff, 0xff, 1)),
			 -EBADMSG);
}

struct field {
	const char *name, *value;
};

static struct health_result judge(const struct config_health_check *check,
				  const struct field *fields, const uint8_t *body, size_t body_len)
{
	struct health_reply reply;
	struct h2_header headers[8];
	size_t n = 0;

	for (; fields[n].name; n++)
		headers[n] = (struct h2_header){
			.name = fields[n].name,
			.value = fields[n].value,
			.name_len = (uint32_t)strlen(fields[n].name),
			.value_len = (uint32_t)strlen(fields[n].value),
		};
	health_reply_init(&reply);
	health_reply_headers(&reply, headers, n);
	/* byte by byte, as the worst network would */
	for (size_t i = 0; i < body_len; i++)
		health_reply_data(&reply, body + i, 1);
	return health_reply_judge(&reply, check);
}

#define FIELDS(...) ((const struct field[]){ __VA_ARGS__, { 0 } })
#define assert_result(r, want_reason, want_detail)                                                 \
	do {                                                                                       \
		struct health_result r_ = (r);                                                     \
		assert_int_equal(r_.reason, want_reason);                                          \
		assert_int_equal(r_.detail, want_detail);                                          \
	} while (0)

static void serving_is_healthy_and_all_else_is_not(void **state)
{
	const struct field *fields = FIELDS({ ":status", "200" }, { "grpc-status", "0" });

	assert_result(judge(&standard, fields, BODY(0, 0, 0, 0, 2, 8, 1)), SLUICE_REASON_NONE, 0);
	assert_result(judge(&standard, fields, BODY(0, 0, 0, 0, 2, 8, 2)), SLUICE_REASON_NOT_SERVING,
		      2);
	assert_result(judge(&standard, fields, BODY(0, 0, 0, 0, 0)), SLUICE_REASON_NOT_SERVING, 0);
	assert_result(judge(&standard, fields, NULL, 0), SLUICE_REASON_PROTOCOL, HEALTH_BAD_MESSAGE);
}

static void an_answer_too_long_for_a_health_response_is_refused(void **state)
{
	uint8_t body[HEALTH_REPLY_MAX + 1] = { 0, 0, 0, 0, 2, 8, 1 };

	assert_result(judge(&standard, FIELDS({ ":status", "200" }, { "grpc-status", "0" }), body,
			    sizeof(body)),
		      SLUICE_REASON_PROTOCOL, HEALTH_BAD_MESSAGE);
}

static void codes_decide_by_grpc_status(void **state)
{
	struct config_health_check check = standard;

	check.codes = 1ull << 0 | 1ull << 12 | 1ull << 63;
	assert_result(judge(&check, FIELDS({ ":status", "200" }, { "grpc-status", "12" }), NULL, 0),
		      SLUICE_REASON_NONE, 0);
	assert_result(judge(&check, FIELDS({ ":status", "200" }, { "grpc-status", "63" }), NULL, 0),
		      SLUICE_REASON_NONE, 0);
	assert_result(judge(&check, FIELDS({ ":status", "200" }, { "grpc-status", "14" }), NULL, 0),
		      SLUICE_REASON_GRPC_STATUS, 14);
	assert_result(judge(&check, FIELDS({ ":status", "200" }, { "grpc-status", "64" }), NULL, 0),
		      SLUICE_REASON_GRPC_STATUS, 64);
	/* given with an HTTP error, the grpc-status still is what counts */
	assert_result(judge(&check, FIELDS({ ":status", "503" }, { "grpc-status", "12" }), NULL, 0),
		      SLUICE_REASON_NONE, 0);
}

static void a_custom_path_does_not_look_into_the_message(void **state)
{
	struct config_health_check check = standard;

	check.path = "/my.Service/Ping";
	check.standard_path = false;
	assert_result(judge(&check, FIELDS({ ":status", "200" }, { "grpc-status", "0" }),
			    BODY(0, 0, 0, 0, 2, 8, 2)),
		      SLUICE_REASON_NONE, 0);
	assert_result(judge(&check, FIELDS({ ":status", "200" }, { "grpc-status", "0" }), NULL, 0),
		      SLUICE_REASON_NONE, 0);
}

static void an_answer_without_grpc_status_is_unhealthy(void **state)
{
	struct config_health_check check = standard;

	check.codes = ~0ull;
	assert_result(judge(&check, FIELDS({ ":status", "404" }), NULL, 0),
		      SLUICE_REASON_HTTP_STATUS, 404);
	assert_result(judge(&check, FIELDS({ ":status", "200" }), NULL, 0), SLUICE_REASON_PROTOCOL,
		      HEALTH_NO_GRPC_STATUS);
	assert_result(judge(&check, FIELDS({ ":status", "200" }, { "grpc-status", "x" }), NULL, 0),
		      SLUICE_REASON_PROTOCOL, HEALTH_NO_GRPC_STATUS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_success_makes_up),
		cmocka_unit_test(the_first_failures_make_down_at_the_threshold),
		cmocka_unit_test(a_success_among_the_first_failures_makes_up),
		cmocka_unit_test(a_timeout_alone_is_the_first_verdict),
		cmocka_unit_test(up_takes_unhealthy_threshold_failures_in_a_row),
		cmocka_unit_test(down_takes_healthy_threshold_successes_in_a_row),
		cmocka_unit_test(thresholds_of_one_change_at_once),
		cmocka_unit_test(the_interval_is_jittered_by_a_tenth),
		cmocka_unit_test(refusals_give_the_first_verdict_within_the_first_interval),
		cmocka_unit_test(first_checks_start_at_once_and_many_are_spread),
		cmocka_unit_test(the_request_is_an_empty_message_without_a_service),
		cmocka_unit_test(the_request_names_the_service),
		cmocka_unit_test(responses_parse),
		cmocka_unit_test(malformed_responses_are_refused),
		cmocka_unit_test(serving_is_healthy_and_all_else_is_not),
		cmocka_unit_test(an_answer_too_long_for_a_health_response_is_refused),
		cmocka_unit_test(codes_decide_by_grpc_status),
		cmocka_unit_test(a_custom_path_does_not_look_into_the_message),
		cmocka_unit_test(an_answer_without_grpc_status_is_unhealthy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
