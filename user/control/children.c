/* SPDX-License-Identifier: MIT */
/*
 * children.c - see children.h. Called by the supervisor and reload.c. A child gets its whole state
 * over its channel, the same way at a start and as a replacement; what children answer goes to
 * reload.c or the supervisor. Only processes started here are ever signalled, by pid.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "control/children.h"
#include "control/spawn.h"
#include "control/supervisor.h"
#include "control/tickets.h"
#include "monitor/monitor.h"
#include "proxy/worker.h"

/* A child that closed its channel but does not end is stuck. */
#define CHILD_END_MS 5000

static const char *child_name(const struct child *child, char text[16])
{
	if (child->is_monitor)
		return "monitor";
	snprintf(text, 16, "worker %u", child->slot);
	return text;
}

/* Workers first, the monitor last; NULL behind it. */
static struct child *child_at(const struct supervisor *supervisor, uint32_t i)
{
	const struct children *children = &supervisor->children;

	if (i < supervisor->slots)
		return (struct child *)&children->workers[i];
	return i == supervisor->slots ? (struct child *)&children->monitor : NULL;
}

static void child_cut(struct child *child)
{
	if (child->channel.fd < 0)
		return;
	int fd = child->channel.fd;

	loop_io_del(&child->supervisor->loop, &child->channel);
	close(fd);
	child->channel.fd = -1;
}

static void child_broken(struct child *child, const char *what, int err)
{
	char name[16];

	log_error(what, F_STR("child", child_name(child, name)), F_INT("child_pid", child->pid),
		  F_ERR(err));
	kill(child->pid, SIGKILL);
}

static void child_send(struct child *child, enum channel_type type, const void *payload,
		       size_t length, const int *fds, unsigned n_fds)
{
	if (!child->pid || child->channel.fd < 0)
		return;
	int ret = channel_send(child->channel.fd, type, payload, length, fds, n_fds);

	/* -EPIPE: it is dead already and will be reaped. */
	if (ret && ret != -EPIPE)
		child_broken(child, "a child does not take its messages: killing it", ret);
}

static void send_revision(struct child *child, const struct revision *revision)
{
	const struct channel_config message = {
		.revision = revision->config->revision,
		.length = revision->length,
	};

	child_send(child, CHANNEL_CONFIG, &message, sizeof(message), &revision->fd, 1);
}

static void send_listener(struct child *child, uint32_t listener)
{
	const struct channel_listen message = { .listener = listener };

	child_send(child, CHANNEL_LISTEN, &message, sizeof(message),
		   &child->supervisor->sockets.rows[listener].fds[child->slot], 1);
}

static void send_start(struct child *child)
{
	struct supervisor *supervisor = child->supervisor;
	const struct config *config = supervisor->current.config;
	struct channel_setup setup = {
		.slot = child->slot,
		.n_slots = supervisor->slots,
		.with_bpf = kernel_is_on(&supervisor->kernel),
	};
	const struct channel_config commit = { .revision = config->revision };

	memcpy(setup.hash_key, supervisor->hash_key, sizeof(setup.hash_key));
	child_send(child, CHANNEL_SETUP, &setup, sizeof(setup), supervisor->state_fds, STATE_FDS);
	if (!child->is_monitor)
		child_send(child, CHANNEL_TICKETS, &supervisor->tickets,
			   sizeof(supervisor->tickets), NULL, 0);
	send_revision(child, &supervisor->current);
	for (size_t i = 0; i < config->n_listeners && !child->is_monitor; i++)
		if (!supervisor->sockets.rows[config->listeners[i].id].drained)
			send_listener(child, config->listeners[i].id);
	child_send(child, CHANNEL_COMMIT, &commit, sizeof(commit), NULL, 0);
	if (supervisor->reload.candidate.config)
		send_revision(child, &supervisor->reload.candidate);
}

static void on_refused(struct child *child, const struct channel_message *message)
{
	struct supervisor *supervisor = child->supervisor;
	struct channel_refused refused;
	char name[16];

	if (message->length != sizeof(refused))
		return;
	memcpy(&refused, message->payload, sizeof(refused));
	refused.reason[sizeof(refused.reason) - 1] = '\0';
	if (refused.revision == supervisor->current.config->revision) {
		log_error("a child refused the current config",
			  F_STR("child", child_name(child, name)), F_STR("reason", refused.reason));
		supervisor_on_start_refused(supervisor, refused.reason);
		return;
	}
	reload_on_refused(supervisor, child_name(child, name), refused.revision, refused.reason);
}

static void on_message(struct child *child, const struct channel_message *message)
{
	struct supervisor *supervisor = child->supervisor;
	struct channel_config ready;
	struct channel_resolved resolved;
	struct channel_penalized penalized;

	switch (message->type) {
	case CHANNEL_READY:
		if (message->length != sizeof(ready))
			return;
		memcpy(&ready, message->payload, sizeof(ready));
		child->ready = ready.revision;
		if (ready.revision == supervisor->current.config->revision)
			supervisor_on_ready(supervisor);
		reload_on_ready(supervisor);
		return;
	case CHANNEL_COMMITTED:
		if (message->length != sizeof(ready))
			return;
		memcpy(&ready, message->payload, sizeof(ready));
		child->committed = ready.revision;
		reload_on_ready(supervisor);
		return;
	case CHANNEL_REFUSED:
		on_refused(child, message);
		return;
	case CHANNEL_PENALIZED:
		if (child->is_monitor || message->length != sizeof(penalized))
			return;
		memcpy(&penalized, message->payload, sizeof(penalized));
		penalties_on_message(&supervisor->penalties, &penalized);
		return;
	case CHANNEL_RESOLVED:
		if (!child->is_monitor || message->length != sizeof(resolved))
			return;
		memcpy(&resolved, message->payload, sizeof(resolved));
		supervisor_on_resolved(supervisor, &resolved);
		return;
	default:
		return;
	}
}

static void on_channel(struct loop_io *io, uint32_t events)
{
	struct child *child = container_of(io, struct child, channel);
	struct channel_message message;

	while (child->channel.fd >= 0) {
		int ret = channel_receive(child->channel.fd, &message);

		if (ret == -EAGAIN)
			return;
		if (ret > 0) {
			channel_message_close_fds(&message); /* children send none */
			on_message(child, &message);
			continue;
		}
		/* It ends, or it died: SIGCHLD follows. */
		child_cut(child);
		loop_timer_set(&child->supervisor->loop, &child->timer, CHILD_END_MS * NS_PER_MS);
	}
}

/* In the child: what the fork copied and no child may keep. */
static void forget(void *ctx)
{
	struct supervisor *supervisor = ctx;

	events_forget(&supervisor->events);
	kernel_forget(&supervisor->kernel);
	state_unmap(&supervisor->state);
	tickets_done(&supervisor->tickets);
	log_init("child", supervisor->current.config->log_level,
		 supervisor->current.config->log_format);
}

static void child_start(struct child *child)
{
	struct supervisor *supervisor = child->supervisor;
	uint64_t now_ns = loop_refresh(&supervisor->loop);
	char process[16], name[16];
	int channel;
	const struct spawn spawn = {
		.name = process,
		.identity = &supervisor->identity,
		.entry = child->is_monitor ? monitor_main : worker_main,
		.forget = forget,
		.ctx = supervisor,
	};

	if (child->is_monitor) {
		snprintf(process, sizeof(process), "sluice-monitor");
	} else {
		struct sluice_worker *row = &supervisor->state.workers[child->slot];

		snprintf(process, sizeof(process), "sluice-worker%u", child->slot);
		totals_retire(&supervisor->totals, row);
		memset(row, 0, sizeof(*row));
		row->started_ns = now_ns;
		state_store32(&row->state, SLUICE_WORKER_STARTING);
	}
	int ret = spawn_child(&spawn, &child->pid, &channel);

	if (!ret) {
		ret = loop_io_add(&supervisor->loop, &child->channel, channel, EPOLLIN);
		if (ret) { /* out of memory: end it, SIGCHLD brings it back later */
			kill(child->pid, SIGKILL);
			close(channel);
			child->channel.fd = -1;
		}
	} else {
		child->pid = 0;
		loop_timer_set(&supervisor->loop, &child->timer, BACKOFF_MAX_MS * NS_PER_MS);
	}
	if (ret) {
		log_error("cannot start a child", F_STR("child", child_name(child, name)),
			  F_ERR(ret));
		return;
	}
	child->started_ns = now_ns;
	child->ready = child->committed = 0;
	if (!child->is_monitor)
		supervisor->state.workers[child->slot].pid = (uint32_t)child->pid;
	log_info("child started", F_STR("child", child_name(child, name)),
		 F_INT("child_pid", child->pid));
	send_start(child);
}

static void on_timer(struct loop_timer *timer)
{
	struct child *child = container_of(timer, struct child, timer);

	if (child->pid)
		child_broken(child, "a child left its channel and does not end: killing it", 0);
	else if (child->wanted)
		child_start(child);
}

static void log_death(const struct child *child, int status, uint32_t delay_ms)
{
	char name[16];

	if (WIFEXITED(status) && !WEXITSTATUS(status) && !child->wanted)
		log_info("child ended", F_STR("child", child_name(child, name)),
			 F_INT("child_pid", child->pid));
	else if (WIFEXITED(status))
		log_warn("child exited", F_STR("child", child_name(child, name)),
			 F_INT("child_pid", child->pid), F_INT("exit", WEXITSTATUS(status)),
			 F_UINT("restart_in_ms", delay_ms));
	else
		log_error("child was killed", F_STR("child", child_name(child, name)),
			  F_INT("child_pid", child->pid), F_INT("signal", WTERMSIG(status)),
			  F_STR("signal_name", strsignal(WTERMSIG(status))),
			  F_UINT("restart_in_ms", delay_ms));
}

static void child_gone(struct child *child, int status)
{
	struct supervisor *supervisor = child->supervisor;
	uint64_t lived_ms = (loop_refresh(&supervisor->loop) - child->started_ns) / NS_PER_MS;

	if (!child->is_monitor) {
		/* Before anything else: sk_lookup must not pick this slot again. */
		state_store32(&supervisor->state.workers[child->slot].state, SLUICE_WORKER_DEAD);
		state_forget_slot(&supervisor->state, child->slot);
	}
	uint32_t delay_ms = child->wanted ? backoff_next_ms(&child->backoff, lived_ms) : 0;

	log_death(child, status, delay_ms);
	child_cut(child);
	loop_timer_cancel(&supervisor->loop, &child->timer);
	child->pid = 0;
	if (child->wanted) {
		child->restarts++;
		loop_timer_set(&supervisor->loop, &child->timer, delay_ms * NS_PER_MS);
	}
}

void children_reap(struct supervisor *supervisor)
{
	bool any = false;

	for (uint32_t i = 0; child_at(supervisor, i); i++) {
		struct child *child = child_at(supervisor, i);
		int status;

		if (!child->pid || waitpid(child->pid, &status, WNOHANG) != child->pid)
			continue;
		child_gone(child, status);
		any = true;
	}
	if (any) {
		reload_on_ready(supervisor); /* it no longer waits for the dead */
		supervisor_on_child_gone(supervisor);
	}
}

void children_init(struct supervisor *supervisor)
{
	for (uint32_t i = 0; child_at(supervisor, i); i++) {
		struct child *child = child_at(supervisor, i);

		child->supervisor = supervisor;
		child->is_monitor = i == supervisor->slots;
		child->slot = child->is_monitor ? 0 : i;
		child->channel = (struct loop_io){ .fd = -1, .on_event = on_channel };
		child->timer.on_timer = on_timer;
	}
}

void children_start_monitor(struct supervisor *supervisor)
{
	supervisor->children.monitor.wanted = true;
	child_start(&supervisor->children.monitor);
}

void children_start_workers(struct supervisor *supervisor)
{
	for (uint32_t slot = 0; slot < supervisor->slots; slot++) {
		supervisor->children.workers[slot].wanted = true;
		child_start(&supervisor->children.workers[slot]);
	}
}

void children_send(struct supervisor *supervisor, enum channel_type type, const void *payload,
		   size_t length, const int *fds, unsigned n_fds)
{
	for (uint32_t i = 0; child_at(supervisor, i); i++)
		child_send(child_at(supervisor, i), type, payload, length, fds, n_fds);
}

void children_send_tickets(struct supervisor *supervisor)
{
	for (uint32_t slot = 0; slot < supervisor->slots; slot++)
		child_send(&supervisor->children.workers[slot], CHANNEL_TICKETS,
			   &supervisor->tickets, sizeof(supervisor->tickets), NULL, 0);
}

void children_send_listener(struct supervisor *supervisor, uint32_t listener)
{
	for (uint32_t slot = 0; slot < supervisor->slots; slot++)
		send_listener(&supervisor->children.workers[slot], listener);
}

void children_send_drain_listener(struct supervisor *supervisor, uint32_t listener)
{
	const struct channel_listen message = { .listener = listener };

	for (uint32_t slot = 0; slot < supervisor->slots; slot++)
		child_send(&supervisor->children.workers[slot], CHANNEL_DRAIN_LISTENER, &message,
			   sizeof(message), NULL, 0);
}

static const struct child *first_not_ready(const struct supervisor *supervisor, uint64_t revision)
{
	for (uint32_t i = 0; child_at(supervisor, i); i++) {
		const struct child *child = child_at(supervisor, i);

		if (child->pid && child->channel.fd >= 0 && child->ready != revision)
			return child;
	}
	return NULL;
}

const char *children_not_ready(const struct supervisor *supervisor, uint64_t revision,
			       char text[16])
{
	const struct child *child = first_not_ready(supervisor, revision);

	return child ? child_name(child, text) : "a child";
}

bool children_all_ready(const struct supervisor *supervisor, uint64_t revision)
{
	return !first_not_ready(supervisor, revision);
}

bool children_all_committed(const struct supervisor *supervisor, uint64_t revision)
{
	for (uint32_t i = 0; child_at(supervisor, i); i++) {
		const struct child *child = child_at(supervisor, i);

		if (child->pid && child->channel.fd >= 0 && child->committed != revision)
			return false;
	}
	return true;
}

static void child_drain(struct child *child, uint32_t grace_ms)
{
	const struct channel_drain drain = { .grace_ms = grace_ms };

	child->wanted = false;
	child_send(child, CHANNEL_DRAIN, &drain, sizeof(drain), NULL, 0);
}

void children_drain_workers(struct supervisor *supervisor, uint32_t grace_ms)
{
	for (uint32_t slot = 0; slot < supervisor->slots; slot++)
		child_drain(&supervisor->children.workers[slot], grace_ms);
}

void children_drain_monitor(struct supervisor *supervisor)
{
	child_drain(&supervisor->children.monitor, 0);
}

void children_kill(struct supervisor *supervisor)
{
	for (uint32_t i = 0; child_at(supervisor, i); i++) {
		struct child *child = child_at(supervisor, i);

		child->wanted = false;
		if (child->pid)
			kill(child->pid, SIGKILL);
	}
}

unsigned children_workers_running(const struct supervisor *supervisor)
{
	unsigned n = 0;

	for (uint32_t slot = 0; slot < supervisor->slots; slot++)
		n += supervisor->children.workers[slot].pid != 0;
	return n;
}

unsigned children_running(const struct supervisor *supervisor)
{
	return children_workers_running(supervisor) + (supervisor->children.monitor.pid != 0);
}
