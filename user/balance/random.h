/* SPDX-License-Identifier: MIT */
/*
 * random.h - any usable entry, with chances in proportion to the weights: nothing to keep, so
 * workers cannot fall into step with each other. Pure: randomness is passed in.
 */
#ifndef SLUICE_BALANCE_RANDOM_H
#define SLUICE_BALANCE_RANDOM_H

#include "balance/alias.h"

/* random: 64 uniform bits, one fresh word a call. The index picked, or -1. */
int random_pick(const struct alias *alias, balance_usable usable, void *ctx, uint64_t random);

#endif
