/* SPDX-License-Identifier: MIT */
/*
 * random.c - see random.h: one draw from the alias table that least_request draws twice from. The
 * proxy's groups call it.
 */
#include "balance/random.h"

int random_pick(const struct alias *alias, balance_usable usable, void *ctx, uint64_t random)
{
	return alias_draw(alias, usable, ctx, -1, &random);
}
