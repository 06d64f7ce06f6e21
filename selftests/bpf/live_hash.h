/* SPDX-License-Identifier: MIT */
/*
 * live_hash.h - a number that stands for all that holds now: every row of every map of a loader, the end
 * of its ring, and what the kernel counts of SYN floods. Two that are equal: nothing has changed.
 */
#ifndef SLUICE_SELFTESTS_LIVE_HASH_H
#define SLUICE_SELFTESTS_LIVE_HASH_H

#include <sys/mman.h>

#include "control/bpf_loader_impl.h"
#include "gate_help.h"
#include "world_help.h"

#define HASH_START 14695981039346656037ull

static inline uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211ull;
	return hash;
}

/* Those that processes map are read so: the largest have 16384 rows. */
static inline uint64_t hash_memory(int fd, const struct bpf_map_info *info)
{
	size_t bytes = (size_t)((info->value_size + 7) / 8 * 8) * info->max_entries;
	void *memory = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	uint64_t hash = HASH_START;

	assert_ptr_not_equal(memory, MAP_FAILED);
	for (size_t i = 0; i < bytes / 8; i++)
		hash = (hash ^ ((uint64_t *)memory)[i]) * 1099511628211ull;
	munmap(memory, bytes);
	return hash;
}

static inline uint64_t hash_map(int fd)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	int cpus = libbpf_num_possible_cpus();
	uint8_t key[64], *value;
	uint64_t sum = 0;
	size_t bytes;

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	if (info.map_flags & BPF_F_MMAPABLE)
		return hash_memory(fd, &info);
	bytes = info.value_size;
	if (info.type == BPF_MAP_TYPE_PERCPU_ARRAY)
		bytes = (bytes + 7) / 8 * 8 * (size_t)cpus;
	value = calloc(1, bytes);
	assert_non_null(value);
	assert_true(info.key_size <= sizeof(key));
	/* A sum, since a table may tell its rows in another order. */
	for (void *at = NULL; !bpf_map_get_next_key(fd, at, key); at = key) {
		if (bpf_map_lookup_elem(fd, key, value))
			continue; /* an empty row of an array of maps */
		sum += hash_bytes(hash_bytes(HASH_START, key, info.key_size), value, bytes);
	}
	free(value);
	return sum;
}

/* The sockets of one listener; the map has 32768 rows. */
static inline uint64_t hash_sockets(int fd, __u32 listener)
{
	uint64_t hash = HASH_START, cookie;

	for (__u32 key = listener * SLUICE_MAX_WORKERS; key < (listener + 1) * SLUICE_MAX_WORKERS; key++)
		if (!bpf_map_lookup_elem(fd, &key, &cookie))
			hash = hash_bytes(hash, &cookie, sizeof(cookie));
	return hash;
}

static inline uint64_t hash_ring(int fd)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const uint64_t *end = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, (off_t)page);
	uint64_t found;

	assert_ptr_not_equal(end, MAP_FAILED);
	found = *end;
	munmap((void *)end, page);
	return found;
}

static inline uint64_t hash_counters(void)
{
	FILE *file = fopen("/proc/net/netstat", "re");
	uint64_t hash = HASH_START;
	char line[8192];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, "TcpExt:", 7))
			hash = hash_bytes(hash, line, strlen(line));
	fclose(file);
	return hash;
}

/* Those that are large, and that neither program writes to. */
static inline bool is_large(int map)
{
	switch (map) {
	case MAP_backends:
	case MAP_routes:
	case MAP_call_limits:
	case MAP_source_states:
	case MAP_groups:
	case MAP_acl_exact:
	case MAP_acl_v4:
	case MAP_acl_v6:
		return true;
	default:
		return false;
	}
}

/* listener: whose sockets are looked at. whole: the large maps too, which takes its time. */
static inline uint64_t live_hash(const struct bpf *bpf, __u32 listener, bool whole)
{
	uint64_t hash = hash_counters();

	hash = hash_bytes(hash, bpf->gate_data, bpf->gate_data_bytes);
	for (int i = 0; i < MAPS; i++) {
		int fd = bpf->maps[i];
		uint64_t of_map = 0;

		if (i == MAP_events)
			of_map = hash_ring(fd);
		else if (i == MAP_sockets)
			of_map = hash_sockets(fd, listener);
		else if (whole || !is_large(i))
			of_map = hash_map(fd);
		hash = hash_bytes(hash, &of_map, sizeof(of_map));
	}
	return hash;
}

#endif
