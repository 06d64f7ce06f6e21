/* SPDX-License-Identifier: MIT */
/*
 * listen.h - listening to the gate's events: what `events`, `capture` and `top` share.
 */
#ifndef SLUICE_CTL_LISTEN_H
#define SLUICE_CTL_LISTEN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctl/client.h"
#include "ctl/ctl.h"
#include "sluice/verdicts.h"

extern const char *const listen_reasons[VERDICT_MAX]; /* names of the verdicts */
extern const char *const listen_texts[VERDICT_MAX];   /* what each means */

/* The verdict of this name; VERDICT_MAX: there is none. */
unsigned listen_reason(const char *name);
/* Adds those of a comma-separated list: names, with a * at the end all that begin so, or "all". 0, or
 * CTL_USAGE after saying what is wrong. */
int listen_reasons_parse(const char *text, uint64_t *mask);
/* All but the two that most packets meet: pass_not_ours, pass_established. */
uint64_t listen_mask_default(void);
/* Those that keep a packet from its listener, and are no answer to a fault of sluice's. */
uint64_t listen_mask_drops(void);

struct listen {
	uint64_t mask;
	bool packets;
	uint64_t for_ms; /* 0: no bound */
	uint64_t count;	 /* 0: no bound */
	/* Called for each event, with its line as it came (NUL-terminated, without the newline). A
	 * negative answer ends it: then whoever gives it says why. */
	int (*on_event)(void *context, const json_t *event, const char *line);
	void *context;
	/* results */
	uint64_t events;	     /* that on_event got */
	uint64_t limited, ring_full, slow; /* that nobody got, by why: control_events.h */
	char why[CLIENT_WHY_MAX];	   /* it failed; "" */
};

/* Reads --reason, --count and --for into listen, whose mask stays where --reason is not given. 0 or
 * CTL_USAGE after saying what is wrong. */
int listen_options(const struct ctl *ctl, struct listen *listen);
/* Until a bound is reached, or SIGINT, SIGTERM or SIGHUP comes: CTL_OK. CTL_FAILED: the daemon
 * refused or went, or on_event said so, after saying why on stderr. */
int listen_run(const struct ctl *ctl, struct listen *listen);
/* Says on stderr what nobody got, if there is any. */
void listen_say_lost(const struct listen *listen);

/* The parts, for who has a loop of its own. NULL with listen->why. */
struct listen_reader *listen_start(const struct ctl *ctl, struct listen *listen);
int listen_fd(const struct listen_reader *reader); /* readable: listen_read is to be called */
/* 0; above: count is reached; below: it ended, and listen->why says why. */
int listen_read(struct listen_reader *reader);
void listen_stop(struct listen_reader *reader); /* takes NULL */

#endif
