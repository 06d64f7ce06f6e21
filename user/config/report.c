/* SPDX-License-Identifier: MIT */
/*
 * report.c - see report.h. Keeps each finding as a line of text with its place until report_flush
 * sorts them: the checks run one after the other over the whole file, a reader wants them from
 * top to bottom.
 */
#include "config/report.h"
#include "config/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_LINE_MAX 768
#define REPORT_QUOTE_BYTES 60 /* of the text shown */

struct report_finding {
	struct config_place place;
	uint32_t order;
	bool warning;
	char *text;
	char *path; /* of another file than the config; NULL: the config */
};

static void report_add(struct reporter *reporter, bool warning, const char *path,
		       struct config_place place, const char *format, va_list args)
{
	char line[REPORT_LINE_MAX];
	char *text, *copy = NULL;

	if (warning)
		reporter->warnings++;
	else
		reporter->errors++;
	if (reporter->n == REPORT_MAX)
		return;
	if (reporter->n == reporter->cap) {
		size_t cap = reporter->cap ? reporter->cap * 2 : 8;
		struct report_finding *findings;

		findings = realloc(reporter->findings, cap * sizeof(*findings));
		if (!findings) {
			reporter->no_memory = true;
			return;
		}
		reporter->findings = findings;
		reporter->cap = cap;
	}
	vsnprintf(line, sizeof(line), format, args);
	text = strdup(line);
	if (text && path)
		copy = strdup(path);
	if (!text || (path && !copy)) {
		free(text);
		reporter->no_memory = true;
		return;
	}
	reporter->findings[reporter->n] = (struct report_finding){
		.place = place, .order = reporter->n, .warning = warning, .text = text, .path = copy
	};
	reporter->n++;
}

void report_error(struct reporter *reporter, struct config_place place, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_add(reporter, false, NULL, place, format, args);
	va_end(args);
}

void report_error_in(struct reporter *reporter, const char *path, struct config_place place,
		     const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_add(reporter, false, path, place, format, args);
	va_end(args);
}

void report_warning(struct reporter *reporter, struct config_place place, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_add(reporter, true, NULL, place, format, args);
	va_end(args);
}

void report_no_memory(struct reporter *reporter)
{
	reporter->no_memory = true;
}

static int report_compare(const void *a_, const void *b_)
{
	const struct report_finding *a = a_, *b = b_;
	int order = strcmp(a->path ? a->path : "", b->path ? b->path : ""); /* the config first */

	if (order)
		return order;
	if (a->place.line != b->place.line)
		return a->place.line < b->place.line ? -1 : 1;
	if (a->place.column != b->place.column)
		return a->place.column < b->place.column ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

/* False: no memory; the report is as it was. */
static bool report_append(struct config_report *report, const char *text)
{
	size_t len = strlen(text);

	if (report->cap - report->len <= len) {
		size_t cap = (report->len + len + 1) * 2;
		char *grown = realloc(report->text, cap);

		if (!grown)
			return false;
		report->text = grown;
		report->cap = cap;
	}
	memcpy(report->text + report->len, text, len + 1);
	report->len += len;
	return true;
}

static bool report_append_finding(struct config_report *report, const char *path,
				  const struct report_finding *finding)
{
	const char *prefix = finding->warning ? "warning: " : "";
	size_t start = report->len;
	char place[32];

	snprintf(place, sizeof(place), ":%u:%u: ", finding->place.line, finding->place.column);
	if (report_append(report, path) && report_append(report, place) &&
	    report_append(report, prefix) && report_append(report, finding->text) &&
	    report_append(report, "\n"))
		return true;
	report->len = start; /* whole lines only */
	if (report->text)
		report->text[start] = '\0';
	return false;
}

void report_flush(struct reporter *reporter, const char *path, struct config_report *report)
{
	unsigned total = reporter->errors + reporter->warnings;
	struct report_finding finding = { .place = { 1, 1 } };
	char line[96];

	if (reporter->n)
		qsort(reporter->findings, reporter->n, sizeof(*reporter->findings),
		      report_compare);
	for (size_t i = 0; i < reporter->n; i++) {
		const struct report_finding *at = &reporter->findings[i];

		if (!report_append_finding(report, at->path ? at->path : path, at))
			reporter->no_memory = true;
		free(at->text);
		free(at->path);
	}
	if (reporter->no_memory) {
		finding.text = "out of memory";
		reporter->errors++;
		report_append_finding(report, path, &finding);
	} else if (total > reporter->n) {
		snprintf(line, sizeof(line), "%u more errors and warnings are not shown",
			 total - (unsigned)reporter->n);
		finding.text = line;
		report_append_finding(report, path, &finding);
	}
	report->errors += reporter->errors;
	report->warnings += reporter->warnings;
	free(reporter->findings);
	*reporter = (struct reporter){ 0 };
}

const char *report_quote(char out[REPORT_QUOTE_MAX], const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t shown = 0, len = 0, n;

	out[len++] = '"';
	while (*p && shown < REPORT_QUOTE_BYTES && len < REPORT_QUOTE_MAX - 12) {
		/* C0 and DEL are one byte; C1 is C2 80..9F in UTF-8 */
		bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;

		n = utf8_sequence(p, strnlen((const char *)p, 4));
		if (!n || *p < 0x20 || *p == 0x7f || c1) {
			p += c1;
			len += (size_t)snprintf(out + len, 5, "\\x%02x", *p++);
			shown += 4;
			continue;
		}
		memcpy(out + len, p, n); /* a whole character */
		p += n;
		len += n;
		shown += n;
	}
	if (*p)
		len += (size_t)sprintf(out + len, "...");
	out[len++] = '"';
	out[len] = '\0';
	return out;
}

void config_report_done(struct config_report *report)
{
	free(report->text);
	*report = (struct config_report){ 0 };
}
