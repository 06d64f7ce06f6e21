/* SPDX-License-Identifier: MIT */
/*
 * slow_start.c - see slow_start.h. Called by the proxy's pick for backends of groups with a
 * slow_start that have been healthy for less than it.
 */
#include "balance/slow_start.h"

/* With less, a backend of little weight would see no call, and warm up to nothing. */
#define FLOOR (SLOW_START_WHOLE / 10)

uint32_t slow_start_share(uint64_t since_ns, uint64_t now_ns, uint64_t window_ns)
{
	/* Another process's clock was read later than ours: it has just begun. */
	uint64_t passed_ns = now_ns > since_ns ? now_ns - since_ns : 0;
	uint32_t share;

	if (passed_ns >= window_ns)
		return SLOW_START_WHOLE;
	share = (uint32_t)((double)passed_ns / (double)window_ns * SLOW_START_WHOLE);
	return share < FLOOR ? FLOOR : share;
}
