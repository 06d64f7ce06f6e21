/* SPDX-License-Identifier: MIT */
/*
 * control_rows.c - see control_json.h: groups, backends and routes as the maps have them now. Called by
 * control_answer.c. Which tier serves is asked of the very function that the workers' picks ask.
 */
#include <stdio.h>
#include <string.h>

#include "balance/tier.h"
#include "control/control_json.h"
#include "control/control_text.h"
#include "shared/eject.h"
#include "shared/health_text.h"

static const char *const all_down_names[] = {
	[SLUICE_ALL_DOWN_ACCEPT] = "accept",
	[SLUICE_ALL_DOWN_RESET] = "reset",
	[SLUICE_ALL_DOWN_DROP] = "drop",
};
static const char *const balance_names[] = {
	[BALANCE_WEIGHTED_ROUND_ROBIN] = "weighted_round_robin",
	[BALANCE_LEAST_REQUEST] = "least_request",
	[BALANCE_CONSISTENT_HASH] = "consistent_hash",
	[BALANCE_RANDOM] = "random",
};
static const char *const reason_names[] = {
	[SLUICE_REASON_NONE] = "",
	[SLUICE_REASON_CONNECT] = "connect",
	[SLUICE_REASON_TIMEOUT] = "timeout",
	[SLUICE_REASON_RESET] = "reset",
	[SLUICE_REASON_DISCONNECT] = "disconnect",
	[SLUICE_REASON_GRPC_STATUS] = "grpc-status",
	[SLUICE_REASON_HTTP_STATUS] = "http-status",
	[SLUICE_REASON_NOT_SERVING] = "not serving",
	[SLUICE_REASON_PROTOCOL] = "protocol",
	[SLUICE_REASON_FORCED] = "forced",
	[SLUICE_REASON_TLS] = "tls",
};
static const char *const eject_names[] = {
	[SLUICE_EJECT_NONE] = "",
	[SLUICE_EJECT_EJECTED] = "ejected",
	[SLUICE_EJECT_TRIAL] = "trial",
};
static const char *const eject_reasons[] = {
	[0] = "",
	[SLUICE_EJECT_CONSECUTIVE] = "consecutive failures",
	[SLUICE_EJECT_SUCCESS_RATE] = "success rate",
	[SLUICE_EJECT_LATENCY] = "latency",
};

/* ---- groups ---- */

struct group_sums {
	uint64_t active, calls;
	uint32_t ejected, drained;
	struct tier_weights weights;
};

static void sum_group(const struct supervisor *supervisor, const struct config_group *group,
		      struct group_sums *sums)
{
	uint64_t now_ns = loop_now(&supervisor->loop);

	*sums = (struct group_sums){ 0 };
	for (size_t i = 0; i < group->n_endpoints; i++) {
		const struct config_endpoint *endpoint = &group->endpoints[i];
		const struct sluice_backend *row = &supervisor->state.backends[endpoint->id];

		sums->active += state_load32(&row->active_rpcs);
		sums->calls += state_load64(&row->calls);
		sums->ejected += state_load32(&row->eject_state) != SLUICE_EJECT_NONE;
		sums->drained += endpoint->drained;
		tier_add(&sums->weights, row, endpoint->weight, endpoint->backup,
			 endpoint->drained, now_ns);
	}
}

static const char *tier_name(const struct tier_verdict *verdict)
{
	if (verdict->panic)
		return "panic";
	return verdict->backups ? "backups too" : "first";
}

static json_t *group_row(const struct supervisor *supervisor, const struct config_group *group)
{
	const struct sluice_group *row = &supervisor->state.groups[group->id];
	struct tier_verdict verdict;
	struct group_sums sums;
	json_t *object;

	sum_group(supervisor, group, &sums);
	verdict = tier_judge(&sums.weights, group->backup_below_percent, group->panic_percent,
			     group->on_all_down == SLUICE_ALL_DOWN_ACCEPT);
	object = json_pack("{s:s, s:i, s:s, s:s, s:s, s:I, s:I, s:I}", "name", group->name, "id",
			   (int)group->id, "protocol",
			   group->protocol == PROTOCOL_HTTP2 ? "http2" : "grpc", "balance",
			   NAME_OF(balance_names, (unsigned)group->balance), "on_all_down",
			   NAME_OF(all_down_names, (unsigned)group->on_all_down), "live",
			   num(state_load32(&row->live)), "total", num(state_load32(&row->total)),
			   "backends", num(group->n_endpoints));
	put(object, "serves", json_string(tier_name(&verdict)));
	put(object, "panic", json_boolean(verdict.panic));
	put(object, "weight", json_integer(num(sums.weights.first)));
	put(object, "weight_live", json_integer(num(sums.weights.first_live)));
	put(object, "backup_weight", json_integer(num(sums.weights.backup)));
	put(object, "backup_weight_live", json_integer(num(sums.weights.backup_live)));
	put(object, "ejected", json_integer(sums.ejected));
	put(object, "drained", json_integer(sums.drained));
	put(object, "ejections", json_integer(num(state_load64(&row->ejections))));
	put(object, "overflows", json_integer(num(state_load64(&row->overflows))));
	put(object, "pending", json_integer(num(state_load32(&row->pending))));
	put(object, "active_rpcs", json_integer(num(sums.active)));
	put(object, "calls", json_integer(num(sums.calls)));
	put(object, "health_check", json_boolean(group->health_check.enabled));
	return object;
}

json_t *control_group_rows(const struct supervisor *supervisor)
{
	const struct config *config = supervisor->current.config;
	json_t *array = json_array();

	for (size_t i = 0; i < config->n_groups; i++)
		json_array_append_new(array, group_row(supervisor, &config->groups[i]));
	return array;
}

/* ---- backends ---- */

#define NOTE_MAX 256

static void note(char *text, const char *what)
{
	size_t len = strlen(text);

	snprintf(text + len, NOTE_MAX - len, "%s%s", len ? "; " : "", what);
}

static void note_ejection(const struct supervisor *supervisor, const struct sluice_backend *row,
			  char *text)
{
	char why[EJECT_TEXT_MAX], what[128];

	eject_reason_text(state_load32(&row->eject_reason), state_load32(&row->eject_detail), why,
			  sizeof(why));
	if (state_load32(&row->eject_state) == SLUICE_EJECT_TRIAL)
		snprintf(what, sizeof(what), "on trial after ejection: %s", why);
	else
		snprintf(what, sizeof(what), "ejected, %.0fs left: %s",
			 seconds_until(supervisor, state_load64(&row->ejected_until_ns)), why);
	note(text, what);
}

/* What is out of the ordinary with it, for people. */
static void note_all(const struct supervisor *supervisor, const struct config_endpoint *endpoint,
		     const struct sluice_backend *row, char text[NOTE_MAX])
{
	double cut = seconds_until(supervisor, endpoint->drain_until_ns);
	char what[64];

	text[0] = '\0';
	if (endpoint->backup)
		note(text, "backup");
	if (endpoint->drained && cut > 0) {
		snprintf(what, sizeof(what), "drained, calls are cut in %.0fs", cut);
		note(text, what);
	} else if (endpoint->drained) {
		note(text, "drained");
	}
	if (endpoint->weight != endpoint->file_weight) {
		snprintf(what, sizeof(what), "weight by command, file has %u",
			 endpoint->file_weight);
		note(text, what);
	}
	if (endpoint->forced != SLUICE_HEALTH_UNKNOWN)
		note(text, "health forced");
	if (state_load32(&row->eject_state) != SLUICE_EJECT_NONE)
		note_ejection(supervisor, row, text);
}

static json_t *backend_row(const struct supervisor *supervisor, const struct config_group *group,
			   const struct config_endpoint *endpoint)
{
	const struct sluice_backend *row = &supervisor->state.backends[endpoint->id];
	const struct config_backend *backend = &group->backends[endpoint->backend];
	uint32_t health = state_load32(&row->health), eject = state_load32(&row->eject_state);
	char text[ADDR_TEXT_MAX], reason[HEALTH_TEXT_MAX], notes[NOTE_MAX];
	json_t *object = json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i}", "group", group->name,
				   "address",
				   addr_format(&endpoint->address, text, sizeof(text)), "host",
				   backend->is_name ? backend->host : "", "id", (int)endpoint->id,
				   "generation", (int)endpoint->generation, "weight",
				   (int)endpoint->weight, "file_weight",
				   (int)endpoint->file_weight);

	note_all(supervisor, endpoint, row, notes);
	put(object, "health", json_string(health_state_name(health)));
	put(object, "health_seconds",
	    json_real(seconds_since(supervisor, state_load64(&row->health_changed_ns))));
	put(object, "forced", json_boolean(endpoint->forced != SLUICE_HEALTH_UNKNOWN));
	put(object, "backup", json_boolean(endpoint->backup));
	put(object, "drained", json_boolean(endpoint->drained));
	put(object, "drain_seconds_left",
	    json_real(seconds_until(supervisor, endpoint->drain_until_ns)));
	put(object, "ejected", json_string(NAME_OF(eject_names, eject)));
	if (eject != SLUICE_EJECT_NONE) {
		put(object, "eject_reason",
		    json_string(NAME_OF(eject_reasons, state_load32(&row->eject_reason))));
		put(object, "eject_detail", json_integer(num(state_load32(&row->eject_detail))));
		put(object, "eject_seconds_left",
		    json_real(seconds_until(supervisor, state_load64(&row->ejected_until_ns))));
	}
	put(object, "ejections", json_integer(num(state_load64(&row->ejections))));
	put(object, "note", json_string(notes));
	put(object, "last_failure", json_string(NAME_OF(reason_names, row->health_reason)));
	put(object, "last_failure_detail", json_integer(num(row->health_detail)));
	put(object, "last_failure_text",
	    json_string(health_reason_text(row->health_reason, row->health_detail,
					   group->health_check.codes, reason, sizeof(reason))));
	put(object, "active_rpcs", json_integer(num(state_load32(&row->active_rpcs))));
	put(object, "connections", json_integer(num(state_load32(&row->connections))));
	put(object, "calls", json_integer(num(state_load64(&row->calls))));
	put(object, "failures", json_integer(num(state_load64(&row->failures))));
	put(object, "checks", json_integer(num(state_load64(&row->checks))));
	put(object, "checks_failed", json_integer(num(state_load64(&row->checks_failed))));
	put(object, "health_changes", json_integer(num(state_load64(&row->health_changes))));
	return object;
}

json_t *control_backend_rows(const struct supervisor *supervisor)
{
	const struct config *config = supervisor->current.config;
	json_t *array = json_array();

	for (size_t g = 0; g < config->n_groups; g++)
		for (size_t i = 0; i < config->groups[g].n_endpoints; i++)
			json_array_append_new(array,
					      backend_row(supervisor, &config->groups[g],
							  &config->groups[g].endpoints[i]));
	return array;
}

/* ---- routes ---- */

static json_t *route_row(const struct supervisor *supervisor, const struct config_listener *listener,
			 const struct config_route *route)
{
	const struct sluice_route *row = &supervisor->state.routes[route->id];
	const struct config *config = supervisor->current.config;
	char match[CONTROL_TEXT_MAX], target[CONTROL_TEXT_MAX];
	uint64_t rate_limited = state_load64(&row->rate_limited);
	uint64_t full = state_load64(&row->route_full);
	json_t *object = json_pack(
		"{s:s, s:s, s:i, s:s, s:s}", "listener", listener->name, "name", route->name, "id",
		(int)route->id, "match", control_match_text(&route->match, match, sizeof(match)),
		"to", control_target_text(config, route, target, sizeof(target)));
	json_t *groups = json_array();

	for (size_t i = 0; i < route->n_splits; i++)
		json_array_append_new(groups,
				      json_pack("{s:s, s:i}", "name",
						config->groups[route->splits[i].group].name,
						"weight", (int)route->splits[i].weight));
	put(object, "groups", groups);
	put(object, "calls", json_integer(num(state_load64(&row->calls))));
	put(object, "active_rpcs", json_integer(num(state_load32(&row->active_calls))));
	put(object, "active_retries", json_integer(num(state_load32(&row->active_retries))));
	put(object, "limited", json_integer(num(rate_limited + full)));
	put(object, "rate_limited", json_integer(num(rate_limited)));
	put(object, "route_full", json_integer(num(full)));
	put(object, "retries", json_integer(num(state_load64(&row->retries))));
	put(object, "retries_denied", json_integer(num(state_load64(&row->retries_denied))));
	put(object, "mirrored", json_integer(num(state_load64(&row->mirrored))));
	return object;
}

json_t *control_route_rows(const struct supervisor *supervisor)
{
	const struct config *config = supervisor->current.config;
	json_t *array = json_array();

	for (size_t l = 0; l < config->n_listeners; l++)
		for (size_t r = 0; r < config->listeners[l].n_routes; r++)
			json_array_append_new(array,
					      route_row(supervisor, &config->listeners[l],
							&config->listeners[l].routes[r]));
	return array;
}
