/* SPDX-License-Identifier: MIT */
/*
 * rows.c - see rows.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ctl/client.h"
#include "ctl/rows.h"

int rows_print(const struct ctl *ctl, const char *command, const struct table_column *columns,
	       const char *empty)
{
	char *text = NULL;
	json_t *document = client_ask(ctl, command, &text);
	const json_t *rows = json_object_get(document, command);
	int ret = CTL_OK;

	if (!document)
		return CTL_FAILED;
	if (ctl->json)
		fputs(text, stdout);
	else if (!json_array_size(rows))
		fprintf(stderr, "%s\n", empty);
	else if (table_print(rows, columns))
		ret = CTL_FAILED;
	json_decref(document);
	free(text);
	return ret;
}
