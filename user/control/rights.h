/* SPDX-License-Identifier: MIT */
/*
 * rights.h - what this process may do: capabilities probed at start, each with what it is for and
 * how to grant it; the user and group that children run as; the limit of open files.
 */
#ifndef SLUICE_CONTROL_RIGHTS_H
#define SLUICE_CONTROL_RIGHTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"

struct rights {
	bool bpf;	   /* CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN: XDP and sk_lookup */
	bool set_identity; /* CAP_SETUID and CAP_SETGID: children of another user */
	bool low_ports;	   /* CAP_NET_BIND_SERVICE: ports that are not open to everybody */
};

void rights_probe(struct rights *rights);

/* What lacks for the kernel side and how to grant it, or NULL where nothing lacks. */
const char *rights_bpf_fix(const struct rights *rights);

/* Logs an error for each listener that needs a right we have not. 0 or -EACCES. */
int rights_check_ports(const struct rights *rights, const struct config *config);

struct identity {
	bool change;	/* false: children stay what the supervisor is */
	bool share;	/* members of gid may use the control socket */
	uid_t uid;
	gid_t gid;
	char user[64], group[64];
};

/* runtime.user and runtime.group, else sluice where it exists, else nobody. 0, or -ENOENT, -EPERM
 * after logging what is wrong. */
int rights_identity(const struct rights *rights, const struct config *config,
		    struct identity *identity);

/* Raises the limit of open files to what a worker and the supervisor need for config with this
 * many slots; logs a warning with the fix where that is refused. Children inherit it. */
void rights_raise_nofile(const struct config *config, uint32_t slots);

#endif
