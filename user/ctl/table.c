/* SPDX-License-Identifier: MIT */
/*
 * table.c - see table.h. The only user of libsmartcols. Where stdout is not a terminal the lines
 * are as long as they need, so that nothing is cut for grep.
 */
#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "ctl/format.h"
#include "ctl/table.h"

static uint64_t number(const json_t *value)
{
	json_int_t n = json_integer_value(value);

	return n > 0 ? (uint64_t)n : 0;
}

static const char *cell(const json_t *row, const struct table_column *column, char *text,
			size_t size)
{
	const json_t *value = json_object_get(row, column->key);
	const char *string;

	if (!value || json_is_null(value))
		return "-";
	switch (column->kind) {
	case TABLE_NUMBER:
		return format_count(number(value), text, size);
	case TABLE_ID:
		snprintf(text, size, "%llu", (unsigned long long)number(value));
		return text;
	case TABLE_BYTES:
		return format_bytes(number(value), text, size);
	case TABLE_SECONDS:
		return format_seconds(json_number_value(value), text, size);
	case TABLE_TEXT:
		break;
	}
	string = json_string_value(value);
	return string && *string ? string : "-";
}

static int add_row(struct libscols_table *table, const json_t *row,
		   const struct table_column *columns)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	char text[256];

	if (!line)
		return -ENOMEM;
	for (size_t i = 0; columns[i].heading; i++)
		if (scols_line_set_data(line, i, cell(row, &columns[i], text, sizeof(text))))
			return -ENOMEM;
	return 0;
}

int table_print(const json_t *rows, const struct table_column *columns)
{
	struct libscols_table *table = scols_new_table();
	int ret = -ENOMEM;

	if (!table)
		return ret;
	if (!isatty(STDOUT_FILENO))
		scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
	for (size_t i = 0; columns[i].heading; i++) {
		bool right = columns[i].kind != TABLE_TEXT;

		if (!scols_table_new_column(table, columns[i].heading, 0,
					    right ? SCOLS_FL_RIGHT : 0))
			goto out;
	}
	for (size_t i = 0; i < json_array_size(rows); i++)
		if (add_row(table, json_array_get(rows, i), columns))
			goto out;
	ret = 0;
	if (json_array_size(rows))
		scols_print_table(table);
out:
	scols_unref_table(table);
	return ret;
}
