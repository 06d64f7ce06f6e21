/* SPDX-License-Identifier: MIT */
/*
 * table.h - a table on the terminal from an array of JSON objects: which key goes into which
 * column, and how.
 */
#ifndef SLUICE_CTL_TABLE_H
#define SLUICE_CTL_TABLE_H

#include <jansson.h>

enum table_kind {
	TABLE_TEXT,
	TABLE_NUMBER, /* right-aligned, in groups of three */
	TABLE_ID,     /* right-aligned, plain */
	TABLE_BYTES,
	TABLE_SECONDS,
};

struct table_column {
	const char *heading; /* NULL: end of the columns */
	const char *key;
	enum table_kind kind;
};

/* Prints rows (a JSON array) on stdout. 0 or -ENOMEM. */
int table_print(const json_t *rows, const struct table_column *columns);

#endif
