/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pick.bpf.c - the sk_lookup program: gives a new connection to the less loaded of two random
 * live workers of its listener. It runs where the stack looks for a listening socket, on every
 * interface of the namespace. Without a live worker it chooses nothing, and the kernel does as
 * if it were not there. It must never refuse: SK_DROP appears nowhere.
 */
#include <linux/in.h>
#include <stdbool.h>

#include "maps.h"

#define AF_INET 2
#define PICK_NONE SLUICE_MAX_WORKERS

char _license[] SEC("license") = "GPL";

static __always_inline bool worker_live(const struct sluice_worker *worker, __u64 now_ns)
{
	__u64 heartbeat_ns = *(volatile __u64 *)&worker->heartbeat_ns;
	/* May be a little below 0: the clocks of CPUs differ. */
	__s64 age_ns = now_ns - heartbeat_ns;

	return worker->state == SLUICE_WORKER_LIVE && age_ns < (__s64)SLUICE_HEARTBEAT_LIMIT_NS;
}

static __always_inline __u32 worker_load(__u32 slot)
{
	const struct sluice_worker *worker = bpf_map_lookup_elem(&workers, &slot);

	return worker ? worker->connections + worker->active_rpcs : ~0u;
}

struct walk {
	__u64 now_ns;
	__u32 left; /* live workers to pass over */
	__u32 slot;
};

static long on_slot(__u32 slot, struct walk *walk)
{
	const struct sluice_worker *worker = bpf_map_lookup_elem(&workers, &slot);

	if (!worker)
		return 1;
	if (!worker_live(worker, walk->now_ns))
		return 0;
	if (walk->left-- != 0)
		return 0;
	walk->slot = slot;
	return 1;
}

/*
 * The slot of the rank-th live worker from 0. Where there are not so many: PICK_NONE and how many
 * there are, added. A function of its own, so that the verifier does not follow every count.
 */
__noinline __u32 find_live(__u32 slots, __u64 now_ns, __u32 rank)
{
	struct walk walk = { .now_ns = now_ns, .left = rank, .slot = PICK_NONE };

	bpf_loop(slots < SLUICE_MAX_WORKERS ? slots : SLUICE_MAX_WORKERS, on_slot, &walk, 0);
	return walk.slot < PICK_NONE ? walk.slot : PICK_NONE + rank - walk.left;
}

/* True when the connection now belongs to that slot's socket. */
static __always_inline bool assign(struct bpf_sk_lookup *ctx, __u32 listener, __u32 slot)
{
	__u32 key = listener * SLUICE_MAX_WORKERS + slot;
	struct bpf_sock *socket;
	long error;

	if (slot >= SLUICE_MAX_WORKERS)
		return false;
	socket = bpf_map_lookup_elem(&sockets, &key);
	if (!socket)
		return false;
	/* Else the kernel would choose again among the sockets of the SO_REUSEPORT group. */
	error = bpf_sk_assign(ctx, socket, BPF_SK_LOOKUP_F_NO_REUSEPORT);
	bpf_sk_release(socket);
	return !error;
}

static __always_inline bool pick_worker(struct bpf_sk_lookup *ctx,
					const struct sluice_listener *listener)
{
	__u64 now_ns = bpf_ktime_get_ns();
	__u32 slots = listener->slots, live, first, second, rank;

	live = find_live(slots, now_ns, SLUICE_MAX_WORKERS) - PICK_NONE;
	if (!live || live > SLUICE_MAX_WORKERS)
		return false;
	rank = bpf_get_prandom_u32() % live;
	first = find_live(slots, now_ns, rank);
	if (live == 1)
		return assign(ctx, listener->id, first);
	/* One of the others: step on by 1 to live-1, around. */
	rank = (rank + 1 + bpf_get_prandom_u32() % (live - 1)) % live;
	second = find_live(slots, now_ns, rank);
	if (worker_load(second) < worker_load(first))
		return assign(ctx, listener->id, second) || assign(ctx, listener->id, first);
	return assign(ctx, listener->id, first) || assign(ctx, listener->id, second);
}

SEC("sk_lookup")
int pick(struct bpf_sk_lookup *ctx)
{
	struct sluice_listener_key key = { .protocol = IPPROTO_TCP };
	struct sluice_listener_stats *stats;
	struct sluice_listener *listener;
	__u32 id, zero = 0, *quiet;

	if (ctx->protocol != IPPROTO_TCP)
		return SK_PASS;
	quiet = bpf_map_lookup_elem(&asking, &zero);
	if (quiet && *quiet)
		return SK_PASS;
	key.port = bpf_htons(ctx->local_port);
	if (ctx->family == AF_INET) {
		__u32 address = ctx->local_ip4;

		/* Keeps clang from joining this load with that of the other branch into one by a
		 * computed address, which the verifier does not allow for the context. */
		barrier_var(address);
		key.address[2] = bpf_htonl(0xffff);
		key.address[3] = address;
	} else {
		key.address[0] = ctx->local_ip6[0];
		key.address[1] = ctx->local_ip6[1];
		key.address[2] = ctx->local_ip6[2];
		key.address[3] = ctx->local_ip6[3];
	}
	listener = bpf_map_lookup_elem(&listeners, &key);
	if (!listener) {
		listener_key_any(&key);
		listener = bpf_map_lookup_elem(&listeners, &key);
	}
	if (!listener)
		return SK_PASS;
	id = listener->id;
	stats = bpf_map_lookup_elem(&listener_stats, &id);
	if (!stats)
		return SK_PASS;
	if (pick_worker(ctx, listener))
		stats->picked++;
	else
		stats->pick_fallback++;
	return SK_PASS;
}
