/* SPDX-License-Identifier: MIT */
/*
 * worker.h - an L7 process: one loop, one thread, its own connections. Everything it is told comes
 * over the channel; everything it tells lies in the shared maps.
 */
#ifndef SLUICE_PROXY_WORKER_H
#define SLUICE_PROXY_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/log.h"
#include "base/loop.h"
#include "proxy/pool.h"
#include "proxy/router.h"
#include "shared/state.h"

struct worker {
	struct loop loop;
	uint32_t slot;
	struct state state;
	struct sluice_worker *stats; /* this worker's entry of the workers map */
	struct router *router;	     /* committed */
	struct router *prepared;     /* waits for COMMIT */
	struct pool pool;
	struct list listeners;	   /* struct listener */
	struct list downstreams;   /* struct downstream */
	struct list watchers; /* struct health_call: Watches that stand; zero until the first */
	uint32_t n_watchers;
	struct loop_timer watch_timer;
	struct list dead_streams;  /* struct stream, freed at the end of the turn */
	struct loop_task reap_task;
	uint64_t random_state;
	uint8_t hash_key[16]; /* for what peers choose and all workers must hash alike */
	size_t header_bytes; /* metadata that streams hold, beyond their own first bytes */
	size_t buffer_peak;	     /* bytes in leg buffers, at most, since memory was trimmed */
	struct log_limit log_limit; /* of the data path */
	/* evidence.h */
	bool counts_sources; /* connections and evidence are kept by source */
	uint8_t source_v4_prefix, source_v6_prefix; /* by which those open were counted */
	bool penalty_untold; /* the supervisor could not be told of one */
	uint32_t penalty_epoch; /* whose penalties are enforced on the connections open */
	char role[16];		     /* for the log */
	bool draining;
	bool cut; /* the drain's grace was over: calls were ended */

	struct loop_io channel_io;
	struct loop_timer heartbeat_timer, grace_timer;
};

/* The whole life of a worker process, on the supervisor's channel. The process's exit code. */
int worker_main(int channel_fd);

/* 64 bits, uniform enough for balancing (xorshift64*). */
uint64_t worker_random(struct worker *worker);
/* A connection ended: a draining worker exits with its last one. */
void worker_check_idle(struct worker *worker);

/* Counters in the shared map: one writer, so plain adds with relaxed stores. */
static inline void worker_count(__u64 *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

#endif
