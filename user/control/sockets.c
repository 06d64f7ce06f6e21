/* SPDX-License-Identifier: MIT */
/*
 * sockets.c - see sockets.h. Owned by the supervisor; bind and listen are apart so that the kernel
 * maps can hold a listener's limits before its first packet is accepted.
 */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "control/sockets.h"

#define SOCKETS_BACKLOG 4096 /* the kernel caps it at net.core.somaxconn */

void sockets_init(struct sockets *sockets, uint32_t slots)
{
	memset(sockets, 0, sizeof(*sockets));
	sockets->slots = slots;
}

static void row_close(struct socket_row *row, uint32_t slots)
{
	for (uint32_t slot = 0; row->used && slot < slots; slot++)
		if (row->fds[slot] >= 0)
			close(row->fds[slot]);
	row->used = row->listening = false;
}

void sockets_done(struct sockets *sockets)
{
	for (uint32_t id = 0; id < SLUICE_MAX_LISTENERS; id++)
		row_close(&sockets->rows[id], sockets->slots);
}

static int socket_bound(const struct addr *address, bool shared)
{
	const int on = 1, off = 0, reuse = shared;
	int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &reuse, sizeof(reuse)) ||
	    /* "[::]" takes IPv4 too, whatever net.ipv6.bindv6only says. */
	    (address->sa.sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off))) ||
	    /* Inherited by the connections: HTTP/2 writes whole turns, Nagle only delays them. */
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
	    bind(fd, &address->sa, address->len)) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	return fd;
}

/* Another process of this user can join the SO_REUSEPORT group, a second sluiced for one: then
 * each gets a share of the connections, which is seldom what was meant. */
static bool is_shared(const struct sockets *sockets, const struct addr *address)
{
	for (uint32_t id = 0; id < SLUICE_MAX_LISTENERS; id++)
		if (sockets->rows[id].used &&
		    addr_port(&sockets->rows[id].address) == addr_port(address))
			return false; /* our own socket would stand in the way */
	int fd = socket_bound(address, false);

	if (fd >= 0)
		close(fd);
	return fd == -EADDRINUSE;
}

static int row_bind(struct socket_row *row, const struct addr *address, uint32_t slots)
{
	row->address = *address;
	row->listening = false;
	for (uint32_t slot = 0; slot < slots; slot++)
		row->fds[slot] = -1;
	row->used = true;
	for (uint32_t slot = 0; slot < slots; slot++) {
		int fd = socket_bound(address, true);

		if (fd < 0) {
			row_close(row, slots);
			return fd;
		}
		row->fds[slot] = fd;
	}
	return 0;
}

static void warn_shared(const struct config_listener *listener)
{
	char text[ADDR_TEXT_MAX];

	log_warn("another process listens here too: connections are shared with it",
		 F_STR("listener", listener->name),
		 F_STR("address", addr_format(&listener->address, text, sizeof(text))));
}

int sockets_bind(struct sockets *sockets, const struct config *config,
		 const struct config_listener **failed)
{
	for (size_t i = 0; i < config->n_listeners; i++) {
		const struct config_listener *listener = &config->listeners[i];
		struct socket_row *row = &sockets->rows[listener->id];

		if (row->used || row->drained)
			continue;
		bool shared = is_shared(sockets, &listener->address);
		int ret = row_bind(row, &listener->address, sockets->slots);

		if (!ret) {
			if (shared)
				warn_shared(listener);
			continue;
		}
		*failed = listener;
		for (uint32_t id = 0; id < SLUICE_MAX_LISTENERS; id++)
			if (!sockets->rows[id].listening)
				row_close(&sockets->rows[id], sockets->slots);
		return ret;
	}
	return 0;
}

int sockets_listen(struct sockets *sockets, const struct config *config,
		   const struct config_listener **failed)
{
	for (size_t i = 0; i < config->n_listeners; i++) {
		struct socket_row *row = &sockets->rows[config->listeners[i].id];

		if (row->listening || row->drained)
			continue;
		for (uint32_t slot = 0; slot < sockets->slots; slot++) {
			if (listen(row->fds[slot], SOCKETS_BACKLOG)) {
				*failed = &config->listeners[i];
				return -errno;
			}
		}
		row->listening = true;
	}
	return 0;
}

void sockets_keep(struct sockets *sockets, const struct config *config)
{
	bool wanted[SLUICE_MAX_LISTENERS] = { false };

	for (size_t i = 0; i < config->n_listeners; i++)
		wanted[config->listeners[i].id] = true;
	for (uint32_t id = 0; id < SLUICE_MAX_LISTENERS; id++)
		if (!wanted[id]) {
			row_close(&sockets->rows[id], sockets->slots);
			sockets->rows[id].drained = false;
		}
}

void sockets_close_row(struct sockets *sockets, uint32_t id)
{
	row_close(&sockets->rows[id], sockets->slots);
}

void sockets_refuse_new(struct socket_row *row, uint32_t slots)
{
	/* A TCP socket's filter sees the packet from its TCP header on; byte 13 holds the flags. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12), /* SYN, ACK */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	const struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	/* Where it cannot be attached, the kernel goes on accepting until the sockets close. */
	for (uint32_t slot = 0; row->used && slot < slots; slot++)
		setsockopt(row->fds[slot], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

void sockets_refuse_all(struct sockets *sockets)
{
	for (uint32_t id = 0; id < SLUICE_MAX_LISTENERS; id++)
		sockets_refuse_new(&sockets->rows[id], sockets->slots);
}
