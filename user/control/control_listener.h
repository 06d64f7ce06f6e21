/* SPDX-License-Identifier: MIT */
/*
 * control_listener.h - requests of the control socket that take one listener out of service, or back.
 */
#ifndef SLUICE_CONTROL_CONTROL_LISTENER_H
#define SLUICE_CONTROL_CONTROL_LISTENER_H

#include <jansson.h>
#include <stdbool.h>

struct supervisor;

bool control_listener_is(const char *command);
/* Does what request asks; the answer. NULL: no memory. */
json_t *control_listener(struct supervisor *supervisor, const json_t *request);

#endif
