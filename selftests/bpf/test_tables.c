/* SPDX-License-Identifier: MIT */
/*
 * test_tables.c - what the loader writes into the maps and reads from them, with the programs at
 * work on it: listeners, sockets, ACL, counters; and real connections that sk_lookup hands out.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "control/bpf_loader_impl.h"
#include "gate_help.h"
#include "world_help.h"

static char why[BPF_WHY_MAX];

static int setup(void **state)
{
	struct bpf_options options = { .pin_path = world_pins };
	struct bpf *bpf = NULL;

	if (bpf_open(&bpf, &options, why, sizeof(why))) {
		print_error("%s\n", why);
		return -1;
	}
	*state = bpf;
	return 0;
}

static int teardown(void **state)
{
	bpf_close(*state, false);
	return 0;
}

static int pinned(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", world_pins, name);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	return fd;
}

static struct addr address(const char *text)
{
	struct addr addr;

	assert_int_equal(addr_parse(&addr, text), 0);
	return addr;
}

static unsigned entries(const char *map)
{
	uint8_t key[32];
	int fd = pinned(map);
	unsigned n = 0;

	for (void *at = NULL; !bpf_map_get_next_key(fd, at, key); at = key)
		n++;
	close(fd);
	return n;
}

/* Listeners */

/* The id of the listener that has this entry, or -1. */
static int listener_at(const char *ip, uint16_t port)
{
	struct sluice_listener_key key = { .port = htons(port), .protocol = IPPROTO_TCP };
	struct sluice_listener listener;
	int fd = pinned("listeners"), err;

	map_address(key.address, ip);
	err = bpf_map_lookup_elem(fd, &key, &listener);
	close(fd);
	return err ? -1 : (int)listener.id;
}

static void listeners_are_entered_changed_and_removed(void **state)
{
	struct sluice_listener listener = { .id = 7 };
	struct addr v4 = address("198.18.0.1:443"), v6 = address("[fd00::1]:443");

	assert_int_equal(bpf_listener_set(*state, &v4, &listener), 0);
	listener.id = 8;
	assert_int_equal(bpf_listener_set(*state, &v6, &listener), 0);
	assert_int_equal(listener_at("198.18.0.1", 443), 7);
	assert_int_equal(listener_at("fd00::1", 443), 8);
	listener.id = 9;
	assert_int_equal(bpf_listener_set(*state, &v6, &listener), 0);
	assert_int_equal(listener_at("fd00::1", 443), 9);
	assert_int_equal(bpf_listener_del(*state, &v4), 0);
	assert_int_equal(bpf_listener_del(*state, &v4), 0);
	assert_int_equal(listener_at("198.18.0.1", 443), -1);
	assert_int_equal(entries("listeners"), 1);
}

static void the_any_address_of_ipv6_takes_ipv4_too(void **state)
{
	struct sluice_listener listener = { .id = 1 }, other = { .id = 2 };
	struct addr any6 = address("[::]:443"), any4 = address("0.0.0.0:443");

	assert_int_equal(bpf_listener_set(*state, &any6, &listener), 0);
	assert_int_equal(listener_at("::", 443), 1);
	assert_int_equal(listener_at("0.0.0.0", 443), 1);
	assert_int_equal(bpf_listener_del(*state, &any6), 0);
	assert_int_equal(entries("listeners"), 0);
	/* A listener of IPv4's own keeps it. */
	assert_int_equal(bpf_listener_set(*state, &any4, &other), 0);
	assert_int_equal(bpf_listener_set(*state, &any6, &listener), 0);
	assert_int_equal(listener_at("0.0.0.0", 443), 2);
	assert_int_equal(bpf_listener_del(*state, &any6), 0);
	assert_int_equal(listener_at("0.0.0.0", 443), 2);
	assert_int_equal(bpf_listener_del(*state, &any4), 0);
	assert_int_equal(entries("listeners"), 0);
}

static void ids_out_of_range_are_refused(void **state)
{
	struct sluice_listener listener = { .id = SLUICE_MAX_LISTENERS };
	struct addr any = address("[::]:443");

	assert_int_equal(bpf_listener_set(*state, &any, &listener), -EINVAL);
	listener = (struct sluice_listener){ .slots = SLUICE_MAX_WORKERS + 1 };
	assert_int_equal(bpf_listener_set(*state, &any, &listener), -EINVAL);
	assert_int_equal(bpf_socket_set(*state, SLUICE_MAX_LISTENERS, 0, 0), -EINVAL);
	assert_int_equal(bpf_socket_set(*state, 0, SLUICE_MAX_WORKERS, 0), -EINVAL);
	assert_int_equal(bpf_socket_del(*state, 0, 5), 0); /* an empty place */
	assert_int_equal(entries("listeners"), 0);
}

/* Is a SYN to there for a listener, to the gate that the loader loaded? Its global hints, which no
 * map shows, must never hide a listener. */
static bool gate_finds(struct bpf *bpf, const char *source, const char *destination, uint16_t port)
{
	struct frame_spec spec = { .source = source, .destination = destination,
				   .source_port = 40000, .destination_port = port, .flags = SYN };
	struct sluice_verdict_count before[VERDICT_MAX], after[VERDICT_MAX];
	struct frame frame;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.bytes, .repeat = 1);

	frame_build(&frame, &spec);
	options.data_size_in = frame.len;
	assert_int_equal(bpf_read_verdicts(bpf, before), 0);
	assert_int_equal(bpf_prog_test_run_opts(bpf->gate_fd, &options), 0);
	assert_int_equal(bpf_read_verdicts(bpf, after), 0);
	if (after[VERDICT_PASS_NEW].packets > before[VERDICT_PASS_NEW].packets)
		return true;
	assert_int_equal(after[VERDICT_PASS_NOT_OURS].packets,
			 before[VERDICT_PASS_NOT_OURS].packets + 1);
	return false;
}

static void the_gate_finds_listeners_as_they_come_and_go(void **state)
{
	struct sluice_listener first = { .id = 1, .group = SLUICE_GROUP_NONE };
	struct sluice_listener second = { .id = 2, .group = SLUICE_GROUP_NONE };
	struct addr one = address("198.18.0.1:443"), two = address("198.18.0.2:443");
	struct addr any4 = address("0.0.0.0:443"), any6 = address("[::]:443");

	assert_false(gate_finds(*state, "198.18.0.9", "198.18.0.1", 443));
	assert_int_equal(bpf_listener_set(*state, &one, &first), 0);
	assert_int_equal(bpf_listener_set(*state, &two, &second), 0);
	assert_true(gate_finds(*state, "198.18.0.9", "198.18.0.1", 443));
	assert_true(gate_finds(*state, "198.18.0.9", "198.18.0.2", 443));
	assert_false(gate_finds(*state, "198.18.0.9", "198.18.0.3", 443));
	assert_false(gate_finds(*state, "198.18.0.9", "198.18.0.1", 442));
	assert_int_equal(bpf_listener_del(*state, &one), 0);
	assert_false(gate_finds(*state, "198.18.0.9", "198.18.0.1", 443));
	assert_true(gate_finds(*state, "198.18.0.9", "198.18.0.2", 443));
	assert_int_equal(bpf_listener_set(*state, &any6, &first), 0);
	assert_true(gate_finds(*state, "198.18.0.9", "203.0.113.1", 443));
	assert_true(gate_finds(*state, "fd00::9", "fd00::1", 443));
	assert_int_equal(bpf_listener_del(*state, &two), 0);
	assert_true(gate_finds(*state, "198.18.0.9", "198.18.0.2", 443));
	assert_int_equal(bpf_listener_del(*state, &any6), 0);
	assert_false(gate_finds(*state, "198.18.0.9", "198.18.0.2", 443));
	assert_false(gate_finds(*state, "fd00::9", "fd00::1", 443));
	assert_int_equal(bpf_listener_set(*state, &any4, &first), 0);
	assert_true(gate_finds(*state, "198.18.0.9", "198.18.0.2", 443));
	assert_false(gate_finds(*state, "fd00::9", "fd00::1", 443));
}

/* Counters */

static void counters_are_summed_over_cpus(void **state)
{
	int cpus = libbpf_num_possible_cpus(), fd;
	struct sluice_verdict_count *values = calloc((size_t)cpus, sizeof(*values));
	struct sluice_verdict_count counts[VERDICT_MAX];
	struct sluice_listener_stats *rows = calloc((size_t)cpus, sizeof(*rows)), sum;
	struct sluice_listener listener = { .id = 3 };
	struct addr any = address("0.0.0.0:443");
	__u32 key = VERDICT_DROP_ACL, id = 3;

	for (int i = 0; i < cpus; i++) {
		values[i] = (struct sluice_verdict_count){ 10, 600 };
		rows[i] = (struct sluice_listener_stats){ .packets = 5, .pick_fallback = 1 };
	}
	fd = pinned("verdicts");
	assert_int_equal(bpf_map_update_elem(fd, &key, values, BPF_ANY), 0);
	close(fd);
	fd = pinned("listener_stats");
	assert_int_equal(bpf_map_update_elem(fd, &id, rows, BPF_ANY), 0);
	close(fd);
	assert_int_equal(bpf_read_verdicts(*state, counts), 0);
	assert_int_equal(counts[VERDICT_DROP_ACL].packets, 10 * cpus);
	assert_int_equal(counts[VERDICT_DROP_ACL].bytes, 600 * cpus);
	assert_int_equal(counts[VERDICT_PASS_NEW].packets, 0);
	assert_int_equal(bpf_read_listener_stats(*state, 3, &sum), 0);
	assert_int_equal(sum.packets, 5 * cpus);
	assert_int_equal(sum.pick_fallback, cpus);
	assert_int_equal(bpf_read_listener_stats(*state, SLUICE_MAX_LISTENERS, &sum), -EINVAL);
	/* An id that goes takes its counts along. */
	assert_int_equal(bpf_listener_set(*state, &any, &listener), 0);
	assert_int_equal(bpf_listener_del(*state, &any), 0);
	assert_int_equal(bpf_read_listener_stats(*state, 3, &sum), 0);
	assert_int_equal(sum.packets, 0);
	free(values);
	free(rows);
}

/* Connections */

#define SOCKETS 3

static int listen_at(const char *text)
{
	struct addr addr = address(text);
	int one = 1, fd = socket(addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, &addr.sa, addr.len), 0);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

/* Connects, and says which of the sockets got it; accepted and closed. -1: none. */
static int who_gets(const int *sockets, const char *text)
{
	struct addr addr = address(text);
	int fd = socket(addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), got = -1;
	struct pollfd ready[SOCKETS];

	assert_int_equal(connect(fd, &addr.sa, addr.len), 0);
	for (int i = 0; i < SOCKETS; i++)
		ready[i] = (struct pollfd){ .fd = sockets[i], .events = POLLIN };
	assert_int_equal(poll(ready, SOCKETS, 2000), 1);
	for (int i = 0; i < SOCKETS; i++) {
		if (ready[i].revents & POLLIN) {
			got = i;
			close(accept(sockets[i], NULL, NULL));
		}
	}
	close(fd);
	return got;
}

static void real_connections_go_to_the_worker_that_was_picked(void **state)
{
	struct sluice_listener listener = { .id = 4, .slots = SOCKETS, .group = SLUICE_GROUP_NONE };
	struct addr any = address("[::]:8443");
	size_t bytes = SLUICE_MAX_WORKERS * sizeof(struct sluice_worker);
	struct sluice_listener_stats stats;
	struct sluice_worker *workers;
	int sockets[SOCKETS], fds[STATE_FDS];

	assert_int_equal(bpf_state_fds(*state, fds), 0);
	workers = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[STATE_FD_WORKERS], 0);
	assert_ptr_not_equal(workers, MAP_FAILED);
	assert_int_equal(bpf_listener_set(*state, &any, &listener), 0);
	for (uint32_t i = 0; i < SOCKETS; i++) {
		sockets[i] = listen_at("[::]:8443");
		assert_int_equal(bpf_socket_set(*state, 4, i, sockets[i]), 0);
		workers[i].connections = 10;
		workers[i].state = SLUICE_WORKER_LIVE;
		workers[i].heartbeat_ns = now_ns() + 60000000000ull;
	}
	assert_int_equal(bpf_attach_sk_lookup(*state, why, sizeof(why)), 0);
	for (int i = 0; i < 60; i++) {
		int favoured = i % SOCKETS, other = (i + 1) % SOCKETS, got;

		workers[favoured].connections = 1;
		workers[other].state = SLUICE_WORKER_DRAINING;
		got = who_gets(sockets, i & 1 ? "127.0.0.1:8443" : "[::1]:8443");
		assert_int_equal(got, favoured);
		workers[favoured].connections = 10;
		workers[other].state = SLUICE_WORKER_LIVE;
	}
	/* None alive: still served, by the kernel's choice. */
	for (int i = 0; i < SOCKETS; i++)
		workers[i].state = SLUICE_WORKER_DEAD;
	assert_in_range(who_gets(sockets, "127.0.0.1:8443"), 0, SOCKETS - 1);
	assert_int_equal(bpf_read_listener_stats(*state, 4, &stats), 0);
	assert_int_equal(stats.picked, 60);
	assert_int_equal(stats.pick_fallback, 1);
	munmap(workers, bytes);
	for (int i = 0; i < SOCKETS; i++)
		close(sockets[i]);
	for (int i = 0; i < STATE_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

#define TABLES_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const char *const tools[] = { "ip", NULL };
	const struct CMUnitTest tests[] = {
		TABLES_TEST(listeners_are_entered_changed_and_removed),
		TABLES_TEST(the_any_address_of_ipv6_takes_ipv4_too),
		TABLES_TEST(ids_out_of_range_are_refused),
		TABLES_TEST(the_gate_finds_listeners_as_they_come_and_go),
		TABLES_TEST(counters_are_summed_over_cpus),
		TABLES_TEST(real_connections_go_to_the_worker_that_was_picked),
	};
	int failed;

	if (!bpf_is_allowed() || !world_enter(tools))
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_leave();
	return failed;
}
