/* SPDX-License-Identifier: MIT */
/*
 * check.c - see check.h. Sequences in the tree and arrays in the config have the same order, so
 * places come from walking both side by side.
 */
#include "config/check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"
#include "config/scalar.h"

static int check_compare_place(const struct node *a, const struct node *b)
{
	if (a->place.line != b->place.line)
		return a->place.line < b->place.line ? -1 : 1;
	return a->place.column < b->place.column ? -1 : 1;
}

static bool check_same(const struct check_entry *a, const struct check_entry *b)
{
	return a->port == b->port && strcmp(a->text, b->text) == 0;
}

static int check_compare(const void *a_, const void *b_)
{
	const struct check_entry *a = a_, *b = b_;
	int order = strcmp(a->text, b->text);

	if (order)
		return order;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	return check_compare_place(a->node, b->node);
}

/* Sorts entries, and reports each that equals an earlier one in the file. */
static void check_unique(struct reporter *reporter, struct check_entry *entries, size_t n,
			 const char *what)
{
	char quoted[REPORT_QUOTE_MAX];
	size_t first = 0;

	if (n)
		qsort(entries, n, sizeof(*entries), check_compare);
	for (size_t i = 1; i < n; i++) {
		if (!check_same(&entries[i], &entries[first])) {
			first = i;
			continue;
		}
		report_error(reporter, entries[i].node->place,
			     "%s %s is on line %u already, want each once", what,
			     report_quote(quoted, entries[i].node->text),
			     entries[first].node->place.line);
	}
}

/* The names of a sequence's items, n of them; NULL: none, or no memory (reported). */
static struct check_entry *check_names(struct reporter *reporter, const struct node *sequence,
				       size_t *n)
{
	struct check_entry *entries;
	const struct node *item;
	uint32_t index = 0;

	*n = 0;
	if (!sequence || sequence->kind != NODE_SEQUENCE || !sequence->n_children)
		return NULL;
	entries = calloc(sequence->n_children, sizeof(*entries));
	if (!entries) {
		report_no_memory(reporter);
		return NULL;
	}
	node_for_each(item, sequence) {
		const struct node *name = node_get(item, "name");
		const char *text;

		if (name && scalar_text(name, &text) == SCALAR_OK)
			entries[(*n)++] = (struct check_entry){ .text = text, .index = index,
								.node = name };
		index++;
	}
	return entries;
}

void check_unique_names(struct reporter *reporter, const struct node *sequence, const char *what)
{
	size_t n;
	struct check_entry *entries = check_names(reporter, sequence, &n);

	check_unique(reporter, entries, n, what);
	free(entries);
}

/* Backends of one group must differ as the config has them: spellings do not count. */
static void check_unique_backends(struct reporter *reporter, const struct config_group *group,
				  const struct node *sequence)
{
	const struct config_backend *backend = group->backends;
	struct check_entry *entries;
	const struct node *item;
	size_t n = 0;

	if (!group->n_backends)
		return;
	entries = calloc(group->n_backends, sizeof(*entries));
	if (!entries) {
		report_no_memory(reporter);
		return;
	}
	node_for_each(item, sequence) {
		if (backend->host)
			entries[n++] = (struct check_entry){ .text = backend->host,
							     .port = backend->port,
							     .node = node_get(item, "address") };
		backend++;
	}
	check_unique(reporter, entries, n, "backend");
	free(entries);
}

/* The name among the groups that is nearest, or NULL. */
static const char *check_nearest_group(const struct check *check, const char *name)
{
	const char *nearest = NULL;
	unsigned least = 0;

	for (size_t i = 0; i < check->n_group_names; i++) {
		const char *known = check->group_names[i].text;
		unsigned distance = nearest_distance(name, known);

		if (nearest_is_slip(name, known, distance) && (!nearest || distance < least)) {
			nearest = known;
			least = distance;
		}
	}
	return nearest;
}

/* Looks in the tree: a group with errors of its own is defined all the same. */
uint32_t check_group(const struct check *check, const struct node *reference)
{
	char quoted[REPORT_QUOTE_MAX], quoted_near[REPORT_QUOTE_MAX];
	const char *wanted, *nearest;
	size_t low = 0, high = check->n_group_names;

	if (!check->groups || check->groups->kind != NODE_SEQUENCE || !check->groups->n_children ||
	    !reference || scalar_text(reference, &wanted) != SCALAR_OK)
		return CONFIG_NO_GROUP;
	while (low < high) { /* the first of those with the name, or behind where it would be */
		size_t middle = (low + high) / 2;

		if (strcmp(check->group_names[middle].text, wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < check->n_group_names && strcmp(check->group_names[low].text, wanted) == 0)
		return check->group_names[low].index;
	report_quote(quoted, wanted);
	nearest = check->reporter->errors < REPORT_MAX ? check_nearest_group(check, wanted) : NULL;
	if (nearest)
		report_error(check->reporter, reference->place,
			     "group %s is not defined under groups, did you mean %s?", quoted,
			     report_quote(quoted_near, nearest));
	else
		report_error(check->reporter, reference->place,
			     "group %s is not defined, want a name given under groups", quoted);
	return CONFIG_NO_GROUP;
}

/* Whether two listeners ask for the same address: equal, or both any address, since a socket on
 * [::] takes IPv4 too. One on any address and one on a certain one can live together. */
static bool check_same_socket(const struct addr *a, const struct addr *b)
{
	uint8_t a_bytes[16], b_bytes[16];

	if (!a->len || !b->len || addr_port(a) != addr_port(b))
		return false;
	if (addr_is_any(a) && addr_is_any(b))
		return true;
	addr_to_mapped(a, a_bytes);
	addr_to_mapped(b, b_bytes);
	return memcmp(a_bytes, b_bytes, sizeof(a_bytes)) == 0 &&
	       (a->sa.sa_family != AF_INET6 || b->sa.sa_family != AF_INET6 ||
		a->v6.sin6_scope_id == b->v6.sin6_scope_id);
}

static void check_listener_address(struct reporter *reporter, const struct config *config,
				   size_t index, const struct node *node)
{
	const struct config_listener *listener = &config->listeners[index];
	char text[ADDR_TEXT_MAX], other[ADDR_TEXT_MAX];

	for (size_t i = 0; i < index; i++) {
		const struct config_listener *before = &config->listeners[i];

		if (!check_same_socket(&before->address, &listener->address))
			continue;
		addr_format(&listener->address, text, sizeof(text));
		addr_format(&before->address, other, sizeof(other));
		if (strcmp(text, other) == 0)
			report_error(reporter, node->place,
				     "address %s is that of the listener on line %u already, want "
				     "another",
				     text, before->place.line);
		else
			report_error(reporter, node->place,
				     "address %s overlaps with %s of the listener on line %u, "
				     "want one of them ([::] takes IPv4 too)",
				     text, other, before->place.line);
		return;
	}
}

static void check_listeners(const struct check *check, const struct node *node)
{
	struct config *config = check->config;
	const struct node *item;
	size_t i = 0, routes = 0;

	if (!config->n_listeners)
		return;
	node_for_each(item, node) {
		const struct node *address = node_get(item, "address");

		if (address)
			check_listener_address(check->reporter, config, i, address);
		check_routes(check, &config->listeners[i], item);
		routes += config->listeners[i++].n_routes;
	}
	if (routes > SLUICE_MAX_ROUTES)
		report_error(check->reporter, node->place,
			     "%zu routes in all listeners together (a listener's group counts as "
			     "one), want at most %d",
			     routes, SLUICE_MAX_ROUTES);
}

/* What makes a group of no use, though each backend is good. */
static void check_backends(struct reporter *reporter, const struct config_group *group,
			   const struct node *node)
{
	const struct node *list = node_get(node, "backends"), *below = node_get(node, "backup_below");
	uint64_t weights = 0;
	size_t backups = 0;

	for (size_t i = 0; i < group->n_backends; i++) {
		const struct config_backend *backend = &group->backends[i];

		weights += backend->drain ? 0 : backend->weight;
		backups += backend->backup;
	}
	if (!group->n_backends)
		return;
	if (!weights)
		report_warning(reporter, list->place,
			       "all backends have weight 0 or drain: no call can be served");
	if (backups == group->n_backends)
		report_warning(reporter, list->place,
			       "all backends are backups: want some without backup: true");
	if (below && group->backup_below_percent && !backups)
		report_warning(reporter, below->key_place,
			       "backup_below has no effect without a backend with backup: true");
}

static void check_groups(struct reporter *reporter, const struct config *config,
			 const struct node *node)
{
	const struct node *item;
	uint64_t backends = 0;
	size_t i = 0;

	if (!config->n_groups)
		return;
	node_for_each(item, node) {
		const struct config_group *group = &config->groups[i++];

		check_unique_backends(reporter, group, node_get(item, "backends"));
		check_backends(reporter, group, item);
		backends += group->n_backends;
	}
	if (backends > SLUICE_MAX_BACKENDS)
		report_error(reporter, node->place,
			     "%" PRIu64 " backends in all groups together, want at most %d",
			     backends, SLUICE_MAX_BACKENDS);
}

static void check_limits(struct reporter *reporter, const struct config *config,
			 const struct node *limits)
{
	/* one call holds a buffer each way */
	if (limits && config->max_buffer_bytes < 2ull * config->leg_buffer_bytes)
		report_error(reporter, limits->place,
			     "buffer is smaller than two of stream_buffer, want room for a call "
			     "both ways");
}

void check_config(struct reporter *reporter, struct config *config, const struct node *root)
{
	const struct node *listeners = node_get(root, "listeners");
	const struct node *groups = node_get(root, "groups");
	struct check check = { .reporter = reporter, .config = config, .groups = groups };

	check_unique_names(reporter, listeners, "listener");
	check.group_names = check_names(reporter, groups, &check.n_group_names);
	check_unique(reporter, check.group_names, check.n_group_names, "group");
	check_listeners(&check, listeners);
	free(check.group_names);
	check_groups(reporter, config, groups);
	check_limits(reporter, config, node_get(root, "limits"));
	check_unique_names(reporter, node_get(node_get(root, "kernel"), "interfaces"),
			   "interface");
	check_kernel(reporter, config, root);
}
