/* SPDX-License-Identifier: MIT */
/*
 * workers.c - sluicectl workers: every worker slot, what it has open and what it has done.
 */
#include "ctl/ctl.h"
#include "ctl/rows.h"
#include "ctl/table.h"

int ctl_workers(const struct ctl *ctl)
{
	static const struct table_column columns[] = {
		{ "SLOT", "slot", TABLE_ID },
		{ "PID", "pid", TABLE_ID },
		{ "STATE", "state", TABLE_TEXT },
		{ "UP", "up_seconds", TABLE_SECONDS },
		{ "HEARTBEAT", "heartbeat_age_seconds", TABLE_SECONDS },
		{ "RESTARTS", "restarts", TABLE_ID },
		{ "CONNECTIONS", "connections", TABLE_NUMBER },
		{ "ACTIVE", "active_rpcs", TABLE_NUMBER },
		{ "ACCEPTED", "accepted", TABLE_NUMBER },
		{ "HANDSHAKES", "handshakes", TABLE_NUMBER },
		{ "TLS-FAILED", "handshakes_failed", TABLE_NUMBER },
		{ "CALLS", "calls", TABLE_NUMBER },
		{ "FAILED", "calls_failed", TABLE_NUMBER },
		{ "REPLAYS", "replays", TABLE_NUMBER },
		{ "BUFFERED", "buffered_bytes", TABLE_BYTES },
		{ 0 },
	};

	return rows_print(ctl, "workers", columns, "no workers");
}
