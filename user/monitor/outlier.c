/* SPDX-License-Identifier: MIT */
/*
 * outlier.c - see outlier.h. The workers count in the backends map, balance/outlier.c judges,
 * shared/eject.c ejects; here is only the clock, and what the counts were at the last look. A monitor
 * that replaces a dead one begins with a fresh interval.
 */
#include "monitor/outlier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "balance/outlier.h"
#include "base/log.h"
#include "shared/eject.h"

struct counts {
	uint64_t outcomes, failures, latency_us;
};

struct watched {
	struct outlier_watch *watch;
	const struct config_group *group; /* in watch->config */
	struct loop_timer timer;
	struct counts *before;		/* by endpoint */
	struct outlier_sample *samples; /* by endpoint */
	uint64_t *scratch;
};

struct outlier_watch {
	struct loop *loop;
	struct state *state;
	struct config *config;
	struct watched *groups;
	size_t n_groups;
};

static struct sluice_backend *row_of(const struct watched *watched, size_t endpoint)
{
	return &watched->watch->state->backends[watched->group->endpoints[endpoint].id];
}

static struct counts read_counts(const struct sluice_backend *row)
{
	return (struct counts){ .outcomes = state_load64(&row->outcomes),
				.failures = state_load64(&row->outcome_failures),
				.latency_us = state_load64(&row->outcome_latency_us) };
}

/* What came since the last look. */
static void take_samples(struct watched *watched)
{
	for (size_t i = 0; i < watched->group->n_endpoints; i++) {
		struct counts now = read_counts(row_of(watched, i));
		struct counts *before = &watched->before[i];

		if (now.outcomes < before->outcomes) /* the row is another backend's by now */
			*before = now;
		watched->samples[i] = (struct outlier_sample){
			.outcomes = now.outcomes - before->outcomes,
			.failures = now.failures - before->failures,
			.latency_us = now.latency_us - before->latency_us,
		};
		/* The three are not read at one moment. */
		if (watched->samples[i].failures > watched->samples[i].outcomes)
			watched->samples[i].failures = watched->samples[i].outcomes;
		*before = now;
	}
}

static void eject(struct watched *watched, size_t endpoint, enum sluice_eject_reason reason,
		  uint32_t detail)
{
	const struct config_group *group = watched->group;
	struct sluice_backend *row = row_of(watched, endpoint);
	char backend[ADDR_TEXT_MAX], text[EJECT_TEXT_MAX];
	uint64_t duration_ns;

	if (state_load32(&row->generation) != group->endpoints[endpoint].generation)
		return;
	duration_ns = eject_backend(watched->watch->state, group, group->endpoints[endpoint].id,
				    reason, detail, loop_now(watched->watch->loop));
	if (!duration_ns)
		return;
	addr_format(&group->endpoints[endpoint].address, backend, sizeof(backend));
	log_warn("backend is ejected", F_STR("group", group->name), F_STR("backend", backend),
		 F_STR("reason", eject_reason_text(reason, detail, text, sizeof(text))),
		 F_UINT("for_ms", duration_ns / NS_PER_MS),
		 F_UINT("count", state_load32(&row->eject_count)));
}

/* The worst first, since the group's share may not do for all. */
static void eject_low_success(struct watched *watched)
{
	struct outlier_sample *samples = watched->samples;

	for (;;) {
		size_t n = watched->group->n_endpoints, worst = n;

		for (size_t i = 0; i < n; i++)
			if (samples[i].low_success &&
			    (worst == n || outlier_success_permyriad(&samples[i]) <
						   outlier_success_permyriad(&samples[worst])))
				worst = i;
		if (worst == n)
			return;
		samples[worst].low_success = false;
		eject(watched, worst, SLUICE_EJECT_SUCCESS_RATE,
		      outlier_success_permyriad(&samples[worst]));
	}
}

static void eject_high_latency(struct watched *watched)
{
	struct outlier_sample *samples = watched->samples;

	for (;;) {
		size_t n = watched->group->n_endpoints, worst = n;
		uint64_t latency_us;

		for (size_t i = 0; i < n; i++)
			if (samples[i].high_latency &&
			    (worst == n || outlier_mean_latency_us(&samples[i]) >
						   outlier_mean_latency_us(&samples[worst])))
				worst = i;
		if (worst == n)
			return;
		samples[worst].high_latency = false;
		latency_us = outlier_mean_latency_us(&samples[worst]);
		eject(watched, worst, SLUICE_EJECT_LATENCY,
		      latency_us < UINT32_MAX ? (uint32_t)latency_us : UINT32_MAX);
	}
}

static void on_look(struct loop_timer *timer)
{
	struct watched *watched = container_of(timer, struct watched, timer);
	const struct config_outlier *outlier = &watched->group->outlier;
	size_t n = watched->group->n_endpoints;

	take_samples(watched);
	if (outlier->success_rate_stdev_permille)
		outlier_judge_success(watched->samples, n, outlier->min_calls,
				      outlier->min_backends, outlier->success_rate_stdev_permille);
	if (outlier->latency_factor_permille)
		outlier_judge_latency(watched->samples, n, outlier->min_calls,
				      outlier->min_backends, outlier->latency_factor_permille,
				      watched->scratch);
	eject_low_success(watched);
	eject_high_latency(watched);
	/* Cannot fail: the heap still has the place that this timer has just left. */
	loop_timer_set(watched->watch->loop, timer, outlier->interval_ms * NS_PER_MS);
}

static void watched_done(struct watched *watched)
{
	loop_timer_cancel(watched->watch->loop, &watched->timer);
	free(watched->before);
	free(watched->samples);
	free(watched->scratch);
}

/* The interval goes on where it is the same group's and as long as before: else a name that is resolved
 * anew every few seconds would begin it again and again. */
static uint64_t take_over(struct watched *watched, const struct watched *old)
{
	const struct config_group *group = watched->group;
	uint64_t interval_ns = group->outlier.interval_ms * NS_PER_MS;
	uint64_t now_ns = loop_now(watched->watch->loop), due_ns = old->timer.deadline_ns;
	size_t at = 0;

	/* Endpoints mostly stand in the same order. */
	for (size_t i = 0; i < group->n_endpoints; i++) {
		const struct config_endpoint *endpoint = &group->endpoints[i];
		size_t n = old->group->n_endpoints, looked;

		for (looked = 0; looked < n && old->group->endpoints[at].id != endpoint->id;
		     looked++)
			at = (at + 1) % n;
		if (looked < n && old->group->endpoints[at].generation == endpoint->generation)
			watched->before[i] = old->before[at];
	}
	if (old->group->outlier.interval_ms != group->outlier.interval_ms ||
	    !loop_timer_is_set(&old->timer))
		return interval_ns;
	return due_ns > now_ns ? due_ns - now_ns : 0;
}

static int watched_init(struct watched *watched, struct outlier_watch *watch,
			const struct config_group *group, const struct watched *old)
{
	uint64_t delay_ns = group->outlier.interval_ms * NS_PER_MS;
	size_t n = group->n_endpoints;

	watched->watch = watch;
	watched->group = group;
	watched->timer.on_timer = on_look;
	watched->before = calloc(n + 1, sizeof(*watched->before));
	watched->samples = calloc(n + 1, sizeof(*watched->samples));
	watched->scratch = calloc(n + 1, sizeof(*watched->scratch));
	if (!watched->before || !watched->samples || !watched->scratch)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		watched->before[i] = read_counts(row_of(watched, i));
	if (old)
		delay_ns = take_over(watched, old);
	return loop_timer_set(watch->loop, &watched->timer, delay_ns);
}

static void groups_free(struct watched *groups, size_t n)
{
	for (size_t i = 0; i < n; i++)
		watched_done(&groups[i]);
	free(groups);
}

struct outlier_watch *outlier_watch_new(struct loop *loop, struct state *state)
{
	struct outlier_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->loop = loop;
	watch->state = state;
	return watch;
}

void outlier_watch_free(struct outlier_watch *watch)
{
	if (!watch)
		return;
	groups_free(watch->groups, watch->n_groups);
	config_unref(watch->config);
	free(watch);
}

static bool is_watched(const struct config_outlier *outlier)
{
	return outlier->enabled &&
	       (outlier->success_rate_stdev_permille || outlier->latency_factor_permille);
}

static const struct watched *find_watched(const struct outlier_watch *watch, uint32_t group)
{
	for (size_t i = 0; i < watch->n_groups; i++)
		if (watch->groups[i].group->id == group)
			return &watch->groups[i];
	return NULL;
}

int outlier_watch_apply(struct outlier_watch *watch, struct config *config)
{
	struct watched *groups = calloc(config->n_groups + 1, sizeof(*groups));
	size_t n_groups = 0;
	int err = groups ? 0 : -ENOMEM;

	for (size_t i = 0; groups && i < config->n_groups; i++) {
		const struct config_group *group = &config->groups[i];
		struct watched *watched = &groups[n_groups];

		if (!is_watched(&group->outlier))
			continue;
		if (watched_init(watched, watch, group, find_watched(watch, group->id))) {
			watched_done(watched);
			memset(watched, 0, sizeof(*watched));
			err = -ENOMEM;
			continue;
		}
		n_groups++;
	}
	groups_free(watch->groups, watch->n_groups);
	watch->groups = groups;
	watch->n_groups = n_groups;
	config_ref(config);
	config_unref(watch->config);
	watch->config = config;
	return err;
}
