/* SPDX-License-Identifier: MIT */
/*
 * rows.h - the way of every command that shows one list of the daemon's.
 */
#ifndef SLUICE_CTL_ROWS_H
#define SLUICE_CTL_ROWS_H

#include "ctl/ctl.h"
#include "ctl/table.h"

/* Asks for command, whose document has an array of the same name; prints it as a table, or the
 * document as it is with --json. empty: what to say on stderr where there are no rows. */
int rows_print(const struct ctl *ctl, const char *command, const struct table_column *columns,
	       const char *empty);

#endif
