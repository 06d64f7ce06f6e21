/* SPDX-License-Identifier: MIT */
/*
 * penalties.h - the sources under a penalty, of the workers' evidence or by command: who they are, and
 * that XDP and the workers know. Owned by the supervisor; the table here is what holds, the penalties
 * map and the rows of source_states are made to agree with it.
 */
#ifndef SLUICE_CONTROL_PENALTIES_H
#define SLUICE_CONTROL_PENALTIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/log.h"
#include "config/config.h"
#include "shared/channel.h"

struct supervisor;

/* At once. Then one of those that end soonest makes room: fewer than the map takes, so that the kernel
 * never chooses. */
#define PENALTIES_MAX (SLUICE_MAX_PENALTIES / 4 * 3)

struct penalty {
	uint32_t source[4]; /* as in the maps */
	uint32_t next;	    /* 1 + row of the next one with the same hash; 0: none */
	uint32_t level;	    /* enum sluice_penalty_level */
	uint32_t reason;    /* enum sluice_evidence */
	uint32_t count;	    /* penalties of this source that its length counts, with this one */
	uint64_t since_ns, until_ns;
};

struct penalties {
	struct supervisor *supervisor;
	struct penalty *rows;
	uint32_t n, cap;
	uint32_t *heads; /* 1 + row, by hash; NULL: never needed yet */
	uint8_t v4_prefix, v6_prefix; /* by which these sources are named */
	uint64_t given[SLUICE_EVIDENCE_MAX]; /* since the start */
	uint64_t pushed_out;		     /* for want of room */
	bool adopted;
	bool some_untold; /* workers could not tell of each: the next sweep looks */
	uint64_t random;
	struct log_limit log_limit;
};

void penalties_init(struct supervisor *supervisor);
void penalties_done(struct penalties *penalties);
/* Once, before XDP is attached: takes over what an earlier run left in force. The switches have
 * config's prefixes already. */
void penalties_adopt(struct penalties *penalties, const struct config *config);
/* config is in force from now on: ends those that it does not want. */
void penalties_configure(struct penalties *penalties, const struct config *config);
/* Once a second: those that are over go. */
void penalties_sweep(struct penalties *penalties, uint64_t now_ns);

/* A worker has put a source under a penalty. */
void penalties_on_message(struct penalties *penalties, const struct channel_penalized *message);

/* By command. addr: any address of the source. 0; -EPERM: in penalties.never; -ENOSPC: without BPF,
 * and the workers' table has no room for it; -errno. */
int penalties_penalize(struct penalties *penalties, const struct addr *addr, uint64_t for_ns,
		       enum sluice_penalty_level level);
/* 0; -ENOENT: not under a penalty (its evidence is forgotten all the same); -EAGAIN: try again. */
int penalties_pardon(struct penalties *penalties, const struct addr *addr);
/* How many. */
uint32_t penalties_pardon_all(struct penalties *penalties);

/* Packets that XDP has dropped for it; 0 without BPF. */
uint64_t penalties_dropped(const struct penalties *penalties, const struct penalty *penalty);

#endif
