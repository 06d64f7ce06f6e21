/* SPDX-License-Identifier: MIT */
/*
 * control_route.h - `sluicectl route`: which route of the running config a call would take, and why
 * those before it are passed over. Nothing is sent and nothing counted.
 */
#ifndef SLUICE_CONTROL_CONTROL_ROUTE_H
#define SLUICE_CONTROL_CONTROL_ROUTE_H

#include <jansson.h>
#include <stddef.h>

struct supervisor;

/* The answer to {"command": "route", "listener": NAME, "path": TEXT, "host": TEXT, "headers":
 * [[KEY, VALUE]...], "source": IP, "sni": NAME, "sans": [NAME...]}; all but the listener's name may be
 * missing. A call that the listener's health_service answers comes to no route. NULL with what is
 * wrong in why. */
json_t *control_route(const struct supervisor *supervisor, const json_t *request, char *why,
		      size_t why_size);

#endif
