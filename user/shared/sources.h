/* SPDX-License-Identifier: MIT */
/*
 * sources.h - what the workers know together of each source that has connected: how many connections
 * it has open, exactly, and the evidence against and for it, from which penalties come. The rows lie
 * in source_states (abi.h). Workers and the supervisor write them here and nowhere else; XDP reads.
 *
 * A row is a number; it stays the source's own as long as the caller has a connection open in it.
 * Changes take the set's lock, a word with the holder's slot: what a killed worker held is set right
 * and released by sources_forget_slot. Nobody waits long for it, and who gets none does without.
 */
#ifndef SLUICE_SHARED_SOURCES_H
#define SLUICE_SHARED_SOURCES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "config/config.h"
#include "shared/state.h"
#include "sluice/source.h"

#define SOURCES_MAX	  (SLUICE_SOURCE_SETS * SLUICE_SOURCE_WAYS)
#define SOURCE_NONE	  UINT32_MAX		 /* no row: the set had no room */
#define SOURCE_SUPERVISOR SLUICE_MAX_WORKERS /* its slot, for these functions only */

/* One point, as rows count them. */
#define SOURCE_POINT 1000u
/* One piece of evidence, as source_accuse counts them. */
#define SOURCE_PIECE 1000u
/* Good calls count up to so many times the threshold: more would let a source buy any attack. */
#define SOURCE_GOOD_MAX 100u

/* What source an address belongs to, by the prefixes in switches. */
void source_of_addr(const struct state *state, const struct addr *addr, uint32_t source[4]);
void source_prefix(const struct state *state, const uint32_t source[4], struct prefix *prefix);
/* "203.0.113.7", or "2001:db8::/64" where it is more than an address. */
const char *source_format(const struct state *state, const uint32_t source[4], char *text,
			  size_t size);

enum source_open {
	SOURCE_OPEN_COUNTED,   /* *ret_row has one connection more; source_close takes it back */
	SOURCE_OPEN_UNTRACKED, /* no row for it: let in uncounted; *ret_row is SOURCE_NONE */
	SOURCE_OPEN_FULL,      /* has max connections already; nothing counted */
	SOURCE_OPEN_PENALIZED, /* nothing counted */
};
/* A connection of this source by the worker of slot. max: how many it may have; 0: any number. */
enum source_open source_open(struct state *state, uint32_t slot, const uint32_t source[4],
			     uint32_t max, uint64_t now_ns, uint32_t *ret_row);
void source_close(struct state *state, uint32_t slot, uint32_t row);

/* NULL for SOURCE_NONE. */
const struct sluice_source_state *source_at(const struct state *state, uint32_t row);
/* SOURCE_NONE: not known. Takes no lock: the row may be another's by the time it is looked at. */
uint32_t source_find(const struct state *state, const uint32_t source[4]);
static inline bool source_is_penalized(const struct sluice_source_state *row, uint64_t now_ns)
{
	return state_load64(&row->penalized_until_ns) > now_ns;
}

/* Counts calls that ended well. The caller has a connection in row. */
void source_praise(struct state *state, uint32_t slot, uint32_t row,
		   const struct config_penalties *config, uint32_t calls, uint64_t now_ns);
/*
 * Counts evidence, in thousandths of a piece. True where it brings a penalty: then the row says which,
 * and the epoch is raised; the caller tells the supervisor. The caller has a connection in row.
 */
bool source_accuse(struct state *state, uint32_t slot, uint32_t row,
		   const struct config_penalties *config, enum sluice_evidence what,
		   uint64_t thousandths, uint64_t now_ns);

/* What is held against a source now, and for it, in whole points. */
void source_weigh(const struct sluice_source_state *source, const struct config_penalties *config,
		  uint64_t now_ns, uint32_t *ret_points, uint32_t *ret_good);

/* For the supervisor. Puts a penalty into the source's row, made if need be, and raises the epoch. Its
 * evidence is used up. -ENOSPC: no room for the row. */
int source_penalize(struct state *state, const uint32_t source[4], uint64_t until_ns,
		    enum sluice_penalty_level level, enum sluice_evidence reason, uint64_t now_ns);
/* Takes penalty, evidence and history back. 0, also where there is none; -EAGAIN: try again. */
int source_pardon(struct state *state, const uint32_t source[4]);

/* Whether any address of the source may never get a penalty. */
bool source_is_exempt(const struct state *state, const struct config_penalties *config,
		      const uint32_t source[4]);

/* After the worker of slot died: its connections are closed, its lock is no more. */
void sources_forget_slot(struct state *state, uint32_t slot);
/* Rows in use now. Reads the whole table. */
uint32_t sources_used(const struct state *state);

const char *source_evidence_name(enum sluice_evidence what); /* "abuse" */
const char *source_level_name(uint32_t level);		     /* "connections", "packets" */

#endif
