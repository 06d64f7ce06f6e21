/* SPDX-License-Identifier: MIT */
/*
 * tickets.h - the keys that seal TLS session tickets, made here and sent to all workers, so that a
 * client can resume at any of them. They are never written anywhere.
 */
#ifndef SLUICE_CONTROL_TICKETS_H
#define SLUICE_CONTROL_TICKETS_H

#include <stdint.h>

#include "shared/channel.h"

#define TICKETS_ROTATE_S 3600u

/* Three random keys: the current one (seals), the next, the previous. 0 or -errno. */
int tickets_init(struct channel_tickets *tickets);
/* The next becomes current. It has been known to every worker for a whole period by then, so no
 * worker meets a ticket it cannot open. 0 or -errno (nothing changed). */
int tickets_rotate(struct channel_tickets *tickets);
void tickets_done(struct channel_tickets *tickets);

#endif
