/* SPDX-License-Identifier: MIT */
/*
 * test_channel.c - messages between supervisor and children: whole or not at all, descriptors
 * that never leak, peers that go away, and configs in sealed memory.
 */
#include "shared/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cm.h"

static int ends[2];
static struct channel_message message;

static int setup(void **state)
{
	(void)state;
	memset(&message, 0x5a, sizeof(message));
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}

static int teardown(void **state)
{
	(void)state;
	close(ends[0]);
	close(ends[1]);
	return 0;
}

/* Leaks show as a lowest free number that moved. */
static int lowest_fd(void)
{
	int fd = dup(STDIN_FILENO);

	close(fd);
	return fd;
}

static void test_messages_come_whole_and_in_order(void **state)
{
	struct channel_config config = { .revision = 7, .length = 99 };
	char big[CHANNEL_PAYLOAD_MAX];

	(void)state;
	memset(big, 'b', sizeof(big));
	assert_int_equal(channel_send(ends[0], CHANNEL_COMMIT, &config, sizeof(config), NULL, 0), 0);
	assert_int_equal(channel_send(ends[0], CHANNEL_DRAIN, NULL, 0, NULL, 0), 0);
	assert_int_equal(channel_send(ends[0], CHANNEL_TICKETS, big, sizeof(big), NULL, 0), 0);

	assert_int_equal(channel_receive(ends[1], &message), 1);
	assert_int_equal(message.type, CHANNEL_COMMIT);
	assert_int_equal(message.length, sizeof(config));
	assert_memory_equal(message.payload, &config, sizeof(config));
	assert_int_equal(message.n_fds, 0);
	assert_int_equal(channel_receive(ends[1], &message), 1);
	assert_int_equal(message.type, CHANNEL_DRAIN);
	assert_int_equal(message.length, 0);
	assert_int_equal(channel_receive(ends[1], &message), 1);
	assert_int_equal(message.length, sizeof(big));
	assert_memory_equal(message.payload, big, sizeof(big));
	assert_int_equal(channel_receive(ends[1], &message), -EAGAIN);
}

static void test_every_payload_of_the_protocol_fits(void **state)
{
	(void)state;
	assert_true(sizeof(struct channel_setup) <= CHANNEL_PAYLOAD_MAX);
	assert_true(sizeof(struct channel_tickets) <= CHANNEL_PAYLOAD_MAX);
	assert_true(sizeof(struct channel_refused) <= CHANNEL_PAYLOAD_MAX);
	assert_true(sizeof(struct channel_resolved) <= CHANNEL_PAYLOAD_MAX);
}

static void test_descriptors_arrive_open_and_close_on_exec(void **state)
{
	int fds[CHANNEL_FDS_MAX], before = lowest_fd();
	struct stat sent, got;
	unsigned i;
	char name[16];

	(void)state;
	for (i = 0; i < CHANNEL_FDS_MAX; i++) {
		snprintf(name, sizeof(name), "fd%u", i);
		fds[i] = memfd_create(name, 0);
	}
	assert_int_equal(channel_send(ends[0], CHANNEL_SETUP, "s", 1, fds, CHANNEL_FDS_MAX), 0);
	assert_int_equal(channel_receive(ends[1], &message), 1);
	assert_int_equal(message.n_fds, CHANNEL_FDS_MAX);
	for (i = 0; i < CHANNEL_FDS_MAX; i++) {
		fstat(fds[i], &sent);
		fstat(message.fds[i], &got);
		assert_true(sent.st_ino == got.st_ino && sent.st_dev == got.st_dev);
		assert_true(fcntl(message.fds[i], F_GETFD) & FD_CLOEXEC);
		close(fds[i]);
	}
	channel_message_close_fds(&message);
	channel_message_close_fds(&message);
	assert_int_equal(lowest_fd(), before);
}

static void test_what_is_too_big_is_refused_before_it_is_sent(void **state)
{
	char big[CHANNEL_PAYLOAD_MAX + 1];
	int fds[CHANNEL_FDS_MAX + 1] = { 0 };

	(void)state;
	memset(big, 0, sizeof(big));
	assert_int_equal(channel_send(ends[0], CHANNEL_SETUP, big, sizeof(big), NULL, 0), -EMSGSIZE);
	assert_int_equal(channel_send(ends[0], CHANNEL_SETUP, NULL, 0, fds, CHANNEL_FDS_MAX + 1),
			 -EMSGSIZE);
	assert_int_equal(channel_send(ends[0], CHANNEL_SETUP, NULL, 0, (int[]){ -1 }, 1), -EBADF);
	assert_int_equal(channel_receive(ends[1], &message), -EAGAIN);
}

/* With no SIGPIPE: this program has not ignored it. */
static void test_a_gone_peer_is_an_error_and_an_end(void **state)
{
	(void)state;
	assert_int_equal(channel_send(ends[0], CHANNEL_DRAIN, "last", 4, NULL, 0), 0);
	close(ends[0]);
	ends[0] = -1;
	assert_int_equal(channel_receive(ends[1], &message), 1);
	assert_int_equal(channel_receive(ends[1], &message), 0);
	assert_int_equal(channel_receive(ends[1], &message), 0);
	assert_int_equal(channel_send(ends[1], CHANNEL_READY, "x", 1, NULL, 0), -EPIPE);
}

static void test_a_peer_that_died_without_reading_is_an_end_too(void **state)
{
	int i, got;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(channel_send(ends[1], CHANNEL_READY, "x", 1, NULL, 0), 0);
	close(ends[0]); /* with unread messages: the kernel says ECONNRESET */
	ends[0] = -1;
	got = channel_receive(ends[1], &message);
	assert_int_equal(got, 0);
}

/* Sends bytes as they are, with a descriptor. */
static void send_raw(const void *bytes, size_t length, int fd, unsigned n_fds)
{
	char control[CMSG_SPACE(sizeof(int) * 16)] = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = length };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = CMSG_SPACE(sizeof(int) * n_fds) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	unsigned i;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
	for (i = 0; i < n_fds; i++)
		memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &fd, sizeof(int));
	assert_int_equal(sendmsg(ends[0], &msg, 0), (ssize_t)length);
}

static void test_nonsense_is_refused_and_its_descriptors_closed(void **state)
{
	uint32_t lies[] = { CHANNEL_SETUP, 100, 0 };
	char huge[CHANNEL_PAYLOAD_MAX + 100] = { 0 };
	int before = lowest_fd(), got;

	(void)state;
	send_raw("abc", 3, STDIN_FILENO, 1); /* shorter than a header */
	assert_int_equal(channel_receive(ends[1], &message), -EPROTO);
	assert_int_equal(message.n_fds, 0);
	send_raw(lies, sizeof(lies), STDIN_FILENO, 2); /* length is not true */
	assert_int_equal(channel_receive(ends[1], &message), -EPROTO);
	send_raw(huge, sizeof(huge), STDIN_FILENO, 1); /* longer than any message */
	assert_int_equal(channel_receive(ends[1], &message), -EPROTO);
	lies[1] = sizeof(lies) - 8;
	send_raw(lies, sizeof(lies), STDIN_FILENO, 16); /* more descriptors than any message */
	got = channel_receive(ends[1], &message);
	assert_int_equal(got, -EPROTO);
	assert_int_equal(lowest_fd(), before);
	/* The channel still works. */
	assert_int_equal(channel_send(ends[0], CHANNEL_DRAIN, NULL, 0, NULL, 0), 0);
	assert_int_equal(channel_receive(ends[1], &message), 1);
}

static void test_a_full_channel_gives_up_after_its_limit(void **state)
{
	char payload[CHANNEL_PAYLOAD_MAX] = { 0 };
	int err, sent = 0;

	(void)state;
	do {
		err = channel_send(ends[0], CHANNEL_TICKETS, payload, sizeof(payload), NULL, 0);
	} while (err == 0 && ++sent < 100000);
	assert_int_equal(err, -EAGAIN);
	while (sent-- > 0)
		assert_int_equal(channel_receive(ends[1], &message), 1);
	assert_int_equal(channel_receive(ends[1], &message), -EAGAIN);
}

/* A worker may not wait for the supervisor. */
static void test_trying_never_waits(void **state)
{
	struct channel_penalized row = { .row = 7 };
	struct timespec begin, end;
	char big[CHANNEL_PAYLOAD_MAX + 1] = { 0 };
	int err, sent = 0;

	(void)state;
	assert_int_equal(channel_try_send(ends[0], CHANNEL_PENALIZED, big, sizeof(big)), -EMSGSIZE);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		err = channel_try_send(ends[0], CHANNEL_PENALIZED, &row, sizeof(row));
	} while (err == 0 && ++sent < 100000);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_int_equal(err, -EAGAIN);
	assert_true(end.tv_sec - begin.tv_sec < 2);
	for (; sent > 0; sent--) {
		assert_int_equal(channel_receive(ends[1], &message), 1);
		assert_int_equal(message.type, CHANNEL_PENALIZED);
		assert_memory_equal(message.payload, &row, sizeof(row));
	}
	assert_int_equal(channel_receive(ends[1], &message), -EAGAIN);
	close(ends[1]);
	ends[1] = -1;
	assert_int_equal(channel_try_send(ends[0], CHANNEL_PENALIZED, &row, sizeof(row)), -EPIPE);
}

static void test_sealed_memory_is_read_back_and_cannot_change(void **state)
{
	char bytes[20000];
	const uint8_t *map;
	int fd;

	(void)state;
	memset(bytes, 'c', sizeof(bytes));
	fd = channel_seal("config", bytes, sizeof(bytes));
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	map = channel_map_sealed(fd, sizeof(bytes));
	assert_non_null(map);
	assert_memory_equal(map, bytes, sizeof(bytes));

	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(ftruncate(fd, 1 << 20), -1);
	assert_ptr_equal(mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	channel_unmap(map, sizeof(bytes));
	channel_unmap(NULL, 0);
	close(fd);
}

static void test_only_sealed_memory_of_the_right_length_is_mapped(void **state)
{
	int sealed = channel_seal("config", "12345", 5), open_fd = memfd_create("open", 0);
	int half = memfd_create("half", MFD_ALLOW_SEALING), file = fileno(tmpfile());
	int empty = channel_seal("empty", NULL, 0);

	(void)state;
	assert_null(channel_map_sealed(sealed, 4));
	assert_null(channel_map_sealed(sealed, 6));
	assert_null(channel_map_sealed(sealed, 0));
	assert_int_equal(write(open_fd, "12345", 5), 5);
	assert_null(channel_map_sealed(open_fd, 5));
	assert_int_equal(write(half, "12345", 5), 5);
	assert_int_equal(fcntl(half, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_null(channel_map_sealed(half, 5));
	assert_int_equal(write(file, "12345", 5), 5);
	assert_null(channel_map_sealed(file, 5));
	assert_null(channel_map_sealed(-1, 5));
	assert_true(empty >= 0);
	assert_null(channel_map_sealed(empty, 0));
	close(sealed);
	close(open_fd);
	close(half);
	close(empty);
}

#define CHANNEL_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHANNEL_TEST(test_messages_come_whole_and_in_order),
		CHANNEL_TEST(test_every_payload_of_the_protocol_fits),
		CHANNEL_TEST(test_descriptors_arrive_open_and_close_on_exec),
		CHANNEL_TEST(test_what_is_too_big_is_refused_before_it_is_sent),
		CHANNEL_TEST(test_a_gone_peer_is_an_error_and_an_end),
		CHANNEL_TEST(test_a_peer_that_died_without_reading_is_an_end_too),
		CHANNEL_TEST(test_nonsense_is_refused_and_its_descriptors_closed),
		CHANNEL_TEST(test_a_full_channel_gives_up_after_its_limit),
		CHANNEL_TEST(test_trying_never_waits),
		CHANNEL_TEST(test_sealed_memory_is_read_back_and_cannot_change),
		CHANNEL_TEST(test_only_sealed_memory_of_the_right_length_is_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
