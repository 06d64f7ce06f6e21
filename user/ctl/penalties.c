/* SPDX-License-Identifier: MIT */
/*
 * penalties.c - sluicectl penalties, pardon, penalize, sources: who is kept out for what he did, or by
 * command, and what is counted for and against whom.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/duration.h"
#include "ctl/rows.h"
#include "ctl/table.h"

#define FOR_DEFAULT_MS (10ull * 60 * 1000)

int ctl_penalties(const struct ctl *ctl)
{
	static const struct table_column columns[] = {
		{ "SOURCE", "source", TABLE_TEXT },
		{ "LEVEL", "level", TABLE_TEXT },
		{ "REASON", "reason", TABLE_TEXT },
		{ "SINCE", "since_seconds", TABLE_SECONDS },
		{ "LEFT", "left_seconds", TABLE_SECONDS },
		{ "TIMES", "count", TABLE_ID },
		{ "DROPPED", "dropped", TABLE_NUMBER },
		{ 0 },
	};

	return rows_print(ctl, "penalties", columns, "no source is under a penalty");
}

int ctl_sources(const struct ctl *ctl)
{
	static const struct table_column columns[] = {
		{ "SOURCE", "source", TABLE_TEXT },
		{ "CONNECTIONS", "connections", TABLE_NUMBER },
		{ "POINTS", "points", TABLE_NUMBER },
		{ "GOOD", "good", TABLE_NUMBER },
		{ "REASON", "reason", TABLE_TEXT },
		{ "PENALTIES", "penalties", TABLE_NUMBER },
		{ "SEEN", "seen_seconds", TABLE_SECONDS },
		{ 0 },
	};

	return rows_print(ctl, "sources", columns,
			  "no source is connected, or they are not counted: penalties and "
			  "per_source.connections are off");
}

/* Takes request over. *ret_document: what the daemon answered, the caller's; NULL: said why not. */
static int ask(const struct ctl *ctl, json_t *request, json_t **ret_document)
{
	char *text = NULL;

	*ret_document = client_request(ctl, request, &text);
	if (*ret_document && ctl->json)
		fputs(text, stdout);
	free(text);
	return *ret_document ? CTL_OK : CTL_FAILED;
}

static const char *source_of(const json_t *document)
{
	return json_string_value(json_object_get(document, "source"));
}

int ctl_pardon(const struct ctl *ctl)
{
	json_t *document;
	int ret = ask(ctl, json_pack("{s:s, s:s}", "command", "pardon", "source", ctl->arguments[0]),
		      &document);

	if (!ret && !ctl->json && source_of(document))
		printf("%s: pardoned\n", source_of(document));
	else if (!ret && !ctl->json)
		printf("%lld sources pardoned\n", (long long)json_integer_value(json_object_get(
							   document, "pardoned")));
	json_decref(document);
	return ret;
}

int ctl_penalize(const struct ctl *ctl)
{
	const char *level = ctl_option(ctl, "level"), *time = ctl_option(ctl, "for");
	uint64_t ms = FOR_DEFAULT_MS;
	json_t *document;
	int ret;

	if (duration_option(ctl, "for", &ms))
		return CTL_USAGE;
	if (!level)
		level = "connections";
	if (strcmp(level, "connections") && strcmp(level, "packets")) {
		fprintf(stderr, "sluicectl: --level wants connections or packets, not \"%s\"\n", level);
		return CTL_USAGE;
	}
	ret = ask(ctl, json_pack("{s:s, s:s, s:s, s:I}", "command", "penalize", "source",
				 ctl->arguments[0], "level", level, "for_ms", (json_int_t)ms),
		  &document);
	if (!ret && !ctl->json)
		printf("%s: %s dropped for %s, its connections are closed\n", source_of(document),
		       strcmp(level, "packets") ? "new connections are" : "all packets are",
		       time ? time : "10m");
	json_decref(document);
	return ret;
}
