/* SPDX-License-Identifier: MIT */
/*
 * control_help.h - small configs by hand, for tests that need no file: n groups with m backends,
 * each a literal address.
 */
#ifndef SLUICE_SELFTESTS_CONTROL_HELP_H
#define SLUICE_SELFTESTS_CONTROL_HELP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

/* calloc outside of the faults: the help may not fail in place of what is tested. */
static inline void *help_zeroed(size_t n, size_t size)
{
	void *bytes = aligned_alloc(16, (n * size + 15) / 16 * 16 + 16);

	if (!bytes)
		abort();
	return memset(bytes, 0, n * size);
}

static inline char *help_text(const char *text)
{
	return strcpy(help_zeroed(strlen(text) + 1, 1), text);
}

static inline struct config *help_config(size_t n_groups, size_t n_backends, unsigned first_port)
{
	struct config *config = help_zeroed(1, sizeof(*config));

	config->refs = 1;
	config->groups = help_zeroed(n_groups, sizeof(*config->groups));
	config->n_groups = n_groups;
	for (size_t g = 0; g < n_groups; g++) {
		struct config_group *group = &config->groups[g];
		char name[32];

		snprintf(name, sizeof(name), "group%zu", g);
		group->name = help_text(name);
		group->backends = help_zeroed(n_backends, sizeof(*group->backends));
		group->n_backends = n_backends;
		for (size_t b = 0; b < n_backends; b++) {
			struct config_backend *backend = &group->backends[b];

			backend->host = help_text("192.0.2.1");
			backend->port = (uint16_t)(first_port + b);
			backend->weight = 100;
			if (addr_from_ip(&backend->address, backend->host, backend->port))
				abort();
		}
	}
	return config;
}

static inline void help_name(struct config *config, size_t group, size_t backend, const char *host)
{
	struct config_backend *changed = &config->groups[group].backends[backend];

	free(changed->host);
	changed->host = help_text(host);
	changed->is_name = true;
}

static inline void help_listener(struct config *config, const char *address)
{
	struct config_listener *listeners =
		help_zeroed(config->n_listeners + 1, sizeof(*config->listeners));

	if (config->n_listeners)
		memcpy(listeners, config->listeners,
		       config->n_listeners * sizeof(*config->listeners));
	free(config->listeners);
	config->listeners = listeners;
	struct config_listener *added = &listeners[config->n_listeners++];

	added->name = help_text(address);
	if (addr_parse(&added->address, address))
		abort();
}

static inline void help_route(struct config *config, size_t listener, const char *name)
{
	struct config_listener *to = &config->listeners[listener];
	struct config_route *routes = help_zeroed(to->n_routes + 1, sizeof(*routes));

	if (to->n_routes)
		memcpy(routes, to->routes, to->n_routes * sizeof(*routes));
	free(to->routes);
	to->routes = routes;
	routes[to->n_routes].name = help_text(name);
	routes[to->n_routes].mirror_group = CONFIG_NO_GROUP;
	to->n_routes++;
}

#endif
