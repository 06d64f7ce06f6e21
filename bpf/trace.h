/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace.h - the gate's account of itself, for an instance that explains: see sluice/trace.h.
 */
#ifndef SLUICE_BPF_TRACE_H
#define SLUICE_BPF_TRACE_H

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "sluice/trace.h"

/* Set before loading by who wants the account; false is a constant to the verifier, which then drops
 * what depends on it. */
const volatile bool tracing;
const volatile struct sluice_trace_given given;
struct sluice_trace trace;

#define TRACE(step, assignment)                                                                    \
	do {                                                                                       \
		if (tracing) {                                                                     \
			trace.steps |= (step);                                                     \
			trace.assignment;                                                          \
		}                                                                                  \
	} while (0)

#endif
