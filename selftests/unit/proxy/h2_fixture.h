/* SPDX-License-Identifier: MIT */
/*
 * h2_fixture.h - the world of a test program that needs one at a time, made anew for each test, and
 * what its two sides have of a stream. For test_h2*.c.
 */
#ifndef SLUICE_SELFTESTS_H2_FIXTURE_H
#define SLUICE_SELFTESTS_H2_FIXTURE_H

#include "proxy/h2_world.h"

static struct h2_world world;

static inline int setup(void **state)
{
	world_init(&world);
	return 0;
}

static inline int teardown(void **state)
{
	world_done(&world);
	return 0;
}

static inline struct record *at_client(int32_t id)
{
	return record_of(&world.client, id);
}

static inline struct record *at_server(int32_t id)
{
	return record_of(&world.server, id);
}

#endif
