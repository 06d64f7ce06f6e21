/* SPDX-License-Identifier: MIT */
/*
 * spawn.c - see spawn.h. Called by children.c only. The child goes on in this same program, so all
 * that it must not have (descriptors, rights, signals) is taken away here, before entry runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "control/spawn.h"
#include "shared/channel.h"

#define SPAWN_FAILED 70 /* exit code of a child that could not give up its rights */

static int keep_channel_only(int channel)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	if (channel == CHANNEL_FD) {
		if (fcntl(channel, F_SETFD, 0))
			return -errno;
	} else if (dup2(channel, CHANNEL_FD) < 0) {
		return -errno;
	}
	/* By number: glibc has the wrapper only from 2.34 on. */
	if (syscall(SYS_close_range, CHANNEL_FD + 1, ~0u, 0)) {
		for (long fd = sysconf(_SC_OPEN_MAX) - 1; fd > CHANNEL_FD; fd--)
			close((int)fd);
	}
	return 0;
}

/* Children take orders from the channel alone: a Ctrl-C or a manager's signal to the whole group
 * must not cut the calls that the supervisor is draining. */
static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int drop_rights(const struct identity *identity)
{
	if (identity->change &&
	    (setgroups(0, NULL) || setresgid(identity->gid, identity->gid, identity->gid) ||
	     setresuid(identity->uid, identity->uid, identity->uid)))
		return -errno;

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	cap_t none = cap_init();

	if (!none)
		return -ENOMEM;
	int ret = cap_set_proc(none) ? -errno : 0;

	cap_free(none);
	if (ret)
		return ret;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	/* Private keys are in this memory: no core file, no ptrace by others of this user. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return -errno;
	const struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core);
	return 0;
}

static int child_run(const struct spawn *spawn, int channel)
{
	prctl(PR_SET_NAME, spawn->name, 0, 0, 0);
	/* First, while the numbers still mean the supervisor's descriptors. */
	spawn->forget(spawn->ctx);
	int ret = keep_channel_only(channel);

	if (!ret) {
		reset_signals();
		ret = drop_rights(spawn->identity);
	}
	if (ret) {
		log_error("a child could not give up its rights", F_STR("child", spawn->name),
			  F_ERR(ret));
		return SPAWN_FAILED;
	}
	return spawn->entry(CHANNEL_FD);
}

int spawn_child(const struct spawn *spawn, pid_t *pid, int *channel)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return -errno;
	pid_t child = fork();

	if (child < 0) {
		int ret = -errno;

		close(pair[0]);
		close(pair[1]);
		return ret;
	}
	if (child == 0)
		exit(child_run(spawn, pair[1]));
	close(pair[1]);
	*pid = child;
	*channel = pair[0];
	return 0;
}
