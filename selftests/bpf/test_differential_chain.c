/* SPDX-License-Identifier: MIT */
/*
 * test_differential_chain.c - test_differential.c for the gate's other object, which runs in libxdp's
 * dispatcher: the same in all, but that its answers keep the length of the frame.
 */
#define DUEL_CHAIN
#define FRAMES_IN_CHECK 100000

#include "test_differential.c"
