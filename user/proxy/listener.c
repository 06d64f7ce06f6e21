/* SPDX-License-Identifier: MIT */
/*
 * listener.c - accepting: see listener.h. Called by worker.c; makes downstreams.
 */
#include "proxy/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/downstream.h"
#include "proxy/worker.h"

#define ACCEPTS_A_TURN 64
#define PAUSE_NS       (100 * NS_PER_MS)

/* How many were accepted; -EAGAIN as soon as none waits, or -errno. */
static int accept_some(struct listener *listener, int max)
{
	struct worker *worker = listener->worker;
	struct router_listener *config = router_listener(worker->router, listener->id);
	int n = 0;

	while (n < max) {
		struct addr peer = { .len = sizeof(peer.v6) };
		int fd = accept4(listener->io.fd, &peer.sa, &peer.len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return -errno;
		n++;
		if (!config || worker->stats->connections >= worker->router->config->max_connections) {
			worker_count(&worker->stats->refused);
			close(fd);
			continue;
		}
		downstream_accept(worker, config, fd, &peer);
	}
	return n;
}

static void on_event(struct loop_io *io, uint32_t events)
{
	struct listener *listener = container_of(io, struct listener, io);
	int err = accept_some(listener, ACCEPTS_A_TURN);

	if (err >= 0 || err == -EAGAIN)
		return;
	/* Mostly EMFILE: the queue stays readable, so rest a while instead of spinning. */
	if (log_limit_allow(&listener->worker->log_limit, loop_now(&listener->worker->loop), 10))
		log_error("accept failed", F_ERR(err));
	loop_io_mod(&listener->worker->loop, io, 0);
	loop_timer_set(&listener->worker->loop, &listener->pause_timer, PAUSE_NS);
}

static void on_pause_over(struct loop_timer *timer)
{
	struct listener *listener = container_of(timer, struct listener, pause_timer);

	loop_io_mod(&listener->worker->loop, &listener->io, EPOLLIN);
}

static void listener_free(struct listener *listener)
{
	int fd = listener->io.fd;

	loop_timer_cancel(&listener->worker->loop, &listener->pause_timer);
	loop_io_del(&listener->worker->loop, &listener->io);
	close(fd);
	list_del(&listener->link);
	free(listener);
}

int listener_add(struct worker *worker, uint32_t id, int fd)
{
	struct listener *listener, *next;
	int err;

	list_for_each_safe(listener, next, &worker->listeners, link)
		if (listener->id == id)
			listener_free(listener);
	listener = calloc(1, sizeof(*listener));
	if (!listener) {
		close(fd);
		return -ENOMEM;
	}
	listener->worker = worker;
	listener->id = id;
	listener->io.on_event = on_event;
	listener->pause_timer.on_timer = on_pause_over;
	/* One that the committed config has already (its drain was undone) accepts at once. */
	err = loop_io_add(&worker->loop, &listener->io, fd,
			  worker->router && router_listener(worker->router, id) ? EPOLLIN : 0);
	if (err) {
		close(fd);
		free(listener);
		return err;
	}
	list_add_tail(&worker->listeners, &listener->link);
	return 0;
}

void listener_close(struct listener *listener)
{
	if (listener->worker->router)
		accept_some(listener, INT32_MAX);
	listener_free(listener);
}

void listener_sync(struct worker *worker)
{
	struct listener *listener, *next;

	list_for_each_safe(listener, next, &worker->listeners, link) {
		if (!router_listener(worker->router, listener->id))
			listener_free(listener);
		else if (!loop_timer_is_set(&listener->pause_timer))
			loop_io_mod(&worker->loop, &listener->io, EPOLLIN);
	}
}
