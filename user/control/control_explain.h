/* SPDX-License-Identifier: MIT */
/*
 * control_explain.h - the request "explain": what the gate does with a packet, step by step. Called by
 * control.c.
 */
#ifndef SLUICE_CONTROL_CONTROL_EXPLAIN_H
#define SLUICE_CONTROL_CONTROL_EXPLAIN_H

#include <jansson.h>
#include <stddef.h>

struct supervisor;

/* The answer to {"command": "explain", "source": ADDRESS, "destination": ADDRESS, "packet": "syn" |
 * "ack", "interface": NAME}; the last two may be missing. NULL with what is wrong in why. */
json_t *control_explain(const struct supervisor *supervisor, const json_t *request, char *why,
			size_t why_size);

#endif
