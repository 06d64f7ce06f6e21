/* SPDX-License-Identifier: MIT */
/*
 * health.c - the targets of the current config, and what their verdicts make of the groups. Called by
 * monitor.c; what a single target does is in health_target.c.
 */
#include "monitor/health.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "monitor/health_target.h"
#include "proxy/tls.h"

/* The config's endpoints as targets; those that want their first check are put into fresh[]. */
static int health_take_targets(struct health *health, struct config *config, struct target **fresh,
			       uint32_t *n_fresh)
{
	bool first = !health->config;
	int err = 0;

	for (size_t g = 0; g < config->n_groups; g++) {
		const struct config_group *group = &config->groups[g];

		for (size_t e = 0; e < group->n_endpoints; e++) {
			const struct config_endpoint *endpoint = &group->endpoints[e];
			const struct config_health_check *old_check = NULL;
			struct target *target = health->targets[endpoint->id];
			bool probed;

			if (target && target->generation != endpoint->generation) {
				target_free(target);
				target = NULL;
			} else if (target) {
				old_check = &target->group->health_check;
			}
			if (!target) {
				target = target_new(health, endpoint);
				if (target && first)
					target_adopt(target);
			}
			health->targets[endpoint->id] = target;
			if (!target) {
				err = -ENOMEM;
				continue;
			}
			probed = target->probed;
			target->round = health->round;
			target_update(target, group, endpoint, old_check);
			if (target->probed && !probed)
				fresh[(*n_fresh)++] = target;
		}
	}
	return err;
}

/* Counts every group anew and stores what differs. */
static void health_count(struct health *health, const struct config *config)
{
	memset(health->live, 0, sizeof(health->live));
	for (size_t g = 0; g < config->n_groups; g++) {
		const struct config_group *group = &config->groups[g];
		struct sluice_group *words = &health->state->groups[group->id];
		uint32_t live = 0, total = 0;

		for (size_t e = 0; e < group->n_endpoints; e++) {
			const struct config_endpoint *endpoint = &group->endpoints[e];
			struct target *target = health->targets[endpoint->id];
			bool counts = endpoint->weight > 0 && !endpoint->drained;
			bool down = target && target_health(target) == SLUICE_HEALTH_DOWN;

			if (target)
				target->in_live = counts && !down;
			total += counts;
			live += counts && !down;
		}
		health->live[group->id] = live;
		if (state_load32(&words->total) != total)
			state_store32(&words->total, total);
		if (state_load32(&words->live) != live)
			health_store_live(health, group->id);
	}
}

struct health *health_new(struct loop *loop, struct state *state)
{
	struct health *health = calloc(1, sizeof(*health));

	if (!health)
		return NULL;
	health->loop = loop;
	health->state = state;
	if (getrandom(&health->random, sizeof(health->random), GRND_NONBLOCK) < 0)
		health->random = loop_now(loop);
	health->random |= 1; /* xorshift stays at 0 */
	return health;
}

void health_free(struct health *health)
{
	if (!health)
		return;
	for (size_t i = 0; i < SLUICE_MAX_BACKENDS; i++)
		target_free(health->targets[i]);
	for (size_t i = 0; i < SLUICE_MAX_GROUPS; i++)
		tls_context_free(health->tls[i]);
	config_unref(health->config);
	free(health);
}

/* A context for each group that wants TLS; one that asks the same stays, with its targets'
 * connections. What is over goes into old: targets point there until they were updated. */
static void health_take_tls(struct health *health, const struct config *config,
			    struct tls_context **old)
{
	char why[256];

	memcpy(old, health->tls, sizeof(health->tls));
	memset(health->tls, 0, sizeof(health->tls));
	for (size_t g = 0; g < config->n_groups; g++) {
		const struct config_group *group = &config->groups[g];
		struct tls_context *made;

		if (!group->tls.enabled || !group->health_check.enabled)
			continue;
		made = tls_client_context_new(&group->tls, why, sizeof(why));
		if (!made)
			log_error("no TLS context: the health checks are not made",
				  F_STR("group", group->name), F_STR("reason", why));
		if (made && old[group->id] && tls_context_is_same(made, old[group->id])) {
			tls_context_free(made);
			made = old[group->id];
			old[group->id] = NULL;
		}
		health->tls[group->id] = made;
	}
}

int health_apply(struct health *health, struct config *config)
{
	struct target **fresh = calloc(SLUICE_MAX_BACKENDS, sizeof(struct target *));
	struct tls_context *old_tls[SLUICE_MAX_GROUPS];
	uint32_t n_fresh = 0;
	int err;

	if (!fresh)
		return -ENOMEM;
	health->round++;
	config_ref(config);
	health_take_tls(health, config, old_tls);
	err = health_take_targets(health, config, fresh, &n_fresh);
	for (size_t i = 0; i < SLUICE_MAX_BACKENDS; i++) {
		if (!health->targets[i] || health->targets[i]->round == health->round)
			continue;
		target_free(health->targets[i]);
		health->targets[i] = NULL;
	}
	health_count(health, config);
	for (uint32_t i = 0; i < n_fresh; i++) {
		uint64_t delay_ns = health_first_delay_ns(i, n_fresh, fresh[i]->probe.check);

		if (loop_timer_set(health->loop, &fresh[i]->next, delay_ns) < 0) {
			fresh[i]->probed = false; /* the next config tries again */
			err = -ENOMEM;
		}
	}
	/* Only now: targets that stayed pointed into it until they were updated. */
	config_unref(health->config);
	health->config = config;
	for (size_t i = 0; i < SLUICE_MAX_GROUPS; i++)
		tls_context_free(old_tls[i]);
	free(fresh);
	return err;
}
