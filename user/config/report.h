/* SPDX-License-Identifier: MIT */
/*
 * report.h - collects what is wrong with a config file. The parser, the schema walk and the checks
 * add errors and warnings in any order; report_flush sorts them by place and appends their lines
 * to the caller's struct config_report. Never prints.
 */
#ifndef SLUICE_CONFIG_REPORT_H
#define SLUICE_CONFIG_REPORT_H

#include <stdarg.h>

#include "config/config.h"

/* Findings kept; more are counted only. A file of noise must not make a report of its own size. */
#define REPORT_MAX 100
#define REPORT_QUOTE_MAX 128

struct report_finding;

struct reporter {
	struct report_finding *findings;
	size_t n, cap;
	unsigned errors, warnings; /* all, kept or not */
	bool no_memory;
};

/* What is wrong, what would be right. */
void report_error(struct reporter *reporter, struct config_place place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void report_warning(struct reporter *reporter, struct config_place place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Of a place in another file than the config; NULL: in the config. */
void report_error_in(struct reporter *reporter, const char *path, struct config_place place,
		     const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Counts as an error. */
void report_no_memory(struct reporter *reporter);
/* Appends what was collected, and frees it. */
void report_flush(struct reporter *reporter, const char *path, struct config_report *report);

/* text in double quotes, shortened, with control characters and what is no UTF-8 escaped: it comes
 * from a file that may hold anything, and goes to a terminal and into JSON. Returns out. */
const char *report_quote(char out[REPORT_QUOTE_MAX], const char *text);

#endif
