/* SPDX-License-Identifier: MIT */
/*
 * check_regex.c - the part of check.h that has regular expressions compiled. Looks in the tree, where
 * their places are.
 */
#include "config/check.h"

#define CHECK_WHY_MAX 256

typedef int check_regex_hook(const char *pattern, char *why, size_t why_size);

/* One pattern, or a sequence. */
static void check_patterns(struct reporter *reporter, const struct node *node,
			   check_regex_hook *check)
{
	bool one = node && node->kind == NODE_SCALAR;
	const struct node *item = one ? node : node ? node->children : NULL;
	char why[CHECK_WHY_MAX] = "", quoted[REPORT_QUOTE_MAX];

	for (; item; item = one ? NULL : item->next)
		if (item->kind == NODE_SCALAR && check(item->text, why, sizeof(why)))
			report_error(reporter, item->place, "regex %s %s",
				     report_quote(quoted, item->text), why);
}

/* What stands under key in a mapping, or in each mapping of a sequence. */
static void check_under(struct reporter *reporter, const struct node *node, const char *key,
			check_regex_hook *check)
{
	const struct node *item;

	if (!node)
		return;
	check_patterns(reporter, node_get(node, key), check);
	if (node->kind == NODE_SEQUENCE)
		node_for_each(item, node)
			check_patterns(reporter, node_get(item, key), check);
}

void check_regexes(struct reporter *reporter, const struct node *root, check_regex_hook *check)
{
	const struct node *listeners = node_get(root, "listeners"), *listener, *route;

	if (!listeners || listeners->kind != NODE_SEQUENCE)
		return;
	node_for_each(listener, listeners) {
		const struct node *routes = node_get(listener, "routes");

		if (!routes || routes->kind != NODE_SEQUENCE)
			continue;
		node_for_each(route, routes) {
			const struct node *match = node_get(route, "match");

			check_under(reporter, node_get(match, "path"), "regex", check);
			check_under(reporter, node_get(match, "metadata"), "regex", check);
		}
	}
}
