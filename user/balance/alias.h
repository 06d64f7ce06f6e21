/* SPDX-License-Identifier: MIT */
/*
 * alias.h - draws by weight in constant time (Vose's alias table), and only where those keep hitting
 * what cannot be used from one scan with the very same chances. What random and least_request share.
 * Pure: no clock, no I/O, no allocation after alias_new; all randomness grows from the word passed in.
 */
#ifndef SLUICE_BALANCE_ALIAS_H
#define SLUICE_BALANCE_ALIAS_H

#include "balance/wrr.h"

struct alias;

/* weights: n entries, 0 is never drawn. NULL: no memory. */
struct alias *alias_new(const uint32_t *weights, uint32_t n);
void alias_free(struct alias *alias);
uint32_t alias_weight(const struct alias *alias, uint32_t index);
/* A usable entry by weight, but not `other` (-1: any), or -1. *random moves on. */
int alias_draw(const struct alias *alias, balance_usable usable, void *ctx, int other,
	       uint64_t *random);

#endif
