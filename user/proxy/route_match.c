/* SPDX-License-Identifier: MIT */
/*
 * route_match.c - the first route whose conditions hold, see route.h. Called by dispatch for each
 * call and by the supervisor for `sluicectl route`. Looks only at routes that the indexes give for the
 * call's path and host and at those that stand in none, in the order of the file; reads each header
 * at most once for all conditions on it.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "proxy/route_internal.h"
#include "proxy/tls.h"

/* Regular expressions that one call may run, besides one of each condition, and that may pass their
 * limits. A call that wants more is after something else than a route, and gets none: to go on
 * without expressions would let it past those that refuse. */
#define REGEXES_EXTRA 64
#define EXCEEDED_MAX  8

struct lookup {
	struct route_table *table;
	const struct route_facts *facts;
	const char *path; /* without a query; NULL until it is asked for, as host */
	size_t path_len;
	struct route_host host;
	bool host_read, host_fits;
	bool keys_read;
	size_t regexes_left;
	unsigned exceeded;
	bool gave_up;
};

/* ---- names ---- */

/* 2001:DB8:0::1 and 2001:db8::1 are one address. */
static void unify_ipv6(struct route_host *host)
{
	struct in6_addr address;

	if (inet_pton(AF_INET6, host->text, &address) == 1 &&
	    inet_ntop(AF_INET6, &address, host->text, sizeof(host->text)))
		host->len = strlen(host->text);
}

bool route_host_read(struct route_host *host, const char *text, size_t len)
{
	const char *colon = memchr(text, ':', len);
	const char *end = len && text[0] == '[' ? memchr(text, ']', len) : NULL;
	bool ipv6 = false;

	if (end) {
		text++;
		len = (size_t)(end - text);
		ipv6 = true;
	} else if (colon) {
		ipv6 = memchr(colon + 1, ':', len - (size_t)(colon + 1 - text));
		if (!ipv6)
			len = (size_t)(colon - text);
	}
	if (len && text[len - 1] == '.')
		len--;
	if (len > ROUTE_HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		host->text[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
	host->text[len] = '\0';
	host->len = len;
	if (ipv6)
		unify_ipv6(host);
	return true;
}

static bool name_holds(const struct route_name *name, const char *text, size_t len)
{
	if (name->suffix ? len <= name->len : len != name->len)
		return false;
	return !memcmp(text + len - name->len, name->text, name->len);
}

static bool names_hold(const struct route_names *names, const char *text, size_t len)
{
	for (size_t i = 0; i < names->n; i++)
		if (name_holds(&names->items[i], text, len))
			return true;
	return false;
}

static void read_path(struct lookup *lookup)
{
	const struct h2_header *path =
		H2_HEADER_FIND(lookup->facts->headers, lookup->facts->n, ":path");
	const char *query;

	lookup->path = path ? path->value : "";
	lookup->path_len = path ? path->value_len : 0;
	query = memchr(lookup->path, '?', lookup->path_len);
	if (query)
		lookup->path_len = (size_t)(query - lookup->path);
}

/* :authority, or where there is none, host. NULL: longer than any name that could match. */
static const struct route_host *host_of(struct lookup *lookup)
{
	if (!lookup->host_read) {
		const struct route_facts *facts = lookup->facts;
		const struct h2_header *header =
			H2_HEADER_FIND(facts->headers, facts->n, ":authority");

		if (!header)
			header = H2_HEADER_FIND(facts->headers, facts->n, "host");
		lookup->host_read = true;
		lookup->host_fits = route_host_read(&lookup->host, header ? header->value : "",
						    header ? header->value_len : 0);
	}
	return lookup->host_fits ? &lookup->host : NULL;
}

/* ---- conditions ---- */

static bool regex_holds(struct lookup *lookup, const struct route_text *pattern, const char *text,
			size_t len)
{
	bool exceeded = false, holds;

	if (!lookup->regexes_left || lookup->exceeded == EXCEEDED_MAX) {
		lookup->gave_up = true;
		return false;
	}
	lookup->regexes_left--;
	holds = route_regex_match(pattern->regex, text, len, &exceeded);
	lookup->exceeded += exceeded;
	return holds;
}

static bool hosts_hold(struct lookup *lookup, const struct route_names *names)
{
	const struct route_host *host;

	lookup->table->checked++;
	host = host_of(lookup);
	return host && names_hold(names, host->text, host->len);
}

/* A service is what stands before the last slash, as gRPC servers see it. */
static size_t service_len(const char *path, size_t len)
{
	while (len && path[len - 1] != '/')
		len--;
	return len;
}

static bool path_holds(struct lookup *lookup, const struct route_path *path)
{
	const struct route_text *text = &path->text;

	switch (path->match) {
	case PATH_EXACT:
		return lookup->path_len == text->len &&
		       !memcmp(lookup->path, text->text, text->len);
	case PATH_SERVICE:
		return service_len(lookup->path, lookup->path_len) == text->len &&
		       !memcmp(lookup->path, text->text, text->len);
	case PATH_PREFIX:
		return lookup->path_len >= text->len &&
		       !memcmp(lookup->path, text->text, text->len);
	default:
		return regex_holds(lookup, text, lookup->path, lookup->path_len);
	}
}

static bool paths_hold(struct lookup *lookup, const struct route_conditions *conditions)
{
	lookup->table->checked++;
	if (!lookup->path)
		read_path(lookup);
	for (size_t i = 0; i < conditions->n_paths; i++)
		if (path_holds(lookup, &conditions->paths[i]))
			return true;
	return false;
}

static bool source_holds(struct lookup *lookup, const struct config_match *match)
{
	lookup->table->checked++;
	if (!lookup->facts->source)
		return false;
	for (size_t i = 0; i < match->n_sources; i++)
		if (prefix_contains(&match->sources[i], lookup->facts->source))
			return true;
	return false;
}

static bool sni_holds(struct lookup *lookup, const struct route_names *names)
{
	const struct tls_peer *peer = lookup->facts->peer;
	struct route_host name;

	lookup->table->checked++;
	return peer && peer->sni[0] && route_host_read(&name, peer->sni, strlen(peer->sni)) &&
	       names_hold(names, name.text, name.len);
}

/* "*.example.com" is about DNS names, not about what URIs and mail addresses end with. */
static bool san_holds(const struct route_name *name, const char *san)
{
	return (!name->suffix || !strpbrk(san, "/@")) && name_holds(name, san, strlen(san));
}

static bool sans_hold(struct lookup *lookup, const struct route_names *names)
{
	const struct tls_peer *peer = lookup->facts->peer;

	lookup->table->checked++;
	for (size_t i = 0; peer && i < peer->n_sans; i++)
		for (size_t k = 0; k < names->n; k++)
			if (san_holds(&names->items[k], peer->sans[i]))
				return true;
	return false;
}

/* ---- metadata ---- */

/* One walk over the headers notes where each key that conditions ask for stands, in order. */
static void read_keys(struct lookup *lookup)
{
	struct route_table *table = lookup->table;
	const struct route_facts *facts = lookup->facts;
	size_t n = facts->n < ROUTE_HEADERS_MAX ? facts->n : ROUTE_HEADERS_MAX;

	lookup->keys_read = true;
	for (size_t i = 0; i < table->n_keys; i++)
		table->keys[i].first = 0;
	while (n--) {
		const struct h2_header *header = &facts->headers[n];
		const struct route_numbers *found;
		struct route_key *key;

		if (!(table->key_lengths >> (header->name_len & 63) & 1))
			continue;
		found = route_index_find(&table->key_index, header->name, header->name_len);
		if (!found)
			continue;
		key = &table->keys[found->items[0]];
		table->next[n] = key->first;
		key->first = (uint16_t)(n + 1);
	}
}

static bool text_holds(struct lookup *lookup, const struct route_metadata *metadata,
		       const char *text, size_t len)
{
	for (size_t i = 0; i < metadata->n; i++) {
		const struct route_text *value = &metadata->values[i];
		bool holds;

		if (metadata->match == METADATA_REGEX)
			holds = regex_holds(lookup, value, text, len);
		else if (len < value->len)
			holds = false;
		else if (metadata->match == METADATA_EXACT)
			holds = len == value->len && !memcmp(text, value->text, len);
		else if (metadata->match == METADATA_PREFIX)
			holds = !memcmp(text, value->text, value->len);
		else
			holds = !memcmp(text + len - value->len, value->text, value->len);
		if (holds)
			return true;
	}
	return false;
}

/* Values of one -bin key may have been joined by commas; gRPC has them split before decoding. */
static bool binary_holds(struct lookup *lookup, const struct route_metadata *metadata,
			 const char *text, size_t len)
{
	const char *end = text + len;

	for (;;) {
		const char *comma = memchr(text, ',', (size_t)(end - text));
		size_t part = (size_t)((comma ? comma : end) - text);
		ssize_t n = base64_decode(lookup->table->binary, ROUTE_BINARY_MAX, text, part);

		if (n >= 0 && text_holds(lookup, metadata, lookup->table->binary, (size_t)n))
			return true;
		if (!comma)
			return false;
		text = comma + 1;
		while (text < end && *text == ' ')
			text++;
	}
}

static bool metadata_holds(struct lookup *lookup, const struct route_metadata *metadata)
{
	struct route_table *table = lookup->table;
	uint16_t at;

	table->checked++;
	if (!lookup->keys_read)
		read_keys(lookup);
	at = table->keys[metadata->key].first;
	if (metadata->match == METADATA_PRESENT || metadata->match == METADATA_ABSENT)
		return !at == (metadata->match == METADATA_ABSENT);
	for (; at; at = table->next[at - 1]) {
		const struct h2_header *header = &lookup->facts->headers[at - 1];

		if (metadata->binary ?
			    binary_holds(lookup, metadata, header->value, header->value_len) :
			    text_holds(lookup, metadata, header->value, header->value_len))
			return true;
	}
	return false;
}

/* ---- routes ---- */

/* NULL where all conditions hold; else the first that does not, for people. */
static const char *failed_condition(struct lookup *lookup, const struct route_compiled *compiled,
				    const char **key)
{
	const struct route_conditions *conditions = &compiled->conditions;
	const struct config_match *match = &compiled->route.config->match;

	*key = NULL;
	if (conditions->hosts.n && !hosts_hold(lookup, &conditions->hosts))
		return "host";
	if (conditions->n_paths && !paths_hold(lookup, conditions))
		return "path";
	if (match->n_sources && !source_holds(lookup, match))
		return "source";
	if (conditions->snis.n && !sni_holds(lookup, &conditions->snis))
		return "sni";
	if (conditions->sans.n && !sans_hold(lookup, &conditions->sans))
		return "san";
	for (size_t i = 0; i < conditions->n_metadata; i++) {
		if (metadata_holds(lookup, &conditions->metadata[i]))
			continue;
		*key = match->metadata[i].key;
		return "metadata";
	}
	return NULL;
}

/* The indexes give each at most one list; the least number at their heads is the next route. */
struct candidates {
	const struct route_numbers *lists[6];
	size_t at[6];
	unsigned n;
};

static void candidates_add(struct candidates *candidates, const struct route_numbers *numbers)
{
	if (!numbers || !numbers->n)
		return;
	candidates->lists[candidates->n] = numbers;
	candidates->at[candidates->n++] = 0;
}

static void find_candidates(struct lookup *lookup, struct candidates *candidates)
{
	const struct route_table *table = lookup->table;
	size_t service = 0;

	candidates->n = 0;
	if (table->by_path.n || table->by_host_path.n) {
		read_path(lookup);
		service = service_len(lookup->path, lookup->path_len);
	}
	if (table->by_path.n) {
		candidates_add(candidates,
			       route_index_find(&table->by_path, lookup->path, lookup->path_len));
		if (service < lookup->path_len)
			candidates_add(candidates,
				       route_index_find(&table->by_path, lookup->path, service));
	}
	if ((table->by_host.n || table->by_host_path.n) && host_of(lookup)) {
		const struct route_host *host = &lookup->host;
		char key[ROUTE_KEY_MAX];

		candidates_add(candidates,
			       route_index_find(&table->by_host, host->text, host->len));
		memcpy(key, host->text, host->len);
		if (table->by_host_path.n && host->len + service <= sizeof(key)) {
			memcpy(key + host->len, lookup->path, service);
			candidates_add(candidates, route_index_find(&table->by_host_path, key,
								    host->len + service));
		}
		if (table->by_host_path.n && service < lookup->path_len &&
		    host->len + lookup->path_len <= sizeof(key)) {
			memcpy(key + host->len, lookup->path, lookup->path_len);
			candidates_add(candidates,
				       route_index_find(&table->by_host_path, key,
							host->len + lookup->path_len));
		}
	}
	candidates_add(candidates, &table->others);
}

static bool next_candidate(struct candidates *candidates, uint32_t *number)
{
	uint32_t least = UINT32_MAX;

	for (unsigned i = 0; i < candidates->n; i++)
		if (candidates->at[i] < candidates->lists[i]->n &&
		    candidates->lists[i]->items[candidates->at[i]] < least)
			least = candidates->lists[i]->items[candidates->at[i]];
	if (least == UINT32_MAX)
		return false;
	for (unsigned i = 0; i < candidates->n; i++)
		if (candidates->at[i] < candidates->lists[i]->n &&
		    candidates->lists[i]->items[candidates->at[i]] == least)
			candidates->at[i]++;
	*number = least;
	return true;
}

static void lookup_begin(struct lookup *lookup, struct route_table *table,
			 const struct route_facts *facts)
{
	lookup->table = table;
	lookup->facts = facts;
	lookup->path = NULL;
	lookup->host_read = lookup->keys_read = false;
	lookup->regexes_left = table->n_regexes + REGEXES_EXTRA;
	lookup->exceeded = 0;
	lookup->gave_up = false;
}

/* Says of each route before number why it was passed over. Walks them all: only for people. */
static void explain(struct route_table *table, const struct route_facts *facts, size_t number,
		    const struct route_trace *trace)
{
	struct lookup lookup;

	lookup_begin(&lookup, table, facts);
	for (size_t i = 0; i < number; i++) {
		const char *key, *what = failed_condition(&lookup, &table->routes[i], &key);
		char text[160];

		snprintf(text, sizeof(text), "%s%s%s", what ? what : "", key ? " " : "",
			 key ? key : "");
		trace->passed_over(trace->ctx, table->routes[i].route.config, text);
	}
}

bool route_match_gave_up(const struct route_table *table)
{
	return table->gave_up;
}

const struct route *route_match(struct route_table *table, const struct route_facts *facts,
				const struct route_trace *trace)
{
	struct candidates candidates;
	struct lookup lookup;
	uint32_t number = (uint32_t)table->n;
	bool found = false;

	table->gave_up = false;
	if (table->takes_all && !trace)
		return &table->routes[0].route;
	lookup_begin(&lookup, table, facts);
	find_candidates(&lookup, &candidates);
	while (!found && !lookup.gave_up && next_candidate(&candidates, &number)) {
		const char *key;

		found = !failed_condition(&lookup, &table->routes[number], &key) && !lookup.gave_up;
	}
	table->gave_up = lookup.gave_up;
	if (trace)
		explain(table, facts, found || lookup.gave_up ? number : table->n, trace);
	return found ? &table->routes[number].route : NULL;
}
