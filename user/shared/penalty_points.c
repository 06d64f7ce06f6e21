/* SPDX-License-Identifier: MIT */
/*
 * penalty_points.c - what evidence comes to: points that decay, weighed against good calls, until they
 * bring a penalty; and how long that is. The other half of sources.h: rows are changed here with their
 * set's lock held. Knows no clock and no process.
 */
#include <errno.h>
#include <math.h>

#include "shared/sources_internal.h"

#define NS_PER_MS 1000000ull

/* Points are worked out anew only when at least this part of a half-life has passed: rounding many
 * small steps would keep them from decaying. */
#define STEPS_A_HALF_LIFE 64

/* Beyond these nothing is counted: they decay to nothing within twenty half-lives. */
#define POINTS_MAX (UINT32_MAX / 2)

const char *source_evidence_name(enum sluice_evidence what)
{
	static const char *const names[SLUICE_EVIDENCE_MAX] = {
		[SLUICE_EVIDENCE_NONE] = "none",
		[SLUICE_EVIDENCE_ABUSE] = "abuse",
		[SLUICE_EVIDENCE_HANDSHAKE] = "handshake",
		[SLUICE_EVIDENCE_NOT_H2] = "not_h2",
		[SLUICE_EVIDENCE_PROTOCOL] = "protocol",
		[SLUICE_EVIDENCE_OVER_LIMIT] = "over_limit",
		[SLUICE_EVIDENCE_BY_HAND] = "by_hand",
	};

	return what < SLUICE_EVIDENCE_MAX ? names[what] : "unknown";
}

const char *source_level_name(uint32_t level)
{
	return level == SLUICE_PENALTY_PACKETS ? "packets" : "connections";
}

bool source_is_exempt(const struct state *state, const struct config_penalties *config,
		      const uint32_t source[4])
{
	struct prefix own;

	source_prefix(state, source, &own);
	for (size_t i = 0; i < config->n_never; i++)
		if (prefix_overlaps(&config->never[i], &own))
			return true;
	return false;
}

static void decay(struct sluice_source_state *row, uint32_t half_life_ms, uint64_t now_ns)
{
	uint64_t half_life_ns = half_life_ms * NS_PER_MS, passed_ns;
	double rest;

	if (!row->points_ns || now_ns < row->points_ns || (!row->points && !row->good)) {
		row->points_ns = now_ns;
		return;
	}
	passed_ns = now_ns - row->points_ns;
	if (!half_life_ns || passed_ns < half_life_ns / STEPS_A_HALF_LIFE)
		return;
	rest = exp2(-(double)passed_ns / (double)half_life_ns);
	row->points = (__u32)(row->points * rest);
	row->good = (__u32)(row->good * rest);
	row->points_ns = now_ns;
}

void source_weigh(const struct sluice_source_state *source, const struct config_penalties *config,
		  uint64_t now_ns, uint32_t *ret_points, uint32_t *ret_good)
{
	struct sluice_source_state now = *source;

	decay(&now, config->half_life_ms, now_ns);
	*ret_points = (now.points + SOURCE_POINT / 2) / SOURCE_POINT;
	*ret_good = (now.good + SOURCE_POINT / 2) / SOURCE_POINT;
}

static void add(__u32 *points, uint64_t more, uint64_t max)
{
	uint64_t sum = *points + more;

	*points = (__u32)(sum > max ? max : sum);
}

static uint64_t good_max(const struct config_penalties *config)
{
	uint64_t max = (uint64_t)config->threshold * SOURCE_POINT * SOURCE_GOOD_MAX;

	return max > POINTS_MAX ? POINTS_MAX : max;
}

void source_praise(struct state *state, uint32_t slot, uint32_t row,
		   const struct config_penalties *config, uint32_t calls, uint64_t now_ns)
{
	struct sluice_source_state *source = sources_row(state, row);
	struct sluice_source_set *set;

	if (!source)
		return;
	set = &state->sources[row / SLUICE_SOURCE_WAYS];
	if (!sources_lock(set, slot))
		return;
	decay(source, config->half_life_ms, now_ns);
	add(&source->good, (uint64_t)calls * SOURCE_POINT, good_max(config));
	sources_unlock(set);
}

/* Enough of it, and enough beside the good that came from the same source: others may sit behind it. */
static bool is_enough(const struct sluice_source_state *source,
		      const struct config_penalties *config)
{
	uint64_t points = source->points, all = points + source->good;

	return points >= (uint64_t)config->threshold * SOURCE_POINT &&
	       points * 100 >= all * config->bad_percent;
}

/* Earlier penalties that count for the length of the next: half of them for each forget_ms without. */
static uint32_t remembered(const struct sluice_source_state *source,
			   const struct config_penalties *config, uint64_t now_ns)
{
	uint64_t forget_ns = config->forget_ms * NS_PER_MS, since_ns;

	if (!source->penalized_until_ns || now_ns <= source->penalized_until_ns || !forget_ns)
		return source->penalty_count;
	since_ns = now_ns - source->penalized_until_ns;
	return since_ns / forget_ns >= 32 ? 0 : source->penalty_count >> (since_ns / forget_ns);
}

static uint64_t length_ns(uint32_t earlier, const struct config_penalties *config)
{
	uint64_t ms = config->first_ms;

	while (earlier-- > 0 && ms < config->max_ms)
		ms *= 2;
	return (ms < config->max_ms ? ms : config->max_ms) * NS_PER_MS;
}

static void mark(struct state *state, struct sluice_source_state *source, uint64_t until_ns,
		 enum sluice_penalty_level level, uint64_t now_ns)
{
	source->points = source->good = 0;
	source->points_ns = source->seen_ns = now_ns;
	state_store32(&source->penalty_level, level);
	__atomic_store_n(&source->penalized_until_ns, until_ns, __ATOMIC_RELEASE);
	__atomic_fetch_add(&state->switches->penalty_epoch, 1, __ATOMIC_RELEASE);
}

bool source_accuse(struct state *state, uint32_t slot, uint32_t row,
		   const struct config_penalties *config, enum sluice_evidence what,
		   uint64_t thousandths, uint64_t now_ns)
{
	struct sluice_source_state *source = sources_row(state, row);
	struct sluice_source_set *set;
	uint32_t earlier;
	bool penalty = false;

	if (!source || !config->points[what])
		return false;
	set = &state->sources[row / SLUICE_SOURCE_WAYS];
	if (!sources_lock(set, slot))
		return false;
	/* What its connections still do until they are closed is part of the same offence. */
	if (source_is_penalized(source, now_ns))
		goto out;
	decay(source, config->half_life_ms, now_ns);
	if (source->points < SOURCE_POINT || source->reason >= SLUICE_EVIDENCE_MAX ||
	    config->points[what] >= config->points[source->reason])
		source->reason = what;
	add(&source->points, config->points[what] * thousandths * (SOURCE_POINT / SOURCE_PIECE),
	    POINTS_MAX);
	source->seen_ns = now_ns;
	penalty = is_enough(source, config) && !source_is_exempt(state, config, source->address);
	if (!penalty)
		goto out;
	earlier = remembered(source, config, now_ns);
	source->penalty_count = earlier + 1;
	mark(state, source, now_ns + length_ns(earlier, config),
	     earlier >= config->packets_after ? SLUICE_PENALTY_PACKETS : SLUICE_PENALTY_CONNECTIONS,
	     now_ns);
out:
	sources_unlock(set);
	return penalty;
}

int source_penalize(struct state *state, const uint32_t source[4], uint64_t until_ns,
		    enum sluice_penalty_level level, enum sluice_evidence reason, uint64_t now_ns)
{
	uint32_t row = sources_claim(state, SOURCE_SUPERVISOR, source, now_ns);
	struct sluice_source_state *found = sources_row(state, row);

	if (!found)
		return -ENOSPC;
	found->reason = reason;
	mark(state, found, until_ns, level, now_ns);
	sources_unlock(&state->sources[row / SLUICE_SOURCE_WAYS]);
	return 0;
}

int source_pardon(struct state *state, const uint32_t source[4])
{
	uint32_t row = source_find(state, source);
	struct sluice_source_state *found;

	if (row == SOURCE_NONE)
		return 0;
	/* Known a moment ago; claimed anew, should it have gone meanwhile. */
	row = sources_claim(state, SOURCE_SUPERVISOR, source, 0);
	found = sources_row(state, row);
	if (!found)
		return -EAGAIN;
	found->points = found->good = found->penalty_count = 0;
	found->reason = SLUICE_EVIDENCE_NONE;
	state_store64(&found->penalized_until_ns, 0);
	sources_unlock(&state->sources[row / SLUICE_SOURCE_WAYS]);
	return 0;
}
