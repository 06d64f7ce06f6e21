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

static const struct {
	const char *name;
	size_t bytes;
} parts[STATE_FDS] = {
	[STATE_FD_WORKERS] = { "sluice-workers",
			       sizeof(struct sluice_worker) * SLUICE_MAX_WORKERS },
	[STATE_FD_GROUPS] = { "sluice-groups", sizeof(struct sluice_group) * SLUICE_MAX_GROUPS },
	[STATE_FD_BACKENDS] = { "sluice-backends",
				sizeof(struct sluice_backend) * SLUICE_MAX_BACKENDS },
	[STATE_FD_LEDGER] = { "sluice-ledger", sizeof(struct state_share) * SLUICE_MAX_WORKERS *
						       SLUICE_MAX_BACKENDS },
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
	maps[STATE_FD_LEDGER] = state->ledger;
	for (i = 0; i < STATE_FDS; i++)
		if (maps[i])
			munmap(maps[i], part_mapped_bytes((enum state_fd)i));
	memset(state, 0, sizeof(*state));
}

static struct state_share *share_of(struct state *state, uint32_t slot, uint32_t backend)
{
	assert(slot < SLUICE_MAX_WORKERS && backend < SLUICE_MAX_BACKENDS);
	return &state->ledger[(size_t)slot * SLUICE_MAX_BACKENDS + backend];
}

/* Release orders the two steps also where the processor could swap them. */
static void count_up(__u32 *word, uint32_t *share)
{
	__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(share, 1, __ATOMIC_RELEASE);
}

static void count_down(__u32 *word, uint32_t *share)
{
	uint32_t before = __atomic_fetch_sub(share, 1, __ATOMIC_RELAXED);

	assert(before > 0);
	__atomic_fetch_sub(word, 1, __ATOMIC_RELEASE);
}

void state_rpc_begin(struct state *state, uint32_t slot, uint32_t backend)
{
	count_up(&state->backends[backend].active_rpcs, &share_of(state, slot, backend)->active_rpcs);
}

void state_rpc_end(struct state *state, uint32_t slot, uint32_t backend)
{
	count_down(&state->backends[backend].active_rpcs,
		   &share_of(state, slot, backend)->active_rpcs);
}

void state_connection_opened(struct state *state, uint32_t slot, uint32_t backend)
{
	count_up(&state->backends[backend].connections, &share_of(state, slot, backend)->connections);
}

void state_connection_closed(struct state *state, uint32_t slot, uint32_t backend)
{
	count_down(&state->backends[backend].connections,
		   &share_of(state, slot, backend)->connections);
}

static void give_back(__u32 *word, uint32_t *share)
{
	uint32_t held;

	/* Reading first keeps untouched pages of the ledger untouched. */
	if (__atomic_load_n(share, __ATOMIC_RELAXED) == 0)
		return;
	held = __atomic_exchange_n(share, 0, __ATOMIC_ACQUIRE);
	__atomic_fetch_sub(word, held, __ATOMIC_RELAXED);
}

void state_forget_slot(struct state *state, uint32_t slot)
{
	uint32_t backend;

	for (backend = 0; backend < SLUICE_MAX_BACKENDS; backend++) {
		struct state_share *share = share_of(state, slot, backend);

		give_back(&state->backends[backend].active_rpcs, &share->active_rpcs);
		give_back(&state->backends[backend].connections, &share->connections);
	}
}
