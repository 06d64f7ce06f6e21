/* SPDX-License-Identifier: MIT */
/*
 * duration.c - see duration.h. Used by the commands that take one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/duration.h"

#define DAY_MS (24ull * 3600 * 1000)

static int parse_within(const char *text, uint64_t most_ms, uint64_t *ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", DAY_MS } };
	char *end;

	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);

	if (errno || *text < '0' || *text > '9')
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit) || !n || n > most_ms / units[i].ms ||
		    (units[i].ms == DAY_MS && most_ms == DAY_MS))
			continue;
		*ms = n * units[i].ms;
		return 0;
	}
	return -EINVAL;
}

int duration_parse(const char *text, uint64_t *ms)
{
	return parse_within(text, DAY_MS, ms);
}

int duration_option_days(const struct ctl *ctl, const char *name, unsigned days, uint64_t *ms)
{
	const char *text = ctl_option(ctl, name);

	if (!text || !parse_within(text, days * DAY_MS, ms))
		return CTL_OK;
	fprintf(stderr, "sluicectl: --%s wants a duration from 1ms to %ud such as 60s, not \"%s\"\n",
		name, days, text);
	return CTL_USAGE;
}

int duration_option(const struct ctl *ctl, const char *name, uint64_t *ms)
{
	const char *text = ctl_option(ctl, name);

	if (!text || !duration_parse(text, ms))
		return CTL_OK;
	fprintf(stderr, "sluicectl: --%s wants a duration from 1ms to 24h such as 60s, not \"%s\"\n",
		name, text);
	return CTL_USAGE;
}
