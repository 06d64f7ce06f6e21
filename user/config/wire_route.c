/* SPDX-License-Identifier: MIT */
/*
 * wire_route.c - see wire_base.h: a route in flat bytes. Whether the groups it names exist is seen
 * in wire.c, when all are there.
 */
#include "config/wire_base.h"

static void wire_path(struct wire *wire, struct config_path *path)
{
	WIRE_ENUM(wire, path->match, PATH_REGEX + 1);
	wire_some_text(wire, &path->text);
}

static void wire_condition(struct wire *wire, struct config_metadata_condition *condition)
{
	wire_some_text(wire, &condition->key);
	WIRE_ENUM(wire, condition->match, METADATA_REGEX + 1);
	wire_texts(wire, &condition->values);
	wire_place(wire, &condition->place);
}

static void wire_match(struct wire *wire, struct config_match *match)
{
	size_t n;

	wire_texts(wire, &match->hosts);
	n = wire_array(wire, &match->paths, &match->n_paths, sizeof(*match->paths), BOUNDS_TEXTS);
	for (size_t i = 0; i < n && !wire->failed; i++)
		wire_path(wire, &match->paths[i]);
	n = wire_array(wire, &match->metadata, &match->n_metadata, sizeof(*match->metadata),
		       BOUNDS_CONDITIONS);
	for (size_t i = 0; i < n && !wire->failed; i++)
		wire_condition(wire, &match->metadata[i]);
	n = wire_array(wire, &match->sources, &match->n_sources, sizeof(*match->sources),
		       BOUNDS_SOURCES);
	for (size_t i = 0; i < n && !wire->failed; i++)
		wire_prefix(wire, &match->sources[i]);
	wire_texts(wire, &match->snis);
	wire_texts(wire, &match->sans);
}

static void wire_edits(struct wire *wire, struct config_edits *edits)
{
	size_t n = wire_array(wire, &edits->items, &edits->n, sizeof(*edits->items), BOUNDS_EDITS);

	for (size_t i = 0; i < n && !wire->failed; i++) {
		struct config_edit *edit = &edits->items[i];

		WIRE_ENUM(wire, edit->op, EDIT_REMOVE + 1);
		wire_some_text(wire, &edit->key);
		wire_text(wire, &edit->value);
		if ((edit->op == EDIT_REMOVE) != !edit->value)
			wire->failed = true;
		wire_place(wire, &edit->place);
	}
}

static void wire_retry(struct wire *wire, struct config_retry *retry)
{
	wire_u32(wire, &retry->codes);
	wire_bool(wire, &retry->on_reset);
	retry->attempts = wire_below(wire, retry->attempts, BOUNDS_ATTEMPTS + 1);
	wire_u32(wire, &retry->per_try_timeout_ms);
	wire_u32(wire, &retry->backoff_base_ms);
	wire_u32(wire, &retry->backoff_max_ms);
	retry->budget_percent = wire_below(wire, retry->budget_percent, 101);
	wire_u32(wire, &retry->budget_floor);
}

/* Splits, or a fixed status. */
static void wire_action(struct wire *wire, struct config_route *route)
{
	uint32_t status = (uint32_t)(route->status + 1);
	size_t n = wire_array(wire, &route->splits, &route->n_splits, sizeof(*route->splits),
			      BOUNDS_SPLITS);

	for (size_t i = 0; i < n && !wire->failed; i++) {
		wire_u32(wire, &route->splits[i].group);
		wire_u32(wire, &route->splits[i].weight);
	}
	wire_key(wire, &route->sticky);
	route->status = (int)wire_below(wire, status, 18) - 1;
	wire_text(wire, &route->message);
	if (!wire->failed && !n != (route->status >= 0))
		wire->failed = true;
	if (route->status >= 0 && !route->message)
		wire->failed = true;
	wire_u32(wire, &route->mirror_group);
	route->mirror_permyriad = wire_below(wire, route->mirror_permyriad, 10001);
}

void wire_route(struct wire *wire, struct config_route *route)
{
	route->id = wire_below(wire, route->id, SLUICE_MAX_ROUTES);
	wire_some_text(wire, &route->name);
	wire_match(wire, &route->match);
	wire_action(wire, route);
	wire_edits(wire, &route->request);
	wire_edits(wire, &route->response);
	wire_text(wire, &route->rewrite_authority);
	wire_text(wire, &route->rewrite_prefix);
	wire_text(wire, &route->rewrite_to);
	if (!route->rewrite_prefix != !route->rewrite_to)
		wire->failed = true;
	wire_rate(wire, &route->calls);
	wire_key(wire, &route->calls_key);
	wire_u32(wire, &route->max_calls);
	wire_u32(wire, &route->default_timeout_ms);
	wire_u32(wire, &route->max_timeout_ms);
	wire_u32(wire, &route->idle_timeout_ms);
	wire_u32(wire, &route->max_age_ms);
	wire_retry(wire, &route->retry);
	wire_place(wire, &route->place);
}
