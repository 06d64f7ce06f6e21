/* SPDX-License-Identifier: MIT */
/*
 * file.c - see file.h. May read private keys: what it gives up on, it wipes.
 */
#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int file_read_all(int fd, size_t max, uint8_t **bytes, size_t *len)
{
	size_t have = 0, room;
	struct stat st;
	uint8_t *buf;
	ssize_t n = 0;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	room = (size_t)st.st_size + 1; /* one more, to notice growth */
	buf = malloc(room);
	if (!buf)
		return -ENOMEM;
	while (have < room) {
		n = read(fd, buf + have, room - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	if (n < 0 || have == room) {
		int err = n < 0 ? -errno : -EAGAIN; /* changed while being read */

		explicit_bzero(buf, room);
		free(buf);
		return err;
	}
	*bytes = buf;
	*len = have;
	return 0;
}

int file_read(const char *path, size_t max, uint8_t **bytes, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int err;

	if (fd < 0)
		return -errno;
	err = file_read_all(fd, max, bytes, len);
	close(fd);
	return err;
}
