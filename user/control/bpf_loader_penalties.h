/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_penalties.h - the penalties map: what XDP goes by. For penalties.c, which decides what is in
 * it. Sources are as abi.h has them.
 */
#ifndef SLUICE_CONTROL_BPF_LOADER_PENALTIES_H
#define SLUICE_CONTROL_BPF_LOADER_PENALTIES_H

#include "control/bpf_loader.h"

/* Enters or changes one; the count of dropped packets goes on. 0 or -errno. */
int bpf_penalty_set(struct bpf *bpf, const uint32_t source[4], const struct sluice_penalty *penalty);
/* 0, also where there is none. */
int bpf_penalty_del(struct bpf *bpf, const uint32_t source[4]);
/* 0 or -ENOENT. */
int bpf_penalty_get(const struct bpf *bpf, const uint32_t source[4],
		    struct sluice_penalty *ret_penalty);
/* All that are in it; each may remove the one that it is given. 0 or -errno. */
int bpf_penalty_each(struct bpf *bpf,
		     void (*each)(void *ctx, const uint32_t source[4],
				  const struct sluice_penalty *penalty),
		     void *ctx);

#endif
