/* SPDX-License-Identifier: MIT */
/*
 * client.c - see client.h. Called by every command that needs the daemon; prints only errors, and
 * each with what to do.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/client.h"
#include "sluice/control.h"

#define NO_ANSWER                                                                                  \
	"sluiced did not answer (no permission for this user, too many clients, or it is stuck: see "  \
	"its log)"

__attribute__((format(printf, 2, 3))) static void say(char *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, CLIENT_WHY_MAX, format, args);
	va_end(args);
}

static void say_unreachable(char *why, const char *path, int err)
{
	switch (err) {
	case ENOENT:
	case ECONNREFUSED:
		say(why, "sluiced is not running (nobody answers on %s; if it has another "
			 "control.socket, give --socket PATH)", path);
		return;
	case EACCES:
	case EPERM:
		say(why, "no permission for %s: run as root or as a member of sluiced's "
			 "runtime.group", path);
		return;
	case EAGAIN:
		say(why, "sluiced on %s takes no more clients: is it stuck?", path);
		return;
	default:
		say(why, "cannot reach sluiced on %s: %s", path, strerror(err));
	}
}

static int client_connect(const char *path, char *why)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path)) {
		say_unreachable(why, path, ENAMETOOLONG);
		return -1;
	}
	strcpy(address.sun_path, path);
	/* A daemon that is stuck lets connect wait, once its queue is full. */
	const struct timeval patience = { .tv_sec = SLUICE_CONTROL_TIMEOUT_MS / 1000 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	while (fd >= 0) {
		if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
			return fd;
		if (errno != EINTR) /* top's terminal changed its size */
			break;
	}
	say_unreachable(why, path, errno);
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Everything up to the daemon's close, NUL-terminated and malloced. */
static char *client_read(int fd, int timeout_ms, size_t *len)
{
	size_t cap = 64 * 1024;
	char *text = malloc(cap);
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	*len = 0;
	while (text) {
		int ready = poll(&wait, 1, timeout_ms);

		if (ready < 0 && errno == EINTR)
			continue;
		ssize_t n = ready > 0 ? read(fd, text + *len, cap - *len - 1) : -1;

		if (n < 0)
			break;
		if (n == 0) {
			text[*len] = '\0';
			return text;
		}
		*len += (size_t)n;
		if (cap - *len > 1)
			continue;
		char *larger = cap < SLUICE_CONTROL_ANSWER_MAX ? realloc(text, cap *= 2) : NULL;

		if (!larger)
			break;
		text = larger;
	}
	free(text);
	return NULL;
}

/* Only what changes something may take its time: it waits until the change is in force. */
static int patience_ms(const char *command)
{
	static const char *const slow[] = { "reload", "drain", "undrain", "weight", "health" };

	for (size_t i = 0; command && i < sizeof(slow) / sizeof(slow[0]); i++)
		if (!strcmp(command, slow[i]))
			return SLUICE_CONTROL_TIMEOUT_MS + SLUICE_CONTROL_RELOAD_MS;
	return SLUICE_CONTROL_TIMEOUT_MS;
}

/* One line, as the protocol wants it. */
static bool client_send(int fd, const json_t *request)
{
	char *line = json_dumps(request, JSON_COMPACT);
	size_t len = line ? strlen(line) : 0;
	bool sent = false;

	if (line) {
		line[len++] = '\n'; /* in the place of the NUL: the length counts */
		sent = send(fd, line, len, MSG_NOSIGNAL) == (ssize_t)len;
	}
	free(line);
	return sent;
}

int client_open(const struct ctl *ctl, json_t *request, char why[CLIENT_WHY_MAX])
{
	bool fits = json_dumpb(request, NULL, 0, JSON_COMPACT) < SLUICE_CONTROL_REQUEST_MAX;
	int fd = -1;

	if (!fits)
		say(why, "this request is too long");
	else
		fd = client_connect(ctl->socket, why);
	if (fd >= 0 && !client_send(fd, request)) {
		say(why, NO_ANSWER);
		close(fd);
		fd = -1;
	}
	json_decref(request);
	return fd;
}

json_t *client_try(const struct ctl *ctl, json_t *request, char **text, char why[CLIENT_WHY_MAX])
{
	int timeout_ms = patience_ms(json_string_value(json_object_get(request, "command")));
	int fd = client_open(ctl, request, why);
	json_t *document = NULL;
	char *answer = NULL;
	size_t len = 0;

	if (fd < 0)
		return NULL;
	answer = client_read(fd, timeout_ms, &len);
	close(fd);
	if (!answer || !len) {
		say(why, NO_ANSWER);
		goto out;
	}
	document = json_loadb(answer, len, 0, NULL);
	if (!document)
		say(why, "sluiced's answer is not JSON: another version?");
	const json_t *ok = json_object_get(document, "ok");
	const char *error = json_string_value(json_object_get(document, "error"));

	/* A refused reload has both: the command prints that itself. */
	if (error && !ok) {
		say(why, "%s", error);
		json_decref(document);
		document = NULL;
	}
	if (document && text) {
		*text = answer;
		answer = NULL;
	}
out:
	free(answer);
	return document;
}

json_t *client_request(const struct ctl *ctl, json_t *request, char **text)
{
	char why[CLIENT_WHY_MAX];
	json_t *document = client_try(ctl, request, text, why);

	if (!document)
		fprintf(stderr, "sluicectl: %s\n", why);
	return document;
}

json_t *client_ask(const struct ctl *ctl, const char *command, char **text)
{
	return client_request(ctl, json_pack("{s:s}", "command", command), text);
}
