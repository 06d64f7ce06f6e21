/* SPDX-License-Identifier: MIT */
/*
 * notify.h - tells the service manager how far we are (sd_notify's protocol, by hand: one datagram
 * to the socket named in NOTIFY_SOCKET). Does nothing where nobody listens.
 */
#ifndef SLUICE_CONTROL_NOTIFY_H
#define SLUICE_CONTROL_NOTIFY_H

#include <stdint.h>

/* Remembers NOTIFY_SOCKET and takes it out of the environment, so that no child speaks for us. */
void notify_init(void);
void notify_ready(const char *status);
void notify_reloading(void);
/* The manager's own limit for a stop gives way to so long. */
void notify_stopping(uint64_t within_ms);

#endif
