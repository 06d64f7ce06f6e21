/* SPDX-License-Identifier: MIT */
/*
 * test_docs.c - docs/CONFIG.md and examples/ against the program: every key of the tables has its
 * row with the true default and range, no row is about a key that does not exist, and every example
 * loads without a warning. Runs in the repository's folder.
 */
#include "pem_help.h"

#include <glob.h>
#include <inttypes.h>

#include "config/fields.h"
#include "config/file.h"
#include "config/load.h"
#include "config/parse.h"
#include "proxy/config_hooks.h"

#define DOC "docs/CONFIG.md"
#define TLS_FOLDER "/etc/sluice/tls/"
#define ACL_FOLDER "/etc/sluice/acl/"

static char *read_text(const char *path)
{
	uint8_t *bytes;
	size_t len;
	char *text;

	if (file_read(path, 1 << 20, &bytes, &len)) {
		print_message("SKIP: no %s here: run in the repository's folder\n", path);
		skip();
	}
	text = calloc(1, len + 1);
	memcpy(text, bytes, len);
	free(bytes);
	return text;
}

/* docs */

static void format_number(enum schema_type type, uint64_t value, char out[32])
{
	static const char *const sizes[] = { "B", "KiB", "MiB", "GiB" };
	unsigned unit = 0;

	switch (type) {
	case SCHEMA_DURATION:
		if (value % 1000)
			snprintf(out, 32, "%" PRIu64 "ms", value);
		else if (!value || value % 60000)
			snprintf(out, 32, "%" PRIu64 "s", value / 1000);
		else if (value % 3600000)
			snprintf(out, 32, "%" PRIu64 "m", value / 60000);
		else
			snprintf(out, 32, "%" PRIu64 "h", value / 3600000);
		break;
	case SCHEMA_SIZE:
		for (; unit < 3 && value && value % 1024 == 0; unit++)
			value /= 1024;
		snprintf(out, 32, "%" PRIu64 "%s", value, sizes[unit]);
		break;
	case SCHEMA_RATE:
		snprintf(out, 32, "%" PRIu64 "/s", value);
		break;
	case SCHEMA_PERCENT:
		snprintf(out, 32, "%" PRIu64 "%%", value);
		break;
	case SCHEMA_SHARE:
		snprintf(out, 32, "%g%%", (double)value / 100);
		break;
	case SCHEMA_FACTOR:
		snprintf(out, 32, "%g", (double)value / 1000);
		break;
	default:
		snprintf(out, 32, "%" PRIu64, value);
	}
}

/* What the row says about default and range, as "| default | range |"; "" for what the tables do
 * not know. */
static void expect_columns(const struct schema_field *field, char out[256])
{
	bool or_zero = field->flags & SCHEMA_OR_ZERO;
	char preset[32], zero[34] = "", least[32], most[32];
	const struct schema_choice *choice;
	size_t len;

	out[0] = '\0';
	format_number(field->type, field->preset, preset);
	format_number(field->type, field->min, least);
	format_number(field->type, field->max, most);
	switch (field->type) {
	case SCHEMA_UINT:
	case SCHEMA_DURATION:
	case SCHEMA_SIZE:
	case SCHEMA_PERCENT:
	case SCHEMA_SHARE:
	case SCHEMA_FACTOR:
		if (or_zero)
			format_number(field->type, 0, zero);
		if (field->flags & SCHEMA_REQUIRED)
			snprintf(out, 256, "| required | %s to %s | ", least, most);
		else if (field->preset < field->min && !or_zero) /* depends on another key */
			snprintf(out, 256, " | %s to %s | ", least, most);
		else
			snprintf(out, 256, "| `%s` | %s%s%s to %s | ", preset, zero,
				 or_zero ? ", " : "", least, most);
		break;
	case SCHEMA_RATE:
		if (field->preset)
			snprintf(out, 256, "| `%s` | %s to %s | ", preset, least, most);
		else
			snprintf(out, 256, "| %s | %s to %s | ",
				 field->flags & SCHEMA_REQUIRED ? "required" : "none", least, most);
		break;
	case SCHEMA_BOOL:
		snprintf(out, 256, "| `%s` | true, false | ", field->preset ? "true" : "false");
		break;
	case SCHEMA_CHOICE:
		for (choice = field->choices; choice->value != field->preset; choice++)
			;
		len = (size_t)snprintf(out, 256, "| `%s` | ", choice->name);
		for (choice = field->choices; choice->name; choice++)
			len += (size_t)snprintf(out + len, 256 - len, "%s%s", choice->name,
						choice[1].name ? ", " : " | ");
		break;
	case SCHEMA_TEXT:
		if (field->preset_text)
			snprintf(out, 256, "| `%s` | ", *field->preset_text ? field->preset_text :
									      "\"\"");
		else
			snprintf(out, 256, "| %s | ",
				 field->flags & SCHEMA_REQUIRED ? "required" : "none");
		break;
	case SCHEMA_LIST:
	case SCHEMA_CUSTOM:
	case SCHEMA_MAP:
		if (field->flags & SCHEMA_REQUIRED)
			snprintf(out, 256, "| required | ");
		break;
	}
}

/* Checks the rows of map's fields; returns how many were found. */
static unsigned check_rows(const char *doc, const struct schema_map *map, const char *prefix)
{
	unsigned rows = 0;

	for (const struct schema_field *field = map->fields; field->key; field++) {
		char path[128], start[160], columns[256], row[1024];
		const char *at;
		bool list = field->type == SCHEMA_LIST;

		snprintf(path, sizeof(path), "%s%s", prefix, field->key);
		snprintf(start, sizeof(start), "\n| `%s` | ", path);
		at = strstr(doc, start);
		if (!at && (list || !field->map)) /* mappings need no row of their own */
			fail_msg("%s has no row for %s", DOC, path);
		if (at) {
			rows++;
			snprintf(row, sizeof(row), "%.*s", (int)strcspn(at + 1, "\n"), at + 1);
			expect_columns(field, columns);
			if (!strstr(row, columns))
				fail_msg("%s: the row of %s lacks \"%s\"", DOC, path, columns);
		}
		if (field->map) {
			snprintf(path, sizeof(path), "%s%s%s.", prefix, field->key,
				 list ? "[]" : "");
			rows += check_rows(doc, field->map, path);
		}
	}
	return rows;
}

/* Rows of the tables of keys; there are others. */
static unsigned count_key_rows(const char *doc)
{
	bool keys = false;
	unsigned rows = 0;

	for (const char *line = doc; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (*line != '|')
			keys = false;
		else if (strncmp(line, "| key | type |", 14) == 0)
			keys = true;
		rows += keys && strncmp(line, "| `", 3) == 0;
	}
	return rows;
}

static void the_reference_has_every_key_with_its_default_and_range(void **state)
{
	char *doc = read_text(DOC);
	unsigned rows = check_rows(doc, &fields_config, "");

	assert_int_equal(count_key_rows(doc), rows);
	free(doc);
}

/* Each yaml block of the reference, alone, has no error but what is left out of it. */
static void the_reference_s_snippets_are_good(void **state)
{
	static const char listener[] = "listeners: [{name: l, address: \"[::]:1\", certificate: "
				       "{chain: c, key: k}, group: greeter}]\n";
	static const char group[] = "groups: [{name: greeter, backends: [{address: a:1}]}]\n";
	char *doc = read_text(DOC);
	unsigned n = 0;

	for (char *at = doc; (at = strstr(at, "```yaml\n")); n++) {
		struct config_report report = { 0 };
		struct reporter reporter = { 0 };
		struct tree tree = { 0 };
		char *end, *text;

		at += strlen("```yaml\n");
		end = strstr(at, "```");
		assert_non_null(end);
		text = calloc(1, (size_t)(end - at) + sizeof(listener) + sizeof(group));
		memcpy(text, at, (size_t)(end - at));
		if (!strstr(text, "listeners:"))
			strcat(text, listener);
		if (!strstr(text, "groups:"))
			strcat(text, group);
		config_unref(load_text((uint8_t *)text, strlen(text), &tree, &reporter));
		tree_done(&tree);
		report_flush(&reporter, DOC, &report);
		if (report.errors)
			fail_msg("%s", report.text);
		config_report_done(&report);
		free(text);
		at = end + 3;
	}
	assert_true(n >= 5);
	free(doc);
}

/* examples */

/* text with every from replaced. */
static char *replace(const char *text, const char *from, const char *to)
{
	char *out = calloc(1, strlen(text) * 4 + 1);
	const char *found;

	assert_true(strlen(to) <= 4 * strlen(from));
	for (; (found = strstr(text, from)); text = found + strlen(from)) {
		strncat(out, text, (size_t)(found - text));
		strcat(out, to);
	}
	strcat(out, text);
	return out;
}

/* Every key of map stands in node, which is the whole of a file or a part of it, or in one of node's
 * items. */
static void check_has_every_key(const struct schema_map *map, const struct node *node,
				const char *path)
{
	for (const struct schema_field *field = map->fields; field->key; field++) {
		const struct node *item, *child = node_get(node, field->key);
		char deeper[192];

		for (item = node->kind == NODE_SEQUENCE ? node->children : NULL; item && !child;
		     item = item->next)
			child = node_get(item, field->key);
		snprintf(deeper, sizeof(deeper), "%s.%s", path, field->key);
		if (!child)
			fail_msg("examples/full.yaml has no %s", deeper);
		if (field->map)
			check_has_every_key(field->map, child, deeper);
	}
}

static void the_full_example_has_every_key(void **state)
{
	char *text = read_text("examples/full.yaml");
	struct reporter reporter = { 0 };
	struct config_report report = { 0 };
	struct tree tree = { 0 };

	assert_true(parse_tree(&tree, (uint8_t *)text, strlen(text), &reporter));
	check_has_every_key(&fields_config, tree.root, "");
	tree_done(&tree);
	report_flush(&reporter, "full.yaml", &report);
	config_report_done(&report);
	free(text);
}

/* The example as this machine can have it: certificates and lists in folder, lo for eth0. */
static char *adapt(const char *path, const char *folder)
{
	char *text = read_text(path), *tls, *acl, *adapted;
	char here[256];

	snprintf(here, sizeof(here), "%s/tls/", folder);
	tls = replace(text, TLS_FOLDER, here);
	snprintf(here, sizeof(here), "%s/acl/", folder);
	acl = replace(tls, ACL_FOLDER, here);
	adapted = replace(acl, "eth0", "lo");
	free(text);
	free(tls);
	free(acl);
	return adapted;
}

static void every_example_loads_without_a_warning(void **state)
{
	static const char *const copies[] = { "tls/ca.pem", "tls/clients-ca.pem", "tls/client.pem" };
	const char *folder = *state;
	char path[256];
	glob_t examples;

	snprintf(path, sizeof(path), "%s/sluice.yaml", folder);
	assert_int_equal(mkdir(pem_path(folder, "tls"), 0700), 0);
	assert_int_equal(mkdir(pem_path(folder, "acl"), 0700), 0);
	pem_write_text(pem_path(folder, "acl/deny.txt"), "192.0.2.99 # said too much\n");
	pem_make(pem_path(folder, "tls"), "ecdsa", 0, -1, 90, NULL);
	pem_make(pem_path(folder, "tls"), "inside", 0, -1, 90, NULL);
	pem_make(pem_path(folder, "tls"), "rsa", 2048, -1, 90, NULL);
	assert_int_equal(link(pem_path(folder, "tls/ecdsa.pem"), pem_path(folder, "tls/chain.pem")), 0);
	assert_int_equal(link(pem_path(folder, "tls/ecdsa.key"), pem_path(folder, "tls/key.pem")), 0);
	for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]); i++)
		assert_int_equal(link(pem_path(folder, "tls/ecdsa.pem"), pem_path(folder, copies[i])), 0);
	assert_int_equal(link(pem_path(folder, "tls/ecdsa.key"), pem_path(folder, "tls/client.key")), 0);
	if (glob("examples/*.yaml", 0, NULL, &examples)) {
		print_message("SKIP: no examples/ here: run in the repository's folder\n");
		skip();
	}
	for (size_t i = 0; i < examples.gl_pathc; i++) {
		char *text = adapt(examples.gl_pathv[i], folder);
		struct config_report report = { 0 };
		struct config *config;

		pem_write_text(path, text);
		config = config_load(path, &report, &config_hooks);
		if (!config || report.text)
			fail_msg("%s: %s", examples.gl_pathv[i], report.text);
		config_unref(config);
		free(text);
	}
	assert_true(examples.gl_pathc >= 5);
	globfree(&examples);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reference_has_every_key_with_its_default_and_range),
		cmocka_unit_test(the_reference_s_snippets_are_good),
		cmocka_unit_test(the_full_example_has_every_key),
		cmocka_unit_test(every_example_loads_without_a_warning),
	};

	return cmocka_run_group_tests(tests, pem_setup, pem_teardown);
}
