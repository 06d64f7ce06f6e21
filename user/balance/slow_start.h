/* SPDX-License-Identifier: MIT */
/*
 * slow_start.h - how much of its weight a backend has that became healthy a moment ago: it grows in
 * step with time from a tenth to the whole. A pick applies it by accepting the backend with that
 * chance, so every algorithm honours it. Pure.
 */
#ifndef SLUICE_BALANCE_SLOW_START_H
#define SLUICE_BALANCE_SLOW_START_H

#include <stdbool.h>
#include <stdint.h>

#define SLOW_START_WHOLE 65536u /* the share 1 */

/* since_ns: when it became healthy. 1/10 of SLOW_START_WHOLE up to the whole. */
uint32_t slow_start_share(uint64_t since_ns, uint64_t now_ns, uint64_t window_ns);
/* random: at least 16 uniform low bits. */
static inline bool slow_start_accepts(uint32_t share, uint64_t random)
{
	return (random & (SLOW_START_WHOLE - 1)) < share;
}

#endif
