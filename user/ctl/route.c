/* SPDX-License-Identifier: MIT */
/*
 * route.c - sluicectl route: which route a call would take, where that leads, and why the routes before
 * it do not take it. The daemon answers, by its workers' own code.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/ctl.h"

/* --header KEY=VALUE, as often as given. NULL: one of them is none, and said so. */
static json_t *read_headers(const struct ctl *ctl)
{
	json_t *headers = json_array();

	for (int i = 0; i < ctl->n_options; i++) {
		const char *text = ctl->options[i].value, *equals;

		if (strcmp(ctl->options[i].name, "header"))
			continue;
		equals = strchr(text, '=');
		if (!equals || equals == text) {
			fprintf(stderr, "sluicectl: --header wants KEY=VALUE, not \"%s\"\n", text);
			json_decref(headers);
			return NULL;
		}
		json_array_append_new(headers, json_pack("[s%, s]", text, (size_t)(equals - text),
							 equals + 1));
	}
	return headers;
}

static json_t *read_sans(const struct ctl *ctl)
{
	json_t *sans = json_array();

	for (int i = 0; i < ctl->n_options; i++)
		if (!strcmp(ctl->options[i].name, "san"))
			json_array_append_new(sans, json_string(ctl->options[i].value));
	return sans;
}

static void print_passed_over(const json_t *rows)
{
	const json_t *row;
	int width = 0;
	size_t i;

	if (!json_array_size(rows))
		return;
	json_array_foreach(rows, i, row) {
		int len = (int)strlen(json_string_value(json_object_get(row, "route")));

		width = len > width ? len : width;
	}
	puts("passed over:");
	json_array_foreach(rows, i, row)
		printf("  %-*s  %s does not match\n", width,
		       json_string_value(json_object_get(row, "route")),
		       json_string_value(json_object_get(row, "because")));
}

static void print_answer(const json_t *answer)
{
	const char *route = json_string_value(json_object_get(answer, "route"));
	const char *group = json_string_value(json_object_get(answer, "group"));
	const char *message = json_string_value(json_object_get(answer, "message"));

	if (json_is_true(json_object_get(answer, "health_service"))) {
		puts("no route: sluice answers it itself, by the listener's health_service");
	} else if (json_is_true(json_object_get(answer, "gave_up"))) {
		puts("no route: too much work for the expressions, the call is answered "
		     "RESOURCE_EXHAUSTED");
	} else if (!route) {
		puts("no route: the call is answered UNIMPLEMENTED");
	} else {
		printf("route %s (%s)\n", route,
		       json_string_value(json_object_get(answer, "match")));
		printf("to    %s", json_string_value(json_object_get(answer, "to")));
		if (group && json_array_size(json_object_get(answer, "groups")) > 1)
			printf("; by its key: %s", group);
		if (message && *message)
			printf(": %s", message);
		putchar('\n');
	}
	print_passed_over(json_object_get(answer, "passed_over"));
}

int ctl_route(const struct ctl *ctl)
{
	json_t *headers = read_headers(ctl), *request, *answer;
	char *text = NULL;

	if (!headers)
		return CTL_FAILED;
	request = json_pack("{s:s, s:s, s:o, s:o, s:s*, s:s*, s:s*, s:s*}", "command", "route",
			    "listener", ctl->arguments[0], "headers", headers, "sans",
			    read_sans(ctl), "host", ctl_option(ctl, "host"), "path",
			    ctl_option(ctl, "path"), "source", ctl_option(ctl, "source"), "sni",
			    ctl_option(ctl, "sni"));
	if (!request) {
		fputs("sluicectl: what is asked for is not UTF-8\n", stderr);
		return CTL_FAILED;
	}
	answer = client_request(ctl, request, &text);
	if (!answer)
		return CTL_FAILED;
	if (ctl->json)
		fputs(text, stdout);
	else
		print_answer(answer);
	json_decref(answer);
	free(text);
	return CTL_OK;
}
