/* SPDX-License-Identifier: MIT */
/*
 * publish.c - see publish.h. Called by reload.c only. Workers and XDP read these rows at any time:
 * a row is complete before its generation (or `used`) says that it is there. What goes up and down
 * (active calls, connections, pending) is never reset, since calls begun under an older config still
 * give it back.
 */
#include <stdio.h>
#include <string.h>

#include "control/publish.h"
#include "shared/eject.h"

/* Whether anything changed that balancing goes by. */
static bool publish_settings(struct sluice_backend *row, const struct config_endpoint *endpoint)
{
	uint32_t weight = __atomic_load_n(&row->weight, __ATOMIC_RELAXED);

	if (weight == endpoint->weight && row->file_weight == endpoint->file_weight &&
	    row->drained == endpoint->drained && row->forced == endpoint->forced &&
	    row->drain_until_ns == endpoint->drain_until_ns)
		return false;
	__atomic_store_n(&row->weight, (__u16)endpoint->weight, __ATOMIC_RELAXED);
	state_store32(&row->file_weight, endpoint->file_weight);
	state_store32(&row->drained, endpoint->drained);
	state_store32(&row->forced, endpoint->forced);
	state_store64(&row->drain_until_ns, endpoint->drain_until_ns);
	return true;
}

static void publish_new(struct sluice_backend *row, const struct config_endpoint *endpoint,
			uint32_t group, uint64_t now_ns)
{
	state_store32(&row->generation, 0);
	row->group = group;
	addr_to_mapped(&endpoint->address, row->address);
	row->port = addr_port(&endpoint->address);
	row->health = SLUICE_HEALTH_UNKNOWN;
	row->health_reason = SLUICE_REASON_NONE;
	row->health_detail = 0;
	row->health_changed_ns = now_ns;
	row->checks = row->checks_failed = row->health_changes = 0;
	row->calls = row->failures = 0;
	row->eject_state = SLUICE_EJECT_NONE;
	row->eject_reason = row->eject_detail = row->eject_count = 0;
	row->ejected_until_ns = row->eject_trial_ns = row->eject_answered_ns = 0;
	row->consecutive_failures = 0;
	row->outcomes = row->outcome_failures = row->outcome_latency_us = row->ejections = 0;
}

/* Whether the row is new, or changed in what balancing goes by. */
static bool publish_backend(struct sluice_backend *row, const struct config_endpoint *endpoint,
			    uint32_t group, uint64_t now_ns)
{
	bool fresh = row->generation != endpoint->generation;

	if (fresh)
		publish_new(row, endpoint, group, now_ns);
	bool changed = publish_settings(row, endpoint);

	__atomic_store_n(&row->generation, endpoint->generation, __ATOMIC_RELEASE);
	return fresh || changed;
}

static void publish_group(struct state *state, const struct config_group *group, uint64_t now_ns)
{
	struct sluice_group *row = &state->groups[group->id];
	bool changed = false;
	uint32_t total = 0;

	for (size_t i = 0; i < group->n_endpoints; i++) {
		const struct config_endpoint *endpoint = &group->endpoints[i];

		total += endpoint->weight > 0 && !endpoint->drained;
		if (publish_backend(&state->backends[endpoint->id], endpoint, group->id, now_ns))
			changed = true;
		if (!group->outlier.enabled) /* nobody would take it back in */
			eject_lift(state, endpoint->id, now_ns);
	}
	bool fresh = !state_load32(&row->used);

	if (fresh) {
		memset(row->name, 0, sizeof(row->name));
		snprintf(row->name, sizeof(row->name), "%s", group->name);
		state_store64(&row->changed_ns, now_ns);
		state_store64(&row->overflows, 0);
		state_store64(&row->ejections, 0);
	}
	/* Nothing known yet counts as live; else a group that gets its first addresses would be
	 * down until the monitor has looked at it. */
	if (fresh || !state_load32(&row->total))
		state_store32(&row->live, total);
	else if (state_load32(&row->live) > total)
		state_store32(&row->live, total);
	state_store32(&row->total, total);
	state_store32(&row->on_all_down, group->on_all_down);
	__atomic_store_n(&row->used, 1, __ATOMIC_RELEASE);
	if (fresh || changed)
		state_group_changed(state, group->id);
}

static void publish_route(struct sluice_route *row, const struct config_route *route,
			  uint32_t listener)
{
	/* An id goes to another route only where none had it in between, or long after. */
	if (state_load32(&row->used) && row->listener == listener &&
	    !strncmp(row->name, route->name, sizeof(row->name)))
		return;
	state_store32(&row->used, 0);
	row->listener = listener;
	memset(row->name, 0, sizeof(row->name));
	snprintf(row->name, sizeof(row->name), "%s", route->name);
	state_store64(&row->calls, 0);
	state_store64(&row->rate_limited, 0);
	state_store64(&row->route_full, 0);
	state_store64(&row->retries, 0);
	state_store64(&row->retries_denied, 0);
	state_store64(&row->mirrored, 0);
	__atomic_store_n(&row->used, 1, __ATOMIC_RELEASE);
}

void publish_config(struct state *state, const struct config *config, uint64_t now_ns)
{
	state->switches->v4_prefix = config->kernel.source_v4_prefix;
	state->switches->v6_prefix = config->kernel.source_v6_prefix;
	for (size_t g = 0; g < config->n_groups; g++)
		publish_group(state, &config->groups[g], now_ns);
	for (size_t l = 0; l < config->n_listeners; l++) {
		const struct config_listener *listener = &config->listeners[l];

		for (size_t r = 0; r < listener->n_routes; r++)
			publish_route(&state->routes[listener->routes[r].id], &listener->routes[r],
				      listener->id);
	}
}

void publish_sweep(struct state *state, const struct ids *ids)
{
	for (uint32_t id = 0; id < SLUICE_MAX_GROUPS; id++) {
		struct sluice_group *row = &state->groups[id];

		if (!state_load32(&row->used) || ids_group_used(ids, id))
			continue;
		state_store32(&row->used, 0);
		state_store32(&row->live, 0);
		state_store32(&row->total, 0);
	}
	for (uint32_t id = 0; id < SLUICE_MAX_BACKENDS; id++) {
		struct sluice_backend *row = &state->backends[id];

		if (!state_load32(&row->generation) || ids_backend_used(ids, id))
			continue;
		__atomic_store_n(&row->weight, (__u16)0, __ATOMIC_RELAXED);
		state_store32(&row->generation, 0);
	}
	for (uint32_t id = 0; id < SLUICE_MAX_ROUTES; id++)
		if (state_load32(&state->routes[id].used) && !ids_route_used(ids, id))
			state_store32(&state->routes[id].used, 0);
}
