/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * acl.h - what the access lists say of a source address. Called by the gate for each new
 * connection; it only looks up, the gate decides and counts.
 */
#ifndef SLUICE_BPF_ACL_H
#define SLUICE_BPF_ACL_H

#include "maps.h"
#include "parse.h"

/* enum sluice_acl_action of the best match, or 0 where no entry matches. */
static __always_inline __u32 acl_action(const struct packet *packet)
{
	const struct sluice_acl_entry *entry;
	struct sluice_acl_exact_key exact;

	/* Keys are copied: up to Linux 6.1 they must lie on the function's own stack. */
	__builtin_memcpy(exact.address, packet->source, sizeof(exact.address));
	entry = bpf_map_lookup_elem(&acl_exact, &exact);
	if (entry)
		return entry->action;
	if (packet->ipv4) {
		struct sluice_acl_v4_key key = { .prefixlen = 32, .address = packet->source[3] };

		entry = bpf_map_lookup_elem(&acl_v4, &key);
	} else {
		struct sluice_acl_v6_key key = { .prefixlen = 128 };

		__builtin_memcpy(key.address, packet->source, sizeof(key.address));
		entry = bpf_map_lookup_elem(&acl_v6, &key);
	}
	return entry ? entry->action : 0;
}

#endif
