/* SPDX-License-Identifier: MIT */
/*
 * kernel_acl.c - see kernel_acl.h. Called by kernel_rules.c, the supervisor and control_acl.c. Lists can
 * be long: one that did not change is never built anew, and single entries are single changes.
 */
#include "control/kernel_acl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "control/kernel_rules.h"

static uint32_t list_of(const struct config_listener *listener)
{
	return listener ? 1 + listener->id : 0;
}

static const struct config_acl *acl_of(const struct config *config,
				       const struct config_listener *listener)
{
	return listener ? &listener->acl : &config->kernel.acl;
}

static bool is_empty(const struct kernel *kernel, uint32_t list, const struct config_acl *acl)
{
	return !acl->n_deny && !acl->n_allow && !kernel->acls.lists[list].n;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Builds a list anew, edits included. */
static int build(struct kernel *kernel, const struct config_listener *listener,
		 const struct config_acl *acl)
{
	uint32_t id = list_of(listener);
	struct acl_edits *edits = &kernel->acls.lists[id];
	struct bpf_acl_list list = {
		.deny = acl->deny, .n_deny = acl->n_deny,
		.allow = acl->allow, .n_allow = acl->n_allow,
		.edits = edits->items, .n_edits = edits->n,
	};
	uint64_t begun_ms = now_ms();
	int ret = bpf_acl_replace(kernel->bpf, id, &list);

	if (ret) {
		edits->in_force = 0;
		log_error("cannot put an access list into the maps",
			  F_STR("listener", listener ? listener->name : "all"),
			  F_UINT("deny", acl->n_deny), F_UINT("allow", acl->n_allow), F_ERR(ret));
		return ret;
	}
	edits->in_force = acls_fingerprint(&kernel->acls, acl);
	if (!is_empty(kernel, id, acl))
		log_info("access list in force",
			 F_STR("listener", listener ? listener->name : "all"),
			 F_UINT("deny", acl->n_deny), F_UINT("allow", acl->n_allow),
			 F_UINT("by_command", edits->n), F_UINT("ms", now_ms() - begun_ms));
	return 0;
}

static int guard(struct kernel *kernel, const struct config_listener *listener,
		 const struct config_acl *acl)
{
	uint32_t id = list_of(listener);
	struct acl_edits *edits = &kernel->acls.lists[id];

	/* The same listener on another address has another number. */
	if (listener && !edits->n) {
		int ret = acls_follow(&kernel->acls, id, listener->name);

		if (ret)
			return ret;
		if (edits->n)
			edits->in_force = 0;
	}
	/* At first nothing is known, but that an empty list is empty. */
	if (!edits->in_force && is_empty(kernel, id, acl) && bpf_acl_is_empty(kernel->bpf, id))
		edits->in_force = acls_fingerprint(&kernel->acls, acl);
	if (edits->in_force && edits->in_force == acls_fingerprint(&kernel->acls, acl))
		return 0;
	return build(kernel, listener, acl);
}

int kernel_acl_guard(struct kernel *kernel, const struct config *config)
{
	int ret = guard(kernel, NULL, &config->kernel.acl);

	for (size_t i = 0; i < config->n_listeners && !ret; i++)
		ret = guard(kernel, &config->listeners[i], &config->listeners[i].acl);
	return ret;
}

static bool has_listener(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_listeners; i++)
		if (!strcmp(config->listeners[i].name, name))
			return true;
	return false;
}

void kernel_acl_retire(struct kernel *kernel, const struct config *config)
{
	bool used[SLUICE_MAX_ACLS] = { true };
	struct bpf_acl_list nothing = { 0 };

	for (size_t i = 0; i < config->n_listeners; i++)
		used[list_of(&config->listeners[i])] = true;
	for (uint32_t list = 0; list < SLUICE_MAX_ACLS; list++) {
		if (used[list])
			continue;
		if (!bpf_acl_is_empty(kernel->bpf, list))
			bpf_acl_replace(kernel->bpf, list, &nothing);
		if (kernel->acls.lists[list].n && !has_listener(config, kernel->acls.lists[list].name))
			log_warn("entries by command are gone with their listener",
				 F_STR("listener", kernel->acls.lists[list].name),
				 F_UINT("entries", kernel->acls.lists[list].n));
		acls_forget(&kernel->acls, list);
	}
}

bool kernel_acl_is_used(const struct kernel *kernel, const struct config_listener *listener)
{
	return !is_empty(kernel, list_of(listener), &listener->acl);
}

/* A list before the listener that points to it, and no pointer to an empty one. */
static int refresh(struct kernel *kernel, const struct config *config, uint32_t slots,
		   const struct config_listener *listener)
{
	return listener ? kernel_rules_listener(kernel, config, listener, slots) : 0;
}

int kernel_acl_add(struct kernel *kernel, const struct config *config, uint32_t slots,
		   const struct config_listener *listener, const struct bpf_acl_edit *edit)
{
	uint32_t list = list_of(listener);
	bool first = is_empty(kernel, list, acl_of(config, listener));
	struct bpf_acl_edit *entered = acls_set(&kernel->acls, list, edit);
	int ret;

	if (!entered)
		return -ENOSPC;
	if (listener)
		snprintf(kernel->acls.lists[list].name, SLUICE_NAME_MAX, "%s", listener->name);
	ret = bpf_acl_add(kernel->bpf, list, entered);
	if (ret == -E2BIG) /* with more room */
		ret = build(kernel, listener, acl_of(config, listener));
	if (!ret)
		return first ? refresh(kernel, config, slots, listener) : 0;
	acls_remove(&kernel->acls, list, acls_find(&kernel->acls, list, &edit->prefix));
	return ret == -E2BIG ? -ENOSPC : ret;
}

/* The last entry of a list is gone: the gate need not look there any more. */
static int emptied(struct kernel *kernel, const struct config *config, uint32_t slots,
		   const struct config_listener *listener)
{
	const struct config_acl *acl = acl_of(config, listener);
	int ret = 0;

	if (!is_empty(kernel, list_of(listener), acl))
		return 0;
	ret = refresh(kernel, config, slots, listener);
	return ret ? ret : build(kernel, listener, acl);
}

int kernel_acl_del(struct kernel *kernel, const struct config *config, uint32_t slots,
		   const struct config_listener *listener, const struct prefix *prefix)
{
	uint32_t list = list_of(listener);
	struct bpf_acl_edit *edit = acls_find(&kernel->acls, list, prefix);
	int ret;

	if (!edit)
		return -ENOENT;
	ret = bpf_acl_del(kernel->bpf, list, edit);
	if (ret)
		return ret;
	acls_remove(&kernel->acls, list, edit);
	return emptied(kernel, config, slots, listener);
}

static void on_expired(void *context, uint32_t list, const struct bpf_acl_edit *edit)
{
	struct kernel *kernel = context;
	char text[ADDR_TEXT_MAX];
	int ret = bpf_acl_del(kernel->bpf, list, edit);

	prefix_format(&edit->prefix, text, sizeof(text));
	if (ret)
		log_warn("cannot take an expired entry out of an access list",
			 F_STR("prefix", text), F_ERR(ret));
	else
		log_info("access list entry expired", F_STR("prefix", text),
			 F_STR("action", edit->action == SLUICE_ACL_DENY ? "deny" : "allow"));
}

void kernel_acl_expire(struct kernel *kernel, const struct config *config, uint32_t slots,
		       uint64_t now_ns)
{
	size_t before = kernel->acls.n;

	if (!kernel->bpf)
		return;
	acls_expire(&kernel->acls, now_ns, on_expired, kernel);
	if (kernel->acls.n == before)
		return;
	if (!bpf_acl_is_empty(kernel->bpf, 0))
		emptied(kernel, config, slots, NULL);
	for (size_t i = 0; i < config->n_listeners; i++)
		if (!bpf_acl_is_empty(kernel->bpf, list_of(&config->listeners[i])))
			emptied(kernel, config, slots, &config->listeners[i]);
}
