/* SPDX-License-Identifier: MIT */
/*
 * tier.h - which of a group's backends serve: the first tier alone, the backups beside it, or in a
 * panic all of them whatever their health. Judged from live and whole weights; the proxy's picks
 * and sluicectl's displays ask the same function. Pure.
 */
#ifndef SLUICE_BALANCE_TIER_H
#define SLUICE_BALANCE_TIER_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/abi.h"

/* Sums of weights over the backends that are not drained. */
struct tier_weights {
	uint64_t first, first_live;
	uint64_t backup, backup_live;
};

struct tier_verdict {
	bool backups; /* backups serve beside what is left of the first tier */
	bool panic;   /* too few are live: health and ejections do not count */
};

/* Whether a backend's row says that it may get calls: not down, and not ejected. */
bool tier_is_live(const struct sluice_backend *row, uint64_t now_ns);
/* Adds one backend, weight and drained as its endpoint in the config has them. */
void tier_add(struct tier_weights *weights, const struct sluice_backend *row, uint32_t weight,
	      bool backup, bool drained, uint64_t now_ns);

/*
 * backup_below_percent: backups serve while less of the first tier's weight is live (0: none of it).
 * panic_percent: panic while in neither tier so much of the weight is live; before that, backups come
 * in where the first tier is below it. With nothing live it is a panic only where the group fails_open
 * (on_all_down: accept).
 */
struct tier_verdict tier_judge(const struct tier_weights *weights, uint32_t backup_below_percent,
			       uint32_t panic_percent, bool fails_open);

#endif
