/* SPDX-License-Identifier: MIT */
/*
 * world_help.h - a network and a mount namespace of the test's own, with a bpffs of its own in it:
 * nothing outside is seen or changed, and nothing stays when the test dies.
 */
#ifndef SLUICE_SELFTESTS_WORLD_HELP_H
#define SLUICE_SELFTESTS_WORLD_HELP_H

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit/cm.h"

/* Where the bpffs is mounted, and a pin path on it. */
static char world_bpffs[64], world_pins[96];

/* Runs a shell command; its exit status. */
__attribute__((format(printf, 1, 2))) static inline int run_command(const char *format, ...)
{
	char command[1024];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	fflush(NULL);
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What a shell command prints, NUL-terminated, in a static buffer. NULL where it fails. */
__attribute__((format(printf, 1, 2))) static inline char *read_command(const char *format, ...)
{
	static char output[1 << 20];
	char command[1024];
	va_list args;
	size_t n;
	FILE *pipe;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	fflush(NULL);
	pipe = popen(command, "r");
	if (!pipe)
		return NULL;
	n = fread(output, 1, sizeof(output) - 1, pipe);
	output[n] = 0;
	return pclose(pipe) ? NULL : output;
}

/* For main: prints why and returns false where it cannot be had. */
static inline bool world_enter(const char *const *tools)
{
	const char *path = getenv("PATH");
	char with_sbin[4096];

	snprintf(with_sbin, sizeof(with_sbin), "%s:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin");
	setenv("PATH", with_sbin, 1);
	for (; *tools; tools++) {
		if (run_command("command -v %s >/dev/null", *tools)) {
			printf("SKIP: there is no %s here\n", *tools);
			return false;
		}
	}
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		printf("SKIP: no namespaces of our own here (%s): needs root\n", strerror(errno));
		return false;
	}
	snprintf(world_bpffs, sizeof(world_bpffs), "/tmp/sluice-bpffs-XXXXXX");
	if (!mkdtemp(world_bpffs) || mount("bpf", world_bpffs, "bpf", 0, "mode=0755")) {
		printf("SKIP: a bpffs cannot be mounted here (%s)\n", strerror(errno));
		return false;
	}
	snprintf(world_pins, sizeof(world_pins), "%s/sluice", world_bpffs);
	return !run_command("ip link set lo up");
}

static inline void world_leave(void)
{
	umount2(world_bpffs, MNT_DETACH);
	rmdir(world_bpffs);
}

static inline bool path_exists(const char *directory, const char *name)
{
	char path[256];
	struct stat status;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return !stat(path, &status);
}

#endif
