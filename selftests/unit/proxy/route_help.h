/* SPDX-License-Identifier: MIT */
/*
 * route_help.h - for the tests of routes: a table from the file's own words, a call in one line.
 */
#ifndef SLUICE_SELFTESTS_ROUTE_HELP_H
#define SLUICE_SELFTESTS_ROUTE_HELP_H

#include <stdio.h>

#include "config/config_help.h"
#include "proxy/route_internal.h"
#include "proxy/tls.h"

static struct {
	struct config *config;
	struct route_table *table;
	struct h2_header headers[64];
	char text[8192];
	struct addr source;
	struct tls_peer peer;
	struct route_facts facts;
} help;

static inline void help_done(void)
{
	route_table_free(help.table);
	config_unref(help.config);
	help.table = NULL;
	help.config = NULL;
}

/* routes: what stands behind "routes:", lines of YAML. Groups a, b and c exist. more: of the
 * listener. */
static inline void help_routes_and(const char *routes, const char *more)
{
	static char text[1 << 20];
	char why[200];

	help_done();
	snprintf(text, sizeof(text),
		 "listeners:\n- name: l\n  address: \"[::]:443\"\n"
		 "  certificate: {chain: c, key: k}\n%s  routes:\n%s\n"
		 "groups:\n- {name: a, backends: [{address: 192.0.2.1:50051}]}\n"
		 "- {name: b, backends: [{address: 192.0.2.1:50051}]}\n"
		 "- {name: c, backends: [{address: 192.0.2.1:50051}]}\n",
		 more, routes);
	help.config = help_config(text);
	help.table = route_table_new(help.config, &help.config->listeners[0], 0, why, sizeof(why));
	if (!help.table)
		print_error("%s\n", why);
	assert_non_null(help.table);
}

static inline void help_routes(const char *routes)
{
	help_routes_and(routes, "");
}

/* "HOST PATH key=value key=value": what the next look-up sees. "-" for none. */
static inline void help_call(const char *line)
{
	char *word, *rest = help.text;

	snprintf(help.text, sizeof(help.text), "%s", line);
	help.facts = (struct route_facts){ .headers = help.headers };
	for (unsigned i = 0; (word = strsep(&rest, " ")); i++) {
		struct h2_header *header = &help.headers[help.facts.n];
		char *equals = i < 2 ? NULL : strchr(word, '=');

		if (!strcmp(word, "-"))
			continue;
		if (equals)
			*equals = '\0';
		header->name = i == 0 ? ":authority" : i == 1 ? ":path" : word;
		header->value = equals ? equals + 1 : word;
		header->name_len = (uint32_t)strlen(header->name);
		header->value_len = (uint32_t)strlen(header->value);
		help.facts.n++;
	}
}

/* The name of the route that the last call takes; "-": none. */
static inline const char *help_taken(void)
{
	const struct route *route = route_match(help.table, &help.facts, NULL);

	return route ? route->config->name : "-";
}

static inline void help_expect(const char *line, const char *route)
{
	help_call(line);
	if (strcmp(help_taken(), route))
		print_error("%s\n", line);
	assert_string_equal(help_taken(), route);
}

#endif
