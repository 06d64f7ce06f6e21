/* SPDX-License-Identifier: MIT */
/*
 * random.h - the numbers that the tests by chance draw: one stream from one seed, so that the seed
 * in a failure's line brings the failure back.
 */
#ifndef SLUICE_SELFTESTS_RANDOM_H
#define SLUICE_SELFTESTS_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static uint64_t random_state;

/* splitmix64 */
static inline uint64_t random_u64(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* 0 to n - 1. */
static inline uint32_t random_below(uint32_t n)
{
	return (uint32_t)((random_u64() >> 32) * n >> 32);
}

static inline bool random_chance(unsigned percent)
{
	return random_below(100) < percent;
}

static inline void random_fill(void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)bytes)[i] = (uint8_t)random_u64();
}

#define RANDOM_OF(list) ((list)[random_below(sizeof(list) / sizeof((list)[0]))])

/* A number from the environment. */
static inline uint64_t random_setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* Less, where the machine is that much slower (an emulated one: docs/TESTING.md). */
static inline uint64_t random_scaled(uint64_t n)
{
	const char *slower = getenv("SLUICE_SLOWER");
	double factor = slower ? strtod(slower, NULL) : 1;

	return factor > 1 ? (uint64_t)((double)n / factor) : n;
}

/* From the environment, or another one each time. */
static inline uint64_t random_seed(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return random_setting("SLUICE_SEED", (uint64_t)now.tv_sec * 1000000 % 1000000007 * 1000 +
						     (uint64_t)now.tv_nsec / 1000 % 1000);
}

#endif
