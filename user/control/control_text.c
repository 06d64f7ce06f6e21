/* SPDX-License-Identifier: MIT */
/*
 * control_text.c - see control_text.h. Called by control_rows.c; one value of each condition is
 * shown and the others are counted, since a table's line is for recognizing a route, not for reading it.
 */
#include "control/control_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proxy/grpc.h"

struct words {
	char *text;
	size_t size, len;
};

__attribute__((format(printf, 2, 3))) static void add(struct words *words, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(words->text + words->len, words->size - words->len, format, args);
	va_end(args);
	if (n < 0)
		return;
	words->len += (size_t)n;
	if (words->len < words->size)
		return;
	words->len = words->size - 1;
	if (words->size > 4)
		memcpy(words->text + words->size - 4, "...", 4);
}

static void add_first(struct words *words, const char *what, const char *first, size_t n)
{
	if (!n)
		return;
	add(words, "%s%s %s", words->len ? ", " : "", what, first);
	if (n > 1)
		add(words, " +%zu", n - 1);
}

static void add_path(struct words *words, const struct config_match *match)
{
	static const char *const kinds[] = {
		[PATH_EXACT] = "path",
		[PATH_SERVICE] = "service",
		[PATH_PREFIX] = "prefix",
		[PATH_REGEX] = "regex",
	};

	if (match->n_paths)
		add_first(words, kinds[match->paths[0].match], match->paths[0].text,
			  match->n_paths);
}

static void add_metadata(struct words *words, const struct config_metadata_condition *condition)
{
	static const char *const signs[] = {
		[METADATA_PRESENT] = " present", [METADATA_ABSENT] = " absent",
		[METADATA_EXACT] = "=",		 [METADATA_PREFIX] = " prefix ",
		[METADATA_SUFFIX] = " suffix ",	 [METADATA_REGEX] = " regex ",
	};

	add(words, "%s%s%s", words->len ? ", " : "", condition->key, signs[condition->match]);
	if (condition->values.n)
		add(words, "%s", condition->values.items[0]);
	if (condition->values.n > 1)
		add(words, " +%zu", condition->values.n - 1);
}

const char *control_match_text(const struct config_match *match, char *text, size_t size)
{
	struct words words = { text, size, 0 };
	char prefix[ADDR_TEXT_MAX];

	text[0] = '\0';
	if (match->hosts.n)
		add_first(&words, "host", match->hosts.items[0], match->hosts.n);
	add_path(&words, match);
	for (size_t i = 0; i < match->n_metadata; i++)
		add_metadata(&words, &match->metadata[i]);
	if (match->n_sources)
		add_first(&words, "source",
			  prefix_format(&match->sources[0], prefix, sizeof(prefix)),
			  match->n_sources);
	if (match->snis.n)
		add_first(&words, "sni", match->snis.items[0], match->snis.n);
	if (match->sans.n)
		add_first(&words, "san", match->sans.items[0], match->sans.n);
	if (!words.len)
		add(&words, "every call");
	return text;
}

const char *control_target_text(const struct config *config, const struct config_route *route,
				char *text, size_t size)
{
	struct words words = { text, size, 0 };

	text[0] = '\0';
	for (size_t i = 0; i < route->n_splits; i++) {
		const char *name = config->groups[route->splits[i].group].name;

		if (route->n_splits == 1)
			add(&words, "%s", name);
		else
			add(&words, "%s%s %u", i ? ", " : "", name, route->splits[i].weight);
	}
	if (!route->n_splits)
		add(&words, "%s", grpc_status_name(route->status));
	if (route->mirror_group != CONFIG_NO_GROUP)
		add(&words, ", mirror %s", config->groups[route->mirror_group].name);
	return text;
}
