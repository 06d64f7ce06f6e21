/* SPDX-License-Identifier: MIT */
/*
 * duration.h - durations on the command line, as the config file has them.
 */
#ifndef SLUICE_CTL_DURATION_H
#define SLUICE_CTL_DURATION_H

#include <stdint.h>

/* "500ms", "60s", "10m", "24h" in ms, 1 ms to 24 h. 0 or -EINVAL (ms is then untouched). */
int duration_parse(const char *text, uint64_t *ms);
/* Likewise for the option --for of a command: 0, also where it is not given (ms is then untouched);
 * else CTL_USAGE after saying what is wrong. */
struct ctl;
int duration_option(const struct ctl *ctl, const char *name, uint64_t *ms);
/* Likewise up to so many days, which have a unit then: "30d". */
int duration_option_days(const struct ctl *ctl, const char *name, unsigned days, uint64_t *ms);

#endif
