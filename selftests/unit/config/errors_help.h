/* SPDX-License-Identifier: MIT */
/*
 * errors_help.h - what the tests of a config's errors share: tables of a text and its whole report.
 */
#ifndef SLUICE_SELFTESTS_ERRORS_HELP_H
#define SLUICE_SELFTESTS_ERRORS_HELP_H

#include "config_help.h"

/* Lines under the one listener, from line 7 column 3 on; under the one group, from line 5 on. */
#define IN_LISTENER(lines)                                                                         \
	A_GROUP "listeners:\n- name: l\n  address: \"[::]:443\"\n"                                 \
		"  certificate: {chain: c, key: k}\n  group: g\n" lines "\n"
#define IN_GROUP(lines)                                                                            \
	A_LISTENER "groups:\n- name: g\n  backends: [{address: 192.0.2.1:50051}]\n" lines "\n"

struct error_case {
	const char *text, *report;
};

static inline void expect(const struct error_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++)
		help_expect_report(cases[i].text, strlen(cases[i].text), cases[i].report);
}

#define EXPECT(cases) expect(cases, sizeof(cases) / sizeof((cases)[0]))

#endif
