/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * acl.h - what the access lists say of a source address: the global list, and the listener's own
 * beside it. Called by the gate for each new connection; it only looks up, the gate decides and
 * counts. abi.h says how a list is swapped while packets are judged by it.
 */
#ifndef SLUICE_BPF_ACL_H
#define SLUICE_BPF_ACL_H

#include "maps.h"
#include "parse.h"
#include "trace.h"

/* acl_search's answer: the entry's action, its prefix length of 128, whether the list has allow
 * entries, in one word. No entry: 0 in the first two. */
#define ACL_ACTION(answer) ((answer) & 0xff)
#define ACL_LENGTH(answer) (((answer) >> 8) & 0xff)
#define ACL_ALLOW_LIST	   0x10000u

enum acl_verdict { ACL_ADMITS, ACL_DENIES, ACL_DOES_NOT_ALLOW };

static __always_inline __u32 acl_answer(const struct sluice_acl_entry *entry, __u32 acl)
{
	if (!entry)
		return 0;
	TRACE(SLUICE_TRACE_ACL, acl_expires_ns[!!acl] = entry->expires_ns);
	TRACE(SLUICE_TRACE_ACL, acl_live[!!acl] = entry->live);
	return entry->action | entry->prefixlen << 8;
}

/* The longest match in one list. Keys lie on the stack of whoever looks up: up to Linux 6.1 they must. */
static __always_inline __u32 acl_search(const struct packet *packet, __u32 acl)
{
	const struct sluice_acl *list = bpf_map_lookup_elem(&acls, &acl);
	__u32 active, row, answer = 0;
	void *entries;

	if (!list)
		return 0;
	active = *(volatile __u32 *)&list->active;
	row = acl * 2 + (active & SLUICE_ACL_GENERATION);
	if (active & SLUICE_ACL_HAS_EXACT) {
		struct sluice_acl_exact_key key;

		__builtin_memcpy(key.address, packet->source, sizeof(key.address));
		entries = bpf_map_lookup_elem(&acl_exact, &row);
		if (entries)
			answer = acl_answer(bpf_map_lookup_elem(entries, &key), acl);
	}
	if (!answer && packet->ipv4 && (active & SLUICE_ACL_HAS_V4)) {
		struct sluice_acl_v4_key key = { .prefixlen = 32, .address = packet->source[3] };

		entries = bpf_map_lookup_elem(&acl_v4, &row);
		if (entries)
			answer = acl_answer(bpf_map_lookup_elem(entries, &key), acl);
	}
	if (!answer && !packet->ipv4 && (active & SLUICE_ACL_HAS_V6)) {
		struct sluice_acl_v6_key key = { .prefixlen = 128 };

		__builtin_memcpy(key.address, packet->source, sizeof(key.address));
		entries = bpf_map_lookup_elem(&acl_v6, &row);
		if (entries)
			answer = acl_answer(bpf_map_lookup_elem(entries, &key), acl);
	}
	return active & SLUICE_ACL_ALLOW_LIST ? answer | ACL_ALLOW_LIST : answer;
}

/* A listener's own list. Verified by itself, so that it is not walked once for each end of the global
 * one. */
__noinline __u32 acl_search_own(const struct packet *packet, __u32 acl)
{
	return packet ? acl_search(packet, acl) : 0;
}

static __always_inline enum acl_verdict acl_judge(const struct packet *packet, __u32 own_acl)
{
	__u32 global = acl_search(packet, 0), own = 0, best = global;

	if (own_acl) {
		own = acl_search_own(packet, own_acl);
		if (ACL_ACTION(own) && ACL_LENGTH(own) >= ACL_LENGTH(global))
			best = own;
	}
	TRACE(SLUICE_TRACE_ACL, acl_global = global);
	TRACE(SLUICE_TRACE_ACL, acl_own = own);
	if (ACL_ACTION(best) == SLUICE_ACL_DENY)
		return ACL_DENIES;
	if (!ACL_ACTION(best) && ((global | own) & ACL_ALLOW_LIST))
		return ACL_DOES_NOT_ALLOW;
	return ACL_ADMITS;
}

#endif
