/* SPDX-License-Identifier: MIT */
/*
 * call_limit.c - see call_limit.h. A key's limit is one word, the time at which all that was taken
 * would have been taken at the even pace (GCRA's theoretical arrival time), so taking is one
 * compare-and-swap. tag and time are two words: who takes over another key's way may for one call
 * be judged by the time that stood there, or lend its own, which is off by one call and no more.
 */
#include "shared/call_limit.h"

#include <stdbool.h>

/* A swap fails only where another worker's succeeded in between. */
#define TRIES_MAX 64
#define TOLERANCE_MAX_NS (UINT64_MAX / 4) /* a century and more */

/* The word of key's time, taken over from another key where key has none. */
static __u64 *find_time(struct sluice_limit_set *set, uint64_t key, uint64_t now_ns,
			uint64_t tolerance_ns)
{
	for (int tries = 0; tries < TRIES_MAX; tries++) {
		unsigned victim = 0;
		__u64 oldest = UINT64_MAX, tag;

		for (unsigned i = 0; i < SLUICE_LIMIT_WAYS; i++) {
			uint64_t tat_ns;

			tag = state_load64(&set->ways[i].tag);
			if (tag == key)
				return &set->ways[i].tat_ns;
			tat_ns = tag ? state_load64(&set->ways[i].tat_ns) : 0;
			if (tat_ns < oldest) {
				oldest = tat_ns;
				victim = i;
			}
		}
		tag = state_load64(&set->ways[victim].tag);
		if (tag == key || !__atomic_compare_exchange_n(&set->ways[victim].tag, &tag, key,
							       false, __ATOMIC_RELAXED,
							       __ATOMIC_RELAXED))
			continue;
		/* What the key before had taken is not this one's. But where all ways are in use
		 * there is no burst: who floods the set with keys must not get a fresh one for a
		 * key that is pushed out and comes back. */
		if (oldest > now_ns)
			__atomic_compare_exchange_n(&set->ways[victim].tat_ns, &oldest,
						    now_ns + tolerance_ns, false, __ATOMIC_RELAXED,
						    __ATOMIC_RELAXED);
		return &set->ways[victim].tat_ns;
	}
	return NULL;
}

/* How far ahead of now a time may be for a call to pass. */
static uint64_t tolerance_of(const struct config_rate *rate)
{
	uint64_t tolerance_ns;

	if (!rate->burst)
		return 0;
	if (__builtin_mul_overflow((uint64_t)rate->burst - 1, rate->interval_ns, &tolerance_ns) ||
	    tolerance_ns > TOLERANCE_MAX_NS)
		return TOLERANCE_MAX_NS;
	return tolerance_ns;
}

uint64_t call_limit_take(struct state *state, uint64_t key, const struct config_rate *rate,
			 uint64_t now_ns)
{
	uint64_t tolerance_ns = tolerance_of(rate);
	__u64 *time;

	if (!rate->interval_ns)
		return 0;
	if (!key)
		key = 1; /* 0 marks an empty way */
	time = find_time(&state->limits[key & (SLUICE_LIMIT_SETS - 1)], key, now_ns,
			 tolerance_ns);
	for (int tries = 0; time && tries < TRIES_MAX; tries++) {
		__u64 tat_ns = state_load64(time), from_ns = tat_ns;

		if (from_ns < now_ns)
			from_ns = now_ns;
		/* Only another rate, before a reload, can have led so far ahead: that debt is cut. */
		if (from_ns - now_ns > tolerance_ns + rate->interval_ns) {
			from_ns = now_ns + tolerance_ns + rate->interval_ns;
			if (!__atomic_compare_exchange_n(time, &tat_ns, from_ns, false,
							 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
				continue;
		}
		if (from_ns - now_ns > tolerance_ns)
			return from_ns - now_ns - tolerance_ns;
		if (__atomic_compare_exchange_n(time, &tat_ns, from_ns + rate->interval_ns, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return 0;
	}
	return 0;
}
