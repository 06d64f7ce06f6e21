/* SPDX-License-Identifier: MIT */
/*
 * backends.c - sluicectl backends: every backend address, its health and its calls.
 */
#include "ctl/ctl.h"
#include "ctl/rows.h"
#include "ctl/table.h"

int ctl_backends(const struct ctl *ctl)
{
	static const struct table_column columns[] = {
		{ "GROUP", "group", TABLE_TEXT },
		{ "ADDRESS", "address", TABLE_TEXT },
		{ "HOST", "host", TABLE_TEXT },
		{ "WEIGHT", "weight", TABLE_ID },
		{ "HEALTH", "health", TABLE_TEXT },
		{ "SINCE", "health_seconds", TABLE_SECONDS },
		{ "NOTE", "note", TABLE_TEXT },
		{ "LAST-FAILURE", "last_failure_text", TABLE_TEXT },
		{ "ACTIVE", "active_rpcs", TABLE_NUMBER },
		{ "CONNECTIONS", "connections", TABLE_NUMBER },
		{ "CALLS", "calls", TABLE_NUMBER },
		{ "FAILURES", "failures", TABLE_NUMBER },
		{ "ID", "id", TABLE_ID },
		{ 0 },
	};

	return rows_print(ctl, "backends", columns,
			  "no backends (names that do not resolve have none)");
}
