/* SPDX-License-Identifier: MIT */
/*
 * change.c - sluicectl drain, undrain, weight, health: changes of one backend that hold until they
 * are taken back. Each waits until it is in force in every worker.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/duration.h"

/* Takes request over. done: what to say of it. */
static int change(const struct ctl *ctl, json_t *request, const char *done)
{
	char *text = NULL;
	json_t *document = client_request(ctl, request, &text);
	bool ok = json_is_true(json_object_get(document, "ok"));
	json_int_t revision = json_integer_value(json_object_get(document, "revision"));
	const char *error = json_string_value(json_object_get(document, "error"));

	if (!document)
		return CTL_FAILED;
	if (ctl->json)
		fputs(text, stdout);
	else if (ok)
		printf("%s of group %s: %s, revision %lld is in force\n", ctl->arguments[1],
		       ctl->arguments[0], done, (long long)revision);
	else
		fprintf(stderr, "sluicectl: %s\n", error ? error : "refused, no reason given");
	json_decref(document);
	free(text);
	return ok ? CTL_OK : CTL_FAILED;
}

static json_t *request_for(const struct ctl *ctl, const char *command)
{
	return json_pack("{s:s, s:s, s:s}", "command", command, "group", ctl->arguments[0],
			 "backend", ctl->arguments[1]);
}

int ctl_drain(const struct ctl *ctl)
{
	const char *after = ctl_option(ctl, "for");
	uint64_t ms = 0;
	char done[128];
	json_t *request;

	if (!strcmp(ctl->arguments[0], "listener")) {
		if (after) {
			fputs("sluicectl: a listener's calls are not cut: --for is for backends\n",
			      stderr);
			return CTL_USAGE;
		}
		return ctl_listener_drain(ctl, true);
	}
	if (duration_option(ctl, "for", &ms))
		return CTL_USAGE;
	request = request_for(ctl, "drain");
	if (after)
		json_object_set_new(request, "for_ms", json_integer((json_int_t)ms));
	snprintf(done, sizeof(done), after ? "drained, running calls are cut after %s" : "drained",
		 after);
	return change(ctl, request, done);
}

int ctl_undrain(const struct ctl *ctl)
{
	if (!strcmp(ctl->arguments[0], "listener"))
		return ctl_listener_drain(ctl, false);
	return change(ctl, request_for(ctl, "undrain"), "not drained");
}

int ctl_weight(const struct ctl *ctl)
{
	const char *text = ctl->arguments[2];
	json_t *request;
	char *end, done[64];
	long weight = strtol(text, &end, 10);
	bool file = !strcmp(text, "file");

	if (!file && (*text < '0' || *text > '9' || *end || weight > 100)) {
		fprintf(stderr, "sluicectl: a weight is a whole number from 0 to 100, or \"file\" for "
			"what the file says, not \"%s\"\n", text);
		return CTL_USAGE;
	}
	request = request_for(ctl, "weight");
	json_object_set_new(request, "weight", file ? json_string("file") : json_integer(weight));
	snprintf(done, sizeof(done), file ? "weight as in the file" : "weight %ld", weight);
	return change(ctl, request, done);
}

int ctl_health(const struct ctl *ctl)
{
	const char *word = ctl->arguments[2];
	bool known = !strcmp(word, "up") || !strcmp(word, "down") || !strcmp(word, "auto");
	json_t *request;
	char done[64];

	if (!known) {
		fprintf(stderr, "sluicectl: health is up, down or auto, not \"%s\"\n", word);
		return CTL_USAGE;
	}
	request = request_for(ctl, "health");
	json_object_set_new(request, "health", json_string(word));
	snprintf(done, sizeof(done), strcmp(word, "auto") ? "health forced %s" :
							    "health as the checks have it%.0s",
		 word);
	return change(ctl, request, done);
}
