/* SPDX-License-Identifier: MIT */
/*
 * reload.c - sluicectl reload: has the daemon read its file anew, and waits for the outcome.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ctl/client.h"
#include "ctl/ctl.h"

int ctl_reload(const struct ctl *ctl)
{
	char *text = NULL;
	json_t *document = client_ask(ctl, "reload", &text);
	bool ok = json_is_true(json_object_get(document, "ok"));
	json_int_t revision = json_integer_value(json_object_get(document, "revision"));
	const char *kept_text = json_string_value(json_object_get(document, "kept"));
	const char *kept = kept_text ? kept_text : "";
	const char *error = json_string_value(json_object_get(document, "error"));

	if (!document)
		return CTL_FAILED;
	if (ctl->json)
		fputs(text, stdout);
	else if (ok)
		printf("reloaded: revision %lld is in force\n%s%s%s", (long long)revision,
		       *kept ? "unchanged until a restart: " : "", kept, *kept ? "\n" : "");
	else
		fprintf(stderr, "sluicectl: refused, revision %lld stays in force:\n%s\n",
			(long long)revision, error ? error : "no reason given");
	json_decref(document);
	free(text);
	return ok ? CTL_OK : CTL_FAILED;
}
