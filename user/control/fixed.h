/* SPDX-License-Identifier: MIT */
/*
 * fixed.h - the settings that a reload cannot change, since processes, pins or sockets were made
 * from them at start.
 */
#ifndef SLUICE_CONTROL_FIXED_H
#define SLUICE_CONTROL_FIXED_H

#include <stddef.h>

#include "config/config.h"

/* Gives config the running values of these settings, with a warning for each that its file has
 * otherwise, and their keys in kept ("workers, control.socket"; "": none). 0 or -ENOMEM. */
int fixed_keep(struct config *config, const struct config *running, char *kept, size_t size);

#endif
