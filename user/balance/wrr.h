/* SPDX-License-Identifier: MIT */
/*
 * wrr.h - smooth weighted round robin: over any run of sum(weights) picks with all entries usable,
 * each entry is picked exactly weight times, and spread out (A B A C A, not A A A B C). Pure: no
 * clock, no I/O; one instance a worker and group.
 */
#ifndef SLUICE_BALANCE_WRR_H
#define SLUICE_BALANCE_WRR_H

#include <stdbool.h>
#include <stdint.h>

struct wrr;

/* May entry index be picked now? */
typedef bool (*balance_usable)(void *ctx, uint32_t index);

#define BALANCE_WEIGHT_MAX UINT16_MAX /* as wide as the maps' */

/* weights: n entries, 0 is never picked. offset staggers workers: the state starts as if offset
 * picks had been made. NULL: no memory. */
struct wrr *wrr_new(const uint32_t *weights, uint32_t n, uint32_t offset);
void wrr_free(struct wrr *wrr);
/* The index picked, or -1 where none is usable. Entries that are not usable keep no claim: when
 * they come back they get their share from then on, not what they missed. */
int wrr_pick(struct wrr *wrr, balance_usable usable, void *ctx);

#endif
