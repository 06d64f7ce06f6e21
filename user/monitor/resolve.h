/* SPDX-License-Identifier: MIT */
/*
 * resolve.h - keeps asking for the addresses of DNS names: A and AAAA, /etc/hosts first. Reports an
 * answer when it is the first or has changed; a failure never takes the last good answer away.
 */
#ifndef SLUICE_MONITOR_RESOLVE_H
#define SLUICE_MONITOR_RESOLVE_H

#include <stddef.h>

#include "base/loop.h"
#include "shared/channel.h"

struct resolver;

/* answer: n = 0 means that the name's first look-up failed. Lives until the callback returns.
 * Never called from within a resolver_ function. */
typedef void (*resolver_on_answer)(void *ctx, const struct channel_resolved *answer);

/* NULL on failure, with the errno in *err. */
struct resolver *resolver_new(struct loop *loop, resolver_on_answer on_answer, void *ctx, int *err);
void resolver_free(struct resolver *resolver); /* takes NULL; no callback follows */

/* The names to ask for from now on (copied; duplicates are fine). Those already known go on as
 * they are, new ones are asked for at once, others are forgotten. 0 or -ENOMEM. */
int resolver_set_names(struct resolver *resolver, const char *const *hosts, size_t n);

#endif
