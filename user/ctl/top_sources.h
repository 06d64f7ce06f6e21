/* SPDX-License-Identifier: MIT */
/*
 * top_sources.h - which sources the gate drops most of, from sampled events: a table of fixed size, so
 * that a flood from anywhere costs no more than that. A source's rate is its share of the sample times
 * what the gate really counted under that verdict.
 */
#ifndef SLUICE_CTL_TOP_SOURCES_H
#define SLUICE_CTL_TOP_SOURCES_H

#include <jansson.h>
#include <stdint.h>

#include "sluice/verdicts.h"

#define TOP_SOURCES 4096

struct top_source {
	char address[46]; /* "": free */
	uint8_t reason;
	uint32_t now;	/* events since the last turn */
	uint64_t total; /* events in all */
	uint32_t idle;	/* turns without one */
	double per_second;
};

struct top_sources {
	struct top_source slots[TOP_SOURCES];
	uint64_t seen[VERDICT_MAX]; /* since the last turn */
};

/* The verdicts that say something of a source, and that nobody else names. */
uint64_t top_sources_mask(void);
void top_sources_add(struct top_sources *sources, const char *address, unsigned reason);
/* Ends a turn of so many seconds. rates: packets a second by verdict, as the gate counted them. */
void top_sources_turn(struct top_sources *sources, const double rates[VERDICT_MAX], double seconds);
/* Appends a row for each: source, why, per_second, total. */
void top_sources_rows(const struct top_sources *sources, json_t *rows);

#endif
