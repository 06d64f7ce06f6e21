/* SPDX-License-Identifier: MIT */
/*
 * test_netlink.c - what the kernel's messages about interfaces say, whole, cut and about something
 * else; a question about one; and a burst of changes in the loop.
 */
#include "control/netlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cm.h"

struct seen {
	struct netlink_link links[8];
	unsigned n, lost;
};

static void see(void *context, const struct netlink_link *link)
{
	struct seen *seen = context;

	assert_true(seen->n < 8);
	seen->links[seen->n++] = *link;
}

struct message {
	_Alignas(struct nlmsghdr) char data[512];
	size_t len;
};

static void begin(struct message *message, unsigned type, int index, unsigned char family)
{
	struct nlmsghdr *header = (void *)message->data;
	struct ifinfomsg *info = NLMSG_DATA(header);

	memset(message, 0, sizeof(*message));
	header->nlmsg_type = (unsigned short)type;
	header->nlmsg_len = NLMSG_LENGTH(sizeof(*info));
	info->ifi_index = index;
	info->ifi_family = family;
	message->len = header->nlmsg_len;
}

static struct rtattr *add(struct message *message, unsigned short type, const void *data,
			  size_t len)
{
	struct rtattr *attr = (void *)(message->data + NLMSG_ALIGN(message->len));

	attr->rta_type = type;
	attr->rta_len = (unsigned short)RTA_LENGTH(len);
	memcpy(RTA_DATA(attr), data, len);
	message->len = NLMSG_ALIGN(message->len) + RTA_SPACE(len);
	((struct nlmsghdr *)(void *)message->data)->nlmsg_len = (unsigned)message->len;
	return attr;
}

static void add_kind(struct message *message, const char *kind)
{
	_Alignas(struct rtattr) char inner[64] = { 0 };
	struct rtattr *attr = (void *)inner;

	attr->rta_type = IFLA_INFO_KIND;
	attr->rta_len = (unsigned short)RTA_LENGTH(strlen(kind) + 1);
	memcpy(RTA_DATA(attr), kind, strlen(kind) + 1);
	add(message, IFLA_LINKINFO, inner, RTA_ALIGN(attr->rta_len));
}

static int read_all(const struct message *message, size_t len, struct seen *seen)
{
	int error = 0;

	memset(seen, 0, sizeof(*seen));
	netlink_read(message->data, len, see, seen, &error);
	return error;
}

static void what_a_message_says_is_read(void **state)
{
	const uint32_t mtu = 9000, lower = 3, master = 9;
	struct message message;
	struct seen seen;

	begin(&message, RTM_NEWLINK, 7, AF_UNSPEC);
	add(&message, IFLA_IFNAME, "eth0.7", sizeof("eth0.7"));
	add(&message, IFLA_MTU, &mtu, sizeof(mtu));
	add(&message, IFLA_LINK, &lower, sizeof(lower));
	add(&message, IFLA_MASTER, &master, sizeof(master));
	add_kind(&message, "vlan");
	assert_int_equal(read_all(&message, message.len, &seen), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.links[0].index, 7);
	assert_string_equal(seen.links[0].name, "eth0.7");
	assert_string_equal(seen.links[0].kind, "vlan");
	assert_int_equal(seen.links[0].mtu, 9000);
	assert_int_equal(seen.links[0].lower, 3);
	assert_int_equal(seen.links[0].master, 9);
	assert_false(seen.links[0].gone);
}

static void what_is_below_in_another_namespace_or_across_a_veth_is_not_below(void **state)
{
	const uint32_t lower = 3, namespace = 0, self = 7;
	struct message message;
	struct seen seen;

	begin(&message, RTM_NEWLINK, 7, AF_UNSPEC);
	add(&message, IFLA_IFNAME, "m0", sizeof("m0"));
	add(&message, IFLA_LINK, &lower, sizeof(lower));
	add(&message, IFLA_LINK_NETNSID, &namespace, sizeof(namespace));
	read_all(&message, message.len, &seen);
	assert_int_equal(seen.links[0].lower, 0);
	begin(&message, RTM_NEWLINK, 7, AF_UNSPEC);
	add(&message, IFLA_IFNAME, "v0", sizeof("v0"));
	add(&message, IFLA_LINK, &lower, sizeof(lower));
	add_kind(&message, "veth");
	read_all(&message, message.len, &seen);
	assert_int_equal(seen.links[0].lower, 0);
	begin(&message, RTM_NEWLINK, 7, AF_UNSPEC);
	add(&message, IFLA_IFNAME, "e0", sizeof("e0"));
	add(&message, IFLA_LINK, &self, sizeof(self));
	read_all(&message, message.len, &seen);
	assert_int_equal(seen.links[0].lower, 0);
}

/* A port that leaves a bridge is told of as a link of the bridge that is gone. */
static void messages_of_other_families_and_types_are_none(void **state)
{
	struct message message;
	struct seen seen;

	begin(&message, RTM_DELLINK, 7, AF_BRIDGE);
	add(&message, IFLA_IFNAME, "eth0", sizeof("eth0"));
	read_all(&message, message.len, &seen);
	assert_int_equal(seen.n, 0);
	begin(&message, RTM_NEWADDR, 7, AF_UNSPEC);
	read_all(&message, message.len, &seen);
	assert_int_equal(seen.n, 0);
	begin(&message, RTM_DELLINK, 7, AF_UNSPEC);
	add(&message, IFLA_IFNAME, "eth0", sizeof("eth0"));
	read_all(&message, message.len, &seen);
	assert_int_equal(seen.n, 1);
	assert_true(seen.links[0].gone);
}

static void a_message_that_is_cut_is_never_read_beyond_its_end(void **state)
{
	struct message message;
	struct seen seen;

	begin(&message, RTM_NEWLINK, 7, AF_UNSPEC);
	add(&message, IFLA_IFNAME, "a-long-name-15.", sizeof("a-long-name-15."));
	add_kind(&message, "bond");
	for (size_t len = 0; len < message.len; len++) {
		char *copy = malloc(len ? len : 1); /* so that a sanitizer sees the end */
		int error = 0;

		assert_non_null(copy);
		memcpy(copy, message.data, len);
		memset(&seen, 0, sizeof(seen));
		netlink_read(copy, len, see, &seen, &error);
		assert_int_equal(seen.n, 0);
		if (len >= sizeof(struct nlmsghdr)) { /* a length that fits, and attributes that are cut */
			((struct nlmsghdr *)(void *)copy)->nlmsg_len = (unsigned)len;
			netlink_read(copy, len, see, &seen, &error);
		}
		free(copy);
	}
}

static void an_error_is_handed_on(void **state)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
	} message = { .header = { .nlmsg_len = sizeof(message), .nlmsg_type = NLMSG_ERROR },
		      .error = { .error = -ENODEV } };
	struct seen seen = { 0 };
	int error = 0;

	netlink_read(&message, sizeof(message), see, &seen, &error);
	assert_int_equal(error, -ENODEV);
	assert_int_equal(seen.n, 0);
}

static void an_interface_is_asked_for_by_its_name(void **state)
{
	struct netlink_link link = { .mtu = 1 };

	if (netlink_get("lo", &link)) {
		printf("SKIP: no rtnetlink here\n");
		skip();
	}
	assert_string_equal(link.name, "lo");
	assert_int_equal(link.index, if_nametoindex("lo"));
	assert_int_equal(netlink_get("none0", &link), -ENODEV);
	assert_int_equal(netlink_get("a-name-of-more-than-15-characters", &link), -ENODEV);
	assert_string_equal(link.name, "lo"); /* untouched */
}

struct listening {
	struct netlink netlink;
	struct seen seen;
	bool close;
};

static void on_link(struct netlink *netlink, const struct netlink_link *link)
{
	struct listening *listening = container_of(netlink, struct listening, netlink);

	if (!link)
		listening->seen.lost++;
	else if (!strncmp(link->name, "sltbr", 5) && listening->seen.n < 8)
		listening->seen.links[listening->seen.n++] = *link;
	if (listening->close)
		netlink_close(netlink);
}

static void links_that_come_and_go_are_told_of(void **state)
{
	struct listening listening = { .netlink.on_link = on_link };
	struct loop loop;

	if (unshare(CLONE_NEWNET)) {
		printf("SKIP: no network namespace of our own (%s)\n", strerror(errno));
		skip();
	}
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(netlink_open(&listening.netlink, &loop), 0);
	if (system("ip link add sltbr0 type bridge 2>/dev/null")) {
		printf("SKIP: no bridges here\n");
		netlink_close(&listening.netlink);
		loop_done(&loop);
		skip();
	}
	assert_int_equal(loop_turn(&loop), 0);
	assert_true(listening.seen.n > 0);
	assert_string_equal(listening.seen.links[0].kind, "bridge");
	listening.seen.n = 0;
	assert_int_equal(system("ip link del sltbr0"), 0);
	assert_int_equal(loop_turn(&loop), 0);
	assert_true(listening.seen.n > 0);
	assert_true(listening.seen.links[listening.seen.n - 1].gone);
	listening.close = true; /* from inside */
	assert_int_equal(system("ip link add sltbr1 type bridge && ip link del sltbr1"), 0);
	listening.seen.n = 0;
	assert_int_equal(loop_turn(&loop), 0);
	assert_true(listening.seen.n <= 1);
	netlink_close(&listening.netlink);
	loop_done(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_message_says_is_read),
		cmocka_unit_test(what_is_below_in_another_namespace_or_across_a_veth_is_not_below),
		cmocka_unit_test(messages_of_other_families_and_types_are_none),
		cmocka_unit_test(a_message_that_is_cut_is_never_read_beyond_its_end),
		cmocka_unit_test(an_error_is_handed_on),
		cmocka_unit_test(an_interface_is_asked_for_by_its_name),
		cmocka_unit_test(links_that_come_and_go_are_told_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
