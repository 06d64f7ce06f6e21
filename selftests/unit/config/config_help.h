/* SPDX-License-Identifier: MIT */
/*
 * config_help.h - what the tests of user/config share: a config text in, the report out.
 */
#ifndef SLUICE_SELFTESTS_CONFIG_HELP_H
#define SLUICE_SELFTESTS_CONFIG_HELP_H

#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "config/load.h"

/* The rest of a config that a case is put before: one correct listener, one correct group. */
#define A_LISTENER                                                                                 \
	"listeners: [{name: l, address: \"[::]:443\", certificate: {chain: c, key: k}, group: g}]\n"
#define A_GROUP "groups: [{name: g, backends: [{address: 192.0.2.1:50051}]}]\n"

/* Reads text as the file "f". Returns the config (also with errors, where there is one: the
 * caller's), and the report in *report. */
static inline struct config *help_read(const char *text, size_t len, struct config_report *report)
{
	struct reporter reporter = { 0 };
	struct tree tree = { 0 };
	struct config *config = load_text((const uint8_t *)text, len, &tree, &reporter);

	tree_done(&tree);
	report_flush(&reporter, "f", report);
	return config;
}

/* The config of a text without errors or warnings. */
static inline struct config *help_config(const char *text)
{
	struct config_report report = { 0 };
	struct config *config = help_read(text, strlen(text), &report);

	assert_string_equal(report.text ? report.text : "", "");
	assert_int_equal(report.errors + report.warnings, 0);
	assert_non_null(config);
	config_report_done(&report);
	return config;
}

/* Text gives exactly this report. */
static inline void help_expect_report(const char *text, size_t len, const char *expected)
{
	struct config_report report = { 0 };
	struct config *config = help_read(text, len, &report);

	assert_string_equal(report.text ? report.text : "", expected);
	config_unref(config);
	config_report_done(&report);
}

#endif
