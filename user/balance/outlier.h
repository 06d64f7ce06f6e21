/* SPDX-License-Identifier: MIT */
/*
 * outlier.h - which backends of a group fall out of line, by their success rate or latency against
 * the others'. Pure; what follows from it is shared/eject.h's.
 */
#ifndef SLUICE_BALANCE_OUTLIER_H
#define SLUICE_BALANCE_OUTLIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a backend's attempts of one interval came to. */
struct outlier_sample {
	uint64_t outcomes, failures;
	uint64_t latency_us; /* sum over those that did not fail */
	/* the judgement */
	bool low_success, high_latency;
};

/* Whose success rate is further below the mean than deviations_permille / 1000 standard deviations,
 * and OUTLIER_RATE_FLOOR at least: in a group that hardly fails a deviation is next to nothing.
 * Backends with fewer than min_calls are left out; fewer than min_backends left are not judged. */
#define OUTLIER_RATE_FLOOR 0.05
void outlier_judge_success(struct outlier_sample *samples, size_t n, uint32_t min_calls,
			   uint32_t min_backends, uint32_t deviations_permille);
/* Whose mean latency is over factor_permille / 1000 times the median of all. scratch: n words. */
void outlier_judge_latency(struct outlier_sample *samples, size_t n, uint32_t min_calls,
			   uint32_t min_backends, uint32_t factor_permille, uint64_t *scratch);

/* The whole of a sample's outcomes is 10000. */
uint32_t outlier_success_permyriad(const struct outlier_sample *sample);
uint64_t outlier_mean_latency_us(const struct outlier_sample *sample);

#endif
