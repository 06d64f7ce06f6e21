/* SPDX-License-Identifier: MIT */
/*
 * status.c - sluicectl status: the whole on one screen. What matters first: is it running, in
 * which mode, are the backends live, how much traffic.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/format.h"
#include "ctl/table.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static uint64_t number_of(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static double real_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static void print_daemon(const json_t *status)
{
	const json_t *workers = json_object_get(status, "workers");
	const json_t *monitor = json_object_get(status, "monitor");
	char up[FORMAT_MAX], age[FORMAT_MAX];

	printf("%-12s %s, up %s, pid %llu, version %s\n", "sluiced", text_of(status, "state"),
	       format_seconds(real_of(status, "uptime_seconds"), up, sizeof(up)),
	       (unsigned long long)number_of(status, "pid"), text_of(status, "version"));
	printf("%-12s %s, revision %llu, %s old\n", "config", text_of(status, "config"),
	       (unsigned long long)number_of(status, "revision"),
	       format_seconds(real_of(status, "revision_age_seconds"), age, sizeof(age)));
	printf("%-12s %llu of %llu live, %llu restart%s, as user %s; monitor %s\n", "workers",
	       (unsigned long long)number_of(workers, "live"),
	       (unsigned long long)number_of(workers, "slots"),
	       (unsigned long long)number_of(workers, "restarts"),
	       number_of(workers, "restarts") == 1 ? "" : "s", text_of(status, "user"),
	       json_is_true(json_object_get(monitor, "running")) ? "running" : "not running");
}

static void print_kernel(const json_t *kernel)
{
	const json_t *interfaces = json_object_get(kernel, "interfaces");
	const char *note = text_of(kernel, "note"), *chain;

	printf("%-12s %s (kernel.mode %s)%s%s\n", "kernel", text_of(kernel, "mode"),
	       text_of(kernel, "configured"), *note ? ": " : "", note);
	if (strcmp(text_of(kernel, "mode"), "on"))
		return;
	printf("%-12s %s, maps under %s\n", "sk_lookup",
	       json_is_true(json_object_get(kernel, "sk_lookup")) ? "on" : "off",
	       text_of(kernel, "pin_path"));
	for (size_t i = 0; i < json_array_size(interfaces); i++) {
		const json_t *interface = json_array_get(interfaces, i);

		note = text_of(interface, "note");
		chain = text_of(interface, "chain");
		printf("%-12s %s: %s%s%s%s%s\n", "xdp", text_of(interface, "name"),
		       text_of(interface, "mode"), *chain ? ", in a chain: " : "", chain,
		       *note ? "; " : "", note);
	}
	const json_t *cookies = json_object_get(kernel, "syn_cookies");
	const char *lack = text_of(cookies, "lack"), *loss = text_of(cookies, "loss");

	if (cookies)
		printf("%-12s %s%s%s\n", "SYN cookies", *lack ? lack : "as configured",
		       *loss ? "; " : "", loss);
	if (number_of(kernel, "event_listeners"))
		printf("%-12s %llu listen: sluicectl events, capture, top\n", "events",
		       (unsigned long long)number_of(kernel, "event_listeners"));
	if (!json_array_size(interfaces))
		printf("%-12s off: no interface under kernel.interfaces\n", "xdp");
}

static void print_traffic(const json_t *status)
{
	char open[FORMAT_MAX], all[FORMAT_MAX];

	printf("%-12s %s open, %s accepted\n", "connections",
	       format_count(number_of(status, "connections"), open, sizeof(open)),
	       format_count(number_of(status, "connections_accepted"), all, sizeof(all)));
	printf("%-12s %s active, %s in all, %.1f a second", "calls",
	       format_count(number_of(status, "active_rpcs"), open, sizeof(open)),
	       format_count(number_of(status, "calls"), all, sizeof(all)),
	       real_of(status, "calls_per_second"));
	printf("; %s answered by sluice itself\n",
	       format_count(number_of(status, "calls_failed"), all, sizeof(all)));
}

/* Only what happened: the whole list is `sluicectl verdicts`. */
static void print_verdicts(const json_t *verdicts)
{
	static const struct table_column columns[] = {
		{ "VERDICT", "verdict", TABLE_TEXT },
		{ "PACKETS", "packets", TABLE_NUMBER },
		{ "MEANING", "meaning", TABLE_TEXT },
		{ 0 },
	};
	json_t *seen = json_array();

	for (size_t i = 0; i < json_array_size(verdicts); i++)
		if (number_of(json_array_get(verdicts, i), "packets"))
			json_array_append(seen, json_array_get(verdicts, i));
	if (json_array_size(seen)) {
		putchar('\n');
		table_print(seen, columns);
	}
	json_decref(seen);
}

static void print_groups(const json_t *groups)
{
	static const struct table_column columns[] = {
		{ "GROUP", "name", TABLE_TEXT },
		{ "LIVE", "live", TABLE_NUMBER },
		{ "TOTAL", "total", TABLE_NUMBER },
		{ "SERVES", "serves", TABLE_TEXT },
		{ "ACTIVE", "active_rpcs", TABLE_NUMBER },
		{ "CALLS", "calls", TABLE_NUMBER },
		{ 0 },
	};

	putchar('\n');
	table_print(groups, columns);
}

static void print_penalties(const json_t *penalties)
{
	char active[FORMAT_MAX], sources[FORMAT_MAX];

	if (!json_is_true(json_object_get(penalties, "enabled")) && !number_of(penalties, "active"))
		return;
	printf("%-12s %s in force; %s sources known, room for %llu\n", "penalties",
	       format_count(number_of(penalties, "active"), active, sizeof(active)),
	       format_count(number_of(penalties, "sources"), sources, sizeof(sources)),
	       (unsigned long long)number_of(penalties, "sources_max"));
}

/* What an operator must not overlook. */
static void print_panics(const json_t *groups)
{
	for (size_t i = 0; i < json_array_size(groups); i++) {
		const json_t *group = json_array_get(groups, i);

		if (!json_is_true(json_object_get(group, "panic")))
			continue;
		printf("%-12s group %s balances over all its backends: %llu of %llu live\n", "panic",
		       text_of(group, "name"), (unsigned long long)number_of(group, "live"),
		       (unsigned long long)number_of(group, "total"));
	}
}

/* Only what happened: each is a count over all workers since the start. */
static void print_counts(const json_t *counts)
{
	const char *key;
	json_t *value;
	size_t column = 0;

	json_object_foreach((json_t *)counts, key, value) {
		char number[FORMAT_MAX];
		int len;

		if (!json_integer_value(value))
			continue;
		format_count((uint64_t)json_integer_value(value), number, sizeof(number));
		len = (int)(strlen(key) + strlen(number) + 3);
		if (!column || column + (size_t)len > 100) {
			printf("%s%-12s", column ? "\n" : "", column ? "" : "events");
			column = 12;
		}
		printf(" %s %s%s", number, key, "");
		column += (size_t)len;
	}
	if (column)
		putchar('\n');
}

int ctl_status(const struct ctl *ctl)
{
	char *text = NULL;
	json_t *status;

	if (ctl_has_option(ctl, "kernel"))
		return ctl_status_kernel(ctl);
	status = client_ask(ctl, "status", &text);
	if (!status)
		return CTL_FAILED;
	if (ctl->json) {
		fputs(text, stdout);
	} else {
		print_daemon(status);
		print_kernel(json_object_get(status, "kernel"));
		print_traffic(status);
		print_counts(json_object_get(status, "events"));
		print_penalties(json_object_get(status, "penalties"));
		print_panics(json_object_get(status, "groups"));
		print_groups(json_object_get(status, "groups"));
		print_verdicts(json_object_get(status, "verdicts"));
	}
	json_decref(status);
	free(text);
	return CTL_OK;
}
