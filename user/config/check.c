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

/* One of many things that must differ. */
struct check_entry {
	const char *text;
	const struct node *node; /* where it is said; NULL for what has no place */
};

static int check_compare(const void *a_, const void *b_)
{
	const struct check_entry *a = a_, *b = b_;
	int order = strcmp(a->text, b->text);

	if (order)
		return order;
	if (a->node->place.line != b->node->place.line)
		return a->node->place.line < b->node->place.line ? -1 : 1;
	return a->node->place.column < b->node->place.column ? -1 : 1;
}

/* Sorts entries, and reports each that equals the one before. */
static void check_unique(struct reporter *reporter, struct check_entry *entries, size_t n,
			 const char *what)
{
	char quoted[REPORT_QUOTE_MAX];
	size_t first = 0;

	if (n)
		qsort(entries, n, sizeof(*entries), check_compare);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(entries[i].text, entries[first].text)) {
			first = i;
			continue;
		}
		report_error(reporter, entries[i].node->place,
			     "%s %s is there twice, first on line %u: want each once", what,
			     report_quote(quoted, entries[i].text),
			     entries[first].node->place.line);
	}
}

/* Each item's text at key, where it has one, must differ. */
static void check_unique_key(struct reporter *reporter, const struct node *sequence,
			     const char *key, const char *what)
{
	struct check_entry *entries;
	const struct node *item;
	size_t n = 0;

	if (!sequence || sequence->kind != NODE_SEQUENCE || !sequence->n_children)
		return;
	entries = calloc(sequence->n_children, sizeof(*entries));
	if (!entries) {
		report_no_memory(reporter);
		return;
	}
	node_for_each(item, sequence) {
		const struct node *value = node_get(item, key);

		if (value && value->kind == NODE_SCALAR && *value->text)
			entries[n++] = (struct check_entry){ value->text, value };
	}
	check_unique(reporter, entries, n, what);
	free(entries);
}

/* The nearest name among the groups, or NULL. */
static const char *check_nearest_group(const struct config *config, const char *name)
{
	const char *nearest = NULL;
	unsigned least = 0;

	for (size_t i = 0; i < config->n_groups; i++) {
		const char *known = config->groups[i].name;
		unsigned distance = known ? nearest_distance(name, known) : 0;

		if (known && nearest_is_slip(name, known, distance) &&
		    (!nearest || distance < least)) {
			nearest = known;
			least = distance;
		}
	}
	return nearest;
}

static void check_group_reference(struct reporter *reporter, const struct config *config,
				  struct config_listener *listener, const struct node *node)
{
	char quoted[REPORT_QUOTE_MAX], quoted_near[REPORT_QUOTE_MAX];
	const char *nearest;

	for (size_t i = 0; i < config->n_groups; i++) {
		if (config->groups[i].name && strcmp(config->groups[i].name, node->text) == 0) {
			listener->group = (uint32_t)i;
			return;
		}
	}
	nearest = check_nearest_group(config, node->text);
	if (nearest)
		report_error(reporter, node->place,
			     "group %s is not defined under groups, did you mean %s?",
			     report_quote(quoted, node->text),
			     report_quote(quoted_near, nearest));
	else
		report_error(reporter, node->place,
			     "group %s is not defined, want a name given under groups",
			     report_quote(quoted, node->text));
}

/* Whether two listeners ask for the same address: equal, or both any address, since a socket on
 * [::] takes IPv4 too. */
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
				     "address %s is taken by the listener on line %u, want another",
				     text, before->place.line);
		else
			report_error(reporter, node->place,
				     "address %s overlaps with %s of the listener on line %u, "
				     "want one of them ([::] takes IPv4 too)",
				     text, other, before->place.line);
		return;
	}
}

static void check_listeners(struct reporter *reporter, struct config *config,
			    const struct node *node)
{
	const struct node *item;
	size_t i = 0;

	if (!node || !config->n_listeners)
		return;
	node_for_each(item, node) {
		const struct node *address = node_get(item, "address");
		const struct node *group = node_get(item, "group");

		if (address)
			check_listener_address(reporter, config, i, address);
		if (group && group->kind == NODE_SCALAR && config->n_groups)
			check_group_reference(reporter, config, &config->listeners[i], group);
		i++;
	}
}

static void check_groups(struct reporter *reporter, const struct config *config,
			 const struct node *node)
{
	const struct node *item;
	uint64_t backends = 0;
	size_t i = 0;

	if (!node || !config->n_groups)
		return;
	node_for_each(item, node) {
		const struct config_group *group = &config->groups[i++];
		const struct node *list = node_get(item, "backends");
		uint64_t weights = 0;

		check_unique_key(reporter, list, "address", "backend");
		for (size_t j = 0; j < group->n_backends; j++)
			weights += group->backends[j].weight;
		if (list && group->n_backends && !weights)
			report_warning(reporter, list->place,
				       "all backends have weight 0: no call can be served");
		backends += group->n_backends;
	}
	if (backends > SLUICE_MAX_BACKENDS)
		report_error(reporter, node->place,
			     "%" PRIu64 " backends in all groups together, want at most %d",
			     backends, SLUICE_MAX_BACKENDS);
}

/* Limits that stand in the file and are not held are a trap. */
static void check_kernel_off(struct reporter *reporter, const struct config *config,
			     const struct node *root)
{
	static const char *const keys[] = { "acl", "per_source" };
	const struct node *kernel = node_get(root, "kernel");
	const struct node *listeners = node_get(root, "listeners"), *item;

	if (config->kernel.mode != KERNEL_OFF)
		return;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct node *child = node_get(kernel, keys[i]);

		if (child)
			report_warning(reporter, child->key_place,
				       "%s has no effect with kernel mode off", keys[i]);
	}
	if (!listeners)
		return;
	node_for_each(item, listeners) {
		const struct node *child = node_get(item, "new_connections");

		if (child)
			report_warning(reporter, child->key_place,
				       "new_connections has no effect with kernel mode off");
	}
}

static void check_limits(struct reporter *reporter, const struct config *config,
			 const struct node *root)
{
	const struct node *limits = node_get(root, "limits");

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

	check_unique_key(reporter, listeners, "name", "listener");
	check_unique_key(reporter, groups, "name", "group");
	check_unique_key(reporter, node_get(node_get(root, "kernel"), "interfaces"), "name",
			 "interface");
	check_listeners(reporter, config, listeners);
	check_groups(reporter, config, groups);
	check_limits(reporter, config, root);
	check_kernel_off(reporter, config, root);
}
