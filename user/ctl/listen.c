/* SPDX-License-Identifier: MIT */
/*
 * listen.c - see listen.h. Reads lines from the daemon, one JSON document each, and calls back.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "ctl/duration.h"
#include "ctl/listen.h"

#define LINES_BYTES (64 * 1024) /* a line is at most some 2 KiB */

const char *const listen_reasons[VERDICT_MAX] = {
#define REASON_NAME(NAME, name, text) [VERDICT_##NAME] = #name,
	SLUICE_VERDICTS(REASON_NAME)
#undef REASON_NAME
};

const char *const listen_texts[VERDICT_MAX] = {
#define REASON_TEXT(NAME, name, text) [VERDICT_##NAME] = text,
	SLUICE_VERDICTS(REASON_TEXT)
#undef REASON_TEXT
};

/* ---- what to listen for ---- */

unsigned listen_reason(const char *name)
{
	unsigned reason = 0;

	while (reason < VERDICT_MAX && (!name || strcmp(name, listen_reasons[reason])))
		reason++;
	return reason;
}

uint64_t listen_mask_default(void)
{
	return ((1ull << VERDICT_MAX) - 1) &
	       ~(1ull << VERDICT_PASS_NOT_OURS | 1ull << VERDICT_PASS_ESTABLISHED);
}

uint64_t listen_mask_drops(void)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < VERDICT_MAX; i++)
		if (!strncmp(listen_reasons[i], "drop_", 5))
			mask |= 1ull << i;
	return mask;
}

static uint64_t reasons_like(const char *word, size_t len)
{
	uint64_t mask = 0;
	bool prefix = len && word[len - 1] == '*';

	if (len == 3 && !strncmp(word, "all", 3))
		return (1ull << VERDICT_MAX) - 1;
	for (unsigned i = 0; i < VERDICT_MAX; i++)
		if (prefix ? !strncmp(word, listen_reasons[i], len - 1) :
			     strlen(listen_reasons[i]) == len &&
				     !strncmp(word, listen_reasons[i], len))
			mask |= 1ull << i;
	return mask;
}

int listen_reasons_parse(const char *text, uint64_t *mask)
{
	do {
		size_t len = strcspn(text, ",");
		uint64_t found = reasons_like(text, len);

		if (!found) {
			fprintf(stderr, "sluicectl: there is no verdict \"%.*s\"; there are:\n",
				(int)len, text);
			for (unsigned i = 0; i < VERDICT_MAX; i++)
				fprintf(stderr, "  %-24s %s\n", listen_reasons[i], listen_texts[i]);
			fputs("and drop_* for all that begin so, and all\n", stderr);
			return CTL_USAGE;
		}
		*mask |= found;
		text += len;
	} while (*text++ == ',');
	return CTL_OK;
}

static int parse_count(const char *text, uint64_t *count)
{
	char *end;

	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);

	if (errno || *end || !n || *text < '0' || *text > '9') {
		fprintf(stderr, "sluicectl: --count wants a whole number above 0, not \"%s\"\n",
			text);
		return CTL_USAGE;
	}
	*count = n;
	return CTL_OK;
}

int listen_options(const struct ctl *ctl, struct listen *listen)
{
	const char *count = ctl_option(ctl, "count");
	uint64_t mask = 0;

	for (int i = 0; i < ctl->n_options; i++)
		if (!strcmp(ctl->options[i].name, "reason") &&
		    listen_reasons_parse(ctl->options[i].value, &mask))
			return CTL_USAGE;
	if (mask)
		listen->mask = mask;
	if (count && parse_count(count, &listen->count))
		return CTL_USAGE;
	return duration_option(ctl, "for", &listen->for_ms);
}

/* ---- listening ---- */

struct listen_reader {
	struct listen *listen;
	int fd;
	size_t len;
	char bytes[LINES_BYTES];
};

struct listen_reader *listen_start(const struct ctl *ctl, struct listen *listen)
{
	struct listen_reader *reader = calloc(1, sizeof(*reader));
	json_t *reasons = json_array();

	for (unsigned i = 0; i < VERDICT_MAX; i++)
		if (listen->mask & (1ull << i))
			json_array_append_new(reasons, json_string(listen_reasons[i]));
	json_t *request = json_pack("{s:s, s:o, s:b}", "command", "events", "reasons", reasons,
				    "packets", (int)listen->packets);

	listen->why[0] = '\0';
	if (!reader || !request) {
		strcpy(listen->why, "no memory");
		json_decref(request);
		free(reader);
		return NULL;
	}
	reader->listen = listen;
	reader->fd = client_open(ctl, request, listen->why);
	if (reader->fd >= 0)
		return reader;
	free(reader);
	return NULL;
}

int listen_fd(const struct listen_reader *reader)
{
	return reader->fd;
}

void listen_stop(struct listen_reader *reader)
{
	if (reader)
		close(reader->fd);
	free(reader);
}

static void count_lost(struct listen *listen, const json_t *lost)
{
	listen->limited += (uint64_t)json_integer_value(json_object_get(lost, "limited"));
	listen->ring_full += (uint64_t)json_integer_value(json_object_get(lost, "ring_full"));
	listen->slow += (uint64_t)json_integer_value(json_object_get(lost, "slow"));
}

static int take_line(struct listen *listen, const char *line)
{
	json_t *document = json_loads(line, 0, NULL);
	const char *error = json_string_value(json_object_get(document, "error"));
	const json_t *lost = json_object_get(document, "lost");
	int ret = 0;

	if (!document || error) {
		snprintf(listen->why, sizeof(listen->why), "%s",
			 error ? error : "sluiced's answer is not JSON: another version?");
		ret = -EPROTO;
	} else if (lost) {
		count_lost(listen, lost);
	} else if (json_object_get(document, "reason")) {
		ret = listen->on_event(listen->context, document, line);
		listen->events += ret >= 0;
		if (!ret && listen->count && listen->events >= listen->count)
			ret = 1;
	}
	json_decref(document);
	return ret;
}

static int take_lines(struct listen_reader *reader)
{
	char *line = reader->bytes, *end;
	int ret = 0;

	reader->bytes[reader->len] = '\0';
	while (!ret && (end = strchr(line, '\n'))) {
		*end = '\0';
		ret = take_line(reader->listen, line);
		line = end + 1;
	}
	reader->len -= (size_t)(line - reader->bytes);
	memmove(reader->bytes, line, reader->len);
	if (!ret && reader->len == sizeof(reader->bytes) - 1) {
		strcpy(reader->listen->why, "a line of sluiced's is too long: another version?");
		ret = -EPROTO;
	}
	return ret;
}

int listen_read(struct listen_reader *reader)
{
	ssize_t n = read(reader->fd, reader->bytes + reader->len,
			 sizeof(reader->bytes) - 1 - reader->len);

	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0) {
		strcpy(reader->listen->why, "sluiced closed the connection");
		return -ECONNRESET;
	}
	reader->len += (size_t)n;
	return take_lines(reader);
}

/* ---- until a bound or a signal ---- */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* until_ms 0: no bound. For poll. */
static int remaining_ms(uint64_t until_ms)
{
	uint64_t now = now_ms();

	if (!until_ms)
		return -1;
	if (until_ms <= now)
		return 0;
	return until_ms - now > INT32_MAX ? INT32_MAX : (int)(until_ms - now);
}

static int read_lines(struct listen_reader *reader, int stop_fd)
{
	uint64_t for_ms = reader->listen->for_ms, until_ms = for_ms ? now_ms() + for_ms : 0;
	struct pollfd wait[] = {
		{ .fd = reader->fd, .events = POLLIN },
		{ .fd = stop_fd, .events = POLLIN },
	};
	int ret = 0;

	while (!ret) {
		int ready = poll(wait, 2, 0);

		if (!ready) { /* nothing waits: whoever reads our output may have what there is */
			fflush(NULL);
			ready = poll(wait, 2, remaining_ms(until_ms));
		}
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready < 0)
			return -errno;
		if (!ready || wait[1].revents)
			return 0;
		ret = listen_read(reader);
		if (!ret && !remaining_ms(until_ms))
			return 0;
	}
	return ret < 0 ? ret : 0;
}

int listen_run(const struct ctl *ctl, struct listen *listen)
{
	struct listen_reader *reader;
	sigset_t stops;
	int ret = -1;

	sigemptyset(&stops);
	sigaddset(&stops, SIGINT);
	sigaddset(&stops, SIGTERM);
	sigaddset(&stops, SIGHUP);
	sigprocmask(SIG_BLOCK, &stops, NULL);
	int stop_fd = signalfd(-1, &stops, SFD_CLOEXEC);

	reader = listen_start(ctl, listen);
	if (reader)
		ret = read_lines(reader, stop_fd);
	listen_stop(reader);
	if (stop_fd >= 0)
		close(stop_fd);
	if (listen->why[0])
		fprintf(stderr, "sluicectl: %s\n", listen->why);
	return ret < 0 ? CTL_FAILED : CTL_OK;
}

void listen_say_lost(const struct listen *listen)
{
	if (listen->limited)
		fprintf(stderr, "%llu more were over the limit of events (kernel.events)\n",
			(unsigned long long)listen->limited);
	if (listen->ring_full)
		fprintf(stderr, "%llu were lost: sluiced did not keep up\n",
			(unsigned long long)listen->ring_full);
	if (listen->slow)
		fprintf(stderr, "%llu were lost: this command did not keep up\n",
			(unsigned long long)listen->slow);
}
