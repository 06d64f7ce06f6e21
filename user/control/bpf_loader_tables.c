/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_tables.c - what the supervisor writes into the maps and reads out of them by system
 * calls: listeners, sockets, ACL, counters. (workers, groups and backends are mapped memory.)
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

	__atomic_and_fetch(hint, ~bit, __ATOMIC_SEQ_CST);
	return map_set(bpf->maps[MAP_listeners], key, listener);
}

static int entry_del(struct bpf *bpf, const struct sluice_listener_key *key)
{
	struct sluice_listener_key other;
	int fd = bpf->maps[MAP_listeners], err = map_del(fd, key);
	uint64_t bit, *hint = port_hint(bpf, key, &bit);

	if (err)
		return err;
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

/* ACL */

#define ACL_KEY_MAX sizeof(struct sluice_acl_v6_key)

struct acl_row {
	uint8_t key[ACL_KEY_MAX];
	uint32_t action;
};

struct acl_table {
	int fd;
	size_t key_size;
	struct acl_row *rows; /* wanted; sorted by key */
	size_t n_rows;
	struct acl_row *stale; /* in the map and not wanted */
	size_t n_stale, n_there;
};

/* Compares whole keys: all are zero behind their size. Of equal ones deny comes first. */
static int compare_rows(const void *a, const void *b)
{
	const struct acl_row *x = a, *y = b;
	int order = memcmp(x->key, y->key, sizeof(x->key));

	return order ? order : (int)x->action - (int)y->action;
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, ACL_KEY_MAX);
}

static void acl_add(struct acl_table tables[3], const struct prefix *prefix, uint32_t action)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct acl_row row = { .action = action };
	struct acl_table *table;
	uint8_t address[16];
	uint32_t bits = prefix->len;
	bool ipv4 = prefix->family == AF_INET;

	memcpy(address, prefix->bytes, sizeof(address));
	if (ipv4) {
		memcpy(address, mapped, sizeof(mapped));
		memcpy(address + 12, prefix->bytes, 4);
	} else if (bits >= 96 && !memcmp(address, mapped, sizeof(mapped))) {
		ipv4 = true;
		bits -= 96;
	}
	if (bits == (ipv4 ? 32u : 128u)) {
		struct sluice_acl_exact_key key;

		table = &tables[0];
		memcpy(key.address, address, sizeof(key.address));
		memcpy(row.key, &key, sizeof(key));
	} else if (ipv4) {
		struct sluice_acl_v4_key key = { .prefixlen = bits };

		table = &tables[1];
		memcpy(&key.address, address + 12, sizeof(key.address));
		memcpy(row.key, &key, sizeof(key));
	} else {
		struct sluice_acl_v6_key key = { .prefixlen = bits };

		table = &tables[2];
		memcpy(key.address, address, sizeof(key.address));
		memcpy(row.key, &key, sizeof(key));
	}
	table->rows[table->n_rows++] = row;
}

static void acl_sort(struct acl_table *table)
{
	size_t kept = 0;

	qsort(table->rows, table->n_rows, sizeof(table->rows[0]), compare_rows);
	for (size_t i = 0; i < table->n_rows; i++) {
		if (!kept || compare_keys(&table->rows[kept - 1], &table->rows[i]))
			table->rows[kept++] = table->rows[i];
	}
	table->n_rows = kept;
}

static int acl_find_stale(struct acl_table *table)
{
	uint8_t key[ACL_KEY_MAX] = { 0 };
	size_t cap = 0;
	bool first = true;

	while (!bpf_map_get_next_key(table->fd, first ? NULL : key, key)) {
		first = false;
		table->n_there++;
		/* No writer but us, so the walk ends; the bound is for entries made by hand. */
		if (table->n_there > 2 * SLUICE_MAX_ACL)
			return -ELOOP;
		if (table->n_rows && bsearch(key, table->rows, table->n_rows,
					     sizeof(table->rows[0]), compare_keys))
			continue;
		if (table->n_stale == cap) {
			struct acl_row *grown;

			cap = cap ? cap * 2 : 64;
			grown = realloc(table->stale, cap * sizeof(*grown));
			if (!grown)
				return -ENOMEM;
			table->stale = grown;
		}
		memset(&table->stale[table->n_stale], 0, sizeof(table->stale[0]));
		memcpy(table->stale[table->n_stale++].key, key, table->key_size);
	}
	return errno == ENOENT ? 0 : -errno;
}

static int acl_delete_stale(struct acl_table *table)
{
	int err = 0;

	for (size_t i = 0; i < table->n_stale && !err; i++)
		err = map_del(table->fd, table->stale[i].key);
	table->n_stale = 0;
	return err;
}

static int acl_apply(struct acl_table *table)
{
	int err = 0;

	/* Where both do not fit, the old ones must go first. */
	if (table->n_there + table->n_rows > SLUICE_MAX_ACL)
		err = acl_delete_stale(table);
	for (size_t i = 0; i < table->n_rows && !err; i++) {
		struct sluice_acl_entry entry = { .action = table->rows[i].action };

		err = map_set(table->fd, table->rows[i].key, &entry);
	}
	return err ? err : acl_delete_stale(table);
}

int bpf_acl_replace(struct bpf *bpf, const struct prefix *deny, size_t n_deny,
		    const struct prefix *allow, size_t n_allow)
{
	struct acl_table tables[3] = {
		{ .fd = bpf->maps[MAP_acl_exact], .key_size = sizeof(struct sluice_acl_exact_key) },
		{ .fd = bpf->maps[MAP_acl_v4], .key_size = sizeof(struct sluice_acl_v4_key) },
		{ .fd = bpf->maps[MAP_acl_v6], .key_size = sizeof(struct sluice_acl_v6_key) },
	};
	int err = 0;

	for (unsigned i = 0; i < 3; i++) {
		tables[i].rows = calloc(n_deny + n_allow + 1, sizeof(tables[i].rows[0]));
		if (!tables[i].rows)
			err = -ENOMEM;
	}
	if (err)
		goto out;
	for (size_t i = 0; i < n_deny; i++)
		acl_add(tables, &deny[i], SLUICE_ACL_DENY);
	for (size_t i = 0; i < n_allow; i++)
		acl_add(tables, &allow[i], SLUICE_ACL_ALLOW);
	for (unsigned i = 0; i < 3 && !err; i++) {
		acl_sort(&tables[i]);
		err = tables[i].n_rows > SLUICE_MAX_ACL ? -E2BIG : acl_find_stale(&tables[i]);
	}
	for (unsigned i = 0; i < 3 && !err; i++)
		err = acl_apply(&tables[i]);
out:
	for (unsigned i = 0; i < 3; i++) {
		free(tables[i].rows);
		free(tables[i].stale);
	}
	return err;
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
