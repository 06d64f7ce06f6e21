/* SPDX-License-Identifier: MIT */
/*
 * route_regex.c - see route_regex.h. Patterns are the operator's, subjects the clients': what is
 * bounded is the work that a subject can cause. Compiled to machine code where PCRE2 can (a system
 * that forbids executable memory leaves the interpreter).
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "proxy/route_regex.h"

#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pattern without nested repetition needs a few steps a character; one that needs far more
 * backtracks without end. The whole is some hundreds of microseconds, and a few for each KiB. */
#define STEPS_MAX      20000
#define STEPS_PER_BYTE 4
#define DEPTH_MAX      1000
#define HEAP_KIB_MAX   256
#define PATTERN_MAX    4096 /* bytes; compiled code grows with it */

struct route_regex {
	pcre2_code *code;
	pcre2_match_context *limits;
	pcre2_match_data *match;
};

struct route_regex *route_regex_new(const char *pattern, char *why, size_t why_size)
{
	struct route_regex *regex;
	PCRE2_SIZE offset;
	int err;

	if (strlen(pattern) > PATTERN_MAX) {
		snprintf(why, why_size, "longer than %d bytes", PATTERN_MAX);
		return NULL;
	}
	snprintf(why, why_size, "no memory");
	regex = calloc(1, sizeof(*regex));
	if (!regex)
		return NULL;
	regex->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
				    PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY |
					    PCRE2_DOTALL | PCRE2_NO_AUTO_CAPTURE |
					    PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UTF,
				    &err, &offset, NULL);
	if (!regex->code) {
		PCRE2_UCHAR text[120];

		if (err != PCRE2_ERROR_NOMEMORY && pcre2_get_error_message(err, text, sizeof(text)) > 0)
			snprintf(why, why_size, "%s at character %zu", (const char *)text,
				 (size_t)offset + 1);
		goto fail;
	}
	regex->limits = pcre2_match_context_create(NULL);
	/* One pair of offsets is all that a yes or no needs. */
	regex->match = pcre2_match_data_create(1, NULL);
	if (!regex->limits || !regex->match)
		goto fail;
	pcre2_set_depth_limit(regex->limits, DEPTH_MAX);
	pcre2_set_heap_limit(regex->limits, HEAP_KIB_MAX);
	pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
	return regex;
fail:
	route_regex_free(regex);
	return NULL;
}

void route_regex_free(struct route_regex *regex)
{
	if (!regex)
		return;
	pcre2_match_data_free(regex->match);
	pcre2_match_context_free(regex->limits);
	pcre2_code_free(regex->code);
	free(regex);
}

bool route_regex_match(const struct route_regex *regex, const char *text, size_t len,
		       bool *exceeded)
{
	int ret;

	pcre2_set_match_limit(regex->limits, (uint32_t)(STEPS_MAX + STEPS_PER_BYTE * len));
	ret = pcre2_match(regex->code, (PCRE2_SPTR)text, len, 0, 0, regex->match, regex->limits);
	if (ret < 0 && ret != PCRE2_ERROR_NOMATCH && exceeded)
		*exceeded = true;
	return ret >= 0;
}

int route_regex_check(const char *pattern, char *why, size_t why_size)
{
	struct route_regex *regex = route_regex_new(pattern, why, why_size);

	if (!regex)
		return -EINVAL;
	route_regex_free(regex);
	return 0;
}
