/* SPDX-License-Identifier: MIT */
/*
 * control_json.h - what the files that make the control socket's answers share: small helpers over
 * jansson, and the rows that more than one answer holds.
 */
#ifndef SLUICE_CONTROL_CONTROL_JSON_H
#define SLUICE_CONTROL_CONTROL_JSON_H

#include <jansson.h>
#include <stdint.h>

#include "control/supervisor.h"

#define NAME_OF(names, value)                                                                      \
	((value) < sizeof(names) / sizeof((names)[0]) && (names)[value] ? (names)[value] : "?")

static inline json_int_t num(uint64_t value)
{
	return (json_int_t)value;
}

/* Takes value over; a missing key shows memory ran out, and the whole answer is then dropped. */
static inline void put(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static inline double seconds_since(const struct supervisor *supervisor, uint64_t then_ns)
{
	uint64_t now_ns = loop_now(&supervisor->loop);

	return then_ns && now_ns > then_ns ? (double)(now_ns - then_ns) / 1e9 : 0;
}

static inline double seconds_until(const struct supervisor *supervisor, uint64_t then_ns)
{
	uint64_t now_ns = loop_now(&supervisor->loop);

	return then_ns > now_ns ? (double)(then_ns - now_ns) / 1e9 : 0;
}

/* Arrays with a row for each group, endpoint or route of the running config. */
json_t *control_group_rows(const struct supervisor *supervisor);
json_t *control_backend_rows(const struct supervisor *supervisor);
json_t *control_route_rows(const struct supervisor *supervisor);

#endif
