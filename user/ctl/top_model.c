/* SPDX-License-Identifier: MIT */
/*
 * top_model.c - see top_model.h. Called by top.c once an interval.
 */
#include "ctl/top_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS_MAX 12

/* An answer of the daemon's: its command, which holds an array of the same name, what makes a row the
 * same row as before, and what of it rises. */
static const struct answer {
	const char *name;
	const char *identity[3];
	const char *counters[KEYS_MAX];
} answers[] = {
	{ "verdicts", { "verdict" }, { "packets", "bytes" } },
	{ "listeners", { "name" },
	  { "packets", "syns", "passed", "denied", "source_limited", "listener_limited", "all_down",
	    "penalized", "source_full", "cookies", "cookies_back" } },
	{ "groups", { "name" }, { "calls", "overflows" } },
	{ "backends", { "group", "address" }, { "calls", "failures" } },
	{ "workers", { "slot", "pid" }, { "calls", "calls_failed", "accepted", "handshakes" } },
	{ "penalties", { "source" }, { "dropped" } },
	{ "sources", { "source" }, { 0 } },
};
#define ANSWERS (sizeof(answers) / sizeof(answers[0]))

static int on_event(void *context, const json_t *event, const char *line)
{
	struct top_model *model = context;
	const char *source = json_string_value(json_object_get(event, "source"));
	const char *reason = json_string_value(json_object_get(event, "reason"));

	if (source)
		top_sources_add(&model->sources, source, listen_reason(reason));
	return 0;
}

struct top_model *top_model_new(const struct ctl *ctl)
{
	struct top_model *model = calloc(1, sizeof(*model));

	if (!model)
		return NULL;
	model->ctl = ctl;
	model->listen.mask = top_sources_mask();
	model->listen.on_event = on_event;
	model->listen.context = model;
	return model;
}

void top_model_free(struct top_model *model)
{
	if (!model)
		return;
	listen_stop(model->reader);
	json_decref(model->now);
	free(model);
}

int top_model_fd(const struct top_model *model)
{
	return model->reader ? listen_fd(model->reader) : -1;
}

void top_model_on_readable(struct top_model *model)
{
	if (!listen_read(model->reader))
		return;
	listen_stop(model->reader);
	model->reader = NULL;
}

const json_t *top_model_rows(const struct top_model *model, const char *name)
{
	static const json_t *none;
	const json_t *rows = json_object_get(model->now, name);

	if (!none)
		none = json_array();
	return rows ? rows : none;
}

/* ---- rates ---- */

/* Rows by what identifies them, borrowed. */
static void identify(const json_t *row, const struct answer *answer, char *text, size_t size)
{
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < 3 && answer->identity[i] && len < size; i++) {
		const json_t *value = json_object_get(row, answer->identity[i]);

		if (json_is_string(value))
			len += (size_t)snprintf(text + len, size - len, "%s\n",
						json_string_value(value));
		else
			len += (size_t)snprintf(text + len, size - len, "%lld\n",
						(long long)json_integer_value(value));
	}
}

static json_t *index_rows(const json_t *rows, const struct answer *answer)
{
	json_t *index = json_object();
	char text[256];

	for (size_t i = 0; i < json_array_size(rows); i++) {
		identify(json_array_get(rows, i), answer, text, sizeof(text));
		json_object_set_nocheck(index, text, json_array_get(rows, i));
	}
	return index;
}

static void add_rates(json_t *rows, const json_t *before, const struct answer *answer,
		      double seconds)
{
	json_t *index = index_rows(before, answer);
	char text[256];

	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_t *row = json_array_get(rows, i);

		identify(row, answer, text, sizeof(text));
		const json_t *old = json_object_get(index, text);

		for (size_t k = 0; k < KEYS_MAX && answer->counters[k]; k++) {
			const char *key = answer->counters[k];
			json_int_t value = json_integer_value(json_object_get(row, key));
			json_int_t was = json_integer_value(json_object_get(old, key));
			bool rose = old && seconds > 0 && value > was;
			char name[64];

			if (!json_object_get(row, key)) /* without BPF */
				continue;
			snprintf(name, sizeof(name), "%s_per_second", key);
			json_object_set_new(row, name,
					    json_real(rose ? (double)(value - was) / seconds : 0));
		}
	}
	json_decref(index);
}

static double rate_of(const json_t *row, const char *key)
{
	return json_number_value(json_object_get(row, key));
}

/* What was dropped of what came for a listener, in one number. */
static void add_drops(json_t *listeners)
{
	static const char *const keys[] = {
		"denied_per_second",	   "source_limited_per_second",
		"listener_limited_per_second", "all_down_per_second",
		"penalized_per_second",	   "source_full_per_second",
	};

	for (size_t i = 0; i < json_array_size(listeners); i++) {
		json_t *row = json_array_get(listeners, i);
		double sum = 0;

		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			sum += rate_of(row, keys[k]);
		if (json_object_get(row, "syns"))
			json_object_set_new(row, "dropped_per_second", json_real(sum));
	}
}

/* What the workers know of a source, beside what the gate does with it where that has a row. */
static void add_connected(json_t *rows, const json_t *connected)
{
	json_t *index = json_object();

	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_t *row = json_array_get(rows, i);

		json_object_set_nocheck(index, json_string_value(json_object_get(row, "source")), row);
	}
	for (size_t i = 0; i < json_array_size(connected); i++) {
		const json_t *source = json_array_get(connected, i);
		const char *name = json_string_value(json_object_get(source, "source"));
		json_t *row = name ? json_object_get(index, name) : NULL;

		if (!row) {
			row = json_pack("{s:O, s:O}", "source", json_object_get(source, "source"),
					"why", json_object_get(source, "reason"));
			json_array_append_new(rows, row);
		}
		json_object_set(row, "connections", json_object_get(source, "connections"));
		json_object_set(row, "points", json_object_get(source, "points"));
	}
	json_decref(index);
}

/* Sources: those that the gate drops, as the sample has it, those under a penalty, and those with most
 * connections. */
static json_t *source_rows(struct top_model *model, const json_t *verdicts,
			   const json_t *penalties, const json_t *connected, double seconds)
{
	double rates[VERDICT_MAX] = { 0 };
	json_t *rows = json_array();

	for (size_t i = 0; i < json_array_size(verdicts); i++) {
		const json_t *row = json_array_get(verdicts, i);
		unsigned reason =
			listen_reason(json_string_value(json_object_get(row, "verdict")));

		if (reason < VERDICT_MAX)
			rates[reason] = rate_of(row, "packets_per_second");
	}
	top_sources_turn(&model->sources, rates, seconds > 0 ? seconds : 1);
	for (size_t i = 0; i < json_array_size(penalties); i++) {
		const json_t *row = json_array_get(penalties, i);
		json_t *why = json_sprintf(
			"penalty (%s): %s", json_string_value(json_object_get(row, "level")),
			json_string_value(json_object_get(row, "reason")));

		json_array_append_new(
			rows, json_pack("{s:O, s:o, s:f, s:O, s:O}", "source",
					json_object_get(row, "source"), "why", why, "per_second",
					rate_of(row, "dropped_per_second"), "total",
					json_object_get(row, "dropped"), "left_seconds",
					json_object_get(row, "left_seconds")));
	}
	top_sources_rows(&model->sources, rows);
	add_connected(rows, connected);
	return rows;
}

/* ---- a sample ---- */

static uint64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static json_t *ask(struct top_model *model, const char *command)
{
	return client_try(model->ctl, json_pack("{s:s}", "command", command), NULL, model->why);
}

/* The daemon's answers without rates, or NULL with why. */
static json_t *ask_all(struct top_model *model)
{
	json_t *all = json_object(), *status = ask(model, "status");

	json_object_set_new(all, "status", status);
	for (size_t i = 0; status && i < ANSWERS; i++) {
		json_t *answer = ask(model, answers[i].name);

		if (!answer) {
			json_decref(all);
			return NULL;
		}
		json_object_set(all, answers[i].name, json_object_get(answer, answers[i].name));
		json_decref(answer);
	}
	if (!status) {
		json_decref(all);
		return NULL;
	}
	return all;
}

static void listen_again(struct top_model *model)
{
	bool kernel = !strcmp(json_string_value(json_object_get(
				      json_object_get(json_object_get(model->now, "status"),
						      "kernel"), "mode")) ?: "", "on");

	if (!model->reader && kernel)
		model->reader = listen_start(model->ctl, &model->listen);
}

int top_model_sample(struct top_model *model)
{
	uint64_t now_ms = clock_ms();
	double seconds = model->now ? (double)(now_ms - model->now_ms) / 1000 : 0;
	json_t *all;

	model->why[0] = '\0';
	all = ask_all(model);
	if (!all)
		return -1;
	for (size_t i = 0; i < ANSWERS; i++)
		add_rates(json_object_get(all, answers[i].name),
			  json_object_get(model->now, answers[i].name), &answers[i], seconds);
	add_drops(json_object_get(all, "listeners"));
	json_object_set_new(all, "sources",
			    source_rows(model, json_object_get(all, "verdicts"),
					json_object_get(all, "penalties"),
					json_object_get(all, "sources"), seconds));
	json_decref(model->now);
	model->now = all;
	model->now_ms = now_ms;
	listen_again(model);
	return 0;
}
