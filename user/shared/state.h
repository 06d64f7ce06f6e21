/* SPDX-License-Identifier: MIT */
/*
 * state.h - the facts that all processes share, as mapped memory: the workers, groups and backends
 * maps. The memory is that of BPF maps (BPF_F_MMAPABLE arrays) or, without BPF, of memfds with the
 * same structs; nobody here can tell which. Reading it takes no system call.
 *
 * Each word has one writer (abi.h says which) or is changed by the atomics below. Besides, the
 * ledger (a memfd, never a BPF map) holds each worker slot's own share of every backend's active
 * calls and connections, so that the supervisor can take back what a killed worker left counted.
 */
#ifndef SLUICE_SHARED_STATE_H
#define SLUICE_SHARED_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/abi.h"

enum state_fd { STATE_FD_WORKERS, STATE_FD_GROUPS, STATE_FD_BACKENDS, STATE_FD_LEDGER, STATE_FDS };

struct state_share {
	uint32_t active_rpcs;
	uint32_t connections;
};

struct state {
	struct sluice_worker *workers;	 /* SLUICE_MAX_WORKERS */
	struct sluice_group *groups;	 /* SLUICE_MAX_GROUPS */
	struct sluice_backend *backends; /* SLUICE_MAX_BACKENDS */
	struct state_share *ledger;	 /* SLUICE_MAX_WORKERS rows of SLUICE_MAX_BACKENDS */
};

/* Makes memfds for what fds[] has not (-1): all of them without BPF, the ledger with it. On
 * success every fds[] is a descriptor that the caller owns. 0 or -errno. */
int state_create_fds(int fds[STATE_FDS]);
/* Maps all four, shared and writable. The descriptors stay the caller's. 0 or -errno. */
int state_map(struct state *state, const int fds[STATE_FDS]);
void state_unmap(struct state *state);

/* For workers, slot = the caller's own. Relaxed atomics; wait-free. */
void state_rpc_begin(struct state *state, uint32_t slot, uint32_t backend);
void state_rpc_end(struct state *state, uint32_t slot, uint32_t backend);
void state_connection_opened(struct state *state, uint32_t slot, uint32_t backend);
void state_connection_closed(struct state *state, uint32_t slot, uint32_t backend);
/* For the supervisor, after the worker of slot died: gives back its share of every backend. */
void state_forget_slot(struct state *state, uint32_t slot);

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
