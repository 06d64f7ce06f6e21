/* SPDX-License-Identifier: MIT */
/*
 * check.c - sluicectl check FILE: reads a configuration as the daemon would and prints every error
 * and warning. Needs no daemon and changes nothing.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "ctl/ctl.h"
#include "proxy/config_hooks.h"

static void print_json(const struct config_report *report)
{
	json_t *lines = json_array();
	const char *at = report->text ? report->text : "";

	while (*at) {
		size_t len = strcspn(at, "\n");

		json_array_append_new(lines, json_stringn(at, len));
		at += len + (at[len] == '\n');
	}
	json_t *document = json_pack("{s:i, s:i, s:o}", "errors", (int)report->errors, "warnings",
				     (int)report->warnings, "report", lines);

	json_dumpf(document, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(document);
}

int ctl_check(const struct ctl *ctl)
{
	struct config_report report = { 0 };
	struct config *config = config_load(ctl->arguments[0], &report, &config_hooks);
	int ret = config ? CTL_OK : CTL_FAILED;

	if (ctl->json)
		print_json(&report);
	else if (report.text)
		fputs(report.text, stdout);
	else if (config)
		printf("%s: good\n", ctl->arguments[0]);
	config_unref(config);
	config_report_done(&report);
	return ret;
}
