/* SPDX-License-Identifier: MIT */
/*
 * acl.h - what the supervisor knows of access lists besides the config: entries made by command, with
 * their ends, and which of the config's lists is in force. Pure; kernel_acl.c puts it into the kernel.
 * A list is known by its number in the maps: 0 is the global one, 1 + id a listener's.
 */
#ifndef SLUICE_CONTROL_ACL_H
#define SLUICE_CONTROL_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "control/bpf_loader_acl.h"

#define ACL_EDITS_MAX 65536 /* of all lists */

struct acl_edits {
	struct bpf_acl_edit *items; /* in the order of acl_order */
	size_t n, cap;
	char name[SLUICE_NAME_MAX]; /* of the listener that has the edits; "" for the global list */
	uint64_t in_force; /* acls_fingerprint of the config's list that is; 0: not known */
};

struct acls {
	struct acl_edits lists[SLUICE_MAX_ACLS];
	size_t n;	     /* edits of all */
	uint64_t expires_ns; /* no edit ends earlier; 0: none ends */
	uint8_t key[16];
};

void acls_init(struct acls *acls);
void acls_done(struct acls *acls);

/* Never 0; the same for the same prefixes in the same order. */
uint64_t acls_fingerprint(const struct acls *acls, const struct config_acl *acl);

/* The edit of just this prefix, or NULL. Valid until the next call. */
struct bpf_acl_edit *acls_find(const struct acls *acls, uint32_t list, const struct prefix *prefix);
/* Enters or changes it. NULL: no memory, or ACL_EDITS_MAX are there. */
struct bpf_acl_edit *acls_set(struct acls *acls, uint32_t list, const struct bpf_acl_edit *edit);
/* The edits of a listener of this name, known under another number, become list's too, which has none.
 * 0 or -ENOMEM. */
int acls_follow(struct acls *acls, uint32_t list, const char *name);
void acls_remove(struct acls *acls, uint32_t list, struct bpf_acl_edit *edit);
/* All of a list, and what is known of it. */
void acls_forget(struct acls *acls, uint32_t list);

/* Removes those whose time is over, after telling on_expired of each, which changes no edits. */
void acls_expire(struct acls *acls, uint64_t now_ns,
		 void (*on_expired)(void *context, uint32_t list, const struct bpf_acl_edit *edit),
		 void *context);

#endif
