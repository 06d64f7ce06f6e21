/* SPDX-License-Identifier: MIT */
/*
 * state.h - the facts that all processes share, as mapped memory: the workers, groups, backends,
 * routes, call_limits, source_states and switches maps. The memory is that of BPF maps (BPF_F_MMAPABLE
 * arrays) or, without BPF, of memfds with the same structs; nobody here can tell which. Reading it takes
 * no system call.
 *
 * Each word has one writer (abi.h says which) or is changed by the atomics below. Besides, the
 * ledger (a memfd, never a BPF map) holds each worker slot's own share of every count
 * that goes up and down, so that the supervisor can take back what a killed worker left counted.
 */
#ifndef SLUICE_SHARED_STATE_H
#define SLUICE_SHARED_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice/abi.h"

enum state_fd {
	STATE_FD_WORKERS,
	STATE_FD_GROUPS,
	STATE_FD_BACKENDS,
	STATE_FD_ROUTES,
	STATE_FD_LIMITS,
	STATE_FD_SOURCES,
	STATE_FD_SWITCHES,
	STATE_FD_LEDGER,
	STATE_FDS
};

/* What workers count up and down together: a word of a map, and each slot's share of it. */
enum state_count {
	STATE_BACKEND_CALLS,	   /* sluice_backend.active_rpcs */
	STATE_BACKEND_CONNECTIONS, /* .connections */
	STATE_GROUP_CALLS,	   /* sluice_group.active_calls */
	STATE_GROUP_PENDING,	   /* .pending */
	STATE_GROUP_CONNECTIONS,   /* .connections */
	STATE_ROUTE_CALLS,	   /* sluice_route.active_calls */
	STATE_ROUTE_RETRIES,	   /* .active_retries */
};

struct state_ledger {
	uint32_t backends[SLUICE_MAX_BACKENDS][2]; /* calls, connections */
	uint32_t groups[SLUICE_MAX_GROUPS][4];	   /* calls, pending, connections, - */
	uint32_t routes[SLUICE_MAX_ROUTES][2];	   /* calls, retries */
	uint32_t sources[SLUICE_SOURCE_SETS * SLUICE_SOURCE_WAYS]; /* connections, by sources.h's row */
};

struct state {
	struct sluice_worker *workers;	 /* SLUICE_MAX_WORKERS */
	struct sluice_group *groups;	 /* SLUICE_MAX_GROUPS */
	struct sluice_backend *backends; /* SLUICE_MAX_BACKENDS */
	struct sluice_route *routes;	 /* SLUICE_MAX_ROUTES */
	struct sluice_limit_set *limits; /* SLUICE_LIMIT_SETS: call_limit.h */
	struct sluice_source_set *sources; /* SLUICE_SOURCE_SETS: sources.h */
	struct sluice_switches *switches;  /* one */
	struct state_ledger *ledger;	 /* SLUICE_MAX_WORKERS */
};

/* Makes memfds for what fds[] has not (-1): all of them without BPF, the ledger with it. On
 * success every fds[] is a descriptor that the caller owns. 0 or -errno. */
int state_create_fds(int fds[STATE_FDS]);
/* Maps them all, shared and writable. The descriptors stay the caller's. 0 or -errno. */
int state_map(struct state *state, const int fds[STATE_FDS]);
void state_unmap(struct state *state);

/* For workers, slot = the caller's own; id: of the backend, group or route. Relaxed atomics;
 * wait-free. */
void state_count_up(struct state *state, uint32_t slot, enum state_count what, uint32_t id);
/* Likewise, unless limit are there already: false, and nothing counted. */
bool state_count_up_below(struct state *state, uint32_t slot, enum state_count what, uint32_t id,
			  uint32_t limit);
void state_count_down(struct state *state, uint32_t slot, enum state_count what, uint32_t id);
uint32_t state_counted(const struct state *state, enum state_count what, uint32_t id);
/* For the supervisor, after the worker of slot died: gives back its share of everything. */
void state_forget_slot(struct state *state, uint32_t slot);

/* Raises the group's epoch: what was worked out from its backends is out of date. */
static inline void state_group_changed(struct state *state, uint32_t group)
{
	__atomic_fetch_add(&state->groups[group].epoch, 1, __ATOMIC_RELEASE);
}

static inline uint32_t state_load32(const __u32 *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline uint64_t state_load64(const __u64 *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline void state_store32(__u32 *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static inline void state_store64(__u64 *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

#endif
