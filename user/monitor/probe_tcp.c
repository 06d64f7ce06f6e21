/* SPDX-License-Identifier: MIT */
/*
 * probe_tcp.c - a health check by a TCP connect alone, see probe.h: the backend's kernel accepts.
 * Called by probe.c. Nothing is sent; a connection that is made is closed in order.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/probe_internal.h"

static void on_connected(struct loop_io *io, uint32_t events)
{
	struct probe *probe = container_of(io, struct probe, tcp);
	struct health_result result = { SLUICE_REASON_NONE, 0 };
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	probe_tcp_stop(probe);
	if (err)
		result = (struct health_result){ SLUICE_REASON_CONNECT, (uint32_t)err };
	probe_finish(probe, probe_errno_is_local(err) ? PROBE_LOCAL : PROBE_CHECKED, result);
}

void probe_tcp_start(struct probe *probe)
{
	int fd = socket(probe->to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0) {
		probe_fail_later(probe, errno);
		return;
	}
	if (connect(fd, &probe->to.sa, probe->to.len) && errno != EINPROGRESS) {
		err = errno;
		close(fd);
		probe_fail_later(probe, err);
		return;
	}
	probe->tcp.on_event = on_connected;
	err = loop_io_add(probe->loop, &probe->tcp, fd, EPOLLOUT);
	if (err) {
		probe->tcp.fd = -1;
		close(fd);
		probe_fail_later(probe, -err);
	}
}

void probe_tcp_stop(struct probe *probe)
{
	int fd = probe->tcp.fd;

	if (fd < 0)
		return;
	loop_io_del(probe->loop, &probe->tcp);
	probe->tcp.fd = -1;
	close(fd);
}
