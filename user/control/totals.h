/* SPDX-License-Identifier: MIT */
/*
 * totals.h - counts over all workers: what is in the workers map now, plus what workers that
 * died had counted, and the rate of calls over the last second.
 */
#ifndef SLUICE_CONTROL_TOTALS_H
#define SLUICE_CONTROL_TOTALS_H

#include <stdint.h>

#include "shared/state.h"

struct totals {
	struct sluice_worker retired; /* the totals of slots that were filled anew since */
	/* the last two samples */
	uint64_t sampled_ns, sampled_calls;
	double calls_per_second;
};

struct totals_now {
	struct sluice_worker counts; /* its totals, summed */
	uint32_t connections, active_rpcs;
};

/* Before a slot's row is cleared. */
void totals_retire(struct totals *totals, const struct sluice_worker *worker);
void totals_read(const struct totals *totals, const struct state *state, uint32_t slots,
		 struct totals_now *now);
/* Once a second. */
void totals_sample(struct totals *totals, const struct state *state, uint32_t slots,
		   uint64_t now_ns);

#endif
