/* SPDX-License-Identifier: MIT */
/*
 * routes.h - a listener's routes as plain data: what a call must look like, where it goes, what is
 * changed on the way, how long it may take and how it is tried again. Part of config.h, which says
 * who owns it; docs/CONFIG.md has the words.
 */
#ifndef SLUICE_CONFIG_ROUTES_H
#define SLUICE_CONFIG_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/addr.h"

/* Where a value stands in the file; both count from 1. */
struct config_place {
	uint32_t line, column;
};

/* A rate such as 100/s. interval_ns 0: no limit. burst: how many at once, at least 1. */
struct config_rate {
	uint64_t interval_ns;
	uint32_t burst;
};

#define CONFIG_NO_GROUP UINT32_MAX

/* Texts that must hold for a call, one of them (or). */
struct config_texts {
	char **items;
	size_t n;
};

enum config_path_match {
	PATH_EXACT,   /* /pkg.Service/Method */
	PATH_SERVICE, /* /pkg.Service/: any method of it */
	PATH_PREFIX,
	PATH_REGEX, /* PCRE2, the whole path */
};
struct config_path {
	enum config_path_match match;
	char *text;
};

enum config_metadata_match {
	METADATA_PRESENT,
	METADATA_ABSENT,
	METADATA_EXACT,
	METADATA_PREFIX,
	METADATA_SUFFIX,
	METADATA_REGEX, /* PCRE2, the whole value */
};
struct config_metadata_condition {
	char *key; /* lower case. Of a -bin key the decoded bytes are compared with the decoded value */
	enum config_metadata_match match;
	struct config_texts values; /* any of them; none for PRESENT and ABSENT */
	struct config_place place;
};

/* All that is given must hold; an empty list holds for every call. */
struct config_match {
	struct config_texts hosts; /* lower case, without port: "api.example.com" or "*.example.com" */
	struct config_path *paths;
	size_t n_paths;
	struct config_metadata_condition *metadata; /* every one */
	size_t n_metadata;
	struct prefix *sources;
	size_t n_sources;
	struct config_texts snis; /* as hosts */
	struct config_texts sans; /* names in the client's verified certificate (DNS, URI, e-mail, IP);
				   * as hosts, but URIs and e-mails keep their large letters */
};

/* Whether values of this key go over the wire in base64, as gRPC has it. */
static inline bool config_is_binary_key(const char *key)
{
	size_t len = strlen(key);

	return len > 4 && !strcmp(key + len - 4, "-bin");
}

/* What a call is told apart by: for limits, sticky splits, consistent hashing. */
enum config_key_source {
	KEY_NONE,
	KEY_SOURCE,   /* the client's address (behind trusted_hops: the one they give) */
	KEY_METADATA, /* the first value of a key; "" where it is absent */
	KEY_SAN,      /* the first name of the client's certificate */
	KEY_PATH,     /* :path */
};
struct config_key {
	enum config_key_source source;
	char *metadata; /* of KEY_METADATA, lower case */
};

struct config_split {
	uint32_t group; /* index into config.groups */
	uint32_t weight;
};

enum config_edit_op { EDIT_SET, EDIT_ADD, EDIT_REMOVE };
struct config_edit {
	enum config_edit_op op;
	char *key;   /* lower case */
	char *value; /* a template: text with {variables}, {{ for a brace; NULL for EDIT_REMOVE */
	struct config_place place;
};
struct config_edits {
	struct config_edit *items; /* in the order in which they apply: remove, set, add */
	size_t n;
};

struct config_retry {
	uint32_t codes;	   /* bit n: grpc-status n is tried again; 0 with !on_reset: no retries */
	bool on_reset;	   /* reset or connection lost before response headers */
	uint32_t attempts; /* all together, 2..STREAM_ATTEMPTS_MAX */
	uint32_t per_try_timeout_ms; /* 0: none */
	uint32_t backoff_base_ms, backoff_max_ms;
	uint32_t budget_percent; /* of the route's active calls */
	uint32_t budget_floor;	 /* retries that are always allowed at once */
};

struct config_route {
	uint32_t id;  /* index in the routes map; given by the supervisor, stable over reloads */
	char *name;   /* unique in its listener; "route 3" where the file gives none, "default" for the
		       * listener's own group */
	struct config_match match;
	/* action: splits, or where there are none a fixed status */
	struct config_split *splits;
	size_t n_splits;
	struct config_key sticky; /* of the split */
	int status;		  /* grpc-status 0..16; -1: none */
	char *message;		  /* never NULL where status is given */
	uint32_t mirror_group;	  /* index, or CONFIG_NO_GROUP */
	uint32_t mirror_permyriad; /* of its calls, in 1/10000 */
	struct config_edits request, response;
	char *rewrite_authority;	    /* a template; NULL: as the client sent it */
	char *rewrite_prefix, *rewrite_to; /* of :path; NULL: none */
	struct config_rate calls;	    /* a second, for each key */
	struct config_key calls_key;	    /* KEY_NONE: one limit for the route */
	uint32_t max_calls;		    /* concurrent, of the node; 0: no limit */
	/* ms; 0: none */
	uint32_t default_timeout_ms; /* where the client sets no grpc-timeout */
	uint32_t max_timeout_ms;
	uint32_t idle_timeout_ms; /* nothing passes, either way */
	uint32_t max_age_ms;	  /* of a stream; ± 10 % */
	struct config_retry retry;
	struct config_place place;
};

#endif
