/* SPDX-License-Identifier: MIT */
/*
 * control_acl.h - the requests "acl-add", "acl-del" and "acl-list": entries of access lists by command.
 * Called by control.c.
 *
 *   {"command": "acl-add", "prefixes": ["203.0.113.0/24"], "action": "deny", "listener": "grpc",
 *    "for_ms": 600000}; the last two may be missing
 *   {"command": "acl-del", "prefixes": [...], "listener": ...}
 *   {"command": "acl-list", "listener": ..., "prefix": "203.0.113.7", "limit": 1000}; all may be missing
 */
#ifndef SLUICE_CONTROL_CONTROL_ACL_H
#define SLUICE_CONTROL_CONTROL_ACL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct config;
struct config_listener;
struct supervisor;

/* Whether the command of this name is one of those that change a list. */
bool control_acl_is(const char *command);
/* The answer, also where it is an error. NULL: no memory. */
json_t *control_acl(struct supervisor *supervisor, const json_t *request);

/* The answer to "acl-list", or NULL with what is wrong in why. */
json_t *control_acl_list(const struct supervisor *supervisor, const json_t *request, char *why,
			 size_t why_size);

/* The listener of this name, or NULL. */
const struct config_listener *control_acl_listener(const struct config *config, const char *name);

#endif
