/* SPDX-License-Identifier: MIT */
/*
 * totals.c - see totals.h. Owned by the supervisor; reads the workers map, writes nothing in it.
 */
#include <stddef.h>
#include <string.h>

#include "control/totals.h"

/* The totals of a worker are all of its 64-bit words from the first one on. */
#define TOTALS_AT offsetof(struct sluice_worker, accepted)
#define TOTALS	  ((offsetof(struct sluice_worker, reserved) - TOTALS_AT) / sizeof(__u64))

static void add(struct sluice_worker *sum, const struct sluice_worker *worker)
{
	__u64 *to = (__u64 *)((char *)sum + TOTALS_AT);
	const __u64 *from = (const __u64 *)((const char *)worker + TOTALS_AT);

	for (size_t i = 0; i < TOTALS; i++)
		to[i] += state_load64(&from[i]);
}

void totals_retire(struct totals *totals, const struct sluice_worker *worker)
{
	add(&totals->retired, worker);
	totals->retired.buffered_bytes = 0; /* went with it */
}

void totals_read(const struct totals *totals, const struct state *state, uint32_t slots,
		 struct totals_now *now)
{
	*now = (struct totals_now){ .counts = totals->retired };
	for (uint32_t slot = 0; slot < slots; slot++) {
		const struct sluice_worker *worker = &state->workers[slot];
		uint32_t is = state_load32(&worker->state);

		add(&now->counts, worker);
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
		totals->calls_per_second = (double)(now.counts.calls - totals->sampled_calls) * 1e9 /
					   (double)(now_ns - totals->sampled_ns);
	totals->sampled_ns = now_ns;
	totals->sampled_calls = now.counts.calls;
}
