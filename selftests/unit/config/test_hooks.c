/* SPDX-License-Identifier: MIT */
/*
 * test_hooks.c - config_load with what OpenSSL and PCRE2 say: CAs, certificates shown to backends,
 * key types, regular expressions.
 */
#include "system_help.h"

#define LISTENER(lines)                                                                            \
	"listeners:\n- name: l\n  address: \"[::]:443\"\n"                                         \
	"  certificate: {chain: ec.pem, key: ec.key}\n" lines "\n"
/* The first on line 7. */
#define ROUTES(lines)                                                                              \
	"groups: [{name: g, backends: [{address: a:1}]}]\n" LISTENER("  routes:\n" lines)
#define GROUP(lines)                                                                               \
	LISTENER("  group: g") "groups:\n- name: g\n  backends: [{address: a:1}]\n" lines "\n"

static int setup(void **state)
{
	if (pem_setup(state))
		return -1;
	pem_make(*state, "ec", 0, -1, 90, NULL);
	pem_make(*state, "ec2", 0, -1, 90, NULL);
	pem_make(*state, "old", 0, -9, -1, NULL);
	pem_write_text(pem_path(*state, "no.pem"), "nothing\n");
	return setenv("SSL_CERT_FILE", pem_path(*state, "ec2.pem"), 1);
}

static void ca_files_are_read_and_looked_into(void **state)
{
	const char *folder = *state;
	struct config *config = load_expecting(
		folder, LISTENER("  group: g\n  client_certificates: {ca: ec.pem}")
		"groups: [{name: g, backends: [{address: a:1}], tls: {ca: ec2.pem}}]\n", "");
	const struct config_upstream_tls *tls = &config->groups->tls;

	assert_string_equal(config->listeners->client_ca_path, pem_path(folder, "ec.pem"));
	assert_memory_equal(config->listeners->client_ca_pem, "-----BEGIN CERTIFICATE", 22);
	assert_string_equal(tls->ca_path, pem_path(folder, "ec2.pem"));
	assert_memory_equal(tls->ca_pem, "-----BEGIN CERTIFICATE", 22);
	assert_true(tls->ca_len > 100);
	assert_null(config->system_ca_pem);
	config_unref(config);

	expect(folder, GROUP("  tls: {ca: none.pem}"),
	       "@/sluice.yaml:9:13: ca file \"@/none.pem\" does not exist, want a PEM file\n");
	expect(folder, GROUP("  tls: {ca: no.pem}"),
	       "@/sluice.yaml:9:13: ca \"@/no.pem\" holds no certificate, want PEM (-----BEGIN "
	       "CERTIFICATE-----)\n");
}

static void cas_of_clients_are_looked_into_too(void **state)
{
	const char *folder = *state;
	static const char rest[] = "groups: [{name: g, backends: [{address: a:1}]}]\n";
	char text[512], line[512];

	snprintf(text, sizeof(text), "%s%s", LISTENER("  group: g\n  client_certificates: {ca: no.pem}"),
		 rest);
	expect(folder, text, "@/sluice.yaml:6:29: ca \"@/no.pem\" holds no certificate, want PEM "
			     "(-----BEGIN CERTIFICATE-----)\n");
	/* expired: a warning, with the day */
	snprintf(text, sizeof(text), "%s%s", LISTENER("  group: g\n  client_certificates: {ca: old.pem}"),
		 rest);
	pem_write_text(pem_path(folder, "sluice.yaml"), text);
	struct config_report report = { 0 };
	struct config *config = load(pem_path(folder, "sluice.yaml"), &report);

	assert_non_null(config);
	snprintf(line, sizeof(line), "%s/sluice.yaml:6:29: warning: ca \"%s/old.pem\" expired on ",
		 folder, folder);
	assert_memory_equal(report.text, line, strlen(line));
	config_report_done(&report);
	config_unref(config);
}

static void without_ca_the_system_s_are_read_once(void **state)
{
	struct config *config = load_expecting(
		*state, LISTENER("  group: g")
		"groups:\n- {name: g, backends: [{address: a:1}], tls: {}}\n"
		"- {name: h, backends: [{address: a:1}], tls: {}}\n"
		"- {name: i, backends: [{address: a:1}], tls: {verify: false}}\n"
		"- {name: j, backends: [{address: a:1}]}\n", "");

	assert_non_null(config->system_ca_pem);
	assert_ptr_equal(config->groups[0].tls.ca_pem, config->system_ca_pem);
	assert_ptr_equal(config->groups[1].tls.ca_pem, config->system_ca_pem);
	assert_null(config->groups[2].tls.ca_pem);
	assert_null(config->groups[3].tls.ca_pem);
	config_unref(config);
}

static void certificates_for_backends_are_checked(void **state)
{
	const char *folder = *state;
	struct config *config = load_expecting(
		folder, GROUP("  tls: {certificate: {chain: ec.pem, key: ec.key}}"), "");

	assert_memory_equal(config->groups->tls.certificate->chain_pem, "-----BEGIN", 10);
	assert_true(config->groups->tls.certificate->key_len > 100);
	config_unref(config);
	expect(folder, GROUP("  tls: {certificate: {chain: ec.pem, key: ec2.key}}"),
	       "@/sluice.yaml:9:43: key \"@/ec2.key\" does not match the certificate, want the key it "
	       "was made with\n");
	expect(folder, GROUP("  tls: {certificate: {chain: no.pem, key: none.key}}"),
	       "@/sluice.yaml:9:43: key file \"@/none.key\" does not exist, want a PEM file\n");
}

static void two_certificates_of_one_key_type_are_refused(void **state)
{
	static const char text[] =
		"listeners:\n- name: l\n  address: \"[::]:443\"\n  group: g\n  certificate:\n"
		"  - {chain: ec.pem, key: ec.key}\n  - {chain: ec2.pem, key: ec2.key}\n"
		"groups: [{name: g, backends: [{address: a:1}]}]\n";

	expect(*state, text,
	       "@/sluice.yaml:7:5: a second certificate with a key of type EC (line 6 has one), want "
	       "one of each type\n");
}

static void regular_expressions_must_compile(void **state)
{
	struct config_report report = { 0 };
	const char *path = pem_path(*state, "regex.yaml");

	pem_write_text(path, ROUTES("  - {group: g, match: {path: [/a/b, {regex: \"/(a\"}],\n"
				    "      metadata: [{key: a, regex: \"*\"}, {key: b, regex: [a, "
				    "\"[z-a]\"]}]}}"));
	assert_null(load(path, &report));
	assert_int_equal(report.errors, 3);
	assert_non_null(strstr(report.text, "regex.yaml:7:45: regex \"/(a\" "));
	assert_non_null(strstr(report.text, "regex.yaml:8:34: regex \"*\" "));
	assert_non_null(strstr(report.text, "regex.yaml:8:60: regex \"[z-a]\" "));
	config_report_done(&report);
	expect(*state, ROUTES("  - {group: g, match: {path: {regex: \"/a\\\\.[A-Z]+/.*\"}}}"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ca_files_are_read_and_looked_into),
		cmocka_unit_test(cas_of_clients_are_looked_into_too),
		cmocka_unit_test(without_ca_the_system_s_are_read_once),
		cmocka_unit_test(certificates_for_backends_are_checked),
		cmocka_unit_test(two_certificates_of_one_key_type_are_refused),
		cmocka_unit_test(regular_expressions_must_compile),
	};

	return cmocka_run_group_tests(tests, setup, pem_teardown);
}
