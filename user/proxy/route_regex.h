/* SPDX-License-Identifier: MIT */
/*
 * route_regex.h - regular expressions of routes: PCRE2 behind a few plain functions, bounded in time
 * and memory. The only place with PCRE2; used by route.c, and by the config's check as a hook.
 */
#ifndef SLUICE_PROXY_ROUTE_REGEX_H
#define SLUICE_PROXY_ROUTE_REGEX_H

#include <stdbool.h>
#include <stddef.h>

struct route_regex;

/* Compiled to match a whole text, byte by byte. NULL with the reason in why. */
struct route_regex *route_regex_new(const char *pattern, char *why, size_t why_size);
void route_regex_free(struct route_regex *regex); /* takes NULL */
/* False too where the limits of steps, depth or memory are passed: *exceeded (may be NULL) is set
 * then and else left alone. */
bool route_regex_match(const struct route_regex *regex, const char *text, size_t len,
		       bool *exceeded);
/* 0; -EINVAL with the reason in why (where in the pattern, and what). */
int route_regex_check(const char *pattern, char *why, size_t why_size);

#endif
