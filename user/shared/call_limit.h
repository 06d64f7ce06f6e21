/* SPDX-License-Identifier: MIT */
/*
 * call_limit.h - limits of calls a second that all workers of a node keep together: GCRA (ITU-T
 * I.371) by key, in the call_limits map. Wait-free but for a bounded retry of its compare-and-swap;
 * memory is fixed: a set that is full gives up the key that was silent longest, which has the most
 * of its burst back anyway.
 */
#ifndef SLUICE_SHARED_CALL_LIMIT_H
#define SLUICE_SHARED_CALL_LIMIT_H

#include <stdint.h>

#include "config/config.h"
#include "shared/state.h"

/* Takes one call out of key's limit. 0: within it; else the ns until one is allowed again, and
 * nothing is taken. key: a keyed hash (SipHash) of route and key. */
uint64_t call_limit_take(struct state *state, uint64_t key, const struct config_rate *rate,
			 uint64_t now_ns);

#endif
