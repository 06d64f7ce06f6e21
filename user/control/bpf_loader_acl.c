/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_acl.c - see bpf_loader_acl.h: builds access lists as maps and swaps them in; abi.h tells
 * how a list is laid out. A packet is judged by one generation of a list, whole; the old one is taken
 * away only when no program can still be reading it. Entries go in by batches, in an order that
 * makes sorting needless: of equal keys the last one holds.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/bpf_loader_acl.h"
#include "control/bpf_loader_impl.h"

#define KINDS	    3
#define ACL_KEY_MAX sizeof(struct sluice_acl_v6_key)
/* Room for entries that are added one by one. */
#define ACL_SPARE 4096
#define ACL_BATCH 4096

static const struct acl_kind {
	enum bpf_loader_map outer;
	enum bpf_map_type type;
	uint32_t key_bytes, flag, most;
} kinds[KINDS] = {
	{ MAP_acl_exact, BPF_MAP_TYPE_HASH, sizeof(struct sluice_acl_exact_key),
	  SLUICE_ACL_HAS_EXACT, SLUICE_MAX_ACL_EXACT },
	{ MAP_acl_v4, BPF_MAP_TYPE_LPM_TRIE, sizeof(struct sluice_acl_v4_key), SLUICE_ACL_HAS_V4,
	  SLUICE_MAX_ACL_PREFIXES },
	{ MAP_acl_v6, BPF_MAP_TYPE_LPM_TRIE, sizeof(struct sluice_acl_v6_key), SLUICE_ACL_HAS_V6,
	  SLUICE_MAX_ACL_PREFIXES },
};

/* The maps of each list in force. They could be asked for by id, but only with CAP_SYS_ADMIN. */
struct bpf_acl_maps {
	int fds[SLUICE_MAX_ACLS][KINDS]; /* -1: none */
	int types_fd; /* or -errno */
	uint32_t types[KINDS + 1];
};

/* A generation while it is built: a batch of each kind. */
struct acl_build {
	struct acl_table {
		size_t want; /* entries to come */
		int fd;
		uint32_t n;
		uint8_t *keys;
		struct sluice_acl_entry *values;
	} tables[KINDS];
};

/* The key of a prefix and its kind; *ret_length: of 128. */
static unsigned acl_key(const struct prefix *prefix, uint8_t key[ACL_KEY_MAX], uint8_t *ret_length)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
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
	*ret_length = (uint8_t)(ipv4 ? 96 + bits : bits);
	if (bits == (ipv4 ? 32u : 128u)) {
		memcpy(key, address, sizeof(address));
		return 0;
	}
	memcpy(key, &bits, sizeof(bits));
	if (ipv4) {
		memcpy(key + sizeof(bits), address + 12, 4);
		return 1;
	}
	memcpy(key + sizeof(bits), address, sizeof(address));
	return 2;
}

static int acl_make_map(const struct bpf *bpf, unsigned kind, size_t entries)
{
	const struct bpf_acl_maps *maps = bpf->acl_maps;
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	int fd;

	if (maps->types_fd >= 0) {
		options.btf_fd = (uint32_t)maps->types_fd;
		options.btf_key_type_id = maps->types[kind];
		options.btf_value_type_id = maps->types[KINDS];
	}
	fd = bpf_map_create(kinds[kind].type, "acl", kinds[kind].key_bytes,
			    sizeof(struct sluice_acl_entry), (uint32_t)entries, &options);
	return fd < 0 ? -errno : fd;
}

static void build_count(struct acl_build *build, const struct prefix *prefix)
{
	uint8_t key[ACL_KEY_MAX], length;

	build->tables[acl_key(prefix, key, &length)].want++;
}

static int build_flush(struct acl_table *table)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	uint32_t n = table->n;

	table->n = 0;
	if (n && bpf_map_update_batch(table->fd, table->keys, table->values, &n, &options))
		return -errno;
	return 0;
}

static int build_put(struct acl_build *build, const struct prefix *prefix,
		     struct sluice_acl_entry entry)
{
	uint8_t key[ACL_KEY_MAX];
	unsigned kind = acl_key(prefix, key, &entry.prefixlen);
	struct acl_table *table = &build->tables[kind];

	memcpy(table->keys + table->n * kinds[kind].key_bytes, key, kinds[kind].key_bytes);
	table->values[table->n++] = entry;
	return table->n == ACL_BATCH ? build_flush(table) : 0;
}

/* The action that a list's map has for just this key, of a file's entry; 0: none. */
static uint8_t acl_file_action(int fd, const uint8_t *key, uint8_t length)
{
	struct sluice_acl_entry entry;

	if (fd < 0 || bpf_map_lookup_elem(fd, key, &entry) || entry.prefixlen != length ||
	    entry.live)
		return 0;
	return entry.action;
}

static struct sluice_acl_entry acl_entry_of(const struct bpf_acl_edit *edit, uint8_t length)
{
	return (struct sluice_acl_entry){
		.action = edit->action,
		.prefixlen = length,
		.live = 1,
		.expires_ns = edit->expires_ns,
	};
}

static int build_edits(struct acl_build *build, struct bpf_acl_list *list)
{
	for (size_t i = 0; i < list->n_edits; i++) {
		struct bpf_acl_edit *edit = &list->edits[i];
		uint8_t key[ACL_KEY_MAX], length;
		unsigned kind = acl_key(&edit->prefix, key, &length);
		struct sluice_acl_entry entry = acl_entry_of(edit, length);

		edit->under = acl_file_action(build->tables[kind].fd, key, length);
		if (bpf_map_update_elem(build->tables[kind].fd, key, &entry, BPF_ANY))
			return -errno;
	}
	return 0;
}

static int build_lists(struct acl_build *build, struct bpf_acl_list *list)
{
	const struct sluice_acl_entry allow = { .action = SLUICE_ACL_ALLOW };
	const struct sluice_acl_entry deny = { .action = SLUICE_ACL_DENY };
	int err = 0;

	for (size_t i = 0; i < list->n_allow && !err; i++)
		err = build_put(build, &list->allow[i], allow);
	for (unsigned i = 0; i < KINDS && !err; i++)
		err = build_flush(&build->tables[i]);
	for (size_t i = 0; i < list->n_deny && !err; i++)
		err = build_put(build, &list->deny[i], deny);
	for (unsigned i = 0; i < KINDS && !err; i++)
		err = build_flush(&build->tables[i]);
	return err ? err : build_edits(build, list);
}

static int build_begin(const struct bpf *bpf, struct acl_build *build,
		       const struct bpf_acl_list *list)
{
	for (size_t i = 0; i < list->n_deny; i++)
		build_count(build, &list->deny[i]);
	for (size_t i = 0; i < list->n_allow; i++)
		build_count(build, &list->allow[i]);
	for (size_t i = 0; i < list->n_edits; i++)
		build_count(build, &list->edits[i].prefix);
	for (unsigned i = 0; i < KINDS; i++) {
		struct acl_table *table = &build->tables[i];

		if (!table->want)
			continue;
		if (table->want > kinds[i].most)
			return -E2BIG;
		table->keys = malloc(ACL_BATCH * kinds[i].key_bytes);
		table->values = malloc(ACL_BATCH * sizeof(*table->values));
		if (!table->keys || !table->values)
			return -ENOMEM;
		table->fd = acl_make_map(bpf, i, table->want + ACL_SPARE);
		if (table->fd < 0)
			return table->fd;
	}
	return 0;
}

static void build_done(struct acl_build *build)
{
	for (unsigned i = 0; i < KINDS; i++) {
		free(build->tables[i].keys);
		free(build->tables[i].values);
		if (build->tables[i].fd >= 0)
			close(build->tables[i].fd);
	}
}

/* The kernel waits for programs only at the end of a change of a map of maps: so this changes a row
 * that no list has. */
int bpf_loader_wait(struct bpf *bpf)
{
	uint32_t spare = 2 * SLUICE_MAX_ACLS;
	int fd = acl_make_map(bpf, 0, 1);
	int err = 0;

	if (fd < 0)
		return fd;
	if (bpf_map_update_elem(bpf->maps[kinds[0].outer], &spare, &fd, BPF_ANY))
		err = -errno;
	close(fd);
	return err;
}

/* Takes a generation away that is not in force any more; active: what it has. A program that began
 * before the swap may still look into it. Each wait takes milliseconds. */
static void acl_drop(struct bpf *bpf, uint32_t row, uint32_t active)
{
	if (!(active & (SLUICE_ACL_HAS_EXACT | SLUICE_ACL_HAS_V4 | SLUICE_ACL_HAS_V6)))
		return;
	if (bpf_loader_wait(bpf))
		return; /* then the old one takes memory until the next swap */
	for (unsigned i = 0; i < KINDS; i++)
		if (active & kinds[i].flag)
			bpf_map_delete_elem(bpf->maps[kinds[i].outer], &row);
}

static int acl_read(const struct bpf *bpf, uint32_t acl, struct sluice_acl *now)
{
	return bpf_map_lookup_elem(bpf->maps[MAP_acls], &acl, now) ? -errno : 0;
}

static int acl_write(const struct bpf *bpf, uint32_t acl, const struct sluice_acl *now)
{
	return bpf_map_update_elem(bpf->maps[MAP_acls], &acl, now, BPF_ANY) ? -errno : 0;
}

/* Takes the tables' maps over. */
static int acl_swap(struct bpf *bpf, uint32_t acl, struct acl_build *build, bool allow_list)
{
	int *fds = bpf->acl_maps->fds[acl];
	struct sluice_acl now;
	uint32_t old_row, old_active, row;
	int err = acl_read(bpf, acl, &now);

	if (err)
		return err;
	old_active = now.active;
	old_row = acl * 2 + (now.active & SLUICE_ACL_GENERATION);
	row = old_row ^ 1;
	now.active = (~now.active & SLUICE_ACL_GENERATION) |
		     (allow_list ? SLUICE_ACL_ALLOW_LIST : 0);
	for (unsigned i = 0; i < KINDS; i++) {
		if (!build->tables[i].want)
			continue;
		if (bpf_map_update_elem(bpf->maps[kinds[i].outer], &row, &build->tables[i].fd,
					BPF_ANY))
			return -errno;
		now.active |= kinds[i].flag;
	}
	err = acl_write(bpf, acl, &now);
	if (err)
		return err;
	for (unsigned i = 0; i < KINDS; i++) {
		int old = fds[i];

		fds[i] = build->tables[i].fd;
		build->tables[i].fd = old; /* closed with the rest */
	}
	acl_drop(bpf, old_row, old_active);
	return 0;
}

int bpf_loader_acl_init(struct bpf *bpf)
{
	struct bpf_acl_maps *maps = malloc(sizeof(*maps));

	if (!maps)
		return -ENOMEM;
	memset(maps->fds, 0xff, sizeof(maps->fds));
	maps->types_fd = bpf_loader_acl_types(maps->types);
	bpf->acl_maps = maps;
	/* Up to Linux 6.1 a map with types may not stand where the gate declares one without. */
	if (maps->types_fd >= 0 && bpf_loader_wait(bpf)) {
		close(maps->types_fd);
		maps->types_fd = -1;
	}
	return 0;
}

int bpf_acl_replace(struct bpf *bpf, uint32_t acl, struct bpf_acl_list *list)
{
	struct acl_build build = { .tables = { { .fd = -1 }, { .fd = -1 }, { .fd = -1 } } };
	int err = acl < SLUICE_MAX_ACLS ? 0 : -EINVAL;

	if (!err)
		err = build_begin(bpf, &build, list);
	if (!err)
		err = build_lists(&build, list);
	if (!err)
		err = acl_swap(bpf, acl, &build, list->n_allow > 0);
	build_done(&build);
	return err;
}

int bpf_acl_add(struct bpf *bpf, uint32_t acl, struct bpf_acl_edit *edit)
{
	uint8_t key[ACL_KEY_MAX], length;
	unsigned kind = acl_key(&edit->prefix, key, &length);
	struct sluice_acl_entry entry = acl_entry_of(edit, length), before;
	struct sluice_acl now;
	uint32_t row;
	int err, *fd;

	if (acl >= SLUICE_MAX_ACLS)
		return -EINVAL;
	fd = &bpf->acl_maps->fds[acl][kind];
	if (*fd < 0) {
		int made = acl_make_map(bpf, kind, ACL_SPARE);

		if (made < 0)
			return made;
		*fd = made;
	}
	if (!bpf_map_lookup_elem(*fd, key, &before) && before.prefixlen == length && !before.live)
		edit->under = before.action;
	if (bpf_map_update_elem(*fd, key, &entry, BPF_ANY))
		return errno == ENOSPC ? -E2BIG : -errno;
	err = acl_read(bpf, acl, &now);
	if (err || now.active & kinds[kind].flag)
		return err;
	/* First the map, then the word that says that there is one. */
	row = acl * 2 + (now.active & SLUICE_ACL_GENERATION);
	if (bpf_map_update_elem(bpf->maps[kinds[kind].outer], &row, fd, BPF_ANY))
		return -errno;
	now.active |= kinds[kind].flag;
	return acl_write(bpf, acl, &now);
}

int bpf_acl_del(struct bpf *bpf, uint32_t acl, const struct bpf_acl_edit *edit)
{
	uint8_t key[ACL_KEY_MAX], length;
	unsigned kind = acl_key(&edit->prefix, key, &length);
	const struct sluice_acl_entry under = { .action = edit->under, .prefixlen = length };
	int fd = acl < SLUICE_MAX_ACLS ? bpf->acl_maps->fds[acl][kind] : -1;

	if (fd < 0)
		return 0;
	if (edit->under)
		return bpf_map_update_elem(fd, key, &under, BPF_ANY) ? -errno : 0;
	return bpf_map_delete_elem(fd, key) && errno != ENOENT ? -errno : 0;
}

bool bpf_acl_is_empty(const struct bpf *bpf, uint32_t acl)
{
	struct sluice_acl now;

	return acl < SLUICE_MAX_ACLS && !acl_read(bpf, acl, &now) &&
	       !(now.active & ~SLUICE_ACL_GENERATION);
}

void bpf_loader_acl_done(struct bpf *bpf)
{
	if (!bpf->acl_maps)
		return;
	for (uint32_t acl = 0; acl < SLUICE_MAX_ACLS; acl++)
		for (unsigned i = 0; i < KINDS; i++)
			if (bpf->acl_maps->fds[acl][i] >= 0)
				close(bpf->acl_maps->fds[acl][i]);
	if (bpf->acl_maps->types_fd >= 0)
		close(bpf->acl_maps->types_fd);
	free(bpf->acl_maps);
	bpf->acl_maps = NULL;
}
