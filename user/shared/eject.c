/* SPDX-License-Identifier: MIT */
/*
 * eject.c - see eject.h. Called by a worker's picks and at the ends of its attempts, and by the
 * monitor. Touches only groups with outlier detection; no lock, no system call.
 */
#include "shared/eject.h"

#include <stdio.h>

static bool swap64(__u64 *word, uint64_t from, uint64_t to)
{
	__u64 expected = from;

	return __atomic_compare_exchange_n(word, &expected, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

static void add64(__u64 *word, uint64_t n)
{
	__atomic_fetch_add(word, n, __ATOMIC_RELAXED);
}

/* ---- arithmetic ---- */

uint32_t eject_next_count(uint32_t count, uint64_t well_ns, uint32_t base_ms)
{
	uint64_t forgotten = base_ms ? well_ns / (base_ms * 1000000ull) : 0;

	count -= forgotten < count ? (uint32_t)forgotten : count;
	return count < UINT32_MAX ? count + 1 : count;
}

uint64_t eject_duration_ns(uint32_t count, uint32_t base_ms, uint32_t max_ms)
{
	uint64_t ms = (uint64_t)base_ms * count;

	return (ms < max_ms ? ms : max_ms) * 1000000ull;
}

uint32_t eject_allowed(uint32_t n, uint32_t percent)
{
	uint32_t allowed = (uint32_t)((uint64_t)n * percent / 100);

	return n < 2 ? 0 : allowed ? allowed : 1;
}

/* ---- who is out ---- */

/* A trial whose call never ends does not keep the backend out: after so long another may try, or where
 * it was answered (a stream that goes on) the backend is well. */
static uint64_t trial_limit_ns(const struct config_outlier *outlier)
{
	return outlier->base_ejection_ms * 1000000ull;
}

static bool trial_is_free(const struct sluice_backend *row, const struct config_outlier *outlier,
			  uint64_t until_ns, uint64_t now_ns)
{
	uint64_t trial_ns = state_load64(&row->eject_trial_ns);

	return trial_ns < until_ns ||
	       (now_ns > trial_ns && now_ns - trial_ns > trial_limit_ns(outlier));
}

bool eject_may_pick(const struct sluice_backend *row, const struct config_outlier *outlier,
		    uint64_t now_ns)
{
	uint64_t until_ns = state_load64(&row->ejected_until_ns);

	if (!until_ns)
		return true;
	if (until_ns > now_ns)
		return false;
	return !outlier->enabled || state_load32(&row->eject_state) == SLUICE_EJECT_NONE ||
	       trial_is_free(row, outlier, until_ns, now_ns);
}

bool eject_trial_is_due(const struct sluice_backend *row, const struct config_outlier *outlier,
			uint64_t now_ns)
{
	uint64_t until_ns = state_load64(&row->ejected_until_ns);

	return until_ns && until_ns <= now_ns && outlier->enabled &&
	       state_load32(&row->eject_state) != SLUICE_EJECT_NONE;
}

bool eject_trial_begin(struct sluice_backend *row, const struct config_outlier *outlier,
		       uint64_t now_ns)
{
	uint64_t trial_ns = state_load64(&row->eject_trial_ns);

	if (!trial_is_free(row, outlier, state_load64(&row->ejected_until_ns), now_ns) ||
	    !swap64(&row->eject_trial_ns, trial_ns, now_ns))
		return false;
	state_store64(&row->eject_answered_ns, 0);
	state_store32(&row->eject_state, SLUICE_EJECT_TRIAL);
	return true;
}

void eject_trial_answered(struct sluice_backend *row, uint64_t trial_ns, uint64_t now_ns)
{
	if (state_load64(&row->eject_trial_ns) == trial_ns)
		state_store64(&row->eject_answered_ns, now_ns);
}

bool eject_trial_goes_well(const struct sluice_backend *row, const struct config_outlier *outlier,
			   uint64_t now_ns)
{
	uint64_t answered_ns = state_load64(&row->eject_answered_ns);

	return state_load32(&row->eject_state) == SLUICE_EJECT_TRIAL && answered_ns &&
	       now_ns > answered_ns && now_ns - answered_ns > trial_limit_ns(outlier);
}

/* ---- in and out ---- */

static bool is_out(const struct sluice_backend *row, uint64_t now_ns)
{
	uint64_t until_ns = state_load64(&row->ejected_until_ns);

	return until_ns &&
	       (until_ns > now_ns || state_load32(&row->eject_state) != SLUICE_EJECT_NONE);
}

/* Whether too many are out now, or no backend is left. Those that are down count among the backends,
 * but not as ejected: their checks keep them out. */
static bool is_too_much(const struct state *state, const struct config_group *group,
			uint64_t now_ns)
{
	uint32_t n = 0, out = 0, live = 0;

	for (size_t i = 0; i < group->n_endpoints; i++) {
		const struct config_endpoint *endpoint = &group->endpoints[i];
		const struct sluice_backend *row = &state->backends[endpoint->id];

		if (!endpoint->weight || endpoint->drained)
			continue;
		n++;
		if (state_load32(&row->health) == SLUICE_HEALTH_DOWN)
			continue;
		if (is_out(row, now_ns))
			out++;
		else
			live++;
	}
	return !live || out > eject_allowed(n, group->outlier.max_ejected_percent);
}

static void count_ejection(struct state *state, const struct config_group *group,
			   struct sluice_backend *row)
{
	add64(&row->ejections, 1);
	add64(&state->groups[group->id].ejections, 1);
	state_group_changed(state, group->id);
}

uint64_t eject_backend(struct state *state, const struct config_group *group, uint32_t backend,
		       enum sluice_eject_reason reason, uint32_t detail, uint64_t now_ns)
{
	const struct config_outlier *outlier = &group->outlier;
	struct sluice_backend *row = &state->backends[backend];
	uint64_t before_ns = state_load64(&row->ejected_until_ns);
	uint64_t trial_ns = state_load64(&row->eject_trial_ns), duration_ns;
	uint32_t count;

	if (state_load32(&row->health) == SLUICE_HEALTH_DOWN || is_out(row, now_ns))
		return 0;
	count = eject_next_count(state_load32(&row->eject_count),
				 trial_ns && now_ns > trial_ns ? now_ns - trial_ns : 0,
				 outlier->base_ejection_ms);
	duration_ns = eject_duration_ns(count, outlier->base_ejection_ms,
					outlier->max_ejection_ms);
	if (!swap64(&row->ejected_until_ns, before_ns, now_ns + duration_ns))
		return 0;
	/* Only now, with its own mark set: of two at once at least one sees the other. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (is_too_much(state, group, now_ns)) {
		swap64(&row->ejected_until_ns, now_ns + duration_ns, 0);
		return 0;
	}
	state_store32(&row->eject_count, count);
	state_store32(&row->eject_reason, reason);
	state_store32(&row->eject_detail, detail);
	state_store32(&row->consecutive_failures, 0);
	state_store32(&row->eject_state, SLUICE_EJECT_EJECTED);
	count_ejection(state, group, row);
	return duration_ns;
}

static uint64_t eject_again(struct state *state, const struct config_group *group,
			    struct sluice_backend *row, uint64_t now_ns)
{
	const struct config_outlier *outlier = &group->outlier;
	uint32_t count = eject_next_count(state_load32(&row->eject_count), 0, 0);
	uint64_t duration_ns = eject_duration_ns(count, outlier->base_ejection_ms,
						 outlier->max_ejection_ms);

	state_store32(&row->eject_count, count);
	state_store64(&row->ejected_until_ns, now_ns + duration_ns);
	state_store32(&row->eject_state, SLUICE_EJECT_EJECTED);
	count_ejection(state, group, row);
	return duration_ns;
}

uint64_t eject_trial_end(struct state *state, const struct config_group *group, uint32_t backend,
			 uint64_t trial_ns, enum eject_trial how, uint64_t now_ns)
{
	struct sluice_backend *row = &state->backends[backend];

	if (state_load64(&row->eject_trial_ns) != trial_ns ||
	    state_load32(&row->eject_state) != SLUICE_EJECT_TRIAL)
		return 0;
	switch (how) {
	case EJECT_TRIAL_GOOD:
		eject_lift(state, backend, now_ns);
		return 0;
	case EJECT_TRIAL_BAD:
		return eject_again(state, group, row, now_ns);
	default:
		state_store32(&row->eject_state, SLUICE_EJECT_EJECTED);
		swap64(&row->eject_trial_ns, trial_ns, 0);
		return 0;
	}
}

void eject_lift(struct state *state, uint32_t backend, uint64_t now_ns)
{
	struct sluice_backend *row = &state->backends[backend];

	if (!state_load64(&row->ejected_until_ns))
		return;
	state_store32(&row->consecutive_failures, 0);
	/* From here on it is well: the count of ejections falls, and slow start begins. */
	state_store64(&row->eject_trial_ns, now_ns);
	state_store32(&row->eject_state, SLUICE_EJECT_NONE);
	state_store64(&row->ejected_until_ns, 0);
	state_group_changed(state, row->group);
}

/* ---- words ---- */

const char *eject_reason_text(uint32_t reason, uint32_t detail, char *buf, size_t size)
{
	switch (reason) {
	case SLUICE_EJECT_CONSECUTIVE:
		snprintf(buf, size, "%u failures in a row", detail);
		break;
	case SLUICE_EJECT_SUCCESS_RATE:
		snprintf(buf, size, "success rate %u.%02u %%", detail / 100, detail % 100);
		break;
	case SLUICE_EJECT_LATENCY:
		snprintf(buf, size, "mean latency %u.%03u ms", detail / 1000, detail % 1000);
		break;
	default:
		buf[0] = '\0';
	}
	return buf;
}
