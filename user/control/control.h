/* SPDX-License-Identifier: MIT */
/*
 * control.h - the control socket: who may connect, how much they may ask, and when they get their
 * answer. include/sluice/control.h describes the protocol.
 */
#ifndef SLUICE_CONTROL_CONTROL_H
#define SLUICE_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/loop.h"

struct supervisor;

struct control {
	struct supervisor *supervisor;
	struct loop_io listener;
	char *path; /* of the socket, NULL while there is none */
	struct list clients;
	unsigned n_clients;
};

void control_init(struct supervisor *supervisor);
/* 0, or -errno after logging: -EADDRINUSE where a daemon answers there. */
int control_open(struct control *control, const char *path);
/* Closes all clients and removes the socket. */
void control_close(struct control *control);

/* A reload of the file ended. Answers everyone whose request has this number or a lower one. */
void control_reload_done(struct control *control, uint64_t number, bool ok, const char *message);

#endif
