/* SPDX-License-Identifier: MIT */
/*
 * test_events.c - the gate's events as the loader reads them: what is in one, who gets them, the limit,
 * a full ring; and that nothing is done for events while nobody listens.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <poll.h>
#include <sys/mman.h>

#include "control/bpf_loader_acl.h"
#include "control/bpf_loader_impl.h"
#include "gate_help.h"
#include "world_help.h"

#define DENIED	"198.18.0.66"
#define DENIED6 "fd00::66"
#define SYN_FROM(from, to)                                                                         \
	{ .source = from, .destination = to, .source_port = 40000,                                 \
	  .destination_port = LISTENER_PORT, .flags = SYN }

static char why[BPF_WHY_MAX];

static struct world {
	struct bpf *bpf;
	struct sluice_switches *on;
	struct bpf_events *events;
	unsigned heard;
	struct sluice_event last;
} world;

static struct prefix prefix(const char *text)
{
	struct prefix prefix;

	assert_int_equal(prefix_parse(&prefix, text), 0);
	return prefix;
}

static int setup(void **state)
{
	struct bpf_options options = { .pin_path = world_pins };
	struct sluice_listener listener = { .id = 3, .group = SLUICE_GROUP_NONE };
	struct prefix deny[2] = { prefix(DENIED), prefix(DENIED6) };
	struct addr address;
	int fds[STATE_FDS];

	memset(&world, 0, sizeof(world));
	if (bpf_open(&world.bpf, &options, why, sizeof(why))) {
		print_error("%s\n", why);
		return -1;
	}
	assert_int_equal(bpf_state_fds(world.bpf, fds), 0);
	world.on = mmap(NULL, sizeof(*world.on), PROT_READ | PROT_WRITE, MAP_SHARED,
			fds[STATE_FD_SWITCHES], 0);
	assert_ptr_not_equal(world.on, MAP_FAILED);
	for (int i = 0; i < STATE_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	addr_parse(&address, "[::]:8443");
	assert_int_equal(bpf_listener_set(world.bpf, &address, &listener), 0);
	struct bpf_acl_list list = { .deny = deny, .n_deny = 2 };

	return bpf_acl_replace(world.bpf, 0, &list);
}

static int teardown(void **state)
{
	bpf_events_close(world.events);
	munmap(world.on, sizeof(*world.on));
	bpf_close(world.bpf, false);
	return 0;
}

static void on_event(void *context, const struct sluice_event *event)
{
	world.heard++;
	world.last = *event;
}

static void listen_for(uint64_t mask)
{
	if (!world.events)
		assert_int_equal(bpf_events_open(world.bpf, on_event, &world, &world.events), 0);
	world.on->events_mask = mask;
}

/* Takes what there is; how many. */
static unsigned take(void)
{
	unsigned before = world.heard;
	int n = bpf_events_take(world.events, 1 << 20);

	assert_int_equal(n, world.heard - before);
	return world.heard - before;
}

static struct frame run(const struct frame_spec *spec, unsigned times, unsigned action)
{
	struct frame frame;

	frame_build(&frame, spec);
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.bytes, .data_size_in = frame.len,
		    .repeat = (int)times);
	assert_int_equal(bpf_prog_test_run_opts(world.bpf->gate_fd, &options), 0);
	assert_int_equal(options.retval, action);
	return frame;
}

#define BIT(name) (1ull << VERDICT_##name)

static void check_addresses(const struct frame_spec *spec)
{
	__u32 source[4], destination[4];

	map_address(source, spec->source);
	map_address(destination, spec->destination);
	assert_memory_equal(world.last.source, source, sizeof(source));
	assert_memory_equal(world.last.destination, destination, sizeof(destination));
	assert_int_equal(world.last.known, 3);
	assert_int_equal(ntohs(world.last.source_port), spec->source_port);
	assert_int_equal(ntohs(world.last.destination_port), spec->destination_port);
	assert_int_equal(world.last.ipv4, !strchr(spec->source, ':'));
}

static void an_event_says_what_became_of_whom_and_has_the_frame(void **state)
{
	static const char *const addresses[][2] = {
		{ DENIED, "198.18.0.1" }, { DENIED6, "fd00::1" },
	};

	listen_for(BIT(DROP_ACL));
	for (int i = 0; i < 2; i++) {
		struct frame_spec spec = SYN_FROM(addresses[i][0], addresses[i][1]);
		uint64_t before_ns = now_ns();
		struct frame frame = run(&spec, 1, XDP_DROP);

		assert_int_equal(take(), 1);
		assert_int_equal(world.last.reason, VERDICT_DROP_ACL);
		assert_int_equal(world.last.listener, 3);
		assert_in_range(world.last.time_ns, before_ns, now_ns());
		check_addresses(&spec);
		assert_int_equal(world.last.packet_bytes, frame.len);
		assert_int_equal(world.last.snap_bytes, frame.len);
		assert_memory_equal(world.last.snap, frame.bytes, frame.len);
		for (uint32_t at = frame.len; at < SLUICE_EVENT_SNAP; at++)
			assert_int_equal(world.last.snap[at], 0);
	}
}

static void a_long_frame_is_cut_and_its_length_told(void **state)
{
	struct frame_spec spec = SYN_FROM(DENIED, "198.18.0.1");

	spec.payload_bytes = 1000;
	listen_for(BIT(DROP_ACL));
	struct frame frame = run(&spec, 1, XDP_DROP);

	assert_int_equal(take(), 1);
	assert_int_equal(world.last.packet_bytes, frame.len);
	assert_int_equal(world.last.snap_bytes, SLUICE_EVENT_SNAP);
	assert_memory_equal(world.last.snap, frame.bytes, SLUICE_EVENT_SNAP);
}

static void what_is_no_connection_has_no_ports(void **state)
{
	struct frame_spec spec = SYN_FROM("198.18.0.7", "198.18.0.1");

	spec.protocol = IPPROTO_UDP;
	listen_for(BIT(PASS_NOT_OURS));
	run(&spec, 1, XDP_PASS);
	assert_int_equal(take(), 1);
	assert_int_equal(world.last.reason, VERDICT_PASS_NOT_OURS);
	assert_int_equal(world.last.listener, SLUICE_EVENT_NO_LISTENER);
	assert_int_equal(world.last.known & 2, 0);
}

static void only_verdicts_that_somebody_listens_for_are_sent(void **state)
{
	struct frame_spec denied = SYN_FROM(DENIED, "198.18.0.1");
	struct frame_spec welcome = SYN_FROM("198.18.0.7", "198.18.0.1");
	struct frame_spec later = SYN_FROM("198.18.0.7", "198.18.0.1");

	later.flags = ACK;
	listen_for(BIT(PASS_NEW) | BIT(PASS_ESTABLISHED));
	run(&denied, 3, XDP_DROP);
	assert_int_equal(take(), 0);
	run(&welcome, 3, XDP_PASS);
	assert_int_equal(take(), 3);
	assert_int_equal(world.last.reason, VERDICT_PASS_NEW);
	run(&later, 2, XDP_PASS);
	assert_int_equal(take(), 2);
	assert_int_equal(world.last.reason, VERDICT_PASS_ESTABLISHED);
}

static void the_limit_holds_and_what_it_keeps_back_is_counted(void **state)
{
	struct frame_spec spec = SYN_FROM(DENIED, "198.18.0.1");

	world.on->events_interval_ns = HOUR_NS;
	world.on->events_tolerance_ns = 4 * HOUR_NS; /* a burst of 5 */
	listen_for(BIT(DROP_ACL));
	run(&spec, 100, XDP_DROP);
	assert_int_equal(take(), 5);
	assert_int_equal(world.on->events_limited, 95);
	assert_int_equal(world.on->events_lost, 0);
}

static void a_full_ring_loses_and_counts_and_goes_on(void **state)
{
	struct frame_spec spec = SYN_FROM(DENIED, "198.18.0.1");
	const unsigned many = 10000; /* more than 1 MiB of them */
	unsigned first;

	listen_for(BIT(DROP_ACL));
	run(&spec, many, XDP_DROP);
	first = take();
	assert_true(first > 3000 && first < many);
	assert_int_equal(world.on->events_lost, many - first);
	run(&spec, 10, XDP_DROP);
	assert_int_equal(take(), 10);
	assert_int_equal(world.on->events_lost, many - first);
}

static void a_turn_takes_no_more_than_it_is_told(void **state)
{
	struct frame_spec spec = SYN_FROM(DENIED, "198.18.0.1");
	struct pollfd wait = { .events = POLLIN };

	listen_for(BIT(DROP_ACL));
	wait.fd = bpf_events_fd(world.events);
	assert_int_equal(poll(&wait, 1, 0), 0);
	run(&spec, 50, XDP_DROP);
	assert_int_equal(bpf_events_take(world.events, 20), 20);
	assert_int_equal(poll(&wait, 1, 0), 1); /* there is more */
	assert_int_equal(bpf_events_take(world.events, 20), 20);
	assert_int_equal(bpf_events_take(world.events, 20), 10);
	assert_int_equal(bpf_events_take(world.events, 20), 0);
	assert_int_equal(poll(&wait, 1, 0), 0);
	assert_int_equal(world.heard, 50);
}

static void who_opens_it_gets_nothing_from_before(void **state)
{
	struct frame_spec spec = SYN_FROM(DENIED, "198.18.0.1");

	world.on->events_mask = BIT(DROP_ACL);
	run(&spec, 7, XDP_DROP);
	listen_for(BIT(DROP_ACL));
	assert_int_equal(take(), 0);
	run(&spec, 2, XDP_DROP);
	assert_int_equal(take(), 2);
	bpf_events_close(world.events);
	world.events = NULL;
	run(&spec, 7, XDP_DROP);
	listen_for(BIT(DROP_ACL));
	assert_int_equal(take(), 0);
}

/* The ring's producer position, mapped: what was ever reserved. */
static uint64_t ring_position(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const uint64_t *position = mmap(NULL, page, PROT_READ, MAP_SHARED,
					world.bpf->maps[MAP_events], (off_t)page);
	uint64_t value;

	assert_ptr_not_equal(position, MAP_FAILED);
	value = __atomic_load_n(position, __ATOMIC_ACQUIRE);
	munmap((void *)position, page);
	return value;
}

static void while_nobody_listens_no_clock_is_read_nor_ring_touched(void **state)
{
	struct frame_spec denied = SYN_FROM(DENIED, "198.18.0.1");
	struct frame_spec welcome = SYN_FROM("198.18.0.7", "198.18.0.1");

	world.on->events_interval_ns = 1000;
	for (int i = 0; i < 2; i++) {
		/* Nobody; then somebody, for what does not come. */
		world.on->events_mask = i ? BIT(DROP_TRUNCATED) : 0;
		run(&denied, 1000, XDP_DROP);
		run(&welcome, 1000, XDP_PASS);
		assert_int_equal(ring_position(), 0);
		assert_int_equal(world.on->events_tat_ns, 0);
		assert_int_equal(world.on->events_limited, 0);
		assert_int_equal(world.on->events_lost, 0);
	}
	world.on->events_mask = BIT(DROP_ACL);
	run(&denied, 1, XDP_DROP);
	assert_true(ring_position() > 0 && world.on->events_tat_ns);
}

int main(void)
{
	static const char *const tools[] = { "ip", NULL };
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(an_event_says_what_became_of_whom_and_has_the_frame),
		TEST(a_long_frame_is_cut_and_its_length_told),
		TEST(what_is_no_connection_has_no_ports),
		TEST(only_verdicts_that_somebody_listens_for_are_sent),
		TEST(the_limit_holds_and_what_it_keeps_back_is_counted),
		TEST(a_full_ring_loses_and_counts_and_goes_on),
		TEST(a_turn_takes_no_more_than_it_is_told),
		TEST(who_opens_it_gets_nothing_from_before),
		TEST(while_nobody_listens_no_clock_is_read_nor_ring_touched),
	};
	int failed;

	if (!bpf_is_allowed() || !world_enter(tools))
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_leave();
	return failed;
}
