/* SPDX-License-Identifier: MIT */
/*
 * control_acl_list.c - the request "acl-list", see control_acl.h: how much each list has from where, and
 * the entries themselves, those by command first, then as many from the files as are asked for.
 */
#include <stdio.h>
#include <string.h>

#include "control/control_acl.h"
#include "control/control_json.h"
#include "control/kernel_acl.h"

#define LIMIT_DEFAULT 1000
#define LIMIT_MAX     100000

struct acl_listing {
	const struct supervisor *supervisor;
	const struct config_listener *listener; /* of the list at hand; NULL: the global one */
	const struct prefix *within; /* only those that have an address in common with it; NULL: all */
	size_t limit, matched;
	json_t *lists, *entries;
};

static const char *action_name(uint8_t action)
{
	return action == SLUICE_ACL_DENY ? "deny" : "allow";
}

static json_t *listener_name(const struct config_listener *listener)
{
	return listener ? json_string(listener->name) : json_null();
}

static uint32_t list_of(const struct config_listener *listener)
{
	return listener ? 1 + listener->id : 0;
}

/* NULL: it is not asked for, or there are enough. */
static json_t *add_entry(struct acl_listing *listing, const struct prefix *prefix, uint8_t action,
			 const char *origin)
{
	char text[ADDR_TEXT_MAX];
	json_t *entry;

	if (listing->within && !prefix_overlaps(listing->within, prefix))
		return NULL;
	if (listing->matched++ >= listing->limit)
		return NULL;
	entry = json_pack("{s:o, s:s, s:s, s:s}", "listener", listener_name(listing->listener),
			  "prefix", prefix_format(prefix, text, sizeof(text)), "action",
			  action_name(action), "origin", origin);
	json_array_append_new(listing->entries, entry);
	return entry;
}

static void list_edits(struct acl_listing *listing, const struct acl_edits *edits)
{
	for (size_t i = 0; i < edits->n; i++) {
		const struct bpf_acl_edit *edit = &edits->items[i];
		json_t *entry = add_entry(listing, &edit->prefix, edit->action, "command");

		if (!entry)
			continue;
		put(entry, "age_seconds",
		    json_real(seconds_since(listing->supervisor, edit->added_ns)));
		put(entry, "left_seconds",
		    edit->expires_ns ?
			    json_real(seconds_until(listing->supervisor, edit->expires_ns)) :
			    json_null());
		put(entry, "instead_of",
		    edit->under ? json_string(action_name(edit->under)) : json_null());
	}
}

static void list_range(struct acl_listing *listing, const struct prefix *prefixes, size_t from,
		       size_t end, uint8_t action, const char *origin)
{
	const struct acls *acls = &listing->supervisor->kernel.acls;

	for (size_t i = from; i < end; i++) {
		json_t *entry = add_entry(listing, &prefixes[i], action, origin);

		if (entry && acls_find(acls, list_of(listing->listener), &prefixes[i]))
			put(entry, "overridden", json_true());
	}
}

/* How many entries are from where, and then they themselves. */
static void list_half(struct acl_listing *listing, json_t *sources, const struct prefix *prefixes,
		      size_t n, const struct config_acl_file *files, size_t n_files, uint8_t action)
{
	size_t inline_n = n_files ? files[0].first : n;

	if (inline_n)
		json_array_append_new(sources, json_pack("{s:s, s:s, s:I}", "origin", "config",
							 "action", action_name(action), "entries",
							 num(inline_n)));
	list_range(listing, prefixes, 0, inline_n, action, "config");
	for (size_t i = 0; i < n_files; i++) {
		json_array_append_new(sources,
				      json_pack("{s:s, s:s, s:I}", "origin", files[i].path, "action",
						action_name(action), "entries",
						num(files[i].end - files[i].first)));
		list_range(listing, prefixes, files[i].first, files[i].end, action, files[i].path);
	}
}

static void list_one(struct acl_listing *listing, const struct config_listener *listener,
		     const struct config_acl *acl)
{
	const struct acl_edits *edits = &listing->supervisor->kernel.acls.lists[list_of(listener)];
	json_t *sources = json_array();

	listing->listener = listener;
	list_edits(listing, edits);
	if (edits->n)
		json_array_append_new(sources, json_pack("{s:s, s:n, s:I}", "origin", "command",
							 "action", "entries", num(edits->n)));
	list_half(listing, sources, acl->deny, acl->n_deny, acl->deny_files, acl->n_deny_files,
		  SLUICE_ACL_DENY);
	list_half(listing, sources, acl->allow, acl->n_allow, acl->allow_files, acl->n_allow_files,
		  SLUICE_ACL_ALLOW);
	json_array_append_new(listing->lists,
			      json_pack("{s:o, s:b, s:o}", "listener", listener_name(listener),
					"allow_list", acl->n_allow > 0, "sources", sources));
}

json_t *control_acl_list(const struct supervisor *supervisor, const json_t *request, char *why,
			 size_t why_size)
{
	const char *name = json_string_value(json_object_get(request, "listener"));
	const char *within = json_string_value(json_object_get(request, "prefix"));
	const json_t *limit = json_object_get(request, "limit");
	const struct config *config = supervisor->current.config;
	struct acl_listing listing = { .supervisor = supervisor, .limit = LIMIT_DEFAULT };
	const struct config_listener *only = name ? control_acl_listener(config, name) : NULL;
	struct prefix prefix;

	if (limit)
		listing.limit = (size_t)json_integer_value(limit);
	if ((limit && json_integer_value(limit) < 0) || listing.limit > LIMIT_MAX) {
		snprintf(why, why_size, "\"limit\" wants a whole number from 0 to %d", LIMIT_MAX);
		return NULL;
	}
	if (name && !only) {
		snprintf(why, why_size, "there is no listener \"%.80s\"", name);
		return NULL;
	}
	if (within && prefix_parse(&prefix, within)) {
		snprintf(why, why_size, "bad prefix \"%.80s\", want one such as 203.0.113.0/24",
			 within);
		return NULL;
	}
	listing.within = within ? &prefix : NULL;
	listing.lists = json_array();
	listing.entries = json_array();
	if (!only)
		list_one(&listing, NULL, &config->kernel.acl);
	for (size_t i = 0; i < config->n_listeners; i++)
		if (!only || only == &config->listeners[i])
			list_one(&listing, &config->listeners[i], &config->listeners[i].acl);
	return json_pack("{s:o, s:o, s:I}", "lists", listing.lists, "entries", listing.entries,
			 "more", num(listing.matched > listing.limit ?
					     listing.matched - listing.limit : 0));
}
