/* SPDX-License-Identifier: MIT */
/*
 * health_target.h - one endpoint under health checks: its probe, its timer, its verdict, its words in the
 * maps. For health.c, which says what there is to be checked, and health_target.c only.
 */
#ifndef SLUICE_MONITOR_HEALTH_TARGET_H
#define SLUICE_MONITOR_HEALTH_TARGET_H

#include "base/log.h"
#include "base/loop.h"
#include "config/config.h"
#include "monitor/health_check.h"
#include "monitor/probe.h"
#include "shared/state.h"

struct health;
struct tls_context;

struct target {
	struct health *health;
	uint32_t id, generation;
	uint32_t round;	  /* of health_apply that last saw it */
	bool probed;	  /* the group has a health check, and the weight is not 0 */
	bool counts;	  /* has weight and is not drained */
	bool in_live;	  /* is counted in the group's live */
	struct health_verdict verdict;
	struct health_result failure; /* of the last check that failed */
	uint32_t failures;   /* checks that failed in a row */
	bool unlogged;	     /* the verdict has changed since it was last written */
	struct log_limit changes;
	uint64_t started_ns; /* the check under way or the last one */
	uint64_t again_ns;   /* when the backend last ended the Watch's connection in order */
	struct loop_timer next;
	struct probe probe;
	/* in health->config */
	const struct config_group *group;
	const struct config_endpoint *endpoint;
};

struct health {
	struct loop *loop;
	struct state *state;
	struct config *config;
	uint32_t round;
	uint64_t random; /* xorshift64 */
	struct log_limit local_failures;
	uint32_t live[SLUICE_MAX_GROUPS]; /* by group id */
	struct tls_context *tls[SLUICE_MAX_GROUPS]; /* by group id; NULL: cleartext, or not checked */
	struct target *targets[SLUICE_MAX_BACKENDS]; /* by backend id */
};

/* NULL: no memory. */
struct target *target_new(struct health *health, const struct config_endpoint *endpoint);
void target_free(struct target *target); /* takes NULL */
/* Takes the target over to the new config's group and endpoint (old_check: NULL for a new one). */
void target_update(struct target *target, const struct config_group *group,
		   const struct config_endpoint *endpoint,
		   const struct config_health_check *old_check);
/* A monitor that replaces a dead one goes on from the maps, so that a backend known to be down does
 * not get calls again just because of that. */
void target_adopt(struct target *target);
/* As the maps have it: forced, or the verdict. */
enum sluice_health target_health(const struct target *target);
/* Stores health->live of a group (by id), as changed now. */
void health_store_live(struct health *health, uint32_t group);

#endif
