/* SPDX-License-Identifier: MIT */
/*
 * xdp_ns.c - what the XDP gate costs a packet, in nanoseconds: BPF_PROG_TEST_RUN of the very
 * program that the daemon's loader loads, less the same run of an empty one. Prints lines "name
 * ns" for make bench; for make bench-xdp, with --table, a table with what was aimed at. Attaches
 * nothing and leaves nothing.
 *
 * A frame that the gate changes is made what it was by a program in front, which hands on to the
 * gate by a tail call; the same program in front of an empty one is taken off. So the caches are
 * as warm as for the others.
 */
#include "xdp_world.h"

#define ROUNDS 15
#define REPEAT 100000
#define MANY_ENTRIES  1000000
#define MANY_PREFIXES 100000

static int empty_fd;
static unsigned rounds = ROUNDS;
static bool as_table;

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The median over the rounds of the gate's mean less the empty program's, each pair right behind
 * the other: the machine may be busy with something else. */
static double difference(int fd, int less_fd, const struct frame *frame)
{
	double found[ROUNDS];

	for (unsigned i = 0; i < rounds; i++) {
		double ns, less;

		bench_run(less_fd, frame, REPEAT, NULL, &less);
		bench_run(fd, frame, REPEAT, NULL, &ns);
		found[i] = ns - less;
	}
	qsort(found, rounds, sizeof(found[0]), compare_doubles);
	return found[rounds / 2];
}

static void print_line(const char *name, const char *note, double ns, unsigned goal_ns)
{
	char whole[128];

	snprintf(whole, sizeof(whole), "%s%s", name, note);
	if (!as_table)
		printf("%-64s %7.1f\n", whole, ns);
	else if (goal_ns)
		printf("| %s | %.0f | %u |\n", whole, ns, goal_ns);
	else
		printf("| %s | %.0f | |\n", whole, ns);
	fflush(stdout);
}

static double measure(const struct scenario *scenario)
{
	struct frame frame;
	uint64_t before;
	double ns;

	bench_switches(scenario->how);
	bench_frame(&frame, scenario);
	if (scenario->how & (CHANGES | FRESH)) {
		bool fresh = scenario->how & FRESH;
		int fd = bench_load_restorer(&frame, fresh, bench_bpf->gate_fd, XDP_ABORTED);
		int less_fd = bench_load_restorer(&frame, fresh, empty_fd, XDP_ABORTED);

		before = bench_count(scenario->verdict);
		ns = difference(fd, less_fd, &frame);
		close(fd);
		close(less_fd);
	} else {
		/* Uses up what a limit allows. */
		bench_run(bench_bpf->gate_fd, &frame, 100, NULL, NULL);
		before = bench_count(scenario->verdict);
		ns = difference(bench_bpf->gate_fd, empty_fd, &frame);
	}
	/* Of the cookies that come back each second one is taken for data behind the first; some of
	 * many sources may be in a list. */
	bench_check(scenario, before, scenario->how & COOKIE_BACK ? REPEAT / 4 :
		    scenario->how & FRESH ? (uint64_t)REPEAT * rounds / 2 : (uint64_t)REPEAT * rounds);
	return ns;
}

static const struct scenario *scenario_of(const char *name)
{
	for (size_t i = 0; i < SCENARIOS; i++) {
		if (!strcmp(scenarios[i].name, name))
			return &scenarios[i];
	}
	bench_die(name);
}

static void measure_one(const char *name, const char *note)
{
	const struct scenario *scenario = scenario_of(name);

	print_line(name, note, measure(scenario), scenario->goal_ns);
}

/* What the gate cannot do without, for scale: ten calls of one helper. */
static void measure_helper(const char *name, const struct bpf_insn *call, size_t n)
{
	struct bpf_insn insns[256] = { INSN(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -8, 0),
				       INSN(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -16, 0),
				       INSN(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -24, 0) };
	const struct bpf_insn end[] = { SET(0, XDP_PASS), EXIT };
	struct frame frame;
	size_t at = 3;
	int fd;

	for (int i = 0; i < 10; i++, at += n)
		memcpy(&insns[at], call, n * sizeof(*call));
	memcpy(&insns[at], end, sizeof(end));
	fd = bench_load(insns, at + 2);
	bench_frame(&frame, &scenarios[0]);
	print_line("for scale: ", name, difference(fd, empty_fd, &frame) / 10, 0);
	close(fd);
}

static void measure_helpers(void)
{
	const struct bpf_insn clock[] = { CALL(BPF_FUNC_ktime_get_ns) };
	const struct bpf_insn array[] = { MOV(2, 10), ADD(2, -8),
					  MAP_FD(1, bench_bpf->maps[MAP_switches]),
					  CALL(BPF_FUNC_map_lookup_elem) };
	const struct bpf_insn hash[] = { MOV(2, 10), ADD(2, -24),
					 MAP_FD(1, bench_bpf->maps[MAP_vips]),
					 CALL(BPF_FUNC_map_lookup_elem) };
	const struct bpf_insn lru[] = { MOV(2, 10), ADD(2, -24),
					MAP_FD(1, bench_bpf->maps[MAP_strays]),
					CALL(BPF_FUNC_map_lookup_elem) };

	measure_helper("one reading of the clock", clock, 1);
	measure_helper("one look-up in an array", array, 5);
	measure_helper("one look-up in a hash map, nothing found", hash, 5);
	measure_helper("one look-up in an LRU map, nothing found", lru, 5);
}

static void measure_sizes(void)
{
	static const uint32_t backends[] = { 1, 100, 10000 };
	struct sluice_listener more = { .group = SLUICE_GROUP_NONE };

	for (int i = 0; i < 3; i++) {
		char note[32];

		snprintf(note, sizeof(note), ", %u backends", backends[i]);
		bench_groups(backends[i]);
		measure_one("SYN passed, both limits and group looked at", note);
		measure_one("later packet, IPv4", note);
	}
	for (unsigned i = 0; i < SLUICE_MAX_LISTENERS - LISTENERS; i++) {
		struct addr address = bench_address("198.18.0.1", 10000 + i);

		more.id = LISTENERS + i;
		if (bpf_listener_set(bench_bpf, &address, &more))
			bench_die("a listener");
	}
	measure_one("not ours: TCP, IPv4", ", 256 listeners");
	measure_one("not ours: TCP, a listener's port", ", 256 listeners");
	measure_one("later packet, IPv4", ", 256 listeners");
}

/* Addresses and prefixes that have nothing in common with those of the frames. */
static void fill_prefixes(struct prefix *prefixes, size_t n, uint8_t family, bool exact)
{
	uint64_t state = 88172645463325252ull; /* xorshift64 */

	for (size_t i = 0; i < n; i++) {
		struct prefix *prefix = &prefixes[i];

		memset(prefix, 0, sizeof(*prefix));
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		prefix->family = family;
		memcpy(prefix->bytes, &state, 8);
		prefix->bytes[0] = family == AF_INET ? 11 + state % 100 : 0x26;
		prefix->len = exact ? 32 : family == AF_INET ? 17 + state % 12 : 32 + state % 33;
		for (unsigned bit = prefix->len; bit < 128; bit++)
			prefix->bytes[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
	}
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void measure_acls(void)
{
	struct prefix *many = calloc(MANY_ENTRIES + 2 * MANY_PREFIXES + 4, sizeof(*many));
	size_t n = MANY_ENTRIES;
	double begun;

	if (!many)
		bench_die("memory");
	bench_acl(0, NULL, 0, NULL, 0);
	measure_one("SYN passed, no limits", ", no access list");
	measure_one("SYN passed, no limits, each from another source", ", no access list");
	measure_one("SYN over the source's limit", ", no access list");
	measure_one("SYN passed, both limits and group looked at", ", no access list");
	fill_prefixes(many, n, AF_INET, true);
	bench_prefix(&many[0], "198.18.6.6");
	begun = seconds();
	bench_acl(0, many, n, NULL, 0);
	print_line("1 M addresses: loaded in ms", "", (seconds() - begun) * 1000, 0);
	measure_one("SYN denied, address", ", 1 M addresses");
	measure_one("SYN passed, no limits", ", 1 M addresses");
	fill_prefixes(many + n, MANY_PREFIXES, AF_INET, false);
	fill_prefixes(many + n + MANY_PREFIXES, MANY_PREFIXES, AF_INET6, false);
	n += 2 * MANY_PREFIXES;
	bench_prefix(&many[n++], "203.0.113.0/24");
	bench_prefix(&many[n++], "2001:db8::/32");
	begun = seconds();
	bench_acl(0, many + MANY_ENTRIES, n - MANY_ENTRIES, NULL, 0);
	print_line("2 x 100,000 prefixes: loaded in ms", "", (seconds() - begun) * 1000, 0);
	measure_one("SYN denied, prefix", ", 100,000 prefixes");
	measure_one("SYN denied, prefix, IPv6", ", 100,000 prefixes");
	measure_one("SYN passed, no limits", ", 100,000 prefixes");
	begun = seconds();
	bench_acl(0, many, n, NULL, 0);
	print_line("all of these: loaded in ms", "", (seconds() - begun) * 1000, 10000);
	measure_one("SYN denied, address", ", all of these");
	measure_one("SYN denied, prefix", ", all of these");
	measure_one("SYN passed, no limits", ", all of these");
	measure_one("SYN passed, no limits, each from another source", ", all of these");
	free(many);
}

int main(int argc, char **argv)
{
	static const char *const tools[] = { "ip", NULL };

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--quick"))
			rounds = 3;
		if (!strcmp(argv[i], "--table"))
			as_table = true;
	}
	if (!world_enter(tools))
		return 77;
	bench_open();
	if (as_table)
		printf("| what the gate meets | ns | at most |\n|---|---|---|\n");
	empty_fd = bench_load_action(XDP_PASS);
	for (size_t i = 0; i < SCENARIOS; i++)
		print_line(scenarios[i].name, "", measure(&scenarios[i]), scenarios[i].goal_ns);
	measure_helpers();
	measure_sizes();
	measure_acls();
	bench_close();
	return 0;
}
