/* SPDX-License-Identifier: MIT */
/*
 * features.h - what this kernel, this process and this network namespace can do for sluice's kernel side:
 * said in the log at the start, one line for each thing that lacks, and in `sluicectl status --kernel`.
 */
#ifndef SLUICE_CONTROL_FEATURES_H
#define SLUICE_CONTROL_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "control/bpf_loader_features.h"
#include "control/cookies.h"

#define FEATURES_RELEASE_MAX 65

struct feature_capability {
	const char *name, *needed_for;
	bool has;
};

struct feature_sysctl {
	const char *name;
	bool known; /* else it cannot be read in this network namespace */
	long value;
	const char *note; /* what it costs as it is, and the fix; NULL: nothing */
};

#define FEATURE_CAPABILITIES 4
#define FEATURE_SYSCTLS	     5

struct features {
	char release[FEATURES_RELEASE_MAX], machine[FEATURES_RELEASE_MAX];
	bool asked; /* else this process may not ask the kernel, and has[] says nothing */
	bool has[BPF_FEATURE_COUNT];
	char no_chain[192]; /* why not BPF_FEATURE_CHAIN; "" */
	struct feature_capability capabilities[FEATURE_CAPABILITIES];
	struct feature_sysctl sysctls[FEATURE_SYSCTLS];
};

/* Asks anew, which takes some milliseconds. cookies: what SYN cookies lack, or NULL where that has not
 * been read. */
void features_read(struct features *features, const struct cookies *cookies);
/* Why a feature is not there, where more is known than that; "". */
const char *features_why(const struct features *features, enum bpf_feature feature);
/* One line for each feature that the kernel lacks, a warning where config asks for it. */
void features_log(const struct features *features, const struct config *config);

#endif
