/* SPDX-License-Identifier: MIT */
/*
 * control_route.c - see control_route.h. Called by control.c. The routes are compiled and walked by the
 * workers' own code (proxy/route.h); only the call is made up.
 */
#include "control/control_route.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/control_json.h"
#include "control/control_text.h"
#include "control/supervisor.h"
#include "proxy/grpc.h"
#include "proxy/request.h"
#include "proxy/route.h"
#include "proxy/tls.h"

#define ROUTE_HEADERS_MAX 128
#define ROUTE_SANS_MAX	  32

/* The call as the request describes it. Texts are the request's. */
struct made_up {
	struct h2_header headers[ROUTE_HEADERS_MAX];
	const char *sans[ROUTE_SANS_MAX];
	struct tls_peer peer;
	struct addr source;
	struct route_facts facts;
	const char *why; /* of what made_up_read refused */
};

static bool made_up_header(struct made_up *call, const char *name, const char *value)
{
	if (call->facts.n == ROUTE_HEADERS_MAX) {
		call->why = "too many headers";
		return false;
	}
	call->headers[call->facts.n++] = (struct h2_header){
		.name = name, .name_len = (uint32_t)strlen(name),
		.value = value, .value_len = (uint32_t)strlen(value),
	};
	return true;
}

static bool is_key(const char *name)
{
	return *name && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(name);
}

static bool made_up_headers(struct made_up *call, const json_t *request)
{
	const json_t *headers = json_object_get(request, "headers"), *pair;
	const char *path = json_string_value(json_object_get(request, "path"));
	const char *host = json_string_value(json_object_get(request, "host"));
	size_t i;

	if (path && path[0] != '/') {
		call->why = "a path begins with / such as /package.Service/Method";
		return false;
	}
	made_up_header(call, ":method", "POST");
	made_up_header(call, ":path", path ? path : "/");
	if (host)
		made_up_header(call, ":authority", host);
	json_array_foreach(headers, i, pair) {
		const char *name = json_string_value(json_array_get(pair, 0));
		const char *value = json_string_value(json_array_get(pair, 1));

		if (!name || !value || !is_key(name)) {
			call->why = "a header is KEY=VALUE, its key in small letters, digits, -, _ and .";
			return false;
		}
		if (!made_up_header(call, name, value))
			return false;
	}
	return true;
}

static bool made_up_peer(struct made_up *call, const json_t *request)
{
	const json_t *sans = json_object_get(request, "sans"), *san;
	const char *sni = json_string_value(json_object_get(request, "sni"));
	size_t i;

	call->peer = (struct tls_peer){ .sni = sni ? sni : "", .subject = "", .fingerprint = "",
					.sans = call->sans };
	json_array_foreach(sans, i, san) {
		if (i == ROUTE_SANS_MAX || !json_is_string(san)) {
			call->why = i == ROUTE_SANS_MAX ? "too many names of a certificate" :
							  "a name of a certificate is a text";
			return false;
		}
		call->sans[call->peer.n_sans++] = json_string_value(san);
	}
	call->facts.peer = &call->peer;
	return true;
}

static bool made_up_source(struct made_up *call, const json_t *request,
			   const struct config_listener *listener)
{
	const char *source = json_string_value(json_object_get(request, "source"));

	if (source && addr_from_ip(&call->source, source, 0)) {
		call->why = "a source is an IP address";
		return false;
	}
	if (listener->trusted_hops)
		request_source(&call->source, call->headers, call->facts.n, listener->trusted_hops);
	if (call->source.len)
		call->facts.source = &call->source;
	return true;
}

static bool is_known(struct made_up *call, const json_t *request)
{
	static const char *const texts[] = { "command", "listener", "path", "host", "source", "sni" };
	const char *key;
	const json_t *value;

	json_object_foreach((json_t *)request, key, value) {
		bool known = false;

		for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
			known |= !strcmp(key, texts[i]) && json_is_string(value);
		known |= (!strcmp(key, "headers") || !strcmp(key, "sans")) && json_is_array(value);
		if (!known) {
			call->why = "want texts under listener, path, host, source and sni, and "
				    "sequences under headers and sans";
			return false;
		}
	}
	return true;
}

static bool made_up_read(struct made_up *call, const json_t *request,
			 const struct config_listener *listener)
{
	memset(call, 0, sizeof(*call));
	call->facts.headers = call->headers;
	return is_known(call, request) && made_up_headers(call, request) && made_up_peer(call, request) &&
	       made_up_source(call, request, listener);
}

static void on_passed_over(void *ctx, const struct config_route *route, const char *condition)
{
	json_array_append_new(ctx, json_pack("{s:s, s:s}", "route", route->name, "because",
					     condition));
}

static json_t *groups_of(const struct config *config, const struct config_route *route)
{
	json_t *groups = json_array();

	for (size_t i = 0; i < route->n_splits; i++)
		json_array_append_new(groups, json_pack("{s:s, s:i}", "name",
							config->groups[route->splits[i].group].name,
							"weight", (int)route->splits[i].weight));
	return groups;
}

static void put_taken(json_t *answer, const struct config *config, const struct route *taken,
		      const struct route_facts *facts)
{
	const struct config_route *route = taken->config;
	char match[CONTROL_TEXT_MAX], target[CONTROL_TEXT_MAX];

	put(answer, "route", json_string(route->name));
	put(answer, "match", json_string(control_match_text(&route->match, match, sizeof(match))));
	put(answer, "to",
	    json_string(control_target_text(config, route, target, sizeof(target))));
	if (!route->n_splits) {
		put(answer, "status", json_string(grpc_status_name(route->status)));
		put(answer, "message", json_string(route->message));
		return;
	}
	put(answer, "groups", groups_of(config, route));
	/* By turns, the group of one call says nothing of the next. */
	if (route->n_splits == 1 || route->sticky.source != KEY_NONE)
		put(answer, "group", json_string(config->groups[route_group(taken, facts)].name));
}

/* As a worker does before it looks at routes. */
static bool is_answered_here(const struct config_listener *listener, const json_t *request)
{
	const char *path = json_string_value(json_object_get(request, "path"));

	return listener->health_service && path &&
	       !strncmp(path, CONFIG_HEALTH_SERVICE, sizeof(CONFIG_HEALTH_SERVICE) - 1);
}

static const struct config_listener *find_listener(const struct config *config, const char *name)
{
	for (size_t i = 0; name && i < config->n_listeners; i++)
		if (!strcmp(config->listeners[i].name, name))
			return &config->listeners[i];
	return NULL;
}

json_t *control_route(const struct supervisor *supervisor, const json_t *request, char *why,
		      size_t why_size)
{
	const struct config *config = supervisor->current.config;
	const char *name = json_string_value(json_object_get(request, "listener"));
	const struct config_listener *listener = config ? find_listener(config, name) : NULL;
	json_t *passed_over = json_array(), *answer = NULL;
	struct route_trace trace = { .ctx = passed_over, .passed_over = on_passed_over };
	struct route_table *table = NULL;
	const struct route *taken;
	struct made_up call;

	if (!listener) {
		snprintf(why, why_size, "no listener \"%.64s\"", name ? name : "");
		goto out;
	}
	if (!made_up_read(&call, request, listener)) {
		snprintf(why, why_size, "%s", call.why);
		goto out;
	}
	if (is_answered_here(listener, request)) {
		answer = json_pack("{s:s, s:n, s:b}", "listener", listener->name, "route",
				   "health_service", 1);
		if (!answer)
			snprintf(why, why_size, "no memory");
		goto out;
	}
	table = route_table_new(config, listener, 0, why, why_size);
	if (!table)
		goto out;
	taken = route_match(table, &call.facts, &trace);
	answer = json_pack("{s:s, s:O}", "listener", listener->name, "passed_over", passed_over);
	if (!answer)
		snprintf(why, why_size, "no memory");
	else if (taken)
		put_taken(answer, config, taken, &call.facts);
	else
		put(answer, "route", json_null());
	if (answer && route_match_gave_up(table))
		put(answer, "gave_up", json_true());
out:
	route_table_free(table);
	json_decref(passed_over);
	return answer;
}
