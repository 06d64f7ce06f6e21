/* SPDX-License-Identifier: MIT */
/*
 * check.h - what no single value shows: whether the parts of a config fit together. Pure; what
 * needs the machine (files, interfaces, users) is system.h's.
 */
#ifndef SLUICE_CONFIG_CHECK_H
#define SLUICE_CONFIG_CHECK_H

#include "config/report.h"
#include "config/tree.h"

/* config as read from root, maybe with holes where errors were reported. Also fills in where routes
 * go, gives each listener the route to its own group, and says in listener.group whether there is
 * one group for all. */
void check_config(struct reporter *reporter, struct config *config, const struct node *root);

/* Every regular expression of the tree's routes by check, a hook of config_load. */
void check_regexes(struct reporter *reporter, const struct node *root,
		   int (*check)(const char *pattern, char *why, size_t why_size));

/* Parts of check_config. */

/* One of many things that must differ, or are looked for. */
struct check_entry {
	const char *text;
	uint16_t port;
	uint32_t index;		 /* in its sequence */
	const struct node *node; /* where it is said */
};
struct check {
	struct reporter *reporter;
	struct config *config;
	const struct node *groups;	  /* the sequence; NULL: none */
	struct check_entry *group_names; /* sorted */
	size_t n_group_names;
};

/* Reports the names of a sequence's items that were there before. */
void check_unique_names(struct reporter *reporter, const struct node *sequence, const char *what);
/* The index of the group that reference names; or reports, and CONFIG_NO_GROUP. */
uint32_t check_group(const struct check *check, const struct node *reference);

/* The kernel mapping. */
void check_kernel(struct reporter *reporter, struct config *config, const struct node *root);
/* Warns of routes that no call can take. n_file: those that stand under routes; the one behind them
 * is the listener's group, which node (or NULL) names. */
void check_shadows(struct reporter *reporter, const struct config_listener *listener, size_t n_file,
		   const struct node *group);
/* Whether each call that b holds for is one that a holds for: shadow_match.c. Not always seen: where
 * it needs several of a's texts for one of b's, or two regular expressions of one meaning. */
bool shadow_covers(const struct config_match *a, const struct config_match *b);
/* A listener's routes, node being the listener's. */
void check_routes(const struct check *check, struct config_listener *listener,
		  const struct node *node);

#endif
