/* SPDX-License-Identifier: MIT */
/*
 * netlink.h - interfaces that come, go and change, as the kernel tells of them (rtnetlink), for the
 * supervisor's loop; and one question about an interface by its name. Of the current network
 * namespace. Changes nothing, knows nothing of XDP.
 */
#ifndef SLUICE_CONTROL_NETLINK_H
#define SLUICE_CONTROL_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

struct netlink_link {
	int index;
	bool gone;
	char name[IF_NAMESIZE];
	char kind[16]; /* "vlan", "bond", "veth"...; "": hardware, or the kernel does not say */
	uint32_t mtu;
	int lower;  /* stands on this one (VLAN, macvlan); 0: on none in this namespace */
	int master; /* is a part of this one (bond, bridge); 0: of none */
};

struct netlink {
	struct loop *loop; /* NULL: not open */
	struct loop_io io;
	/* A link is new, has changed, or is gone. NULL: some were lost, any may have changed. */
	void (*on_link)(struct netlink *netlink, const struct netlink_link *link);
};

/* on_link must be set. 0 or -errno. */
int netlink_open(struct netlink *netlink, struct loop *loop);
/* Also where it is not open. */
void netlink_close(struct netlink *netlink);

/* 0, -ENODEV where there is none, -errno with *ret_link untouched. Waits for the kernel's answer. */
int netlink_get(const char *name, struct netlink_link *ret_link);

/* What one datagram of the kernel says: on_link for each link in it, *ret_error is what an error
 * message in it says, if there is one. */
void netlink_read(const void *data, size_t len,
		  void (*on_link)(void *context, const struct netlink_link *link), void *context,
		  int *ret_error);

#endif
