/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_tables.c - what the supervisor writes into the maps and reads out of them by system
 * calls: listeners, sockets, counters. (workers, groups and backends are mapped memory.)
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "control/bpf_loader_impl.h"

static int map_set(int fd, const void *key, const void *value)
{
	return bpf_map_update_elem(fd, key, value, BPF_ANY) ? -errno : 0;
}

static int map_del(int fd, const void *key)
{
	return bpf_map_delete_elem(fd, key) && errno != ENOENT ? -errno : 0;
}

/* Listeners */

static void listener_key(struct sluice_listener_key *key, const struct addr *address)
{
	memset(key, 0, sizeof(*key));
	addr_to_mapped(address, (uint8_t *)key->address);
	key->port = htons(addr_port(address));
	key->protocol = IPPROTO_TCP;
}

/* For [::]:port fills *key with the entry that takes its IPv4 packets. */
static bool listener_v4_key(struct sluice_listener_key *key, const struct addr *address)
{
	if (address->sa.sa_family != AF_INET6 || !addr_is_any(address))
		return false;
	listener_key(key, address);
	key->address[2] = htonl(0xffff);
	return true;
}

static bool key_is_any(const struct sluice_listener_key *key)
{
	return !key->address[0] && !key->address[1] && !key->address[3] &&
	       (!key->address[2] || key->address[2] == htonl(0xffff));
}

/* The gate's hint of a port must be cleared before an entry is made, and may be set when the last
 * of its kind is gone. */
static uint64_t *port_hint(struct bpf *bpf, const struct sluice_listener_key *key, uint64_t *bit)
{
	uint32_t port = ntohs(key->port);

	*bit = 1ull << (port % 64);
	return (key_is_any(key) ? bpf->ports_without_any : bpf->ports_without_address) + port / 64;
}

static int entry_set(struct bpf *bpf, const struct sluice_listener_key *key,
		     const struct sluice_listener *listener)
{
	uint64_t bit, *hint = port_hint(bpf, key, &bit);
	struct sluice_listener before;
	bool is_new = bpf_map_lookup_elem(bpf->maps[MAP_listeners], key, &before);
	int err;

	__atomic_and_fetch(hint, ~bit, __ATOMIC_SEQ_CST);
	err = map_set(bpf->maps[MAP_listeners], key, listener);
	if (!err)
		bpf_loader_ports_set(bpf, key, listener, is_new);
	return err;
}

static int entry_del(struct bpf *bpf, const struct sluice_listener_key *key)
{
	struct sluice_listener_key other;
	int fd = bpf->maps[MAP_listeners], err = map_del(fd, key);
	uint64_t bit, *hint = port_hint(bpf, key, &bit);

	if (err)
		return err;
	bpf_loader_ports_del(bpf, key);
	for (void *at = NULL; !bpf_map_get_next_key(fd, at, &other); at = &other) {
		if (other.port == key->port && key_is_any(&other) == key_is_any(key))
			return 0;
	}
	__atomic_or_fetch(hint, bit, __ATOMIC_SEQ_CST);
	return 0;
}

int bpf_listener_set(struct bpf *bpf, const struct addr *address,
		     const struct sluice_listener *listener)
{
	struct sluice_listener_key key;
	struct sluice_listener other;
	int err;

	if (listener->id >= SLUICE_MAX_LISTENERS || listener->slots > SLUICE_MAX_WORKERS)
		return -EINVAL;
	if (listener_v4_key(&key, address) &&
	    (bpf_map_lookup_elem(bpf->maps[MAP_listeners], &key, &other) ||
	     other.id == listener->id)) {
		err = entry_set(bpf, &key, listener);
		if (err)
			return err;
	}
	listener_key(&key, address);
	return entry_set(bpf, &key, listener);
}

int bpf_listener_del(struct bpf *bpf, const struct addr *address)
{
	int fd = bpf->maps[MAP_listeners], cpus = libbpf_num_possible_cpus(), err;
	struct sluice_listener_key key;
	struct sluice_listener listener, other;
	struct sluice_listener_stats *zero;

	listener_key(&key, address);
	if (bpf_map_lookup_elem(fd, &key, &listener))
		return errno == ENOENT ? 0 : -errno;
	err = entry_del(bpf, &key);
	if (err)
		return err;
	if (listener_v4_key(&key, address) && !bpf_map_lookup_elem(fd, &key, &other) &&
	    other.id == listener.id)
		err = entry_del(bpf, &key);
	for (uint32_t slot = 0; slot < SLUICE_MAX_WORKERS; slot++)
		bpf_socket_del(bpf, listener.id, slot);
	/* The next listener with this id counts from 0. */
	zero = cpus > 0 ? calloc((size_t)cpus, sizeof(*zero)) : NULL;
	if (zero)
		map_set(bpf->maps[MAP_listener_stats], &listener.id, zero);
	free(zero);
	return err;
}

int bpf_vip_set(struct bpf *bpf, const struct addr *address, uint32_t listeners)
{
	struct sluice_vip_key key;
	__u32 value = listeners;

	addr_to_mapped(address, (uint8_t *)key.address);
	return listeners ? map_set(bpf->maps[MAP_vips], &key, &value) :
			   map_del(bpf->maps[MAP_vips], &key);
}

int bpf_socket_set(struct bpf *bpf, uint32_t listener, uint32_t slot, int fd)
{
	__u32 key = listener * SLUICE_MAX_WORKERS + slot;
	__u64 value = (__u64)fd;

	if (listener >= SLUICE_MAX_LISTENERS || slot >= SLUICE_MAX_WORKERS)
		return -EINVAL;
	return map_set(bpf->maps[MAP_sockets], &key, &value);
}

int bpf_socket_del(struct bpf *bpf, uint32_t listener, uint32_t slot)
{
	__u32 key = listener * SLUICE_MAX_WORKERS + slot;

	if (listener >= SLUICE_MAX_LISTENERS || slot >= SLUICE_MAX_WORKERS)
		return -EINVAL;
	/* A SOCKMAP says EINVAL where the place is empty. */
	return bpf_map_delete_elem(bpf->maps[MAP_sockets], &key) && errno != ENOENT &&
			       errno != EINVAL ? -errno : 0;
}

/* Counters: structs of __u64 only, one a CPU, summed field by field */

static int read_sum(int fd, __u32 key, __u64 *sum, size_t n_words)
{
	int cpus = libbpf_num_possible_cpus(), err = 0;
	__u64 *values;

	if (cpus <= 0)
		return -EINVAL;
	values = calloc((size_t)cpus * n_words, sizeof(*values));
	if (!values)
		return -ENOMEM;
	memset(sum, 0, n_words * sizeof(*sum));
	if (bpf_map_lookup_elem(fd, &key, values))
		err = -errno;
	for (size_t i = 0; i < (size_t)cpus * n_words && !err; i++)
		sum[i % n_words] += values[i];
	free(values);
	return err;
}

int bpf_read_verdicts(const struct bpf *bpf, struct sluice_verdict_count counts[VERDICT_MAX])
{
	int err = 0;

	for (__u32 reason = 0; reason < VERDICT_MAX && !err; reason++)
		err = read_sum(bpf->maps[MAP_verdicts], reason, (__u64 *)&counts[reason],
			       sizeof(counts[0]) / sizeof(__u64));
	return err;
}

int bpf_read_listener_stats(const struct bpf *bpf, uint32_t listener,
			    struct sluice_listener_stats *ret_stats)
{
	if (listener >= SLUICE_MAX_LISTENERS)
		return -EINVAL;
	return read_sum(bpf->maps[MAP_listener_stats], listener, (__u64 *)ret_stats,
			sizeof(*ret_stats) / sizeof(__u64));
}

int bpf_read_listener_times(const struct bpf *bpf, uint32_t listener,
			    struct sluice_listener_time *ret_times)
{
	return bpf_map_lookup_elem(bpf->maps[MAP_listener_times], &listener, ret_times);
}
