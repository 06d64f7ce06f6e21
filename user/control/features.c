/* SPDX-License-Identifier: MIT */
/*
 * features.c - see features.h. Called by kernel.c at the start, and by the control socket. What is on and
 * attached right now is kernel.c's; here is only what could be.
 */
#include "control/features.h"

#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/utsname.h>

#include "base/log.h"

/* libcap before 2.44 does not know them. */
#ifndef CAP_BPF
#define CAP_PERFMON 38
#define CAP_BPF 39
#endif

static const struct {
	const char *name, *needed_for;
	cap_value_t value;
} capabilities[FEATURE_CAPABILITIES] = {
	{ "CAP_BPF", "loading programs and making maps", CAP_BPF },
	{ "CAP_PERFMON", "programs that the verifier trusts as it does root's", CAP_PERFMON },
	{ "CAP_NET_ADMIN", "attaching XDP and sk_lookup", CAP_NET_ADMIN },
	{ "CAP_SYS_ADMIN", "kernel.xdp_chain only, and naming what holds an interface", CAP_SYS_ADMIN },
};

#define SYSCTL_SYNCOOKIES 0
#define SYSCTL_TIMESTAMPS 1

/* note: what the bad value costs, and the fix. */
static const struct {
	const char *name, *path;
	long bad;
	const char *note;
} sysctls[FEATURE_SYSCTLS] = {
	{ "net.ipv4.tcp_syncookies", "/proc/sys/net/ipv4/tcp_syncookies", 0, NULL }, /* cookies.c */
	{ "net.ipv4.tcp_timestamps", "/proc/sys/net/ipv4/tcp_timestamps", 0, NULL },
	{ "net.core.bpf_jit_enable", "/proc/sys/net/core/bpf_jit_enable", 0,
	  "the programs are interpreted, several times slower: sysctl -w net.core.bpf_jit_enable=1" },
	{ "net.core.bpf_jit_harden", "/proc/sys/net/core/bpf_jit_harden", 2,
	  "constants of root's programs too are blinded, which slows them: sysctl -w "
	  "net.core.bpf_jit_harden=1" },
	{ "kernel.unprivileged_bpf_disabled", "/proc/sys/kernel/unprivileged_bpf_disabled", 0,
	  "every user may load BPF programs; sluice does not need that: sysctl -w "
	  "kernel.unprivileged_bpf_disabled=1" },
};

static bool read_long(const char *path, long *value)
{
	FILE *file = fopen(path, "re");
	bool read = file && fscanf(file, "%ld", value) == 1;

	if (file)
		fclose(file);
	return read;
}

static void read_capabilities(struct features *features)
{
	cap_t held = cap_get_proc();

	for (int i = 0; i < FEATURE_CAPABILITIES; i++) {
		struct feature_capability *capability = &features->capabilities[i];
		cap_flag_value_t flag = CAP_CLEAR;

		capability->name = capabilities[i].name;
		capability->needed_for = capabilities[i].needed_for;
		if (held)
			cap_get_flag(held, capabilities[i].value, CAP_EFFECTIVE, &flag);
		capability->has = flag == CAP_SET;
	}
	if (held)
		cap_free(held);
}

void features_read(struct features *features, const struct cookies *cookies)
{
	struct utsname name;

	memset(features, 0, sizeof(*features));
	if (!uname(&name)) {
		snprintf(features->release, sizeof(features->release), "%s", name.release);
		snprintf(features->machine, sizeof(features->machine), "%s", name.machine);
	}
	features->asked = !bpf_features_probe(features->has, features->no_chain,
						sizeof(features->no_chain));
	read_capabilities(features);
	for (int i = 0; i < FEATURE_SYSCTLS; i++) {
		struct feature_sysctl *sysctl = &features->sysctls[i];

		sysctl->name = sysctls[i].name;
		sysctl->known = read_long(sysctls[i].path, &sysctl->value);
		if (sysctl->known && sysctl->value == sysctls[i].bad)
			sysctl->note = sysctls[i].note;
	}
	if (cookies) {
		features->sysctls[SYSCTL_SYNCOOKIES].note = cookies_lack(cookies, COOKIES_AUTO);
		features->sysctls[SYSCTL_TIMESTAMPS].note = cookies_loss(cookies);
	}
}

static bool is_wanted(enum bpf_feature feature, const struct config *config)
{
	if (feature == BPF_FEATURE_CHAIN)
		return config->kernel.xdp_chain;
	for (size_t i = 0; feature == BPF_FEATURE_COOKIES && i < config->n_listeners; i++)
		if (config->listeners[i].syn_cookies != COOKIES_OFF)
			return true;
	return bpf_feature_rows[feature].needed;
}

const char *features_why(const struct features *features, enum bpf_feature feature)
{
	return feature == BPF_FEATURE_CHAIN ? features->no_chain : "";
}

void features_log(const struct features *features, const struct config *config)
{
	for (int i = 0; i < BPF_FEATURE_COUNT && features->asked; i++) {
		const struct bpf_feature_row *row = &bpf_feature_rows[i];

		if (!features->has[i])
			log_at(is_wanted(i, config) ? LOG_WARN : LOG_INFO, "this kernel lacks a feature",
			       F_STR("feature", row->name), F_STR("off", row->used_for),
			       F_STR("reason", *features_why(features, i) ?
						       features_why(features, i) : "not there"),
			       F_STR("since_linux", row->since),
			       F_STR("kernel", features->release));
	}
}
