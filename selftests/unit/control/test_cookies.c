/* SPDX-License-Identifier: MIT */
/*
 * test_cookies.c - what the sysctls make of the listeners' syn_cookies: flags and rates of the row, and
 * what is said.
 */
#include "control/cookies.h"

#include <sys/stat.h>

#include "cm.h"

#define ALL_COOKIES (SLUICE_LISTENER_COOKIES_AUTO | SLUICE_LISTENER_COOKIES_ALWAYS |                \
		     SLUICE_LISTENER_COOKIES_PROBE | SLUICE_LISTENER_COOKIES_OPTIONS)

static struct cookies host(int syncookies, int timestamps, int wscale)
{
	return (struct cookies){ .known = true, .syncookies = syncookies, .timestamps = timestamps,
				 .sack = 1, .scaling = 1, .wscale = wscale };
}

static struct sluice_listener row_of(const struct cookies *cookies, enum config_cookies wanted)
{
	const struct config_listener listener = {
		.syn_cookies = wanted,
		.syn_cookies_above = { .interval_ns = 100000, .burst = 10000 },
	};
	struct sluice_listener row = { .id = 7, .source_interval_ns = 5 };

	cookies_fill(cookies, &listener, &row);
	assert_int_equal(row.id, 7);
	assert_int_equal(row.source_interval_ns, 5);
	return row;
}

static void flags_follow_the_key_and_the_sysctls(void **state)
{
	static const struct {
		int syncookies, timestamps, wscale;
		enum config_cookies wanted;
		uint32_t flags;
	} cases[] = {
		{ 1, 1, COOKIES_UNKNOWN, COOKIES_AUTO,
		  SLUICE_LISTENER_COOKIES_AUTO | SLUICE_LISTENER_COOKIES_PROBE },
		{ 2, 1, COOKIES_UNKNOWN, COOKIES_AUTO, SLUICE_LISTENER_COOKIES_AUTO },
		{ 1, 1, COOKIES_UNKNOWN, COOKIES_ALWAYS, SLUICE_LISTENER_COOKIES_ALWAYS },
		{ 2, 2, 10, COOKIES_ALWAYS,
		  SLUICE_LISTENER_COOKIES_ALWAYS | SLUICE_LISTENER_COOKIES_OPTIONS },
		{ 2, 2, 0, COOKIES_AUTO,
		  SLUICE_LISTENER_COOKIES_AUTO | SLUICE_LISTENER_COOKIES_OPTIONS },
		/* Nobody told which scaling. */
		{ 2, 2, COOKIES_UNKNOWN, COOKIES_AUTO, SLUICE_LISTENER_COOKIES_AUTO },
		/* What cannot be read may well be on; it costs a question. */
		{ COOKIES_UNKNOWN, 1, COOKIES_UNKNOWN, COOKIES_AUTO, SLUICE_LISTENER_COOKIES_AUTO },
		{ 0, 2, COOKIES_UNKNOWN, COOKIES_ALWAYS, 0 },
		{ 2, 2, 10, COOKIES_OFF, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cookies cookies = host(cases[i].syncookies, cases[i].timestamps,
					      cases[i].wscale);
		struct sluice_listener row = row_of(&cookies, cases[i].wanted);

		assert_int_equal(row.flags & ALL_COOKIES, cases[i].flags);
		assert_int_equal(row.cookie_interval_ns, cases[i].flags ? 100000 : 0);
		assert_int_equal(row.cookie_tolerance_ns, cases[i].flags ? 999900000 : 0);
		assert_int_equal(row.cookie_wscale,
				 cases[i].flags & SLUICE_LISTENER_COOKIES_OPTIONS ?
					 cases[i].wscale :
					 0);
	}
}

static void options_need_all_of_their_sysctls(void **state)
{
	struct cookies cookies = host(2, 2, 7);

	(void)state;
	assert_true(cookies_keep_options(&cookies));
	assert_null(cookies_loss(&cookies));
	cookies.sack = 0;
	assert_false(cookies_keep_options(&cookies));
	assert_non_null(strstr(cookies_loss(&cookies), "net.ipv4.tcp_sack"));
	cookies = host(2, 2, 7);
	cookies.scaling = 0;
	assert_false(cookies_keep_options(&cookies));
	cookies = host(2, 1, 7);
	assert_false(cookies_keep_options(&cookies));
	assert_non_null(strstr(cookies_loss(&cookies), "sysctl -w net.ipv4.tcp_timestamps=2"));
	cookies = host(2, 2, COOKIES_UNKNOWN);
	assert_non_null(strstr(cookies_loss(&cookies), "127.0.0.1"));
	/* Without cookies nothing is lost by them. */
	cookies = host(0, 1, COOKIES_UNKNOWN);
	assert_null(cookies_loss(&cookies));
}

static void what_lacks_is_said_with_the_fix(void **state)
{
	struct cookies cookies = host(0, 1, COOKIES_UNKNOWN);

	(void)state;
	assert_non_null(strstr(cookies_lack(&cookies, COOKIES_AUTO),
			       "sysctl -w net.ipv4.tcp_syncookies=1"));
	assert_null(cookies_lack(&cookies, COOKIES_OFF));
	cookies = host(1, 1, COOKIES_UNKNOWN);
	assert_null(cookies_lack(&cookies, COOKIES_AUTO));
	assert_non_null(strstr(cookies_lack(&cookies, COOKIES_ALWAYS),
			       "sysctl -w net.ipv4.tcp_syncookies=2"));
	cookies = host(2, 1, COOKIES_UNKNOWN);
	assert_null(cookies_lack(&cookies, COOKIES_ALWAYS));
	cookies = host(COOKIES_UNKNOWN, 1, COOKIES_UNKNOWN);
	assert_non_null(cookies_lack(&cookies, COOKIES_AUTO));
}

static void this_machine_is_read_and_is_new_once(void **state)
{
	struct cookies cookies = { 0 };
	struct stat ignored;

	(void)state;
	assert_true(cookies_read(&cookies));
	assert_false(cookies_read(&cookies));
	assert_true(cookies.known);
	if (!stat("/proc/sys/net/ipv4/tcp_syncookies", &ignored))
		assert_in_range(cookies.syncookies, 0, 2);
	/* Asked for only where it is needed. */
	if (cookies.timestamps != 2)
		assert_int_equal(cookies.wscale, COOKIES_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_follow_the_key_and_the_sysctls),
		cmocka_unit_test(options_need_all_of_their_sysctls),
		cmocka_unit_test(what_lacks_is_said_with_the_fix),
		cmocka_unit_test(this_machine_is_read_and_is_new_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
