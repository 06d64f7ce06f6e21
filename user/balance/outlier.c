/* SPDX-License-Identifier: MIT */
/*
 * outlier.c - see outlier.h. Called by the monitor for its looks at each group.
 */
#include "balance/outlier.h"

#include <stdlib.h>

static double success_rate(const struct outlier_sample *sample)
{
	return 1 - (double)sample->failures / (double)sample->outcomes;
}

static bool has_enough(const struct outlier_sample *sample, uint32_t min_calls)
{
	return sample->outcomes && sample->outcomes >= min_calls;
}

void outlier_judge_success(struct outlier_sample *samples, size_t n, uint32_t min_calls,
			   uint32_t min_backends, uint32_t deviations_permille)
{
	double k = deviations_permille / 1000.0, sum = 0, variance = 0, mean;
	size_t judged = 0;

	for (size_t i = 0; i < n; i++) {
		samples[i].low_success = false;
		if (!has_enough(&samples[i], min_calls))
			continue;
		sum += success_rate(&samples[i]);
		judged++;
	}
	if (!judged || judged < min_backends)
		return;
	mean = sum / (double)judged;
	for (size_t i = 0; i < n; i++) {
		double off;

		if (!has_enough(&samples[i], min_calls))
			continue;
		off = success_rate(&samples[i]) - mean;
		variance += off * off / (double)judged;
	}
	for (size_t i = 0; i < n; i++) {
		double below;

		if (!has_enough(&samples[i], min_calls))
			continue;
		below = mean - success_rate(&samples[i]);
		/* below > k × deviation, without the root. */
		samples[i].low_success = below >= OUTLIER_RATE_FLOOR &&
					 below * below > k * k * variance;
	}
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* All failed: there is no latency to speak of. */
static bool has_latency(const struct outlier_sample *sample, uint32_t min_calls)
{
	return has_enough(sample, min_calls) && sample->failures < sample->outcomes;
}

void outlier_judge_latency(struct outlier_sample *samples, size_t n, uint32_t min_calls,
			   uint32_t min_backends, uint32_t factor_permille, uint64_t *scratch)
{
	size_t judged = 0, middle;
	double median;

	for (size_t i = 0; i < n; i++) {
		samples[i].high_latency = false;
		if (has_latency(&samples[i], min_calls))
			scratch[judged++] = outlier_mean_latency_us(&samples[i]);
	}
	if (!judged || judged < min_backends)
		return;
	qsort(scratch, judged, sizeof(*scratch), by_value);
	middle = judged / 2;
	median = (double)scratch[middle];
	if (judged % 2 == 0)
		median = (median + (double)scratch[middle - 1]) / 2;
	for (size_t i = 0; i < n; i++)
		samples[i].high_latency = has_latency(&samples[i], min_calls) && median > 0 &&
					  (double)outlier_mean_latency_us(&samples[i]) >
						  median * factor_permille / 1000.0;
}

uint32_t outlier_success_permyriad(const struct outlier_sample *sample)
{
	return sample->outcomes ? (uint32_t)(success_rate(sample) * 10000 + 0.5) : 10000;
}

uint64_t outlier_mean_latency_us(const struct outlier_sample *sample)
{
	uint64_t good = sample->outcomes - sample->failures;

	return good ? sample->latency_us / good : 0;
}
