/* SPDX-License-Identifier: MIT */
/*
 * route_internal.h - a route table as route.c builds it and route_match.c walks it. For the route_*
 * files and their tests only.
 */
#ifndef SLUICE_PROXY_ROUTE_INTERNAL_H
#define SLUICE_PROXY_ROUTE_INTERNAL_H

#include "proxy/route.h"
#include "proxy/route_index.h"
#include "proxy/route_regex.h"

#define ROUTE_HOST_MAX	   255	 /* longer ones match nothing */
#define ROUTE_KEY_MAX	   1280	 /* of by_host_path; a route with longer ones goes by its paths */
#define ROUTE_BINARY_MAX   16384 /* decoded bytes of a -bin value; longer ones match nothing */
#define ROUTE_HEADERS_MAX  1024	 /* fields that are looked at; h2 lets fewer through */

struct route_text {
	char *text;
	size_t len;
	struct route_regex *regex; /* of regular expressions only */
};

/* "*.suffix" is held as ".suffix". */
struct route_name {
	char *text;
	size_t len;
	bool suffix;
};
struct route_names {
	struct route_name *items;
	size_t n;
};

struct route_path {
	enum config_path_match match;
	struct route_text text;
};

struct route_metadata {
	uint32_t key; /* index into table.keys */
	enum config_metadata_match match;
	bool binary;
	struct route_text *values;
	size_t n;
};

/* All conditions of one route; where a list is empty there is none. */
struct route_conditions {
	struct route_names hosts, snis, sans;
	struct route_path *paths;
	size_t n_paths;
	struct route_metadata *metadata;
	size_t n_metadata;
};

/* A key of metadata conditions, and where it stands in the call looked at last. */
struct route_key {
	const char *name; /* the configuration's */
	uint16_t first;	  /* header + 1; 0: none */
};

struct route_split_part {
	uint32_t group, weight;
	uint64_t seed; /* hash of the group's name */
};

/* struct route comes first: the public one is this one. */
struct route_compiled {
	struct route route;
	struct route_conditions conditions;
	struct route_split_part *parts; /* of the split */
};

struct route_table {
	struct route_compiled *routes;
	size_t n;
	/* Each route stands in one of these, under all its keys: */
	struct route_index by_path;	 /* exact paths and services */
	struct route_index by_host_path; /* exact host and path, one after the other */
	struct route_index by_host;	 /* exact hosts */
	struct route_numbers others;	 /* to be looked at for every call */
	struct route_index key_index;	 /* metadata keys -> keys */
	struct route_key *keys;
	size_t n_keys;
	uint64_t key_lengths; /* bit n: a key of a length that is n modulo 64 */
	size_t n_regexes;
	bool wants_peer;
	bool takes_all; /* the first route has no conditions: there is nothing to look up */
	/* scratch of a look-up: one thread, one call at a time */
	uint16_t *next; /* ROUTE_HEADERS_MAX: the key's next header + 1 */
	char *binary;	/* ROUTE_BINARY_MAX; NULL where no route has -bin conditions */
	bool gave_up;	/* the call was too much work for the expressions */
	uint64_t checked; /* conditions, in the table's life: what look-ups cost */
};

struct route_host {
	char text[ROUTE_HOST_MAX + 1];
	size_t len;
};
/* A host as it is compared: lower case, without port, brackets and a dot at its end; IPv6 in its
 * short form. False: too long. */
bool route_host_read(struct route_host *host, const char *text, size_t len);

/* route_split.c */
int route_split_new(struct route_compiled *compiled, const struct config *config, uint32_t slot);
void route_split_free(struct route_compiled *compiled);

#endif
