/* SPDX-License-Identifier: MIT */
/*
 * control_text.h - parts of the config in a few words, for sluicectl's tables. Pure.
 */
#ifndef SLUICE_CONTROL_CONTROL_TEXT_H
#define SLUICE_CONTROL_CONTROL_TEXT_H

#include <stddef.h>

#include "config/config.h"

#define CONTROL_TEXT_MAX 160

/* What a call must be like: "host api.example +1, path /pkg.Svc/"; "every call". Cut with "..." where
 * size ends; returns text. */
const char *control_match_text(const struct config_match *match, char *text, size_t size);
/* Where a route leads: "stable 90, canary 10", "UNAVAILABLE". */
const char *control_target_text(const struct config *config, const struct config_route *route,
				char *text, size_t size);

#endif
