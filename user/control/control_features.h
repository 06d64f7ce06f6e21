/* SPDX-License-Identifier: MIT */
/*
 * control_features.h - the request "features": what the kernel can do for the kernel side. Called by
 * control.c.
 */
#ifndef SLUICE_CONTROL_CONTROL_FEATURES_H
#define SLUICE_CONTROL_CONTROL_FEATURES_H

#include <jansson.h>
#include <stddef.h>

struct supervisor;

/* The answer to {"command": "features"}. NULL with what is wrong in why. */
json_t *control_features(const struct supervisor *supervisor, const json_t *request, char *why,
			 size_t why_size);

#endif
