/* SPDX-License-Identifier: MIT */
/*
 * least_request.c - power of two choices by weight, in constant time, on draws from an alias table.
 * The proxy's groups call it. Pure: no clock, no I/O, no allocation after least_request_new, and all
 * randomness grows from the word passed in.
 */
#include "balance/least_request.h"

#include <stdlib.h>

#include "balance/alias.h"

struct least_request {
	struct alias *alias;
};

struct least_request *least_request_new(const uint32_t *weights, uint32_t n)
{
	struct least_request *lr = calloc(1, sizeof(*lr));

	if (!lr)
		return NULL;
	lr->alias = alias_new(weights, n);
	if (lr->alias)
		return lr;
	free(lr);
	return NULL;
}

void least_request_free(struct least_request *lr)
{
	if (!lr)
		return;
	alias_free(lr->alias);
	free(lr);
}

int least_request_pick(const struct least_request *lr, balance_usable usable,
		       uint32_t (*active)(void *ctx, uint32_t index), void *ctx, uint64_t random)
{
	uint64_t load_first, load_second;
	int first, second;

	first = alias_draw(lr->alias, usable, ctx, -1, &random);
	if (first < 0)
		return -1;
	second = alias_draw(lr->alias, usable, ctx, first, &random);
	if (second < 0)
		return first;
	/* active / weight, without dividing. Equal: the first, which came by weight. */
	load_first = (uint64_t)active(ctx, (uint32_t)first) *
		     alias_weight(lr->alias, (uint32_t)second);
	load_second = (uint64_t)active(ctx, (uint32_t)second) *
		      alias_weight(lr->alias, (uint32_t)first);
	return load_second < load_first ? second : first;
}
