/* SPDX-License-Identifier: MIT */
/*
 * test_pick.c - which worker's socket sk_lookup gives a new connection to, by BPF_PROG_TEST_RUN:
 * the kernel answers with the cookie of the socket that was chosen, or 0 for none.
 */
#include <sys/socket.h>

#include "gate_help.h"
#include "pick.skel.h"

#define WORKERS 8
#define ID 5

struct world {
	struct pick_bpf *pick;
	int sockets[WORKERS];
	uint64_t cookies[WORKERS];
	uint16_t port;
};

static int listen_on(uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(*port) };
	socklen_t len = sizeof(address);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static void set_worker(struct world *world, uint32_t slot, enum sluice_worker_state worker_state,
		       uint64_t age_ns, uint32_t connections, uint32_t active_rpcs)
{
	struct sluice_worker worker = {
		.state = worker_state, .heartbeat_ns = now_ns() - age_ns,
		.connections = connections, .active_rpcs = active_rpcs,
	};

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(world->pick->maps.workers), &slot, &worker,
					     BPF_ANY), 0);
}

static void set_slots(struct world *world, const char *address, uint32_t slots)
{
	struct sluice_listener listener = { .id = ID, .slots = slots, .group = SLUICE_GROUP_NONE };
	struct sluice_listener_key key = { .port = htons(world->port), .protocol = IPPROTO_TCP };

	map_address(key.address, address);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(world->pick->maps.listeners), &key,
					     &listener, BPF_ANY), 0);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->pick = pick_bpf__open_and_load();
	if (!world->pick)
		return -1;
	for (uint32_t slot = 0; slot < WORKERS; slot++) {
		__u32 key = ID * SLUICE_MAX_WORKERS + slot;
		socklen_t len = sizeof(world->cookies[slot]);
		__u64 value;

		world->sockets[slot] = listen_on(&world->port);
		assert_int_equal(getsockopt(world->sockets[slot], SOL_SOCKET, SO_COOKIE,
					    &world->cookies[slot], &len), 0);
		value = (__u64)world->sockets[slot];
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(world->pick->maps.sockets), &key,
						     &value, BPF_ANY), 0);
	}
	set_slots(world, "127.0.0.1", WORKERS);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	for (unsigned slot = 0; slot < WORKERS; slot++) {
		if (world->sockets[slot] >= 0)
			close(world->sockets[slot]);
	}
	pick_bpf__destroy(world->pick);
	free(world);
	return 0;
}

/* The slot that was chosen, or -1; the program must pass in any case. */
static int pick_for(struct world *world, struct bpf_sk_lookup *context)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = context, .ctx_size_in = sizeof(*context),
		    .ctx_out = context, .ctx_size_out = sizeof(*context));

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(world->pick->progs.pick), &options),
			 0);
	assert_int_equal(options.retval, SK_PASS);
	for (int slot = 0; slot < WORKERS; slot++) {
		if (context->cookie && context->cookie == world->cookies[slot])
			return slot;
	}
	assert_int_equal(context->cookie, 0);
	return -1;
}

static struct bpf_sk_lookup v4_context(struct world *world)
{
	return (struct bpf_sk_lookup){
		.family = AF_INET, .protocol = IPPROTO_TCP,
		.remote_ip4 = inet_addr("198.18.0.9"), .remote_port = htons(40000),
		.local_ip4 = inet_addr("127.0.0.1"), .local_port = world->port,
	};
}

static int pick_one(struct world *world)
{
	struct bpf_sk_lookup context = v4_context(world);

	return pick_for(world, &context);
}

static struct sluice_listener_stats stats_of(struct world *world)
{
	struct sluice_listener_stats stats;

	sum_cpus(bpf_map__fd(world->pick->maps.listener_stats), ID, (__u64 *)&stats,
		 sizeof(stats) / sizeof(__u64));
	return stats;
}

static void count_picks(struct world *world, unsigned picks, unsigned counts[WORKERS])
{
	memset(counts, 0, WORKERS * sizeof(counts[0]));
	for (unsigned i = 0; i < picks; i++) {
		int slot = pick_one(world);

		assert_in_range(slot, 0, WORKERS - 1);
		counts[slot]++;
	}
}

static void the_less_loaded_of_two_gets_all(void **state)
{
	struct world *world = *state;
	unsigned counts[WORKERS];

	set_worker(world, 1, SLUICE_WORKER_LIVE, 0, 10, 5);
	set_worker(world, 6, SLUICE_WORKER_LIVE, 0, 5, 9);
	count_picks(world, 200, counts);
	assert_int_equal(counts[6], 200);
	/* Calls count as connections do. */
	set_worker(world, 6, SLUICE_WORKER_LIVE, 0, 5, 11);
	count_picks(world, 200, counts);
	assert_int_equal(counts[1], 200);
	assert_int_equal(stats_of(world).picked, 400);
	assert_int_equal(stats_of(world).pick_fallback, 0);
}

static void the_most_loaded_of_many_gets_none_and_the_least_most(void **state)
{
	struct world *world = *state;
	unsigned counts[WORKERS];

	for (uint32_t slot = 0; slot < WORKERS; slot++)
		set_worker(world, slot, SLUICE_WORKER_LIVE, 0, slot, 0);
	count_picks(world, 10000, counts);
	/* Of the 28 pairs, slot s is the lighter of 7 - s. */
	for (unsigned slot = 0; slot < WORKERS; slot++) {
		unsigned want = 10000 * (7 - slot) / 28;

		assert_in_range(counts[slot], want * 7 / 10, want * 13 / 10);
	}
}

static void equals_share_alike_though_others_between_are_dead(void **state)
{
	struct world *world = *state;
	unsigned counts[WORKERS];

	set_worker(world, 0, SLUICE_WORKER_LIVE, 0, 3, 0);
	set_worker(world, 5, SLUICE_WORKER_LIVE, 0, 3, 0);
	set_worker(world, 6, SLUICE_WORKER_LIVE, 0, 3, 0);
	count_picks(world, 3000, counts);
	assert_in_range(counts[0], 850, 1150);
	assert_in_range(counts[5], 850, 1150);
	assert_in_range(counts[6], 850, 1150);
}

static void dead_draining_starting_and_free_workers_get_none(void **state)
{
	static const enum sluice_worker_state states[] = {
		SLUICE_WORKER_FREE, SLUICE_WORKER_STARTING, SLUICE_WORKER_DRAINING,
		SLUICE_WORKER_DEAD,
	};
	struct world *world = *state;
	unsigned counts[WORKERS];

	set_worker(world, 7, SLUICE_WORKER_LIVE, 0, 1000, 1000);
	for (unsigned i = 0; i < 4; i++) {
		for (uint32_t slot = 0; slot < 7; slot++)
			set_worker(world, slot, states[i], 0, 0, 0);
		count_picks(world, 100, counts);
		assert_int_equal(counts[7], 100);
	}
}

static void a_stale_heartbeat_gets_none_though_the_state_says_live(void **state)
{
	struct world *world = *state;
	unsigned counts[WORKERS];

	set_worker(world, 0, SLUICE_WORKER_LIVE, SLUICE_HEARTBEAT_LIMIT_NS + 1000 * 1000, 0, 0);
	set_worker(world, 1, SLUICE_WORKER_LIVE, 0, 50, 0);
	count_picks(world, 100, counts);
	assert_int_equal(counts[1], 100);
	set_worker(world, 0, SLUICE_WORKER_LIVE, SLUICE_HEARTBEAT_LIMIT_NS / 2, 0, 0);
	count_picks(world, 100, counts);
	assert_int_equal(counts[0], 100);
}

static void without_a_live_worker_the_kernel_chooses(void **state)
{
	struct world *world = *state;

	assert_int_equal(pick_one(world), -1);
	for (uint32_t slot = 0; slot < WORKERS; slot++)
		set_worker(world, slot, SLUICE_WORKER_LIVE, 3 * SLUICE_HEARTBEAT_LIMIT_NS, 0, 0);
	assert_int_equal(pick_one(world), -1);
	assert_int_equal(stats_of(world).pick_fallback, 2);
	assert_int_equal(stats_of(world).picked, 0);
}

static void a_live_worker_without_a_socket_is_passed_over(void **state)
{
	struct world *world = *state;
	unsigned counts[WORKERS];

	set_worker(world, 2, SLUICE_WORKER_LIVE, 0, 0, 0);
	set_worker(world, 3, SLUICE_WORKER_LIVE, 0, 9, 0);
	close(world->sockets[2]); /* which takes it out of the map */
	world->sockets[2] = -1;
	count_picks(world, 100, counts);
	assert_int_equal(counts[3], 100);
	close(world->sockets[3]);
	world->sockets[3] = -1;
	assert_int_equal(pick_one(world), -1);
	assert_int_equal(stats_of(world).pick_fallback, 1);
}

static void only_the_slots_in_use_are_picked(void **state)
{
	struct world *world = *state;
	unsigned counts[WORKERS];

	for (uint32_t slot = 0; slot < WORKERS; slot++)
		set_worker(world, slot, SLUICE_WORKER_LIVE, 0, 100 - slot, 0);
	set_slots(world, "127.0.0.1", 3);
	count_picks(world, 300, counts);
	assert_int_equal(counts[0] + counts[1] + counts[2], 300);
	assert_int_equal(counts[0], 0);
	set_slots(world, "127.0.0.1", 0);
	assert_int_equal(pick_one(world), -1);
	set_slots(world, "127.0.0.1", 0xffffffff);
	assert_in_range(pick_one(world), 0, WORKERS - 1);
}

static void every_slot_up_to_the_last_can_be_picked(void **state)
{
	struct world *world = *state;
	__u32 last = SLUICE_MAX_WORKERS - 1, key = ID * SLUICE_MAX_WORKERS + last;
	__u64 value = (__u64)world->sockets[4];

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(world->pick->maps.sockets), &key, &value,
					     BPF_ANY), 0);
	set_slots(world, "127.0.0.1", SLUICE_MAX_WORKERS);
	set_worker(world, last, SLUICE_WORKER_LIVE, 0, 0, 0);
	assert_int_equal(pick_one(world), 4);
}

static void listeners_are_found_by_address_then_any_of_the_family(void **state)
{
	struct world *world = *state;
	struct bpf_sk_lookup context = v4_context(world);

	set_worker(world, 1, SLUICE_WORKER_LIVE, 0, 0, 0);
	context.local_ip4 = inet_addr("127.0.0.2");
	assert_int_equal(pick_for(world, &context), -1);
	assert_int_equal(stats_of(world).pick_fallback, 0); /* not ours: not counted */
	set_slots(world, "0.0.0.0", WORKERS);
	context = v4_context(world);
	context.local_ip4 = inet_addr("127.0.0.2");
	assert_int_equal(pick_for(world, &context), 1);
	context = v4_context(world);
	context.local_port++;
	assert_int_equal(pick_for(world, &context), -1);
	context = v4_context(world);
	context.protocol = IPPROTO_UDP;
	assert_int_equal(pick_for(world, &context), -1);
	assert_int_equal(stats_of(world).picked, 1);
}

static void ipv6_is_found_by_its_own_entries(void **state)
{
	struct world *world = *state;
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(world->port) };
	struct bpf_sk_lookup context = {
		.family = AF_INET6, .protocol = IPPROTO_TCP, .remote_port = htons(40000),
		.local_port = world->port,
	};
	__u32 key = ID * SLUICE_MAX_WORKERS;
	socklen_t len = sizeof(world->cookies[0]);
	int one = 1, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	__u64 value = (__u64)fd;

	address.sin6_addr = in6addr_loopback;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1)) {
		printf("SKIP: no IPv6 here\n");
		skip();
	}
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &world->cookies[0], &len), 0);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(world->pick->maps.sockets), &key, &value,
					     BPF_ANY), 0);
	set_worker(world, 0, SLUICE_WORKER_LIVE, 0, 0, 0);
	memcpy(context.local_ip6, &in6addr_loopback, 16);
	memcpy(context.remote_ip6, &in6addr_loopback, 16);
	assert_int_equal(pick_for(world, &context), -1);
	set_slots(world, "::", WORKERS);
	assert_int_equal(pick_for(world, &context), 0);
	close(fd);
}

#define PICK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PICK_TEST(the_less_loaded_of_two_gets_all),
		PICK_TEST(the_most_loaded_of_many_gets_none_and_the_least_most),
		PICK_TEST(equals_share_alike_though_others_between_are_dead),
		PICK_TEST(dead_draining_starting_and_free_workers_get_none),
		PICK_TEST(a_stale_heartbeat_gets_none_though_the_state_says_live),
		PICK_TEST(without_a_live_worker_the_kernel_chooses),
		PICK_TEST(a_live_worker_without_a_socket_is_passed_over),
		PICK_TEST(only_the_slots_in_use_are_picked),
		PICK_TEST(every_slot_up_to_the_last_can_be_picked),
		PICK_TEST(listeners_are_found_by_address_then_any_of_the_family),
		PICK_TEST(ipv6_is_found_by_its_own_entries),
	};

	return bpf_is_allowed() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
