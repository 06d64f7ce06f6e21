/* SPDX-License-Identifier: MIT */
/*
 * rights.c - see rights.h. Called by the supervisor at start, before anything else is touched, and
 * (the limit of files) at each reload. The only user of libcap besides spawn.c.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "control/rights.h"

/* libcap before 2.44 does not know them. */
#ifndef CAP_BPF
#define CAP_PERFMON 38
#define CAP_BPF 39
#endif

static bool has(cap_value_t cap)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t value = CAP_CLEAR;

	if (caps) {
		cap_get_flag(caps, cap, CAP_EFFECTIVE, &value);
		cap_free(caps);
	}
	return value == CAP_SET;
}

/* Whether this user namespace has the id at all; the capability means nothing for others. */
static bool is_mapped(const char *map, unsigned long id)
{
	unsigned long inside, outside, count;
	FILE *file = fopen(map, "re");
	bool found = !file;

	while (file && !found && fscanf(file, "%lu %lu %lu", &inside, &outside, &count) == 3)
		found = id >= inside && id - inside < count;
	if (file)
		fclose(file);
	return found;
}

/* A namespace that an ordinary user made (a rootless container) forbids it. */
static bool setgroups_allowed(void)
{
	FILE *file = fopen("/proc/self/setgroups", "re");
	char word[16] = "";

	if (file) {
		if (fscanf(file, "%15s", word) != 1)
			word[0] = '\0';
		fclose(file);
	}
	return strcmp(word, "deny") != 0;
}

void rights_probe(struct rights *rights)
{
	/* CAP_PERFMON: the verifier then trusts the programs as it does root's. */
	rights->bpf = has(CAP_NET_ADMIN) &&
		      (has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON)));
	rights->set_identity = has(CAP_SETUID) && has(CAP_SETGID) && setgroups_allowed();
	rights->low_ports = has(CAP_NET_BIND_SERVICE);
}

const char *rights_bpf_fix(const struct rights *rights)
{
	if (rights->bpf)
		return NULL;
	return "XDP and sk_lookup need CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN: run as root or grant "
	       "them (systemd: AmbientCapabilities=, a container: --cap-add=BPF --cap-add=PERFMON "
	       "--cap-add=NET_ADMIN)";
}

static unsigned first_open_port(void)
{
	unsigned port = 1024;
	FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");

	if (file) {
		if (fscanf(file, "%u", &port) != 1)
			port = 1024;
		fclose(file);
	}
	return port;
}

int rights_check_ports(const struct rights *rights, const struct config *config)
{
	unsigned open_from = first_open_port();
	int ret = 0;

	for (size_t i = 0; i < config->n_listeners && !rights->low_ports; i++) {
		const struct config_listener *listener = &config->listeners[i];

		if (addr_port(&listener->address) >= open_from)
			continue;
		log_error("no right to listen on this port: grant CAP_NET_BIND_SERVICE, or lower "
			  "net.ipv4.ip_unprivileged_port_start",
			  F_STR("listener", listener->name),
			  F_UINT("port", addr_port(&listener->address)));
		ret = -EACCES;
	}
	return ret;
}

static int find_user(const char *wanted, const struct passwd **user)
{
	if (wanted) {
		*user = getpwnam(wanted);
		if (*user)
			return 0;
		log_error("runtime.user does not exist: create it (useradd --system) or leave it "
			  "out", F_STR("user", wanted));
		return -ENOENT;
	}
	*user = getpwnam("sluice");
	if (!*user)
		*user = getpwnam("nobody");
	if (*user)
		return 0;
	log_error("neither user sluice nor nobody exists: set runtime.user");
	return -ENOENT;
}

static int find_group(const char *wanted, struct identity *identity)
{
	const struct group *group = getgrnam(wanted ? wanted : "sluice");

	if (!group && wanted) {
		log_error("runtime.group does not exist: create it (groupadd --system) or leave "
			  "it out", F_STR("group", wanted));
		return -ENOENT;
	}
	identity->share = group != NULL;
	if (!group) /* the user's own: not one that opens the control socket */
		group = getgrgid(identity->gid);
	if (group) {
		identity->gid = group->gr_gid;
		snprintf(identity->group, sizeof(identity->group), "%s", group->gr_name);
	} else {
		snprintf(identity->group, sizeof(identity->group), "%u", (unsigned)identity->gid);
	}
	return 0;
}

/* Children stay who we are, with fewer rights where we have any. */
static int own_identity(const struct config *config, struct identity *identity)
{
	const struct passwd *user = getpwuid(geteuid());

	memset(identity, 0, sizeof(*identity));
	identity->uid = geteuid();
	identity->gid = getegid();
	snprintf(identity->user, sizeof(identity->user), "%s", user ? user->pw_name : "?");
	if (config->user && (!user || strcmp(user->pw_name, config->user))) {
		log_error("cannot run children as runtime.user: needs CAP_SETUID and CAP_SETGID, and "
			  "that user in this user namespace", F_STR("user", config->user));
		return -EPERM;
	}
	if (identity->uid == 0)
		log_warn("children run as root, without capabilities: no other user can be had here");
	return 0;
}

int rights_identity(const struct rights *rights, const struct config *config,
		    struct identity *identity)
{
	const struct passwd *user;

	memset(identity, 0, sizeof(*identity));
	if (!rights->set_identity)
		return own_identity(config, identity);
	int ret = find_user(config->user, &user);

	if (ret)
		return ret;
	identity->change = true;
	identity->uid = user->pw_uid;
	identity->gid = user->pw_gid;
	snprintf(identity->user, sizeof(identity->user), "%s", user->pw_name);
	ret = find_group(config->group, identity);
	if (!ret && (!is_mapped("/proc/self/uid_map", identity->uid) ||
		     !is_mapped("/proc/self/gid_map", identity->gid)))
		return own_identity(config, identity);
	if (!ret && identity->uid == 0)
		log_warn("children run as root: set runtime.user to a user without rights");
	return ret;
}

static uint64_t nofile_needed(const struct config *config, uint32_t slots)
{
	uint64_t worker = config->max_connections + config->n_listeners + 64;

	for (size_t g = 0; g < config->n_groups; g++) {
		uint64_t endpoints = config->groups[g].n_endpoints;

		if (endpoints < config->groups[g].n_backends)
			endpoints = config->groups[g].n_backends;
		worker += endpoints * config->groups[g].max_connections;
	}
	uint64_t supervisor = (uint64_t)config->n_listeners * slots + slots + 128;

	return worker > supervisor ? worker : supervisor;
}

void rights_raise_nofile(const struct config *config, uint32_t slots)
{
	uint64_t needed = nofile_needed(config, slots);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= needed)
		return;
	struct rlimit wanted = { .rlim_cur = needed, .rlim_max = limit.rlim_max };

	if (wanted.rlim_max < needed)
		wanted.rlim_max = needed;
	if (!setrlimit(RLIMIT_NOFILE, &wanted))
		return;
	wanted.rlim_cur = wanted.rlim_max = limit.rlim_max;
	if (!setrlimit(RLIMIT_NOFILE, &wanted))
		limit = wanted;
	log_warn("fewer open files are allowed than the config can use: raise the limit "
		 "(systemd: LimitNOFILE=, a shell: ulimit -n), or lower limits.connections and the "
		 "groups' connections.max",
		 F_UINT("allowed", limit.rlim_cur), F_UINT("needed", needed));
}
