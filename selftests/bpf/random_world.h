/* SPDX-License-Identifier: MIT */
/*
 * random_world.h - contents of the gate's maps by chance, the same in the model: listeners, access
 * lists in both generations, penalties, groups, limits whose clocks stand anywhere, switches; and,
 * once for all worlds, the kernel's sockets that cookies need. Limits go by the hour, so that how
 * long a test takes decides nothing.
 */
#ifndef SLUICE_SELFTESTS_RANDOM_WORLD_H
#define SLUICE_SELFTESTS_RANDOM_WORLD_H

#include <fcntl.h>

#include "duel.h"
#include "random_frame.h"
#include "sluice/ports.h"
#include "sluice/source.h"
#include "world_help.h"

#define WORLD_IDS 8

static inline void world_set(const struct bpf_map *map, const void *key, const void *value)
{
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY), 0);
}

static inline void world_empty_fd(int fd)
{
	uint8_t key[64];

	while (!bpf_map_get_next_key(fd, NULL, key))
		assert_int_equal(bpf_map_delete_elem(fd, key), 0);
}

static inline void world_empty(const struct bpf_map *map)
{
	world_empty_fd(bpf_map__fd(map));
}

/* ---- sockets ---- */

static inline socklen_t world_address(struct sockaddr_storage *storage, const char *address,
				      uint16_t port)
{
	struct sockaddr_in *four = (struct sockaddr_in *)storage;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)storage;

	memset(storage, 0, sizeof(*storage));
	if (!strchr(address, ':')) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		inet_pton(AF_INET, address, &four->sin_addr);
		return sizeof(*four);
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(port);
	inet_pton(AF_INET6, address, &six->sin6_addr);
	return sizeof(*six);
}

static inline int world_socket(const char *address, uint16_t port, bool v6only)
{
	struct sockaddr_storage storage;
	socklen_t len = world_address(&storage, address, port);
	int fd = socket(storage.ss_family, SOCK_STREAM, 0), on = 1, only = v6only;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (storage.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	assert_int_equal(bind(fd, (struct sockaddr *)&storage, len), 0);
	return fd;
}

static int world_sockets[MODEL_SOCKETS]; /* descriptors of the model's */
static uint32_t world_n_listening;

static inline void world_listen(struct model *model, const char *address, uint16_t port,
				bool any_ipv4, bool any_ipv6)
{
	struct model_socket *socket = &model->sockets[model->n_sockets++];

	int fd = world_socket(address, port, !any_ipv4);

	assert_int_equal(listen(fd, 4096), 0);
	world_sockets[model->n_sockets - 1] = fd;
	socket->listening = true;
	socket->any_ipv4 = any_ipv4;
	socket->any_ipv6 = any_ipv6;
	socket->tuple.ipv4 = !strchr(address, ':');
	random_parse_address(socket->tuple.destination, address);
	socket->tuple.destination_port = port;
}

/* A connection, open till the test ends. */
static inline void world_connect(struct model *model, const char *client, uint16_t port,
				 const char *server, uint16_t server_port)
{
	struct model_socket *socket = &model->sockets[model->n_sockets++];
	struct sockaddr_storage storage;
	socklen_t len = world_address(&storage, server, server_port);

	assert_int_equal(connect(world_socket(client, port, false), (struct sockaddr *)&storage, len),
			 0);
	socket->tuple.ipv4 = !strchr(client, ':');
	random_parse_address(socket->tuple.source, client);
	random_parse_address(socket->tuple.destination, server);
	socket->tuple.source_port = port;
	socket->tuple.destination_port = server_port;
}

/* In a network namespace of the test's own. */
static inline void world_open_sockets(struct model *model)
{
	static const char *const addresses[] = { "198.18.0.1/32", "198.18.0.2/32", "198.18.0.9/32",
						 "fd00::1/128", "fd00::2/128", "fd00::9/128" };

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		assert_int_equal(run_command("ip address add %s dev lo%s", addresses[i],
					     strchr(addresses[i], ':') ? " nodad" : ""), 0);
	world_listen(model, "198.18.0.1", 8443, false, false);
	world_listen(model, "fd00::1", 8443, false, false);
	world_listen(model, "::", 8444, true, true);
	world_listen(model, "0.0.0.0", 8445, true, false);
	world_listen(model, "::", 8446, false, true);
	world_n_listening = model->n_sockets;
	world_connect(model, "198.18.0.9", 41000, "198.18.0.1", 8443);
	world_connect(model, "fd00::9", 41000, "fd00::1", 8443);
	world_connect(model, "198.18.0.9", 41001, "198.18.0.2", 8445);
}

static inline void world_set_syncookies(struct model *model, unsigned value)
{
	int fd = open("/proc/sys/net/ipv4/tcp_syncookies", O_WRONLY | O_CLOEXEC);
	char digit = (char)('0' + value);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, &digit, 1), 1);
	close(fd);
	model->syncookies = value;
}

/* ---- maps ---- */

static inline void world_limit(__u64 *interval_ns, __u64 *tolerance_ns, unsigned per_cent,
			       uint32_t bursts)
{
	*interval_ns = *tolerance_ns = 0;
	if (!random_chance(per_cent))
		return;
	*interval_ns = HOUR_NS;
	*tolerance_ns = HOUR_NS * random_below(bursts);
}

/* A clock somewhere, half an hour from where it would matter. */
static inline uint64_t world_clock(struct model_bucket *bucket)
{
	int64_t hours = (int64_t)random_below(14) - 2;
	uint64_t now = now_ns(), tat_ns = now + (uint64_t)(hours * (int64_t)HOUR_NS) + HOUR_NS / 2;

	/* The clock's zero may be less than hours ago. */
	if (hours < 0)
		tat_ns = now > HOUR_NS / 2 ? now - HOUR_NS / 2 : 1;
	bucket->used = true;
	bucket->filled_ns = hours < 0 ? tat_ns : now;
	bucket->level_ns = hours < 0 ? 0 : tat_ns - now;
	return tat_ns;
}

static inline void world_put_listener(struct duel *duel, const uint8_t address[16], uint16_t port)
{
	static const uint32_t cookie_flags[] = { 0, 0, SLUICE_LISTENER_COOKIES_AUTO,
						 SLUICE_LISTENER_COOKIES_ALWAYS };
	struct model *model = &duel->model;
	struct model_listener *listener = &model->listeners[model->n_listeners];
	struct sluice_listener_key key = { .port = htons(port), .protocol = IPPROTO_TCP };
	struct sluice_listener *row = &listener->row;

	for (unsigned i = 0; i < model->n_listeners; i++) {
		if (model->listeners[i].port == port &&
		    !memcmp(model->listeners[i].address, address, 16))
			return;
	}
	model->n_listeners++;
	memcpy(listener->address, address, 16);
	listener->port = port;
	row->id = random_chance(98) ? random_below(WORLD_IDS) : 256 + random_below(1000);
	row->flags = RANDOM_OF(cookie_flags);
	if (random_chance(50))
		row->flags |= SLUICE_LISTENER_COOKIES_OPTIONS;
	if (random_chance(50))
		row->flags |= SLUICE_LISTENER_COOKIES_PROBE;
	row->cookie_wscale = (uint8_t)random_below(15);
	row->slots = 2 * random_below(2);
	row->group = random_chance(60) ? SLUICE_GROUP_NONE :
		     random_chance(95) ? random_below(MODEL_GROUPS) : 5000;
	row->acl = random_chance(50) ? 0 : random_chance(95) ? 1 + random_below(4) : 999;
	row->source_connections = random_chance(60) ? 0 : 1 + random_below(5);
	world_limit(&row->source_interval_ns, &row->source_tolerance_ns, 50, 20);
	world_limit(&row->listener_interval_ns, &row->listener_tolerance_ns, 40, 500);
	world_limit(&row->cookie_interval_ns, &row->cookie_tolerance_ns, 90, 60);
	memcpy(key.address, address, 16);
	world_set(duel->gate->maps.listeners, &key, row);
}

/* The gate's own copy of the listeners: sluice/ports.h. */
static inline void world_copy_listeners(struct duel *duel)
{
	struct sluice_ports *ports = (struct sluice_ports *)&duel->gate->bss->ports;

	ports->complete = 0;
	memset(ports->ways, 0, sizeof(ports->ways));
	for (uint32_t i = 0; i < duel->model.n_listeners; i++) {
		const struct model_listener *listener = &duel->model.listeners[i];
		struct sluice_ports_row *row = &ports->rows[i];
		uint32_t hash, way = 0;

		memset(row, 0, sizeof(*row));
		memcpy(row->key.address, listener->address, 16);
		row->key.port = htons(listener->port);
		row->key.protocol = IPPROTO_TCP;
		row->listener = listener->row;
		hash = ports_hash(&row->key);
		while (ports->ways[hash % SLUICE_PORTS_SETS][way])
			way++;
		assert_true(way < SLUICE_PORTS_WAYS);
		ports->ways[hash % SLUICE_PORTS_SETS][way] = ports_way(hash, i);
	}
	ports->complete = 1;
}

static inline void world_make_listeners(struct duel *duel)
{
	uint64_t *own = (uint64_t *)duel->gate->bss->ports_without_address;
	uint64_t *any = (uint64_t *)duel->gate->bss->ports_without_any;
	bool hints = random_chance(50);

	world_empty(duel->gate->maps.listeners);
	duel->gate->bss->ports.complete = 0;
	memset(own, hints ? 0xff : 0, 65536 / 8);
	memset(any, hints ? 0xff : 0, 65536 / 8);
	for (uint32_t n = 1 + random_below(12); n; n--) {
		static const uint8_t anys[2][16] = { [1] = { [10] = 0xff, [11] = 0xff } };
		uint16_t port = random_ports[random_below(4)];
		uint8_t address[16];

		if (random_chance(30)) {
			memcpy(address, anys[random_below(2)], 16);
			any[port / 64] &= ~(1ull << port % 64);
		} else {
			random_destination(address, random_chance(50));
			own[port / 64] &= ~(1ull << port % 64);
			/* The pool has these two as well. */
			if (!memcmp(address, anys[0], 16) || !memcmp(address, anys[1], 16))
				any[port / 64] &= ~(1ull << port % 64);
		}
		world_put_listener(duel, address, port);
	}
	if (hints && random_chance(80))
		world_copy_listeners(duel);
}

enum { ACL_KIND_EXACT, ACL_KIND_V4, ACL_KIND_V6, ACL_KINDS };

#define WORLD_ACLS 4 /* that have maps; one more has none */

/* Made once and filled anew for each world: the kernel waits for all its processors where an
 * outer map changes. */
static int world_acl_fds[WORLD_ACLS][2][ACL_KINDS];

static inline void world_make_acl_maps(struct duel *duel)
{
	static const uint32_t key_bytes[] = { sizeof(struct sluice_acl_exact_key),
					      sizeof(struct sluice_acl_v4_key),
					      sizeof(struct sluice_acl_v6_key) };
	const struct bpf_map *outer[] = { duel->gate->maps.acl_exact, duel->gate->maps.acl_v4,
					  duel->gate->maps.acl_v6 };
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);

	for (__u32 i = 0; i < WORLD_ACLS * 2 * ACL_KINDS; i++) {
		__u32 kind = i % ACL_KINDS, row = i / ACL_KINDS;
		int fd = bpf_map_create(kind == ACL_KIND_EXACT ? BPF_MAP_TYPE_HASH :
								 BPF_MAP_TYPE_LPM_TRIE,
					"acl", key_bytes[kind], sizeof(struct sluice_acl_entry), 64,
					&options);

		assert_true(fd >= 0);
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(outer[kind]), &row, &fd, BPF_ANY),
				 0);
		world_acl_fds[row / 2][row % 2][kind] = fd;
	}
}

static inline void world_put_acl(struct model *model, int fd, __u32 acl, unsigned kind, bool counts)
{
	struct model_acl_entry entry = { .acl = acl, .exact = kind == ACL_KIND_EXACT };
	struct sluice_acl_entry value = {};
	struct { __u32 prefix; __u8 address[16]; } key = {};

	entry.ipv4 = kind == ACL_KIND_V4 || (entry.exact && random_chance(50));
	random_source(entry.address, entry.ipv4);
	entry.action = value.action = random_chance(50) ? SLUICE_ACL_DENY : SLUICE_ACL_ALLOW;
	entry.prefix = entry.exact ? 128 : entry.ipv4 ? 96 + random_below(33) : random_below(129);
	if (!entry.exact && random_chance(50))
		entry.prefix = entry.ipv4 ? 112 + 4 * random_below(5) : 4 * random_below(33);
	value.prefixlen = (uint8_t)entry.prefix;
	for (unsigned bit = entry.prefix; bit < 128; bit++)
		entry.address[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
	key.prefix = kind == ACL_KIND_V4 ? entry.prefix - 96 : entry.prefix;
	if (kind == ACL_KIND_V4)
		memcpy(key.address, entry.address + 12, 4);
	else
		memcpy(key.address, entry.address, 16);
	assert_int_equal(bpf_map_update_elem(fd, entry.exact ? (void *)key.address : (void *)&key,
					     &value, BPF_ANY), 0);
	if (!counts)
		return;
	for (unsigned i = 0; i < model->n_acl_entries; i++) {
		struct model_acl_entry *old = &model->acl_entries[i];

		if (old->acl == acl && old->exact == entry.exact && old->prefix == entry.prefix &&
		    (entry.exact || old->ipv4 == entry.ipv4) &&
		    !memcmp(old->address, entry.address, 16)) {
			old->action = entry.action;
			return;
		}
	}
	assert_true(model->n_acl_entries < MODEL_ACL_ENTRIES);
	model->acl_entries[model->n_acl_entries++] = entry;
}

/* One list: the generation in force, and another that must not matter. */
static inline void world_make_acl(struct duel *duel, __u32 acl)
{
	static const uint32_t has[] = { SLUICE_ACL_HAS_EXACT, SLUICE_ACL_HAS_V4, SLUICE_ACL_HAS_V6 };
	struct sluice_acl list = { .active = random_below(2) };

	for (unsigned i = 0; i < 2 * ACL_KINDS; i++) {
		unsigned kind = i / 2, generation = i % 2;
		bool live = generation == (list.active & SLUICE_ACL_GENERATION);
		bool counts = live && random_chance(95);
		int fd;

		if (random_chance(50) && live)
			list.active |= has[kind]; /* though the map may be empty, or missing */
		if (acl == WORLD_ACLS)
			continue;
		fd = world_acl_fds[acl][generation][kind];
		world_empty_fd(fd);
		if (live && !(list.active & has[kind]))
			counts = false;
		for (uint32_t n = random_below(9); n; n--)
			world_put_acl(&duel->model, fd, acl, kind, counts);
		if (live && !counts)
			list.active &= ~has[kind];
	}
	if (random_chance(15))
		list.active |= SLUICE_ACL_ALLOW_LIST;
	duel->model.acl_active[acl] = list.active;
	world_set(duel->gate->maps.acls, &acl, &list);
}

/* The source that an address by chance belongs to. */
static inline void world_source(const struct model *model, uint8_t source[16])
{
	struct model_tuple tuple = { .ipv4 = random_chance(50) };

	random_source(tuple.source, tuple.ipv4);
	model_source(model, &tuple, source);
}

static inline void world_make_penalties(struct duel *duel)
{
	struct model *model = &duel->model;

	for (uint32_t n = random_chance(50) ? 0 : random_below(8); n; n--) {
		struct model_penalty *penalty = &model->penalties[model->n_penalties];
		bool again = false;

		world_source(model, penalty->source);
		for (unsigned i = 0; i < model->n_penalties; i++)
			again |= !memcmp(model->penalties[i].source, penalty->source, 16);
		if (again)
			continue;
		penalty->row.level = random_chance(95) ? 1 + random_below(2) : random_below(5);
		penalty->row.until_ns = now_ns() + HOUR_NS;
		if (random_chance(20))
			penalty->row.until_ns = random_below(1000);
		world_set(duel->gate->maps.penalties, penalty->source, &penalty->row);
		model->n_penalties++;
	}
	if (random_chance(90)) {
		model->on.penalties_until_ns = now_ns() + HOUR_NS;
		if (random_chance(60))
			model->on.packets_until_ns = now_ns() + HOUR_NS;
	}
}

/* The row of source_states of a source, as workers find it too. */
static inline void world_put_connected(struct duel *duel, const uint8_t source[16],
				       uint32_t connections)
{
	uint64_t hash = source_hash((const __u32 *)source, duel->model.on.hash_key);
	__u32 set = hash % SLUICE_SOURCE_SETS, way = random_below(SLUICE_SOURCE_WAYS - 1);
	struct sluice_source_set row = {};

	row.tags[way] = source_tag(hash);
	memcpy(row.ways[way].address, source, 16);
	row.ways[way].connections = connections;
	/* A neighbour that only looks like it. */
	row.tags[way + 1] = row.tags[way];
	memcpy(row.ways[way + 1].address, source, 16);
	row.ways[way + 1].address[random_below(4)] ^= 0x1000000;
	row.ways[way + 1].connections = 1000;
	world_set(duel->gate->maps.source_states, &set, &row);
}

static inline void world_make_connected(struct duel *duel)
{
	struct model *model = &duel->model;

	for (uint32_t n = random_chance(40) ? 0 : random_below(10); n; n--) {
		struct model_connected *connected = &model->connected[model->n_connected];
		uint8_t *source = connected->source;
		bool again = false;

		world_source(model, source);
		for (unsigned i = 0; i < model->n_connected; i++) {
			uint64_t key[2];

			for (int j = 0; j < 2; j++)
				key[j] = source_hash((const __u32 *)model->connected[j ? i :
						     model->n_connected].source,
						     model->on.hash_key) % SLUICE_SOURCE_SETS;
			again |= key[0] == key[1];
		}
		if (again)
			continue;
		connected->connections = random_below(7);
		world_put_connected(duel, source, connected->connections);
		model->n_connected++;
	}
}

/* Undoes world_make_connected. */
static inline void world_forget_connected(struct duel *duel)
{
	static const struct sluice_source_set empty;

	for (unsigned i = 0; i < duel->model.n_connected; i++) {
		__u32 set = source_hash((const __u32 *)duel->model.connected[i].source,
					duel->model.on.hash_key) % SLUICE_SOURCE_SETS;

		world_set(duel->gate->maps.source_states, &set, &empty);
	}
}

static inline void world_make_groups(struct duel *duel)
{
	for (__u32 i = 0; i < MODEL_GROUPS; i++) {
		struct sluice_group *group = &duel->model.groups[i];

		group->used = random_chance(85);
		group->live = random_chance(50) ? 0 : 1 + random_below(3);
		group->on_all_down = random_below(3);
		world_set(duel->gate->maps.groups, &i, group);
	}
}

static inline void world_make_switches(struct duel *duel)
{
	static const uint8_t v4[] = { 32, 32, 32, 24, 16, 30, 0 }, v6[] = { 64, 64, 128, 48, 33, 0 };
	struct sluice_switches *on = &duel->model.on;

	on->v4_prefix = RANDOM_OF(v4);
	on->v6_prefix = RANDOM_OF(v6);
	on->vip_any = (uint8_t)(random_chance(70) ? 0 : random_below(4));
	on->penalty_epoch = random_below(1000);
	world_limit(&on->stray_interval_ns, &on->stray_tolerance_ns, 40, 40);
	random_fill(on->hash_key, sizeof(on->hash_key));
	if (random_chance(40)) {
		on->events_mask = random_chance(50) ? ~0ull : random_u64();
		world_limit(&on->events_interval_ns, &on->events_tolerance_ns, 30, 1000);
	}
}

static inline void world_make_vips(struct duel *duel)
{
	struct model *model = &duel->model;
	__u32 one = 1;

	world_empty(duel->gate->maps.vips);
	for (uint32_t n = random_below(5); n; n--) {
		random_destination(model->vips[model->n_vips], random_chance(50));
		world_set(duel->gate->maps.vips, model->vips[model->n_vips++], &one);
	}
}

static inline void world_make_clocks(struct duel *duel)
{
	struct model *model = &duel->model;

	for (__u32 id = 0; id < WORLD_IDS; id++) {
		struct sluice_listener_time times = {};

		if (random_chance(30))
			times.tat_ns = world_clock(&model->listener_buckets[id]);
		if (random_chance(30))
			times.cookie_tat_ns = world_clock(&model->cookie_meters[id]);
		if (random_chance(40))
			times.cookie_until_ns = random_chance(50) ? now_ns() + HOUR_NS : 1;
		if (random_chance(40))
			times.cookie_sent_ns = random_chance(50) ? now_ns() - 5 * MODEL_SECOND_NS : 1;
		model->cookie_until_ns[id] = times.cookie_until_ns;
		model->cookie_sent_ns[id] = times.cookie_sent_ns;
		world_set(duel->gate->maps.listener_times, &id, &times);
	}
	for (uint32_t n = random_below(20); n; n--) {
		bool stray = random_chance(40);
		struct sluice_source_key key = { .listener = random_below(WORLD_IDS) };
		struct sluice_source value;
		uint8_t source[16];

		world_source(model, source);
		memcpy(key.address, source, 16);
		value.tat_ns = world_clock(model_bucket(model, source,
							stray ? MODEL_NONE : key.listener));
		world_set(stray ? duel->gate->maps.strays : duel->gate->maps.sources, &key, &value);
	}
}

static inline void world_clear_stats(struct duel *duel)
{
	struct sluice_listener_stats *zeros = calloc(duel->cpus, sizeof(*zeros));

	assert_non_null(zeros);
	for (__u32 id = 0; id < WORLD_IDS; id++)
		world_set(duel->gate->maps.listener_stats, &id, zeros);
	free(zeros);
}

/* What stays the same in all worlds. In namespaces of the test's own. */
static inline struct duel *world_begin(void)
{
	struct duel *duel = duel_new();

	world_open_sockets(&duel->model);
	world_make_acl_maps(duel);
	return duel;
}

/* Another world, wholly made from its seed. The last one's end was checked. */
static inline void world_make(struct duel *duel, uint64_t seed)
{
	struct model *model = &duel->model;
	struct model_socket sockets[MODEL_SOCKETS];
	unsigned n_sockets = model->n_sockets;
	__u32 zero = 0;

	world_forget_connected(duel);
	memcpy(sockets, model->sockets, sizeof(sockets));
	memset(model, 0, sizeof(*model));
	memcpy(model->sockets, sockets, sizeof(sockets));
	model->n_sockets = n_sockets;
	model->keeps_length = DUEL_KEEPS_LENGTH;
	duel->seed = random_state = seed;
	duel->frames = 0;
	duel->events_limited = 0;
	memset(&duel->event_bucket, 0, sizeof(duel->event_bucket));

	world_make_switches(duel);
	world_make_listeners(duel);
	for (__u32 acl = 0; acl <= WORLD_ACLS; acl++)
		world_make_acl(duel, acl);
	world_make_groups(duel);
	world_make_penalties(duel);
	world_make_connected(duel);
	world_make_vips(duel);
	world_make_clocks(duel);
	world_clear_stats(duel);
	world_set_syncookies(model, random_chance(75) ? 2 : random_below(2));
	world_set(duel->gate->maps.switches, &zero, &model->on);
	duel_read_verdicts(duel, duel->counted);
}

#endif
