/* SPDX-License-Identifier: MIT */
/*
 * acl.c - sluicectl acl add, del, list: entries of access lists while the daemon runs, beside those of
 * its config.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/duration.h"
#include "ctl/table.h"

#define FOR_MAX_DAYS 366
#define REQUEST_PREFIXES 60 /* so many of the longest fit one request of 4 KiB */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static int usage(const char *text)
{
	fprintf(stderr, "sluicectl: %s; try sluicectl acl --help\n", text);
	return CTL_USAGE;
}

static json_t *request_for(const struct ctl *ctl, const char *command)
{
	const char *listener = ctl_option(ctl, "listener");
	json_t *request = json_pack("{s:s}", "command", command);

	if (listener)
		json_object_set_new(request, "listener", json_string(listener));
	return request;
}

/* One request's worth of prefixes. request is taken over. */
static int send_some(const struct ctl *ctl, json_t *request, char **prefixes, int n, bool first)
{
	json_t *array = json_array(), *document;
	char *text = NULL;
	const char *note;

	for (int i = 0; i < n; i++)
		json_array_append_new(array, json_string(prefixes[i]));
	json_object_set_new(request, "prefixes", array);
	document = client_request(ctl, request, &text);
	if (!document)
		return CTL_FAILED;
	note = text_of(document, "note");
	if (ctl->json)
		fputs(text, stdout);
	else if (*note && first)
		fprintf(stderr, "sluicectl: %s\n", note);
	free(text);
	json_decref(document);
	return CTL_OK;
}

/* All prefixes given, in as many requests as it takes. */
static int change(const struct ctl *ctl, json_t *request, const char *done)
{
	char **prefixes = ctl->arguments + 1;
	int n = ctl->n_arguments - 1, ret = CTL_OK;

	for (int at = 0; at < n && !ret; at += REQUEST_PREFIXES)
		ret = send_some(ctl, json_deep_copy(request), prefixes + at,
				n - at < REQUEST_PREFIXES ? n - at : REQUEST_PREFIXES, !at);
	json_decref(request);
	if (!ret && !ctl->json && n == 1)
		printf("%s %s\n", prefixes[0], done);
	else if (!ret && !ctl->json)
		printf("%d prefixes %s\n", n, done);
	return ret;
}

static int acl_add(const struct ctl *ctl)
{
	const char *after = ctl_option(ctl, "for");
	bool allow = ctl_has_option(ctl, "allow");
	uint64_t ms = 0;
	char done[128];
	json_t *request;

	if (duration_option_days(ctl, "for", FOR_MAX_DAYS, &ms))
		return CTL_USAGE;
	request = request_for(ctl, "acl-add");
	json_object_set_new(request, "action", json_string(allow ? "allow" : "deny"));
	if (after)
		json_object_set_new(request, "for_ms", json_integer((json_int_t)ms));
	snprintf(done, sizeof(done), "%s%s%s", allow ? "allowed" : "denied", after ? " for " : "",
		 after ? after : "");
	return change(ctl, request, done);
}

static void print_sources(const json_t *document)
{
	const json_t *list, *source;
	size_t i, k;

	json_array_foreach(json_object_get(document, "lists"), i, list) {
		const char *listener = json_string_value(json_object_get(list, "listener"));
		const json_t *sources = json_object_get(list, "sources");

		if (!json_array_size(sources))
			continue;
		printf("%s%s%s\n", listener ? "listener " : "all listeners", listener ? listener : "",
		       json_is_true(json_object_get(list, "allow_list")) ?
			       ": who is in no entry is denied" : "");
		json_array_foreach(sources, k, source)
			printf("  %lld %s%sfrom %s\n",
			       (long long)json_integer_value(json_object_get(source, "entries")),
			       text_of(source, "action"), *text_of(source, "action") ? " " : "",
			       text_of(source, "origin"));
	}
}

static int print_entries(const json_t *document)
{
	static const struct table_column columns[] = {
		{ "PREFIX", "prefix", TABLE_TEXT },
		{ "ACTION", "action", TABLE_TEXT },
		{ "LISTENER", "listener", TABLE_TEXT },
		{ "ORIGIN", "origin", TABLE_TEXT },
		{ "AGE", "age_seconds", TABLE_SECONDS },
		{ "LEFT", "left_seconds", TABLE_SECONDS },
		{ 0 },
	};
	const json_t *entries = json_object_get(document, "entries");
	long long more = json_integer_value(json_object_get(document, "more"));

	if (!json_array_size(entries)) {
		fputs(more ? "" : "no entries\n", stderr);
	} else {
		putchar('\n');
		if (table_print(entries, columns))
			return CTL_FAILED;
	}
	if (more)
		fprintf(stderr, "%lld more entries: --limit N shows more, a prefix those about it\n",
			more);
	return CTL_OK;
}

static int acl_list(const struct ctl *ctl)
{
	const char *limit = ctl_option(ctl, "limit");
	json_t *request = request_for(ctl, "acl-list"), *document;
	char *text = NULL, *end;
	int ret = CTL_OK;

	if (ctl->n_arguments > 1)
		json_object_set_new(request, "prefix", json_string(ctl->arguments[1]));
	if (limit) {
		errno = 0;
		long n = strtol(limit, &end, 10);

		if (errno || *end || end == limit || n < 0) {
			json_decref(request);
			return usage("--limit wants a whole number");
		}
		json_object_set_new(request, "limit", json_integer(n));
	}
	document = client_request(ctl, request, &text);
	if (!document)
		return CTL_FAILED;
	if (ctl->json) {
		fputs(text, stdout);
	} else {
		print_sources(document);
		ret = print_entries(document);
	}
	free(text);
	json_decref(document);
	return ret;
}

int ctl_acl(const struct ctl *ctl)
{
	const char *verb = ctl->arguments[0];
	bool add = !strcmp(verb, "add"), list = !strcmp(verb, "list");

	if (!add && !list && strcmp(verb, "del"))
		return usage("acl wants add, del or list");
	if (!add && (ctl_option(ctl, "for") || ctl_has_option(ctl, "allow")))
		return usage("--for and --allow are for acl add");
	if (!list && ctl_option(ctl, "limit"))
		return usage("--limit is for acl list");
	if (list)
		return ctl->n_arguments > 2 ? usage("acl list takes one prefix") : acl_list(ctl);
	if (ctl->n_arguments < 2)
		return usage("acl add and del want a prefix");
	return add ? acl_add(ctl) : change(ctl, request_for(ctl, "acl-del"), "deleted");
}
