/* SPDX-License-Identifier: MIT */
/*
 * test_explain.c - the explaining instances: each verdict is explained as the live program then gives it,
 * with what it met on its way; and nothing live has changed by it, in no map, socket or counter.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "control/bpf_loader_explain.h"
#include "control/bpf_loader_impl.h"
#include "gate_help.h"
#include "live_hash.h"
#include "sluice/source.h"
#include "world_help.h"

#define ID	   3
#define GROUP	   7
#define SECOND_NS  1000000000ull

struct world {
	struct bpf *bpf;
	struct sluice_listener listener;
	struct sluice_switches *switches;
	struct sluice_source_set *sources;
	int socket;
	unsigned asked;
	char why[BPF_WHY_MAX];
};

/* The world */

/* One socket for both families, as a listener on [::] has. */
static int listen_on_any(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(LISTENER_PORT) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void set_listener(struct world *world)
{
	struct addr address;

	assert_int_equal(addr_from_ip(&address, "198.18.0.1", LISTENER_PORT), 0);
	assert_int_equal(bpf_listener_set(world->bpf, &address, &world->listener), 0);
	assert_int_equal(addr_from_ip(&address, "fd00::1", LISTENER_PORT), 0);
	assert_int_equal(bpf_listener_set(world->bpf, &address, &world->listener), 0);
}

static void set_group(struct world *world, __u32 live, enum sluice_on_all_down on_all_down)
{
	struct sluice_group group = { .live = live, .total = 2, .used = 1, .name = "g",
				      .on_all_down = on_all_down };
	__u32 id = GROUP;

	assert_int_equal(bpf_map_update_elem(world->bpf->maps[MAP_groups], &id, &group, BPF_ANY),
			 0);
}

static void *map_memory(int fd, size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static int setup(void **state)
{
	struct bpf_options options = { .pin_path = world_pins };
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	if (bpf_open(&world->bpf, &options, world->why, sizeof(world->why)))
		fail_msg("bpf_open: %s\n%s", world->why, bpf_library_log());
	world->switches = map_memory(world->bpf->maps[MAP_switches], sizeof(*world->switches));
	world->sources = map_memory(world->bpf->maps[MAP_source_states],
				    SLUICE_SOURCE_SETS * sizeof(*world->sources));
	world->switches->v4_prefix = 32;
	world->switches->v6_prefix = 64;
	world->switches->hash_key[1] = 0x123456789abcdef1;
	world->socket = listen_on_any();
	/* Somebody listens for everything: an explanation is not told to him. */
	world->switches->events_mask = ~0ull;
	world->switches->events_interval_ns = 1;
	world->switches->events_tolerance_ns = SECOND_NS;
	world->listener = (struct sluice_listener){ .id = ID, .group = GROUP, .slots = 1 };
	set_group(world, 2, SLUICE_ALL_DOWN_ACCEPT);
	set_listener(world);
	assert_int_equal(bpf_socket_set(world->bpf, ID, 0, world->socket), 0);
	/* It counts each look-up, that of the gate too. */
	assert_int_equal(bpf_attach_sk_lookup(world->bpf, world->why, sizeof(world->why)), 0);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	munmap(world->switches, sizeof(*world->switches));
	munmap(world->sources, SLUICE_SOURCE_SETS * sizeof(*world->sources));
	close(world->socket);
	bpf_close(world->bpf, false);
	free(world);
	return 0;
}

/* A packet to be explained: of ours unless changed. */
struct question {
	bool ipv6, ack;
	uint16_t port;
	struct sluice_trace_given given;
};

static const char *source_of_question(const struct question *question)
{
	return question->ipv6 ? "fd00::9" : "198.18.0.9";
}

static struct bpf_explain_packet make_packet(const struct question *question)
{
	struct bpf_explain_packet packet = { .ack = question->ack, .given = question->given };
	uint16_t port = question->port ? question->port : LISTENER_PORT;

	assert_int_equal(addr_from_ip(&packet.source, source_of_question(question), 40000), 0);
	assert_int_equal(addr_from_ip(&packet.destination,
				      question->ipv6 ? "fd00::1" : "198.18.0.1", port), 0);
	return packet;
}

/* Of the live program: what it gives the same packet. It counts. */
static unsigned run_live(struct world *world, const struct question *question)
{
	struct frame_spec v4 = { SPEC_V4, .flags = SYN }, v6 = { SPEC_V6, .flags = SYN };
	struct frame_spec *spec = question->ipv6 ? &v6 : &v4;
	struct sluice_verdict_count before[VERDICT_MAX], after[VERDICT_MAX];
	struct frame frame;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.bytes, .repeat = 1);

	spec->source = source_of_question(question);
	spec->flags = question->ack ? ACK : SYN;
	if (question->port)
		spec->destination_port = question->port;
	frame_build(&frame, spec);
	options.data_size_in = frame.len;
	assert_int_equal(bpf_read_verdicts(world->bpf, before), 0);
	assert_int_equal(bpf_prog_test_run_opts(world->bpf->gate_fd, &options), 0);
	assert_int_equal(bpf_read_verdicts(world->bpf, after), 0);
	for (unsigned i = 0; i < VERDICT_MAX; i++)
		if (after[i].packets != before[i].packets)
			return i;
	return VERDICT_MAX;
}

/* Explains, sees that nothing changed, and that the live program agrees. */
static struct bpf_explanation ask(struct world *world, const struct question *question,
				  unsigned want, const char *file, int line)
{
	struct bpf_explain_packet packet = make_packet(question);
	struct bpf_explanation found;
	bool first = !world->asked++;
	uint64_t before = live_hash(world->bpf, ID, first);

	if (bpf_explain_gate(world->bpf, &packet, &found, world->why, sizeof(world->why))) {
		print_error("%s\n%s\n", world->why, bpf_library_log());
		_fail(file, line);
	}
	if (live_hash(world->bpf, ID, first) != before) {
		print_error("something live has changed\n");
		_fail(file, line);
	}
	check_verdict(found.verdict, want, file, line);
	check_verdict(run_live(world, question), want, file, line);
	return found;
}

#define EXPLAINED(world, want, ...)                                                                \
	ask(world, &(struct question){ __VA_ARGS__ }, VERDICT_##want, __FILE__, __LINE__)

static void assert_steps(const struct bpf_explanation *found, __u32 want)
{
	if (found->trace.steps != want)
		fail_msg("steps %x, want %x", found->trace.steps, want);
}

/* Tests. Each question loads a program, which takes seconds in an emulated machine: so both families
 * where it matters to the account, else one or the other. */

#define FOR_BOTH(v6) for (int v6 = 0; v6 < 2; v6++)
#define FOR_V4(v6)   for (int v6 = 0; v6 < 1; v6++)
#define FOR_V6(v6)   for (int v6 = 1; v6 < 2; v6++)
#define PLAIN_STEPS (SLUICE_TRACE_LISTENER | SLUICE_TRACE_ACL | SLUICE_TRACE_GROUP)

static void a_new_connection_and_what_it_meets(void **state)
{
	FOR_BOTH(v6) {
		struct bpf_explanation found = EXPLAINED(*state, PASS_NEW, .ipv6 = v6);

		assert_steps(&found, PLAIN_STEPS);
		assert_int_equal(found.action, XDP_PASS);
		assert_true(found.is_listener);
		assert_int_equal(found.trace.listener, ID);
		assert_int_equal(found.trace.group, GROUP);
		assert_int_equal(found.trace.group_live, 2);
		assert_int_equal(found.trace.acl_global | found.trace.acl_own, 0);
	}
}

static void what_is_for_nobody(void **state)
{
	FOR_V6(v6) {
		struct bpf_explanation found = EXPLAINED(*state, PASS_NOT_OURS, .ipv6 = v6,
							 .port = 22);

		assert_steps(&found, 0);
		assert_false(found.is_listener);
	}
}

static void a_later_packet_where_nobody_needs_to_know_whose(void **state)
{
	FOR_V4(v6) {
		struct bpf_explanation found = EXPLAINED(*state, PASS_ESTABLISHED, .ipv6 = v6,
							 .ack = true);

		assert_steps(&found, SLUICE_TRACE_LISTENER);
	}
}

static void put_entry(struct world *world, __u32 acl, const struct sluice_acl_entry *entry)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	struct sluice_acl_v4_key key = { .prefixlen = entry->prefixlen - 96 };
	struct sluice_acl_v6_key key6 = { .prefixlen = entry->prefixlen - 96 };
	int v4 = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "acl", sizeof(key), sizeof(*entry), 8,
				&options);
	int v6 = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "acl", sizeof(key6), sizeof(*entry), 8,
				&options);
	struct sluice_acl list = { .active = SLUICE_ACL_HAS_V4 | SLUICE_ACL_HAS_V6 };
	struct sluice_acl_entry entry6 = *entry;
	__u32 row = acl * 2;

	assert_true(v4 >= 0 && v6 >= 0);
	inet_pton(AF_INET, "198.18.0.0", &key.address);
	inet_pton(AF_INET6, "fd00::", key6.address);
	entry6.prefixlen -= 96;
	assert_int_equal(bpf_map_update_elem(v4, &key, entry, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(v6, &key6, &entry6, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(world->bpf->maps[MAP_acl_v4], &row, &v4, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(world->bpf->maps[MAP_acl_v6], &row, &v6, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(world->bpf->maps[MAP_acls], &acl, &list, BPF_ANY), 0);
	close(v4);
	close(v6);
}

static void the_entry_that_denies_and_its_list(void **state)
{
	struct world *world = *state;
	struct sluice_acl_entry deny = { .action = SLUICE_ACL_DENY, .prefixlen = 96 + 16,
					 .live = 1, .expires_ns = 12345 };
	struct sluice_acl_entry allow = { .action = SLUICE_ACL_ALLOW, .prefixlen = 96 + 24 };

	put_entry(world, 0, &deny);
	FOR_BOTH(v6) {
		struct bpf_explanation found = EXPLAINED(world, DROP_ACL, .ipv6 = v6);

		assert_steps(&found, SLUICE_TRACE_LISTENER | SLUICE_TRACE_ACL);
		assert_int_equal(found.action, XDP_DROP);
		assert_int_equal(found.trace.acl_global,
				 SLUICE_ACL_DENY | (v6 ? 16 : 96 + 16) << 8);
		assert_int_equal(found.trace.acl_live[0], 1);
		assert_int_equal(found.trace.acl_expires_ns[0], 12345);
	}
	world->listener.acl = 1 + ID;
	set_listener(world);
	put_entry(world, 1 + ID, &allow);
	FOR_BOTH(v6) {
		struct bpf_explanation found = EXPLAINED(world, PASS_NEW, .ipv6 = v6);

		assert_int_equal(found.trace.acl_own,
				 SLUICE_ACL_ALLOW | (v6 ? 24 : 96 + 24) << 8);
		assert_int_equal(found.trace.acl_live[1], 0);
		assert_int_equal(found.trace.acl_expires_ns[1], 0);
		assert_true(found.acl_flags[0] && found.acl_flags[1]);
	}
}

static void an_allow_list_without_the_source(void **state)
{
	struct world *world = *state;
	struct sluice_acl list = { .active = SLUICE_ACL_ALLOW_LIST };
	__u32 zero = 0;

	assert_int_equal(bpf_map_update_elem(world->bpf->maps[MAP_acls], &zero, &list, BPF_ANY), 0);
	FOR_V4(v6) {
		struct bpf_explanation found = EXPLAINED(world, DROP_NOT_ALLOWED, .ipv6 = v6);

		assert_int_equal(found.acl_flags[0], SLUICE_ACL_ALLOW_LIST);
	}
}

static void penalties_and_their_time_left(void **state)
{
	struct world *world = *state;
	struct sluice_penalty penalty = { .level = SLUICE_PENALTY_CONNECTIONS,
					  .reason = SLUICE_EVIDENCE_NOT_H2 };
	__u64 *hints[2] = { &world->switches->penalties_until_ns,
			    &world->switches->packets_until_ns };
	struct sluice_penalty_key key;

	for (int packets = 0; packets < 2; packets++) {
		struct bpf_explanation found;
		int v6 = packets;

		*hints[packets] = penalty.until_ns = now_ns() + 60 * SECOND_NS;
		penalty.level = packets ? SLUICE_PENALTY_PACKETS : SLUICE_PENALTY_CONNECTIONS;
		map_address(key.address, v6 ? "fd00::" : "198.18.0.9");
		assert_int_equal(bpf_map_update_elem(world->bpf->maps[MAP_penalties], &key,
						     &penalty, BPF_ANY), 0);
		found = packets ? EXPLAINED(world, DROP_PENALTY_ALL, .ipv6 = v6,
					    .ack = true) :
				  EXPLAINED(world, DROP_PENALTY, .ipv6 = v6);
		assert_int_equal(found.trace.penalty_level, penalty.level);
		assert_int_equal(found.trace.penalty_reason, SLUICE_EVIDENCE_NOT_H2);
		assert_int_equal(found.trace.penalty_until_ns, penalty.until_ns);
	}
}

static void a_group_without_a_live_backend(void **state)
{
	static const struct {
		enum sluice_on_all_down how;
		unsigned verdict, action;
	} rows[] = {
		{ SLUICE_ALL_DOWN_ACCEPT, VERDICT_PASS_FAIL_OPEN, XDP_PASS },
		{ SLUICE_ALL_DOWN_RESET, VERDICT_RESET_ALL_DOWN, XDP_TX },
		{ SLUICE_ALL_DOWN_DROP, VERDICT_DROP_ALL_DOWN, XDP_DROP },
	};

	for (int i = 0; i < 3; i++) {
		struct question question = { .ipv6 = i & 1 };
		struct bpf_explanation found;

		set_group(*state, 0, rows[i].how);
		found = ask(*state, &question, rows[i].verdict, __FILE__, __LINE__);
		assert_int_equal(found.action, rows[i].action);
		assert_int_equal(found.trace.group_on_all_down, rows[i].how);
	}
}

static void tokens_left_of_each_limit(void **state)
{
	struct world *world = *state;

	world->listener.source_interval_ns = HOUR_NS;
	world->listener.source_tolerance_ns = HOUR_NS; /* two at once */
	world->listener.listener_interval_ns = HOUR_NS;
	world->listener.listener_tolerance_ns = 4 * HOUR_NS;
	set_listener(world);
	FOR_BOTH(v6) {
		__u32 both = SLUICE_TRACE_SOURCE | SLUICE_TRACE_LIMIT;
		struct bpf_explanation found;

		/* As often as it is asked, the live program takes one each time. */
		found = EXPLAINED(world, PASS_NEW, .ipv6 = v6);
		assert_steps(&found, PLAIN_STEPS | both);
		assert_int_equal(found.trace.source_tat_ns, 0);
		found = EXPLAINED(world, PASS_NEW, .ipv6 = v6);
		assert_in_range(found.trace.source_tat_ns, found.now_ns + HOUR_NS - 60 * SECOND_NS,
				found.now_ns + HOUR_NS);
		found = EXPLAINED(world, DROP_SOURCE_LIMIT, .ipv6 = v6);
		assert_steps(&found, PLAIN_STEPS | SLUICE_TRACE_SOURCE);
	}
	world->listener.source_interval_ns = 0;
	set_listener(world);
	EXPLAINED(world, PASS_NEW, .ipv6 = false);
	FOR_BOTH(v6) {
		struct bpf_explanation found = EXPLAINED(world, DROP_LISTENER_LIMIT, .ipv6 = v6);

		assert_in_range(found.trace.limit_tat_ns,
				found.now_ns + 5 * HOUR_NS - 60 * SECOND_NS,
				found.now_ns + 5 * HOUR_NS);
	}
}

static void connections_that_the_source_has_open(void **state)
{
	struct world *world = *state;

	world->listener.source_connections = 5;
	set_listener(world);
	FOR_V6(v6) {
		struct bpf_explanation found = EXPLAINED(world, PASS_NEW, .ipv6 = v6);
		__u64 hash = source_hash(found.source, world->switches->hash_key);
		struct sluice_source_set *set = &world->sources[hash % SLUICE_SOURCE_SETS];

		assert_int_equal(found.trace.connections, 0);
		assert_int_equal(found.trace.connections_limit, 5);
		set->tags[2] = source_tag(hash);
		memcpy(set->ways[2].address, found.source, sizeof(found.source));
		set->ways[2].connections = 5;
		found = EXPLAINED(world, DROP_SOURCE_CONNECTIONS, .ipv6 = v6);
		assert_int_equal(found.trace.connections, 5);
		assert_steps(&found, PLAIN_STEPS | SLUICE_TRACE_CONNECTIONS);
	}
}

static void packets_of_no_connection(void **state)
{
	struct world *world = *state;
	struct sluice_vip_key vip;
	__u32 one = 1;

	world->switches->stray_interval_ns = HOUR_NS;
	map_address(vip.address, "198.18.0.1");
	assert_int_equal(bpf_map_update_elem(world->bpf->maps[MAP_vips], &vip, &one, BPF_ANY), 0);
	map_address(vip.address, "fd00::1");
	assert_int_equal(bpf_map_update_elem(world->bpf->maps[MAP_vips], &vip, &one, BPF_ANY), 0);
	FOR_V6(v6) {
		const struct sluice_trace_given none = { .owner = COOKIE_OWNER_NONE };
		struct bpf_explanation found;

		found = EXPLAINED(world, PASS_ESTABLISHED, .ipv6 = v6, .ack = true, .given = none);
		assert_steps(&found,
			     SLUICE_TRACE_LISTENER | SLUICE_TRACE_SOCKET | SLUICE_TRACE_STRAY);
		found = EXPLAINED(world, DROP_STRAY_LIMIT, .ipv6 = v6, .ack = true, .given = none);
		assert_int_not_equal(found.trace.stray_tat_ns, 0);
		found = EXPLAINED(world, DROP_STRAY_LIMIT, .ipv6 = v6, .port = 22);
		assert_steps(&found, SLUICE_TRACE_STRAY);
		assert_true(found.is_vip);
	}
}

static void a_segment_of_a_connection_is_no_stray(void **state)
{
	struct world *world = *state;
	const struct sluice_trace_given given = { .owner = COOKIE_OWNER_CONNECTION,
						  .socket_state = 1 };
	struct bpf_explain_packet packet = make_packet(&(struct question){ .ack = true,
									   .given = given });
	struct bpf_explanation found;

	world->switches->stray_interval_ns = HOUR_NS;
	assert_int_equal(bpf_explain_gate(world->bpf, &packet, &found, world->why,
					  sizeof(world->why)), 0);
	check_verdict(found.verdict, VERDICT_PASS_ESTABLISHED, __FILE__, __LINE__);
	assert_steps(&found, SLUICE_TRACE_LISTENER | SLUICE_TRACE_SOCKET);
	assert_int_equal(found.trace.socket_state, 1);
}

static void set_syncookies(int value)
{
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_syncookies", "we");

	assert_non_null(file);
	fprintf(file, "%d\n", value);
	assert_int_equal(fclose(file), 0);
}

static void a_cookie_without_a_mark_on_the_socket(void **state)
{
	struct world *world = *state;
	const struct sluice_trace_given made = { .cookie = 1460ll << 32 };
	const struct sluice_trace_given refused = { .cookie = -ENOENT };

	world->listener.flags = SLUICE_LISTENER_COOKIES_ALWAYS;
	set_listener(world);
	set_syncookies(2);
	FOR_BOTH(v6) {
		struct bpf_explanation found = EXPLAINED(world, COOKIE_SENT, .ipv6 = v6,
							 .given = made);

		assert_int_equal(found.action, XDP_TX);
		assert_int_equal(found.trace.cookie_why, SLUICE_COOKIE_ALWAYS);
		assert_steps(&found, PLAIN_STEPS | SLUICE_TRACE_COOKIE);
	}
	/* Cookies are out, so segments are looked up. */
	FOR_V6(v6) {
		const struct sluice_trace_given none = { .owner = COOKIE_OWNER_NONE };
		struct bpf_explanation found = EXPLAINED(world, PASS_ESTABLISHED, .ipv6 = v6,
							 .ack = true, .given = none);

		assert_steps(&found, SLUICE_TRACE_LISTENER | SLUICE_TRACE_SOCKET);
	}
	set_syncookies(1);
	FOR_V4(v6) {
		struct bpf_explanation found = EXPLAINED(world, PASS_NEW, .ipv6 = v6,
							 .given = refused);

		assert_int_equal(found.trace.cookie_result, -ENOENT);
	}
}

static void auto_cookies_by_rate(void **state)
{
	struct world *world = *state;
	const struct sluice_trace_given refused = { .cookie = -ENOENT };

	/* The probe of one SYN in 64 is none for an explanation. */
	world->listener.flags = SLUICE_LISTENER_COOKIES_AUTO | SLUICE_LISTENER_COOKIES_PROBE;
	world->listener.cookie_interval_ns = HOUR_NS;
	set_listener(world);
	assert_int_equal(EXPLAINED(world, PASS_NEW, .given = refused).trace.cookie_why,
			 SLUICE_COOKIE_CALM);
	assert_int_equal(EXPLAINED(world, PASS_NEW, .given = refused).trace.cookie_why,
			 SLUICE_COOKIE_RATE);
}

static void an_interface_can_be_said(void **state)
{
	struct world *world = *state;
	struct bpf_explain_packet packet = make_packet(&(struct question){ 0 });
	struct bpf_explanation found;

	packet.ifindex = 1; /* lo has no receive queue of XDP's */
	assert_int_equal(bpf_explain_gate(world->bpf, &packet, &found, world->why,
					  sizeof(world->why)), 0);
	check_verdict(found.verdict, VERDICT_PASS_NEW, __FILE__, __LINE__);
}

static void the_worker_whom_sk_lookup_would_pick(void **state)
{
	struct world *world = *state;
	struct bpf_explain_packet packet = make_packet(&(struct question){ 0 });
	struct sluice_worker worker = { .state = SLUICE_WORKER_LIVE };
	uint64_t cookies[8], cookie, before;
	socklen_t len = sizeof(cookie);
	__u32 slot = 0;

	assert_int_equal(getsockopt(world->socket, SOL_SOCKET, SO_COOKIE, &cookie, &len), 0);
	before = live_hash(world->bpf, ID, true);
	assert_int_equal(bpf_explain_pick(world->bpf, &packet, cookies, 8, world->why,
					  sizeof(world->why)), 0);
	assert_int_equal(live_hash(world->bpf, ID, true), before);
	for (int i = 0; i < 8; i++)
		assert_int_equal(cookies[i], 0); /* no worker lives */
	worker.heartbeat_ns = now_ns();
	assert_int_equal(bpf_map_update_elem(world->bpf->maps[MAP_workers], &slot, &worker, BPF_ANY),
			 0);
	before = live_hash(world->bpf, ID, true);
	assert_int_equal(bpf_explain_pick(world->bpf, &packet, cookies, 8, world->why,
					  sizeof(world->why)), 0);
	assert_int_equal(live_hash(world->bpf, ID, true), before);
	for (int i = 0; i < 8; i++)
		assert_int_equal(cookies[i], cookie);
}

/* In a child: 0, or the number of the check that failed. */
static int explains_with_three_capabilities(struct world *world)
{
	static const cap_value_t rights[] = { CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN };
	struct bpf_explain_packet packet = make_packet(&(struct question){ 0 });
	struct bpf_explanation found;
	cap_t caps = cap_init();
	uint64_t cookie;

	prctl(PR_SET_KEEPCAPS, 1);
	if (!caps || setgid(65534) || setuid(65534) ||
	    cap_set_flag(caps, CAP_PERMITTED, 3, rights, CAP_SET) ||
	    cap_set_flag(caps, CAP_EFFECTIVE, 3, rights, CAP_SET) || cap_set_proc(caps))
		return 1;
	if (bpf_explain_gate(world->bpf, &packet, &found, world->why, sizeof(world->why)) ||
	    found.verdict != VERDICT_PASS_NEW)
		return 2;
	return bpf_explain_pick(world->bpf, &packet, &cookie, 1, world->why, sizeof(world->why)) ?
		       3 : 0;
}

static void cap_bpf_perfmon_and_net_admin_are_enough(void **state)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(explains_with_three_capabilities(*state));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define EXPLAIN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const char *const tools[] = { "ip", NULL };
	const struct CMUnitTest tests[] = {
		EXPLAIN_TEST(a_new_connection_and_what_it_meets),
		EXPLAIN_TEST(what_is_for_nobody),
		EXPLAIN_TEST(a_later_packet_where_nobody_needs_to_know_whose),
		EXPLAIN_TEST(the_entry_that_denies_and_its_list),
		EXPLAIN_TEST(an_allow_list_without_the_source),
		EXPLAIN_TEST(penalties_and_their_time_left),
		EXPLAIN_TEST(a_group_without_a_live_backend),
		EXPLAIN_TEST(tokens_left_of_each_limit),
		EXPLAIN_TEST(connections_that_the_source_has_open),
		EXPLAIN_TEST(packets_of_no_connection),
		EXPLAIN_TEST(a_segment_of_a_connection_is_no_stray),
		EXPLAIN_TEST(a_cookie_without_a_mark_on_the_socket),
		EXPLAIN_TEST(auto_cookies_by_rate),
		EXPLAIN_TEST(an_interface_can_be_said),
		EXPLAIN_TEST(the_worker_whom_sk_lookup_would_pick),
		EXPLAIN_TEST(cap_bpf_perfmon_and_net_admin_are_enough),
	};
	int failed;

	if (!bpf_is_allowed() || !world_enter(tools))
		return 77;
	if (run_command("ip addr add 198.18.0.1/32 dev lo && ip addr add fd00::1/128 dev lo nodad")) {
		printf("SKIP: no addresses of both families can be had here\n");
		world_leave();
		return 77;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_leave();
	return failed;
}
