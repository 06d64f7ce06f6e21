/* SPDX-License-Identifier: MIT */
/*
 * top.c - sluicectl top: the daemon and its gate, live in the terminal, or with --batch as text. Owns
 * the terminal and the clock; what is shown is top_lines.c's, what is known top_model.c's. However it
 * ends, the terminal is as it was.
 */
#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/duration.h"
#include "ctl/top_lines.h"
#include "ctl/top_model.h"

#define INTERVAL_LEAST_MS 100
#define INTERVAL_MOST_MS  60000
#define BATCH_COLUMNS	  TOP_COLUMNS_MAX

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
	stopped = number;
}

/* Without SA_RESTART: poll has to return. */
static void catch_stops(void)
{
	static const int stops[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_stop };

	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
		sigaction(stops[i], &action, NULL);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct top {
	struct top_model *model;
	struct top_choice choice;
	struct top_lines lines;
	uint64_t next_ms; /* sample */
	bool quit;
};

/* Waits for the next sample, a key (where keys is set) or a signal; true: it is time for the sample. */
static bool wait_next(struct top *top, bool keys)
{
	uint64_t now = now_ms();
	struct pollfd wait[] = {
		{ .fd = keys ? STDIN_FILENO : -1, .events = POLLIN },
		{ .fd = top_model_fd(top->model), .events = POLLIN },
	};

	if (now < top->next_ms) {
		int ready = poll(wait, 2, (int)(top->next_ms - now));

		if (ready > 0 && wait[1].revents)
			top_model_on_readable(top->model);
		if (ready > 0 && wait[0].revents & (POLLHUP | POLLERR))
			top->quit = true; /* the terminal has gone */
	}
	return now_ms() >= top->next_ms;
}

static void sample(struct top *top)
{
	if (!top->choice.paused)
		top_model_sample(top->model);
	top->next_ms = now_ms() + top->choice.interval_ms;
}

/* ---- batch ---- */

static int print_text(struct top *top, bool first)
{
	int ret = top_lines_fill(&top->lines, top->model, &top->choice, BATCH_COLUMNS, 0);

	if (ret)
		return ret;
	if (!first)
		putchar('\n');
	for (size_t i = 0; i < top->lines.n; i++) {
		char *text = top->lines.lines[i].text;
		size_t len = strlen(text);

		while (len && text[len - 1] == ' ')
			len--;
		if (i && top->lines.lines[i].style == TOP_HEADING)
			putchar('\n');
		printf("%.*s\n", (int)len, text);
	}
	return 0;
}

static int print_json(const struct top *top)
{
	char *text = json_dumps(top->model->now, JSON_COMPACT | JSON_REAL_PRECISION(6));

	if (!text)
		return -ENOMEM;
	puts(text);
	free(text);
	return 0;
}

/* Rates need two samples: the first one is not printed. */
static int run_batch(struct top *top, const struct ctl *ctl, uint64_t count)
{
	int ret = top_model_sample(top->model);

	for (uint64_t i = 0; i < count && !ret && !stopped; i++) {
		top->next_ms = now_ms() + top->choice.interval_ms;
		while (!stopped && !wait_next(top, false))
			;
		if (stopped)
			break;
		ret = top_model_sample(top->model);
		if (!ret)
			ret = ctl->json ? print_json(top) : print_text(top, !i);
		if (fflush(stdout))
			ret = -EIO;
	}
	if (top->model->why[0])
		fprintf(stderr, "sluicectl: %s\n", top->model->why);
	return ret ? CTL_FAILED : CTL_OK;
}

/* ---- the terminal ---- */

static const struct {
	int attributes, color;
} styles[] = {
	[TOP_PLAIN] = { A_NORMAL, 0 },
	[TOP_HEADING] = { A_REVERSE, 0 },
	[TOP_BAD] = { A_BOLD, COLOR_RED },
	[TOP_DIM] = { A_DIM, 0 },
	[TOP_BAR] = { A_NORMAL, COLOR_CYAN },
};

static attr_t attributes_of(enum top_style style)
{
	attr_t attributes = (attr_t)styles[style].attributes;

	if (has_colors() && styles[style].color)
		attributes |= (attr_t)COLOR_PAIR(styles[style].color);
	return attributes;
}

static void draw(struct top *top)
{
	int height, width;

	getmaxyx(stdscr, height, width);
	if (top_lines_fill(&top->lines, top->model, &top->choice, width, height))
		return;
	erase();
	for (int y = 0; y < (int)top->lines.n && y < height; y++) {
		const struct top_line *line = &top->lines.lines[y];

		attrset(attributes_of(line->style));
		mvaddstr(y, 0, line->text);
		if (line->mark_columns)
			mvchgat(y, line->mark, line->mark_columns,
				attributes_of(line->style) ^ (A_REVERSE | A_BOLD), 0, NULL);
	}
	attrset(A_NORMAL);
	refresh();
}

static void change_interval(struct top *top, bool longer)
{
	unsigned *interval_ms = &top->choice.interval_ms;

	*interval_ms = longer ? *interval_ms * 2 : *interval_ms / 2;
	if (*interval_ms < INTERVAL_LEAST_MS)
		*interval_ms = INTERVAL_LEAST_MS;
	if (*interval_ms > INTERVAL_MOST_MS)
		*interval_ms = INTERVAL_MOST_MS;
	top->next_ms = now_ms() + *interval_ms;
}

static void show_view(struct top *top, int view)
{
	top->choice.view = (enum top_view)((view + TOP_VIEWS) % TOP_VIEWS);
	top->choice.scroll = 0;
	top->choice.help = false;
}

static void scroll_by(struct top *top, long rows)
{
	size_t *at = &top->choice.scroll;

	if (rows < 0 && (size_t)-rows > *at)
		*at = 0;
	else
		*at += (size_t)rows; /* too far is mended when it is drawn */
}

static void on_scroll_key(struct top *top, int key)
{
	long page = getmaxy(stdscr) > 8 ? getmaxy(stdscr) - 7 : 1;

	switch (key) {
	case KEY_UP:
		scroll_by(top, -1);
		break;
	case KEY_DOWN:
		scroll_by(top, 1);
		break;
	case KEY_PPAGE:
		scroll_by(top, -page);
		break;
	case KEY_NPAGE:
		scroll_by(top, page);
		break;
	case KEY_HOME:
		top->choice.scroll = 0;
		break;
	case KEY_END:
		top->choice.scroll = SIZE_MAX / 2;
		break;
	}
}

static void on_key(struct top *top, int key)
{
	struct top_choice *choice = &top->choice;

	if (key >= '0' && key < '0' + TOP_VIEWS) {
		show_view(top, key - '0');
		return;
	}
	switch (key) {
	case 'q':
	case 'Q':
		top->quit = true;
		break;
	case '\t':
		show_view(top, (int)choice->view + 1);
		break;
	case KEY_BTAB:
		show_view(top, (int)choice->view - 1);
		break;
	case '<':
	case KEY_LEFT:
	case '>':
	case KEY_RIGHT:
		if (choice->view != TOP_ALL)
			top_choice_sort(choice, key == '<' || key == KEY_LEFT ? -1 : 1);
		break;
	case 'r':
		choice->rising[choice->view] = !choice->rising[choice->view];
		break;
	case ' ':
		choice->paused = !choice->paused;
		break;
	case 'h':
	case '?':
		choice->help = !choice->help;
		break;
	case '+':
	case '-':
		change_interval(top, key == '-');
		break;
	case '\f':
		clearok(stdscr, TRUE);
		break;
	default:
		on_scroll_key(top, key);
	}
}

static void run_terminal(struct top *top)
{
	int key;

	while (!top->quit && !stopped) {
		draw(top);
		if (wait_next(top, true))
			sample(top);
		while (!stopped && (key = getch()) != ERR) /* KEY_RESIZE too: it is drawn anew */
			on_key(top, key);
	}
}

static int open_terminal(void)
{
	SCREEN *screen;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		fputs("sluicectl: top wants a terminal; for scripts: top --batch\n", stderr);
		return -1;
	}
	screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		const char *term = getenv("TERM");

		fprintf(stderr, "sluicectl: this terminal is not known (TERM=%s)\n",
			term ? term : "");
		return -1;
	}
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(25);
	curs_set(0);
	if (has_colors()) {
		start_color();
		use_default_colors();
		for (short color = 1; color < 8; color++)
			init_pair(color, color, -1);
	}
	return 0;
}

/* ---- the command ---- */

static int read_options(struct top *top, const struct ctl *ctl, uint64_t *count)
{
	uint64_t interval_ms = top->choice.interval_ms;
	struct listen listen = { .count = *count };

	if (duration_option(ctl, "interval", &interval_ms) || listen_options(ctl, &listen))
		return CTL_USAGE;
	if (interval_ms < INTERVAL_LEAST_MS || interval_ms > INTERVAL_MOST_MS) {
		fputs("sluicectl: --interval wants 100ms to 60s\n", stderr);
		return CTL_USAGE;
	}
	if (!ctl_has_option(ctl, "batch") && (ctl->json || ctl_has_option(ctl, "count"))) {
		fputs("sluicectl: --json and --count go with --batch\n", stderr);
		return CTL_USAGE;
	}
	top->choice.interval_ms = (unsigned)interval_ms;
	*count = listen.count;
	return CTL_OK;
}

int ctl_top(const struct ctl *ctl)
{
	struct top top = { .model = top_model_new(ctl) };
	uint64_t count = 1;
	int ret;

	setlocale(LC_CTYPE, "");
	top_choice_init(&top.choice);
	ret = read_options(&top, ctl, &count);
	if (ret || !top.model)
		goto out;
	catch_stops();
	ret = CTL_FAILED;
	if (ctl_has_option(ctl, "batch")) {
		ret = run_batch(&top, ctl, count);
	} else if (top_model_sample(top.model)) {
		fprintf(stderr, "sluicectl: %s\n", top.model->why);
	} else if (!open_terminal()) {
		top.next_ms = now_ms() + top.choice.interval_ms;
		run_terminal(&top);
		endwin();
		ret = CTL_OK;
	}
out:
	top_lines_done(&top.lines);
	top_model_free(top.model);
	return ret;
}
