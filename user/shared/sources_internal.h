/* SPDX-License-Identifier: MIT */
/*
 * sources_internal.h - what sources.c (the table) and penalty_points.c (what evidence comes to) share.
 * For nobody else.
 */
#ifndef SLUICE_SHARED_SOURCES_INTERNAL_H
#define SLUICE_SHARED_SOURCES_INTERNAL_H

#include "shared/sources.h"

/* False after a bounded wait: then nothing may be changed but by atomics. */
bool sources_lock(struct sluice_source_set *set, uint32_t slot);
void sources_unlock(struct sluice_source_set *set);
/* NULL for SOURCE_NONE. */
struct sluice_source_state *sources_row(struct state *state, uint32_t row);
/* The source's row, made if need be, with its set locked; SOURCE_NONE: no room, and not locked. */
uint32_t sources_claim(struct state *state, uint32_t slot, const uint32_t source[4],
		       uint64_t now_ns);

#endif
