/* SPDX-License-Identifier: MIT */
/*
 * sources.c - see sources.h: the table itself, and the connections counted in it. What evidence comes
 * to is in penalty_points.c. Connections are the sum of the ledgers' shares at every moment at which
 * the lock is free, so a worker that is killed between the two can be set right exactly.
 */
#include "shared/sources.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "shared/sources_internal.h"

/* A holder changes a few words. Only one that was preempted or killed keeps others waiting. */
#define LOCK_SPINS  200
#define LOCK_YIELDS 400

/* What a row knows of its past is worth no more after so long. */
#define HISTORY_NS (3600ull * 1000 * 1000 * 1000)

bool sources_lock(struct sluice_source_set *set, uint32_t slot)
{
	for (int tries = 0; tries < LOCK_SPINS + LOCK_YIELDS; tries++) {
		__u32 free = 0;

		if (__atomic_compare_exchange_n(&set->lock, &free, slot + 1, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
		if (tries >= LOCK_SPINS)
			sched_yield();
	}
	return false;
}

void sources_unlock(struct sluice_source_set *set)
{
	__atomic_store_n(&set->lock, 0, __ATOMIC_RELEASE);
}

static bool is_ipv4(const uint32_t mapped[4])
{
	return !mapped[0] && !mapped[1] && mapped[2] == htonl(0xffff);
}

void source_of_addr(const struct state *state, const struct addr *addr, uint32_t source[4])
{
	const struct sluice_switches *switches = state->switches;
	uint32_t mapped[4];

	addr_to_mapped(addr, (uint8_t *)mapped);
	source_of(source, mapped, is_ipv4(mapped),
		  __atomic_load_n(&switches->v4_prefix, __ATOMIC_RELAXED),
		  __atomic_load_n(&switches->v6_prefix, __ATOMIC_RELAXED));
}

void source_prefix(const struct state *state, const uint32_t source[4], struct prefix *prefix)
{
	const struct sluice_switches *switches = state->switches;
	bool ipv4 = is_ipv4(source);

	memset(prefix, 0, sizeof(*prefix));
	prefix->family = ipv4 ? AF_INET : AF_INET6;
	prefix->len = __atomic_load_n(ipv4 ? &switches->v4_prefix : &switches->v6_prefix,
				      __ATOMIC_RELAXED);
	memcpy(prefix->bytes, ipv4 ? &source[3] : source, ipv4 ? 4 : 16);
}

const char *source_format(const struct state *state, const uint32_t source[4], char *text,
			  size_t size)
{
	struct prefix prefix;

	source_prefix(state, source, &prefix);
	prefix_format(&prefix, text, size);
	if (prefix.len == (prefix.family == AF_INET ? 32 : 128))
		*strchrnul(text, '/') = '\0';
	return text;
}

static struct sluice_source_set *set_of(const struct state *state, const uint32_t source[4],
					__u32 *tag)
{
	uint64_t hash = source_hash(source, state->switches->hash_key);

	*tag = source_tag(hash);
	return &state->sources[hash % SLUICE_SOURCE_SETS];
}

static uint32_t row_of(const struct state *state, const struct sluice_source_set *set, unsigned way)
{
	return (uint32_t)(set - state->sources) * SLUICE_SOURCE_WAYS + way;
}

static int find_way(const struct sluice_source_set *set, const uint32_t source[4], __u32 tag)
{
	for (int i = 0; i < SLUICE_SOURCE_WAYS; i++)
		if (__atomic_load_n(&set->tags[i], __ATOMIC_ACQUIRE) == tag &&
		    !memcmp(set->ways[i].address, source, sizeof(set->ways[i].address)))
			return i;
	return -1;
}

/* How little is lost with a way: 0: nothing, it is free. Higher ones stay; of equals the one seen last
 * stays. UINT32_MAX: it is not to be had. */
static unsigned worth(const struct sluice_source_set *set, int i, uint64_t now_ns)
{
	const struct sluice_source_state *way = &set->ways[i];

	if (!set->tags[i])
		return 0;
	if (state_load32(&way->connections))
		return UINT32_MAX;
	if (source_is_penalized(way, now_ns))
		return 4;
	if (now_ns > way->seen_ns + HISTORY_NS)
		return 1;
	return way->penalty_count ? 3 : way->points >= SOURCE_POINT ? 2 : 1;
}

/* A way for a source that has none, with the lock held. */
static int claim_way(struct sluice_source_set *set, const uint32_t source[4], __u32 tag,
		     uint64_t now_ns)
{
	unsigned best = UINT32_MAX;
	int found = -1;

	for (int i = 0; i < SLUICE_SOURCE_WAYS; i++) {
		unsigned is = worth(set, i, now_ns);

		if (is > best || is == UINT32_MAX ||
		    (is == best && set->ways[i].seen_ns >= set->ways[found].seen_ns))
			continue;
		best = is;
		found = i;
	}
	if (found < 0)
		return -1;
	/* Readers take no lock: the tag goes first and comes last. */
	__atomic_store_n(&set->tags[found], 0, __ATOMIC_SEQ_CST);
	memset(&set->ways[found], 0, sizeof(set->ways[found]));
	memcpy(set->ways[found].address, source, sizeof(set->ways[found].address));
	set->ways[found].seen_ns = now_ns;
	__atomic_store_n(&set->tags[found], tag, __ATOMIC_RELEASE);
	return found;
}

enum source_open source_open(struct state *state, uint32_t slot, const uint32_t source[4],
			     uint32_t max, uint64_t now_ns, uint32_t *ret_row)
{
	enum source_open result = SOURCE_OPEN_UNTRACKED;
	__u32 tag;
	struct sluice_source_set *set = set_of(state, source, &tag);
	struct sluice_source_state *way;
	uint32_t row;
	int i;

	*ret_row = SOURCE_NONE;
	if (!sources_lock(set, slot))
		return SOURCE_OPEN_UNTRACKED;
	i = find_way(set, source, tag);
	if (i < 0)
		i = claim_way(set, source, tag, now_ns);
	if (i < 0)
		goto out;
	way = &set->ways[i];
	if (source_is_penalized(way, now_ns)) {
		result = SOURCE_OPEN_PENALIZED;
		goto out;
	}
	if (max && state_load32(&way->connections) >= max) {
		result = SOURCE_OPEN_FULL;
		goto out;
	}
	row = row_of(state, set, (unsigned)i);
	way->seen_ns = now_ns;
	__atomic_fetch_add(&way->connections, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&state->ledger[slot].sources[row], 1, __ATOMIC_RELAXED);
	*ret_row = row;
	result = SOURCE_OPEN_COUNTED;
out:
	sources_unlock(set);
	return result;
}

void source_close(struct state *state, uint32_t slot, uint32_t row)
{
	struct sluice_source_set *set;
	bool locked;

	if (row >= SOURCES_MAX)
		return;
	set = &state->sources[row / SLUICE_SOURCE_WAYS];
	/* Without the lock it is still right, but for a kill between these two. */
	locked = sources_lock(set, slot);
	__atomic_fetch_sub(&state->ledger[slot].sources[row], 1, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&set->ways[row % SLUICE_SOURCE_WAYS].connections, 1, __ATOMIC_RELAXED);
	if (locked)
		sources_unlock(set);
}

struct sluice_source_state *sources_row(struct state *state, uint32_t row)
{
	if (row >= SOURCES_MAX)
		return NULL;
	return &state->sources[row / SLUICE_SOURCE_WAYS].ways[row % SLUICE_SOURCE_WAYS];
}

const struct sluice_source_state *source_at(const struct state *state, uint32_t row)
{
	if (row >= SOURCES_MAX)
		return NULL;
	return &state->sources[row / SLUICE_SOURCE_WAYS].ways[row % SLUICE_SOURCE_WAYS];
}

uint32_t source_find(const struct state *state, const uint32_t source[4])
{
	__u32 tag;
	const struct sluice_source_set *set = set_of(state, source, &tag);
	int i = find_way(set, source, tag);

	return i < 0 ? SOURCE_NONE : row_of(state, set, (unsigned)i);
}

uint32_t sources_claim(struct state *state, uint32_t slot, const uint32_t source[4], uint64_t now_ns)
{
	__u32 tag;
	struct sluice_source_set *set = set_of(state, source, &tag);
	int i;

	if (!sources_lock(set, slot))
		return SOURCE_NONE;
	i = find_way(set, source, tag);
	if (i < 0)
		i = claim_way(set, source, tag, now_ns);
	if (i < 0) {
		sources_unlock(set);
		return SOURCE_NONE;
	}
	return row_of(state, set, (unsigned)i);
}

/* ---- a worker that died ---- */

/* It died while it changed this set: what is counted there is what the ledgers say. */
static void set_right(struct state *state, struct sluice_source_set *set)
{
	for (unsigned i = 0; i < SLUICE_SOURCE_WAYS; i++) {
		uint32_t row = row_of(state, set, i), sum = 0;

		for (uint32_t slot = 0; slot < SLUICE_MAX_WORKERS; slot++)
			if (state_load32(&state->workers[slot].state) != SLUICE_WORKER_FREE)
				sum += state_load32(&state->ledger[slot].sources[row]);
		state_store32(&set->ways[i].connections, set->tags[i] ? sum : 0);
	}
}

void sources_forget_slot(struct state *state, uint32_t slot)
{
	uint32_t *shares = state->ledger[slot].sources;

	for (uint32_t i = 0; i < SLUICE_SOURCE_SETS; i++) {
		struct sluice_source_set *set = &state->sources[i];
		__u32 dead = slot + 1;

		if (state_load32(&set->lock) != dead)
			continue;
		set_right(state, set);
		sources_unlock(set);
	}
	for (uint32_t row = 0; row < SOURCES_MAX; row++) {
		struct sluice_source_set *set = &state->sources[row / SLUICE_SOURCE_WAYS];
		struct sluice_source_state *way = &set->ways[row % SLUICE_SOURCE_WAYS];
		uint32_t held;
		bool locked;

		/* Never less than a share of it; and the ledger's untouched pages stay untouched. */
		held = state_load32(&way->connections) ? state_load32(&shares[row]) : 0;
		if (!held)
			continue;
		locked = sources_lock(set, SOURCE_SUPERVISOR);
		state_store32(&shares[row], 0);
		__atomic_fetch_sub(&way->connections, held, __ATOMIC_RELAXED);
		if (locked)
			sources_unlock(set);
	}
}

uint32_t sources_used(const struct state *state)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < SLUICE_SOURCE_SETS; i++)
		for (unsigned k = 0; k < SLUICE_SOURCE_WAYS; k++)
			n += state_load32(&state->sources[i].tags[k]) != 0;
	return n;
}
