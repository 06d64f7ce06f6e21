/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_ports.c - keeps the gate's own copy of the listeners map (include/sluice/ports.h) while the
 * gate reads it. Called by bpf_loader_tables.c with each entry that it writes or removes. A way changes
 * by one store, and what it names was written before; a row is written again only when no program that
 * could have found it runs any more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/bpf_loader_impl.h"

struct bpf_ports {
	struct sluice_ports *shared; /* with the gate */
	/* Rows that are in no way, the longest free first; a ring. */
	uint16_t free[SLUICE_PORTS_ROWS];
	uint32_t first, n_free;
	uint32_t n_settled; /* of these no program knows any more */
	uint32_t n_missing; /* entries that found their set full: the map has them, and is asked */
};

int bpf_loader_ports_init(struct bpf *bpf, struct sluice_ports *shared)
{
	struct bpf_ports *ports = calloc(1, sizeof(*ports));

	if (!ports)
		return -ENOMEM;
	ports->shared = shared;
	for (uint32_t i = 0; i < SLUICE_PORTS_ROWS; i++)
		ports->free[i] = (uint16_t)i;
	ports->n_free = ports->n_settled = SLUICE_PORTS_ROWS;
	__atomic_store_n(&shared->complete, 1, __ATOMIC_RELEASE);
	bpf->ports = ports;
	return 0;
}

void bpf_loader_ports_done(struct bpf *bpf)
{
	free(bpf->ports);
	bpf->ports = NULL;
}

static uint32_t row_take(struct bpf *bpf)
{
	struct bpf_ports *ports = bpf->ports;
	uint32_t row = ports->free[ports->first];

	if (!ports->n_settled) {
		bpf_loader_wait(bpf);
		ports->n_settled = ports->n_free;
	}
	ports->first = (ports->first + 1) % SLUICE_PORTS_ROWS;
	ports->n_free--;
	ports->n_settled--;
	return row;
}

static void row_give(struct bpf_ports *ports, uint32_t row)
{
	ports->free[(ports->first + ports->n_free++) % SLUICE_PORTS_ROWS] = (uint16_t)row;
}

static uint32_t *find_way(struct sluice_ports *shared, const struct sluice_listener_key *key)
{
	uint32_t *set = shared->ways[ports_hash(key) % SLUICE_PORTS_SETS];

	for (unsigned i = 0; i < SLUICE_PORTS_WAYS; i++)
		if (set[i] && ports_same(&shared->rows[(set[i] & 0xffff) - 1].key, key))
			return &set[i];
	return NULL;
}

static uint32_t *free_way(struct sluice_ports *shared, const struct sluice_listener_key *key)
{
	uint32_t *set = shared->ways[ports_hash(key) % SLUICE_PORTS_SETS];

	for (unsigned i = 0; i < SLUICE_PORTS_WAYS; i++)
		if (!set[i])
			return &set[i];
	return NULL;
}

void bpf_loader_ports_set(struct bpf *bpf, const struct sluice_listener_key *key,
			  const struct sluice_listener *listener, bool is_new)
{
	struct bpf_ports *ports = bpf->ports;
	struct sluice_ports *shared = ports->shared;
	uint32_t *way = find_way(shared, key), old = way ? *way : 0, row;

	if (!way)
		way = is_new ? free_way(shared, key) : NULL;
	if (!way) {
		ports->n_missing += is_new;
		__atomic_store_n(&shared->complete, 0, __ATOMIC_RELEASE);
		return;
	}
	row = row_take(bpf);
	shared->rows[row] = (struct sluice_ports_row){ .key = *key, .listener = *listener };
	__atomic_store_n(way, ports_way(ports_hash(key), row), __ATOMIC_RELEASE);
	if (old)
		row_give(ports, (old & 0xffff) - 1);
}

void bpf_loader_ports_del(struct bpf *bpf, const struct sluice_listener_key *key)
{
	struct bpf_ports *ports = bpf->ports;
	uint32_t *way = find_way(ports->shared, key), old;

	if (!way) {
		/* One that found no room. */
		if (ports->n_missing && !--ports->n_missing)
			__atomic_store_n(&ports->shared->complete, 1, __ATOMIC_RELEASE);
		return;
	}
	old = *way;
	__atomic_store_n(way, 0, __ATOMIC_RELEASE);
	row_give(ports, (old & 0xffff) - 1);
}
