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

/* One of many things that must differ. */
struct check_entry {
	const char *text;
	uint16_t port;
	const struct node *node; /* where it is said */
};

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

/* Names of a sequence's items must differ. */
static void check_unique_names(struct reporter *reporter, const struct node *sequence,
			       const char *what)
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
		const struct node *name = node_get(item, "name");
		const char *text;

		if (name && scalar_text(name, &text) == SCALAR_OK)
			entries[n++] = (struct check_entry){ .text = text, .node = name };
	}
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
			entries[n++] = (struct check_entry){ backend->host, backend->port,
							     node_get(item, "address") };
		backend++;
	}
	check_unique(reporter, entries, n, "backend");
	free(entries);
}

/* The name among the groups that is nearest, or NULL. */
static const char *check_nearest_group(const struct node *groups, const char *name)
{
	const char *nearest = NULL, *known;
	const struct node *item;
	unsigned least = 0;

	node_for_each(item, groups) {
		const struct node *node = node_get(item, "name");
		unsigned distance;

		if (!node || scalar_text(node, &known) != SCALAR_OK)
			continue;
		distance = nearest_distance(name, known);
		if (nearest_is_slip(name, known, distance) && (!nearest || distance < least)) {
			nearest = known;
			least = distance;
		}
	}
	return nearest;
}

/* Looks in the tree: a group with errors of its own is defined all the same. */
static void check_group_reference(struct reporter *reporter, struct config_listener *listener,
				  const struct node *reference, const struct node *groups)
{
	char quoted[REPORT_QUOTE_MAX], quoted_near[REPORT_QUOTE_MAX];
	const char *wanted, *known, *nearest;
	const struct node *item;
	uint32_t index = 0;

	if (!groups || groups->kind != NODE_SEQUENCE || !groups->n_children ||
	    scalar_text(reference, &wanted) != SCALAR_OK)
		return;
	node_for_each(item, groups) {
		const struct node *name = node_get(item, "name");

		if (name && scalar_text(name, &known) == SCALAR_OK && !strcmp(known, wanted)) {
			listener->group = index;
			return;
		}
		index++;
	}
	report_quote(quoted, wanted);
	nearest = reporter->errors < REPORT_MAX ? check_nearest_group(groups, wanted) : NULL;
	if (nearest)
		report_error(reporter, reference->place,
			     "group %s is not defined under groups, did you mean %s?", quoted,
			     report_quote(quoted_near, nearest));
	else
		report_error(reporter, reference->place,
			     "group %s is not defined, want a name given under groups", quoted);
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

static void check_listeners(struct reporter *reporter, struct config *config,
			    const struct node *node, const struct node *groups)
{
	const struct node *item;
	size_t i = 0;

	if (!config->n_listeners)
		return;
	node_for_each(item, node) {
		const struct node *address = node_get(item, "address");
		const struct node *group = node_get(item, "group");

		if (address)
			check_listener_address(reporter, config, i, address);
		if (group)
			check_group_reference(reporter, &config->listeners[i], group, groups);
		i++;
	}
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
		const struct node *list = node_get(item, "backends");
		uint64_t weights = 0;

		check_unique_backends(reporter, group, list);
		for (size_t j = 0; j < group->n_backends; j++)
			weights += group->backends[j].weight;
		if (group->n_backends && !weights)
			report_warning(reporter, list->place,
				       "all backends have weight 0: no call can be served");
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

	check_unique_names(reporter, listeners, "listener");
	check_unique_names(reporter, groups, "group");
	check_listeners(reporter, config, listeners, groups);
	check_groups(reporter, config, groups);
	check_limits(reporter, config, node_get(root, "limits"));
	check_unique_names(reporter, node_get(node_get(root, "kernel"), "interfaces"),
			   "interface");
	check_kernel(reporter, config, root);
}
