/* SPDX-License-Identifier: MIT */
/*
 * flood.c - SYNs of forged sources, as fast as one CPU makes and delivers them, for bench/flood.py.
 *
 * usage: flood OBJECT INTERFACE MAC TARGET PORT SECONDS. OBJECT: the compiled flood.bpf.c; MAC:
 * of the target. Run in the attacker's network namespace. Prints "sent N seconds S" at the end.
 * Bounded: at most 60 s; targets in 198.18.0.0/15 and fd00::/8 only.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <netinet/tcp.h>

#define FRAME_LEAD 2 /* as in flood.bpf.c */
#define BATCH 64
#define A_CALL (1 << 17) /* frames: a call has some 30 ms of its own to spend */
#define SECONDS_MAX 60

static const uint8_t linux_options[20] = {
	2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
};

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool in_lab(const struct in_addr *v4, const struct in6_addr *v6)
{
	return v4 ? (ntohl(v4->s_addr) & 0xfffe0000) == 0xc6120000 : v6->s6_addr[0] == 0xfd;
}

/* All but what make_syn fills in; its bytes. */
static uint32_t frame_make(uint8_t *frame, const uint8_t mac[6], const char *target, uint16_t port)
{
	struct ethhdr *ethernet = (struct ethhdr *)frame;
	struct in_addr v4;
	struct in6_addr v6;
	struct tcphdr *tcp;

	memcpy(ethernet->h_dest, mac, 6);
	memcpy(ethernet->h_source, "\2\0\0\0\0\1", 6);
	if (inet_pton(AF_INET, target, &v4) == 1 && in_lab(&v4, NULL)) {
		struct iphdr *ip = (struct iphdr *)(ethernet + 1);

		ethernet->h_proto = htons(ETH_P_IP);
		ip->version = 4;
		ip->ihl = 5;
		ip->ttl = 64;
		ip->protocol = IPPROTO_TCP;
		ip->tot_len = htons(sizeof(*ip) + sizeof(*tcp) + sizeof(linux_options));
		ip->daddr = v4.s_addr;
		tcp = (struct tcphdr *)(ip + 1);
	} else if (inet_pton(AF_INET6, target, &v6) == 1 && in_lab(NULL, &v6)) {
		struct ip6_hdr *ip = (struct ip6_hdr *)(ethernet + 1);

		ethernet->h_proto = htons(ETH_P_IPV6);
		ip->ip6_flow = htonl(6u << 28);
		ip->ip6_plen = htons(sizeof(*tcp) + sizeof(linux_options));
		ip->ip6_nxt = IPPROTO_TCP;
		ip->ip6_hlim = 64;
		ip->ip6_dst = v6;
		inet_pton(AF_INET6, "fd00:198:19::", &ip->ip6_src);
		tcp = (struct tcphdr *)(ip + 1);
	} else {
		errx(2, "the target must be in 198.18.0.0/15 or fd00::/8");
	}
	tcp->dest = htons(port);
	tcp->doff = (sizeof(*tcp) + sizeof(linux_options)) / 4;
	tcp->syn = 1;
	tcp->window = htons(64240);
	memcpy(tcp + 1, linux_options, sizeof(linux_options));
	return (uint32_t)((uint8_t *)(tcp + 1) - frame) + sizeof(linux_options);
}

/* As in flood.bpf.c. */
struct flood_setup {
	uint32_t ifindex;
	uint8_t frame[96];
};

static int load_generator(const char *path, const struct flood_setup *setup)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_map *bss;
	struct bpf_program *program;

	if (!object)
		err(1, "%s", path);
	bss = bpf_object__find_map_by_name(object, ".bss");
	if (!bss || bpf_map__set_initial_value(bss, setup, sizeof(*setup)) ||
	    bpf_object__load(object))
		errx(1, "%s cannot be loaded", path);
	program = bpf_object__find_program_by_name(object, "make_syn");
	if (!program)
		errx(1, "%s has no make_syn", path);
	return bpf_program__fd(program);
}

int main(int argc, char **argv)
{
	struct flood_setup setup = { 0 };
	uint8_t input[FRAME_LEAD + sizeof(setup.frame)] = { 0 }, mac[6];
	double seconds, began;
	uint64_t sent = 0;

	if (argc != 7 || sscanf(argv[3], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2],
				&mac[3], &mac[4], &mac[5]) != 6)
		errx(2, "usage: flood OBJECT INTERFACE MAC TARGET PORT SECONDS");
	setup.ifindex = if_nametoindex(argv[2]);
	if (!setup.ifindex)
		err(1, "%s", argv[2]);
	seconds = atof(argv[6]);
	if (seconds > SECONDS_MAX)
		seconds = SECONDS_MAX;
	uint32_t bytes = frame_make(setup.frame, mac, argv[4], (uint16_t)atoi(argv[5]));
	int fd = load_generator(argv[1], &setup);

	memcpy(input + FRAME_LEAD, setup.frame, sizeof(setup.frame));
	began = now_seconds();
	while (now_seconds() - began < seconds) {
		LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = input, .data_size_in = FRAME_LEAD + bytes,
			    .repeat = A_CALL, .batch_size = BATCH,
			    .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

		if (bpf_prog_test_run_opts(fd, &options) && errno != EINTR)
			err(1, "live frames");
		sent += (uint64_t)options.repeat;
	}
	printf("sent %llu seconds %.2f\n", (unsigned long long)sent, now_seconds() - began);
	return 0;
}
