/* SPDX-License-Identifier: MIT */
/*
 * test_ctl_top.c - top's layout, rates and sources without a terminal. Includes the .c files:
 * sluicectl's own sources are in no library.
 */
#include "ctl/format.c"
#include "ctl/top_lines.c"
#include "ctl/top_sources.c"
#include "ctl/top_text.c"
#include "ctl/top_tables.c"

#include <locale.h>

#include "cm.h"

/* What top_lines.c and top_sources.c use of files that speak to the daemon. */
const char *const listen_reasons[VERDICT_MAX] = {
#define REASON_NAME(NAME, name, text) [VERDICT_##NAME] = #name,
	SLUICE_VERDICTS(REASON_NAME)
#undef REASON_NAME
};

uint64_t listen_mask_drops(void)
{
	return ~0ull;
}

static json_t *rows_none;

const json_t *top_model_rows(const struct top_model *model, const char *name)
{
	const json_t *rows = json_object_get(model->now, name);

	return rows ? rows : rows_none;
}

/* ---- text ---- */

static void text_takes_just_its_columns(void **state)
{
	static const struct {
		const char *text;
		int columns;
		bool right;
		const char *want;
	} cases[] = {
		{ "abc", 5, false, "abc  " },	 { "abc", 5, true, "  abc" },
		{ "abcdef", 3, false, "abc" },	 { "abcdef", 3, true, "abc" },
		{ "", 2, false, "  " },		 { "a\tb\033c", 5, false, "a?b?c" },
		{ "gr\xc3\xbc\xc3\x9f" "e", 6, false, "gr\xc3\xbc\xc3\x9f" "e " },
		/* two columns each: half of one does not fit */
		{ "\xe6\xb0\xb4\xe6\xb0\xb4", 3, false, "\xe6\xb0\xb4 " },
		{ "\xff\xfe", 3, true, " ??" },
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		text[0] = '\0';
		top_text_put(text, sizeof(text), cases[i].text, cases[i].columns, cases[i].right);
		assert_string_equal(text, cases[i].want);
	}
	text[0] = '\0';
	top_text_put(text, 4, "abcdef", 6, false); /* what does not fit is left out */
	assert_string_equal(text, "abc");
}

/* ---- sources ---- */

static const json_t *source_row(const struct top_sources *sources, json_t **rows,
				const char *address)
{
	*rows = json_array();
	top_sources_rows(sources, *rows);
	for (size_t i = 0; i < json_array_size(*rows); i++)
		if (!strcmp(text_of(json_array_get(*rows, i), "source"), address))
			return json_array_get(*rows, i);
	return NULL;
}

static void a_source_has_its_share_of_what_the_gate_counted(void **state)
{
	struct top_sources *sources = calloc(1, sizeof(*sources));
	double rates[VERDICT_MAX] = { [VERDICT_DROP_ACL] = 4000 };
	const json_t *row;
	json_t *rows;

	(void)state;
	for (int i = 0; i < 30; i++)
		top_sources_add(sources, "198.18.0.3", VERDICT_DROP_ACL);
	for (int i = 0; i < 10; i++)
		top_sources_add(sources, "fd00::3", VERDICT_DROP_ACL);
	top_sources_turn(sources, rates, 1);
	row = source_row(sources, &rows, "198.18.0.3");
	assert_true(number_of(row, "per_second") > 2999 && number_of(row, "per_second") < 3001);
	assert_int_equal(number_of(row, "total"), 30);
	assert_string_equal(text_of(row, "why"), "drop_acl");
	json_decref(rows);
	/* Without events it is still there, with no rate; long without, it is forgotten. */
	top_sources_turn(sources, rates, 1);
	row = source_row(sources, &rows, "fd00::3");
	assert_int_equal(number_of(row, "per_second"), 0);
	json_decref(rows);
	for (int i = 0; i < 100; i++)
		top_sources_turn(sources, rates, 1);
	assert_null(source_row(sources, &rows, "fd00::3"));
	json_decref(rows);
	free(sources);
}

static void a_flood_from_everywhere_pushes_out_none_who_sends_much(void **state)
{
	struct top_sources *sources = calloc(1, sizeof(*sources));
	double rates[VERDICT_MAX] = { 0 };
	char address[46];
	json_t *rows;

	(void)state;
	for (int i = 0; i < 50; i++)
		top_sources_add(sources, "198.18.0.3", VERDICT_DROP_SOURCE_LIMIT);
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(address, sizeof(address), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		top_sources_add(sources, address, VERDICT_DROP_SOURCE_LIMIT);
	}
	top_sources_add(sources, "an address that is longer than any that there can be",
			VERDICT_DROP_ACL);
	top_sources_add(sources, "198.18.0.9", VERDICT_MAX);
	top_sources_turn(sources, rates, 1);
	assert_int_equal(number_of(source_row(sources, &rows, "198.18.0.3"), "total"), 50);
	assert_true(json_array_size(rows) <= TOP_SOURCES);
	json_decref(rows);
	free(sources);
}

/* ---- lines ---- */

static json_t *backends(size_t n)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			rows, json_pack("{s:o, s:s, s:s, s:i, s:i, s:f, s:f, s:i, s:s}", "address",
					json_sprintf("198.18.1.%zu:50051", i + 1), "group", "echo",
					"health", i % 2 ? "down" : "up", "weight", 100,
					"active_rpcs", (int)i, "calls_per_second", (double)(i * 7 % 5),
					"failures_per_second", 0.0, "connections", 1, "note", ""));
	return rows;
}

static struct top_model *model_of(json_t *now)
{
	struct top_model *model = calloc(1, sizeof(*model));

	model->now = now;
	return model;
}

static void model_free(struct top_model *model)
{
	json_decref(model->now);
	free(model);
}

static void every_size_is_filled_and_none_overrun(void **state)
{
	json_t *now = json_pack("{s:{}, s:o}", "status", "backends", backends(40));
	struct top_model *model = model_of(now);
	struct top_lines lines = { 0 };
	struct top_choice choice;

	(void)state;
	for (int view = 0; view < TOP_VIEWS; view++) {
		for (int width = 40; width < 210; width += 13) {
			for (int height = 8; height < 60; height += 7) {
				top_choice_init(&choice);
				choice.view = (enum top_view)view;
				assert_int_equal(top_lines_fill(&lines, model, &choice, width,
								height), 0);
				assert_int_equal(lines.n, height);
				for (size_t i = 0; i < lines.n; i++)
					assert_int_equal(top_text_width(lines.lines[i].text),
							 width);
			}
		}
	}
	assert_int_equal(top_lines_fill(&lines, model, &choice, 39, 24), 0);
	assert_int_equal(lines.n, 1);
	assert_int_equal(top_lines_fill(&lines, model, &choice, 5000, 24), 0);
	assert_int_equal(top_text_width(lines.lines[0].text), TOP_COLUMNS_MAX);
	top_lines_done(&lines);
	model_free(model);
}

/* The first words of the lines below the heading of the table, n of them, with blanks between. */
static const char *column_of(const struct top_lines *lines, size_t n)
{
	static char text[1024];

	text[0] = '\0';
	for (size_t i = 5; i < 5 + n; i++) {
		size_t len = strcspn(lines->lines[i].text, ":");

		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s ",
			 (int)(len - strlen("198.18.1.")), lines->lines[i].text + 9);
	}
	return text;
}

static void rows_are_sorted_and_scrolled(void **state)
{
	struct top_model *model =
		model_of(json_pack("{s:{}, s:o}", "status", "backends", backends(12)));
	struct top_lines lines = { 0 };
	struct top_choice choice;

	(void)state;
	top_choice_init(&choice);
	choice.view = TOP_BACKENDS;
	assert_int_equal(top_lines_fill(&lines, model, &choice, 80, 24), 0);
	assert_string_equal(column_of(&lines, 4), "1 2 3 4 ");
	for (int i = 0; i < 6; i++)
		top_choice_sort(&choice, 1); /* to CALLS/S */
	assert_int_equal(top_lines_fill(&lines, model, &choice, 80, 24), 0);
	assert_string_equal(column_of(&lines, 5), "3 8 5 10 2 "); /* equal ones keep their order */
	assert_int_equal(lines.lines[4].mark_columns, 7);
	assert_memory_equal(lines.lines[4].text + lines.lines[4].mark, "CALLS/S", 7);
	choice.rising[TOP_BACKENDS] = true;
	assert_int_equal(top_lines_fill(&lines, model, &choice, 80, 24), 0);
	assert_string_equal(column_of(&lines, 3), "1 6 11 ");
	top_choice_sort(&choice, -1);
	while (choice.sort[TOP_BACKENDS] >= 0)
		top_choice_sort(&choice, -1);
	choice.scroll = SIZE_MAX / 2; /* the end */
	assert_int_equal(top_lines_fill(&lines, model, &choice, 80, 10), 0);
	assert_string_equal(column_of(&lines, 4), "9 10 11 12 ");
	assert_int_equal(choice.scroll, 8);
	assert_int_equal(lines.lines[6].style, TOP_BAD); /* down */
	top_lines_done(&lines);
	model_free(model);
}

static void room_is_shared_among_the_tables(void **state)
{
	struct rows rows[TOP_VIEWS] = {
		[TOP_VERDICTS] = { .n = 1 }, [TOP_GROUPS] = { .n = 30 }, [TOP_WORKERS] = { .n = 2 },
	};
	size_t shares[TOP_VIEWS];

	(void)state;
	share(rows, 20, shares);
	assert_int_equal(shares[TOP_VERDICTS], 1);
	assert_int_equal(shares[TOP_LISTENERS], 0);
	assert_int_equal(shares[TOP_WORKERS], 2);
	assert_int_equal(shares[TOP_GROUPS], 20 - 3 - 1 - 2);
	share(rows, 5, shares); /* the last has no room */
	assert_int_equal(shares[TOP_VERDICTS] + shares[TOP_GROUPS] + shares[TOP_WORKERS], 3);
	assert_int_equal(shares[TOP_WORKERS], 0);
	share(rows, 0, shares);
	assert_int_equal(shares[TOP_VERDICTS], 0);
}

static void a_sample_that_failed_leaves_what_was_known(void **state)
{
	struct top_model *model =
		model_of(json_pack("{s:{}, s:o}", "status", "backends", backends(2)));
	struct top_lines lines = { 0 };
	struct top_choice choice;
	bool said = false, there = false;

	(void)state;
	top_choice_init(&choice);
	strcpy(model->why, "sluiced is not running");
	assert_int_equal(top_lines_fill(&lines, model, &choice, 80, 24), 0);
	for (size_t i = 0; i < lines.n; i++) {
		said |= !strncmp(lines.lines[i].text, "sluiced is not running", 22);
		there |= !strncmp(lines.lines[i].text, "198.18.1.1:50051", 16);
	}
	assert_true(said && there);
	top_lines_done(&lines);
	model_free(model);
}

static int setup(void **state)
{
	(void)state;
	rows_none = json_array();
	return setlocale(LC_CTYPE, "C.UTF-8") ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	json_decref(rows_none);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_takes_just_its_columns),
		cmocka_unit_test(a_source_has_its_share_of_what_the_gate_counted),
		cmocka_unit_test(a_flood_from_everywhere_pushes_out_none_who_sends_much),
		cmocka_unit_test(every_size_is_filled_and_none_overrun),
		cmocka_unit_test(rows_are_sorted_and_scrolled),
		cmocka_unit_test(room_is_shared_among_the_tables),
		cmocka_unit_test(a_sample_that_failed_leaves_what_was_known),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
