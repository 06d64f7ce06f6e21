/* SPDX-License-Identifier: MIT */
/*
 * test_system.c - config_load against the machine: the file itself, certificates and keys, the
 * interfaces and users that exist.
 */
#include "system_help.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define GROUPS "groups: [{name: g, backends: [{address: 192.0.2.1:50051}]}]\n"
#define LISTENER(chain, key)                                                                       \
	GROUPS "listeners:\n- name: l\n  address: \"[::]:443\"\n  group: g\n"                      \
	       "  certificate: {chain: " chain ", key: " key "}\n"

static void expect_file_refused(const char *path, const char *words)
{
	struct config_report report = { 0 };
	char expected[512];

	assert_null(load(path, &report));
	snprintf(expected, sizeof(expected), "%s:1:1: %s\n", path, words);
	assert_string_equal(report.text, expected);
	assert_int_equal(report.errors, 1);
	config_report_done(&report);
}

static void what_is_no_readable_file_is_refused(void **state)
{
	const char *folder = *state;
	const char *fifo = pem_path(folder, "fifo");

	expect_file_refused(folder, "a directory, want a file");
	expect_file_refused(pem_path(folder, "none.yaml"),
			    "cannot be read (No such file or directory), want a readable file");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	expect_file_refused(fifo, "no plain file, want one");
	expect_file_refused("/dev/null", "no plain file, want one");
	pem_write_text(pem_path(folder, "empty.yaml"), "");
	expect_file_refused(pem_path(folder, "empty.yaml"),
			    "nothing in the file, want listeners and groups");
}

static void a_file_over_the_limit_is_refused_by_its_size(void **state)
{
	const char *path = pem_path(*state, "large.yaml");
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (4 << 20) + 1), 0);
	expect_file_refused(path, "larger than 4 MiB, want a smaller file");
	assert_int_equal(ftruncate(fd, 4 << 20), 0);
	expect_file_refused(path, "control character 0x00, want text");
	close(fd);
}

/* Root may read everything: go on as nobody until be_oneself. */
static void be_nobody(void)
{
	if (geteuid() == 0 && seteuid(65534)) {
		print_message("SKIP: root that cannot become another user\n");
		skip();
	}
}

static void be_oneself(void)
{
	assert_int_equal(seteuid(getuid()), 0);
}

static void a_file_without_read_permission_is_refused(void **state)
{
	const char *path = pem_path(*state, "secret.yaml");

	pem_write_text(path, GROUPS);
	assert_int_equal(chmod(path, 0), 0);
	be_nobody();
	expect_file_refused(path, "cannot be read (Permission denied), want a readable file");
	be_oneself();
}

static void certificates_are_read_relative_to_the_config(void **state)
{
	const char *folder = *state;
	const struct config_certificate *certificate;
	struct config *config;

	pem_make(folder, "ec", 0, -1, 90, NULL);
	config = load_expecting(folder, LISTENER("ec.pem", "ec.key"), "");
	certificate = &config->listeners[0].certificates[0];
	assert_string_equal(certificate->chain_path, pem_path(folder, "ec.pem"));
	assert_string_equal(certificate->key_path, pem_path(folder, "ec.key"));
	assert_memory_equal(certificate->chain_pem, "-----BEGIN CERTIFICATE-----", 27);
	assert_memory_equal(certificate->key_pem, "-----BEGIN PRIVATE KEY-----", 27);
	assert_string_equal(config->path, pem_path(folder, "sluice.yaml"));
	config_unref(config);
}

static void a_listener_may_have_one_certificate_of_each_kind(void **state)
{
	const char *folder = *state;
	struct config *config;

	pem_make(folder, "ec", 0, -1, 90, NULL);
	pem_make(folder, "rsa", 2048, -1, 90, NULL);
	config = load_expecting(folder,
				GROUPS "listeners:\n- name: l\n  address: \"[::]:443\"\n"
				       "  group: g\n  certificate:\n"
				       "  - {chain: ec.pem, key: ec.key}\n"
				       "  - {chain: rsa.pem, key: rsa.key}\n",
				"");
	assert_int_equal(config->listeners[0].n_certificates, 2);
	assert_non_null(config->listeners[0].certificates[1].key_pem);
	config_unref(config);
}

static void missing_certificate_files_are_named(void **state)
{
	const char *folder = *state;

	expect(folder, LISTENER("none.pem", "/none/key"),
	       "@/sluice.yaml:6:24: chain file \"@/none.pem\" does not exist, want a PEM file\n"
	       "@/sluice.yaml:6:39: key file \"/none/key\" does not exist, want a PEM file\n");
	mkdir(pem_path(folder, "dir"), 0700);
	pem_make(folder, "ec", 0, -1, 90, NULL);
	expect(folder, LISTENER("dir", "ec.key"),
	       "@/sluice.yaml:6:24: chain file \"@/dir\" is a directory, want a PEM file\n");
	expect(folder, LISTENER("ec.pem", "/dev/null"),
	       "@/sluice.yaml:6:37: key file \"/dev/null\" is no plain file, want a PEM file\n");
	assert_int_equal(truncate(pem_path(folder, "ec.pem"), (1 << 20) + 1), 0);
	expect(folder, LISTENER("ec.pem", "ec.key"),
	       "@/sluice.yaml:6:24: chain file \"@/ec.pem\" is larger than 1 MiB, want a PEM "
	       "file\n");
}

static void an_unreadable_key_is_named(void **state)
{
	const char *folder = *state, *path = pem_path(folder, "sluice.yaml");
	struct config_report report = { 0 };

	pem_make(folder, "ec", 0, -1, 90, NULL);
	pem_write_text(path, LISTENER("ec.pem", "ec.key"));
	assert_int_equal(chmod(pem_path(folder, "ec.key"), 0), 0);
	be_nobody();
	assert_null(load(path, &report));
	be_oneself();
	assert_non_null(strstr(report.text, "/sluice.yaml:6:37: key file \""));
	assert_non_null(strstr(report.text, "/ec.key\" cannot be read (Permission denied), want a "
					    "readable PEM file\n"));
	assert_int_equal(report.errors, 1);
	config_report_done(&report);
	chmod(pem_path(folder, "ec.key"), 0600);
}

static void an_expired_certificate_is_a_warning(void **state)
{
	static const char want[] = ":6:24: warning: certificate \"";
	const char *folder = *state, *path = pem_path(folder, "sluice.yaml");
	struct config_report report = { 0 };
	struct config *config;

	pem_make(folder, "old", 0, -90, -1, NULL);
	pem_write_text(path, LISTENER("old.pem", "old.key"));
	config = load(path, &report);
	assert_non_null(config);
	assert_int_equal(report.errors, 0);
	assert_int_equal(report.warnings, 1);
	assert_non_null(strstr(report.text, want));
	assert_non_null(strstr(report.text, "old.pem\" expired on 20"));
	assert_non_null(strstr(report.text, ", renew it\n"));
	config_unref(config);
	config_report_done(&report);

	pem_make(folder, "new", 0, 2, 90, NULL);
	pem_write_text(path, LISTENER("new.pem", "new.key"));
	config = load(path, &report);
	assert_non_null(config);
	assert_int_equal(report.warnings, 1);
	assert_non_null(strstr(report.text, "new.pem\" is not valid before 20"));
	config_unref(config);
	config_report_done(&report);
}

static void a_key_of_another_certificate_is_refused(void **state)
{
	const char *folder = *state;

	pem_make(folder, "ec", 0, -1, 90, NULL);
	pem_make(folder, "other", 0, -1, 90, NULL);
	pem_make(folder, "rsa", 2048, -1, 90, NULL);
	expect(folder, LISTENER("ec.pem", "other.key"),
	       "@/sluice.yaml:6:37: key \"@/other.key\" does not match the certificate, want the "
	       "key it was made with\n");
	expect(folder, LISTENER("ec.pem", "rsa.key"),
	       "@/sluice.yaml:6:37: key \"@/rsa.key\" does not match the certificate, want the key "
	       "it was made with\n");
}

static void what_is_no_pem_is_refused(void **state)
{
	const char *folder = *state;

	pem_make(folder, "ec", 0, -1, 90, NULL);
	pem_write_text(pem_path(folder, "text"), "hello\n");
	pem_write_text(pem_path(folder, "nil"), "");
	pem_write_text(pem_path(folder, "torn"),
		       "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	expect(folder, LISTENER("text", "ec.key"),
	       "@/sluice.yaml:6:24: certificate \"@/text\" holds no certificate, want PEM "
	       "(-----BEGIN CERTIFICATE-----)\n");
	expect(folder, LISTENER("nil", "ec.key"),
	       "@/sluice.yaml:6:24: certificate \"@/nil\" holds no certificate, want PEM "
	       "(-----BEGIN CERTIFICATE-----)\n");
	expect(folder, LISTENER("torn", "ec.key"),
	       "@/sluice.yaml:6:24: certificate \"@/torn\" holds no certificate, want PEM "
	       "(-----BEGIN CERTIFICATE-----)\n");
	expect(folder, LISTENER("ec.pem", "text"),
	       "@/sluice.yaml:6:37: key \"@/text\" holds no private key, want PEM (-----BEGIN "
	       "PRIVATE KEY-----)\n");
	expect(folder, LISTENER("ec.pem", "ec.pem"),
	       "@/sluice.yaml:6:37: key \"@/ec.pem\" holds no private key, want PEM (-----BEGIN "
	       "PRIVATE KEY-----)\n");
}

static void a_torn_chain_is_refused(void **state)
{
	const char *folder = *state;
	FILE *file;

	pem_make(folder, "ec", 0, -1, 90, NULL);
	file = fopen(pem_path(folder, "ec.pem"), "a");
	fputs("-----BEGIN CERTIFICATE-----\nAAAA\n", file);
	assert_int_equal(fclose(file), 0);
	expect(folder, LISTENER("ec.pem", "ec.key"),
	       "@/sluice.yaml:6:24: certificate \"@/ec.pem\" is broken after 1 certificates (bad "
	       "end line), want whole PEM blocks\n");
}

static void an_encrypted_key_is_refused_without_asking(void **state)
{
	const char *folder = *state;

	pem_make(folder, "locked", 0, -1, 90, "secret");
	expect(folder, LISTENER("locked.pem", "locked.key"),
	       "@/sluice.yaml:6:41: key \"@/locked.key\" is encrypted, want a key without a "
	       "passphrase\n");
}

static void a_key_too_weak_for_tls_is_refused(void **state)
{
	const char *folder = *state, *path = pem_path(folder, "sluice.yaml");
	struct config_report report = { 0 };

	pem_make(folder, "weak", 512, -1, 90, NULL);
	pem_write_text(path, LISTENER("weak.pem", "weak.key"));
	assert_null(load(path, &report));
	assert_non_null(strstr(report.text, "weak.pem\" cannot be used ("));
	config_report_done(&report);
}

static void without_the_hook_certificates_are_only_read(void **state)
{
	const char *folder = *state, *path = pem_path(folder, "sluice.yaml");
	struct config_report report = { 0 };
	struct config *config;

	pem_write_text(pem_path(folder, "text"), "hello\n");
	pem_write_text(path, LISTENER("text", "text"));
	config = config_load(path, &report, NULL);
	assert_non_null(config);
	assert_null(report.text);
	assert_int_equal(config->listeners[0].certificates[0].chain_len, 6);
	config_unref(config);
}

static void interfaces_that_do_not_exist_are_warned_of_unless_the_kernel_side_is_off(void **state)
{
	const char *folder = *state;

	pem_make(folder, "ec", 0, -1, 90, NULL);
	expect(folder,
	       LISTENER("ec.pem", "ec.key") "kernel: {interfaces: [{name: lo}, {name: none0}]}\n",
	       "@/sluice.yaml:7:42: warning: interface \"none0\" does not exist, XDP is attached "
	       "when it appears\n");
	expect(folder,
	       LISTENER("ec.pem", "ec.key")
	       "kernel: {mode: required, interfaces: [{name: none0}]}\n",
	       "@/sluice.yaml:7:46: warning: interface \"none0\" does not exist, XDP is attached "
	       "when it appears\n");
	expect(folder,
	       LISTENER("ec.pem", "ec.key") "kernel: {mode: off, interfaces: [{name: none0}]}\n",
	       "");
}

static void users_and_groups_must_exist(void **state)
{
	const char *folder = *state;

	pem_make(folder, "ec", 0, -1, 90, NULL);
	expect(folder,
	       LISTENER("ec.pem", "ec.key") "runtime: {user: no-such-user, group: no-such-group}\n",
	       "@/sluice.yaml:7:17: user \"no-such-user\" does not exist, want an existing one, or "
	       "the key left out\n"
	       "@/sluice.yaml:7:38: group \"no-such-group\" does not exist, want an existing one, "
	       "or the key left out\n");
	expect(folder, LISTENER("ec.pem", "ec.key") "runtime: {user: root, group: root}\n", "");
}

static void errors_of_text_and_machine_come_in_one_report(void **state)
{
	expect(*state,
	       "workers: 0\n"
	       "listeners: [{name: l, address: \"[::]:0\", group: h,\n"
	       "  certificate: {chain: none.pem, key: none.key}}]\n" GROUPS,
	       "@/sluice.yaml:1:10: workers \"0\" is out of range, want auto, or a whole number 1 "
	       "to 128\n"
	       "@/sluice.yaml:2:32: address \"[::]:0\" has port 0, want 1 to 65535\n"
	       "@/sluice.yaml:2:49: group \"h\" is not defined, want a name given under groups\n"
	       "@/sluice.yaml:3:24: chain file \"@/none.pem\" does not exist, want a PEM file\n"
	       "@/sluice.yaml:3:39: key file \"@/none.key\" does not exist, want a PEM file\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_readable_file_is_refused),
		cmocka_unit_test(a_file_over_the_limit_is_refused_by_its_size),
		cmocka_unit_test(a_file_without_read_permission_is_refused),
		cmocka_unit_test(certificates_are_read_relative_to_the_config),
		cmocka_unit_test(a_listener_may_have_one_certificate_of_each_kind),
		cmocka_unit_test(missing_certificate_files_are_named),
		cmocka_unit_test(an_unreadable_key_is_named),
		cmocka_unit_test(an_expired_certificate_is_a_warning),
		cmocka_unit_test(a_key_of_another_certificate_is_refused),
		cmocka_unit_test(what_is_no_pem_is_refused),
		cmocka_unit_test(a_torn_chain_is_refused),
		cmocka_unit_test(an_encrypted_key_is_refused_without_asking),
		cmocka_unit_test(a_key_too_weak_for_tls_is_refused),
		cmocka_unit_test(without_the_hook_certificates_are_only_read),
		cmocka_unit_test(interfaces_that_do_not_exist_are_warned_of_unless_the_kernel_side_is_off),
		cmocka_unit_test(users_and_groups_must_exist),
		cmocka_unit_test(errors_of_text_and_machine_come_in_one_report),
	};

	return cmocka_run_group_tests(tests, pem_setup, pem_teardown);
}
