/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_acl_types.c - BTF for the maps that access lists are made of, see bpf_loader_impl.h. Clang
 * leaves no more than a name of types that only maps within maps have, so they are described here, by
 * abi.h's own sizes and offsets. Called by bpf_loader_acl.c.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>

#include "control/bpf_loader_impl.h"

#define STRUCT(btf, type) btf__add_struct(btf, #type, sizeof(struct type))
#define FIELD(btf, type, member, id)                                                               \
	btf__add_field(btf, #member, id, 8 * offsetof(struct type, member), 0)

/* False: no memory. */
static bool describe(struct btf *btf, uint32_t types[4])
{
	int u8 = btf__add_int(btf, "__u8", 1, 0), u32 = btf__add_int(btf, "__u32", 4, 0);
	int u64 = btf__add_int(btf, "__u64", 8, 0);
	int address = btf__add_array(btf, u32, u32, 4), pad = btf__add_array(btf, u32, u8, 5);
	int id, err = 0;

	types[0] = (uint32_t)(id = STRUCT(btf, sluice_acl_exact_key));
	err |= id < 0 ? id : FIELD(btf, sluice_acl_exact_key, address, address);
	types[1] = (uint32_t)(id = STRUCT(btf, sluice_acl_v4_key));
	err |= id < 0 ? id : FIELD(btf, sluice_acl_v4_key, prefixlen, u32);
	err |= FIELD(btf, sluice_acl_v4_key, address, u32);
	types[2] = (uint32_t)(id = STRUCT(btf, sluice_acl_v6_key));
	err |= id < 0 ? id : FIELD(btf, sluice_acl_v6_key, prefixlen, u32);
	err |= FIELD(btf, sluice_acl_v6_key, address, address);
	types[3] = (uint32_t)(id = STRUCT(btf, sluice_acl_entry));
	err |= id < 0 ? id : FIELD(btf, sluice_acl_entry, action, u8);
	err |= FIELD(btf, sluice_acl_entry, prefixlen, u8);
	err |= FIELD(btf, sluice_acl_entry, live, u8);
	err |= FIELD(btf, sluice_acl_entry, pad, pad);
	err |= FIELD(btf, sluice_acl_entry, expires_ns, u64);
	return !err && u8 > 0 && u32 > 0 && u64 > 0 && address > 0 && pad > 0;
}

int bpf_loader_acl_types(uint32_t types[4])
{
	struct btf *btf = btf__new_empty();
	int fd = -ENOMEM;

	if (!btf)
		return fd;
	if (describe(btf, types)) {
		fd = btf__load_into_kernel(btf);
		if (!fd)
			fd = fcntl(btf__fd(btf), F_DUPFD_CLOEXEC, 0);
	}
	btf__free(btf);
	return fd;
}
