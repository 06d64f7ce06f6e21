/* SPDX-License-Identifier: MIT */
/*
 * test_route_regex.c - expressions: the whole text or nothing, bytes and not characters, bounded work,
 * and what is no expression said with its place.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "proxy/route_regex.h"

static bool matches(const char *pattern, const char *text, size_t len)
{
	char why[160];
	struct route_regex *regex = route_regex_new(pattern, why, sizeof(why));
	bool holds, exceeded = false;

	if (!regex)
		print_error("%s\n", why);
	assert_non_null(regex);
	holds = route_regex_match(regex, text, len, &exceeded);
	assert_false(exceeded);
	route_regex_free(regex);
	return holds;
}

static void the_whole_text_must_match(void **state)
{
	assert_true(matches("a+", "aaa", 3));
	assert_false(matches("a+", "aaab", 4));
	assert_false(matches("a+", "baaa", 4));
	assert_false(matches("a+", "aaa\n", 4));
	assert_false(matches("^a+$", "aaa\n", 4));
	assert_false(matches("(?m)^a$", "a\na", 3));
	assert_true(matches("a|ab", "ab", 2)); /* not the first branch that fits the begin */
	assert_true(matches("", "", 0));
	assert_true(matches(".*", "", 0));
	assert_true(matches("(?i)ABC", "abC", 3));
}

static void any_byte_is_a_character(void **state)
{
	assert_true(matches("a.c", "a\0c", 3));
	assert_true(matches("a.c", "a\nc", 3));
	assert_true(matches("a.c", "a\xff" "c", 3));
	assert_true(matches("a..c", "a\xc3\xa9" "c", 4));
	assert_true(matches("\\x00\\xff", "\0\xff", 2));
}

static void work_is_bounded(void **state)
{
	static const char *const patterns[] = { "(a+)+b", "(a|aa)+b", ".*.*.*.*x", "(?:a?){30}a{30}b",
						"((a|b)*)*x" };
	size_t len = 60000;
	char *text = malloc(len), why[160];

	memset(text, 'a', len);
	memcpy(text + len - 3, "bxa", 3);
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		struct route_regex *regex = route_regex_new(patterns[i], why, sizeof(why));

		for (size_t n = 60; n <= len; n *= 10) {
			bool exceeded = false;

			assert_non_null(regex);
			assert_false(route_regex_match(regex, text + len - n, n, &exceeded));
			assert_true(exceeded);
		}
		route_regex_free(regex);
	}
	free(text);
}

static void linear_work_is_done_however_long_the_value(void **state)
{
	size_t len = 500000;
	char *text = malloc(len), why[160];
	struct route_regex *regex = route_regex_new(".*bad.*", why, sizeof(why));

	assert_non_null(regex);
	memset(text, 'b', len);
	assert_false(route_regex_match(regex, text, len, NULL));
	memcpy(text, "bad", 3);
	assert_true(route_regex_match(regex, text, len, NULL));
	route_regex_free(regex);
	free(text);
}

static void expect_refused(const char *pattern, const char *words)
{
	char why[160];

	assert_int_equal(route_regex_check(pattern, why, sizeof(why)), -EINVAL);
	if (!strstr(why, words))
		print_error("%s: %s\n", pattern, why);
	assert_non_null(strstr(why, words));
}

static void what_is_no_expression_is_told_with_its_place(void **state)
{
	char *large = malloc(6000), why[160];

	expect_refused("a(b", "missing closing parenthesis at character 4");
	expect_refused("[z-a]", "at character");
	expect_refused("*a", "at character");
	expect_refused("a\\", "at character");
	expect_refused("\\C", "at character"); /* would split what it must not */
	expect_refused("(*UTF)a", "at character");
	memset(large, 'a', 6000);
	large[5999] = '\0';
	expect_refused(large, "longer than 4096 bytes");
	large[4096] = '\0';
	assert_int_equal(route_regex_check(large, why, sizeof(why)), 0);
	assert_int_equal(route_regex_check("/s/[a-z]+", why, sizeof(why)), 0);
	free(large);
	route_regex_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_text_must_match),
		cmocka_unit_test(any_byte_is_a_character),
		cmocka_unit_test(work_is_bounded),
		cmocka_unit_test(linear_work_is_done_however_long_the_value),
		cmocka_unit_test(what_is_no_expression_is_told_with_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
