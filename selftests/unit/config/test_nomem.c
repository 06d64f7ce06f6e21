/* SPDX-License-Identifier: MIT */
/*
 * test_nomem.c - each allocation of loading, encoding, decoding and cloning fails once: the answer
 * is NULL with an error in the report, nothing leaks, and nothing is half done.
 */
#include "pem_help.h"

#include <errno.h>

#include "config/config.h"
#include "fault.h"

/* Something of everything that allocates; the second text also has everything that is reported. */
static const char good[] =
	"runtime: {user: root}\n"
	"kernel: {interfaces: [{name: lo}], acl: {deny: [10.0.0.0/8], allow: [10.0.0.0/9],\n"
	"  deny_files: [list.txt]}, penalties: {never: [10.0.0.0/8]}}\n"
	"listeners:\n"
	"- {name: a, address: \"[::]:1\", certificate: {chain: ec.pem, key: ec.key}, group: g}\n"
	"- {name: b, address: \"[::]:2\", certificate: [{chain: ec.pem, key: ec.key}], group: h,\n"
	"   client_certificates: {ca: ec.pem}, routes: [\n"
	"    {match: {host: a, path: [/a/b, /c/], metadata: [{key: a, exact: [b, c]}], sni: a,\n"
	"     source: 10.0.0.0/8, san: b}, groups: [{name: g, weight: 1}, {name: h, weight: 1}],\n"
	"     sticky: metadata:a, mirror: {group: g, share: 1%}, request: {set: {a: b}, add: {c: d}},\n"
	"     response: {remove: a}, rewrite: {authority: a, prefix: /a, to: /b},\n"
	"     limits: {calls: 1/s, key: metadata:b}, retry: {on_reset: true}},\n"
	"    {name: n, match: {path: /x/y}, status: {code: 5}}]}\n"
	"groups:\n"
	"- {name: t, backends: [{address: a:1}], balance: consistent_hash, hash: metadata:x,\n"
	"   tls: {ca: ec.pem, server_name: a, certificate: {chain: ec.pem, key: ec.key}}}\n"
	"- {name: g, backends: [{address: a.example:1}, {address: 192.0.2.1:1}]}\n"
	"- {name: h, backends: [{address: \"[fd00::1]:1\"}], health_check: {service: s}}\n";
static const char bad[] =
	"workers: none\n"
	"color: red\n"
	"kernel: {mode: off, acl: {deny: [10.0.0.0/8], allow: [10.0.0.0/8], deny_files: [bad.yaml]}}\n"
	"listeners:\n"
	"- {name: a, address: \"[::]:0\", certificate: {chain: none, key: ec.key}, group: k,\n"
	"   routes: [{name: a, group: x}, {name: a, match: {host: \"*\", path: 5}, sticky: a}]}\n"
	"groups:\n"
	"- {name: g, name: g, backends: [{address: a.example:1, weight: 0}], tls: {ca: none}}\n"
	"- {name: g, backends: []}\n";

static void loading_a_good_file_survives_every_failure(void **state)
{
	const char *path = pem_path(*state, "good.yaml");
	bool loaded = false;

	pem_make(*state, "ec", 0, -1, 90, NULL);
	pem_write_text(path, good);
	pem_write_text(pem_path(*state, "list.txt"), "192.0.2.1\n192.0.2.0/24\n");
	FAULT_EACH(n) {
		struct config_report report = { 0 };
		struct config *config = config_load(path, &report, NULL);

		fault_stop();
		loaded = config != NULL;
		if (loaded) {
			assert_int_equal(report.errors, 0);
			assert_null(report.text);
		} else {
			assert_true(fault_hit());
			assert_true(report.errors > 0);
			assert_non_null(report.text);
			assert_non_null(strstr(report.text, ":1:1: out of memory\n"));
		}
		config_unref(config);
		config_report_done(&report);
	}
	assert_true(loaded);
}

static void loading_survives_when_all_memory_is_gone(void **state)
{
	const char *path = pem_path(*state, "good.yaml");
	bool hit = true;

	pem_make(*state, "ec", 0, -1, 90, NULL);
	pem_write_text(path, good);
	pem_write_text(pem_path(*state, "list.txt"), "192.0.2.1\n192.0.2.0/24\n");
	for (unsigned n = 0; hit; n++) {
		struct config_report report = { 0 };
		struct config *config;

		fault_start_all(n);
		config = config_load(path, &report, NULL);
		fault_stop();
		hit = fault_hit();
		assert_int_equal(config == NULL, hit);
		assert_int_equal(report.errors > 0, hit);
		config_unref(config);
		config_report_done(&report);
	}
}

static void reporting_errors_survives_every_failure(void **state)
{
	const char *path = pem_path(*state, "bad.yaml");

	pem_make(*state, "ec", 0, -1, 90, NULL);
	pem_write_text(path, bad);
	FAULT_EACH(n) {
		struct config_report report = { 0 };

		assert_null(config_load(path, &report, NULL));
		fault_stop();
		assert_true(report.errors > 0);
		/* whole lines only */
		if (report.text)
			assert_int_equal(report.text[report.len - 1], '\n');
		config_report_done(&report);
	}
}

static void the_wire_form_survives_every_failure(void **state)
{
	const char *path = pem_path(*state, "good.yaml");
	struct config_report report = { 0 };
	struct config *config, *clone = NULL;
	bool encoded = false;

	pem_make(*state, "ec", 0, -1, 90, NULL);
	pem_write_text(path, good);
	pem_write_text(pem_path(*state, "list.txt"), "192.0.2.1\n192.0.2.0/24\n");
	config = config_load(path, &report, NULL);
	assert_non_null(config);
	FAULT_EACH(n) {
		uint8_t *bytes = NULL;
		size_t len = 0;
		int err = config_encode(config, &bytes, &len);

		fault_stop();
		encoded = err == 0;
		if (!encoded)
			assert_int_equal(err, -ENOMEM);
		free(bytes);
	}
	assert_true(encoded);
	FAULT_EACH(n) {
		config_unref(clone);
		clone = config_clone(config);
		fault_stop();
		assert_int_equal(clone == NULL, fault_hit());
	}
	assert_string_equal(clone->groups[2].name, "h");
	config_unref(clone);
	config_unref(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loading_a_good_file_survives_every_failure),
		cmocka_unit_test(loading_survives_when_all_memory_is_gone),
		cmocka_unit_test(reporting_errors_survives_every_failure),
		cmocka_unit_test(the_wire_form_survives_every_failure),
	};

	return cmocka_run_group_tests(tests, pem_setup, pem_teardown);
}
