/* SPDX-License-Identifier: MIT */
/*
 * control_acl.c - see control_acl.h: the two requests that change access lists. control_acl_list.c has
 * the one that shows them.
 */
#include "control/control_acl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "control/kernel_acl.h"
#include "control/supervisor.h"

#define FOR_MAX_MS   (366ull * 24 * 3600 * 1000)
#define PREFIXES_MAX 256 /* of one request, which is 4 KiB at most */

struct acl_request {
	bool add;
	const struct config_listener *listener; /* NULL: the global list */
	uint8_t action;
	uint64_t expires_ns;
	size_t n;
	struct prefix prefixes[PREFIXES_MAX];
};

static json_t *error(const char *text)
{
	return json_pack("{s:s}", "error", text);
}

bool control_acl_is(const char *command)
{
	return !strcmp(command, "acl-add") || !strcmp(command, "acl-del");
}

const struct config_listener *control_acl_listener(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_listeners; i++)
		if (!strcmp(config->listeners[i].name, name))
			return &config->listeners[i];
	return NULL;
}

static int read_prefixes(const json_t *request, struct acl_request *what, char *why, size_t size)
{
	const json_t *prefixes = json_object_get(request, "prefixes");

	what->n = json_array_size(prefixes);
	if (!what->n || what->n > PREFIXES_MAX) {
		snprintf(why, size, "this command wants \"prefixes\", 1 to %d of them", PREFIXES_MAX);
		return -EINVAL;
	}
	for (size_t i = 0; i < what->n; i++) {
		const char *text = json_string_value(json_array_get(prefixes, i));
		int ret = text ? prefix_parse(&what->prefixes[i], text) : -EINVAL;

		if (!ret)
			continue;
		if (ret == -EDOM)
			snprintf(why, size, "prefix \"%.80s\" has bits set behind its length, want "
				 "them 0", text);
		else
			snprintf(why, size, "bad prefix \"%.80s\", want one such as 203.0.113.0/24 "
				 "or 2001:db8::/48", text ? text : "");
		return ret;
	}
	return 0;
}

/* 0, or -errno with what is wrong in why. */
static int read_request(const struct supervisor *supervisor, const json_t *request,
			struct acl_request *what, char *why, size_t size)
{
	const char *command = json_string_value(json_object_get(request, "command"));
	const char *listener = json_string_value(json_object_get(request, "listener"));
	const char *action = json_string_value(json_object_get(request, "action"));
	const json_t *for_ms = json_object_get(request, "for_ms");
	json_int_t ms = json_integer_value(for_ms);

	what->add = !strcmp(command, "acl-add");
	if (what->add && (!action || (strcmp(action, "deny") && strcmp(action, "allow")))) {
		snprintf(why, size, "acl-add wants an \"action\", deny or allow");
		return -EINVAL;
	}
	what->action = action && !strcmp(action, "allow") ? SLUICE_ACL_ALLOW : SLUICE_ACL_DENY;
	if (for_ms && (!what->add || ms < 1 || (uint64_t)ms > FOR_MAX_MS)) {
		snprintf(why, size, "\"for_ms\" is for acl-add, and wants 1 to %llu (366 days)",
			 FOR_MAX_MS);
		return -EINVAL;
	}
	what->expires_ns = for_ms ? loop_now(&supervisor->loop) + (uint64_t)ms * NS_PER_MS : 0;
	if (json_object_get(request, "listener") && !listener) {
		snprintf(why, size, "\"listener\" wants a name");
		return -EINVAL;
	}
	what->listener = listener ? control_acl_listener(supervisor->current.config, listener) : NULL;
	if (listener && !what->listener) {
		snprintf(why, size, "there is no listener \"%.80s\"", listener);
		return -ENOENT;
	}
	return read_prefixes(request, what, why, size);
}

/* Why an entry could not be deleted that no command made. */
static const char *why_not_there(const struct config_acl *acl, const struct prefix *prefix)
{
	for (size_t i = 0; i < acl->n_deny; i++)
		if (!memcmp(&acl->deny[i], prefix, sizeof(*prefix)))
			return "it is in the config or a file of it: take it out there and reload, or "
			       "add it with --allow";
	for (size_t i = 0; i < acl->n_allow; i++)
		if (!memcmp(&acl->allow[i], prefix, sizeof(*prefix)))
			return "it is in the config or a file of it: take it out there and reload, or "
			       "add it without --allow";
	return "no such entry";
}

static const char *why_failed(const struct supervisor *supervisor, const struct acl_request *what,
			      const struct prefix *prefix, int ret)
{
	const struct config *config = supervisor->current.config;

	if (ret == -ENOENT)
		return why_not_there(what->listener ? &what->listener->acl : &config->kernel.acl,
				     prefix);
	if (ret == -ENOSPC)
		return "the list is full";
	return strerror(-ret);
}

static int change(struct supervisor *supervisor, const struct acl_request *what,
		  const struct prefix *prefix)
{
	const struct config *config = supervisor->current.config;
	const struct bpf_acl_edit edit = {
		.prefix = *prefix,
		.action = what->action,
		.added_ns = loop_now(&supervisor->loop),
		.expires_ns = what->expires_ns,
	};

	if (what->add)
		return kernel_acl_add(&supervisor->kernel, config, supervisor->slots, what->listener,
				      &edit);
	return kernel_acl_del(&supervisor->kernel, config, supervisor->slots, what->listener, prefix);
}

/* Where nothing holds it, say so: the entry is kept for the time when something does. */
static const char *note(const struct supervisor *supervisor)
{
	for (size_t i = 0; i < supervisor->kernel.n_interfaces; i++)
		if (supervisor->kernel.interfaces[i].used != BPF_XDP_OFF)
			return "";
	return "XDP is on no interface, so nothing holds access lists now";
}

json_t *control_acl(struct supervisor *supervisor, const json_t *request)
{
	struct acl_request what;
	char text[ADDR_TEXT_MAX], why[256];

	if (!kernel_is_on(&supervisor->kernel))
		return error("the kernel side is off: nothing holds access lists");
	if (read_request(supervisor, request, &what, why, sizeof(why)))
		return error(why);
	for (size_t i = 0; i < what.n; i++) {
		int ret = change(supervisor, &what, &what.prefixes[i]);

		prefix_format(&what.prefixes[i], text, sizeof(text));
		if (ret)
			return json_pack("{s:o, s:i}", "error",
					 json_sprintf("%s: %s", text,
						      why_failed(supervisor, &what,
								 &what.prefixes[i], ret)),
					 "done", (int)i);
		log_info(what.add ? "access list entry added" : "access list entry deleted",
			 F_STR("prefix", text),
			 F_STR("action", what.action == SLUICE_ACL_DENY ? "deny" : "allow"),
			 F_STR("listener", what.listener ? what.listener->name : "all"));
	}
	return json_pack("{s:b, s:i, s:s}", "ok", 1, "done", (int)what.n, "note",
			 note(supervisor));
}
