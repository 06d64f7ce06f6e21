/* SPDX-License-Identifier: MIT */
/*
 * control_penalties.c - see control_penalties.h. Called by control.c and control_answer.c. Decides
 * nothing: penalties.c does.
 */
#include "control/control_penalties.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/supervisor.h"
#include "shared/sources.h"

#define FOR_MAX_MS (7ull * 24 * 3600 * 1000)

static json_t *error(const char *text)
{
	return json_pack("{s:s}", "error", text);
}

static json_t *done(const struct supervisor *supervisor, const struct addr *addr)
{
	char text[ADDR_TEXT_MAX];
	uint32_t source[4];

	source_of_addr(&supervisor->state, addr, source);
	return json_pack("{s:b, s:s}", "ok", 1, "source",
			 source_format(&supervisor->state, source, text, sizeof(text)));
}

bool control_penalties_is(const char *command)
{
	return !strcmp(command, "penalize") || !strcmp(command, "pardon");
}

static json_t *penalize(struct supervisor *supervisor, const json_t *request,
			const struct addr *addr)
{
	const char *level = json_string_value(json_object_get(request, "level"));
	const json_t *for_ms = json_object_get(request, "for_ms");
	json_int_t ms = json_integer_value(for_ms);
	int err;

	if (json_object_size(request) != 4 || !json_is_integer(for_ms) || ms < 1 ||
	    (uint64_t)ms > FOR_MAX_MS)
		return error("penalize wants \"source\", \"level\" and \"for_ms\", up to a week");
	if (!level || (strcmp(level, "connections") && strcmp(level, "packets")))
		return error("level wants connections or packets");
	err = penalties_penalize(&supervisor->penalties, addr, (uint64_t)ms * NS_PER_MS,
				 strcmp(level, "packets") ? SLUICE_PENALTY_CONNECTIONS :
							    SLUICE_PENALTY_PACKETS);
	if (err == -EPERM)
		return error("kernel.penalties.never has this source");
	return err ? error(strerror(-err)) : done(supervisor, addr);
}

static json_t *pardon(struct supervisor *supervisor, const struct addr *addr)
{
	int err = penalties_pardon(&supervisor->penalties, addr);

	if (err == -ENOENT)
		return error("this source is under no penalty; what was held against it is forgotten");
	return err ? error(strerror(-err)) : done(supervisor, addr);
}

json_t *control_penalties(struct supervisor *supervisor, const json_t *request)
{
	const char *command = json_string_value(json_object_get(request, "command"));
	const char *source = json_string_value(json_object_get(request, "source"));
	bool pardons = !strcmp(command, "pardon");
	struct addr addr;

	if (pardons && json_object_size(request) != 2)
		return error("pardon wants a \"source\"");
	if (pardons && source && !strcmp(source, "all"))
		return json_pack("{s:b, s:I}", "ok", 1, "pardoned",
				 (json_int_t)penalties_pardon_all(&supervisor->penalties));
	if (!source || addr_from_ip(&addr, source, 0))
		return error("source wants an IP address");
	return pardons ? pardon(supervisor, &addr) : penalize(supervisor, request, &addr);
}

static json_t *row_of(const struct supervisor *supervisor, const struct penalty *penalty)
{
	uint64_t now_ns = loop_now(&supervisor->loop);
	char text[ADDR_TEXT_MAX];

	return json_pack("{s:s, s:s, s:s, s:f, s:f, s:i, s:I}", "source",
			 source_format(&supervisor->state, penalty->source, text, sizeof(text)),
			 "level", source_level_name(penalty->level), "reason",
			 source_evidence_name(penalty->reason), "since_seconds",
			 now_ns > penalty->since_ns ? (double)(now_ns - penalty->since_ns) / 1e9 : 0,
			 "left_seconds",
			 penalty->until_ns > now_ns ? (double)(penalty->until_ns - now_ns) / 1e9 : 0,
			 "count", (int)penalty->count, "dropped",
			 (json_int_t)penalties_dropped(&supervisor->penalties, penalty));
}

/* What one answer holds; who wants more sees in "penalties_total" that there is. */
#define ROWS_MAX 10000

json_t *control_penalties_rows(const struct supervisor *supervisor)
{
	const struct penalties *penalties = &supervisor->penalties;
	json_t *rows = json_array();

	for (uint32_t i = 0; i < penalties->n && i < ROWS_MAX; i++)
		if (penalties->rows[i].until_ns > loop_now(&supervisor->loop))
			json_array_append_new(rows, row_of(supervisor, &penalties->rows[i]));
	return json_pack("{s:o, s:i, s:i}", "penalties", rows, "penalties_total", (int)penalties->n,
			 "penalties_max", PENALTIES_MAX);
}

/* ---- sources ---- */

#define SOURCES_SHOWN 100

/* What makes one worth showing: connections first, then what is held against it. */
static uint64_t weight_of(const struct sluice_source_state *source)
{
	return (uint64_t)state_load32(&source->connections) << 32 | state_load32(&source->points);
}

static int heavier_first(const void *a, const void *b)
{
	const struct sluice_source_state *left = a, *right = b;
	uint64_t x = weight_of(left), y = weight_of(right);

	return x < y ? 1 : x > y ? -1 : memcmp(left->address, right->address, 16);
}

/* The heaviest, sorted. Returns how many. */
static size_t heaviest(const struct state *state, struct sluice_source_state *top, size_t max)
{
	size_t n = 0;

	for (uint32_t row = 0; row < SOURCES_MAX; row++) {
		const struct sluice_source_state *source = source_at(state, row);

		if (!weight_of(source) ||
		    (n == max && weight_of(source) <= weight_of(&top[max - 1])))
			continue;
		top[n < max ? n++ : max - 1] = *source;
		if (n == max)
			qsort(top, n, sizeof(*top), heavier_first);
	}
	qsort(top, n, sizeof(*top), heavier_first);
	return n;
}

static json_t *source_row(const struct supervisor *supervisor,
			  const struct sluice_source_state *source)
{
	uint64_t now_ns = loop_now(&supervisor->loop);
	char text[ADDR_TEXT_MAX];
	uint32_t points, good;

	source_weigh(source, &supervisor->current.config->kernel.penalties, now_ns, &points, &good);
	return json_pack("{s:s, s:i, s:I, s:I, s:s, s:i, s:b, s:f}", "source",
			 source_format(&supervisor->state, source->address, text, sizeof(text)),
			 "connections", (int)source->connections, "points",
			 (json_int_t)points, "good", (json_int_t)good, "reason",
			 source_evidence_name((enum sluice_evidence)source->reason), "penalties",
			 (int)source->penalty_count, "penalized",
			 source_is_penalized(source, now_ns), "seen_seconds",
			 now_ns > source->seen_ns ? (double)(now_ns - source->seen_ns) / 1e9 : 0);
}

json_t *control_source_rows(const struct supervisor *supervisor)
{
	struct sluice_source_state *top = calloc(SOURCES_SHOWN, sizeof(*top));
	json_t *rows = json_array();
	size_t n = top ? heaviest(&supervisor->state, top, SOURCES_SHOWN) : 0;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(rows, source_row(supervisor, &top[i]));
	free(top);
	return json_pack("{s:o, s:i, s:i}", "sources", rows, "sources_total",
			 (int)sources_used(&supervisor->state), "sources_max", SOURCES_MAX);
}

json_t *control_penalties_status(const struct supervisor *supervisor)
{
	const struct penalties *penalties = &supervisor->penalties;
	json_t *given = json_object();

	for (int i = SLUICE_EVIDENCE_NONE + 1; i < SLUICE_EVIDENCE_MAX; i++)
		json_object_set_new(given, source_evidence_name(i),
				    json_integer((json_int_t)penalties->given[i]));
	return json_pack("{s:b, s:i, s:i, s:o, s:I, s:i, s:i}", "enabled",
			 supervisor->current.config->kernel.penalties.enabled, "active",
			 (int)penalties->n, "max", PENALTIES_MAX, "given", given, "pushed_out",
			 (json_int_t)penalties->pushed_out, "sources",
			 (int)sources_used(&supervisor->state), "sources_max", SOURCES_MAX);
}
