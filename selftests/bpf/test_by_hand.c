/* SPDX-License-Identifier: MIT */
/*
 * test_by_hand.c - the objects without sluiced: the shell blocks of docs/MAPS.md are run as they
 * stand, on a veth in a namespace of the test's own, with a client behind the other end; and
 * bpftool prints the names of all fields.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "gate_help.h"
#include "world_help.h"

static pid_t client; /* holds the client's namespace */

/* Runs the block of docs/MAPS.md between these marks, by bash -e. */
static int run_block(const char *mark)
{
	return run_command("sed -n '/<!-- %s: begin -->/,/<!-- %s: end -->/p' docs/MAPS.md | "
			   "grep -v '^<!--\\|^```' | bash -euo pipefail >/dev/null", mark, mark);
}

static int pinned(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", world_pins, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return fd;
}

static uint64_t verdict_count(unsigned reason)
{
	struct sluice_verdict_count count;
	int fd = pinned("verdicts");

	sum_cpus(fd, reason, (__u64 *)&count, 2);
	close(fd);
	return count.packets;
}

static int setup(void **state)
{
	setenv("PIN", world_pins, 1);
	setenv("DEV", "v0", 1);
	setenv("BUILD", getenv("SLUICE_BUILD") ? getenv("SLUICE_BUILD") : "build", 1);
	client = fork();
	if (!client) {
		if (unshare(CLONE_NEWNET))
			_exit(1);
		for (;;)
			pause();
	}
	/* Until the child has its namespace the peer would land in ours. */
	for (int i = 0; i < 500 && run_command("test $(readlink /proc/%d/ns/net) != "
					       "$(readlink /proc/self/ns/net)", client); i++)
		usleep(10 * 1000);
	return run_command("ip link add v0 type veth peer name v1 netns %d && "
			   "ip addr add 198.18.0.1/24 dev v0 && ip link set v0 up && "
			   "nsenter -t %d -n sh -c 'ip addr add 198.18.0.9/24 dev v1 && "
			   "ip addr add 198.18.0.66/24 dev v1 && ip link set v1 up'",
			   client, client);
}

static int teardown(void **state)
{
	run_command("ip link del v0; rm -rf %s", world_pins);
	kill(client, SIGKILL);
	waitpid(client, NULL, 0);
	return 0;
}

/* A connect from the client's side: 0, ECONNREFUSED, or ETIMEDOUT after 700 ms. */
static int connect_from(const char *source, uint16_t port)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct sockaddr_in from = { .sin_family = AF_INET }, to = { .sin_family = AF_INET };
		char path[64];
		struct pollfd ready = { .events = POLLOUT };
		int err = 0;
		socklen_t len = sizeof(err);

		snprintf(path, sizeof(path), "/proc/%d/ns/net", client);
		if (setns(open(path, O_RDONLY), CLONE_NEWNET))
			_exit(255);
		from.sin_addr.s_addr = inet_addr(source);
		to.sin_addr.s_addr = inet_addr("198.18.0.1");
		to.sin_port = htons(port);
		ready.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (bind(ready.fd, (struct sockaddr *)&from, sizeof(from)))
			_exit(254);
		if (!connect(ready.fd, (struct sockaddr *)&to, sizeof(to)))
			_exit(0);
		if (errno != EINPROGRESS || !poll(&ready, 1, 700))
			_exit(ETIMEDOUT);
		getsockopt(ready.fd, SOL_SOCKET, SO_ERROR, &err, &len);
		_exit(err);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static int listen_here(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void the_documented_commands_make_a_gate_that_works(void **state)
{
	int listener = listen_here(8443);

	assert_int_equal(run_block("by hand"), 0);
	assert_int_equal(run_block("by hand, pick"), 0);
	assert_int_equal(connect_from("198.18.0.9", 8443), 0);
	assert_int_equal(verdict_count(VERDICT_PASS_NEW), 1);
	/* The handshake's last packet may still be on its way. */
	for (int i = 0; i < 200 && !verdict_count(VERDICT_PASS_ESTABLISHED); i++)
		usleep(10 * 1000);
	assert_true(verdict_count(VERDICT_PASS_ESTABLISHED) >= 1);
	assert_int_equal(connect_from("198.18.0.66", 8443), ETIMEDOUT);
	assert_int_equal(verdict_count(VERDICT_DROP_ACL), 1);
	/* The port next to it is not ours: refused by the stack. */
	assert_int_equal(connect_from("198.18.0.66", 8444), ECONNREFUSED);
	assert_int_equal(verdict_count(VERDICT_DROP_ACL), 1);
	assert_int_equal(run_block("by hand, the end"), 0);
	assert_false(path_exists(world_pins, ""));
	assert_int_equal(connect_from("198.18.0.66", 8443), 0);
	close(listener);
}

static void a_group_edited_as_documented_resets_connections(void **state)
{
	struct sluice_group group = {
		.live = 2, .total = 3, .on_all_down = SLUICE_ALL_DOWN_RESET, .used = 1, .name = "g",
	};
	struct sluice_listener listener = { .id = 1, .group = 0 };
	struct sluice_listener_key key = { .port = htons(8443), .protocol = IPPROTO_TCP };
	int socket_fd = listen_here(8443), fd;
	__u32 zero = 0;

	assert_int_equal(run_block("by hand"), 0);
	/* A native program on the client's side, so that veth takes what XDP_TX sends; the gate
	 * itself will do, since there nothing is its own. */
	assert_int_equal(run_command("nsenter -t %d -n bpftool net attach xdp pinned "
				     "%s/programs/gate dev v1", client, world_pins), 0);
	fd = pinned("groups");
	assert_int_equal(bpf_map_update_elem(fd, &zero, &group, BPF_ANY), 0);
	map_address(key.address, "198.18.0.1");
	close(fd);
	fd = pinned("listeners");
	assert_int_equal(bpf_map_update_elem(fd, &key, &listener, BPF_ANY), 0);
	close(fd);
	assert_int_equal(connect_from("198.18.0.9", 8443), 0);
	assert_int_equal(run_block("by hand, group"), 0);
	fd = pinned("groups");
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &group), 0);
	close(fd);
	assert_int_equal(group.live, 0);
	assert_int_equal(group.total, 3);
	assert_string_equal(group.name, "g");
	/* The client's kernel takes the RST: its addresses, ports and sums are right. */
	assert_int_equal(connect_from("198.18.0.9", 8443), ECONNREFUSED);
	assert_true(verdict_count(VERDICT_RESET_ALL_DOWN) >= 1);
	close(socket_fd);
}

static void bpftool_prints_the_names_of_fields(void **state)
{
	static const struct {
		const char *map, *key, *value;
	} want[] = {
		{ "listeners", "\"address\"", "\"source_interval_ns\"" },
		{ "workers", "\"key\"", "\"heartbeat_ns\"" },
		{ "groups", "\"key\"", "\"on_all_down\"" },
		{ "backends", "\"key\"", "\"health_changed_ns\"" },
		{ "acls", "\"key\"", "\"active\"" },
		{ "switches", "\"key\"", "\"events_mask\"" },
		{ "sources", "\"listener\"", "\"tat_ns\"" },
		{ "listener_times", "\"key\"", "\"tat_ns\"" },
		{ "listener_stats", "\"cpu\"", "\"pick_fallback\"" },
		{ "verdicts", "\"cpu\"", "\"packets\"" },
		{ "meta", "\"key\"", "\"layout_hash\"" },
	};
	struct sluice_source_key source_key = { .listener = 1 };
	struct sluice_source source = { .tat_ns = 1 };
	int fd;

	assert_int_equal(run_block("by hand"), 0);
	fd = pinned("sources");
	assert_int_equal(bpf_map_update_elem(fd, &source_key, &source, BPF_ANY), 0);
	close(fd);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		const char *text = read_command("bpftool -j map dump pinned %s/%s 2>/dev/null | "
						"head -c 65536", world_pins, want[i].map);

		if (!text || !strstr(text, want[i].key) || !strstr(text, want[i].value))
			fail_msg("%s: %.400s", want[i].map, text ? text : "nothing");
	}
	/* A SOCKMAP can carry no BTF: it is there, and that is all. */
	assert_non_null(read_command("bpftool -j map show pinned %s/sockets", world_pins));
}

#define HAND_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const char *const tools[] = { "ip", "bpftool", "nsenter", "bash", NULL };
	const struct CMUnitTest tests[] = {
		HAND_TEST(the_documented_commands_make_a_gate_that_works),
		HAND_TEST(a_group_edited_as_documented_resets_connections),
		HAND_TEST(bpftool_prints_the_names_of_fields),
	};
	int failed;

	if (access("docs/MAPS.md", R_OK)) {
		printf("SKIP: docs/MAPS.md is not here: run it from the top of the tree\n");
		return 77;
	}
	if (!bpf_is_allowed() || !world_enter(tools))
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_leave();
	return failed;
}
