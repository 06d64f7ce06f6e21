/* SPDX-License-Identifier: MIT */
/*
 * events.c - sluicectl events: what becomes of packets at the gate, as it happens. A line for each: of
 * a table, or with --json as the daemon sends it.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/listen.h"

#define LISTEN_MS 5000 /* without --follow, --for or --count */
#define SIDE_MAX  64

struct table {
	bool headed;
};

static const char *side(const json_t *event, const char *key, const char *port_key, char *text)
{
	const char *address = json_string_value(json_object_get(event, key));
	const json_t *port = json_object_get(event, port_key);

	if (!address)
		return "-";
	if (!port)
		snprintf(text, SIDE_MAX, "%s", address);
	else
		snprintf(text, SIDE_MAX, strchr(address, ':') ? "[%s]:%d" : "%s:%d", address,
			 (int)json_integer_value(port));
	return text;
}

static const char *word(const json_t *event, const char *key)
{
	const char *text = json_string_value(json_object_get(event, key));

	return text && *text ? text : "-";
}

/* Local time of the day: the date is in the JSON. */
static const char *clock_text(const json_t *event, char *text, size_t size)
{
	json_int_t ns = json_integer_value(json_object_get(event, "time_ns"));
	time_t seconds = (time_t)(ns / 1000000000);
	struct tm tm;

	localtime_r(&seconds, &tm);
	size_t len = strftime(text, size, "%H:%M:%S", &tm);

	snprintf(text + len, size - len, ".%06d", (int)(ns % 1000000000 / 1000));
	return text;
}

static int print_row(void *context, const json_t *event, const char *line)
{
	struct table *table = context;
	char when[32], source[SIDE_MAX], destination[SIDE_MAX];

	if (!table->headed)
		printf("%-15s  %-23s  %-10s  %-12s  %6s  %-21s  %s\n", "TIME", "VERDICT", "INTERFACE",
		       "LISTENER", "BYTES", "FROM", "TO");
	table->headed = true;
	printf("%-15s  %-23s  %-10s  %-12s  %6d  %-21s  %s\n",
	       clock_text(event, when, sizeof(when)), word(event, "reason"),
	       word(event, "interface"), word(event, "listener"),
	       (int)json_integer_value(json_object_get(event, "bytes")),
	       side(event, "source", "source_port", source),
	       side(event, "destination", "destination_port", destination));
	return ferror(stdout) ? -1 : 0;
}

static int print_json(void *context, const json_t *event, const char *line)
{
	return puts(line) < 0 ? -1 : 0;
}

int ctl_events(const struct ctl *ctl)
{
	bool follow = ctl_has_option(ctl, "follow");
	struct table table = { 0 };
	struct listen listen = {
		.mask = listen_mask_default(),
		.packets = ctl->json && ctl_has_option(ctl, "packets"),
		.on_event = ctl->json ? print_json : print_row,
		.context = &table,
	};
	int ret = listen_options(ctl, &listen);

	if (ret)
		return ret;
	if (!follow && !listen.for_ms && !listen.count)
		listen.for_ms = LISTEN_MS;
	ret = listen_run(ctl, &listen);
	if (!ret && !listen.events && !ctl->json)
		fputs("no events\n", stderr);
	listen_say_lost(&listen);
	return ret;
}
