/* SPDX-License-Identifier: MIT */
/*
 * acl.c - see acl.h. Each list's edits are a sorted array: they are found by halving, and thousands
 * of them are moved in less time than one system call takes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/siphash.h"
#include "control/acl.h"

void acls_init(struct acls *acls)
{
	memset(acls, 0, sizeof(*acls));
	if (getrandom(acls->key, sizeof(acls->key), GRND_NONBLOCK) < 0)
		acls->key[0] = 1; /* early in the boot: files are no attackers */
}

void acls_done(struct acls *acls)
{
	for (size_t i = 0; i < SLUICE_MAX_ACLS; i++)
		free(acls->lists[i].items);
	memset(acls, 0, sizeof(*acls));
}

uint64_t acls_fingerprint(const struct acls *acls, const struct config_acl *acl)
{
	const uint64_t halves[] = {
		acl->n_deny, siphash(acls->key, acl->deny, acl->n_deny * sizeof(*acl->deny)),
		acl->n_allow, siphash(acls->key, acl->allow, acl->n_allow * sizeof(*acl->allow)),
	};
	uint64_t hash = siphash(acls->key, halves, sizeof(halves));

	return hash ? hash : 1;
}

static int acl_order(const struct prefix *a, const struct prefix *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/* Where prefix is, or would be. */
static size_t acl_place(const struct acl_edits *edits, const struct prefix *prefix)
{
	size_t low = 0, high = edits->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (acl_order(&edits->items[middle].prefix, prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct bpf_acl_edit *acls_find(const struct acls *acls, uint32_t list, const struct prefix *prefix)
{
	const struct acl_edits *edits = &acls->lists[list];
	size_t at = acl_place(edits, prefix);

	return at < edits->n && !acl_order(&edits->items[at].prefix, prefix) ? &edits->items[at] :
									       NULL;
}

static void acl_note_expiry(struct acls *acls, uint64_t expires_ns)
{
	if (expires_ns && (!acls->expires_ns || expires_ns < acls->expires_ns))
		acls->expires_ns = expires_ns;
}

struct bpf_acl_edit *acls_set(struct acls *acls, uint32_t list, const struct bpf_acl_edit *edit)
{
	struct acl_edits *edits = &acls->lists[list];
	struct bpf_acl_edit *found = acls_find(acls, list, &edit->prefix);
	size_t at;

	if (found) {
		found->action = edit->action;
		found->expires_ns = edit->expires_ns;
		found->added_ns = edit->added_ns;
		acl_note_expiry(acls, edit->expires_ns);
		return found;
	}
	if (acls->n == ACL_EDITS_MAX)
		return NULL;
	if (edits->n == edits->cap) {
		size_t cap = edits->cap ? edits->cap * 2 : 16;
		struct bpf_acl_edit *items = realloc(edits->items, cap * sizeof(*items));

		if (!items)
			return NULL;
		edits->items = items;
		edits->cap = cap;
	}
	at = acl_place(edits, &edit->prefix);
	memmove(&edits->items[at + 1], &edits->items[at],
		(edits->n - at) * sizeof(edits->items[0]));
	edits->items[at] = *edit;
	edits->n++;
	acls->n++;
	acl_note_expiry(acls, edit->expires_ns);
	return &edits->items[at];
}

int acls_follow(struct acls *acls, uint32_t list, const char *name)
{
	struct acl_edits *to = &acls->lists[list];

	for (uint32_t i = 1; i < SLUICE_MAX_ACLS; i++) {
		const struct acl_edits *from = &acls->lists[i];

		if (i == list || !from->n || strcmp(from->name, name))
			continue;
		free(to->items);
		to->items = malloc(from->n * sizeof(*to->items));
		if (!to->items) {
			to->cap = 0;
			return -ENOMEM;
		}
		memcpy(to->items, from->items, from->n * sizeof(*to->items));
		to->n = to->cap = from->n;
		memcpy(to->name, from->name, sizeof(to->name));
		acls->n += to->n;
		break;
	}
	return 0;
}

void acls_remove(struct acls *acls, uint32_t list, struct bpf_acl_edit *edit)
{
	struct acl_edits *edits = &acls->lists[list];
	size_t at = (size_t)(edit - edits->items);

	edits->n--;
	acls->n--;
	memmove(edit, edit + 1, (edits->n - at) * sizeof(*edit));
}

void acls_forget(struct acls *acls, uint32_t list)
{
	struct acl_edits *edits = &acls->lists[list];

	acls->n -= edits->n;
	free(edits->items);
	*edits = (struct acl_edits){ 0 };
}

void acls_expire(struct acls *acls, uint64_t now_ns,
		 void (*on_expired)(void *context, uint32_t list, const struct bpf_acl_edit *edit),
		 void *context)
{
	if (!acls->expires_ns || now_ns < acls->expires_ns)
		return;
	acls->expires_ns = 0;
	for (uint32_t list = 0; list < SLUICE_MAX_ACLS; list++) {
		struct acl_edits *edits = &acls->lists[list];
		size_t kept = 0, n = edits->n;

		for (size_t i = 0; i < n; i++) {
			struct bpf_acl_edit edit = edits->items[i];

			if (edit.expires_ns && edit.expires_ns <= now_ns) {
				on_expired(context, list, &edit);
				continue;
			}
			acl_note_expiry(acls, edit.expires_ns);
			edits->items[kept++] = edit;
		}
		acls->n -= n - kept;
		edits->n = kept;
	}
}
