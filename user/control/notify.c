/* SPDX-License-Identifier: MIT */
/*
 * notify.c - see notify.h. Called by the supervisor only. A manager that cannot be reached is no
 * reason to fail: the datagram is dropped.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control/notify.h"

static struct sockaddr_un manager;
static socklen_t manager_len;

void notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	manager_len = 0;
	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(manager.sun_path))
		return;
	memset(&manager, 0, sizeof(manager));
	manager.sun_family = AF_UNIX;
	memcpy(manager.sun_path, path, strlen(path));
	manager_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (path[0] == '@')
		manager.sun_path[0] = '\0'; /* an abstract name */
	unsetenv("NOTIFY_SOCKET");
}

static void notify_send(const char *text)
{
	if (!manager_len)
		return;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return;
	sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&manager, manager_len);
	close(fd);
}

void notify_ready(const char *status)
{
	char text[256];

	snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\nSTATUS=%s\n", (int)getpid(), status);
	notify_send(text);
}

void notify_reloading(void)
{
	struct timespec now;
	char text[128];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading\n",
		 (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
	notify_send(text);
}

void notify_stopping(uint64_t within_ms)
{
	char text[128];

	snprintf(text, sizeof(text), "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=%llu\n",
		 (unsigned long long)within_ms * 1000);
	notify_send(text);
}
