/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * limit.h - GCRA (ITU-T I.371), the virtual scheduling form: a rate limit in one 64-bit time,
 * shared by all CPUs through a compare-and-swap. Pure: the clock is passed in and no helper is
 * called, so the tests compile it too.
 */
#ifndef SLUICE_BPF_LIMIT_H
#define SLUICE_BPF_LIMIT_H

#include <linux/types.h>
#include <stdbool.h>

/* A CPU that loses this many races refuses: the limit is never exceeded. */
#define LIMIT_TRIES 8

/* No time that these limits wrote lies further ahead than tolerance + interval, plus what the
 * clocks of two CPUs may be apart. One that does was written under an older, slower limit. */
#define LIMIT_CLOCK_SLACK_NS 1000000000ull

/*
 * Takes one event at now_ns, if the limit allows it: one each interval_ns, and
 * tolerance_ns / interval_ns + 1 at once. *tat_ns is the theoretical arrival time: when the next
 * event would be on schedule; 0 at first.
 */
static inline __attribute__((always_inline)) bool limit_take(__u64 *tat_ns, __u64 now_ns,
							     __u64 interval_ns, __u64 tolerance_ns)
{
	__u64 latest_ns = now_ns + tolerance_ns;

	for (int i = 0; i < LIMIT_TRIES; i++) {
		__u64 old_ns = *(volatile __u64 *)tat_ns;
		__u64 tat = old_ns;

		if (tat < now_ns || tat > latest_ns + interval_ns + LIMIT_CLOCK_SLACK_NS)
			tat = now_ns;
		if (tat > latest_ns)
			return false;
		if (__sync_val_compare_and_swap(tat_ns, old_ns, tat + interval_ns) == old_ns)
			return true;
	}
	return false;
}

#endif
