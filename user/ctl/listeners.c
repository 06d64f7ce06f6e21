/* SPDX-License-Identifier: MIT */
/*
 * listeners.c - sluicectl listeners: what is listened on, and what the gate did with new connections there.
 */
#include "ctl/ctl.h"
#include "ctl/rows.h"
#include "ctl/table.h"

int ctl_listeners(const struct ctl *ctl)
{
	static const struct table_column columns[] = {
		{ "NAME", "name", TABLE_TEXT },
		{ "ADDRESS", "address", TABLE_TEXT },
		{ "GROUP", "group", TABLE_TEXT },
		{ "STATE", "state", TABLE_TEXT },
		{ "ID", "id", TABLE_ID },
		{ "SYNS", "syns", TABLE_NUMBER },
		{ "PASSED", "passed", TABLE_NUMBER },
		{ "DENIED", "denied", TABLE_NUMBER },
		{ "SOURCE-LIMIT", "source_limited", TABLE_NUMBER },
		{ "LISTENER-LIMIT", "listener_limited", TABLE_NUMBER },
		{ "PENALIZED", "penalized", TABLE_NUMBER },
		{ "SOURCE-FULL", "source_full", TABLE_NUMBER },
		{ "COOKIES", "cookies", TABLE_NUMBER },
		{ "COOKIES-BACK", "cookies_back", TABLE_NUMBER },
		{ "ALL-DOWN", "all_down", TABLE_NUMBER },
		{ "PICKED", "picked", TABLE_NUMBER },
		{ "FALLBACK", "pick_fallback", TABLE_NUMBER },
		{ 0 },
	};

	return rows_print(ctl, "listeners", columns, "no listeners");
}
