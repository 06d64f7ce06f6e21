/* SPDX-License-Identifier: MIT */
/*
 * test_acl.c - access lists in the kernel: a list becomes exactly what is asked, entry by entry or
 * whole, in time at size, and no packet is judged by less than a list while one is swapped.
 */
#include <arpa/inet.h>
#include <pthread.h>

#include "control/bpf_loader_acl.h"
#include "control/bpf_loader_impl.h"
#include "gate_help.h"
#include "world_help.h"

#define ACL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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

static struct prefix prefix(const char *text)
{
	struct prefix parsed;

	assert_int_equal(prefix_parse(&parsed, text), 0);
	return parsed;
}

/* The entries of the global list that is in force, of one kind; -1: it has none. */
static int acl_map(const char *kind)
{
	int fd = pinned("acls"), map = -1;
	struct sluice_acl list;
	__u32 row = 0, id;

	assert_int_equal(bpf_map_lookup_elem(fd, &row, &list), 0);
	close(fd);
	row = list.active & SLUICE_ACL_GENERATION;
	fd = pinned(kind);
	if (!bpf_map_lookup_elem(fd, &row, &id))
		map = bpf_map_get_fd_by_id(id);
	close(fd);
	return map;
}

static unsigned acl_entries_of(const char *kind)
{
	uint8_t key[20], next[20];
	int fd = acl_map(kind);
	unsigned n = 0;

	for (bool first = true; fd >= 0 && !bpf_map_get_next_key(fd, first ? NULL : key, next);
	     first = false, n++)
		memcpy(key, next, sizeof(key));
	if (fd >= 0)
		close(fd);
	return n;
}

static uint32_t acl_v4_at(const char *ip, uint32_t bits)
{
	struct sluice_acl_v4_key key = { bits, inet_addr(ip) };
	struct sluice_acl_entry entry = { 0 };
	int fd = acl_map("acl_v4");

	bpf_map_lookup_elem(fd, &key, &entry);
	close(fd);
	return entry.action;
}

static uint32_t acl_exact_at(const char *ip)
{
	struct sluice_acl_entry entry = { 0 };
	int fd = acl_map("acl_exact");
	__u32 key[4];

	map_address(key, ip);
	bpf_map_lookup_elem(fd, key, &entry);
	close(fd);
	return entry.action;
}

static int acl_replace(struct bpf *bpf, const struct prefix *deny, size_t n_deny,
		       const struct prefix *allow, size_t n_allow)
{
	struct bpf_acl_list list = { .deny = deny, .n_deny = n_deny, .allow = allow,
				     .n_allow = n_allow };

	return bpf_acl_replace(bpf, 0, &list);
}

static void the_acl_becomes_exactly_what_is_asked(void **state)
{
	struct prefix deny[] = { prefix("203.0.113.0/24"), prefix("2001:db8::/48"),
				 prefix("198.18.7.7"), prefix("fd00::7") };
	struct prefix allow[] = { prefix("198.18.0.0/15"), prefix("10.0.0.0/8") };

	assert_int_equal(acl_replace(*state, deny, 4, allow, 2), 0);
	assert_int_equal(acl_entries_of("acl_exact"), 2);
	assert_int_equal(acl_entries_of("acl_v4"), 3);
	assert_int_equal(acl_entries_of("acl_v6"), 1);
	assert_int_equal(acl_v4_at("203.0.113.0", 24), SLUICE_ACL_DENY);
	assert_int_equal(acl_v4_at("10.1.2.3", 32), SLUICE_ACL_ALLOW);
	assert_int_equal(acl_exact_at("198.18.7.7"), SLUICE_ACL_DENY);
	/* One stays, one changes its side, one is new, the others go. */
	deny[1] = prefix("10.0.0.0/8");
	allow[0] = prefix("192.0.2.0/24");
	assert_int_equal(acl_replace(*state, deny, 2, allow, 1), 0);
	assert_int_equal(acl_entries_of("acl_exact"), 0);
	assert_int_equal(acl_entries_of("acl_v4"), 3);
	assert_int_equal(acl_entries_of("acl_v6"), 0);
	assert_int_equal(acl_v4_at("203.0.113.9", 32), SLUICE_ACL_DENY);
	assert_int_equal(acl_v4_at("10.1.2.3", 32), SLUICE_ACL_DENY);
	assert_int_equal(acl_v4_at("192.0.2.1", 32), SLUICE_ACL_ALLOW);
	assert_int_equal(acl_v4_at("198.18.0.1", 32), 0);
	assert_int_equal(acl_replace(*state, NULL, 0, NULL, 0), 0);
	assert_int_equal(acl_entries_of("acl_v4"), 0);
}

static void what_is_in_both_lists_is_denied(void **state)
{
	struct prefix both[] = { prefix("10.0.0.0/8"), prefix("198.18.7.7"), prefix("198.18.7.7") };

	assert_int_equal(acl_replace(*state, both, 3, both, 3), 0);
	assert_int_equal(acl_v4_at("10.0.0.1", 32), SLUICE_ACL_DENY);
	assert_int_equal(acl_exact_at("198.18.7.7"), SLUICE_ACL_DENY);
	assert_int_equal(acl_entries_of("acl_exact"), 1);
}

static void mapped_prefixes_are_ipv4(void **state)
{
	struct prefix deny[] = { prefix("::ffff:10.0.0.0/104"), prefix("::ffff:198.18.7.7") };

	assert_int_equal(acl_replace(*state, deny, 2, NULL, 0), 0);
	assert_int_equal(acl_v4_at("10.9.9.9", 32), SLUICE_ACL_DENY);
	assert_int_equal(acl_exact_at("198.18.7.7"), SLUICE_ACL_DENY);
	assert_int_equal(acl_entries_of("acl_v6"), 0);
}

static void a_full_acl_can_be_exchanged_and_an_over_full_one_is_refused(void **state)
{
	struct prefix *deny = calloc(SLUICE_MAX_ACL_PREFIXES + 1, sizeof(*deny));

	assert_non_null(deny);
	for (uint32_t i = 0; i <= SLUICE_MAX_ACL_PREFIXES; i++) {
		uint32_t ip = htonl(10u << 24 | i << 4);

		deny[i] = (struct prefix){ .family = AF_INET, .len = 28 };
		memcpy(deny[i].bytes, &ip, 4);
	}
	assert_int_equal(acl_replace(*state, deny, SLUICE_MAX_ACL_PREFIXES, NULL, 0), 0);
	assert_int_equal(acl_v4_at("10.0.0.1", 32), SLUICE_ACL_DENY);
	assert_int_equal(acl_replace(*state, deny, SLUICE_MAX_ACL_PREFIXES + 1, NULL, 0), -E2BIG);
	assert_int_equal(acl_v4_at("10.0.0.1", 32), SLUICE_ACL_DENY);
	/* All but the first, and the one that did not fit before. */
	assert_int_equal(acl_replace(*state, deny + 1, SLUICE_MAX_ACL_PREFIXES, NULL, 0), 0);
	assert_int_equal(acl_v4_at("10.0.0.1", 32), 0);
	assert_int_equal(acl_v4_at("10.32.0.1", 32), SLUICE_ACL_DENY);
	free(deny);
}

/* Entries one by one */

static struct bpf_acl_edit edit(const char *text, uint8_t action)
{
	return (struct bpf_acl_edit){ .prefix = prefix(text), .action = action };
}

static void single_entries_come_and_go_and_what_they_hide_comes_back(void **state)
{
	struct bpf_acl_edit exact = edit("198.18.7.7", SLUICE_ACL_DENY);
	struct bpf_acl_edit over = edit("10.0.0.0/8", SLUICE_ACL_ALLOW);
	struct bpf_acl_edit inside = edit("10.1.0.0/16", SLUICE_ACL_ALLOW);
	struct prefix deny[] = { prefix("10.0.0.0/8") };

	/* into an empty list */
	assert_true(bpf_acl_is_empty(*state, 0));
	assert_int_equal(bpf_acl_add(*state, 0, &exact), 0);
	assert_int_equal(exact.under, 0);
	assert_false(bpf_acl_is_empty(*state, 0));
	assert_int_equal(acl_exact_at("198.18.7.7"), SLUICE_ACL_DENY);
	assert_int_equal(bpf_acl_del(*state, 0, &exact), 0);
	assert_int_equal(acl_exact_at("198.18.7.7"), 0);
	assert_int_equal(bpf_acl_del(*state, 0, &exact), 0); /* gone already */
	/* over a file's entry; a longer one beside it hides nothing */
	assert_int_equal(acl_replace(*state, deny, 1, NULL, 0), 0);
	assert_int_equal(bpf_acl_add(*state, 0, &over), 0);
	assert_int_equal(over.under, SLUICE_ACL_DENY);
	assert_int_equal(bpf_acl_add(*state, 0, &inside), 0);
	assert_int_equal(inside.under, 0);
	assert_int_equal(acl_v4_at("10.9.9.9", 32), SLUICE_ACL_ALLOW);
	over.action = SLUICE_ACL_DENY; /* once more: what is under it is still the file's */
	assert_int_equal(bpf_acl_add(*state, 0, &over), 0);
	assert_int_equal(over.under, SLUICE_ACL_DENY);
	assert_int_equal(bpf_acl_del(*state, 0, &inside), 0);
	assert_int_equal(bpf_acl_del(*state, 0, &over), 0);
	assert_int_equal(acl_v4_at("10.1.9.9", 32), SLUICE_ACL_DENY);
	assert_int_equal(acl_entries_of("acl_v4"), 1);
}

static void a_replaced_list_keeps_its_edits(void **state)
{
	struct bpf_acl_edit edits[] = { edit("10.0.0.0/8", SLUICE_ACL_ALLOW),
					edit("198.18.7.7", SLUICE_ACL_DENY) };
	struct prefix deny[] = { prefix("10.0.0.0/8"), prefix("192.0.2.1") };
	struct bpf_acl_list list = { .deny = deny, .n_deny = 2, .edits = edits, .n_edits = 2 };

	assert_int_equal(bpf_acl_replace(*state, 0, &list), 0);
	assert_int_equal(edits[0].under, SLUICE_ACL_DENY);
	assert_int_equal(edits[1].under, 0);
	assert_int_equal(acl_v4_at("10.0.0.1", 32), SLUICE_ACL_ALLOW);
	assert_int_equal(acl_exact_at("198.18.7.7"), SLUICE_ACL_DENY);
	list.n_deny = 0;
	assert_int_equal(bpf_acl_replace(*state, 0, &list), 0);
	assert_int_equal(edits[0].under, 0); /* the file has it no more */
	assert_int_equal(bpf_acl_del(*state, 0, &edits[0]), 0);
	assert_int_equal(acl_v4_at("10.0.0.1", 32), 0);
	assert_int_equal(acl_entries_of("acl_exact"), 1);
}

static void a_full_list_says_so_and_a_replace_makes_room(void **state)
{
	struct bpf_acl_edit one = { .prefix = { .family = AF_INET, .len = 32 },
				    .action = SLUICE_ACL_DENY };
	struct prefix deny[] = { prefix("192.0.2.1") };
	unsigned n = 0;
	int err;

	assert_int_equal(acl_replace(*state, deny, 1, NULL, 0), 0);
	do {
		uint32_t ip = htonl(10u << 24 | n++);

		memcpy(one.prefix.bytes, &ip, 4);
		err = bpf_acl_add(*state, 0, &one);
	} while (!err && n < 100000);
	assert_int_equal(err, -E2BIG);
	assert_true(n > 4000);
	assert_int_equal(acl_exact_at("192.0.2.1"), SLUICE_ACL_DENY);
	assert_int_equal(acl_replace(*state, deny, 1, NULL, 0), 0);
	assert_int_equal(bpf_acl_add(*state, 0, &one), 0);
}

/* Under traffic */

struct traffic {
	struct bpf *bpf;
	struct frame denied, allowed;
	unsigned runs, wrong;
	bool stop;
};

static unsigned run_gate(struct bpf *bpf, struct frame *frame)
{
	uint8_t out[FRAME_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->bytes,
		    .data_size_in = frame->len, .data_out = out, .data_size_out = sizeof(out),
		    .repeat = 1);

	return bpf_prog_test_run_opts(bpf->gate_fd, &options) ? XDP_ABORTED : options.retval;
}

static void *on_traffic(void *context)
{
	struct traffic *traffic = context;

	while (!__atomic_load_n(&traffic->stop, __ATOMIC_RELAXED)) {
		traffic->wrong += run_gate(traffic->bpf, &traffic->denied) != XDP_DROP;
		traffic->wrong += run_gate(traffic->bpf, &traffic->allowed) != XDP_PASS;
		__atomic_fetch_add(&traffic->runs, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void syn_from(struct frame *frame, const char *source)
{
	const struct frame_spec spec = { .source = source, .destination = "198.18.0.1",
					 .source_port = 40000, .destination_port = 443,
					 .flags = SYN };

	frame_build(frame, &spec);
}

/*
 * One source that each list denies and one that each list lets in, though by other entries: as an
 * address, as a prefix, by nothing but the allow list. Any packet between two lists would show.
 */
static void no_packet_meets_less_than_a_list_while_one_is_swapped(void **state)
{
	struct prefix deny_exact[] = { prefix("198.18.5.5"), prefix("203.0.113.0/24") };
	struct prefix deny_prefix[] = { prefix("198.18.5.0/24") };
	struct prefix allow_exact[] = { prefix("198.18.6.6") };
	struct prefix allow_prefix[] = { prefix("198.18.6.0/24"), prefix("fd00::/8") };
	struct bpf_acl_list lists[] = {
		{ deny_exact, allow_exact, 2, 1, NULL, 0 },
		{ deny_prefix, allow_prefix, 1, 2, NULL, 0 },
		{ NULL, allow_prefix, 0, 2, NULL, 0 },
		{ deny_prefix, NULL, 1, 0, NULL, 0 },
	};
	struct sluice_listener listener = { .id = 1, .group = SLUICE_GROUP_NONE, .acl = 2 };
	struct traffic traffic = { .bpf = *state };
	struct addr address;
	pthread_t thread;

	assert_int_equal(addr_parse(&address, "198.18.0.1:443"), 0);
	assert_int_equal(bpf_listener_set(*state, &address, &listener), 0);
	syn_from(&traffic.denied, "198.18.5.5");
	syn_from(&traffic.allowed, "198.18.6.6");
	for (uint32_t acl = 0; acl < 3; acl += 2) { /* the global list, then the listener's own */
		assert_int_equal(bpf_acl_replace(*state, acl, &lists[0]), 0);
		traffic.stop = false;
		traffic.runs = 0;
		assert_int_equal(pthread_create(&thread, NULL, on_traffic, &traffic), 0);
		for (unsigned i = 1; i <= 30; i++)
			assert_int_equal(bpf_acl_replace(*state, acl, &lists[i % 4]), 0);
		while (__atomic_load_n(&traffic.runs, __ATOMIC_RELAXED) < 200)
			sched_yield();
		__atomic_store_n(&traffic.stop, true, __ATOMIC_RELAXED);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(traffic.wrong, 0);
		print_message("%u packets of each source over 30 swaps\n", traffic.runs);
		lists[3].n_deny = 0;
		assert_int_equal(bpf_acl_replace(*state, acl, &lists[3]), 0);
		lists[3].n_deny = 1;
	}
}

/* At size */

static void a_million_addresses_and_100k_prefixes_are_in_force_within_seconds(void **state)
{
	size_t exact = 1000000, prefixes = 100000;
	struct prefix *deny = calloc(exact + prefixes, sizeof(*deny));
	const char *slower = getenv("SLUICE_SLOWER");
	clock_t begun, took; /* of the processor: others may be busy */

	assert_non_null(deny);
	for (size_t i = 0; i < exact + prefixes; i++) {
		uint32_t ip = i < exact ? htonl(10u << 24 | (uint32_t)i) :
					  htonl((20u << 24) + ((uint32_t)(i - exact) << 8));

		deny[i] = (struct prefix){ .family = AF_INET, .len = i < exact ? 32 : 24 };
		memcpy(deny[i].bytes, &ip, 4);
	}
	begun = clock();
	assert_int_equal(acl_replace(*state, deny, exact + prefixes, NULL, 0), 0);
	took = clock() - begun;
	print_message("1,000,000 addresses and 100,000 prefixes: %.2f s\n",
		      (double)took / CLOCKS_PER_SEC);
	assert_true((double)took < 10.0 * CLOCKS_PER_SEC * (slower ? atof(slower) : 1));
	assert_int_equal(acl_exact_at("10.15.66.63"), SLUICE_ACL_DENY);
	assert_int_equal(acl_exact_at("10.15.66.64"), 0);
	assert_int_equal(acl_v4_at("21.134.159.9", 32), SLUICE_ACL_DENY);
	assert_int_equal(acl_v4_at("21.134.160.9", 32), 0);
	free(deny);
}

int main(void)
{
	static const char *const tools[] = { "ip", NULL };
	const struct CMUnitTest tests[] = {
		ACL_TEST(the_acl_becomes_exactly_what_is_asked),
		ACL_TEST(what_is_in_both_lists_is_denied),
		ACL_TEST(mapped_prefixes_are_ipv4),
		ACL_TEST(a_full_acl_can_be_exchanged_and_an_over_full_one_is_refused),
		ACL_TEST(single_entries_come_and_go_and_what_they_hide_comes_back),
		ACL_TEST(a_replaced_list_keeps_its_edits),
		ACL_TEST(a_full_list_says_so_and_a_replace_makes_room),
		ACL_TEST(no_packet_meets_less_than_a_list_while_one_is_swapped),
		ACL_TEST(a_million_addresses_and_100k_prefixes_are_in_force_within_seconds),
	};
	int failed;

	if (!bpf_is_allowed() || !world_enter(tools))
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_leave();
	return failed;
}
