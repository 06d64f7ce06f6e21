/* SPDX-License-Identifier: MIT */
/*
 * listener_drain.c - sluicectl drain listener NAME, undrain listener NAME. Called by change.c, whose
 * commands have the same shape for backends.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ctl/client.h"
#include "ctl/ctl.h"

int ctl_listener_drain(const struct ctl *ctl, bool drain)
{
	const char *name = ctl->arguments[1];
	char *text = NULL;
	json_t *document = client_request(
		ctl, json_pack("{s:s, s:s}", "command", drain ? "drain-listener" : "undrain-listener",
			       "listener", name), &text);

	if (!document)
		return CTL_FAILED;
	if (ctl->json)
		fputs(text, stdout);
	else if (drain)
		printf("listener %s: drained: no new connections, those it has finish their calls\n",
		       name);
	else
		printf("listener %s: accepts connections\n", name);
	json_decref(document);
	free(text);
	return CTL_OK;
}
