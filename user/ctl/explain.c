/* SPDX-License-Identifier: MIT */
/*
 * explain.c - sluicectl explain: what the XDP gate does with a packet, and why. The daemon runs its own
 * program on it; here its account is put into sentences.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/format.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static unsigned long long number_of(const json_t *object, const char *key)
{
	return (unsigned long long)json_integer_value(json_object_get(object, key));
}

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static bool is_null(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return !value || json_is_null(value);
}

static const char *seconds_of(const json_t *object, const char *key, char *text)
{
	return format_seconds(json_number_value(json_object_get(object, key)), text, FORMAT_MAX);
}

static void print_listener(const json_t *step)
{
	if (is_true(step, "found")) {
		printf("%s, %s%s", *text_of(step, "name") ? text_of(step, "name") : "not of this config",
		       text_of(step, "address"),
		       is_true(step, "drained") ? "; drained by command, so its sockets drop SYNs" : "");
		return;
	}
	printf("none on this address and port%s", is_true(step, "address_of_a_listener") ?
						   "; the address is a listener's" : "");
}

static void print_list(const char *name, const json_t *list)
{
	char left[FORMAT_MAX];

	printf("%s list: ", name);
	if (!is_null(list, "entry")) {
		printf("%s %s (by %s", text_of(list, "action"), text_of(list, "entry"),
		       text_of(list, "origin"));
		if (!is_null(list, "expires_seconds"))
			printf(", for %s more", seconds_of(list, "expires_seconds", left));
		putchar(')');
	} else if (is_true(list, "empty")) {
		printf("empty");
	} else {
		printf("no entry matches%s",
		       is_true(list, "allow_list") ? ", and who is not allowed is denied" : "");
	}
}

static void print_acl(const json_t *step)
{
	const char *decides = text_of(step, "decides"), *result = text_of(step, "result");

	printf("%s", strcmp(result, "not_allowed") ? result : "denied, since no entry allows it");
	if (strcmp(decides, "none"))
		printf(" by the %s list", strcmp(decides, "own") ? "global" : "listener's own");
	printf("; ");
	print_list("global", json_object_get(step, "global"));
	if (!is_null(step, "own")) {
		printf("; ");
		print_list("own", json_object_get(step, "own"));
	}
}

static void print_penalty(const json_t *step)
{
	char left[FORMAT_MAX];

	if (is_null(step, "level")) {
		printf("none for %s", text_of(step, "source"));
		return;
	}
	printf("level %s for %s, reason %s, %s left", text_of(step, "level"), text_of(step, "source"),
	       text_of(step, "reason"), seconds_of(step, "left_seconds", left));
}

static void print_group(const json_t *step)
{
	printf("%s: %llu of %llu backends live", text_of(step, "name"), number_of(step, "live"),
	       number_of(step, "total"));
	if (!number_of(step, "live"))
		printf(", on_all_down %s", text_of(step, "on_all_down"));
}

static void print_cookie(const json_t *step)
{
	const char *why = text_of(step, "why"), *mode = text_of(step, "mode");
	long long sysctl = json_integer_value(json_object_get(step, "tcp_syncookies"));
	char left[FORMAT_MAX];

	if (!strcmp(mode, "off")) {
		printf("off");
	} else if (!strcmp(why, "calm")) {
		printf("auto, and no flood: none sent");
	} else {
		printf("%s%s", mode, strcmp(why, "rate") ? "" : ", and SYNs come too fast");
		if (!strcmp(why, "rate"))
			printf(" (for %s more)", seconds_of(step, "left_seconds", left));
		if (is_true(step, "sent"))
			printf(": sent");
		else if (is_true(step, "has_connection"))
			printf(": none, since there is a connection between these addresses");
		else if (sysctl == 1)
			printf(": only while the kernel says that the listener's queue is full "
			       "(tcp_syncookies=1), which asking would mark, so it was not asked");
		else
			printf(": the kernel makes none (tcp_syncookies=%lld)", sysctl);
	}
}

static void print_connections(const json_t *step)
{
	if (!number_of(step, "limit"))
		printf("no limit");
	else
		printf("%llu open from %s, limit %llu", number_of(step, "open"),
		       text_of(step, "source"), number_of(step, "limit"));
}

static void print_limit(const json_t *step)
{
	const char *source = text_of(step, "source");
	char next[FORMAT_MAX];

	if (is_null(step, "per_second")) {
		printf("no limit");
		return;
	}
	printf("%llu of %llu left", number_of(step, "left"), number_of(step, "burst"));
	if (*source)
		printf(" for %s", source);
	printf(", %.6g a second", json_number_value(json_object_get(step, "per_second")));
	if (!number_of(step, "left"))
		printf(", the next in %s", seconds_of(step, "next_seconds", next));
}

static void print_connection(const json_t *step)
{
	if (!is_null(step, "error"))
		printf("not known: %s", text_of(step, "error"));
	else if (is_null(step, "state"))
		printf("the kernel has none between these addresses");
	else
		printf("%s", text_of(step, "state"));
	if (!is_true(step, "looked_up"))
		printf(" (the gate did not look: no limit of strays, no cookies out)");
}

static void print_worker(const json_t *step)
{
	const json_t *workers = json_object_get(step, "workers"), *worker;
	double kernel_share = json_number_value(json_object_get(step, "kernel_share"));
	size_t i;

	json_array_foreach(workers, i, worker)
		printf("%s%llu (pid %llu) in %.0f %% of tries", i ? ", " : "",
		       number_of(worker, "slot"), number_of(worker, "pid"),
		       100 * json_number_value(json_object_get(worker, "share")));
	if (kernel_share > 0)
		printf("%sSO_REUSEPORT's choice in %.0f %%, since no worker is live",
		       json_array_size(workers) ? ", " : "", 100 * kernel_share);
}

static const struct {
	const char *step, *title;
	void (*print)(const json_t *step);
} steps[] = {
	{ "listener", "listener", print_listener },
	{ "acl", "access list", print_acl },
	{ "penalty", "penalty", print_penalty },
	{ "group", "group", print_group },
	{ "syn_cookie", "SYN cookie", print_cookie },
	{ "source_connections", "connections", print_connections },
	{ "source_limit", "source limit", print_limit },
	{ "listener_limit", "listener limit", print_limit },
	{ "connection", "connection", print_connection },
	{ "stray_limit", "stray limit", print_limit },
	{ "worker", "worker", print_worker },
};

static void print_head(const json_t *answer)
{
	const json_t *interfaces = json_object_get(answer, "interfaces"), *interface;
	const char *asked = text_of(answer, "interface");
	size_t i;

	printf("%s > %s %s", text_of(answer, "source"), text_of(answer, "destination"),
	       strcmp(text_of(answer, "packet"), "ack") ? "SYN" : "ACK");
	json_array_foreach(interfaces, i, interface)
		printf("%s%s (%s%s%s)", i ? ", " : " on ", text_of(interface, "name"),
		       text_of(interface, "mode"), *text_of(interface, "chain") ? "; chain: " : "",
		       text_of(interface, "chain"));
	if (!json_array_size(interfaces) && *asked)
		printf(" on %s", asked);
	putchar('\n');
	if (!is_true(answer, "guarded"))
		printf("the gate is not on %s: nothing of this happens there, the packet goes to the "
		       "stack\n", *asked ? asked : "any interface");
}

static void print_answer(const json_t *answer)
{
	const json_t *step;
	size_t i;

	print_head(answer);
	json_array_foreach(json_object_get(answer, "steps"), i, step)
		for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++)
			if (!strcmp(steps[k].step, text_of(step, "step"))) {
				printf("  %-15s ", steps[k].title);
				steps[k].print(step);
				putchar('\n');
			}
	printf("%s: %s\n", text_of(answer, "verdict"), text_of(answer, "meaning"));
}

int ctl_explain(const struct ctl *ctl)
{
	bool ack = ctl_has_option(ctl, "ack");
	json_t *request, *answer;
	char *text = NULL;

	if (ack && ctl_has_option(ctl, "syn")) {
		fputs("sluicectl: a packet is --syn or --ack\n", stderr);
		return CTL_USAGE;
	}
	request = json_pack("{s:s, s:s, s:s, s:s, s:s*}", "command", "explain", "source",
			    ctl->arguments[0], "destination", ctl->arguments[1], "packet",
			    ack ? "ack" : "syn", "interface", ctl_option(ctl, "interface"));
	if (!request) {
		fputs("sluicectl: what is asked for is not UTF-8\n", stderr);
		return CTL_FAILED;
	}
	answer = client_request(ctl, request, &text);
	if (!answer)
		return CTL_FAILED;
	if (ctl->json)
		fputs(text, stdout);
	else
		print_answer(answer);
	json_decref(answer);
	free(text);
	return CTL_OK;
}
