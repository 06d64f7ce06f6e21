/* SPDX-License-Identifier: MIT */
/*
 * test_ctl_format.c - numbers as sluicectl prints them. Includes the .c file: sluicectl's own
 * sources are in no library.
 */
#include "ctl/format.c"

#include <string.h>

#include "cm.h"

static char text[FORMAT_MAX];

static void counts_are_in_groups_of_three(void **state)
{
	(void)state;
	assert_string_equal(format_count(0, text, sizeof(text)), "0");
	assert_string_equal(format_count(999, text, sizeof(text)), "999");
	assert_string_equal(format_count(1000, text, sizeof(text)), "1,000");
	assert_string_equal(format_count(1234567, text, sizeof(text)), "1,234,567");
	assert_string_equal(format_count(UINT64_MAX, text, sizeof(text)),
			    "18,446,744,073,709,551,615");
}

static void a_count_never_leaves_its_buffer(void **state)
{
	(void)state;
	for (size_t size = 3; size < 30; size++) {
		char small[32];

		memset(small, '#', sizeof(small));
		format_count(UINT64_MAX, small, size);
		assert_true(strlen(small) < size);
		assert_int_equal(small[size], '#');
	}
}

static void bytes_have_a_unit(void **state)
{
	(void)state;
	assert_string_equal(format_bytes(0, text, sizeof(text)), "0 B");
	assert_string_equal(format_bytes(1023, text, sizeof(text)), "1023 B");
	assert_string_equal(format_bytes(1536, text, sizeof(text)), "1.5 KiB");
	assert_string_equal(format_bytes(20ull << 30, text, sizeof(text)), "20 GiB");
}

static void seconds_have_two_units(void **state)
{
	(void)state;
	assert_string_equal(format_seconds(-1, text, sizeof(text)), "0.0s");
	assert_string_equal(format_seconds(0.44, text, sizeof(text)), "0.4s");
	assert_string_equal(format_seconds(12.9, text, sizeof(text)), "12s");
	assert_string_equal(format_seconds(185, text, sizeof(text)), "3m05s");
	assert_string_equal(format_seconds(7800, text, sizeof(text)), "2h10m");
	assert_string_equal(format_seconds(86400 * 5 + 3 * 3600, text, sizeof(text)), "5d03h");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_are_in_groups_of_three),
		cmocka_unit_test(a_count_never_leaves_its_buffer),
		cmocka_unit_test(bytes_have_a_unit),
		cmocka_unit_test(seconds_have_two_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
