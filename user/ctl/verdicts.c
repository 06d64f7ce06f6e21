/* SPDX-License-Identifier: MIT */
/*
 * verdicts.c - sluicectl verdicts: what the XDP gate did, packet by packet.
 */
#include "ctl/ctl.h"
#include "ctl/rows.h"
#include "ctl/table.h"

int ctl_verdicts(const struct ctl *ctl)
{
	static const struct table_column columns[] = {
		{ "VERDICT", "verdict", TABLE_TEXT },
		{ "PACKETS", "packets", TABLE_NUMBER },
		{ "BYTES", "bytes", TABLE_BYTES },
		{ "MEANING", "meaning", TABLE_TEXT },
		{ 0 },
	};

	return rows_print(ctl, "verdicts", columns,
			  "no verdicts: the kernel side is off (see sluicectl status)");
}
