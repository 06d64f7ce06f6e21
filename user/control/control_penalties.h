/* SPDX-License-Identifier: MIT */
/*
 * control_penalties.h - sources under a penalty on the control socket: the request "penalties" and what
 * "status" says of them; "penalize" {source, level, for_ms} and "pardon" {source: an address or "all"}.
 */
#ifndef SLUICE_CONTROL_CONTROL_PENALTIES_H
#define SLUICE_CONTROL_CONTROL_PENALTIES_H

#include <jansson.h>
#include <stdbool.h>

struct supervisor;

bool control_penalties_is(const char *command); /* one of those that change something */
/* Does what request asks; the answer. NULL: no memory. */
json_t *control_penalties(struct supervisor *supervisor, const json_t *request);

json_t *control_penalties_rows(const struct supervisor *supervisor);
/* "sources": those with most connections, and evidence. */
json_t *control_source_rows(const struct supervisor *supervisor);
json_t *control_penalties_status(const struct supervisor *supervisor);

#endif
