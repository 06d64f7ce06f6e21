/* SPDX-License-Identifier: MIT */
/*
 * eject.h - the ejection of backends that outlier detection found, in the backends map: all workers
 * and the monitor take part by atomics, nobody waits. Out with a time that grows; back by one trial
 * call once it is past; never more of a group at once than its share.
 *
 * ejected_until_ns is what counts: 0, in; ahead of now, out; past, one trial may begin, if none has
 * since. eject_state says the same for people.
 */
#ifndef SLUICE_SHARED_EJECT_H
#define SLUICE_SHARED_EJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "shared/state.h"

/* May a call go there? Where a trial is due that call is to claim it. */
bool eject_may_pick(const struct sluice_backend *row, const struct config_outlier *outlier,
		    uint64_t now_ns);
/* Whether the call that was just picked can only go there as the trial. */
bool eject_trial_is_due(const struct sluice_backend *row, const struct config_outlier *outlier,
			uint64_t now_ns);
/* Claims the trial, whose name is now_ns from here on. False: another call has it. */
bool eject_trial_begin(struct sluice_backend *row, const struct config_outlier *outlier,
		       uint64_t now_ns);

/* The trial's response has begun. */
void eject_trial_answered(struct sluice_backend *row, uint64_t trial_ns, uint64_t now_ns);
/* Whether the trial is a long stream: answered, and going on well. Then the backend is to be lifted. */
bool eject_trial_goes_well(const struct sluice_backend *row, const struct config_outlier *outlier,
			   uint64_t now_ns);

enum eject_trial {
	EJECT_TRIAL_GOOD,    /* in again */
	EJECT_TRIAL_BAD,     /* out again, for longer */
	EJECT_TRIAL_NOTHING, /* it came to nothing: the next call tries */
};
/* The end of the trial that began at trial_ns: for how long it is out again (BAD), 0 where it is not
 * or where the trial had been taken over. */
uint64_t eject_trial_end(struct state *state, const struct config_group *group, uint32_t backend,
			 uint64_t trial_ns, enum eject_trial how, uint64_t now_ns);

/* Ejects a backend of group (by its id): for how long in ns. 0: not done, since it is out or down
 * already, or the group's share is out, or no other is live. */
uint64_t eject_backend(struct state *state, const struct config_group *group, uint32_t backend,
		       enum sluice_eject_reason reason, uint32_t detail, uint64_t now_ns);
/* In again without a trial: its health check found it well after it was down, or the group has no
 * outlier detection any more. */
void eject_lift(struct state *state, uint32_t backend, uint64_t now_ns);

/* The count that the next ejection's time goes by, itself included: one earlier ejection is forgotten
 * for each base_ms that the backend was well (well_ns). */
uint32_t eject_next_count(uint32_t count, uint64_t well_ns, uint32_t base_ms);
/* base × count, at most max. */
uint64_t eject_duration_ns(uint32_t count, uint32_t base_ms, uint32_t max_ms);
/* How many of n backends may be out at once: percent of them, but one of two or more always. */
uint32_t eject_allowed(uint32_t n, uint32_t percent);

/* "5 failures in a row", "success rate 61.20 %", "mean latency 312.004 ms"; returns buf. */
#define EJECT_TEXT_MAX 64
const char *eject_reason_text(uint32_t reason, uint32_t detail, char *buf, size_t size);

#endif
