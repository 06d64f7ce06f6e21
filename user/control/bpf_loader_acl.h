/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_acl.h - access lists in the kernel, part of bpf_loader.h: whole lists, swapped in one step
 * for every packet, and single entries besides. Called by kernel_acl.c only.
 */
#ifndef SLUICE_CONTROL_BPF_LOADER_ACL_H
#define SLUICE_CONTROL_BPF_LOADER_ACL_H

#include "control/bpf_loader.h"

/* An entry made by command. It holds instead of what the files say of the same prefix. */
struct bpf_acl_edit {
	struct prefix prefix;
	uint8_t action; /* enum sluice_acl_action */
	uint8_t under;	/* what it holds instead of, likewise; 0: nothing. Filled in here */
	uint64_t added_ns;
	uint64_t expires_ns; /* only told: whoever made it takes it out; 0: stays */
};

struct bpf_acl_list {
	const struct prefix *deny, *allow;
	size_t n_deny, n_allow; /* where there is any in allow, sources in none are denied */
	struct bpf_acl_edit *edits;
	size_t n_edits;
};

/*
 * Makes access list `acl` (0: the global one, 1 + id: a listener's) exactly this: it is built beside
 * the one in force, and then swapped in by one store. Of the same prefix in deny and in allow, deny
 * holds. 0; -E2BIG: more than SLUICE_MAX_ACL_EXACT or SLUICE_MAX_ACL_PREFIXES of a kind; -errno. Then
 * nothing changed, but for edits' under.
 */
int bpf_acl_replace(struct bpf *bpf, uint32_t acl, struct bpf_acl_list *list);
/* One entry more in the list in force (or another action for one that is there). 0; -E2BIG: it is
 * full, only a replace makes room; -errno. */
int bpf_acl_add(struct bpf *bpf, uint32_t acl, struct bpf_acl_edit *edit);
/* The entry goes; what it held instead of is back. 0 or -errno. */
int bpf_acl_del(struct bpf *bpf, uint32_t acl, const struct bpf_acl_edit *edit);
/* Whether nothing is in the list in force, as maps of an earlier run may have left it. */
bool bpf_acl_is_empty(const struct bpf *bpf, uint32_t acl);

#endif
