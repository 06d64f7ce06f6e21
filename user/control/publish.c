/* SPDX-License-Identifier: MIT */
/*
 * publish.c - see publish.h. Called by reload.c only. Workers and XDP read these rows at any time:
 * a row is complete before its generation (or `used`) says that it is there. active_rpcs and
 * connections are never reset, since calls begun under an older config still give them back.
 */
#include <stdio.h>
#include <string.h>

#include "control/publish.h"

static void publish_backend(struct sluice_backend *row, const struct config_endpoint *endpoint,
			    uint32_t group, uint64_t now_ns)
{
	if (row->generation != endpoint->generation) {
		state_store32(&row->generation, 0);
		row->group = group;
		addr_to_mapped(&endpoint->address, row->address);
		row->port = addr_port(&endpoint->address);
		row->health = SLUICE_HEALTH_UNKNOWN;
		row->health_reason = SLUICE_REASON_NONE;
		row->health_detail = 0;
		row->health_changed_ns = now_ns;
		row->ejected_until_ns = 0;
		row->checks = row->checks_failed = row->health_changes = 0;
		row->calls = row->failures = 0;
	}
	__atomic_store_n(&row->weight, (__u16)endpoint->weight, __ATOMIC_RELAXED);
	__atomic_store_n(&row->generation, endpoint->generation, __ATOMIC_RELEASE);
}

static void publish_group(struct state *state, const struct config_group *group, uint64_t now_ns)
{
	struct sluice_group *row = &state->groups[group->id];
	uint32_t total = 0;

	for (size_t i = 0; i < group->n_endpoints; i++) {
		const struct config_endpoint *endpoint = &group->endpoints[i];

		total += endpoint->weight > 0;
		publish_backend(&state->backends[endpoint->id], endpoint, group->id, now_ns);
	}
	bool fresh = !state_load32(&row->used);

	if (fresh) {
		memset(row->name, 0, sizeof(row->name));
		snprintf(row->name, sizeof(row->name), "%s", group->name);
		state_store64(&row->changed_ns, now_ns);
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
}

void publish_config(struct state *state, const struct config *config, uint64_t now_ns)
{
	for (size_t g = 0; g < config->n_groups; g++)
		publish_group(state, &config->groups[g], now_ns);
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
}
