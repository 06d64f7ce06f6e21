/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_acl.c - builds access lists as maps and swaps them in: abi.h tells how a list is laid
 * out. A packet is judged by one generation of a list, whole; the old one is taken away only when no
 * program can still be reading it.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/bpf_loader_impl.h"

#define KINDS	    3
#define ACL_KEY_MAX sizeof(struct sluice_acl_v6_key)
/* Room for entries that are added one by one. */
#define ACL_SPARE 4096

static const struct acl_kind {
	enum bpf_loader_map outer;
	enum bpf_map_type type;
	uint32_t key_size, flag, most;
} kinds[KINDS] = {
	{ MAP_acl_exact, BPF_MAP_TYPE_HASH, sizeof(struct sluice_acl_exact_key),
	  SLUICE_ACL_HAS_EXACT, SLUICE_MAX_ACL_EXACT },
	{ MAP_acl_v4, BPF_MAP_TYPE_LPM_TRIE, sizeof(struct sluice_acl_v4_key), SLUICE_ACL_HAS_V4,
	  SLUICE_MAX_ACL_PREFIXES },
	{ MAP_acl_v6, BPF_MAP_TYPE_LPM_TRIE, sizeof(struct sluice_acl_v6_key), SLUICE_ACL_HAS_V6,
	  SLUICE_MAX_ACL_PREFIXES },
};

struct acl_row {
	uint8_t key[ACL_KEY_MAX]; /* zero behind its kind's size */
	struct sluice_acl_entry entry;
};

struct acl_table {
	struct acl_row *rows;
	size_t n;
	int fd;
};

/* Of equal keys deny comes first. */
static int compare_rows(const void *a, const void *b)
{
	const struct acl_row *x = a, *y = b;
	int order = memcmp(x->key, y->key, sizeof(x->key));

	return order ? order : (int)x->entry.action - (int)y->entry.action;
}

static void acl_put(struct acl_table tables[KINDS], const struct prefix *prefix, uint8_t action)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct acl_row row = { .entry.action = action };
	unsigned kind;
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
	row.entry.prefixlen = (uint8_t)(ipv4 ? 96 + bits : bits);
	if (bits == (ipv4 ? 32u : 128u)) {
		kind = 0;
		memcpy(row.key, address, sizeof(address));
	} else if (ipv4) {
		struct sluice_acl_v4_key key = { .prefixlen = bits };

		kind = 1;
		memcpy(&key.address, address + 12, sizeof(key.address));
		memcpy(row.key, &key, sizeof(key));
	} else {
		struct sluice_acl_v6_key key = { .prefixlen = bits };

		kind = 2;
		memcpy(key.address, address, sizeof(key.address));
		memcpy(row.key, &key, sizeof(key));
	}
	tables[kind].rows[tables[kind].n++] = row;
}

static void acl_sort(struct acl_table *table)
{
	size_t kept = 0;

	qsort(table->rows, table->n, sizeof(table->rows[0]), compare_rows);
	for (size_t i = 0; i < table->n; i++) {
		if (!kept || memcmp(table->rows[kept - 1].key, table->rows[i].key, ACL_KEY_MAX))
			table->rows[kept++] = table->rows[i];
	}
	table->n = kept;
}

/* A map of its own with these rows, in table->fd. */
static int acl_build(struct acl_table *table, const struct acl_kind *kind)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	LIBBPF_OPTS(bpf_map_batch_opts, batch);
	__u32 count = (__u32)table->n;
	struct sluice_acl_entry *values = calloc(table->n, sizeof(*values));
	uint8_t *keys = calloc(table->n, kind->key_size);
	int err = 0;

	if (!values || !keys) {
		err = -ENOMEM;
		goto out;
	}
	for (size_t i = 0; i < table->n; i++) {
		memcpy(keys + i * kind->key_size, table->rows[i].key, kind->key_size);
		values[i] = table->rows[i].entry;
	}
	table->fd = bpf_map_create(kind->type, "acl", kind->key_size, sizeof(*values),
				   (__u32)table->n + ACL_SPARE, &options);
	if (table->fd < 0)
		err = -errno;
	else if (bpf_map_update_batch(table->fd, keys, values, &count, &batch))
		err = -errno;
out:
	free(values);
	free(keys);
	return err;
}

/*
 * Takes a generation away that is not in force any more. A program that began before the swap may
 * still look into it, and the kernel waits for such programs only at the end of a change of a map of
 * maps: so a change of a row that no list has comes first.
 */
static int acl_drop(struct bpf *bpf, __u32 row)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	__u32 spare = 2 * SLUICE_MAX_ACLS;
	int fd = bpf_map_create(kinds[0].type, "acl", kinds[0].key_size,
				sizeof(struct sluice_acl_entry), 1, &options);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (bpf_map_update_elem(bpf->maps[kinds[0].outer], &spare, &fd, BPF_ANY))
		err = -errno;
	close(fd);
	for (unsigned i = 0; i < KINDS && !err; i++)
		if (bpf_map_delete_elem(bpf->maps[kinds[i].outer], &row) && errno != ENOENT)
			err = -errno;
	bpf_map_delete_elem(bpf->maps[kinds[0].outer], &spare);
	return err;
}

static int acl_swap(struct bpf *bpf, uint32_t acl, const struct acl_table tables[KINDS],
		    bool allow_list)
{
	struct sluice_acl now;
	__u32 old_row, row;

	if (bpf_map_lookup_elem(bpf->maps[MAP_acls], &acl, &now))
		return -errno;
	old_row = acl * 2 + (now.active & SLUICE_ACL_GENERATION);
	row = old_row ^ 1;
	now.active = (~now.active & SLUICE_ACL_GENERATION) |
		     (allow_list ? SLUICE_ACL_ALLOW_LIST : 0);
	for (unsigned i = 0; i < KINDS; i++) {
		if (!tables[i].n)
			continue;
		if (bpf_map_update_elem(bpf->maps[kinds[i].outer], &row, &tables[i].fd, BPF_ANY))
			return -errno;
		now.active |= kinds[i].flag;
	}
	if (bpf_map_update_elem(bpf->maps[MAP_acls], &acl, &now, BPF_ANY))
		return -errno;
	return acl_drop(bpf, old_row);
}

int bpf_acl_replace(struct bpf *bpf, uint32_t acl, const struct prefix *deny, size_t n_deny,
		    const struct prefix *allow, size_t n_allow)
{
	struct acl_table tables[KINDS] = { { .fd = -1 }, { .fd = -1 }, { .fd = -1 } };
	int err = acl < SLUICE_MAX_ACLS ? 0 : -EINVAL;

	for (unsigned i = 0; i < KINDS && !err; i++) {
		tables[i].rows = calloc(n_deny + n_allow + 1, sizeof(tables[i].rows[0]));
		if (!tables[i].rows)
			err = -ENOMEM;
	}
	if (err)
		goto out;
	for (size_t i = 0; i < n_deny; i++)
		acl_put(tables, &deny[i], SLUICE_ACL_DENY);
	for (size_t i = 0; i < n_allow; i++)
		acl_put(tables, &allow[i], SLUICE_ACL_ALLOW);
	for (unsigned i = 0; i < KINDS && !err; i++) {
		acl_sort(&tables[i]);
		if (tables[i].n > kinds[i].most)
			err = -E2BIG;
		else if (tables[i].n)
			err = acl_build(&tables[i], &kinds[i]);
	}
	if (!err)
		err = acl_swap(bpf, acl, tables, n_allow > 0);
out:
	for (unsigned i = 0; i < KINDS; i++) {
		free(tables[i].rows);
		if (tables[i].fd >= 0)
			close(tables[i].fd);
	}
	return err;
}
