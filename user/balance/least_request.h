/* SPDX-License-Identifier: MIT */
/*
 * least_request.h - power of two choices by weight: two distinct usable entries are drawn with
 * chances in proportion to their weights, and the one with fewer active calls for its weight wins.
 * Pure: randomness and the active counts are passed in.
 */
#ifndef SLUICE_BALANCE_LEAST_REQUEST_H
#define SLUICE_BALANCE_LEAST_REQUEST_H

#include "balance/wrr.h"

struct least_request;

struct least_request *least_request_new(const uint32_t *weights, uint32_t n);
void least_request_free(struct least_request *lr);
/* active(ctx, index): calls under way there now. random: 64 uniform bits, one fresh word a call.
 * The index picked, or -1. */
int least_request_pick(const struct least_request *lr, balance_usable usable,
		       uint32_t (*active)(void *ctx, uint32_t index), void *ctx, uint64_t random);

#endif
