/* SPDX-License-Identifier: MIT */
/*
 * tier.c - see tier.h. Called by the proxy's pick once a change of the group (not once a call), and
 * by the supervisor where it shows groups.
 */
#include "balance/tier.h"

static uint64_t load64(const __u64 *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

bool tier_is_live(const struct sluice_backend *row, uint64_t now_ns)
{
	uint64_t until_ns = load64(&row->ejected_until_ns);

	if (__atomic_load_n(&row->health, __ATOMIC_RELAXED) == SLUICE_HEALTH_DOWN)
		return false;
	/* Past its time it is still out until a trial call has succeeded. */
	return !until_ns || (until_ns <= now_ns &&
			     __atomic_load_n(&row->eject_state, __ATOMIC_RELAXED) == SLUICE_EJECT_NONE);
}

void tier_add(struct tier_weights *weights, const struct sluice_backend *row, uint32_t weight,
	      bool backup, bool drained, uint64_t now_ns)
{
	uint64_t live = tier_is_live(row, now_ns) ? weight : 0;

	if (drained)
		return;
	if (backup) {
		weights->backup += weight;
		weights->backup_live += live;
	} else {
		weights->first += weight;
		weights->first_live += live;
	}
}

/* Less than percent of whole. */
static bool is_below(uint64_t live, uint64_t whole, uint32_t percent)
{
	return live * 100 < whole * percent;
}

struct tier_verdict tier_judge(const struct tier_weights *weights, uint32_t backup_below_percent,
			       uint32_t panic_percent, bool fails_open)
{
	bool first_short = !weights->first_live ||
			   is_below(weights->first_live, weights->first, panic_percent);
	bool backup_short = !weights->backup_live ||
			    is_below(weights->backup_live, weights->backup, panic_percent);
	bool none_live = !weights->first_live && !weights->backup_live;

	return (struct tier_verdict){
		.backups = first_short || is_below(weights->first_live, weights->first,
						   backup_below_percent),
		.panic = first_short && backup_short && weights->first + weights->backup &&
			 (!none_live || fails_open),
	};
}
