/* SPDX-License-Identifier: MIT */
/*
 * netlink.c - see netlink.h. Called by kernel_interfaces.c. A turn reads a bounded number of
 * datagrams: a machine where links come and go by the thousand does not stop the supervisor.
 */
#include "control/netlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAMS_A_TURN 64
#define DATAGRAM_BYTES	 32768 /* the kernel's own bound of one */
#define ANSWER_MS	 1000

static void copy_text(char *to, size_t size, const struct rtattr *attr)
{
	snprintf(to, size, "%.*s", (int)RTA_PAYLOAD(attr), (const char *)RTA_DATA(attr));
}

static uint32_t number(const struct rtattr *attr)
{
	uint32_t value = 0;

	if (RTA_PAYLOAD(attr) >= sizeof(value))
		memcpy(&value, RTA_DATA(attr), sizeof(value));
	return value;
}

static void read_kind(struct netlink_link *link, struct rtattr *info)
{
	struct rtattr *attr = RTA_DATA(info);
	int left = (int)RTA_PAYLOAD(info); /* may go below 0: lengths are rounded up */

	for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left))
		if (attr->rta_type == IFLA_INFO_KIND)
			copy_text(link->kind, sizeof(link->kind), attr);
}

/* False: about something else than a link of its own, as a port that leaves a bridge. */
static bool read_link(const struct nlmsghdr *message, struct netlink_link *link)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);
	bool elsewhere = false;
	struct rtattr *attr;
	int left;

	memset(link, 0, sizeof(*link));
	if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK)
		return false;
	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) || info->ifi_family != AF_UNSPEC)
		return false;
	link->index = info->ifi_index;
	link->gone = message->nlmsg_type == RTM_DELLINK;
	attr = IFLA_RTA(info);
	left = (int)IFLA_PAYLOAD(message);
	for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
		switch (attr->rta_type) {
		case IFLA_IFNAME:
			copy_text(link->name, sizeof(link->name), attr);
			break;
		case IFLA_MTU:
			link->mtu = number(attr);
			break;
		case IFLA_LINK:
			link->lower = (int)number(attr);
			break;
		case IFLA_LINK_NETNSID:
			elsewhere = true;
			break;
		case IFLA_MASTER:
			link->master = (int)number(attr);
			break;
		case IFLA_LINKINFO:
			read_kind(link, attr);
			break;
		}
	}
	/* What a veth's other end gets is not what this one gets. */
	if (elsewhere || link->lower == link->index || !strcmp(link->kind, "veth"))
		link->lower = 0;
	return link->index > 0 && link->name[0];
}

void netlink_read(const void *data, size_t len,
		  void (*on_link)(void *context, const struct netlink_link *link), void *context,
		  int *ret_error)
{
	const struct nlmsghdr *message = data;
	int left = (int)len;

	/* NLMSG_OK, without its comparison of signs. */
	for (; left >= (int)sizeof(*message) && message->nlmsg_len >= sizeof(*message) &&
	       message->nlmsg_len <= (unsigned)left;
	     message = NLMSG_NEXT(message, left)) {
		struct netlink_link link;

		if (message->nlmsg_type == NLMSG_ERROR &&
		    message->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr)))
			*ret_error = ((const struct nlmsgerr *)NLMSG_DATA(message))->error;
		else if (read_link(message, &link))
			on_link(context, &link);
	}
}

/* The loop */

static void tell(void *context, const struct netlink_link *link)
{
	struct netlink *netlink = context;

	if (netlink->loop) /* the one before may have closed it */
		netlink->on_link(netlink, link);
}

static void on_readable(struct loop_io *io, uint32_t events)
{
	struct netlink *netlink = container_of(io, struct netlink, io);
	_Alignas(struct nlmsghdr) char data[DATAGRAM_BYTES];
	int error;

	for (int i = 0; i < DATAGRAMS_A_TURN && netlink->loop; i++) {
		ssize_t n = recv(io->fd, data, sizeof(data), MSG_DONTWAIT);

		if (n < 0 && errno == ENOBUFS)
			netlink->on_link(netlink, NULL);
		else if (n <= 0)
			return;
		else
			netlink_read(data, (size_t)n, tell, netlink, &error);
	}
}

static int open_socket(uint32_t groups)
{
	const struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = groups };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address))) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

int netlink_open(struct netlink *netlink, struct loop *loop)
{
	int fd = open_socket(RTMGRP_LINK), ret;

	if (fd < 0)
		return fd;
	netlink->io = (struct loop_io){ .fd = -1, .on_event = on_readable };
	ret = loop_io_add(loop, &netlink->io, fd, EPOLLIN);
	if (ret) {
		close(fd);
		return ret;
	}
	netlink->loop = loop;
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	int fd = netlink->io.fd;

	if (!netlink->loop)
		return;
	loop_io_del(netlink->loop, &netlink->io);
	close(fd);
	netlink->loop = NULL;
}

/* One question */

struct answer {
	struct netlink_link link;
	bool found;
};

static void take_answer(void *context, const struct netlink_link *link)
{
	struct answer *answer = context;

	answer->link = *link;
	answer->found = true;
}

int netlink_get(const char *name, struct netlink_link *ret_link)
{
	const struct timeval wait = { .tv_sec = ANSWER_MS / 1000 };
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
		struct rtattr attr;
		char name[IF_NAMESIZE];
	} question = { 0 };
	_Alignas(struct nlmsghdr) char data[DATAGRAM_BYTES];
	struct answer answer = { 0 };
	size_t len = strlen(name) + 1;
	int fd, err = 0;
	ssize_t n;

	if (len > sizeof(question.name))
		return -ENODEV;
	fd = open_socket(0);
	if (fd < 0)
		return fd;
	question.header.nlmsg_len =
		(uint32_t)(offsetof(typeof(question), name) + NLMSG_ALIGN(len));
	question.header.nlmsg_type = RTM_GETLINK;
	question.header.nlmsg_flags = NLM_F_REQUEST;
	question.attr.rta_type = IFLA_IFNAME;
	question.attr.rta_len = (unsigned short)RTA_LENGTH(len);
	memcpy(question.name, name, len);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (send(fd, &question, question.header.nlmsg_len, 0) < 0) {
		err = -errno;
		goto out;
	}
	n = recv(fd, data, sizeof(data), 0);
	if (n < 0) {
		err = -errno;
		goto out;
	}
	netlink_read(data, (size_t)n, take_answer, &answer, &err);
	if (answer.found)
		*ret_link = answer.link;
	else if (!err)
		err = -ENODEV;
out:
	close(fd);
	return err;
}
