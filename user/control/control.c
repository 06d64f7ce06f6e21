/* SPDX-License-Identifier: MIT */
/*
 * control.c - see control.h. Owned by the supervisor. Every client is bounded in bytes and time,
 * and none can hold up the loop; what the answers say is control_answer.c's.
 */
#include <errno.h>
#include <jansson.h>
#include <libgen.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "control/control.h"
#include "control/control_acl.h"
#include "control/control_answer.h"
#include "control/control_command.h"
#include "control/control_events.h"
#include "control/control_explain.h"
#include "control/control_features.h"
#include "control/control_listener.h"
#include "control/control_penalties.h"
#include "control/control_route.h"
#include "control/supervisor.h"
#include "sluice/control.h"

#define CONTROL_CLIENTS_MAX 32

struct control_client {
	struct control *control;
	struct list link;
	struct loop_io io;
	struct loop_timer timer;
	struct loop_task reap;
	uint64_t reload; /* number of the reload it waits for, or 0 */
	bool waits;	 /* for its command */
	struct reload_command command;
	char *answer;
	size_t answer_len, answer_at;
	size_t request_len;
	char request[SLUICE_CONTROL_REQUEST_MAX + 1];
};

static struct loop *client_loop(struct control_client *client)
{
	return &client->control->supervisor->loop;
}

static void on_reap(struct loop_task *task)
{
	struct control_client *client = container_of(task, struct control_client, reap);

	free(client->answer);
	free(client);
}

/* Ends the client without its connection, which becomes the caller's. */
static int client_release(struct control_client *client)
{
	int fd = client->io.fd;

	loop_io_del(client_loop(client), &client->io);
	loop_timer_cancel(client_loop(client), &client->timer);
	client->io.fd = -1;
	reload_forget_command(&client->command);
	list_del(&client->link);
	client->control->n_clients--;
	loop_defer(client_loop(client), &client->reap);
	return fd;
}

static void client_close(struct control_client *client)
{
	if (client->io.fd >= 0)
		close(client_release(client));
}

static void client_write(struct control_client *client)
{
	while (client->answer_at < client->answer_len) {
		ssize_t n = send(client->io.fd, client->answer + client->answer_at,
				 client->answer_len - client->answer_at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			loop_io_mod(client_loop(client), &client->io, EPOLLOUT);
			return;
		}
		if (n <= 0)
			break;
		client->answer_at += (size_t)n;
	}
	client_close(client);
}

/* Takes the answer over; NULL closes. */
static void client_answer(struct control_client *client, char *answer)
{
	if (!answer) {
		client_close(client);
		return;
	}
	client->reload = 0;
	client->waits = false;
	client->answer = answer;
	client->answer_len = strlen(answer);
	answer[client->answer_len++] = '\n'; /* in the place of the NUL: the length counts */
	loop_timer_set(client_loop(client), &client->timer,
		       SLUICE_CONTROL_TIMEOUT_MS * NS_PER_MS);
	client_write(client);
}

static void client_error(struct control_client *client, const char *text)
{
	json_t *document = json_pack("{s:s}", "error", text);

	client_answer(client, document ? json_dumps(document, JSON_COMPACT) : NULL);
	json_decref(document);
}

/* Nothing is read until the outcome is known. */
static void client_wait(struct control_client *client)
{
	loop_io_mod(client_loop(client), &client->io, 0);
	loop_timer_set(client_loop(client), &client->timer, SLUICE_CONTROL_RELOAD_MS * NS_PER_MS);
}

static void on_command_done(struct reload_command *command, bool ok, const char *message)
{
	struct control_client *client = container_of(command, struct control_client, command);

	client_answer(client, control_answer_change(client->control->supervisor, ok, message));
}

static void client_command(struct control_client *client, json_t *request)
{
	struct reload_command *command = &client->command;
	char why[256];

	if (control_command_read(request, &command->what, why, sizeof(why))) {
		client_error(client, why);
		return;
	}
	command->on_done = on_command_done;
	client->waits = true;
	client_wait(client);
	reload_command(client->control->supervisor, command);
}

/* A question with arguments, that changes nothing. */
static const struct {
	const char *command;
	json_t *(*answer)(const struct supervisor *supervisor, const json_t *request, char *why,
			  size_t why_size);
} questions[] = {
	{ "route", control_route },
	{ "explain", control_explain },
	{ "acl-list", control_acl_list },
	{ "features", control_features },
};
#define QUESTIONS (sizeof(questions) / sizeof(questions[0]))

static size_t find_question(const char *command)
{
	size_t i = 0;

	while (i < QUESTIONS && strcmp(questions[i].command, command))
		i++;
	return i;
}

static void client_question(struct control_client *client, const json_t *request, size_t which)
{
	char why[BPF_WHY_MAX];
	json_t *document = questions[which].answer(client->control->supervisor, request, why,
						   sizeof(why));

	if (document)
		client_answer(client, json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(12)));
	else
		client_error(client, why);
	json_decref(document);
}

/* Hands the connection over: from here on it is a subscriber's. */
static void client_events(struct control_client *client, const json_t *request)
{
	struct events *events = &client->control->supervisor->events;
	const char *refusal = events_refusal(events);
	struct events_wish wish;
	char why[256];

	if (control_events_read(request, &wish, why, sizeof(why)))
		refusal = why;
	if (refusal) {
		client_error(client, refusal);
		return;
	}
	int fd = client_release(client);

	events_subscribe(events, fd, &wish);
}

/* A change that is in force when it is answered. */
static const struct {
	bool (*is)(const char *command);
	json_t *(*answer)(struct supervisor *supervisor, const json_t *request);
} changes[] = {
	{ control_listener_is, control_listener },
	{ control_penalties_is, control_penalties },
	{ control_acl_is, control_acl },
};
#define CHANGES (sizeof(changes) / sizeof(changes[0]))

static size_t find_change(const char *command)
{
	size_t i = 0;

	while (i < CHANGES && !changes[i].is(command))
		i++;
	return i;
}

static void client_change(struct control_client *client, const json_t *request, size_t which)
{
	json_t *document = changes[which].answer(client->control->supervisor, request);

	client_answer(client, document ? json_dumps(document, JSON_COMPACT) : NULL);
	json_decref(document);
}

static void client_run(struct control_client *client)
{
	struct supervisor *supervisor = client->control->supervisor;
	json_t *request = json_loadb(client->request, client->request_len,
				     JSON_REJECT_DUPLICATES, NULL);
	const char *command = json_string_value(json_object_get(request, "command"));
	bool changing = command && (!strcmp(command, "reload") || control_command_is(command) ||
				    find_change(command) < CHANGES);

	if (!command) {
		client_error(client, "a request is one line such as {\"command\": \"status\"}");
	} else if (changing && supervisor->phase != PHASE_RUNNING) {
		client_error(client, supervisor->phase == PHASE_DRAINING ?
					     "the daemon is draining" :
					     "the daemon is starting: try again in a moment");
	} else if (find_change(command) < CHANGES) {
		client_change(client, request, find_change(command));
	} else if (control_command_is(command)) {
		client_command(client, request);
	} else if (find_question(command) < QUESTIONS) {
		client_question(client, request, find_question(command));
	} else if (!strcmp(command, "events")) {
		client_events(client, request);
	} else if (json_object_size(request) > 1) {
		client_error(client, "this command takes no arguments");
	} else if (!strcmp(command, "reload")) {
		client->reload = reload_file(supervisor);
		client_wait(client);
	} else {
		char *answer = control_answer(supervisor, command);

		if (answer)
			client_answer(client, answer);
		else
			client_error(client, errno == EINVAL ? "no such command" : "no memory");
	}
	json_decref(request);
}

static void on_client(struct loop_io *io, uint32_t events)
{
	struct control_client *client = container_of(io, struct control_client, io);

	if (client->answer) {
		client_write(client);
		return;
	}
	if (client->reload || client->waits) { /* only its end can be reported: nothing is read meanwhile */
		client_close(client);
		return;
	}
	ssize_t n = recv(io->fd, client->request + client->request_len,
			 SLUICE_CONTROL_REQUEST_MAX - client->request_len, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(client);
		return;
	}
	client->request_len += (size_t)n;
	char *end = memchr(client->request, '\n', client->request_len);

	if (end) {
		client->request_len = (size_t)(end - client->request);
		client_run(client);
	} else if (client->request_len == SLUICE_CONTROL_REQUEST_MAX) {
		client_error(client, "request too long");
	}
}

static void on_timer(struct loop_timer *timer)
{
	client_close(container_of(timer, struct control_client, timer));
}

/* root, our own user, and members of the runtime group; never a worker itself. */
static bool may_use(const struct supervisor *supervisor, int fd)
{
	const struct identity *identity = &supervisor->identity;
	gid_t groups[128];
	socklen_t len = sizeof(groups);
	struct ucred peer;
	socklen_t peer_len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len))
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	if (!identity->share || peer.uid == identity->uid)
		return false;
	if (peer.gid == identity->gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == identity->gid)
			return true;
	return false;
}

static void on_listener(struct loop_io *io, uint32_t events)
{
	struct control *control = container_of(io, struct control, listener);
	int fd;

	while ((fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct control_client *client = NULL;

		if (may_use(control->supervisor, fd) && control->n_clients < CONTROL_CLIENTS_MAX)
			client = calloc(1, sizeof(*client));
		if (!client) {
			close(fd);
			continue;
		}
		client->control = control;
		client->io = (struct loop_io){ .fd = -1, .on_event = on_client };
		client->timer.on_timer = on_timer;
		client->reap.on_run = on_reap;
		if (loop_io_add(&control->supervisor->loop, &client->io, fd, EPOLLIN)) {
			close(fd);
			free(client);
			continue;
		}
		list_add_tail(&control->clients, &client->link);
		control->n_clients++;
		loop_timer_set(&control->supervisor->loop, &client->timer,
			       SLUICE_CONTROL_TIMEOUT_MS * NS_PER_MS);
	}
}

void control_reload_done(struct control *control, uint64_t number, bool ok, const char *message)
{
	struct control_client *client, *tmp;

	list_for_each_safe(client, tmp, &control->clients, link)
		if (client->reload && client->reload <= number)
			client_answer(client,
				      control_answer_change(control->supervisor, ok, message));
}

void control_init(struct supervisor *supervisor)
{
	struct control *control = &supervisor->control;

	control->supervisor = supervisor;
	control->listener = (struct loop_io){ .fd = -1, .on_event = on_listener };
	list_init(&control->clients);
}

/* A socket that nobody answers on is a leftover of a killed daemon. */
static int remove_stale(const struct sockaddr_un *address, const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	int ret = connect(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;

	close(fd);
	if (ret == 0 || ret == -EAGAIN)
		return -EADDRINUSE;
	if (ret != -ECONNREFUSED)
		return ret;
	return unlink(path) ? -errno : 0;
}

static int make_folder(const char *path)
{
	char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	int ret = mkdir(dirname(copy), 0755) && errno != EEXIST ? -errno : 0;

	free(copy);
	return ret;
}

static int open_socket(struct control *control, const struct sockaddr_un *address)
{
	const struct identity *identity = &control->supervisor->identity;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	mode_t mask = umask(0177); /* nobody else before owner and mode are right */
	int ret = bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;

	umask(mask);
	if (ret)
		goto out;
	if (identity->share &&
	    (chown(address->sun_path, (uid_t)-1, identity->gid) || chmod(address->sun_path, 0660)))
		log_warn("cannot give the control socket to the runtime group",
			 F_STR("group", identity->group), F_ERR(errno));
	if (listen(fd, CONTROL_CLIENTS_MAX))
		ret = -errno;
	if (!ret)
		ret = loop_io_add(&control->supervisor->loop, &control->listener, fd, EPOLLIN);
	if (ret)
		unlink(address->sun_path);
out:
	if (ret)
		close(fd);
	return ret;
}

int control_open(struct control *control, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int ret = -ENAMETOOLONG;

	if (strlen(path) < sizeof(address.sun_path)) {
		strcpy(address.sun_path, path);
		ret = make_folder(path);
	}
	if (!ret)
		ret = remove_stale(&address, path);
	if (!ret)
		ret = open_socket(control, &address);
	if (!ret && !(control->path = strdup(path))) {
		control_close(control);
		unlink(path);
		ret = -ENOMEM;
	}
	if (ret == -EADDRINUSE)
		log_error("already running: a daemon answers on the control socket (another one "
			  "needs its own control.socket)", F_STR("socket", path));
	else if (ret == -EEXIST)
		log_error("control.socket is there and is not a socket", F_STR("socket", path));
	else if (ret)
		log_error("cannot open the control socket: set control.socket to a path that this "
			  "user may create", F_STR("socket", path), F_ERR(ret));
	return ret;
}

void control_close(struct control *control)
{
	struct control_client *client, *tmp;

	list_for_each_safe(client, tmp, &control->clients, link) {
		client_close(client);
		loop_defer_cancel(&client->reap);
		on_reap(&client->reap);
	}
	if (control->listener.fd >= 0) {
		int fd = control->listener.fd;

		loop_io_del(&control->supervisor->loop, &control->listener);
		close(fd);
		control->listener.fd = -1;
	}
	if (control->path)
		unlink(control->path);
	free(control->path);
	control->path = NULL;
}
