/* SPDX-License-Identifier: MIT */
/*
 * top_tables.h - `top`'s tables: which columns each has and how a row looks. For top_lines.c.
 */
#ifndef SLUICE_CTL_TOP_TABLES_H
#define SLUICE_CTL_TOP_TABLES_H

#include <jansson.h>
#include <stddef.h>

#include "ctl/top_lines.h"

#define TOP_TABLE_COLUMNS 12

enum top_kind { TOP_TEXT, TOP_COUNT, TOP_ID, TOP_RATE, TOP_BYTES, TOP_SECONDS };

struct top_column {
	const char *heading; /* NULL: end */
	const char *key;
	enum top_kind kind;
	int most; /* columns on the screen */
};

struct top_table {
	const char *rows; /* of the model */
	struct top_column columns[TOP_TABLE_COLUMNS];
	int sort; /* at first; -1: the daemon's order */
	enum top_style (*style)(const json_t *row); /* NULL: plain */
	bool (*shown)(const json_t *row); /* in the view of all; NULL: all rows are */
	const char *none;
};

extern const struct top_table top_tables[TOP_VIEWS]; /* none for TOP_ALL */

/* What stands in a cell. */
const char *top_cell(const json_t *row, const struct top_column *column, char *text, size_t size);
/* Sorts rows, n pointers, by a column. */
void top_sort(const json_t **rows, size_t n, const struct top_column *column, bool rising);

#endif
