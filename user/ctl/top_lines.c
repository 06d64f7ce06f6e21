/* SPDX-License-Identifier: MIT */
/*
 * top_lines.c - see top_lines.h. Called by top.c. A heading of three lines, then tables, as many rows
 * and columns of each as there is room for, then the keys.
 */
#include "ctl/top_lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/format.h"
#include "ctl/top_tables.h"
#include "ctl/top_text.h"

#define GAP	      2 /* between columns */
#define LEAST_COLUMNS 40
#define LEAST_LINES   8

static const char *const view_names[TOP_VIEWS] = {
	[TOP_ALL] = "all",	     [TOP_VERDICTS] = "verdicts", [TOP_LISTENERS] = "listeners",
	[TOP_GROUPS] = "groups",     [TOP_BACKENDS] = "backends", [TOP_WORKERS] = "workers",
	[TOP_SOURCES_VIEW] = "sources",
};

/* ---- what the user chose ---- */

void top_choice_init(struct top_choice *choice)
{
	*choice = (struct top_choice){ .interval_ms = 1000 };
	for (int i = 0; i < TOP_VIEWS; i++)
		choice->sort[i] = top_tables[i].sort;
}

static int count_columns(const struct top_table *table)
{
	int n = 0;

	while (n < TOP_TABLE_COLUMNS && table->columns[n].heading)
		n++;
	return n;
}

void top_choice_sort(struct top_choice *choice, int step)
{
	int n = count_columns(&top_tables[choice->view]) + 1; /* and the daemon's order */
	int *sort = &choice->sort[choice->view];

	*sort = (*sort + 1 + step + n) % n - 1;
	choice->rising[choice->view] = false;
	choice->scroll = 0;
}

/* ---- lines ---- */

static struct top_line *add_line(struct top_lines *lines, enum top_style style)
{
	if (lines->n == lines->cap) {
		size_t cap = lines->cap ? 2 * lines->cap : 64;
		struct top_line *more = realloc(lines->lines, cap * sizeof(*more));

		if (!more)
			return NULL;
		lines->lines = more;
		lines->cap = cap;
	}
	struct top_line *line = &lines->lines[lines->n++];

	line->style = style;
	line->mark = line->mark_columns = 0;
	line->text[0] = '\0';
	return line;
}

__attribute__((format(printf, 4, 5))) static int say(struct top_lines *lines, enum top_style style,
						     int width, const char *format, ...)
{
	struct top_line *line = add_line(lines, style);
	char text[1024];
	va_list args;

	if (!line)
		return -ENOMEM;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	top_text_put(line->text, sizeof(line->text), text, width, false);
	return 0;
}

void top_lines_done(struct top_lines *lines)
{
	free(lines->lines);
	*lines = (struct top_lines){ 0 };
}

/* ---- the heading ---- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static double number_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static const char *count_of(const json_t *object, const char *key, char text[FORMAT_MAX])
{
	double n = number_of(object, key);

	return format_count(n > 0 ? (uint64_t)n : 0, text, FORMAT_MAX);
}

static void kernel_text(const json_t *kernel, char *text, size_t size)
{
	const json_t *interfaces = json_object_get(kernel, "interfaces");
	size_t len = (size_t)snprintf(text, size, "%s", text_of(kernel, "mode"));

	for (size_t i = 0; i < json_array_size(interfaces) && len < size; i++) {
		const json_t *interface = json_array_get(interfaces, i);

		len += (size_t)snprintf(text + len, size - len, ", %s %s",
					text_of(interface, "name"), text_of(interface, "mode"));
	}
}

/* Packets a second of all verdicts that begin so. */
static double rate_of(const struct top_model *model, const char *prefix)
{
	const json_t *rows = top_model_rows(model, "verdicts");
	double sum = 0;

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);

		if (!strncmp(text_of(row, "verdict"), prefix, strlen(prefix)))
			sum += number_of(row, "packets_per_second");
	}
	return sum;
}

static int put_heading(struct top_lines *lines, const struct top_model *model, int width)
{
	const json_t *status = json_object_get(model->now, "status");
	const json_t *workers = json_object_get(status, "workers");
	char up[FORMAT_MAX], kernel[128], open[FORMAT_MAX], accepted[FORMAT_MAX];
	char active[FORMAT_MAX], failed[FORMAT_MAX], clock[16];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	if (!status)
		return say(lines, TOP_PLAIN, width, "sluice  %s", clock);
	kernel_text(json_object_get(status, "kernel"), kernel, sizeof(kernel));
	int ret = say(lines, TOP_PLAIN, width, "sluice  %s  %s, up %s  workers %.0f/%.0f  kernel %s",
		      clock, text_of(status, "state"),
		      format_seconds(number_of(status, "uptime_seconds"), up, sizeof(up)),
		      number_of(workers, "live"), number_of(workers, "slots"), kernel);

	if (!ret)
		ret = say(lines, TOP_PLAIN, width,
			  "calls   %.1f/s, %s active, %s failed here  connections %s open, %s accepted",
			  number_of(status, "calls_per_second"),
			  count_of(status, "active_rpcs", active),
			  count_of(status, "calls_failed", failed),
			  count_of(status, "connections", open),
			  count_of(status, "connections_accepted", accepted));
	if (!ret)
		ret = say(lines, TOP_PLAIN, width,
			  "gate    %.0f packets/s passed, %.0f dropped, %.0f reset, %.0f cookies",
			  rate_of(model, "pass_"), rate_of(model, "drop_"), rate_of(model, "reset_"),
			  rate_of(model, "cookie_"));
	return ret;
}

static int put_bar(struct top_lines *lines, const struct top_choice *choice, int width)
{
	char text[256] = "";
	struct top_line *line;
	int mark = 0;

	for (int i = 0; i < TOP_VIEWS; i++) {
		size_t len = strlen(text);

		if (i == (int)choice->view)
			mark = (int)len;
		snprintf(text + len, sizeof(text) - len, "%d %s  ", i, view_names[i]);
	}
	if (say(lines, TOP_BAR, width, "%s", text))
		return -ENOMEM;
	line = &lines->lines[lines->n - 1];
	line->mark = mark;
	line->mark_columns = 2 + (int)strlen(view_names[choice->view]);
	return 0;
}

/* ---- tables ---- */

struct rows {
	const json_t **rows;
	size_t n;
};

static int rows_take(struct rows *rows, const struct top_model *model, enum top_view view,
		     const struct top_choice *choice)
{
	const struct top_table *table = &top_tables[view];
	const json_t *array = top_model_rows(model, table->rows);
	bool all = choice->view != TOP_ALL || !table->shown;

	rows->n = 0;
	rows->rows = calloc(json_array_size(array) + 1, sizeof(*rows->rows));
	if (!rows->rows)
		return -ENOMEM;
	for (size_t i = 0; i < json_array_size(array); i++)
		if (all || table->shown(json_array_get(array, i)))
			rows->rows[rows->n++] = json_array_get(array, i);
	if (choice->sort[view] >= 0)
		top_sort(rows->rows, rows->n, &table->columns[choice->sort[view]],
			 choice->rising[view]);
	return 0;
}

/* How wide each column is; 0: there is no room for it. Only text is cut to what is left. */
static void measure(const struct top_table *table, const struct rows *rows, size_t from, size_t to,
		    int width, int widths[TOP_TABLE_COLUMNS])
{
	int left = width;

	for (int c = 0; c < TOP_TABLE_COLUMNS; c++) {
		const struct top_column *column = &table->columns[c];
		char text[256];
		int wide;

		widths[c] = 0;
		if (!column->heading || left <= 0)
			continue;
		wide = top_text_width(column->heading);
		for (size_t i = from; i < to; i++) {
			int cell = top_text_width(top_cell(rows->rows[i], column, text, sizeof(text)));

			wide = cell > wide ? cell : wide;
		}
		wide = wide > column->most ? column->most : wide;
		if (wide > left && column->kind == TOP_TEXT && left >= 8)
			wide = left;
		if (wide > left)
			continue;
		widths[c] = wide;
		left -= wide + GAP;
	}
}

static int put_row(struct top_lines *lines, const struct top_table *table, const json_t *row,
		   const int widths[TOP_TABLE_COLUMNS], int sort, int width)
{
	enum top_style style = !row ? TOP_HEADING : table->style ? table->style(row) : TOP_PLAIN;
	struct top_line *line = add_line(lines, style);
	int at = 0;

	if (!line)
		return -ENOMEM;
	for (int c = 0; c < TOP_TABLE_COLUMNS; c++) {
		const struct top_column *column = &table->columns[c];
		char text[256];

		if (!widths[c])
			continue;
		if (!row && c == sort) {
			line->mark = at;
			line->mark_columns = widths[c];
		}
		top_text_put(line->text, sizeof(line->text),
			     row ? top_cell(row, column, text, sizeof(text)) : column->heading,
			     widths[c], column->kind != TOP_TEXT);
		at += widths[c];
		int gap = width - at < GAP ? width - at : GAP;

		top_text_put(line->text, sizeof(line->text), "", gap, false);
		at += gap;
	}
	if (at < width)
		top_text_put(line->text, sizeof(line->text), "", width - at, false);
	return 0;
}

static int put_table(struct top_lines *lines, enum top_view view, const struct rows *rows,
		     size_t from, size_t most, const struct top_choice *choice, int width)
{
	const struct top_table *table = &top_tables[view];
	size_t to = rows->n - from > most ? from + most : rows->n;
	int widths[TOP_TABLE_COLUMNS], ret;

	measure(table, rows, from, to, width, widths);
	ret = put_row(lines, table, NULL, widths, choice->sort[view], width);
	for (size_t i = from; i < to && !ret; i++)
		ret = put_row(lines, table, rows->rows[i], widths, -1, width);
	return ret;
}

static int put_view(struct top_lines *lines, const struct top_model *model,
		    struct top_choice *choice, int width, size_t room)
{
	struct rows rows;
	int ret = rows_take(&rows, model, choice->view, choice);

	if (ret)
		return ret;
	if (room < 2)
		room = 2;
	if (choice->scroll + (room - 1) > rows.n)
		choice->scroll = rows.n > room - 1 ? rows.n - (room - 1) : 0;
	if (!rows.n && choice->view == TOP_SOURCES_VIEW && model->listen.why[0])
		ret = say(lines, TOP_DIM, width, "%s", model->listen.why);
	else if (!rows.n)
		ret = say(lines, TOP_DIM, width, "%s", top_tables[choice->view].none);
	else
		ret = put_table(lines, choice->view, &rows, choice->scroll, room - 1, choice, width);
	free(rows.rows);
	return ret;
}

/* How many rows of each table there are to be: one more of each in turn, while there is room. Each
 * that has any costs a line for its heading. */
static void share(const struct rows rows[TOP_VIEWS], size_t room, size_t shares[TOP_VIEWS])
{
	bool more = true;

	for (int v = 1; v < TOP_VIEWS; v++) {
		shares[v] = 0;
		if (rows[v].n && room >= 2) {
			shares[v] = 1;
			room -= 2;
		}
	}
	while (more && room) {
		more = false;
		for (int v = 1; v < TOP_VIEWS && room; v++) {
			if (!shares[v] || shares[v] >= rows[v].n)
				continue;
			shares[v]++;
			room--;
			more = true;
		}
	}
}

static int put_all(struct top_lines *lines, const struct top_model *model,
		   const struct top_choice *choice, int width, size_t room)
{
	struct rows rows[TOP_VIEWS] = { 0 };
	size_t shares[TOP_VIEWS];
	int ret = 0;

	for (int v = 1; v < TOP_VIEWS && !ret; v++)
		ret = rows_take(&rows[v], model, (enum top_view)v, choice);
	if (!ret)
		share(rows, room, shares);
	for (int v = 1; v < TOP_VIEWS && !ret; v++)
		if (shares[v])
			ret = put_table(lines, (enum top_view)v, &rows[v], 0, shares[v], choice,
					width);
	for (int v = 1; v < TOP_VIEWS; v++)
		free(rows[v].rows);
	return ret;
}

/* ---- the whole ---- */

static const char *const help[] = {
	"0 to 6, Tab      all, or one of the tables",
	"< >              sort by the column before or after; past the last: the daemon's order",
	"r                the other way round",
	"arrows, PgUp...  scroll a table",
	"+ -              a shorter or longer interval",
	"space            stop the clock, and let it go on",
	"q                quit",
	"",
	"Red is what wants a look: drops, backends that are down, groups without a live one.",
	"SOURCES: whom the gate drops, estimated from sampled events (kernel.events); who is under",
	"a penalty, counted; who has most connections. SEEN: events, or packets dropped for it.",
};

static int put_help(struct top_lines *lines, int width)
{
	int ret = 0;

	for (size_t i = 0; i < sizeof(help) / sizeof(help[0]) && !ret; i++)
		ret = say(lines, TOP_PLAIN, width, "%s", help[i]);
	return ret;
}

static int put_footer(struct top_lines *lines, const struct top_choice *choice, int width)
{
	return say(lines, TOP_BAR, width, "q quit  h help  0-6 view  < > sort  r reverse  %s  every %g s",
		   choice->paused ? "space: go on (PAUSED)" : "space pause", choice->interval_ms / 1e3);
}

int top_lines_fill(struct top_lines *lines, const struct top_model *model,
		   struct top_choice *choice, int width, int height)
{
	size_t room = SIZE_MAX;
	int ret;

	lines->n = 0;
	if (width > TOP_COLUMNS_MAX)
		width = TOP_COLUMNS_MAX;
	if (height && (width < LEAST_COLUMNS || height < LEAST_LINES))
		return say(lines, TOP_PLAIN, width, "%dx%d at least", LEAST_COLUMNS, LEAST_LINES);
	ret = put_heading(lines, model, width);
	if (!ret && model->why[0])
		ret = say(lines, TOP_BAD, width, "%s", model->why);
	if (!ret && height)
		ret = put_bar(lines, choice, width);
	if (height)
		room = (size_t)height - 1 - lines->n;
	if (!ret && choice->help)
		ret = put_help(lines, width);
	else if (!ret && choice->view == TOP_ALL)
		ret = put_all(lines, model, choice, width, room);
	else if (!ret)
		ret = put_view(lines, model, choice, width, room);
	if (height && lines->n > (size_t)height - 1)
		lines->n = (size_t)height - 1;
	while (!ret && height && lines->n < (size_t)height - 1)
		ret = say(lines, TOP_PLAIN, width, "%s", "");
	if (!ret && height)
		ret = put_footer(lines, choice, width);
	return ret;
}
