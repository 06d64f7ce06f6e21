/* SPDX-License-Identifier: MIT */
/*
 * pick.c - which backend of its group a call's next attempt goes to, see pick.h. Asks the group's
 * balancer with what the maps say of each backend: it makes no system call, and allocates nothing
 * (but for a consistent hash's table, once). docs/HEALTH.md has the rules in words.
 */
#include "proxy/pick.h"

#include "balance/slow_start.h"
#include "balance/tier.h"
#include "proxy/pool.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/worker.h"
#include "shared/eject.h"

/* Each takes what the one before it would, and more; none takes a drained or full backend. */
enum pick_pass {
	PICK_READY,  /* not tried, live, of a tier that serves, no connect failed just now */
	PICK_COLD,   /* those in slow start to whom this call would not have gone as well */
	PICK_BACKUP, /* the backups as well, whatever the first tier's weight */
	PICK_LIVE,   /* those to whom a connect failed just now as well */
	PICK_TRIED,  /* live ones that were tried, and took the call: a route's retry */
	PICK_EJECTED, /* those that are ejected, but not down: better than none */
	PICK_ANY,     /* not tried: none is live, and the group fails open */
	PICK_REFUSED, /* live ones that did not take the call may be asked again */
	PICK_PASSES
};

struct pick {
	const struct stream *stream;
	const struct config_group *group;
	enum pick_pass pass;
	uint64_t now_ns;
	bool backups; /* may be picked */
	bool panic;   /* too few are live */
	bool any;     /* whatever health and ejections say */
	bool special; /* is_allowed has something to ask */
	bool old_config; /* the stream's is not the worker's any more */
	bool full;    /* one was passed over that has all the calls it may have */
};

static bool was_tried(const struct stream *stream, uint32_t id)
{
	for (uint32_t i = 0; i < stream->attempts; i++)
		if (stream->tried[i] == id)
			return true;
	return false;
}

/* Of those that were tried: it certainly did not process the call. */
static bool has_refused(const struct stream *stream, uint32_t id)
{
	for (uint32_t i = 0; i < stream->attempts; i++)
		if (stream->tried[i] == id && stream->refused >> i & 1)
			return true;
	return false;
}

/* A call does not go twice to a backend while another is left. */
static bool is_due(const struct pick *pick, uint32_t id)
{
	if (pick->pass == PICK_TRIED)
		return !has_refused(pick->stream, id);
	return pick->pass == PICK_REFUSED || !was_tried(pick->stream, id);
}

/* A part of the calls grows from nothing to all; the same keys stay in it where calls have one. */
static bool is_warm(const struct pick *pick, const struct sluice_backend *row, uint32_t id)
{
	uint64_t since_ns = state_load64(&row->health_changed_ns), window_ns, random;
	uint32_t share;

	if (pick->group->outlier.enabled && state_load64(&row->eject_trial_ns) > since_ns)
		since_ns = state_load64(&row->eject_trial_ns);
	window_ns = pick->group->slow_start_ms * NS_PER_MS;
	if (pick->now_ns > since_ns && pick->now_ns - since_ns >= window_ns)
		return true;
	share = slow_start_share(since_ns, pick->now_ns, window_ns);
	random = pick->group->balance == BALANCE_CONSISTENT_HASH ?
			 ((pick->stream->hash ^ id) * 0x9e3779b97f4a7c15ull) >> 32 :
			 worker_random(pick->stream->worker) >> 32;
	return slow_start_accepts(share, random);
}

/* What only groups with more than health checks ask. */
static bool is_allowed(struct pick *pick, const struct config_endpoint *endpoint,
		       const struct sluice_backend *row)
{
	const struct config_group *group = pick->group;

	if (endpoint->drained || (pick->old_config && state_load32(&row->drained)))
		return false;
	if (endpoint->backup && !pick->backups)
		return false;
	if (group->slow_start_ms && pick->pass == PICK_READY &&
	    state_load32(&row->health) == SLUICE_HEALTH_UP && !is_warm(pick, row, endpoint->id))
		return false;
	if (pick->pass < PICK_LIVE &&
	    pool_is_out_of_reach(&pick->stream->worker->pool, group, endpoint))
		return false;
	if (!group->breaker.backend_calls ||
	    state_load32(&row->active_rpcs) < group->breaker.backend_calls)
		return true;
	pick->full = true;
	return false;
}

static bool is_usable(void *ctx, uint32_t index)
{
	struct pick *pick = ctx;
	const struct config_endpoint *endpoint = &pick->group->endpoints[index];
	struct worker *worker = pick->stream->worker;
	const struct sluice_backend *row = &worker->state.backends[endpoint->id];
	uint32_t health = state_load32(&row->health);

	/* Its id may be another backend's by now, in a configuration newer than the stream's. */
	if (state_load32(&row->generation) != endpoint->generation)
		return false;
	if (!is_due(pick, endpoint->id))
		return false;
	if (!pick->any && (health == SLUICE_HEALTH_DOWN ||
			   (state_load64(&row->ejected_until_ns) && pick->pass != PICK_EJECTED &&
			    !eject_may_pick(row, &pick->group->outlier, pick->now_ns))))
		return false;
	if (pick->pass < PICK_LIVE &&
	    pool_is_backing_off(&worker->pool, endpoint,
				health == SLUICE_HEALTH_UP ?
					state_load64(&row->health_changed_ns) :
					0,
				pick->now_ns))
		return false;
	return !pick->special || is_allowed(pick, endpoint, row);
}

static uint32_t active_rpcs(void *ctx, uint32_t index)
{
	const struct pick *pick = ctx;

	return state_load32(
		&pick->stream->worker->state.backends[pick->group->endpoints[index].id].active_rpcs);
}

static int pick_once(struct router_group *group, struct pick *pick)
{
	switch (group->config->balance) {
	case BALANCE_LEAST_REQUEST:
		return least_request_pick(group->least_request, is_usable, active_rpcs, pick,
					  worker_random(pick->stream->worker));
	case BALANCE_RANDOM:
		return random_pick(group->random, is_usable, pick,
				   worker_random(pick->stream->worker));
	case BALANCE_CONSISTENT_HASH:
		return maglev_pick(group->maglev, is_usable, pick, pick->stream->hash);
	default:
		return wrr_pick(group->wrr, is_usable, pick);
	}
}

/* Only where the group has two tiers or a panic threshold; anew only when its epoch has changed. */
static const struct router_view *group_view(struct router_group *group, const struct state *state,
					    uint64_t now_ns)
{
	const struct config_group *config = group->config;
	struct router_view *view = &group->view;
	struct tier_weights weights = { 0 };
	struct tier_verdict verdict;
	uint32_t epoch = __atomic_load_n(&state->groups[config->id].epoch, __ATOMIC_ACQUIRE);

	if (view->known && view->epoch == epoch)
		return view;
	for (size_t i = 0; i < config->n_endpoints; i++) {
		const struct config_endpoint *endpoint = &config->endpoints[i];

		tier_add(&weights, &state->backends[endpoint->id], endpoint->weight,
			 endpoint->backup, endpoint->drained, now_ns);
	}
	/* Whether it fails open where none is live is the later passes' to say. */
	verdict = tier_judge(&weights, config->backup_below_percent, config->panic_percent, false);
	*view = (struct router_view){
		.epoch = epoch,
		.known = true,
		.backups = verdict.backups,
		.panic = verdict.panic,
	};
	return view;
}

/* Whether this pass can have more to offer than the one before it. */
static bool pass_is_due(const struct pick *pick, bool only_others)
{
	switch (pick->pass) {
	case PICK_COLD:
		return pick->group->slow_start_ms;
	case PICK_BACKUP:
		return !pick->backups;
	case PICK_EJECTED:
		return !pick->panic && pick->group->outlier.enabled;
	case PICK_ANY:
		return !pick->panic && pick->group->on_all_down == SLUICE_ALL_DOWN_ACCEPT;
	case PICK_TRIED:
		return pick->stream->attempts;
	case PICK_REFUSED:
		return !only_others && pick->stream->attempts;
	default:
		return true;
	}
}

/* Where the call would be an ejected backend's trial, it is so only if no other is. */
static bool begin_attempt(const struct pick *pick, struct stream *stream, uint32_t backend)
{
	const struct config_outlier *outlier = &pick->group->outlier;
	struct sluice_backend *row = &stream->worker->state.backends[backend];
	bool trial = false;

	if (eject_trial_goes_well(row, outlier, pick->now_ns)) {
		eject_lift(&stream->worker->state, backend, pick->now_ns);
	} else if (eject_trial_is_due(row, outlier, pick->now_ns)) {
		trial = eject_trial_begin(row, outlier, pick->now_ns);
		if (!trial && !pick->any && pick->pass != PICK_EJECTED)
			return false;
	}
	stream->attempt = (struct outcome_attempt){ .started_ns = pick->now_ns, .trial = trial };
	return true;
}

const struct config_endpoint *pick_endpoint(struct stream *stream, bool only_others, bool *full)
{
	struct router_group *group = stream->group;
	struct worker *worker = stream->worker;
	struct pick pick = {
		.stream = stream,
		.group = group->config,
		.now_ns = loop_now(&worker->loop),
		.backups = true,
		.old_config = stream->router != worker->router,
	};
	const struct config_endpoint *picked = NULL;

	pick.special = group->is_special || pick.old_config;
	if (group->has_view) {
		const struct router_view *view = group_view(group, &worker->state, pick.now_ns);

		pick.backups = view->backups;
		pick.panic = view->panic;
	}
	for (pick.pass = 0; pick.pass < PICK_PASSES && !picked; pick.pass++) {
		int index;

		if (!pass_is_due(&pick, only_others))
			continue;
		if (pick.pass == PICK_BACKUP)
			pick.backups = true;
		pick.any = pick.panic || pick.pass == PICK_ANY;
		/* Again where another call was faster to become the trial: it is not usable now. */
		do {
			index = pick_once(group, &pick);
			picked = index < 0 ? NULL : &group->config->endpoints[index];
		} while (picked && group->is_special && group->config->outlier.enabled &&
			 !begin_attempt(&pick, stream, picked->id));
	}
	*full = pick.full;
	return picked;
}
