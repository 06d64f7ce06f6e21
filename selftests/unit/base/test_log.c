/* SPDX-License-Identifier: MIT */
/*
 * test_log.c - log lines: one record is one line whatever a peer sent, JSON is JSON, and records
 * that are too long are cut without breaking either.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/loop.h"
#include "cm.h"
#include "fault.h"

/* What the log wrote since capture_begin, in place of stderr. */
static char captured[64 * 1024];
static int capture_fd = -1, saved_stderr = -1;

static void capture_begin(void)
{
	capture_fd = memfd_create("captured", MFD_CLOEXEC);
	saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	dup2(capture_fd, STDERR_FILENO);
}

static const char *capture_end(void)
{
	ssize_t n;

	dup2(saved_stderr, STDERR_FILENO);
	n = pread(capture_fd, captured, sizeof(captured) - 1, 0);
	captured[n > 0 ? n : 0] = '\0';
	close(capture_fd);
	close(saved_stderr);
	return captured;
}

/* One line, and nothing on it that a terminal would obey. */
static void assert_one_line(const char *text)
{
	const char *c;

	assert_true(strlen(text) > 1 && strlen(text) <= LOG_LINE_MAX);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	for (c = text; *c && *c != '\n'; c++)
		assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
}

/* The line without time, level and role[pid]. */
static const char *body(const char *text)
{
	const char *at = strstr(text, "] ");

	assert_non_null(at);
	return at + 2;
}

static int setup(void **state)
{
	(void)state;
	unsetenv("JOURNAL_STREAM");
	log_init("worker", LOG_DEBUG, LOG_TEXT);
	return 0;
}

static void test_text_has_time_level_role_and_fields(void **state)
{
	char want[64];
	const char *line;
	int year, month, day, hour, minute, second, ms;

	(void)state;
	capture_begin();
	log_warn("connect failed", F_STR("backend", "192.0.2.1:80"), F_INT("delta", -5),
		 F_UINT("bytes", UINT64_MAX), F_ERR(-ECONNREFUSED));
	line = capture_end();
	assert_one_line(line);
	assert_int_equal(sscanf(line, "%d-%d-%dT%d:%d:%d.%dZ", &year, &month, &day, &hour, &minute,
				&second, &ms), 7);
	snprintf(want, sizeof(want), " warn  worker[%d] ", getpid());
	assert_non_null(strstr(line, want));
	assert_string_equal(body(line), "connect failed backend=192.0.2.1:80 delta=-5 "
					"bytes=18446744073709551615 error=\"Connection refused\"\n");
}

static void test_values_are_quoted_only_where_they_must(void **state)
{
	(void)state;
	capture_begin();
	log_info("m", F_STR("a", "plain"), F_STR("b", "two words"), F_STR("c", ""),
		 F_STR("d", NULL), F_STR("e", "k=v"), F_STR("f", "q\"b\\"), F_STR("g", "Grüße"));
	assert_string_equal(body(capture_end()), "m a=plain b=\"two words\" c=\"\" d=\"\" e=\"k=v\" "
						 "f=\"q\\\"b\\\\\" g=Grüße\n");
}

static const char *const hostile[] = {
	"x\n2026-01-01T00:00:00.000Z error supervisor[1] forged",
	"x\r\nforged\ttab",
	"\x1b[2J\x1b]0;title\x07",
	"\x7f\x01\x1f",
	"\xc2\x9b" "31m",			/* CSI as one C1 character */
	"\xe2\x80\xa8line separator",
	"\xe2\x80\xae" "evil",			/* right-to-left override */
	"\xff\xfe\xc0\xaf",			/* never UTF-8; overlong slash */
	"\xed\xa0\x80",				/* surrogate */
	"\xf4\x90\x80\x80",			/* above U+10FFFF */
	"cut in the middle \xe2\x82",
	"\"},{\"level\":\"error\"",
	"\\",
};

static void test_no_value_ends_a_text_line_or_moves_the_cursor(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		const char *line;

		capture_begin();
		log_info(hostile[i], F_STR("value", hostile[i]));
		line = capture_end();
		assert_one_line(line);
		assert_null(strstr(line, "\xc2\x9b"));
		assert_null(strstr(line, "\xe2\x80"));
	}
	capture_begin();
	log_info("m", F_STR("v", "\n\t\r\x01\xff\xc2\x9b"));
	assert_string_equal(body(capture_end()), "m v=\"\\n\\t\\r\\x01\\xff\\xc2\\x9b\"\n");
}

static json_t *parse(const char *line)
{
	json_error_t error;
	json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, &error);

	if (!json)
		fail_msg("%s at %d in %s", error.text, error.column, line);
	return json;
}

static void test_json_numbers_are_numbers_and_strings_come_back(void **state)
{
	const char *role, *level, *message, *text, *quoted, *error;
	json_int_t pid, big, negative;
	json_t *json;

	(void)state;
	log_init("monitor", LOG_DEBUG, LOG_JSON);
	capture_begin();
	log_error("health \"changed\"", F_STR("text", "tab\there\n\x01"), F_INT("negative", -7),
		  F_UINT("big", 1ull << 62), F_STR("quoted", "a\"b\\c/ü€😀"), F_ERR(ETIMEDOUT));
	assert_one_line(capture_end());
	json = parse(captured);
	assert_int_equal(json_unpack(json, "{s:s s:s s:I s:s s:s s:I s:I s:s s:s}", "role", &role,
				     "level", &level, "pid", &pid, "message", &message, "text",
				     &text, "negative", &negative, "big", &big, "quoted", &quoted,
				     "error", &error), 0);
	assert_string_equal(role, "monitor");
	assert_string_equal(level, "error");
	assert_int_equal(pid, getpid());
	assert_string_equal(message, "health \"changed\"");
	assert_string_equal(text, "tab\there\n\x01");
	assert_int_equal(negative, -7);
	assert_true(big == 1ll << 62);
	assert_string_equal(quoted, "a\"b\\c/ü€😀");
	assert_string_equal(error, "Connection timed out");
	json_decref(json);
}

static void test_json_holds_against_every_byte(void **state)
{
	char value[64];
	unsigned i, byte;

	(void)state;
	log_init("worker", LOG_DEBUG, LOG_JSON);
	for (i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		capture_begin();
		log_info(hostile[i], F_STR("value", hostile[i]));
		assert_one_line(capture_end());
		json_decref(parse(captured));
	}
	for (byte = 1; byte < 256; byte++) {
		snprintf(value, sizeof(value), "a%cb%c%c", byte, byte, 256 - byte);
		capture_begin();
		log_info("m", F_STR("value", value));
		assert_one_line(capture_end());
		json_decref(parse(captured));
	}
}

static void test_json_replaces_what_is_not_utf8(void **state)
{
	json_t *json;

	(void)state;
	log_init("worker", LOG_DEBUG, LOG_JSON);
	capture_begin();
	log_info("m", F_STR("value", "a\xff" "b"));
	json = parse(capture_end());
	assert_string_equal(json_string_value(json_object_get(json, "value")), "a\xef\xbf\xbd" "b");
	json_decref(json);
}

/* Every length around the limit, in both formats, with plain and with escaped bytes. */
static void test_long_records_are_cut_and_say_so(void **state)
{
	char value[LOG_LINE_MAX + 200];
	const char fills[] = { 'x', '\n', '"', ' ' };
	size_t length, f;
	bool cut_seen = false;

	(void)state;
	for (f = 0; f < sizeof(fills); f++) {
		for (length = LOG_LINE_MAX / 8; length < LOG_LINE_MAX + 100; length += 1 + length % 3) {
			json_t *json;

			memset(value, fills[f], length);
			value[length] = '\0';
			log_init("worker", LOG_DEBUG, LOG_JSON);
			capture_begin();
			log_info("m", F_STR("value", value), F_UINT("after", 12345),
				 F_STR("last", "z"));
			assert_one_line(capture_end());
			json = parse(captured);
			assert_int_equal(json_is_true(json_object_get(json, "cut")),
					 !json_object_get(json, "last"));
			cut_seen |= json_is_true(json_object_get(json, "cut"));
			json_decref(json);

			log_init("worker", LOG_DEBUG, LOG_TEXT);
			capture_begin();
			log_info("m", F_STR("value", value), F_UINT("after", 12345),
				 F_STR("last", "z"));
			assert_one_line(capture_end());
			assert_int_equal(strstr(captured, " cut=true\n") != NULL,
					 strstr(captured, " last=z\n") == NULL);
		}
	}
	assert_true(cut_seen);
}

static void test_a_message_longer_than_a_line_is_cut(void **state)
{
	char message[2 * LOG_LINE_MAX];

	(void)state;
	memset(message, 'm', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	capture_begin();
	log_info(message, F_STR("a", "b"));
	assert_one_line(capture_end());
	log_init("worker", LOG_DEBUG, LOG_JSON);
	capture_begin();
	log_info(message, F_STR("a", "b"));
	assert_one_line(capture_end());
	json_decref(parse(captured));
}

static unsigned evaluated;

static const char *expensive(void)
{
	evaluated++;
	return "value";
}

static void test_levels_below_the_set_one_cost_nothing(void **state)
{
	(void)state;
	log_init("worker", LOG_WARN, LOG_TEXT);
	evaluated = 0;
	capture_begin();
	log_info("no", F_STR("v", expensive()));
	log_debug("no", F_STR("v", expensive()));
	assert_string_equal(capture_end(), "");
	assert_int_equal(evaluated, 0);
	assert_true(log_enabled(LOG_ERROR));
	assert_true(log_enabled(LOG_WARN));
	assert_false(log_enabled(LOG_INFO));
}

static void test_the_journal_gets_priorities_and_no_time(void **state)
{
	char stream[64];
	struct stat st;

	(void)state;
	capture_begin();
	fstat(STDERR_FILENO, &st);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init("supervisor", LOG_DEBUG, LOG_TEXT);
	log_error("e");
	log_warn("w");
	log_info("i");
	log_debug("d");
	capture_end();
	snprintf(stream, sizeof(stream), "<3>supervisor[%d] e\n<4>", getpid());
	assert_memory_equal(captured, stream, strlen(stream));
	assert_non_null(strstr(captured, "\n<6>"));
	assert_non_null(strstr(captured, "\n<7>"));

	/* stderr is not that stream any more. */
	capture_begin();
	log_init("supervisor", LOG_DEBUG, LOG_TEXT);
	log_error("e");
	assert_true(capture_end()[0] != '<');
	unsetenv("JOURNAL_STREAM");
}

static void test_fields_end_at_a_null_key(void **state)
{
	const struct log_field fields[] = { F_STR("a", "1"), { .key = NULL }, F_STR("b", "2") };

	(void)state;
	capture_begin();
	log_write(LOG_INFO, "m", fields, 3);
	assert_string_equal(body(capture_end()), "m a=1\n");
}

static void test_writing_needs_no_memory(void **state)
{
	(void)state;
	capture_begin();
	fault_start_all(0);
	log_info("m", F_STR("a", "b c"), F_INT("n", 1));
	fault_stop();
	assert_string_equal(body(capture_end()), "m a=\"b c\" n=1\n");
	assert_int_equal(fault_count(), 0);
}

static void test_limit_allows_a_burst_each_second(void **state)
{
	struct log_limit limit = { 0 };
	unsigned i;

	(void)state;
	for (i = 0; i < 10; i++)
		assert_int_equal(log_limit_allow(&limit, 5 * NS_PER_S + i, 3), i < 3);
	assert_int_equal(limit.suppressed, 7);
	assert_true(log_limit_allow(&limit, 6 * NS_PER_S, 3));
	/* Kept until somebody has said so. */
	assert_int_equal(limit.suppressed, 7);
	assert_false(log_limit_allow(&limit, 7 * NS_PER_S, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_text_has_time_level_role_and_fields, setup),
		cmocka_unit_test_setup(test_values_are_quoted_only_where_they_must, setup),
		cmocka_unit_test_setup(test_no_value_ends_a_text_line_or_moves_the_cursor, setup),
		cmocka_unit_test_setup(test_json_numbers_are_numbers_and_strings_come_back, setup),
		cmocka_unit_test_setup(test_json_holds_against_every_byte, setup),
		cmocka_unit_test_setup(test_json_replaces_what_is_not_utf8, setup),
		cmocka_unit_test_setup(test_long_records_are_cut_and_say_so, setup),
		cmocka_unit_test_setup(test_a_message_longer_than_a_line_is_cut, setup),
		cmocka_unit_test_setup(test_levels_below_the_set_one_cost_nothing, setup),
		cmocka_unit_test_setup(test_the_journal_gets_priorities_and_no_time, setup),
		cmocka_unit_test_setup(test_fields_end_at_a_null_key, setup),
		cmocka_unit_test_setup(test_writing_needs_no_memory, setup),
		cmocka_unit_test_setup(test_limit_allows_a_burst_each_second, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
