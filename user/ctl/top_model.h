/* SPDX-License-Identifier: MIT */
/*
 * top_model.h - what `top` shows: the daemon's answers, with rates since those before. Knows nothing of
 * the terminal.
 */
#ifndef SLUICE_CTL_TOP_MODEL_H
#define SLUICE_CTL_TOP_MODEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctl/client.h"
#include "ctl/listen.h"
#include "ctl/top_sources.h"

struct top_model {
	const struct ctl *ctl;
	/* "status" (an object), and arrays: "verdicts", "listeners", "groups", "backends", "workers",
	 * "sources". NULL until the first sample. Counters that rise have a <name>_per_second. */
	json_t *now;
	uint64_t now_ms;
	char why[CLIENT_WHY_MAX]; /* the last sample failed; "" */
	struct listen listen;
	struct listen_reader *reader; /* NULL: not listening, listen.why says why */
	struct top_sources sources;
};

struct top_model *top_model_new(const struct ctl *ctl);
void top_model_free(struct top_model *model); /* takes NULL */
/* Asks the daemon. 0; -1: model->why, and what was known stays. */
int top_model_sample(struct top_model *model);
/* Of the events, to be polled; -1: none now. */
int top_model_fd(const struct top_model *model);
void top_model_on_readable(struct top_model *model);
/* The rows of one of the arrays, never NULL. */
const json_t *top_model_rows(const struct top_model *model, const char *name);

#endif
