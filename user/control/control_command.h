/* SPDX-License-Identifier: MIT */
/*
 * control_command.h - the requests that change a backend (drain, undrain, weight, health), read from
 * their JSON.
 */
#ifndef SLUICE_CONTROL_CONTROL_COMMAND_H
#define SLUICE_CONTROL_CONTROL_COMMAND_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "control/overrides.h"

/* Whether the command of this name is one of these. */
bool control_command_is(const char *command);
/* 0, or -EINVAL with what is wrong in why. */
int control_command_read(json_t *request, struct override_command *what, char *why, size_t size);

#endif
