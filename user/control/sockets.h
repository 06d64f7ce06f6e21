/* SPDX-License-Identifier: MIT */
/*
 * sockets.h - every listening socket: one for each listener and worker slot, one SO_REUSEPORT group
 * for each listener. The supervisor keeps them open, so that a worker's death loses no connection
 * that waits in an accept queue.
 */
#ifndef SLUICE_CONTROL_SOCKETS_H
#define SLUICE_CONTROL_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "config/config.h"

struct socket_row {
	bool used;
	bool listening;
	bool drained; /* by command: not opened again until that is undone, or the listener is gone */
	struct addr address;
	int fds[SLUICE_MAX_WORKERS]; /* by slot; valid where used and below sockets.slots */
};

struct sockets {
	uint32_t slots;
	struct loop_timer drain_timer; /* rows that refuse, by command, close when it fires */
	struct socket_row rows[SLUICE_MAX_LISTENERS]; /* by listener id */
};

void sockets_init(struct sockets *sockets, uint32_t slots);
void sockets_done(struct sockets *sockets); /* closes all */

/* Binds, without listening yet, the sockets of listeners in config that have none. 0 or -errno,
 * with *failed the listener and nothing left bound that was not before. */
int sockets_bind(struct sockets *sockets, const struct config *config,
		 const struct config_listener **failed);
/* Begins to listen where a row does not yet. 0 or -errno with *failed. */
int sockets_listen(struct sockets *sockets, const struct config *config,
		   const struct config_listener **failed);
void sockets_close_row(struct sockets *sockets, uint32_t id);
/* Closes the rows whose listener config does not have. */
void sockets_keep(struct sockets *sockets, const struct config *config);
/* From now on the kernel drops each SYN to this row (all rows), while handshakes under way finish
 * and reach the accept queue. Workers can then empty the queues before the sockets close; after
 * that the kernel refuses. */
void sockets_refuse_new(struct socket_row *row, uint32_t slots);
void sockets_refuse_all(struct sockets *sockets);

#endif
