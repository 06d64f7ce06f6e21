/* SPDX-License-Identifier: MIT */
/*
 * status_kernel.c - sluicectl status --kernel: what this kernel can do, what sluiced may do, and which
 * sysctls matter. What is on right now is status's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/ctl.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static const char *yes_no(const json_t *row)
{
	const json_t *has = json_object_get(row, "has");

	return json_is_null(has) ? "?" : json_is_true(has) ? "yes" : "no";
}

static int width_of(const json_t *rows, const char *key)
{
	const json_t *row;
	int width = 0;
	size_t i;

	json_array_foreach(rows, i, row) {
		int len = (int)strlen(text_of(row, key));

		width = len > width ? len : width;
	}
	return width;
}

static void print_features(const json_t *rows)
{
	int width = width_of(rows, "feature");
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		const char *note = text_of(row, "note");

		printf("  %-3s  %-*s", yes_no(row), width, text_of(row, "feature"));
		if (json_is_true(json_object_get(row, "has")))
			printf("  for %s\n", text_of(row, "used_for"));
		else if (json_is_true(json_object_get(row, "needed")))
			printf("  the kernel side is off without it (Linux %s)\n",
			       text_of(row, "since_linux"));
		else
			printf("  off without it (Linux %s): %s%s%s\n",
			       text_of(row, "since_linux"), text_of(row, "used_for"),
			       *note ? "; " : "", note);
	}
}

static void print_capabilities(const json_t *rows)
{
	int width = width_of(rows, "capability");
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
		printf("  %-3s  %-*s  for %s\n", yes_no(row), width, text_of(row, "capability"),
		       text_of(row, "needed_for"));
}

static void print_sysctls(const json_t *rows)
{
	int width = width_of(rows, "sysctl");
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		const json_t *value = json_object_get(row, "value");
		const char *note = text_of(row, "note");

		if (json_is_null(value))
			printf("  ?    %-*s  not to be seen in this network namespace\n", width,
			       text_of(row, "sysctl"));
		else
			printf("  %-3lld  %-*s  %s\n", (long long)json_integer_value(value), width,
			       text_of(row, "sysctl"), *note ? note : "fine");
	}
}

int ctl_status_kernel(const struct ctl *ctl)
{
	char *text = NULL;
	json_t *answer = client_ask(ctl, "features", &text);
	const char *note;

	if (!answer)
		return CTL_FAILED;
	if (ctl->json) {
		fputs(text, stdout);
	} else {
		note = text_of(answer, "note");
		printf("Linux %s %s, kernel side %s%s%s\n", text_of(answer, "release"),
		       text_of(answer, "machine"), text_of(answer, "state"), *note ? ": " : "",
		       note);
		puts("\nfeatures of this kernel");
		print_features(json_object_get(answer, "features"));
		puts("\ncapabilities of sluiced");
		print_capabilities(json_object_get(answer, "capabilities"));
		puts("\nsysctls");
		print_sysctls(json_object_get(answer, "sysctls"));
	}
	json_decref(answer);
	free(text);
	return CTL_OK;
}
