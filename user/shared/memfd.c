/* SPDX-License-Identifier: MIT */
/*
 * memfd.c - makes and seals memory files. Called by state.c and channel.c. Knows nothing of what
 * is in them.
 */
#include "shared/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* From Linux 6.3 on; without it those kernels warn, before it they refuse the flag. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

int memfd_new(const char *name, size_t size)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd, err;

	fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, flags);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int memfd_seal(int fd, unsigned seals)
{
	return fcntl(fd, F_ADD_SEALS, (int)(seals | F_SEAL_SEAL)) < 0 ? -errno : 0;
}
