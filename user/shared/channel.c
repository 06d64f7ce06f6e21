/* SPDX-License-Identifier: MIT */
/*
 * channel.c - sends and receives the messages between the supervisor and its children, and makes
 * the sealed memory files that carry configs. What the messages mean is their readers' business.
 * A peer that is gone or talks nonsense is an error to return, never a signal or an assertion,
 * and no received descriptor may leak.
 */
#include "shared/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/memfd.h"

#define SEND_TIMEOUT_MS 1000
#define CONFIG_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* The wire format is the head of struct channel_message. */
#define HEADER_BYTES offsetof(struct channel_message, payload)
_Static_assert(HEADER_BYTES == 2 * sizeof(uint32_t), "the header is type and length");

union fds_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
};

static int send_once(int fd, const struct msghdr *msg)
{
	ssize_t n;

	do {
		n = sendmsg(fd, msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	return errno == ECONNRESET ? -EPIPE : -errno;
}

static void attach_fds(struct msghdr *msg, union fds_control *control, const int *fds,
		       unsigned n_fds)
{
	struct cmsghdr *cmsg;

	memset(control, 0, sizeof(*control));
	msg->msg_control = control->bytes;
	msg->msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
	cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
	memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
}

int channel_try_send(int fd, enum channel_type type, const void *payload, size_t length)
{
	uint32_t header[2] = { type, (uint32_t)length };
	struct iovec iov[2] = {
		{ .iov_base = header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)(uintptr_t)payload, .iov_len = length },
	};
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = length ? 2 : 1 };

	return length > CHANNEL_PAYLOAD_MAX ? -EMSGSIZE : send_once(fd, &msg);
}

int channel_send(int fd, enum channel_type type, const void *payload, size_t length, const int *fds,
		 unsigned n_fds)
{
	uint32_t header[2] = { type, (uint32_t)length };
	struct iovec iov[2] = {
		{ .iov_base = header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)(uintptr_t)payload, .iov_len = length },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = length ? 2 : 1 };
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	union fds_control control;
	int err;

	if (length > CHANNEL_PAYLOAD_MAX || n_fds > CHANNEL_FDS_MAX)
		return -EMSGSIZE;
	if (n_fds)
		attach_fds(&msg, &control, fds, n_fds);
	err = send_once(fd, &msg);
	if (err != -EAGAIN)
		return err;
	if (poll(&room, 1, SEND_TIMEOUT_MS) <= 0)
		return -EAGAIN;
	return send_once(fd, &msg);
}

/* Takes over every descriptor that came, even from a message that will be refused. */
static void collect_fds(struct msghdr *msg, struct channel_message *message)
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t i, n;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			int received;

			memcpy(&received, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
			if (message->n_fds < CHANNEL_FDS_MAX)
				message->fds[message->n_fds++] = received;
			else
				close(received);
		}
	}
}

int channel_receive(int fd, struct channel_message *message)
{
	union fds_control control;
	struct iovec iov = { .iov_base = message,
			     .iov_len = HEADER_BYTES + CHANNEL_PAYLOAD_MAX };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t n;

	message->n_fds = 0;
	do {
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	collect_fds(&msg, message);
	if (n == 0) {
		channel_message_close_fds(message);
		return 0;
	}
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || (size_t)n < HEADER_BYTES ||
	    message->length != (size_t)n - HEADER_BYTES) {
		channel_message_close_fds(message);
		return -EPROTO;
	}
	return 1;
}

void channel_message_close_fds(struct channel_message *message)
{
	while (message->n_fds > 0)
		close(message->fds[--message->n_fds]);
}

static int write_all(int fd, const uint8_t *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, bytes, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes += n;
		length -= (size_t)n;
	}
	return 0;
}

int channel_seal(const char *name, const void *bytes, size_t length)
{
	int fd, err;

	fd = memfd_new(name, 0);
	if (fd < 0)
		return fd;
	err = write_all(fd, bytes, length);
	if (!err)
		err = memfd_seal(fd, CONFIG_SEALS);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

const uint8_t *channel_map_sealed(int fd, size_t length)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *map;

	if (seals < 0 || (seals & CONFIG_SEALS) != CONFIG_SEALS)
		return NULL;
	if (fstat(fd, &st) < 0 || st.st_size < 0 || (size_t)st.st_size != length)
		return NULL;
	map = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
	return map == MAP_FAILED ? NULL : map;
}

void channel_unmap(const uint8_t *bytes, size_t length)
{
	if (bytes)
		munmap((void *)(uintptr_t)bytes, length);
}
