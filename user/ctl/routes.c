/* SPDX-License-Identifier: MIT */
/*
 * routes.c - sluicectl routes: every listener's routes in the order in which they are tried, where
 * each leads, and its calls.
 */
#include "ctl/ctl.h"
#include "ctl/rows.h"
#include "ctl/table.h"

int ctl_routes(const struct ctl *ctl)
{
	static const struct table_column columns[] = {
		{ "LISTENER", "listener", TABLE_TEXT },
		{ "ROUTE", "name", TABLE_TEXT },
		{ "MATCH", "match", TABLE_TEXT },
		{ "TO", "to", TABLE_TEXT },
		{ "CALLS", "calls", TABLE_NUMBER },
		{ "ACTIVE", "active_rpcs", TABLE_NUMBER },
		{ "LIMITED", "limited", TABLE_NUMBER },
		{ "RETRIES", "retries", TABLE_NUMBER },
		{ "MIRRORED", "mirrored", TABLE_NUMBER },
		{ 0 },
	};

	return rows_print(ctl, "routes", columns, "no routes");
}
