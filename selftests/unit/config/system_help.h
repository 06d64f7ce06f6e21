/* SPDX-License-Identifier: MIT */
/*
 * system_help.h - what the tests share that load a config as sluiced does: with files of a folder,
 * and all hooks.
 */
#ifndef SLUICE_SELFTESTS_SYSTEM_HELP_H
#define SLUICE_SELFTESTS_SYSTEM_HELP_H

#include "pem_help.h"

#include "config/config.h"
#include "proxy/config_hooks.h"

static inline struct config *load(const char *path, struct config_report *report)
{
	return config_load(path, report, &config_hooks);
}

/* Loads text as FOLDER/sluice.yaml and wants this report, where "@" stands for FOLDER. */
static inline struct config *load_expecting(const char *folder, const char *text, const char *expected)
{
	const char *path = pem_path(folder, "sluice.yaml");
	struct config_report report = { 0 };
	struct config *config;
	char whole[2048];
	size_t len = 0;

	for (const char *c = expected; *c; c++) {
		assert_true(len + strlen(folder) + 2 < sizeof(whole));
		if (*c == '@')
			len += (size_t)sprintf(whole + len, "%s", folder);
		else
			whole[len++] = *c;
	}
	whole[len] = '\0';
	pem_write_text(path, text);
	config = load(path, &report);
	assert_string_equal(report.text ? report.text : "", whole);
	assert_int_equal(config == NULL, report.errors > 0);
	config_report_done(&report);
	return config;
}

static inline void expect(const char *folder, const char *text, const char *expected)
{
	config_unref(load_expecting(folder, text, expected));
}

#endif
