/* SPDX-License-Identifier: MIT */
/*
 * transport.c - non-blocking sockets with and without TLS, behind transport.h. h2.c is its only
 * caller. It never decides to close: errors are reported, the owner closes.
 */
#include "proxy/transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/tls.h"

#define STALL_MS 60000u
/* TCP's keepalive, where we connect: a host that is gone is found by STALL_MS, without PINGs that its
 * server may find too many. */
#define KEEPALIVE_IDLE_S     15
#define KEEPALIVE_INTERVAL_S 10

static void update_events(struct transport *transport)
{
	uint32_t events = 0;

	if (transport->state == TRANSPORT_CONNECTING || transport->want_write)
		events |= EPOLLOUT;
	if (transport->state == TRANSPORT_HANDSHAKE ||
	    (transport->state == TRANSPORT_OPEN && transport->want_read))
		events |= EPOLLIN;
	loop_io_mod(transport->loop, &transport->io, events);
}

static void step_handshake(struct transport *transport)
{
	int rc = tls_has_output(transport->tls) ? tls_flush(transport->tls) : 0;

	if (!rc)
		rc = tls_handshake(transport->tls);
	transport->want_write = tls_has_output(transport->tls);
	if (rc == 1) {
		transport->state = TRANSPORT_OPEN;
		update_events(transport);
		transport->events->on_open(transport);
	} else if (rc == -EAGAIN) {
		update_events(transport);
	} else {
		transport->events->on_failed(transport, -rc);
	}
}

static void step_connect(struct transport *transport)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(transport->io.fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	if (err) {
		transport->events->on_failed(transport, err);
		return;
	}
	transport->want_write = false;
	if (transport->tls) {
		transport->state = TRANSPORT_HANDSHAKE;
		step_handshake(transport);
		return;
	}
	transport->state = TRANSPORT_OPEN;
	update_events(transport);
	transport->events->on_open(transport);
}

static void on_event(struct loop_io *io, uint32_t events)
{
	struct transport *transport = container_of(io, struct transport, io);

	if (transport->state == TRANSPORT_CONNECTING) {
		step_connect(transport);
		return;
	}
	if (transport->state == TRANSPORT_HANDSHAKE) {
		step_handshake(transport);
		return;
	}
	if (events & EPOLLOUT && transport->want_write) {
		int rc = transport->tls ? tls_flush(transport->tls) : 0;

		if (rc != -EAGAIN) {
			transport->want_write = false;
			update_events(transport);
			transport->events->on_writable(transport);
		}
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && transport->state == TRANSPORT_OPEN &&
	    (transport->want_read || events & (EPOLLHUP | EPOLLERR)))
		transport->events->on_readable(transport);
}

static int transport_init(struct transport *transport, struct loop *loop, int fd, uint32_t events)
{
	/* A peer that acknowledges nothing, or keeps its window shut, is gone. */
	unsigned stall_ms = STALL_MS;
	int one = 1;

	transport->loop = loop;
	transport->want_read = true;
	transport->io.on_event = on_event;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall_ms, sizeof(stall_ms));
	return loop_io_add(loop, &transport->io, fd, events);
}

static void keep_alive(int fd)
{
	int one = 1, idle_s = KEEPALIVE_IDLE_S, interval_s = KEEPALIVE_INTERVAL_S;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
}

int transport_accept(struct transport *transport, struct loop *loop, int fd,
		     struct tls_context *tls_context, const struct transport_events *events)
{
	int err;

	memset(transport, 0, sizeof(*transport));
	transport->events = events;
	/* Cleartext: writable at once, which reports on_open. */
	transport->state = tls_context ? TRANSPORT_HANDSHAKE : TRANSPORT_CONNECTING;
	if (tls_context) {
		transport->tls = tls_new(tls_context, fd);
		if (!transport->tls)
			return -ENOMEM;
	}
	err = transport_init(transport, loop, fd, tls_context ? EPOLLIN : EPOLLOUT);
	if (err) {
		tls_free(transport->tls);
		transport->tls = NULL;
	}
	return err;
}

int transport_connect(struct transport *transport, struct loop *loop, const struct addr *to,
		      struct tls_context *tls_context, const char *server_name,
		      const struct transport_events *events)
{
	int fd, err;

	memset(transport, 0, sizeof(*transport));
	transport->events = events;
	transport->state = TRANSPORT_CONNECTING;
	fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, &to->sa, to->len) && errno != EINPROGRESS) {
		err = -errno;
		close(fd);
		return err;
	}
	if (tls_context) {
		transport->tls = tls_connect_new(tls_context, fd, to, server_name);
		if (!transport->tls) {
			close(fd);
			return -ENOMEM;
		}
	}
	keep_alive(fd);
	err = transport_init(transport, loop, fd, EPOLLOUT);
	if (err) {
		tls_free(transport->tls);
		transport->tls = NULL;
		close(fd);
	}
	return err;
}

ssize_t transport_read(struct transport *transport, void *buf, size_t size)
{
	ssize_t n;

	if (transport->tls) {
		n = tls_read(transport->tls, buf, size);
		if (tls_has_output(transport->tls) && !transport->want_write) {
			transport->want_write = true;
			update_events(transport);
		}
		return n;
	}
	do
		n = recv(transport->io.fd, buf, size, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

bool transport_pending(const struct transport *transport)
{
	return transport->tls && tls_has_input(transport->tls);
}

ssize_t transport_write(struct transport *transport, const void *buf, size_t size)
{
	ssize_t n;
	bool blocked;

	if (transport->tls) {
		n = tls_write(transport->tls, buf, size);
		blocked = tls_has_output(transport->tls);
	} else {
		do
			n = send(transport->io.fd, buf, size, MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			n = -errno;
		blocked = n == -EAGAIN || (n >= 0 && (size_t)n < size);
	}
	if (blocked && !transport->want_write) {
		transport->want_write = true;
		update_events(transport);
	}
	return n;
}

bool transport_blocked(const struct transport *transport)
{
	return transport->want_write;
}

void transport_yield(struct transport *transport)
{
	transport->want_write = true;
	update_events(transport);
}

void transport_want_read(struct transport *transport, bool want)
{
	transport->want_read = want;
	if (transport->state == TRANSPORT_OPEN)
		update_events(transport);
}

void transport_shutdown(struct transport *transport)
{
	if (transport->state == TRANSPORT_CLOSED)
		return;
	if (transport->tls)
		tls_shutdown(transport->tls);
	shutdown(transport->io.fd, SHUT_WR);
}

const char *transport_error(const struct transport *transport)
{
	return transport->tls ? tls_error(transport->tls) : "no TLS";
}

void transport_close(struct transport *transport)
{
	int fd = transport->io.fd;

	if (transport->state == TRANSPORT_CLOSED)
		return;
	transport->state = TRANSPORT_CLOSED;
	loop_io_del(transport->loop, &transport->io);
	tls_free(transport->tls);
	transport->tls = NULL;
	if (fd >= 0)
		close(fd);
}
