/* SPDX-License-Identifier: MIT */
/*
 * pick_world.h - a worker with one group of backends and nothing else: maps, a router, a stream that
 * picks; no connection is ever made. For test_pick.c and test_outcome.c.
 */
#ifndef SLUICE_SELFTESTS_PICK_WORLD_H
#define SLUICE_SELFTESTS_PICK_WORLD_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cm.h"
#include "proxy/pick.h"
#include "proxy/pool.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

#define PICK_GROUP 3
#define PICK_FIRST 50 /* id of the first backend */
#define PICK_S	   NS_PER_S

static struct {
	int fds[STATE_FDS];
	struct worker worker;
	struct config_group *group;
	struct stream stream;
	bool full;
} pick_world;

static inline struct sluice_backend *pick_row(unsigned i)
{
	return &pick_world.worker.state.backends[PICK_FIRST + i];
}

/* n backends of weight 1, all up for a long time. Change the group, then pick_world_start. */
static inline void pick_world_init(unsigned n)
{
	struct config *config = calloc(1, sizeof(*config));
	struct config_group *group = calloc(1, sizeof(*group));

	memset(&pick_world, 0, sizeof(pick_world));
	memset(pick_world.fds, -1, sizeof(pick_world.fds));
	assert_int_equal(state_create_fds(pick_world.fds), 0);
	assert_int_equal(state_map(&pick_world.worker.state, pick_world.fds), 0);
	pick_world.worker.stats = &pick_world.worker.state.workers[0];
	pick_world.worker.random_state = 4711;
	pick_world.worker.loop.now_ns = 1000 * PICK_S;
	assert_int_equal(pool_init(&pick_world.worker.pool, &pick_world.worker), 0);
	config->refs = 1;
	config->n_groups = 1;
	config->groups = group;
	group->id = PICK_GROUP;
	group->name = strdup("greeter");
	group->n_endpoints = n;
	group->endpoints = calloc(n, sizeof(*group->endpoints));
	for (unsigned i = 0; i < n; i++) {
		struct config_endpoint *endpoint = &group->endpoints[i];

		*endpoint = (struct config_endpoint){ .id = PICK_FIRST + i,
						      .generation = 1,
						      .weight = 1 };
		assert_int_equal(addr_from_ip(&endpoint->address, "192.0.2.1",
					      (uint16_t)(1000 + i)),
				 0);
		pick_row(i)->generation = 1;
		pick_row(i)->group = PICK_GROUP;
		pick_row(i)->health = SLUICE_HEALTH_UP;
		pick_row(i)->health_changed_ns = PICK_S;
	}
	pick_world.group = group;
	pick_world.stream.worker = &pick_world.worker;
	/* until it is started */
	pick_world.worker.router = calloc(1, sizeof(*pick_world.worker.router));
	pick_world.worker.router->refs = 1;
	pick_world.worker.router->config = config;
}

static inline void pick_world_start(void)
{
	struct config *config = pick_world.worker.router->config;
	char why[100];

	free(pick_world.worker.router);
	pick_world.worker.router = router_new(config, 0, why, sizeof(why));
	assert_non_null(pick_world.worker.router);
	pick_world.stream.router = pick_world.worker.router;
	pick_world.stream.group = &pick_world.worker.router->groups[0];
}

static inline void pick_world_done(void)
{
	router_unref(pick_world.worker.router);
	pool_done(&pick_world.worker.pool);
	state_unmap(&pick_world.worker.state);
	for (unsigned i = 0; i < STATE_FDS; i++)
		close(pick_world.fds[i]);
}

/* As the monitor does it. */
static inline void pick_set_health(unsigned i, enum sluice_health health)
{
	pick_row(i)->health = health;
	pick_row(i)->health_changed_ns = pick_world.worker.loop.now_ns;
	state_group_changed(&pick_world.worker.state, PICK_GROUP);
}

static inline void pick_pass_time(uint64_t ns)
{
	pick_world.worker.loop.now_ns += ns;
}

/* The next attempt of the same call; -1: none. only_others: those before it were refused. */
static inline int pick_next(bool only_others)
{
	const struct config_endpoint *endpoint;

	if (only_others)
		pick_world.stream.refused = (1u << pick_world.stream.attempts) - 1;
	endpoint = pick_endpoint(&pick_world.stream, only_others, &pick_world.full);
	if (!endpoint)
		return -1;
	pick_world.stream.tried[pick_world.stream.attempts++] = endpoint->id;
	return (int)(endpoint - pick_world.group->endpoints);
}

/* The first attempt of a new call. */
static inline int pick_new(void)
{
	pick_world.stream.attempts = pick_world.stream.refused = 0;
	pick_world.stream.hash += 0x9e3779b97f4a7c15ull;
	return pick_next(false);
}

/* How often each of the first 16 backends gets one of so many new calls. */
static inline void pick_many(unsigned calls, unsigned count[16])
{
	memset(count, 0, 16 * sizeof(*count));
	for (unsigned i = 0; i < calls; i++) {
		int picked = pick_new();

		assert_in_range(picked, 0, 15);
		count[picked]++;
	}
}

#endif
