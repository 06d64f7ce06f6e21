/* SPDX-License-Identifier: MIT */
/*
 * test_scalar.c - what one scalar says: numbers, durations, sizes, rates, and what is none.
 */
#include "cm.h"

#include <string.h>

#include "config/nearest.h"
#include "config/scalar.h"

static struct node plain(const char *text)
{
	return (struct node){ .kind = NODE_SCALAR, .text = text };
}

static struct node quoted(const char *text)
{
	return (struct node){ .kind = NODE_SCALAR, .text = text, .quoted = true };
}

static void numbers_are_plain_decimal_digits(void **state)
{
	static const char *const refused[] = { "",    "abc", "1x",  "+1", "0x10", "010", "1_000",
					       "1.0", "1e3", " 1", "-",  "-x",	 "1:30" };
	struct node node = plain("128");
	uint64_t value = 7;

	assert_int_equal(scalar_uint(&node, &value), SCALAR_OK);
	assert_int_equal(value, 128);
	node = plain("18446744073709551615");
	assert_int_equal(scalar_uint(&node, &value), SCALAR_OK);
	assert_true(value == UINT64_MAX);
	value = 7;
	node = plain("18446744073709551616");
	assert_int_equal(scalar_uint(&node, &value), SCALAR_RANGE);
	node = plain("-1");
	assert_int_equal(scalar_uint(&node, &value), SCALAR_RANGE);
	node = quoted("5");
	assert_int_equal(scalar_uint(&node, &value), SCALAR_TYPE);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		node = plain(refused[i]);
		assert_int_equal(scalar_uint(&node, &value), SCALAR_TYPE);
	}
	node = (struct node){ .kind = NODE_MAPPING };
	assert_int_equal(scalar_uint(&node, &value), SCALAR_TYPE);
	assert_int_equal(value, 7);
}

static void durations_have_a_unit(void **state)
{
	static const struct {
		const char *text;
		enum scalar_fault fault;
		uint64_t ms;
	} cases[] = {
		{ "500ms", SCALAR_OK, 500 },	    { "2s", SCALAR_OK, 2000 },
		{ "1m", SCALAR_OK, 60000 },	    { "3h", SCALAR_OK, 10800000 },
		{ "0s", SCALAR_OK, 0 },		    { "2", SCALAR_UNIT_MISSING, 0 },
		{ "2sec", SCALAR_UNIT_UNKNOWN, 0 }, { "2 s", SCALAR_UNIT_UNKNOWN, 0 },
		{ "2S", SCALAR_UNIT_UNKNOWN, 0 },   { "2us", SCALAR_UNIT_UNKNOWN, 0 },
		{ "1.5s", SCALAR_TYPE, 0 },	    { "s", SCALAR_TYPE, 0 },
		{ "soon", SCALAR_TYPE, 0 },	    { "-2s", SCALAR_RANGE, 0 },
		{ "18446744073709551615h", SCALAR_RANGE, 0 },
		{ "99999999999999999999s", SCALAR_RANGE, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct node node = plain(cases[i].text);
		uint64_t ms = 0;

		assert_int_equal(scalar_duration(&node, &ms), cases[i].fault);
		assert_int_equal(ms, cases[i].ms);
		node.quoted = true;
		assert_int_equal(scalar_duration(&node, &ms), cases[i].fault);
	}
}

static void sizes_have_a_binary_unit(void **state)
{
	struct node node = plain("64KiB");
	uint64_t bytes = 0;

	assert_int_equal(scalar_size(&node, &bytes), SCALAR_OK);
	assert_int_equal(bytes, 65536);
	node = plain("512B");
	assert_int_equal(scalar_size(&node, &bytes), SCALAR_OK);
	assert_int_equal(bytes, 512);
	node = plain("2GiB");
	assert_int_equal(scalar_size(&node, &bytes), SCALAR_OK);
	assert_true(bytes == 2ull << 30);
	node = plain("64KB");
	assert_int_equal(scalar_size(&node, &bytes), SCALAR_UNIT_UNKNOWN);
	node = plain("65536");
	assert_int_equal(scalar_size(&node, &bytes), SCALAR_UNIT_MISSING);
	node = plain("17179869184GiB");
	assert_int_equal(scalar_size(&node, &bytes), SCALAR_RANGE);
}

static void rates_are_a_count_in_a_second_or_minute(void **state)
{
	struct node node = plain("100/s");
	uint64_t count = 0, unit_ns = 0;

	assert_int_equal(scalar_rate(&node, &count, &unit_ns), SCALAR_OK);
	assert_int_equal(count, 100);
	assert_int_equal(unit_ns, 1000000000);
	node = plain("10/m");
	assert_int_equal(scalar_rate(&node, &count, &unit_ns), SCALAR_OK);
	assert_int_equal(count, 10);
	assert_true(unit_ns == 60000000000ull);
	node = plain("100");
	assert_int_equal(scalar_rate(&node, &count, &unit_ns), SCALAR_UNIT_MISSING);
	node = plain("100/h");
	assert_int_equal(scalar_rate(&node, &count, &unit_ns), SCALAR_UNIT_UNKNOWN);
	node = plain("fast");
	assert_int_equal(scalar_rate(&node, &count, &unit_ns), SCALAR_TYPE);
}

static void decimals_are_exact_and_no_finer_than_kept(void **state)
{
	static const struct {
		const char *text, *unit;
		unsigned decimals;
		enum scalar_fault fault;
		uint64_t value;
	} cases[] = {
		{ "20%", "%", 0, SCALAR_OK, 20 },
		{ "0%", "%", 2, SCALAR_OK, 0 },
		{ "0.25%", "%", 2, SCALAR_OK, 25 },
		{ "0.5%", "%", 2, SCALAR_OK, 50 },
		{ "100%", "%", 2, SCALAR_OK, 10000 },
		{ "1.9", "", 3, SCALAR_OK, 1900 },
		{ "3", "", 3, SCALAR_OK, 3000 },
		{ "0.001", "", 3, SCALAR_OK, 1 },
		{ "0.125%", "%", 2, SCALAR_TYPE, 0 },
		{ "1.5%", "%", 0, SCALAR_TYPE, 0 },
		{ "1.%", "%", 2, SCALAR_TYPE, 0 },
		{ ".5%", "%", 2, SCALAR_TYPE, 0 },
		{ "01%", "%", 2, SCALAR_TYPE, 0 },
		{ "1.2345", "", 3, SCALAR_TYPE, 0 },
		{ "1.9x", "", 3, SCALAR_TYPE, 0 },
		{ "5", "%", 2, SCALAR_UNIT_MISSING, 0 },
		{ "5 %", "%", 2, SCALAR_UNIT_UNKNOWN, 0 },
		{ "-5%", "%", 2, SCALAR_RANGE, 0 },
		{ "18446744073709551615%", "%", 0, SCALAR_OK, UINT64_MAX },
		{ "18446744073709551616%", "%", 0, SCALAR_RANGE, 0 },
		{ "184467440737095517%", "%", 2, SCALAR_RANGE, 0 },
	};
	uint64_t value;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct node node = plain(cases[i].text);

		value = 0;
		assert_int_equal(scalar_decimal(&node, cases[i].decimals, cases[i].unit, &value),
				 cases[i].fault);
		assert_true(value == cases[i].value);
	}
	struct node node = quoted("1.9");

	assert_int_equal(scalar_decimal(&node, 3, "", &value), SCALAR_TYPE);
}

static void truth_values_are_true_and_false_only(void **state)
{
	static const char *const refused[] = { "yes", "no", "on", "off", "True", "FALSE", "1", "" };
	struct node node = plain("true");
	bool value = false;

	assert_int_equal(scalar_bool(&node, &value), SCALAR_OK);
	assert_true(value);
	node = plain("false");
	assert_int_equal(scalar_bool(&node, &value), SCALAR_OK);
	assert_false(value);
	node = quoted("true");
	assert_int_equal(scalar_bool(&node, &value), SCALAR_TYPE);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		node = plain(refused[i]);
		assert_int_equal(scalar_bool(&node, &value), SCALAR_TYPE);
	}
}

static void text_that_looks_like_something_else_wants_quotes(void **state)
{
	static const struct {
		const char *text, *is;
	} cases[] = {
		{ "5", "a number" },   { "-1.5e3", "a number" }, { "0x1f", "a number" },
		{ ".5", "a number" },  { "true", "a truth value" }, { "False", "a truth value" },
		{ "null", "nothing" }, { "~", "nothing" },	 { "", "nothing" },
	};
	static const char *const texts[] = { "grpc",   "off", "5a",	 "192.0.2.1", "1.2.3",
					     "inf",    "nan", "-",	 "2001:db8::",
					     "198.18.1.11:50051" };
	const char *text = NULL;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct node node = plain(cases[i].text);

		assert_int_equal(scalar_text(&node, &text), SCALAR_TYPE);
		assert_string_equal(node_describe(&node), cases[i].is);
		node = quoted(cases[i].text);
		assert_int_equal(scalar_text(&node, &text), SCALAR_OK);
		assert_string_equal(text, cases[i].text);
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct node node = plain(texts[i]);

		assert_int_equal(scalar_text(&node, &text), SCALAR_OK);
		assert_string_equal(text, texts[i]);
	}
}

static void distance_counts_edits_and_swaps(void **state)
{
	assert_int_equal(nearest_distance("weight", "weight"), 0);
	assert_int_equal(nearest_distance("wieght", "weight"), 1);
	assert_int_equal(nearest_distance("weigh", "weight"), 1);
	assert_int_equal(nearest_distance("weights", "weight"), 1);
	assert_int_equal(nearest_distance("height", "weight"), 1);
	assert_int_equal(nearest_distance("", "weight"), 6);
	assert_int_equal(nearest_distance("kitten", "sitting"), 3);
	assert_true(nearest_is_slip("health", "health_check", 6));
	assert_true(nearest_is_slip("listner", "listeners", 2));
	assert_false(nearest_is_slip("colour", "weight", 6));
	assert_false(nearest_is_slip("xy", "ab", 2));
}

static void long_words_are_far_from_all(void **state)
{
	char word[NEAREST_WORD_MAX + 2];

	memset(word, 'a', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	assert_true(nearest_distance(word, "a") > NEAREST_WORD_MAX);
	word[NEAREST_WORD_MAX] = '\0';
	assert_int_equal(nearest_distance(word, "a"), NEAREST_WORD_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_plain_decimal_digits),
		cmocka_unit_test(durations_have_a_unit),
		cmocka_unit_test(sizes_have_a_binary_unit),
		cmocka_unit_test(rates_are_a_count_in_a_second_or_minute),
		cmocka_unit_test(decimals_are_exact_and_no_finer_than_kept),
		cmocka_unit_test(truth_values_are_true_and_false_only),
		cmocka_unit_test(text_that_looks_like_something_else_wants_quotes),
		cmocka_unit_test(distance_counts_edits_and_swaps),
		cmocka_unit_test(long_words_are_far_from_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
