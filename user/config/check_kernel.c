/* SPDX-License-Identifier: MIT */
/*
 * check_kernel.c - the part of check.h that is about the kernel's side: the access lists, and
 * limits that stand in the file but would not be held. Called by check.c.
 */
#include <stdlib.h>
#include <string.h>

#include "config/check.h"

/* One prefix of either list, with where it is said. */
struct check_prefix {
	struct prefix prefix;
	bool allow;
	const struct node *node;
};

static int check_prefix_order(const struct prefix *a, const struct prefix *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int check_prefix_compare(const void *a_, const void *b_)
{
	const struct check_prefix *a = a_, *b = b_;
	int order = check_prefix_order(&a->prefix, &b->prefix);

	if (order)
		return order;
	return (int)a->allow - (int)b->allow;
}

/* Appends those of node's prefixes that can be read. */
static size_t check_collect(struct check_prefix *entries, size_t n, const struct node *node,
			    bool allow)
{
	const struct node *item;

	if (!node || node->kind != NODE_SEQUENCE)
		return n;
	node_for_each(item, node) {
		struct check_prefix *entry = &entries[n];

		if (item->kind != NODE_SCALAR || prefix_parse(&entry->prefix, item->text))
			continue;
		entry->allow = allow;
		entry->node = item;
		n++;
	}
	return n;
}

/* The longest prefix decides, so one in both lists decides nothing. */
static void check_acl(struct reporter *reporter, const struct config_acl *list,
		      const struct node *acl)
{
	const struct node *deny = node_get(acl, "deny"), *allow = node_get(acl, "allow");
	size_t most = (deny ? deny->n_children : 0) + (allow ? allow->n_children : 0), n;
	struct check_prefix *entries;
	char quoted[REPORT_QUOTE_MAX];

	if (list->n_deny + list->n_allow > SLUICE_MAX_ACL_PREFIXES) {
		report_error(reporter, acl->place,
			     "%zu prefixes in deny and allow together, want at most %d",
			     list->n_deny + list->n_allow, SLUICE_MAX_ACL_PREFIXES);
		return;
	}
	if (!list->n_deny || !list->n_allow)
		return;
	entries = calloc(most, sizeof(*entries));
	if (!entries) {
		report_no_memory(reporter);
		return;
	}
	n = check_collect(entries, 0, deny, false);
	n = check_collect(entries, n, allow, true);
	qsort(entries, n, sizeof(*entries), check_prefix_compare);
	for (size_t i = 1; i < n; i++) {
		if (entries[i].allow == entries[i - 1].allow ||
		    check_prefix_order(&entries[i].prefix, &entries[i - 1].prefix))
			continue;
		report_error(reporter, entries[i].node->place,
			     "prefix %s is in deny too (line %u), want it in one of the lists",
			     report_quote(quoted, entries[i].node->text),
			     entries[i - 1].node->place.line);
	}
	free(entries);
}

/* Limits that stand in the file and are not held are a trap. */
static void check_unheld_keys(struct reporter *reporter, const struct node *mapping,
			      const char *const *keys, const char *without)
{
	for (; *keys; keys++) {
		const struct node *child = node_get(mapping, *keys);

		if (child)
			report_warning(reporter, child->key_place, "%s has no effect %s", *keys,
				       without);
	}
}

static void check_unheld(struct reporter *reporter, const struct config *config,
			 const struct node *root)
{
	static const char *const kernel_keys[] = { "acl", "strays", "events", NULL };
	/* Connections open at once are held by the workers as well. */
	static const char *const source_keys[] = { "new_connections", NULL };
	static const char *const listener_keys[] = { "new_connections", "syn_cookies",
						     "syn_cookies_above", "acl", NULL };
	const struct node *listeners = node_get(root, "listeners"), *item;
	const char *without;

	if (config->kernel.mode == KERNEL_OFF)
		without = "with kernel mode off";
	else if (!config->kernel.n_interfaces)
		without = "without kernel interfaces";
	else
		return;
	check_unheld_keys(reporter, node_get(root, "kernel"), kernel_keys, without);
	check_unheld_keys(reporter, node_get(node_get(root, "kernel"), "per_source"), source_keys,
			  without);
	if (!listeners)
		return;
	node_for_each(item, listeners)
		check_unheld_keys(reporter, item, listener_keys, without);
}

/* Where a proxy stands in front, it is what all its clients' misbehaviour would count against. */
static void check_penalties(struct reporter *reporter, const struct config *config,
			    const struct node *root)
{
	const struct node *penalties = node_get(node_get(root, "kernel"), "penalties");

	if (!penalties || config->kernel.penalties.n_never)
		return;
	for (size_t i = 0; i < config->n_listeners; i++) {
		if (!config->listeners[i].trusted_hops)
			continue;
		report_warning(reporter, penalties->key_place,
			       "penalties count against the proxies in front of a listener with "
			       "trusted_hops, want their addresses under never");
		return;
	}
}

/* Defaults have the burst that they would have if they were written. */
static void check_default_burst(struct config_rate *rate)
{
	if (rate->interval_ns && !rate->burst)
		rate->burst = (uint32_t)(1000000000 / rate->interval_ns);
}

static void check_cookies(struct reporter *reporter, struct config *config,
			  const struct node *listeners)
{
	const struct node *item;
	size_t i = 0;

	for (; i < config->n_listeners; i++)
		check_default_burst(&config->listeners[i].syn_cookies_above);
	if (!config->n_listeners)
		return;
	i = 0;
	node_for_each(item, listeners) {
		const struct node *above = node_get(item, "syn_cookies_above");

		if (config->listeners[i++].syn_cookies != COOKIES_AUTO && above)
			report_warning(reporter, above->key_place,
				       "syn_cookies_above has no effect without syn_cookies: auto");
	}
}

void check_kernel(struct reporter *reporter, struct config *config, const struct node *root)
{
	const struct node *listeners = node_get(root, "listeners"), *item;
	size_t i = 0;

	check_acl(reporter, &config->kernel.acl, node_get(node_get(root, "kernel"), "acl"));
	if (config->n_listeners)
		node_for_each(item, listeners)
			check_acl(reporter, &config->listeners[i++].acl, node_get(item, "acl"));
	check_default_burst(&config->kernel.events);
	check_cookies(reporter, config, listeners);
	check_penalties(reporter, config, root);
	check_unheld(reporter, config, root);
}
