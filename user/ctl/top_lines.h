/* SPDX-License-Identifier: MIT */
/*
 * top_lines.h - `top`'s screen as lines of text: what is where, in which order, how wide. Knows nothing
 * of the terminal, so that --batch prints the same.
 */
#ifndef SLUICE_CTL_TOP_LINES_H
#define SLUICE_CTL_TOP_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl/top_model.h"

enum top_view {
	TOP_ALL, /* some of each */
	TOP_VERDICTS,
	TOP_LISTENERS,
	TOP_GROUPS,
	TOP_BACKENDS,
	TOP_WORKERS,
	TOP_SOURCES_VIEW,
	TOP_VIEWS
};

enum top_style { TOP_PLAIN, TOP_HEADING, TOP_BAD, TOP_DIM, TOP_BAR };

#define TOP_COLUMNS_MAX 400
#define TOP_LINE_BYTES	(TOP_COLUMNS_MAX * 4 + 1)

struct top_line {
	enum top_style style;
	int mark, mark_columns; /* the column that is sorted by; 0 columns: none */
	char text[TOP_LINE_BYTES];
};

struct top_lines {
	struct top_line *lines;
	size_t n, cap;
};

/* What the user chose. */
struct top_choice {
	enum top_view view;
	int sort[TOP_VIEWS]; /* column, or -1: the daemon's order */
	bool rising[TOP_VIEWS];
	size_t scroll; /* rows of the view that are above the screen */
	bool paused, help;
	unsigned interval_ms;
};

void top_choice_init(struct top_choice *choice);
/* To the next column that is shown (step 1 or -1), round by the daemon's order. */
void top_choice_sort(struct top_choice *choice, int step);

/* Fills lines: the whole screen, width columns and at most height lines; height 0: as many as it
 * takes, without keys. 0 or -ENOMEM. */
int top_lines_fill(struct top_lines *lines, const struct top_model *model,
		   struct top_choice *choice, int width, int height);
void top_lines_done(struct top_lines *lines);

#endif
