/* SPDX-License-Identifier: MIT */
/*
 * overrides.h - what the operator's commands say of single backends: drained, another weight, a
 * forced health. Kept by the supervisor over reloads, DNS answers and dead children, and put into
 * every revision; gone with the supervisor. A value that the file changes since is the file's again.
 */
#ifndef SLUICE_CONTROL_OVERRIDES_H
#define SLUICE_CONTROL_OVERRIDES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "config/config.h"

enum override_verb { OVERRIDE_DRAIN, OVERRIDE_UNDRAIN, OVERRIDE_WEIGHT, OVERRIDE_HEALTH };

#define OVERRIDE_WEIGHT_FILE UINT32_MAX
#define OVERRIDE_TEXT_MAX    272 /* a DNS name or an address in brackets, a port, a NUL */

struct override_command {
	enum override_verb verb;
	char group[OVERRIDE_TEXT_MAX];
	/* As the file has it, or one address of a DNS name: "198.18.1.11:50051", "b.example:50051". */
	char backend[OVERRIDE_TEXT_MAX];
	uint64_t drain_for_ns; /* until running calls are cut; 0: never */
	uint32_t weight;       /* or OVERRIDE_WEIGHT_FILE */
	enum sluice_health forced; /* UNKNOWN: not any more */
};

struct overrides {
	struct list entries;
};

void overrides_init(struct overrides *overrides);
void overrides_done(struct overrides *overrides);

/* Takes a command in, for a backend of config (with its endpoints). Counts once a config that had
 * it applied is committed. 0; -ENOENT, with what is wrong in why; -ENOMEM. */
int overrides_set(struct overrides *overrides, const struct config *config,
		  const struct override_command *command, uint64_t now_ns, char *why, size_t size);

/* Changes config's endpoints. from_file: the file was read anew: what it has changed itself, and
 * backends that it has no more, are let go of. 0 or -ENOMEM. */
int overrides_apply(struct overrides *overrides, struct config *config, bool from_file);
/* The config that was changed last is in force (from_file: logs what the file took back), or will
 * never be. */
void overrides_commit(struct overrides *overrides, bool from_file);
void overrides_revert(struct overrides *overrides);

#endif
