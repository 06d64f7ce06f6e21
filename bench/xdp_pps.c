/* SPDX-License-Identifier: MIT */
/*
 * xdp_pps.c - packets a second on one core over a veth pair, for each verdict: the gate in native
 * mode, then nftables doing the same at the earliest hook there is (netdev ingress), then neither.
 * The kernel itself sends (BPF_F_TEST_XDP_LIVE_FRAMES, returned by XDP_TX) on the core that
 * receives, so a figure is the cost of both; what sending alone takes is measured first, with a
 * program on the other end that drops. Times are the thread's, in which the kernel counts its
 * softirqs unless it was built to tell them apart. Prints a table for docs/BENCHMARKS.md. In
 * namespaces of its own; leaves nothing.
 */
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>

#include "xdp_world.h"

#define ROUNDS 5
#define BATCH  32 /* fewer than a poll takes at most, so that each poll ends the work */
#define FRAMES 200000

#define SEND "bench0"
#define RECV "bench1"

enum { BASE, GATE, NFT, NEITHER, WAYS };

static double found[WAYS][SCENARIOS][ROUNDS];
static unsigned frames = FRAMES, rounds = ROUNDS, n_rounds;

/* The same policy as the gate's, in its order; every packet walks as little of it as it can. */
static const char nft_rules[] =
	"table netdev bench {\n"
	" set listeners { type ipv4_addr . inet_service; elements = { %s }; }\n"
	" set vips { type ipv4_addr; elements = { 198.18.0.1 }; }\n"
	" set denied { type ipv4_addr; elements = { 198.18.6.6 }; }\n"
	" set prefixes { type ipv4_addr; flags interval; elements = { 203.0.113.0/24 }; }\n"
	" set penalized { type ipv4_addr; elements = { 198.18.7.7 }; }\n"
	" set penalized_all { type ipv4_addr; elements = { 198.18.7.8 }; }\n"
	" set sources { type ipv4_addr; size 262144; flags dynamic; }\n"
	" set wide { type ipv4_addr; size 262144; flags dynamic; }\n"
	" set strays { type ipv4_addr; size 262144; flags dynamic; }\n"
	" chain ingress {\n"
	"  type filter hook ingress device \"" RECV "\" priority -500; policy accept;\n"
	"  ip daddr . tcp dport @listeners jump listener\n"
	"  ip protocol udp ip daddr @vips update @strays"
	" { ip saddr limit rate over 1/hour burst 1 packets } drop\n"
	" }\n"
	" chain listener {\n"
	"  ip saddr @penalized_all drop\n"
	"  tcp flags & (syn|ack) != syn accept\n"
	"  ip saddr @denied drop\n"
	"  ip saddr @prefixes drop\n"
	"  ip saddr @penalized drop\n"
	"  tcp dport %u reject with tcp reset\n"
	"  tcp dport %u update @sources { ip saddr limit rate over 1/hour burst 1 packets } drop\n"
	"  tcp dport %u update @wide { ip saddr limit rate over 40000000/second"
	" burst 40000000 packets } drop\n"
	"  tcp dport %u limit rate over 1/hour burst 1 packets drop\n"
	"  accept\n"
	" }\n"
	"}\n";

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, n_rounds, sizeof(*values), compare_doubles);
	return values[n_rounds / 2];
}

static struct rtnl_link_stats link_stats(const char *name)
{
	struct rtnl_link_stats stats = {};
	struct ifaddrs *all, *one;

	if (getifaddrs(&all))
		bench_die("the interface's counters");
	for (one = all; one; one = one->ifa_next) {
		if (one->ifa_addr && one->ifa_addr->sa_family == AF_PACKET &&
		    !strcmp(one->ifa_name, name))
			memcpy(&stats, one->ifa_data, sizeof(stats));
	}
	freeifaddrs(all);
	return stats;
}

static clockid_t times = CLOCK_THREAD_CPUTIME_ID;

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(times, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* ns a frame, sending and receiving, of those that arrived. */
static double send_frames(const struct scenario *scenario, const struct frame *frame)
{
	struct xdp_md context = { .data_end = frame->len, .ingress_ifindex = if_nametoindex(SEND) };
	int fd = bench_load_restorer(frame, scenario->how & FRESH, -1, XDP_TX);
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->bytes, .data_size_in = frame->len,
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = (int)frames,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
	struct rtnl_link_stats before, after;
	double begun, ns;
	uint32_t arrived;

	before = link_stats(RECV);
	begun = now_ns();
	if (bpf_prog_test_run_opts(fd, &options))
		bench_die("sending");
	ns = now_ns() - begun;
	after = link_stats(RECV);
	close(fd);
	arrived = after.rx_packets - before.rx_packets;
	if (arrived < frames / 2)
		bench_die("half of the frames did not arrive");
	return ns / arrived;
}

static void attach(int program_fd)
{
	if (bpf_xdp_attach((int)if_nametoindex(RECV), program_fd, 0, NULL))
		bench_die("attaching a small program");
}

static void each(int way, unsigned round, bool (*applies)(const struct scenario *))
{
	for (size_t i = 0; i < SCENARIOS; i++) {
		const struct scenario *scenario = &scenarios[i];
		struct frame frame;
		uint64_t before = 0;

		if (!(scenario->how & IN_TABLE) || !applies(scenario))
			continue;
		bench_frame(&frame, scenario);
		if (way == GATE) {
			bench_switches(scenario->how);
			before = bench_count(scenario->verdict);
		}
		found[way][i][round] = send_frames(scenario, &frame);
		if (way == GATE)
			bench_check(scenario, before, frames / 4);
	}
}

static bool always(const struct scenario *scenario)
{
	return true;
}

static bool passes(const struct scenario *scenario)
{
	switch (scenario->verdict) {
	case VERDICT_PASS_NOT_OURS:
	case VERDICT_PASS_ESTABLISHED:
	case VERDICT_PASS_NEW:
	case VERDICT_PASS_COOKIE:
		return true;
	default:
		return false;
	}
}

/* Cookies, and what belongs to no connection, nftables does only with connection tracking. */
static bool nft_can(const struct scenario *scenario)
{
	return scenario->verdict != VERDICT_COOKIE_SENT && scenario->verdict != VERDICT_PASS_COOKIE &&
	       scenario->verdict != VERDICT_DROP_MALFORMED &&
	       !(scenario->how & STRAYS_ON && scenario->spec.flags);
}

static void nft_on(void)
{
	char ports[1024] = "";
	FILE *pipe;

	for (unsigned i = 0; i < LISTENERS; i++)
		snprintf(ports + strlen(ports), sizeof(ports) - strlen(ports), "%s198.18.0.1 . %u",
			 i ? ", " : "", PORT + i);
	pipe = popen("nft -f -", "w");
	if (!pipe)
		bench_die("nft");
	fprintf(pipe, nft_rules, ports, PORT + RESET, PORT + LIMITED, PORT + WIDE, PORT + OVER);
	if (pclose(pipe))
		bench_die("nft refused the rules");
}

static void run_round(unsigned round, int drop_fd)
{
	enum bpf_xdp_used used;

	attach(drop_fd);
	each(BASE, round, always);
	attach(-1);
	if (bpf_attach_xdp(bench_bpf, RECV, XDP_MODE_NATIVE, &used, bench_why, sizeof(bench_why)))
		bench_die("attaching the gate");
	each(GATE, round, always);
	bpf_detach_xdp(bench_bpf, RECV);
	/* Frames sent as XDP does are taken only where the receiver polls: GRO makes veth do so. */
	nft_on();
	each(NFT, round, nft_can);
	if (run_command("nft delete table netdev bench"))
		bench_die("nft");
	each(NEITHER, round, passes);
}

static void make_veth(int drop_fd)
{
	if (run_command("ip link add name " SEND " type veth peer name " RECV) ||
	    run_command("ip link set " SEND " up && ip link set " RECV " up") ||
	    run_command("ethtool -K " RECV " gro on"))
		bench_die("a veth pair");
	/* What comes back is taken, and dropped. */
	if (bpf_xdp_attach((int)if_nametoindex(SEND), drop_fd, 0, NULL))
		bench_die("attaching a small program");
}

/* What sending takes: of all frames, since they differ by little. */
static double base_ns(void)
{
	static double all[SCENARIOS * ROUNDS];
	size_t n = 0;

	for (size_t i = 0; i < SCENARIOS; i++) {
		for (unsigned round = 0; round < n_rounds; round++) {
			if (scenarios[i].how & IN_TABLE)
				all[n++] = found[BASE][i][round];
		}
	}
	qsort(all, n, sizeof(all[0]), compare_doubles);
	return all[n / 2];
}

static void print_cell(int way, size_t i, bool there)
{
	double ns;

	if (!there) {
		printf(" |");
		return;
	}
	ns = median(found[way][i]);
	printf(" %.2f (%.0f) |", 1000 / ns, ns - base_ns());
}

static void print_table(void)
{
	printf("Sending alone: %.2f Mpps.\n\n"
	       "| one core, over veth | gate: Mpps (ns) | nftables: Mpps (ns) | neither: Mpps (ns) |\n"
	       "|---|---|---|---|\n", 1000 / base_ns());
	for (size_t i = 0; i < SCENARIOS; i++) {
		const struct scenario *scenario = &scenarios[i];

		if (!(scenario->how & IN_TABLE))
			continue;
		printf("| %s |", scenario->name);
		print_cell(GATE, i, true);
		print_cell(NFT, i, nft_can(scenario));
		print_cell(NEITHER, i, passes(scenario));
		printf("\n");
	}
}

int main(int argc, char **argv)
{
	static const char *const tools[] = { "ip", "nft", "ethtool", NULL };
	cpu_set_t one;
	int drop_fd;

	if (argc > 1 && !strcmp(argv[1], "--quick")) {
		rounds = 1;
		frames = 30000;
	}
	if (!world_enter(tools))
		return 77;
	if (!run_command("zgrep -qs CONFIG_IRQ_TIME_ACCOUNTING=y /proc/config.gz "
			 "/boot/config-$(uname -r) 2>/dev/null"))
		times = CLOCK_MONOTONIC;
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	bench_open();
	drop_fd = bench_load_action(XDP_DROP);
	make_veth(drop_fd);
	for (unsigned i = 0; i < rounds; i++, n_rounds++)
		run_round(i, drop_fd);
	print_table();
	bench_close();
	return 0;
}
