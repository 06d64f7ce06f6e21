/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_explain.c - see bpf_loader_explain.h. An instance is loaded for one question and gone with
 * the answer. Nothing live is written: what the programs write to is a clone that holds the rows which
 * this packet can meet, and what a helper would leave on a socket is given instead (sluice/trace.h).
 */
#include "control/bpf_loader_explain.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/bpf_loader_impl.h"
#include "gate.skel.h"
#include "pick.skel.h"
#include "sluice/source.h"

#define CLONE_ROWS 8
#define FRAME_MAX  128

/* What becomes of each map. Whoever adds one has to say: what is not named here is made anew, empty, so
 * that nothing live is written by mistake. */
enum sharing {
	SHARE_FRESH,
	SHARE_LIVE,  /* neither program writes to it */
	SHARE_CLONE, /* like fresh; rows of the packet are copied in. Throws none away: a plain table */
};
static const enum sharing sharing[MAPS] = {
	[MAP_listeners] = SHARE_LIVE, [MAP_sockets] = SHARE_LIVE, [MAP_workers] = SHARE_LIVE,
	[MAP_groups] = SHARE_LIVE, [MAP_backends] = SHARE_LIVE, [MAP_routes] = SHARE_LIVE,
	[MAP_call_limits] = SHARE_LIVE, [MAP_acls] = SHARE_LIVE, [MAP_acl_exact] = SHARE_LIVE,
	[MAP_acl_v4] = SHARE_LIVE, [MAP_acl_v6] = SHARE_LIVE, [MAP_vips] = SHARE_LIVE,
	[MAP_source_states] = SHARE_LIVE, [MAP_meta] = SHARE_LIVE,
	[MAP_sources] = SHARE_CLONE, [MAP_strays] = SHARE_CLONE, [MAP_penalties] = SHARE_CLONE,
};

static const char *const map_names[MAPS] = {
#define MAP_NAME(name, adopted) #name,
	BPF_LOADER_MAPS(MAP_NAME)
#undef MAP_NAME
};

/* Before an object is loaded: the live maps, and others in the place of those that it writes to. */
static int share_maps(const struct bpf *bpf, struct bpf_object *object)
{
	int err = 0;

	for (unsigned i = 0; i < MAPS && !err; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(object, map_names[i]);

		if (sharing[i] == SHARE_LIVE) {
			err = bpf_map__reuse_fd(map, bpf->maps[i]);
		} else if (sharing[i] == SHARE_CLONE) {
			err = bpf_map__set_type(map, BPF_MAP_TYPE_HASH);
			if (!err)
				err = bpf_map__set_max_entries(map, CLONE_ROWS);
		} else if (i == MAP_events) {
			err = bpf_map__set_max_entries(map, (__u32)sysconf(_SC_PAGESIZE));
		}
	}
	return err;
}

static int clone_fd(const struct bpf_object *object, enum bpf_loader_map map)
{
	return bpf_object__find_map_fd_by_name(object, map_names[map]);
}

/* A row that is not there is not there in the clone. */
static int copy_row(const struct bpf *bpf, const struct bpf_object *object, enum bpf_loader_map map,
		    const void *key, void *value)
{
	if (bpf_map_lookup_elem(bpf->maps[map], key, value))
		return errno == ENOENT ? 0 : -errno;
	return bpf_map_update_elem(clone_fd(object, map), key, value, BPF_ANY) ? -errno : 0;
}

static bool is_v4(const __u32 address[4])
{
	return !address[0] && !address[1] && address[2] == htonl(0xffff);
}

/* As the gate does: the address itself, then any of its family. */
static void find_listener(const struct bpf *bpf, const struct bpf_explain_packet *packet,
			  struct bpf_explanation *ret)
{
	struct sluice_listener_key key = { .port = htons(addr_port(&packet->destination)),
					   .protocol = IPPROTO_TCP };
	struct sluice_vip_key vip;
	bool ipv4;
	__u32 n;

	addr_to_mapped(&packet->destination, (uint8_t *)key.address);
	ipv4 = is_v4(key.address);
	memcpy(vip.address, key.address, sizeof(vip.address));
	ret->is_vip = (ret->switches.vip_any & (ipv4 ? 1 : 2)) ||
		      !bpf_map_lookup_elem(bpf->maps[MAP_vips], &vip, &n);
	ret->is_listener = !bpf_map_lookup_elem(bpf->maps[MAP_listeners], &key, &ret->listener);
	if (ret->is_listener)
		return;
	memset(key.address, 0, sizeof(key.address));
	if (ipv4)
		key.address[2] = htonl(0xffff);
	ret->is_listener = !bpf_map_lookup_elem(bpf->maps[MAP_listeners], &key, &ret->listener);
}

/* The lists' words: what they have, for the account. */
static void read_acls(const struct bpf *bpf, struct bpf_explanation *ret)
{
	const __u32 lists[2] = { 0, ret->is_listener ? ret->listener.acl : 0 };
	struct sluice_acl list;

	for (unsigned i = 0; i < 2; i++)
		if ((!i || lists[i]) && !bpf_map_lookup_elem(bpf->maps[MAP_acls], &lists[i], &list))
			ret->acl_flags[i] = list.active;
}

/* Reads what holds now, and writes the rows of this packet into the clones. */
static int fill_clones(const struct bpf *bpf, const struct bpf_object *object,
		       const struct bpf_explain_packet *packet, struct bpf_explanation *ret)
{
	struct sluice_source_key source = { 0 };
	struct sluice_penalty penalty;
	struct sluice_switches quiet;
	struct sluice_source row;
	__u32 address[4], zero = 0;
	struct timespec now;
	int err;

	if (bpf_map_lookup_elem(bpf->maps[MAP_switches], &zero, &ret->switches))
		return -errno;
	find_listener(bpf, packet, ret);
	read_acls(bpf, ret);
	addr_to_mapped(&packet->source, (uint8_t *)address);
	source_of(ret->source, address, is_v4(address), ret->switches.v4_prefix,
		  ret->switches.v6_prefix);
	memcpy(source.address, ret->source, sizeof(source.address));
	source.listener = ret->listener.id;

	quiet = ret->switches;
	quiet.events_mask = 0; /* nobody is told of a packet that is none */
	err = bpf_map_update_elem(clone_fd(object, MAP_switches), &zero, &quiet, BPF_ANY) ? -errno : 0;
	if (!err)
		err = copy_row(bpf, object, MAP_penalties, ret->source, &penalty);
	if (!err)
		err = copy_row(bpf, object, MAP_strays, ret->source, &row);
	if (!err && ret->is_listener)
		err = copy_row(bpf, object, MAP_sources, &source, &row);
	if (!err && ret->is_listener)
		err = copy_row(bpf, object, MAP_listener_times, &ret->listener.id, &ret->times);
	clock_gettime(CLOCK_MONOTONIC, &now);
	ret->now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	return err;
}

/* Ethernet, IP, TCP; checksums are the stack's business, so they stay 0. Returns its length. */
static __u32 build_frame(uint8_t frame[FRAME_MAX], const struct bpf_explain_packet *packet)
{
	static const uint8_t mss[4] = { 2, 4, 1460 >> 8, 1460 & 0xff };
	const struct addr *from = &packet->source, *to = &packet->destination;
	bool ipv4 = from->sa.sa_family == AF_INET;
	__u32 tcp_bytes = sizeof(struct tcphdr) + (packet->ack ? 0 : sizeof(mss)), at;
	struct tcphdr tcp = {
		.source = htons(addr_port(from)), .dest = htons(addr_port(to)),
		.doff = (__u16)((tcp_bytes / 4) & 0xf), .window = htons(65535),
	};
	struct ethhdr ethernet = { .h_proto = htons(ipv4 ? ETH_P_IP : ETH_P_IPV6),
				   .h_dest = { 2 }, .h_source = { 2, 0, 0, 0, 0, 1 } };

	tcp.syn = !packet->ack;
	tcp.ack = packet->ack;
	memset(frame, 0, FRAME_MAX);
	memcpy(frame, &ethernet, sizeof(ethernet));
	at = sizeof(ethernet);
	if (ipv4) {
		struct iphdr ip = { .version = 4, .ihl = sizeof(ip) / 4, .ttl = 64,
				    .protocol = IPPROTO_TCP,
				    .tot_len = htons((uint16_t)(sizeof(ip) + tcp_bytes)),
				    .saddr = from->v4.sin_addr.s_addr,
				    .daddr = to->v4.sin_addr.s_addr };

		memcpy(frame + at, &ip, sizeof(ip));
		at += sizeof(ip);
	} else {
		struct ipv6hdr ip = { .version = 6, .nexthdr = IPPROTO_TCP, .hop_limit = 64,
				      .payload_len = htons((uint16_t)tcp_bytes) };

		memcpy(&ip.saddr, &from->v6.sin6_addr, sizeof(ip.saddr));
		memcpy(&ip.daddr, &to->v6.sin6_addr, sizeof(ip.daddr));
		memcpy(frame + at, &ip, sizeof(ip));
		at += sizeof(ip);
	}
	memcpy(frame + at, &tcp, sizeof(tcp));
	if (!packet->ack)
		memcpy(frame + at + sizeof(tcp), mss, sizeof(mss));
	return at + tcp_bytes;
}

/* A device without a registered receive queue cannot be said to be the one: then none is. */
static int run_gate(const struct gate_bpf *gate, const struct bpf_explain_packet *packet,
		    struct bpf_explanation *ret)
{
	uint8_t frame[FRAME_MAX];
	__u32 bytes = build_frame(frame, packet);
	struct xdp_md context = { .data_end = bytes, .ingress_ifindex = packet->ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = bytes,
		    .ctx_in = packet->ifindex ? &context : NULL,
		    .ctx_size_in = packet->ifindex ? sizeof(context) : 0, .repeat = 1);
	int fd = bpf_program__fd(gate->progs.gate);

	if (bpf_prog_test_run_opts(fd, &options)) {
		if (!packet->ifindex)
			return -errno;
		options.ctx_in = NULL;
		options.ctx_size_in = 0;
		if (bpf_prog_test_run_opts(fd, &options))
			return -errno;
	}
	ret->action = options.retval;
	ret->trace = gate->bss->trace;
	return 0;
}

/* The clone counted this packet only. */
static int read_verdict(const struct gate_bpf *gate, struct bpf_explanation *ret)
{
	int cpus = libbpf_num_possible_cpus();

	for (__u32 reason = 0; reason < VERDICT_MAX && cpus > 0; reason++) {
		struct sluice_verdict_count counts[cpus];

		if (bpf_map_lookup_elem(bpf_map__fd(gate->maps.verdicts), &reason, counts))
			return -errno;
		for (int i = 0; i < cpus; i++)
			if (counts[i].packets) {
				ret->verdict = reason;
				return 0;
			}
	}
	return -ENODATA;
}

int bpf_explain_gate(const struct bpf *bpf, const struct bpf_explain_packet *packet,
		     struct bpf_explanation *ret, char *why, size_t why_size)
{
	struct gate_bpf *gate = gate_bpf__open();
	const char *what = "load";
	int err = gate ? 0 : -errno;

	memset(ret, 0, sizeof(*ret));
	if (err)
		goto out;
	gate->rodata->tracing = true;
	memcpy((void *)&gate->rodata->given, &packet->given, sizeof(packet->given));
	/* The live one's own memory: hints of ports, its copy of the listeners. */
	memcpy(gate->bss, bpf->gate_data, sizeof(*gate->bss));
	memset(&gate->bss->trace, 0, sizeof(gate->bss->trace));
	err = share_maps(bpf, gate->obj);
	if (!err)
		err = gate_bpf__load(gate);
	if (err)
		goto out;
	what = "clone the maps of";
	err = fill_clones(bpf, gate->obj, packet, ret);
	if (err)
		goto out;
	what = "run";
	err = run_gate(gate, packet, ret);
	if (!err)
		err = read_verdict(gate, ret);
out:
	if (err)
		bpf_loader_why(why, why_size, "cannot %s an instance of the gate: %s", what,
			       strerror(-err));
	gate_bpf__destroy(gate);
	return err;
}

static void fill_lookup(struct bpf_sk_lookup *lookup, const struct bpf_explain_packet *packet)
{
	const struct addr *from = &packet->source, *to = &packet->destination;

	memset(lookup, 0, sizeof(*lookup));
	lookup->family = from->sa.sa_family;
	lookup->protocol = IPPROTO_TCP;
	lookup->remote_port = htons(addr_port(from));
	lookup->local_port = addr_port(to);
	if (lookup->family == AF_INET) {
		lookup->remote_ip4 = from->v4.sin_addr.s_addr;
		lookup->local_ip4 = to->v4.sin_addr.s_addr;
	} else {
		memcpy(lookup->remote_ip6, &from->v6.sin6_addr, sizeof(lookup->remote_ip6));
		memcpy(lookup->local_ip6, &to->v6.sin6_addr, sizeof(lookup->local_ip6));
	}
}

int bpf_explain_pick(const struct bpf *bpf, const struct bpf_explain_packet *packet,
		     uint64_t *cookies, size_t n, char *why, size_t why_size)
{
	struct pick_bpf *pick = pick_bpf__open();
	struct bpf_sk_lookup lookup;
	int err = pick ? share_maps(bpf, pick->obj) : -errno;

	if (!err)
		err = pick_bpf__load(pick);
	for (size_t i = 0; i < n && !err; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &lookup,
			    .ctx_size_in = sizeof(lookup), .ctx_out = &lookup,
			    .ctx_size_out = sizeof(lookup));

		fill_lookup(&lookup, packet);
		if (bpf_prog_test_run_opts(bpf_program__fd(pick->progs.pick), &options))
			err = -errno;
		cookies[i] = lookup.cookie;
	}
	if (err)
		bpf_loader_why(why, why_size, "cannot run an instance of the sk_lookup program: %s",
			       strerror(-err));
	pick_bpf__destroy(pick);
	return err;
}
