/* SPDX-License-Identifier: MIT */
/*
 * pick.c - which backend of its group a call's next attempt goes to, see pick.h. Asks the group's
 * balancer with what the maps say of each backend: it allocates nothing and makes no system call.
 */
#include "proxy/pick.h"

#include "proxy/pool.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

enum pick_pass {
	PICK_HEALTHY,  /* not tried, not down, no connect failed just now */
	PICK_NOT_DOWN, /* not tried, not down */
	PICK_ANY,      /* not tried: all are down, and the group fails open */
	PICK_TRIED,    /* one that was tried may try again */
	PICK_PASSES
};

struct pick {
	const struct stream *stream;
	const struct config_group *group;
	enum pick_pass pass;
};

static bool was_tried(const struct stream *stream, uint32_t id)
{
	for (uint32_t i = 0; i < stream->attempts; i++)
		if (stream->tried[i] == id)
			return true;
	return false;
}

static bool is_usable(void *ctx, uint32_t index)
{
	const struct pick *pick = ctx;
	const struct config_endpoint *endpoint = &pick->group->endpoints[index];
	struct worker *worker = pick->stream->worker;
	const struct sluice_backend *backend = &worker->state.backends[endpoint->id];
	uint64_t now_ns = loop_now(&worker->loop);
	uint32_t health;

	/* Its id may be another backend's by now, in a configuration newer than the stream's. */
	if (state_load32(&backend->generation) != endpoint->generation)
		return false;
	if (pick->pass != PICK_TRIED && was_tried(pick->stream, endpoint->id))
		return false;
	if (pick->pass == PICK_ANY)
		return true;
	health = state_load32(&backend->health);
	if (health == SLUICE_HEALTH_DOWN || state_load64(&backend->ejected_until_ns) > now_ns)
		return false;
	return pick->pass != PICK_HEALTHY ||
	       !pool_is_backing_off(&worker->pool, endpoint,
				    health == SLUICE_HEALTH_UP ?
					    state_load64(&backend->health_changed_ns) :
					    0,
				    now_ns);
}

static uint32_t active_rpcs(void *ctx, uint32_t index)
{
	const struct pick *pick = ctx;

	return state_load32(
		&pick->stream->worker->state.backends[pick->group->endpoints[index].id].active_rpcs);
}

static int pick_once(struct router_group *group, struct pick *pick)
{
	if (group->least_request)
		return least_request_pick(group->least_request, is_usable, active_rpcs, pick,
					  worker_random(pick->stream->worker));
	return wrr_pick(group->wrr, is_usable, pick);
}

const struct config_endpoint *pick_endpoint(struct stream *stream, bool only_others)
{
	struct router_group *group = stream->group;
	struct pick pick = { .stream = stream, .group = group->config };

	for (pick.pass = 0; pick.pass < PICK_PASSES; pick.pass++) {
		int index;

		if (pick.pass == PICK_ANY && group->config->on_all_down != SLUICE_ALL_DOWN_ACCEPT)
			continue;
		if (pick.pass == PICK_TRIED && (only_others || !stream->attempts))
			continue;
		index = pick_once(group, &pick);
		if (index >= 0)
			return &group->config->endpoints[index];
	}
	return NULL;
}
