/* SPDX-License-Identifier: MIT */
/*
 * groups.c - sluicectl groups: every group, how many of its backends are live, and its calls.
 */
#include "ctl/ctl.h"
#include "ctl/rows.h"
#include "ctl/table.h"

int ctl_groups(const struct ctl *ctl)
{
	static const struct table_column columns[] = {
		{ "NAME", "name", TABLE_TEXT },
		{ "BALANCE", "balance", TABLE_TEXT },
		{ "LIVE", "live", TABLE_NUMBER },
		{ "TOTAL", "total", TABLE_NUMBER },
		{ "SERVES", "serves", TABLE_TEXT },
		{ "WEIGHT", "weight", TABLE_NUMBER },
		{ "LIVE-WEIGHT", "weight_live", TABLE_NUMBER },
		{ "EJECTED", "ejected", TABLE_NUMBER },
		{ "DRAINED", "drained", TABLE_NUMBER },
		{ "ON-ALL-DOWN", "on_all_down", TABLE_TEXT },
		{ "OVERFLOWS", "overflows", TABLE_NUMBER },
		{ "PENDING", "pending", TABLE_NUMBER },
		{ "ACTIVE", "active_rpcs", TABLE_NUMBER },
		{ "CALLS", "calls", TABLE_NUMBER },
		{ "ID", "id", TABLE_ID },
		{ 0 },
	};

	return rows_print(ctl, "groups", columns, "no groups");
}
