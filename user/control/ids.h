/* SPDX-License-Identifier: MIT */
/*
 * ids.h - which index in the maps belongs to which listener, group, backend and route. Stable over
 * reloads: a listener is known by its address, a group by its name, a backend by group and address, a
 * route by listener and name.
 * A config takes its ids by ids_assign; ids_commit gives back what only the older config had,
 * ids_abort what only the new one had. An id given to another backend gets a new generation.
 */
#ifndef SLUICE_CONTROL_IDS_H
#define SLUICE_CONTROL_IDS_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

struct ids;

struct ids *ids_new(void); /* NULL: no memory */
void ids_free(struct ids *ids);

/* Fills in the ids of config's listeners, routes, groups and endpoints (and their generations). 0,
 * -ENOSPC (a map is full; what was taken is given back) or -ENOMEM. One assignment is open at a time. */
int ids_assign(struct ids *ids, struct config *config);
void ids_commit(struct ids *ids);
void ids_abort(struct ids *ids);

/* True while a listener, group, backend or route has this id. */
bool ids_listener_used(const struct ids *ids, uint32_t id);
bool ids_group_used(const struct ids *ids, uint32_t id);
bool ids_backend_used(const struct ids *ids, uint32_t id);
bool ids_route_used(const struct ids *ids, uint32_t id);

#endif
