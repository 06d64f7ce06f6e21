/* SPDX-License-Identifier: MIT */
/*
 * test_acl_files.c - access lists that stand in files of their own: what of a line counts, where they
 * are looked for, what is wrong with them, and that a million lines take no time.
 */
#include "system_help.h"

#include <time.h>

#include "config/report.h"

#define KERNEL(acl)                                                                                \
	"kernel: {interfaces: [{name: lo}], acl: {" acl "}}\n"                                      \
	"listeners: [{name: l, address: \"[::]:443\", group: g, certificate: {chain: ec.pem, key: " \
	"ec.key}}]\n"                                                                              \
	"groups: [{name: g, backends: [{address: 192.0.2.1:50051}]}]\n"

static struct config *load_acl(const char *folder, const char *text, const char *expected)
{
	pem_make(folder, "ec", 0, -1, 90, NULL);
	return load_expecting(folder, text, expected);
}

static const char *show(const struct prefix *prefix)
{
	static char text[ADDR_TEXT_MAX];

	return prefix_format(prefix, text, sizeof(text));
}

static void a_file_has_one_prefix_a_line(void **state)
{
	const char *folder = *state;
	const struct config_acl *acl;
	struct config *config;

	pem_write_text(pem_path(folder, "deny.txt"),
		       "# a list\n\n10.0.0.0/8\n\t2001:db8::/48   # with a comment\r\n   \n"
		       "::ffff:192.0.2.7#glued\n192.0.2.7\n10.0.0.0/8");
	pem_write_text(pem_path(folder, "more.txt"), "");
	pem_write_text(pem_path(folder, "allow.txt"), "10.1.0.0/16\n");
	config = load_acl(folder, KERNEL("deny: [203.0.113.0/24], deny_files: [deny.txt, more.txt], "
					 "allow_files: [allow.txt]"), "");
	acl = &config->kernel.acl;
	assert_int_equal(acl->n_deny, 6);
	assert_string_equal(show(&acl->deny[0]), "203.0.113.0/24");
	assert_string_equal(show(&acl->deny[1]), "10.0.0.0/8");
	assert_string_equal(show(&acl->deny[2]), "2001:db8::/48");
	assert_string_equal(show(&acl->deny[3]), "192.0.2.7/32");
	assert_string_equal(show(&acl->deny[5]), "10.0.0.0/8"); /* twice is once, later */
	assert_int_equal(acl->deny_files[0].first, 1);
	assert_int_equal(acl->deny_files[0].end, 6);
	assert_int_equal(acl->deny_files[1].end, 6);
	assert_int_equal(acl->n_allow, 1);
	/* relative to the config's folder */
	assert_string_equal(acl->deny_files[0].path, pem_path(folder, "deny.txt"));
	config_unref(config);
}

static void errors_name_file_and_line(void **state)
{
	const char *folder = *state;

	pem_write_text(pem_path(folder, "bad.txt"),
		       "10.0.0.0/8\n  10.0.0.1/8\n10.0.0\n\n10.0.0.0/33\n192.0.2.1 192.0.2.2\n"
		       "1111111111111111111111111111111111111111111111111111111111111111111111111\n"
		       "\377" "10.0.0.\303\n");
	load_acl(folder, KERNEL("deny: [1.2.3.4/8], deny_files: [bad.txt, none.txt, .]"),
		 "@/sluice.yaml:1:49: prefix \"1.2.3.4/8\" has bits set behind its length, want them 0\n"
		 "@/sluice.yaml:1:83: access list \"@/none.txt\" does not exist, want a file of "
		 "prefixes\n"
		 "@/sluice.yaml:1:93: access list \"@/.\" is no plain file, want a file of prefixes\n"
		 "@/bad.txt:2:3: prefix \"10.0.0.1/8\" has bits set behind its length, want them 0\n"
		 "@/bad.txt:3:1: bad prefix \"10.0.0\", want one a line such as 203.0.113.0/24 or "
		 "2001:db8::/48\n"
		 "@/bad.txt:5:1: prefix \"10.0.0.0/33\" has a bad length, want 0 to 32 for IPv4 and 0 "
		 "to 128 for IPv6\n"
		 "@/bad.txt:6:1: bad prefix \"192.0.2.1 192.0.2.2\", want one a line such as "
		 "203.0.113.0/24 or 2001:db8::/48\n"
		 "@/bad.txt:7:1: bad prefix \"111111111111111111111111111111111111111111111111111111"
		 "111111...\", want one a line such as 203.0.113.0/24 or 2001:db8::/48\n"
		 "@/bad.txt:8:1: bad prefix \"\\xff10.0.0.\\xc3\", want one a line such as 203.0.113.0/24 "
		 "or 2001:db8::/48\n");
}

static void a_prefix_that_is_denied_and_allowed_is_an_error(void **state)
{
	const char *folder = *state;

	pem_write_text(pem_path(folder, "deny.txt"), "10.0.0.0/8\n192.0.2.0/24\n192.0.2.0/24\n");
	pem_write_text(pem_path(folder, "allow.txt"), "10.0.0.0/9\n\n192.0.2.0/24\n");
	load_acl(folder, KERNEL("deny_files: [deny.txt], allow_files: [allow.txt]"),
		 "@/deny.txt:2:1: prefix \"192.0.2.0/24\" is in allow too, want it in one of the lists\n"
		 "@/deny.txt:3:1: prefix \"192.0.2.0/24\" is in allow too, want it in one of the lists\n");
	load_acl(folder, KERNEL("deny: [10.0.0.0/9], allow_files: [allow.txt]"),
		 "@/allow.txt:1:1: prefix \"10.0.0.0/9\" is in deny too, want it in one of the lists\n");
	load_acl(folder, KERNEL("deny_files: [deny.txt], allow: [1.0.0.0/8, 2.0.0.0/8, 3.0.0.0/8, "
				"10.0.0.0/8]"),
		 "@/deny.txt:1:1: prefix \"10.0.0.0/8\" is in allow too, want it in one of the lists\n");
}

static void a_listener_has_files_of_its_own(void **state)
{
	const char *folder = *state;
	struct config *config;

	pem_write_text(pem_path(folder, "own.txt"), "fd00::/8\n");
	config = load_acl(folder,
			  "kernel: {interfaces: [{name: lo}]}\n"
			  "listeners: [{name: l, address: \"[::]:443\", group: g, acl: {deny_files: "
			  "[own.txt]}, certificate: {chain: ec.pem, key: ec.key}}]\n"
			  "groups: [{name: g, backends: [{address: 192.0.2.1:50051}]}]\n", "");
	assert_int_equal(config->kernel.acl.n_deny, 0);
	assert_int_equal(config->listeners[0].acl.n_deny, 1);
	assert_string_equal(show(&config->listeners[0].acl.deny[0]), "fd00::/8");
	config_unref(config);
}

/* n addresses, from on; then m prefixes */
static void write_many(const char *path, unsigned n, unsigned m)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (unsigned i = 0; i < n; i++)
		fprintf(file, "10.%u.%u.%u\n", i >> 16, i >> 8 & 255, i & 255);
	for (unsigned i = 0; i < m; i++)
		fprintf(file, "%u.%u.%u.0/24\n", 20 + (i >> 16), i >> 8 & 255, i & 255);
	assert_int_equal(fclose(file), 0);
}

static void a_million_addresses_and_100k_prefixes_fit(void **state)
{
	const char *folder = *state;
	struct config *config;

	write_many(pem_path(folder, "deny.txt"), 1000000, 100000);
	pem_write_text(pem_path(folder, "allow.txt"), "20.0.0.0/23\n");
	config = load_acl(folder, KERNEL("deny_files: [deny.txt], allow_files: [allow.txt]"), "");
	assert_int_equal(config->kernel.acl.n_deny, 1100000);
	config_unref(config);
	write_many(pem_path(folder, "deny.txt"), SLUICE_MAX_ACL_EXACT + 1,
		   SLUICE_MAX_ACL_PREFIXES + 1);
	load_acl(folder, KERNEL("deny_files: [deny.txt]"),
		 "@/sluice.yaml:1:41: 1048577 single addresses in the access list, want at most "
		 "1048576\n"
		 "@/sluice.yaml:1:41: 131073 prefixes of IPv4 in the access list, want at most "
		 "131072\n");
}

/* The same line again and again must not make the look for conflicts quadratic. */
static void repeated_lines_cost_no_more_than_others(void **state)
{
	const char *folder = *state;
	FILE *file = fopen(pem_path(folder, "deny.txt"), "w");
	struct config_report report = { 0 };
	clock_t begun;

	for (unsigned i = 0; i < 300000; i++)
		fputs("10.0.0.1\n", file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(rename(pem_path(folder, "deny.txt"), pem_path(folder, "many.txt")), 0);
	begun = clock();
	pem_make(folder, "ec", 0, -1, 90, NULL);
	pem_write_text(pem_path(folder, "sluice.yaml"),
		       KERNEL("deny_files: [many.txt], allow_files: [many.txt]"));
	assert_null(load(pem_path(folder, "sluice.yaml"), &report));
	assert_int_equal(report.errors, REPORT_MAX);
	config_report_done(&report);
	assert_true(clock() - begun < 10 * CLOCKS_PER_SEC); /* 45 billion comparisons take longer */
}

/* Pieces of lists and noise in any order: read or refused by line, and nothing else happens. */
static void noise_is_refused_by_line(void **state)
{
	static const char *const pieces[] = { "10.0.0.0/8", "::/0", "fd00::1", "#", "\n", "\n", "\n",
					      " ", "\t", "\r", "/", "/33", ":", "::ffff:1.2.3.4",
					      "\xff", "999", "-1", "deny", ",", "[", "0" };
	const char *folder = *state;
	uint64_t random = 1;

	pem_make(folder, "ec", 0, -1, 90, NULL);
	pem_write_text(pem_path(folder, "sluice.yaml"), KERNEL("deny_files: [noise.txt]"));
	for (unsigned round = 0; round < 300; round++) {
		struct config_report report = { 0 };
		FILE *file = fopen(pem_path(folder, "noise.txt"), "w");
		struct config *config;

		for (unsigned i = 0; i < round % 50; i++) {
			random = random * 6364136223846793005ull + 1442695040888963407ull;
			if (random >> 60 == 0)
				fputc(0, file);
			fputs(pieces[(random >> 33) % (sizeof(pieces) / sizeof(pieces[0]))], file);
		}
		assert_int_equal(fclose(file), 0);
		config = load(pem_path(folder, "sluice.yaml"), &report);
		assert_int_equal(config == NULL, report.errors > 0);
		for (const char *line = report.text; line && *line; line = strchr(line, '\n') + 1)
			if (!strstr(line, "noise.txt:"))
				fail_msg("%s", line);
		config_unref(config);
		config_report_done(&report);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_has_one_prefix_a_line),
		cmocka_unit_test(errors_name_file_and_line),
		cmocka_unit_test(a_prefix_that_is_denied_and_allowed_is_an_error),
		cmocka_unit_test(a_listener_has_files_of_its_own),
		cmocka_unit_test(a_million_addresses_and_100k_prefixes_fit),
		cmocka_unit_test(repeated_lines_cost_no_more_than_others),
		cmocka_unit_test(noise_is_refused_by_line),
	};

	return cmocka_run_group_tests(tests, pem_setup, pem_teardown);
}
