/* SPDX-License-Identifier: MIT */
/*
 * check_shadows.c - the part of check.h that warns of routes which can never match, since an earlier
 * one takes all their calls or since their own conditions exclude each other.
 *
 * A thousand routes by exact method must not be a million comparisons: a route is compared only
 * with those that name a path of its own, and with those that name paths in other ways or none.
 */
#include <stdlib.h>
#include <string.h>

#include "config/check.h"

/* One path of one route, by its text: /a.B/C, or /a.B/ for the service. */
struct shadow_entry {
	const char *text;
	size_t route;
};

struct shadows {
	const struct config_route *routes;
	struct shadow_entry *entries; /* sorted by text, then route */
	size_t n_entries;
	size_t *wide; /* routes with another kind of path, or with none; ascending */
	size_t n_wide;
};

static int shadow_compare(const void *a_, const void *b_)
{
	const struct shadow_entry *a = a_, *b = b_;
	int order = strcmp(a->text, b->text);

	if (order)
		return order;
	return a->route < b->route ? -1 : a->route > b->route;
}

static bool shadow_is_plain(const struct config_path *path)
{
	return path->match == PATH_EXACT || path->match == PATH_SERVICE;
}

/* False: no memory. */
static bool shadows_init(struct shadows *shadows, const struct config_route *routes, size_t n)
{
	size_t paths = 0;

	*shadows = (struct shadows){ .routes = routes };
	for (size_t i = 0; i < n; i++)
		paths += routes[i].match.n_paths;
	shadows->entries = calloc(paths + 1, sizeof(*shadows->entries));
	shadows->wide = calloc(n, sizeof(*shadows->wide));
	if (!shadows->entries || !shadows->wide)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct config_match *match = &routes[i].match;
		bool wide = !match->n_paths;

		for (size_t j = 0; j < match->n_paths; j++) {
			if (shadow_is_plain(&match->paths[j]))
				shadows->entries[shadows->n_entries++] =
					(struct shadow_entry){ match->paths[j].text, i };
			else
				wide = true;
		}
		if (wide)
			shadows->wide[shadows->n_wide++] = i;
	}
	if (shadows->n_entries)
		qsort(shadows->entries, shadows->n_entries, sizeof(*shadows->entries),
		      shadow_compare);
	return true;
}

static void shadows_done(struct shadows *shadows)
{
	free(shadows->entries);
	free(shadows->wide);
}

/* The first route before index that covers it and has a path equal to the first len bytes of text;
 * SIZE_MAX: none. */
static size_t shadows_find_path(const struct shadows *shadows, const char *text, size_t len,
				size_t index)
{
	size_t low = 0, high = shadows->n_entries;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const char *other = shadows->entries[middle].text;
		int order = strncmp(other, text, len);

		if (order < 0 || (order == 0 && strlen(other) < len))
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < shadows->n_entries; low++) {
		const struct shadow_entry *entry = &shadows->entries[low];

		if (strncmp(entry->text, text, len) || entry->text[len] || entry->route >= index)
			break;
		if (shadow_covers(&shadows->routes[entry->route].match,
				  &shadows->routes[index].match))
			return entry->route;
	}
	return SIZE_MAX;
}

/* The first route that takes all calls of the one at index; SIZE_MAX: none. */
static size_t shadows_find(const struct shadows *shadows, size_t index)
{
	const struct config_match *match = &shadows->routes[index].match;
	size_t first = SIZE_MAX, found;

	if (match->n_paths && shadow_is_plain(&match->paths[0])) {
		const char *text = match->paths[0].text, *slash = strrchr(text, '/');

		first = shadows_find_path(shadows, text, strlen(text), index);
		found = slash && slash[1] ? shadows_find_path(shadows, text,
							      (size_t)(slash + 1 - text), index) :
					    SIZE_MAX;
		first = found < first ? found : first;
	}
	for (size_t i = 0; i < shadows->n_wide && shadows->wide[i] < index; i++) {
		found = shadows->wide[i];
		if (found >= first)
			break;
		if (shadow_covers(&shadows->routes[found].match, match))
			return found;
	}
	return first;
}

/* A key that must be there and must not. */
static const char *shadow_contradiction(const struct config_match *match)
{
	for (size_t i = 0; i < match->n_metadata; i++)
		for (size_t j = 0; j < match->n_metadata; j++)
			if (match->metadata[i].match == METADATA_ABSENT &&
			    match->metadata[j].match != METADATA_ABSENT &&
			    strcmp(match->metadata[i].key, match->metadata[j].key) == 0)
				return match->metadata[i].key;
	return NULL;
}

static void shadows_report(struct reporter *reporter, const struct config_listener *listener,
			   size_t index, size_t by, bool is_group, const struct node *group)
{
	const struct config_route *route = &listener->routes[index], *taker = &listener->routes[by];

	if (is_group)
		report_warning(reporter, group->place,
			       "group gets no calls: route \"%s\" on line %u takes all that come to "
			       "it",
			       taker->name, taker->place.line);
	else
		report_warning(reporter, route->place,
			       "route \"%s\" can never match: route \"%s\" on line %u takes all its "
			       "calls",
			       route->name, taker->name, taker->place.line);
}

void check_shadows(struct reporter *reporter, const struct config_listener *listener, size_t n_file,
		   const struct node *group)
{
	struct shadows shadows;

	if (!shadows_init(&shadows, listener->routes, listener->n_routes)) {
		report_no_memory(reporter);
		goto out;
	}
	for (size_t i = 0; i < listener->n_routes; i++) {
		const struct config_route *route = &listener->routes[i];
		const char *key = shadow_contradiction(&route->match);
		size_t by = shadows_find(&shadows, i);

		if (key)
			report_warning(reporter, route->place,
				       "route \"%s\" can never match: it wants metadata key \"%s\" "
				       "both there and absent",
				       route->name, key);
		else if (by != SIZE_MAX)
			shadows_report(reporter, listener, i, by, i >= n_file, group);
	}
out:
	shadows_done(&shadows);
}
