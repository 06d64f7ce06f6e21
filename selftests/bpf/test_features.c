/* SPDX-License-Identifier: MIT */
/*
 * test_features.c - what a kernel is asked for: where the programs load, everything they need is said to
 * be there; and who may not ask is told so, not that nothing is there.
 */
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "control/bpf_loader_features.h"
#include "control/features.h"
#include "gate_help.h"

static bool has[BPF_FEATURE_COUNT];
static char why[192];

static void what_the_programs_need_is_there(void **state)
{
	struct gate_bpf *gate = gate_bpf__open_and_load();

	assert_non_null(gate);
	gate_bpf__destroy(gate);
	assert_int_equal(bpf_features_probe(has, why, sizeof(why)), 0);
	for (int i = 0; i < BPF_FEATURE_COUNT; i++)
		if (bpf_feature_rows[i].needed && !has[i])
			fail_msg("the gate loads without %s", bpf_feature_rows[i].name);
	assert_true(has[BPF_FEATURE_TEST_RUN]); /* every test here lives by it */
	assert_int_equal(has[BPF_FEATURE_CHAIN], why[0] == 0);
}

static void each_feature_says_what_it_is_for(void **state)
{
	for (int i = 0; i < BPF_FEATURE_COUNT; i++) {
		assert_true(bpf_feature_rows[i].name[0]);
		assert_true(bpf_feature_rows[i].since[0]);
		assert_true(bpf_feature_rows[i].used_for[0]);
	}
}

/* In a child: 0, or the number of the check that failed. */
static int asks_without_rights(void)
{
	struct features features;

	if (setgid(65534) || setuid(65534))
		return 1;
	if (bpf_features_probe(has, why, sizeof(why)) != -EPERM)
		return 2;
	features_read(&features, NULL);
	if (features.asked || features.has[BPF_FEATURE_XDP_FRAGS])
		return 3;
	for (int i = 0; i < FEATURE_CAPABILITIES; i++)
		if (features.capabilities[i].has)
			return 4;
	return 0;
}

static void who_may_not_ask_is_told_so(void **state)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(asks_without_rights());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void sysctls_that_lack_are_told_with_their_fix(void **state)
{
	struct cookies cookies = { .known = true, .syncookies = 0, .timestamps = 1 };
	struct features features;
	struct utsname name;

	features_read(&features, &cookies);
	assert_true(features.asked);
	assert_int_equal(uname(&name), 0);
	assert_string_equal(features.release, name.release);
	assert_string_equal(features.sysctls[0].name, "net.ipv4.tcp_syncookies");
	assert_non_null(strstr(features.sysctls[0].note, "sysctl -w net.ipv4.tcp_syncookies=1"));
	cookies.syncookies = 1;
	features_read(&features, &cookies);
	assert_null(features.sysctls[0].note);
	assert_non_null(strstr(features.sysctls[1].note, "tcp_timestamps=2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_programs_need_is_there),
		cmocka_unit_test(each_feature_says_what_it_is_for),
		cmocka_unit_test(who_may_not_ask_is_told_so),
		cmocka_unit_test(sysctls_that_lack_are_told_with_their_fix),
	};

	return bpf_is_allowed() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
