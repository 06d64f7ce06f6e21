/* SPDX-License-Identifier: MIT */
/*
 * state.c - maps the shared facts and counts in them. The supervisor makes the descriptors, every
 * process maps them. Nothing here may take a lock or, once mapped, make a system call.
 *
 * The ledger never says more than the backends' words: a worker killed between its two steps may
 * leave one call counted too many, never one too few, which would wrap to four billion.
 */
#include "shared/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/memfd.h"
#include "shared/sources.h"

static const struct {
	const char *name;
	size_t bytes;
} parts[STATE_FDS] = {
	[STATE_FD_WORKERS] = { "sluice-workers",
			       sizeof(struct sluice_worker) * SLUICE_MAX_WORKERS },
	[STATE_FD_GROUPS] = { "sluice-groups", sizeof(struct sluice_group) * SLUICE_MAX_GROUPS },
	[STATE_FD_BACKENDS] = { "sluice-backends",
				sizeof(struct sluice_backend) * SLUICE_MAX_BACKENDS },
	[STATE_FD_ROUTES] = { "sluice-routes", sizeof(struct sluice_route) * SLUICE_MAX_ROUTES },
	[STATE_FD_LIMITS] = { "sluice-call-limits",
			      sizeof(struct sluice_limit_set) * SLUICE_LIMIT_SETS },
	[STATE_FD_SOURCES] = { "sluice-source-states",
			       sizeof(struct sluice_source_set) * SLUICE_SOURCE_SETS },
	[STATE_FD_SWITCHES] = { "sluice-switches", sizeof(struct sluice_switches) },
	[STATE_FD_LEDGER] = { "sluice-ledger", sizeof(struct state_ledger) * SLUICE_MAX_WORKERS },
};

/* A BPF array's mapping is whole pages; a memfd does not mind. */
static size_t part_mapped_bytes(enum state_fd part)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (parts[part].bytes + page - 1) / page * page;
}

static int part_create(enum state_fd part)
{
	int fd, err;

	fd = memfd_new(parts[part].name, part_mapped_bytes(part));
	if (fd < 0)
		return fd;
	/* No process may shrink it under the others: they would get SIGBUS. */
	err = memfd_seal(fd, F_SEAL_SHRINK | F_SEAL_GROW);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int state_create_fds(int fds[STATE_FDS])
{
	int made[STATE_FDS], i, err = 0;

	for (i = 0; i < STATE_FDS; i++)
		made[i] = -1;
	for (i = 0; i < STATE_FDS; i++) {
		if (fds[i] >= 0)
			continue;
		made[i] = part_create((enum state_fd)i);
		if (made[i] < 0) {
			err = made[i];
			goto out;
		}
	}
	for (i = 0; i < STATE_FDS; i++)
		if (made[i] >= 0)
			fds[i] = made[i];
	return 0;
out:
	while (i-- > 0)
		if (made[i] >= 0)
			close(made[i]);
	return err;
}

int state_map(struct state *state, const int fds[STATE_FDS])
{
	void *maps[STATE_FDS];
	int i, err;

	for (i = 0; i < STATE_FDS; i++) {
		maps[i] = mmap(NULL, part_mapped_bytes((enum state_fd)i), PROT_READ | PROT_WRITE,
			       MAP_SHARED, fds[i], 0);
		if (maps[i] == MAP_FAILED) {
			err = -errno;
			goto out;
		}
	}
	state->workers = maps[STATE_FD_WORKERS];
	state->groups = maps[STATE_FD_GROUPS];
	state->backends = maps[STATE_FD_BACKENDS];
	state->routes = maps[STATE_FD_ROUTES];
	state->limits = maps[STATE_FD_LIMITS];
	state->sources = maps[STATE_FD_SOURCES];
	state->switches = maps[STATE_FD_SWITCHES];
	state->ledger = maps[STATE_FD_LEDGER];
	return 0;
out:
	while (i-- > 0)
		munmap(maps[i], part_mapped_bytes((enum state_fd)i));
	return err;
}

void state_unmap(struct state *state)
{
	void *maps[STATE_FDS];
	int i;

	if (!state)
		return;
	maps[STATE_FD_WORKERS] = state->workers;
	maps[STATE_FD_GROUPS] = state->groups;
	maps[STATE_FD_BACKENDS] = state->backends;
	maps[STATE_FD_ROUTES] = state->routes;
	maps[STATE_FD_LIMITS] = state->limits;
	maps[STATE_FD_SOURCES] = state->sources;
	maps[STATE_FD_SWITCHES] = state->switches;
	maps[STATE_FD_LEDGER] = state->ledger;
	for (i = 0; i < STATE_FDS; i++)
		if (maps[i])
			munmap(maps[i], part_mapped_bytes((enum state_fd)i));
	memset(state, 0, sizeof(*state));
}

static __u32 *word_of(const struct state *state, enum state_count what, uint32_t id)
{
	switch (what) {
	case STATE_BACKEND_CALLS:
		return &state->backends[id].active_rpcs;
	case STATE_BACKEND_CONNECTIONS:
		return &state->backends[id].connections;
	case STATE_GROUP_CALLS:
		return &state->groups[id].active_calls;
	case STATE_GROUP_PENDING:
		return &state->groups[id].pending;
	case STATE_GROUP_CONNECTIONS:
		return &state->groups[id].connections;
	case STATE_ROUTE_CALLS:
		return &state->routes[id].active_calls;
	default:
		return &state->routes[id].active_retries;
	}
}

static uint32_t *share_of(const struct state *state, uint32_t slot, enum state_count what,
			  uint32_t id)
{
	struct state_ledger *ledger = &state->ledger[slot];

	assert(slot < SLUICE_MAX_WORKERS);
	switch (what) {
	case STATE_BACKEND_CALLS:
	case STATE_BACKEND_CONNECTIONS:
		assert(id < SLUICE_MAX_BACKENDS);
		return &ledger->backends[id][what - STATE_BACKEND_CALLS];
	case STATE_GROUP_CALLS:
	case STATE_GROUP_PENDING:
	case STATE_GROUP_CONNECTIONS:
		assert(id < SLUICE_MAX_GROUPS);
		return &ledger->groups[id][what - STATE_GROUP_CALLS];
	default:
		assert(id < SLUICE_MAX_ROUTES);
		return &ledger->routes[id][what - STATE_ROUTE_CALLS];
	}
}

/* Release orders the two steps also where the processor could swap them. */
void state_count_up(struct state *state, uint32_t slot, enum state_count what, uint32_t id)
{
	__atomic_fetch_add(word_of(state, what, id), 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(share_of(state, slot, what, id), 1, __ATOMIC_RELEASE);
}

bool state_count_up_below(struct state *state, uint32_t slot, enum state_count what, uint32_t id,
			  uint32_t limit)
{
	__u32 *word = word_of(state, what, id);

	/* Looking first keeps a full count from being raised by those it refuses. */
	if (state_load32(word) >= limit)
		return false;
	if (__atomic_fetch_add(word, 1, __ATOMIC_RELAXED) >= limit) {
		__atomic_fetch_sub(word, 1, __ATOMIC_RELAXED);
		return false;
	}
	__atomic_fetch_add(share_of(state, slot, what, id), 1, __ATOMIC_RELEASE);
	return true;
}

void state_count_down(struct state *state, uint32_t slot, enum state_count what, uint32_t id)
{
	uint32_t before =
		__atomic_fetch_sub(share_of(state, slot, what, id), 1, __ATOMIC_RELAXED);

	assert(before > 0);
	(void)before;
	__atomic_fetch_sub(word_of(state, what, id), 1, __ATOMIC_RELEASE);
}

uint32_t state_counted(const struct state *state, enum state_count what, uint32_t id)
{
	return state_load32(word_of(state, what, id));
}

static void give_back(struct state *state, uint32_t slot, enum state_count what, uint32_t ids)
{
	for (uint32_t id = 0; id < ids; id++) {
		uint32_t *share = share_of(state, slot, what, id), held;

		/* Reading first keeps untouched pages of the ledger untouched. */
		if (__atomic_load_n(share, __ATOMIC_RELAXED) == 0)
			continue;
		held = __atomic_exchange_n(share, 0, __ATOMIC_ACQUIRE);
		__atomic_fetch_sub(word_of(state, what, id), held, __ATOMIC_RELAXED);
	}
}

void state_forget_slot(struct state *state, uint32_t slot)
{
	give_back(state, slot, STATE_BACKEND_CALLS, SLUICE_MAX_BACKENDS);
	give_back(state, slot, STATE_BACKEND_CONNECTIONS, SLUICE_MAX_BACKENDS);
	give_back(state, slot, STATE_GROUP_CALLS, SLUICE_MAX_GROUPS);
	give_back(state, slot, STATE_GROUP_PENDING, SLUICE_MAX_GROUPS);
	give_back(state, slot, STATE_GROUP_CONNECTIONS, SLUICE_MAX_GROUPS);
	give_back(state, slot, STATE_ROUTE_CALLS, SLUICE_MAX_ROUTES);
	give_back(state, slot, STATE_ROUTE_RETRIES, SLUICE_MAX_ROUTES);
	sources_forget_slot(state, slot);
}
