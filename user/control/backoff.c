/* SPDX-License-Identifier: MIT */
/*
 * backoff.c - see backoff.h. Called by children.c when a child is reaped.
 */
#include "control/backoff.h"

uint32_t backoff_next_ms(struct backoff *backoff, uint64_t lived_ms)
{
	if (lived_ms >= BACKOFF_HEALTHY_MS) {
		backoff->quick_deaths = 0;
		return 0;
	}
	unsigned n = backoff->quick_deaths++;

	/* One early death is an accident; only a row of them is a reason to wait. */
	if (n == 0)
		return 0;
	uint32_t delay = n > 16 ? BACKOFF_MAX_MS : BACKOFF_FIRST_MS << (n - 1);

	return delay < BACKOFF_MAX_MS ? delay : BACKOFF_MAX_MS;
}
