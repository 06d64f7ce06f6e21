/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_penalties.c - see bpf_loader_penalties.h. Nothing is decided here.
 */
#include "control/bpf_loader_penalties.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "control/bpf_loader_impl.h"

int bpf_penalty_set(struct bpf *bpf, const uint32_t source[4], const struct sluice_penalty *penalty)
{
	struct sluice_penalty value = *penalty, before;

	if (!bpf_penalty_get(bpf, source, &before))
		value.dropped = before.dropped;
	return bpf_map_update_elem(bpf->maps[MAP_penalties], source, &value, BPF_ANY) ? -errno : 0;
}

int bpf_penalty_del(struct bpf *bpf, const uint32_t source[4])
{
	return bpf_map_delete_elem(bpf->maps[MAP_penalties], source) && errno != ENOENT ? -errno : 0;
}

int bpf_penalty_get(const struct bpf *bpf, const uint32_t source[4],
		    struct sluice_penalty *ret_penalty)
{
	return bpf_map_lookup_elem(bpf->maps[MAP_penalties], source, ret_penalty) ? -ENOENT : 0;
}

int bpf_penalty_each(struct bpf *bpf,
		     void (*each)(void *ctx, const uint32_t source[4],
				  const struct sluice_penalty *penalty),
		     void *ctx)
{
	int fd = bpf->maps[MAP_penalties];
	struct sluice_penalty_key key, next;
	struct sluice_penalty penalty;
	int err = bpf_map_get_next_key(fd, NULL, &key);

	/* The next key is asked for while this one is there still: without it the walk would begin
	 * anew. The bound is for a map that somebody fills meanwhile. */
	for (uint32_t n = 0; !err && n < 2 * SLUICE_MAX_PENALTIES; n++) {
		err = bpf_map_get_next_key(fd, &key, &next);
		if (!bpf_map_lookup_elem(fd, &key, &penalty))
			each(ctx, key.address, &penalty);
		key = next;
	}
	return 0;
}
