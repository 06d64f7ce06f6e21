/* SPDX-License-Identifier: MIT */
/*
 * test_parse.c - YAML text to a tree: places, what of YAML is refused, and hostile files, which are
 * refused at once.
 */
#include "config_help.h"

#include <stdio.h>
#include <time.h>

#include "config/parse.h"

/* How long a hostile file may take, also where the sanitizers slow everything. */
#define AT_ONCE_MS 100

static unsigned long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts); /* others may be busy */
	return (unsigned long)ts.tv_sec * 1000 + (unsigned long)ts.tv_nsec / 1000000;
}

static void expect(const char *text, const char *report)
{
	help_expect_report(text, strlen(text), report);
}

/* n times unit, then tail: refused with a report that begins so. */
static void expect_refused_at_once(const char *unit, size_t n, const char *tail,
				   const char *report_begins)
{
	size_t unit_len = strlen(unit), len = unit_len * n + strlen(tail);
	struct config_report report = { 0 };
	char *text = malloc(len + 1);
	unsigned long start;

	for (size_t i = 0; i < n; i++)
		memcpy(text + i * unit_len, unit, unit_len);
	strcpy(text + unit_len * n, tail);
	start = now_ms();
	config_unref(help_read(text, len, &report));
	assert_in_range(now_ms() - start, 0, AT_ONCE_MS);
	assert_non_null(report.text);
	if (strncmp(report.text, report_begins, strlen(report_begins)))
		assert_string_equal(report.text, report_begins);
	assert_true(report.errors > 0);
	config_report_done(&report);
	free(text);
}

static void nodes_know_their_places(void **state)
{
	static const char text[] = "a: 1\n"
				   "list:\n"
				   "- {name: \"x\", deep: [p, q]}\n"
				   "- \xc3\xa4\xc3\xb6: 'single'\n"
				   "empty:\n";
	struct reporter reporter = { 0 };
	struct config_report report = { 0 };
	struct tree tree = { 0 };
	const struct node *list, *item, *deep;

	assert_true(parse_tree(&tree, (const uint8_t *)text, strlen(text), &reporter));
	assert_int_equal(tree.root->kind, NODE_MAPPING);
	assert_int_equal(tree.root->n_children, 3);
	list = node_get(tree.root, "list");
	assert_int_equal(list->kind, NODE_SEQUENCE);
	assert_int_equal(list->key_place.line, 2);
	assert_int_equal(list->key_place.column, 1);
	item = list->children;
	assert_int_equal(item->place.line, 3);
	assert_int_equal(item->place.column, 3);
	assert_true(node_get(item, "name")->quoted);
	assert_string_equal(node_get(item, "name")->text, "x");
	deep = node_get(item, "deep");
	assert_int_equal(deep->n_children, 2);
	assert_int_equal(deep->children->next->place.column, 25);
	assert_false(deep->children->quoted);
	item = item->next;
	assert_string_equal(item->children->key, "\xc3\xa4\xc3\xb6");
	assert_int_equal(item->children->place.column, 7); /* characters, not bytes */
	assert_true(item->children->quoted);
	assert_string_equal(node_get(tree.root, "empty")->text, "");
	assert_null(node_get(tree.root, "none"));
	assert_null(node_get(list, "a"));
	assert_null(node_get(NULL, "a"));
	tree_done(&tree);
	report_flush(&reporter, "f", &report);
	assert_null(report.text);
}

static void a_byte_order_mark_is_skipped(void **state)
{
	struct config *config = help_config("\xef\xbb\xbf" A_LISTENER A_GROUP);

	config_unref(config);
}

static void windows_line_ends_count_as_one(void **state)
{
	expect("workers: 1\r\nworkerz: 2\r\n" A_LISTENER A_GROUP,
	       "f:2:1: unknown key \"workerz\" in the config file, did you mean \"workers\"?\n");
}

static void nothing_in_the_file_is_refused(void **state)
{
	static const char report[] = "f:1:1: nothing in the file, want listeners and groups\n";

	expect("", report);
	expect("\n\n", report);
	expect("# only a comment\n", report);
	expect("---\n", report);
	expect("---\n...\n", report);
	expect("~", report);
}

static void a_second_document_is_refused(void **state)
{
	expect(A_LISTENER A_GROUP "---\nworkers: 1\n",
	       "f:3:1: a second document (---), want one in a file\n");
}

static void anchors_aliases_and_tags_are_refused(void **state)
{
	expect("workers: &a 1\n" A_LISTENER A_GROUP,
	       "f:1:10: an anchor (&), want the value written out\n");
	expect("log: &a {level: info}\ndrain: {grace: *a}\nworkers: !!int 4\n" A_LISTENER A_GROUP,
	       "f:1:6: an anchor (&), want the value written out\n"
	       "f:2:16: an alias (*), want the value written out\n"
	       "f:3:10: a tag (!), want the value without it\n");
	expect("? *a\n: 1\n", "f:1:3: an alias (*), want the value written out\n");
	expect("kernel: !k\n  keep: false\n" A_LISTENER A_GROUP,
	       "f:1:9: a tag (!), want the value without it\n");
}

static void directives_are_refused(void **state)
{
	expect("%YAML 1.1\n---\n" A_LISTENER A_GROUP,
	       "f:1:1: a directive (%), want the file without it\n");
	expect("# one\n\n%TAG ! x\n---\n" A_LISTENER A_GROUP,
	       "f:3:1: a directive (%), want the file without it\n");
	expect_refused_at_once("%TAG !a! x\n", 100000, "--- a\n",
			       "f:1:1: a directive (%), want the file without it\n");
}

static void keys_are_text(void **state)
{
	expect("? [a]\n: 1\n", "f:1:3: a sequence as a key, want text\n");
	expect("? {a: 1}\n: 1\n", "f:1:3: a mapping as a key, want text\n");
}

static void duplicate_keys_are_refused_and_the_first_counts(void **state)
{
	expect("workers: 1\nworkers: none\n" A_LISTENER A_GROUP,
	       "f:2:1: duplicate key \"workers\", it is on line 1 already: keep one\n");
	expect("log: {level: info, level: warn, level: debug}\n" A_LISTENER A_GROUP,
	       "f:1:20: duplicate key \"level\", it is on line 1 already: keep one\n"
	       "f:1:33: duplicate key \"level\", it is on line 1 already: keep one\n");
}

static void line_breaks_and_controls_in_values_are_refused(void **state)
{
	expect("control:\n  socket: |\n    /run/a\n" A_LISTENER A_GROUP,
	       "f:2:11: text with a line break or control character, want one line\n");
	expect("control: {socket: \"/a\\0b\"}\n" A_LISTENER A_GROUP,
	       "f:1:19: text with a line break or control character, want one line\n");
	expect("\"a\\x1bb\": 1\n" A_LISTENER A_GROUP,
	       "f:1:1: text with a line break or control character, want one line\n"
	       "f:1:1: unknown key \"a\\x1bb\" in the config file, want one of: listeners, groups, "
	       "workers, runtime, control, log, drain, errors, limits, kernel\n");
}

static void what_is_no_yaml_is_refused_with_its_place(void **state)
{
	expect("workers: 1\n  log: {}\n",
	       "f:2:6: not YAML: mapping values are not allowed in this context, want \"key: "
	       "value\" lines, and quotes around values with [ ] { } # or \": \" in them\n");
	expect("groups:\n- {address: [::]:443}\n",
	       "f:2:14: not YAML: while parsing a flow node, did not find expected node content, "
	       "want \"key: value\" lines, and quotes around values with [ ] { } # or \": \" in "
	       "them\n");
	expect("a: \"open\n",
	       "f:2:1: not YAML: while scanning a quoted scalar, found unexpected end of stream, "
	       "want \"key: value\" lines, and quotes around values with [ ] { } # or \": \" in "
	       "them\n");
	expect("\tworkers: 1\n",
	       "f:1:1: not YAML: while scanning for the next token, found character that cannot "
	       "start any token, want \"key: value\" lines, and quotes around values with [ ] { } "
	       "# or \": \" in them\n");
}

static void a_scalar_or_sequence_is_no_config(void **state)
{
	expect("hello\n", "f:1:1: the config file is text (\"hello\"), want a mapping: listeners: "
			  "...\n");
	expect("- a\n", "f:1:1: the config file is a sequence, want a mapping: listeners: ...\n");
}

static void what_is_not_utf8_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *report;
	} cases[] = {
		{ "a: b\n\xff", 6, "f:2:1: byte 0xff is not UTF-8, want a file in UTF-8\n" },
		{ "\xc3\xa4\xc3", 3, "f:1:2: byte 0xc3 is not UTF-8, want a file in UTF-8\n" },
		{ "\xc0\x80", 2, "f:1:1: byte 0xc0 is not UTF-8, want a file in UTF-8\n" },
		{ "\xe0\x80\x80", 3, "f:1:1: byte 0xe0 is not UTF-8, want a file in UTF-8\n" },
		{ "\xed\xa0\x80", 3, "f:1:1: byte 0xed is not UTF-8, want a file in UTF-8\n" },
		{ "\xf4\x90\x80\x80", 4, "f:1:1: byte 0xf4 is not UTF-8, want a file in UTF-8\n" },
		{ "\xf8\x88\x80\x80\x80", 5,
		  "f:1:1: byte 0xf8 is not UTF-8, want a file in UTF-8\n" },
		{ "a\x80", 2, "f:1:2: byte 0x80 is not UTF-8, want a file in UTF-8\n" },
		{ "a\0b", 3, "f:1:2: control character 0x00, want text\n" },
		{ "a\n\nb\x1b[2J", 7, "f:3:2: control character 0x1b, want text\n" },
		{ "a\x7f", 2, "f:1:2: control character 0x7f, want text\n" },
		/* UTF-16 */
		{ "\xff\xfe" "a\0", 4, "f:1:1: byte 0xff is not UTF-8, want a file in UTF-8\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		help_expect_report(cases[i].bytes, cases[i].len, cases[i].report);
}

static void nesting_is_bounded(void **state)
{
	expect_refused_at_once("[", 32, "", "f:2:1: not YAML: ");
	expect_refused_at_once("[", 33, "", "f:1:33: nested deeper than 32 levels, want fewer\n");
	expect_refused_at_once("[", 100000, "",
			       "f:1:33: nested deeper than 32 levels, want fewer\n");
	expect_refused_at_once("{a: ", 100000, "",
			       "f:1:129: nested deeper than 32 levels, want fewer\n");
	expect_refused_at_once("- ", 100000, "",
			       "f:1:65: nested deeper than 32 levels, want fewer\n");
	expect_refused_at_once("? ", 100000, "", "f:1:3: a mapping as a key, want text\n");
}

static void noise_is_refused_at_once(void **state)
{
	size_t len = 10 << 20;
	struct config_report report = { 0 };
	uint32_t random = 12345;
	unsigned long start;
	char *noise = malloc(len);

	for (size_t i = 0; i < len; i++) {
		random = random * 1664525 + 1013904223;
		noise[i] = (char)(random >> 24);
	}
	start = now_ms();
	assert_null(help_read(noise, len, &report));
	assert_in_range(now_ms() - start, 0, AT_ONCE_MS);
	assert_int_equal(report.errors, 1);
	config_report_done(&report);
	free(noise);
}

static void too_many_keys_or_values_end_the_parse(void **state)
{
	char text[4096];
	size_t len = 0;

	for (unsigned i = 0; i < 65; i++)
		len += (size_t)sprintf(text + len, "key%u: 1\n", i);
	assert_non_null(strstr(text, "key64"));
	expect(text, "f:65:1: more than 64 keys in one mapping, want known keys only\n");
}

static void a_file_full_of_values_ends_at_a_bound(void **state)
{
	size_t n = 600000;
	char *text = malloc(2 * n + 2);
	struct config_report report = { 0 };

	text[0] = '[';
	for (size_t i = 0; i < n; i++)
		memcpy(text + 1 + 2 * i, "a,", 2);
	text[1 + 2 * n] = ']';
	assert_null(help_read(text, 2 * n + 2, &report));
	assert_string_equal(report.text,
			    "f:1:1000000: more than 500000 values, want a smaller file\n");
	config_report_done(&report);
	free(text);
}

static void the_report_is_bounded(void **state)
{
	size_t n = 50000, len = 0;
	char *text = malloc(n * 8 + 256);
	struct config_report report = { 0 };

	len += (size_t)sprintf(text, A_LISTENER "groups:\n");
	for (size_t i = 0; i < 4000; i++)
		len += (size_t)sprintf(text + len, "- x\n");
	config_unref(help_read(text, len, &report));
	assert_true(report.errors >= 4000);
	assert_true(report.len < 100 * 200);
	assert_non_null(strstr(report.text, "f:1:1: 3901 more errors and warnings are not shown\n"));
	config_report_done(&report);
	free(text);
}

static void quoting_tames_what_a_terminal_would_obey(void **state)
{
	char out[REPORT_QUOTE_MAX], text[300];

	assert_string_equal(report_quote(out, "a\x1b[2Jb"), "\"a\\x1b[2Jb\"");
	assert_string_equal(report_quote(out, "\xc2\x9b" "1m"), "\"\\x9b1m\"");
	assert_string_equal(report_quote(out, "\xc3\xa4"), "\"\xc3\xa4\"");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	report_quote(out, text);
	assert_int_equal(strlen(out), 60 + 5);
	assert_string_equal(out + 58, "xxx...\"");
	for (size_t i = 0; i + 1 < sizeof(text); i++)
		text[i] = i % 2 ? '\xa4' : '\xc3';
	assert_true(strlen(report_quote(out, text)) < REPORT_QUOTE_MAX);
	for (size_t i = 0; i + 1 < sizeof(text); i++)
		text[i] = '\x01';
	assert_true(strlen(report_quote(out, text)) < REPORT_QUOTE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_know_their_places),
		cmocka_unit_test(a_byte_order_mark_is_skipped),
		cmocka_unit_test(windows_line_ends_count_as_one),
		cmocka_unit_test(nothing_in_the_file_is_refused),
		cmocka_unit_test(a_second_document_is_refused),
		cmocka_unit_test(anchors_aliases_and_tags_are_refused),
		cmocka_unit_test(directives_are_refused),
		cmocka_unit_test(keys_are_text),
		cmocka_unit_test(duplicate_keys_are_refused_and_the_first_counts),
		cmocka_unit_test(line_breaks_and_controls_in_values_are_refused),
		cmocka_unit_test(what_is_no_yaml_is_refused_with_its_place),
		cmocka_unit_test(a_scalar_or_sequence_is_no_config),
		cmocka_unit_test(what_is_not_utf8_is_refused_with_its_place),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(noise_is_refused_at_once),
		cmocka_unit_test(too_many_keys_or_values_end_the_parse),
		cmocka_unit_test(a_file_full_of_values_ends_at_a_bound),
		cmocka_unit_test(the_report_is_bounded),
		cmocka_unit_test(quoting_tames_what_a_terminal_would_obey),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
