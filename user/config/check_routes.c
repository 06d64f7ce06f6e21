/* SPDX-License-Identifier: MIT */
/*
 * check_routes.c - the part of check.h that is about routes: the groups they name, their own names,
 * and the last route of a listener, which is its group.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/bounds.h"
#include "config/check.h"
#include "config/fields.h"
#include "config/scalar.h"

/* What is none has been reported. */
static bool check_is_weight(const struct node *node)
{
	uint64_t weight;

	return node && scalar_uint(node, &weight) == SCALAR_OK && weight <= BOUNDS_WEIGHT;
}

static void check_splits(const struct check *check, struct config_route *route,
			 const struct node *groups)
{
	const struct node *item;
	uint64_t weights = 0;
	bool one = false, read = true; /* one group takes all; all weights could be read */
	size_t i = 0;

	if (!route->n_splits)
		return;
	node_for_each(item, groups) {
		const struct node *name = node_get(item, "name");

		read &= check_is_weight(node_get(item, "weight"));
		one = !weights || (one && !route->splits[i].weight);
		weights += route->splits[i].weight;
		route->splits[i].group = check_group(check, name);
		for (size_t j = 0; j < i; j++)
			if (route->splits[i].group != CONFIG_NO_GROUP &&
			    route->splits[i].group == route->splits[j].group)
				report_error(check->reporter, name->place,
					     "group \"%s\" is in this split already, want each once",
					     name->text);
		i++;
	}
	if (!read)
		return;
	if (!weights)
		report_error(check->reporter, groups->place,
			     "all weights are 0, want one above 0");
	else if (one && route->n_splits > 1)
		report_warning(check->reporter, groups->place,
			       "all weights but one are 0: the route has one group");
}

/* The one group of a route. */
static void check_action(const struct check *check, struct config_route *route,
			 const struct node *group)
{
	if (route->splits) /* both, which is reported */
		return;
	route->splits = calloc(1, sizeof(*route->splits));
	if (!route->splits) {
		report_no_memory(check->reporter);
		return;
	}
	route->n_splits = 1;
	route->splits[0] = (struct config_split){ .group = check_group(check, group), .weight = 1 };
}

static void check_mirror(const struct check *check, struct config_route *route,
			 const struct node *mirror)
{
	const struct node *group = node_get(mirror, "group");

	if (!group)
		return;
	route->mirror_group = check_group(check, group);
	if (route->mirror_group != CONFIG_NO_GROUP && route->n_splits == 1 &&
	    route->splits[0].group == route->mirror_group)
		report_warning(check->reporter, group->place,
			       "mirror to the route's own group: each mirrored call is made twice "
			       "there");
}

/* Whether a call of such a path may begin with prefix. */
static bool check_may_begin(const struct config_path *path, const char *prefix)
{
	size_t len = strlen(path->text), prefix_len = strlen(prefix);

	if (path->match == PATH_REGEX)
		return true;
	if (path->match != PATH_EXACT && len < prefix_len)
		return strncmp(path->text, prefix, len) == 0;
	return strncmp(path->text, prefix, prefix_len) == 0;
}

static void check_rewrite(const struct check *check, const struct config_route *route,
			  const struct node *prefix)
{
	bool any = !route->match.n_paths;

	if (!prefix || !route->rewrite_prefix)
		return;
	for (size_t i = 0; i < route->match.n_paths; i++)
		any |= check_may_begin(&route->match.paths[i], route->rewrite_prefix);
	if (!any)
		report_warning(check->reporter, prefix->place,
			       "no path of the route begins with prefix \"%s\": nothing is rewritten",
			       route->rewrite_prefix);
}

static void check_san(const struct check *check, const struct config_listener *listener,
		      const struct node *node, const char *what)
{
	if (node && !listener->client_ca_path)
		report_error(check->reporter, node->place,
			     "%s in a listener without client_certificates, want for example "
			     "client_certificates: {ca: /etc/sluice/tls/clients-ca.pem}",
			     what);
}

/* A key by which calls are told apart, where it is the certificate's name. */
static const struct node *check_is_san(const struct node *key)
{
	return key && key->kind == NODE_SCALAR && strcmp(key->text, "san") == 0 ? key : NULL;
}

/* Its routes see none of the calls that sluice answers itself. */
static void check_health_service(const struct check *check, const struct config_listener *listener,
				 const struct config_route *route)
{
	const struct config_match *match = &route->match;
	bool all = match->n_paths > 0;

	for (size_t i = 0; i < match->n_paths; i++)
		all &= match->paths[i].match != PATH_REGEX &&
		       strncmp(match->paths[i].text, CONFIG_HEALTH_SERVICE,
			       sizeof(CONFIG_HEALTH_SERVICE) - 1) == 0;
	if (listener->health_service && all)
		report_warning(check->reporter, route->place,
			       "route \"%s\" gets no gRPC calls: health_service answers them",
			       route->name);
}

static void check_route(const struct check *check, const struct config_listener *listener,
			size_t index, const struct node *node)
{
	struct config_route *route = &listener->routes[index];
	const struct node *group = node_get(node, "group"), *groups = node_get(node, "groups");
	char name[32];

	if (!route->name) {
		snprintf(name, sizeof(name), "route %zu", index + 1);
		route->name = strdup(name);
		if (!route->name)
			report_no_memory(check->reporter);
	}
	if (groups)
		check_splits(check, route, groups);
	if (group)
		check_action(check, route, group);
	check_health_service(check, listener, route);
	check_mirror(check, route, node_get(node, "mirror"));
	check_rewrite(check, route, node_get(node_get(node, "rewrite"), "prefix"));
	check_san(check, listener, node_get(node_get(node, "match"), "san"), "san");
	check_san(check, listener, check_is_san(node_get(node, "sticky")), "sticky san");
	check_san(check, listener, check_is_san(node_get(node_get(node, "limits"), "key")),
		  "key san");
}

/* Appends the listener's own group. False: no memory. */
static bool check_add_default(const struct check *check, struct config_listener *listener,
			      const struct node *group)
{
	struct config_route *routes, *route;

	routes = realloc(listener->routes, (listener->n_routes + 1) * sizeof(*routes));
	if (!routes)
		return false;
	listener->routes = routes;
	route = &routes[listener->n_routes++];
	memset(route, 0, sizeof(*route));
	schema_preset(check->reporter, &fields_route, route);
	route->place = group->place;
	route->name = strdup("default");
	check_action(check, route, group);
	return route->name != NULL;
}

/* The group of all routes, or CONFIG_NO_GROUP. */
static uint32_t check_one_group(const struct config_listener *listener)
{
	uint32_t group = CONFIG_NO_GROUP;

	for (size_t i = 0; i < listener->n_routes; i++) {
		const struct config_route *route = &listener->routes[i];

		if (!route->n_splits)
			return CONFIG_NO_GROUP; /* answered here, whatever is down */
		for (size_t j = 0; j < route->n_splits; j++) {
			if (!route->splits[j].weight)
				continue;
			if (group != CONFIG_NO_GROUP && group != route->splits[j].group)
				return CONFIG_NO_GROUP;
			group = route->splits[j].group;
		}
	}
	return group;
}

void check_routes(const struct check *check, struct config_listener *listener,
		  const struct node *node)
{
	const struct node *routes = node_get(node, "routes"), *group = node_get(node, "group");
	const struct node *item;
	size_t i = 0;

	check_unique_names(check->reporter, routes, "route");
	if (routes && listener->n_routes) {
		node_for_each(item, routes) {
			const struct node *name = node_get(item, "name");

			check_route(check, listener, i++, item);
			if (group && name && name->kind == NODE_SCALAR &&
			    strcmp(name->text, "default") == 0)
				report_error(check->reporter, name->place,
					     "name \"default\" is that of the listener's group, want "
					     "another");
		}
	}
	if (group && !check_add_default(check, listener, group))
		report_no_memory(check->reporter);
	listener->group = check_one_group(listener);
	/* of routes with holes nothing can be said */
	if (i && !check->reporter->errors && !check->reporter->no_memory)
		check_shadows(check->reporter, listener, i, group);
}
