/* SPDX-License-Identifier: MIT */
/*
 * test_ports.c - the gate's own copy of the listeners (include/sluice/ports.h), as the loader keeps it:
 * whatever is entered, changed and removed, the gate finds what a look-up in the map would.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

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

static struct sluice_ports *shared(struct bpf *bpf)
{
	return (struct sluice_ports *)&((struct gate_bpf__bss *)bpf->gate_data)->ports;
}

static struct addr make_address(const char *ip, unsigned port)
{
	struct addr addr;
	char text[80];

	snprintf(text, sizeof(text), strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, port);
	assert_int_equal(addr_parse(&addr, text), 0);
	return addr;
}

static void set_listener(struct bpf *bpf, const char *ip, unsigned port, __u32 id, __u32 group)
{
	struct sluice_listener listener = { .id = id, .group = group };
	struct addr addr = make_address(ip, port);

	assert_int_equal(bpf_listener_set(bpf, &addr, &listener), 0);
}

static void del_listener(struct bpf *bpf, const char *ip, unsigned port)
{
	struct addr addr = make_address(ip, port);

	assert_int_equal(bpf_listener_del(bpf, &addr), 0);
}

/* Which listener the gate finds for a SYN: the one whose packets it counted, or -1. */
static int found(struct bpf *bpf, const char *ip, unsigned port)
{
	struct sluice_listener_stats stats[SLUICE_MAX_LISTENERS];
	struct frame_spec spec = { .source = strchr(ip, ':') ? "fd00::9" : "198.18.0.9",
				   .destination = ip, .source_port = 40000,
				   .destination_port = (uint16_t)port, .flags = ACK };
	struct frame frame;
	uint8_t out[FRAME_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.bytes, .data_out = out,
		    .data_size_out = sizeof(out), .repeat = 1);
	int id = -1;

	for (__u32 i = 0; i < 40; i++)
		assert_int_equal(bpf_read_listener_stats(bpf, i, &stats[i]), 0);
	frame_build(&frame, &spec);
	options.data_size_in = frame.len;
	assert_int_equal(bpf_prog_test_run_opts(bpf->gate_fd, &options), 0);
	assert_int_equal(options.retval, XDP_PASS);
	for (__u32 i = 0; i < 40; i++) {
		struct sluice_listener_stats after;

		assert_int_equal(bpf_read_listener_stats(bpf, i, &after), 0);
		if (after.packets == stats[i].packets)
			continue;
		assert_int_equal(after.packets, stats[i].packets + 1);
		assert_int_equal(id, -1);
		id = (int)i;
	}
	return id;
}

/* What the map says. */
static int wanted(struct bpf *bpf, const char *ip, unsigned port)
{
	struct sluice_listener_key key = { .port = htons((uint16_t)port), .protocol = IPPROTO_TCP };
	struct sluice_listener listener;
	int fd = bpf->maps[MAP_listeners];

	map_address(key.address, ip);
	if (!bpf_map_lookup_elem(fd, &key, &listener))
		return (int)listener.id;
	map_address(key.address, strchr(ip, ':') ? "::" : "0.0.0.0");
	return bpf_map_lookup_elem(fd, &key, &listener) ? -1 : (int)listener.id;
}

static void the_address_comes_first_then_any(void **state)
{
	set_listener(*state, "198.18.0.1", 443, 1, 0);
	set_listener(*state, "0.0.0.0", 443, 2, 0);
	set_listener(*state, "fd00::1", 443, 3, 0);
	assert_int_equal(found(*state, "198.18.0.1", 443), 1);
	assert_int_equal(found(*state, "198.18.0.2", 443), 2);
	assert_int_equal(found(*state, "fd00::1", 443), 3);
	assert_int_equal(found(*state, "fd00::2", 443), -1);
	assert_int_equal(found(*state, "198.18.0.1", 444), -1);
	set_listener(*state, "::", 443, 4, 0);
	assert_int_equal(found(*state, "198.18.0.2", 443), 2);
	assert_int_equal(found(*state, "fd00::2", 443), 4);
	del_listener(*state, "198.18.0.1", 443);
	assert_int_equal(found(*state, "198.18.0.1", 443), 2);
	del_listener(*state, "0.0.0.0", 443);
	assert_int_equal(found(*state, "198.18.0.1", 443), -1);
	del_listener(*state, "::", 443);
	assert_int_equal(found(*state, "fd00::2", 443), -1);
	assert_int_equal(found(*state, "fd00::1", 443), 3);
	assert_int_equal(shared(*state)->complete, 1);
}

static void a_changed_listener_gets_another_row(void **state)
{
	struct sluice_listener_key key = { .port = htons(443), .protocol = IPPROTO_TCP };
	struct sluice_ports *ports = shared(*state);
	uint32_t set, before;

	set_listener(*state, "198.18.0.1", 443, 1, 5);
	map_address(key.address, "198.18.0.1");
	set = ports_hash(&key) % SLUICE_PORTS_SETS;
	before = ports->ways[set][0];
	set_listener(*state, "198.18.0.1", 443, 1, 6);
	assert_int_not_equal(ports->ways[set][0], before);
	/* What a packet under way holds in its hands stays as it was. */
	assert_int_equal(ports->rows[(before & 0xffff) - 1].listener.group, 5);
	assert_int_equal(ports->rows[(ports->ways[set][0] & 0xffff) - 1].listener.group, 6);
	/* Every row can be used again, many times over. */
	for (unsigned i = 0; i < 3 * SLUICE_PORTS_ROWS; i++)
		set_listener(*state, "198.18.0.1", 443, 1, i);
	assert_int_equal(ports->rows[(ports->ways[set][0] & 0xffff) - 1].listener.group,
			 3 * SLUICE_PORTS_ROWS - 1);
	assert_int_equal(found(*state, "198.18.0.1", 443), 1);
}

/* More entries of one set than it has ways. */
static void a_full_set_sends_the_gate_to_the_map(void **state)
{
	unsigned ports[SLUICE_PORTS_WAYS + 2], n = 0;
	uint32_t set = 0;

	for (unsigned port = 1; n < SLUICE_PORTS_WAYS + 2; port++) {
		struct sluice_listener_key key = { .port = htons((uint16_t)port),
						   .protocol = IPPROTO_TCP };

		assert_true(port < 65536);
		map_address(key.address, "198.18.0.1");
		if (!n)
			set = ports_hash(&key) % SLUICE_PORTS_SETS;
		if (ports_hash(&key) % SLUICE_PORTS_SETS == set)
			ports[n++] = port;
	}
	for (unsigned i = 0; i < n; i++) {
		set_listener(*state, "198.18.0.1", ports[i], i, 0);
		assert_int_equal(shared(*state)->complete, i < SLUICE_PORTS_WAYS);
		for (unsigned j = 0; j < n; j++)
			assert_int_equal(found(*state, "198.18.0.1", ports[j]), j <= i ? (int)j : -1);
	}
	/* Changed, it still is not in the table. */
	set_listener(*state, "198.18.0.1", ports[n - 1], 30, 0);
	assert_int_equal(found(*state, "198.18.0.1", ports[n - 1]), 30);
	for (unsigned i = 0; i < n; i++) {
		unsigned gone = (i + SLUICE_PORTS_WAYS) % n; /* those in the map alone first */

		del_listener(*state, "198.18.0.1", ports[gone]);
		assert_int_equal(found(*state, "198.18.0.1", ports[gone]), -1);
		assert_int_equal(shared(*state)->complete, i > 0);
	}
}

static void entries_by_chance_are_found_as_the_map_has_them(void **state)
{
	static const char *const ips[] = { "198.18.0.1", "198.18.0.2", "0.0.0.0", "fd00::1",
					   "fd00::1:0:0:1", "::" };
	const char *seed_text = getenv("SLUICE_SEED");
	uint64_t seed = seed_text ? strtoull(seed_text, NULL, 0) : now_ns();

	print_message("SLUICE_SEED=%llu\n", (unsigned long long)seed);
	srand((unsigned)seed);
	for (unsigned i = 0; i < 1500; i++) {
		const char *ip = ips[rand() % 6];
		unsigned port = 8000 + (unsigned)(rand() % 6) * 64;

		if (rand() % 3)
			set_listener(*state, ip, port, (__u32)(rand() % 40), 0);
		else
			del_listener(*state, ip, port);
		ip = ips[(unsigned[]){ 0, 1, 3, 4 }[rand() % 4]];
		port = 8000 + (unsigned)(rand() % 6) * 64;
		assert_int_equal(found(*state, ip, port), wanted(*state, ip, port));
	}
}

#define PORTS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const char *const tools[] = { "ip", NULL };
	const struct CMUnitTest tests[] = {
		PORTS_TEST(the_address_comes_first_then_any),
		PORTS_TEST(a_changed_listener_gets_another_row),
		PORTS_TEST(a_full_set_sends_the_gate_to_the_map),
		PORTS_TEST(entries_by_chance_are_found_as_the_map_has_them),
	};
	int failed;

	if (!bpf_is_allowed() || !world_enter(tools))
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_leave();
	return failed;
}
