/* SPDX-License-Identifier: MIT */
/*
 * explain_socket.h - whether the kernel has a connection between two addresses, by sock_diag: a look-up
 * like that of the gate would run sk_lookup's program, which counts.
 */
#ifndef SLUICE_CONTROL_EXPLAIN_SOCKET_H
#define SLUICE_CONTROL_EXPLAIN_SOCKET_H

#include <stdint.h>

#include "base/addr.h"

/* TCP_ESTABLISHED..., of a connection or a handshake under way whose local end is local; 0: there is
 * none. -errno where the kernel cannot be asked. Walks the kernel's table of connections. */
int explain_socket_state(const struct addr *local, const struct addr *remote);

#endif
