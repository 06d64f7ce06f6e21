/* SPDX-License-Identifier: MIT */
/*
 * backoff.h - how long to wait before a child that died is started again. Pure: the clock is
 * passed in. A child that lived long enough is replaced at once; one that keeps dying waits
 * twice as long each time, up to a limit.
 */
#ifndef SLUICE_CONTROL_BACKOFF_H
#define SLUICE_CONTROL_BACKOFF_H

#include <stdint.h>

#define BACKOFF_FIRST_MS   100u
#define BACKOFF_MAX_MS	   10000u
#define BACKOFF_HEALTHY_MS 10000u /* a life this long forgets earlier deaths */

struct backoff {
	unsigned quick_deaths; /* in a row */
};

/* After a life of lived_ms: the delay before the next start, in ms. */
uint32_t backoff_next_ms(struct backoff *backoff, uint64_t lived_ms);

#endif
