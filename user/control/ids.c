/* SPDX-License-Identifier: MIT */
/*
 * ids.c - see ids.h. Owned by the supervisor, called by reload.c. Four tables of the same make:
 * key → id by a chained hash, freed ids given out again in turn (the one freed last comes last, so
 * that a late reader of an old id rarely meets a new owner). Knows no maps.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/ids.h"

#define ID_NONE 0xffffffffu

/* Large enough for every key, zero padded, compared whole. */
struct id_key {
	uint32_t owner; /* group of a backend, listener of a route */
	uint16_t port;
	uint16_t family;
	char text[64]; /* group or route name, or address bytes */
};

struct id_entry {
	struct id_key key;
	uint32_t next; /* in the chain of its bucket */
	uint32_t generation;
	uint64_t born, seen; /* assignments; born 0: free */
};

struct id_table {
	struct id_entry *entries;
	uint32_t *buckets;
	uint32_t size; /* of both, a power of two */
	uint32_t cursor;
};

struct ids {
	struct id_table listeners, groups, backends, routes;
	uint64_t round; /* counts assignments */
};

static uint32_t key_hash(const struct id_key *key)
{
	const unsigned char *bytes = (const unsigned char *)key;
	uint32_t hash = 2166136261u; /* FNV-1a: keys come from our own config */

	for (size_t i = 0; i < sizeof(*key); i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return hash;
}

static int table_init(struct id_table *table, uint32_t size)
{
	table->size = size;
	table->entries = calloc(size, sizeof(*table->entries));
	table->buckets = malloc(size * sizeof(*table->buckets));
	if (!table->entries || !table->buckets)
		return -ENOMEM;
	memset(table->buckets, 0xff, size * sizeof(*table->buckets));
	return 0;
}

static void table_done(struct id_table *table)
{
	free(table->entries);
	free(table->buckets);
}

static uint32_t *table_bucket(struct id_table *table, const struct id_key *key)
{
	return &table->buckets[key_hash(key) & (table->size - 1)];
}

/* The id that key has, or gets now; ID_NONE: the table is full. */
static uint32_t table_take(struct id_table *table, const struct id_key *key, uint64_t round)
{
	uint32_t *bucket = table_bucket(table, key);

	for (uint32_t id = *bucket; id != ID_NONE; id = table->entries[id].next) {
		if (!memcmp(&table->entries[id].key, key, sizeof(*key))) {
			table->entries[id].seen = round;
			return id;
		}
	}
	for (uint32_t n = 0; n < table->size; n++) {
		uint32_t id = (table->cursor + n) & (table->size - 1);
		struct id_entry *entry = &table->entries[id];

		if (entry->born)
			continue;
		entry->key = *key;
		entry->born = entry->seen = round;
		if (++entry->generation == 0)
			entry->generation = 1; /* 0 means unused in the map */
		entry->next = *bucket;
		*bucket = id;
		table->cursor = (id + 1) & (table->size - 1);
		return id;
	}
	return ID_NONE;
}

static void table_release(struct id_table *table, uint32_t id)
{
	struct id_entry *entry = &table->entries[id];
	uint32_t *link = table_bucket(table, &entry->key);

	while (*link != id)
		link = &table->entries[*link].next;
	*link = entry->next;
	entry->born = 0;
}

static void table_commit(struct id_table *table, uint64_t round)
{
	for (uint32_t id = 0; id < table->size; id++)
		if (table->entries[id].born && table->entries[id].seen != round)
			table_release(table, id);
}

static void table_abort(struct id_table *table, uint64_t round)
{
	for (uint32_t id = 0; id < table->size; id++)
		if (table->entries[id].born == round)
			table_release(table, id);
}

struct ids *ids_new(void)
{
	struct ids *ids = calloc(1, sizeof(*ids));

	if (!ids)
		return NULL;
	if (table_init(&ids->listeners, SLUICE_MAX_LISTENERS) ||
	    table_init(&ids->groups, SLUICE_MAX_GROUPS) ||
	    table_init(&ids->backends, SLUICE_MAX_BACKENDS) ||
	    table_init(&ids->routes, SLUICE_MAX_ROUTES)) {
		ids_free(ids);
		return NULL;
	}
	return ids;
}

void ids_free(struct ids *ids)
{
	if (!ids)
		return;
	table_done(&ids->listeners);
	table_done(&ids->groups);
	table_done(&ids->backends);
	table_done(&ids->routes);
	free(ids);
}

static struct id_key address_key(const struct addr *addr, uint32_t owner)
{
	struct id_key key = { .owner = owner, .port = addr_port(addr), .family = addr->sa.sa_family };

	addr_to_mapped(addr, (uint8_t *)key.text);
	if (addr->sa.sa_family == AF_INET6)
		memcpy(key.text + 16, &addr->v6.sin6_scope_id, sizeof(addr->v6.sin6_scope_id));
	return key;
}

static int assign_group(struct ids *ids, struct config_group *group)
{
	struct id_key key = { 0 };

	strncpy(key.text, group->name, sizeof(key.text) - 1);
	group->id = table_take(&ids->groups, &key, ids->round);
	if (group->id == ID_NONE)
		return -ENOSPC;
	for (size_t i = 0; i < group->n_endpoints; i++) {
		struct config_endpoint *endpoint = &group->endpoints[i];

		key = address_key(&endpoint->address, group->id);
		endpoint->id = table_take(&ids->backends, &key, ids->round);
		if (endpoint->id == ID_NONE)
			return -ENOSPC;
		endpoint->generation = ids->backends.entries[endpoint->id].generation;
	}
	return 0;
}

static int assign_listener(struct ids *ids, struct config_listener *listener)
{
	struct id_key key = address_key(&listener->address, 0);

	listener->id = table_take(&ids->listeners, &key, ids->round);
	if (listener->id == ID_NONE)
		return -ENOSPC;
	for (size_t i = 0; i < listener->n_routes; i++) {
		struct config_route *route = &listener->routes[i];

		key = (struct id_key){ .owner = listener->id };
		strncpy(key.text, route->name, sizeof(key.text) - 1);
		route->id = table_take(&ids->routes, &key, ids->round);
		if (route->id == ID_NONE)
			return -ENOSPC;
	}
	return 0;
}

int ids_assign(struct ids *ids, struct config *config)
{
	int ret = 0;

	ids->round++;
	for (size_t i = 0; i < config->n_listeners && !ret; i++)
		ret = assign_listener(ids, &config->listeners[i]);
	for (size_t i = 0; i < config->n_groups && !ret; i++)
		ret = assign_group(ids, &config->groups[i]);
	if (ret)
		ids_abort(ids);
	return ret;
}

void ids_commit(struct ids *ids)
{
	table_commit(&ids->listeners, ids->round);
	table_commit(&ids->groups, ids->round);
	table_commit(&ids->backends, ids->round);
	table_commit(&ids->routes, ids->round);
}

void ids_abort(struct ids *ids)
{
	table_abort(&ids->listeners, ids->round);
	table_abort(&ids->groups, ids->round);
	table_abort(&ids->backends, ids->round);
	table_abort(&ids->routes, ids->round);
}

static bool table_used(const struct id_table *table, uint32_t id)
{
	return id < table->size && table->entries[id].born;
}

bool ids_listener_used(const struct ids *ids, uint32_t id)
{
	return table_used(&ids->listeners, id);
}

bool ids_group_used(const struct ids *ids, uint32_t id)
{
	return table_used(&ids->groups, id);
}

bool ids_backend_used(const struct ids *ids, uint32_t id)
{
	return table_used(&ids->backends, id);
}

bool ids_route_used(const struct ids *ids, uint32_t id)
{
	return table_used(&ids->routes, id);
}
