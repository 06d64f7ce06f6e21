/* SPDX-License-Identifier: MIT */
/*
 * names.h - the last good answer for each DNS name among the backends, and the endpoints that
 * follow from it. The monitor asks and re-asks; the supervisor keeps the answers here, so that a
 * reload starts from what is already known.
 */
#ifndef SLUICE_CONTROL_NAMES_H
#define SLUICE_CONTROL_NAMES_H

#include <stdbool.h>

#include "base/list.h"
#include "base/textmap.h"
#include "config/config.h"
#include "shared/channel.h"

struct names {
	struct list answers;
	struct textmap by_host;
};

void names_init(struct names *names);
void names_done(struct names *names);

/* Takes an answer in. An empty one (the name does not resolve now) leaves the last good one.
 * 1: the addresses changed, 0: they did not, or -ENOMEM, -EINVAL. */
int names_store(struct names *names, const struct channel_resolved *resolved);

/* How many names in config have had no answer yet, good or empty. */
unsigned names_unanswered(const struct names *names, const struct config *config);

/* Fills in every group's endpoints: literal addresses, and what is known of the names. The same
 * address twice in a group becomes one endpoint (the first). 0 or -ENOMEM. */
int names_resolve(const struct names *names, struct config *config);

/* Forgets names that config does not have. */
void names_sweep(struct names *names, const struct config *config);

#endif
