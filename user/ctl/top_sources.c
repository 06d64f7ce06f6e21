/* SPDX-License-Identifier: MIT */
/*
 * top_sources.c - see top_sources.h. Called by top_model.c.
 */
#include "ctl/top_sources.h"

#include <stdio.h>
#include <string.h>

#include "ctl/listen.h"

#define WAYS	  8  /* slots that an entry may be in */
#define IDLE_TURNS 30 /* then it is forgotten */

uint64_t top_sources_mask(void)
{
	/* Those of sources under a penalty are counted exactly, by `penalties`. */
	return listen_mask_drops() &
	       ~(1ull << VERDICT_DROP_PENALTY | 1ull << VERDICT_DROP_PENALTY_ALL);
}

static uint32_t hash(const char *address, unsigned reason)
{
	uint32_t h = 2166136261u ^ reason; /* FNV-1a */

	for (; *address; address++)
		h = (h ^ (unsigned char)*address) * 16777619u;
	return h ^ h >> 15;
}

void top_sources_add(struct top_sources *sources, const char *address, unsigned reason)
{
	uint32_t at = hash(address, reason);
	struct top_source *least = NULL;

	if (reason >= VERDICT_MAX || strlen(address) >= sizeof(least->address))
		return;
	sources->seen[reason]++;
	for (uint32_t i = 0; i < WAYS; i++) {
		struct top_source *slot = &sources->slots[(at + i) % TOP_SOURCES];

		if (slot->address[0] && slot->reason == reason && !strcmp(slot->address, address)) {
			slot->now++;
			slot->total++;
			return;
		}
		if (!least || slot->total < least->total)
			least = slot;
	}
	/* Who sent least makes room. A free slot has a total of 0. */
	*least = (struct top_source){ .reason = (uint8_t)reason, .now = 1, .total = 1 };
	strcpy(least->address, address);
}

void top_sources_turn(struct top_sources *sources, const double rates[VERDICT_MAX], double seconds)
{
	for (size_t i = 0; i < TOP_SOURCES; i++) {
		struct top_source *slot = &sources->slots[i];

		if (!slot->address[0])
			continue;
		slot->per_second = 0;
		if (slot->now) {
			double share = (double)slot->now / (double)sources->seen[slot->reason];

			slot->per_second = share * rates[slot->reason];
			if (slot->per_second <= 0) /* counted a moment before the events came */
				slot->per_second = slot->now / seconds;
		}
		slot->idle = slot->now ? 0 : slot->idle + 1;
		slot->now = 0;
		if (slot->idle > IDLE_TURNS)
			*slot = (struct top_source){ 0 };
	}
	memset(sources->seen, 0, sizeof(sources->seen));
}

void top_sources_rows(const struct top_sources *sources, json_t *rows)
{
	for (size_t i = 0; i < TOP_SOURCES; i++) {
		const struct top_source *slot = &sources->slots[i];

		if (slot->address[0])
			json_array_append_new(rows,
					      json_pack("{s:s, s:s, s:f, s:I}", "source",
							slot->address, "why",
							listen_reasons[slot->reason], "per_second",
							slot->per_second, "total",
							(json_int_t)slot->total));
	}
}
