/* SPDX-License-Identifier: MIT */
/*
 * test_textmap.c - names are found whatever their case, and a table that cannot grow stays whole.
 */
#include "base/textmap.h"

#include <errno.h>
#include <stdio.h>

#include "cm.h"
#include "fault.h"

#define MANY 1000

struct thing {
	struct textmap_link link;
	char name[24];
};

static struct thing things[MANY];

static void fill(struct textmap *map)
{
	for (int i = 0; i < MANY; i++) {
		snprintf(things[i].name, sizeof(things[i].name), "host%d.example", i);
		assert_int_equal(textmap_add(map, &things[i].link, things[i].name), 0);
	}
}

static void what_was_added_is_found_whatever_its_case(void **state)
{
	struct textmap map = { 0 };
	char name[24];

	(void)state;
	assert_null(textmap_find(&map, "host1.example"));
	fill(&map);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "HOST%d.Example", i);
		assert_ptr_equal(textmap_find(&map, name), &things[i].link);
	}
	assert_null(textmap_find(&map, "host1000.example"));
	assert_null(textmap_find(&map, ""));
	textmap_done(&map);
}

static void what_was_taken_out_is_not_found_and_all_else_is(void **state)
{
	struct textmap map = { 0 };

	(void)state;
	fill(&map);
	for (int i = 0; i < MANY; i += 2)
		textmap_del(&map, &things[i].link);
	assert_int_equal(map.n, MANY / 2);
	for (int i = 0; i < MANY; i++)
		assert_ptr_equal(textmap_find(&map, things[i].name),
				 i % 2 ? &things[i].link : NULL);
	textmap_done(&map);
}

static void without_memory_what_was_there_stays(void **state)
{
	(void)state;
	FAULT_EACH(n) {
		struct textmap map = { 0 };
		int added = 0;

		while (added < 100 &&
		       !textmap_add(&map, &things[added].link, things[added].name))
			added++;
		fault_stop();
		assert_int_equal(added < 100, fault_hit());
		for (int i = 0; i < added; i++)
			assert_ptr_equal(textmap_find(&map, things[i].name), &things[i].link);
		textmap_done(&map);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_added_is_found_whatever_its_case),
		cmocka_unit_test(what_was_taken_out_is_not_found_and_all_else_is),
		cmocka_unit_test(without_memory_what_was_there_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
