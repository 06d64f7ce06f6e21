/* SPDX-License-Identifier: MIT */
/*
 * totals.c - see totals.h. Owned by the supervisor; reads the workers map, writes nothing in it.
 */
#include <string.h>

#include "control/totals.h"

void totals_retire(struct totals *totals, const struct sluice_worker *worker)
{
	totals->retired_accepted += state_load64(&worker->accepted);
	totals->retired_calls += state_load64(&worker->calls);
	totals->retired_failed += state_load64(&worker->calls_failed);
}

void totals_read(const struct totals *totals, const struct state *state, uint32_t slots,
		 struct totals_now *now)
{
	*now = (struct totals_now){
		.accepted = totals->retired_accepted,
		.calls = totals->retired_calls,
		.calls_failed = totals->retired_failed,
	};
	for (uint32_t slot = 0; slot < slots; slot++) {
		const struct sluice_worker *worker = &state->workers[slot];
		uint32_t is = state_load32(&worker->state);

		now->accepted += state_load64(&worker->accepted);
		now->calls += state_load64(&worker->calls);
		now->calls_failed += state_load64(&worker->calls_failed);
		if (is == SLUICE_WORKER_DEAD || is == SLUICE_WORKER_FREE)
			continue; /* what a dead worker had open is closed */
		now->connections += state_load32(&worker->connections);
		now->active_rpcs += state_load32(&worker->active_rpcs);
	}
}

void totals_sample(struct totals *totals, const struct state *state, uint32_t slots,
		   uint64_t now_ns)
{
	struct totals_now now;

	totals_read(totals, state, slots, &now);
	if (totals->sampled_ns && now_ns > totals->sampled_ns)
		totals->calls_per_second = (double)(now.calls - totals->sampled_calls) * 1e9 /
					   (double)(now_ns - totals->sampled_ns);
	totals->sampled_ns = now_ns;
	totals->sampled_calls = now.calls;
}
