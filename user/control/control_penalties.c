/* SPDX-License-Identifier: MIT */
/*
 * control_penalties.c - see control_penalties.h. Called by control.c and control_answer.c. Decides
 * nothing: penalties.c does.
 */
#include "control/control_penalties.h"

#include <errno.h>
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
