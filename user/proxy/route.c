/* SPDX-License-Identifier: MIT */
/*
 * route.c - compiles a listener's routes for route_match.c, see route.h. Called by router.c for each
 * configuration and by the supervisor for `sluicectl route`. Where a route is looked for is decided
 * here: under its exact paths, else under its exact hosts, else among those that every call meets.
 */
#include "proxy/route.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "proxy/metadata.h"
#include "proxy/route_internal.h"

#define HOST_PATHS_MAX 256 /* keys of one route in by_host_path; with more it goes by its paths */

struct build {
	struct route_table *table;
	const struct config_route *route; /* being compiled */
	char *why;
	size_t why_size;
};

static int fail(struct build *build, const char *what, const char *text, const char *reason)
{
	snprintf(build->why, build->why_size, "route \"%s\": %s \"%s\": %s", build->route->name,
		 what, text, reason);
	return -EINVAL;
}

static int no_memory(struct build *build)
{
	snprintf(build->why, build->why_size, "no memory");
	return -ENOMEM;
}

/* ---- conditions ---- */

/* SANs are compared as they stand: of URIs and mail addresses capitals matter. */
static int build_names(struct build *build, struct route_names *names,
		       const struct config_texts *texts, const char *what)
{
	names->items = calloc(texts->n + 1, sizeof(*names->items));
	if (!names->items)
		return no_memory(build);
	for (size_t i = 0; i < texts->n; i++) {
		const char *text = texts->items[i];
		struct route_name *name = &names->items[names->n++];
		struct route_host host;

		name->suffix = text[0] == '*' && text[1] == '.';
		text += name->suffix;
		if (strcmp(what, "san")) {
			if (!route_host_read(&host, text, strlen(text)))
				return fail(build, what, text, "too long");
			text = host.text;
		}
		name->text = strdup(text);
		if (!name->text)
			return no_memory(build);
		name->len = strlen(text);
	}
	return 0;
}

static int build_regex(struct build *build, struct route_text *text, const char *what)
{
	char why[160];

	text->regex = route_regex_new(text->text, why, sizeof(why));
	if (!text->regex)
		return fail(build, what, text->text, why);
	build->table->n_regexes++;
	return 0;
}

static int build_paths(struct build *build, struct route_conditions *conditions)
{
	const struct config_match *match = &build->route->match;

	conditions->paths = calloc(match->n_paths + 1, sizeof(*conditions->paths));
	if (!conditions->paths)
		return no_memory(build);
	for (size_t i = 0; i < match->n_paths; i++) {
		struct route_path *path = &conditions->paths[conditions->n_paths++];
		int err;

		path->match = match->paths[i].match;
		path->text.text = strdup(match->paths[i].text);
		if (!path->text.text)
			return no_memory(build);
		path->text.len = strlen(path->text.text);
		err = path->match == PATH_REGEX ? build_regex(build, &path->text, "path") : 0;
		if (err)
			return err;
	}
	return 0;
}

static int build_value(struct build *build, const struct route_metadata *metadata,
		       struct route_text *value, const char *text)
{
	size_t len = strlen(text);

	value->text = malloc(len + 1);
	if (!value->text)
		return no_memory(build);
	memcpy(value->text, text, len + 1);
	value->len = len;
	if (metadata->match == METADATA_REGEX)
		return build_regex(build, value, "metadata");
	if (metadata->binary) {
		ssize_t n = base64_decode(value->text, len, text, len);

		if (n < 0)
			return fail(build, "metadata", text, "not base64");
		value->len = (size_t)n;
	}
	return 0;
}

/* The number of a key, the same for all conditions on it. */
static int key_number(struct build *build, const char *name, uint32_t *number)
{
	struct route_table *table = build->table;
	size_t len = strlen(name);
	const struct route_numbers *known = route_index_find(&table->key_index, name, len);
	struct route_key *keys;

	if (known) {
		*number = known->items[0];
		return 0;
	}
	keys = realloc(table->keys, (table->n_keys + 1) * sizeof(*keys));
	if (!keys)
		return no_memory(build);
	table->keys = keys;
	*number = (uint32_t)table->n_keys;
	if (route_index_add(&table->key_index, name, len, *number))
		return no_memory(build);
	keys[table->n_keys++] = (struct route_key){ .name = name };
	table->key_lengths |= 1ull << (len & 63);
	return 0;
}

static int build_metadata(struct build *build, struct route_conditions *conditions)
{
	const struct config_match *match = &build->route->match;

	conditions->metadata = calloc(match->n_metadata + 1, sizeof(*conditions->metadata));
	if (!conditions->metadata)
		return no_memory(build);
	for (size_t i = 0; i < match->n_metadata; i++) {
		const struct config_metadata_condition *config = &match->metadata[i];
		struct route_metadata *metadata = &conditions->metadata[conditions->n_metadata++];
		int err = key_number(build, config->key, &metadata->key);

		if (err)
			return err;
		metadata->match = config->match;
		metadata->binary = config_is_binary_key(config->key);
		metadata->values = calloc(config->values.n + 1, sizeof(*metadata->values));
		if (!metadata->values)
			return no_memory(build);
		if (metadata->binary && !build->table->binary) {
			build->table->binary = malloc(ROUTE_BINARY_MAX);
			if (!build->table->binary)
				return no_memory(build);
		}
		while (metadata->n < config->values.n && !err) {
			const char *text = config->values.items[metadata->n];

			err = build_value(build, metadata, &metadata->values[metadata->n++], text);
		}
		if (err)
			return err;
	}
	return 0;
}

/* ---- where it is looked for ---- */

static bool hosts_are_exact(const struct route_conditions *conditions)
{
	for (size_t i = 0; i < conditions->hosts.n; i++)
		if (conditions->hosts.items[i].suffix)
			return false;
	return conditions->hosts.n > 0;
}

static bool paths_are_exact(const struct route_conditions *conditions)
{
	for (size_t i = 0; i < conditions->n_paths; i++)
		if (conditions->paths[i].match != PATH_EXACT &&
		    conditions->paths[i].match != PATH_SERVICE)
			return false;
	return conditions->n_paths > 0;
}

static int add_host_path(struct route_table *table, const struct route_name *host,
			 const struct route_text *path, uint32_t number)
{
	char key[ROUTE_KEY_MAX];

	memcpy(key, host->text, host->len);
	memcpy(key + host->len, path->text, path->len);
	return route_index_add(&table->by_host_path, key, host->len + path->len, number);
}

static bool host_paths_fit(const struct route_conditions *conditions)
{
	for (size_t i = 0; i < conditions->n_paths; i++)
		if (conditions->paths[i].text.len > ROUTE_KEY_MAX - ROUTE_HOST_MAX)
			return false;
	return conditions->hosts.n * conditions->n_paths <= HOST_PATHS_MAX;
}

static int place(struct route_table *table, uint32_t number)
{
	const struct route_conditions *conditions = &table->routes[number].conditions;
	const struct route_names *hosts = &conditions->hosts;
	bool by_host = hosts_are_exact(conditions), by_path = paths_are_exact(conditions);
	int err = 0;

	if (!by_host && !by_path)
		return route_numbers_add(&table->others, number);
	if (by_host && by_path && host_paths_fit(conditions)) {
		for (size_t i = 0; i < hosts->n * conditions->n_paths && !err; i++)
			err = add_host_path(table, &hosts->items[i % hosts->n],
					    &conditions->paths[i / hosts->n].text, number);
		return err;
	}
	for (size_t i = 0; by_path && i < conditions->n_paths && !err; i++)
		err = route_index_add(&table->by_path, conditions->paths[i].text.text,
				      conditions->paths[i].text.len, number);
	for (size_t i = 0; !by_path && i < hosts->n && !err; i++)
		err = route_index_add(&table->by_host, hosts->items[i].text, hosts->items[i].len,
				      number);
	return err;
}

/* ---- the table ---- */

static bool uses_san(const struct config *config, const struct config_route *route)
{
	for (size_t i = 0; i < route->n_splits; i++)
		if (config->groups[route->splits[i].group].hash_key.source == KEY_SAN)
			return true;
	if (route->mirror_permyriad &&
	    config->groups[route->mirror_group].hash_key.source == KEY_SAN)
		return true;
	return route->sticky.source == KEY_SAN || route->calls_key.source == KEY_SAN;
}

bool route_table_wants_peer(const struct route_table *table)
{
	return table->wants_peer;
}

static int build_route(struct build *build, const struct config *config, uint32_t slot)
{
	struct route_table *table = build->table;
	uint32_t number = (uint32_t)table->n;
	struct route_compiled *compiled = &table->routes[table->n++];
	struct route_conditions *conditions = &compiled->conditions;
	const struct config_match *match = &build->route->match;
	int err;

	compiled->route.config = build->route;
	err = build_names(build, &conditions->hosts, &match->hosts, "host");
	if (!err)
		err = build_names(build, &conditions->snis, &match->snis, "sni");
	if (!err)
		err = build_names(build, &conditions->sans, &match->sans, "san");
	if (!err)
		err = build_paths(build, conditions);
	if (!err)
		err = build_metadata(build, conditions);
	if (err)
		return err;
	table->wants_peer |= match->snis.n || match->sans.n || uses_san(config, build->route);
	if (metadata_edits_new(&compiled->route.request, &build->route->request, build->route) ||
	    metadata_edits_new(&compiled->route.response, &build->route->response, NULL) ||
	    route_split_new(compiled, config, slot) || place(table, number))
		return no_memory(build);
	return 0;
}

struct route_table *route_table_new(const struct config *config,
				    const struct config_listener *listener, uint32_t slot,
				    char *why, size_t why_size)
{
	struct build build = { .why = why, .why_size = why_size };
	struct route_table *table = calloc(1, sizeof(*table));

	snprintf(why, why_size, "no memory");
	if (!table)
		return NULL;
	build.table = table;
	table->routes = calloc(listener->n_routes + 1, sizeof(*table->routes));
	table->next = calloc(ROUTE_HEADERS_MAX, sizeof(*table->next));
	if (!table->routes || !table->next)
		goto fail;
	for (size_t i = 0; i < listener->n_routes; i++) {
		build.route = &listener->routes[i];
		if (build_route(&build, config, slot))
			goto fail;
	}
	if (table->n) {
		const struct route_conditions *first = &table->routes[0].conditions;

		table->takes_all = !first->hosts.n && !first->snis.n && !first->sans.n &&
				   !first->n_paths && !first->n_metadata &&
				   !table->routes[0].route.config->match.n_sources;
	}
	return table;
fail:
	route_table_free(table);
	return NULL;
}

static void free_text(struct route_text *text)
{
	route_regex_free(text->regex);
	free(text->text);
}

static void free_names(struct route_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i].text);
	free(names->items);
}

static void free_route(struct route_compiled *compiled)
{
	struct route_conditions *conditions = &compiled->conditions;

	for (size_t i = 0; i < conditions->n_paths; i++)
		free_text(&conditions->paths[i].text);
	for (size_t i = 0; i < conditions->n_metadata; i++) {
		for (size_t v = 0; v < conditions->metadata[i].n; v++)
			free_text(&conditions->metadata[i].values[v]);
		free(conditions->metadata[i].values);
	}
	free(conditions->paths);
	free(conditions->metadata);
	free_names(&conditions->hosts);
	free_names(&conditions->snis);
	free_names(&conditions->sans);
	metadata_edits_free(compiled->route.request);
	metadata_edits_free(compiled->route.response);
	route_split_free(compiled);
}

void route_table_free(struct route_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n; i++)
		free_route(&table->routes[i]);
	route_index_done(&table->by_path);
	route_index_done(&table->by_host_path);
	route_index_done(&table->by_host);
	route_index_done(&table->key_index);
	free(table->others.items);
	free(table->routes);
	free(table->keys);
	free(table->next);
	free(table->binary);
	free(table);
}
