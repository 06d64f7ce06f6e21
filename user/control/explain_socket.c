/* SPDX-License-Identifier: MIT */
/*
 * explain_socket.c - see explain_socket.h. Called by explain.c. One dump a family: an IPv4 connection
 * belongs to an IPv6 socket where the listener is [::].
 */
#include "control/explain_socket.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define DIAG_BUFFER 16384
#define DIAG_WAIT_MS 500

struct diag_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 diag;
};

static int diag_open(void)
{
	const struct timeval patience = { .tv_usec = DIAG_WAIT_MS * 1000 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static int diag_ask(int fd, uint8_t family, uint16_t local_port, uint16_t remote_port)
{
	struct diag_request request = {
		.header = { .nlmsg_len = sizeof(request), .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.diag = { .sdiag_family = family, .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = ~(1u << TCP_LISTEN | 1u << TCP_CLOSE),
			  .id.idiag_sport = htons(local_port), .id.idiag_dport = htons(remote_port) },
	};

	return send(fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request) ? 0 : -errno;
}

static void mapped(uint8_t bytes[16], uint8_t family, const __be32 words[4])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	if (family == AF_INET6) {
		memcpy(bytes, words, 16);
		return;
	}
	memcpy(bytes, prefix, sizeof(prefix));
	memcpy(bytes + 12, words, 4);
}

static int is_between(const struct inet_diag_msg *found, const struct addr *local,
		      const struct addr *remote)
{
	uint8_t want[16], got[16];

	addr_to_mapped(local, want);
	mapped(got, found->idiag_family, found->id.idiag_src);
	if (memcmp(want, got, sizeof(want)))
		return 0;
	addr_to_mapped(remote, want);
	mapped(got, found->idiag_family, found->id.idiag_dst);
	return !memcmp(want, got, sizeof(want));
}

/* Reads a dump to its end. */
static int diag_read(int fd, const struct addr *local, const struct addr *remote)
{
	union {
		struct nlmsghdr header;
		char bytes[DIAG_BUFFER];
	} buffer;
	int state = 0;

	for (;;) {
		ssize_t n = recv(fd, buffer.bytes, sizeof(buffer.bytes), 0);
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		for (struct nlmsghdr *message = &buffer.header; NLMSG_OK(message, (unsigned)left);
		     message = NLMSG_NEXT(message, left)) {
			const struct inet_diag_msg *found = NLMSG_DATA(message);
			const struct nlmsgerr *error = NLMSG_DATA(message);

			if (message->nlmsg_type == NLMSG_DONE)
				return state;
			if (message->nlmsg_type == NLMSG_ERROR)
				return error->error ? error->error : state;
			if (message->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
			    message->nlmsg_len >= NLMSG_LENGTH(sizeof(*found)) &&
			    is_between(found, local, remote))
				state = found->idiag_state;
		}
	}
}

int explain_socket_state(const struct addr *local, const struct addr *remote)
{
	static const uint8_t families[] = { AF_INET6, AF_INET };
	int fd = diag_open(), state = 0;

	if (fd < 0)
		return fd;
	/* No connection of IPv6 addresses belongs to an IPv4 socket. */
	for (int i = 0; i < (local->sa.sa_family == AF_INET ? 2 : 1) && !state; i++) {
		state = diag_ask(fd, families[i], addr_port(local), addr_port(remote));
		if (!state)
			state = diag_read(fd, local, remote);
	}
	close(fd);
	return state;
}
