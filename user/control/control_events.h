/* SPDX-License-Identifier: MIT */
/*
 * control_events.h - the request "events" and the lines that answer it: {"listening": ...} first, then
 * one JSON object for each event, and {"lost": ...} where some were not sent.
 */
#ifndef SLUICE_CONTROL_CONTROL_EVENTS_H
#define SLUICE_CONTROL_CONTROL_EVENTS_H

#include <jansson.h>
#include <stddef.h>

#include "control/events.h"

#define CONTROL_EVENTS_LINE_MAX 2048

struct events_lost {
	uint64_t limited;   /* over kernel.events' rate */
	uint64_t ring_full; /* ... or the supervisor did not keep up */
	uint64_t slow;	    /* this subscriber did not */
};

/* 0, or -EINVAL with why. */
int control_events_read(const json_t *request, struct events_wish *wish, char *why, size_t size);

/* Each writes one line with its newline and returns its length; 0: no memory. */
size_t control_events_begin(const struct events_wish *wish, char *line);
size_t control_events_line(struct events *events, const struct sluice_event *event, bool packets,
			   char *line);
size_t control_events_lost(const struct events_lost *lost, char *line);

#endif
