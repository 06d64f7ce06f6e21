/* SPDX-License-Identifier: MIT */
/*
 * kernel_interfaces.c - where XDP runs: on the interfaces of the config, as they come, go and come
 * back. The other half of kernel.c, for its callers and for netlink's events. What somebody took off
 * by hand stays off until a reload; what is new, or has changed since it refused, is tried again.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "control/kernel.h"

#define TRY_AGAIN_NS NS_PER_S /* an interface that refuses is not tried more often */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static struct kernel_interface *find(const struct kernel *kernel, const char *name)
{
	for (size_t i = 0; i < kernel->n_interfaces; i++)
		if (!strcmp(kernel->interfaces[i].name, name))
			return &kernel->interfaces[i];
	return NULL;
}

static void log_attached(const struct kernel_interface *report)
{
	const char *mode = bpf_xdp_used_name(report->used);

	if (report->chained)
		log_info("XDP attached", F_STR("interface", report->name), F_STR("mode", mode),
			 F_STR("chain", report->chain));
	else if (report->why[0])
		log_info("XDP attached", F_STR("interface", report->name), F_STR("mode", mode),
			 F_STR("note", report->why));
	else
		log_info("XDP attached", F_STR("interface", report->name), F_STR("mode", mode));
}

/* before: what was last reported of this interface, or NULL; what it said is not said again. */
static int attach(struct kernel *kernel, struct kernel_interface *report,
		  const struct kernel_interface *before)
{
	bool told;
	int ret;

	report->changed = false;
	report->tried_ns = now_ns();
	report->index = (int)if_nametoindex(report->name);
	ret = bpf_attach_xdp(kernel->bpf, report->name, report->wanted, &report->used, report->why,
			     sizeof(report->why));
	report->chained = !ret && bpf_xdp_chain_now(kernel->bpf, report->name, report->chain,
						    sizeof(report->chain));
	if (!ret) {
		told = before && before->used == report->used && before->index == report->index &&
		       before->chained == report->chained && !strcmp(before->why, report->why);
		if (!told)
			log_attached(report);
		return 0;
	}
	report->used = BPF_XDP_OFF;
	if (ret == -ENODEV) {
		report->index = 0;
		bpf_detach_xdp(kernel->bpf, report->name); /* what is left of a former one */
		snprintf(report->why, sizeof(report->why),
			 "there is no such interface: XDP is attached when it appears");
	}
	told = before && before->used == BPF_XDP_OFF && !strcmp(before->why, report->why);
	if (!told)
		log_at(kernel->required && ret != -ENODEV ? LOG_ERROR : LOG_WARN,
		       "cannot attach XDP", F_STR("interface", report->name),
		       F_STR("reason", report->why), F_ERR(ret));
	return ret;
}

/* Is the interface under what carries one of the others, or a part of it? Then the gate sees its
 * packets twice. */
static void note_twice(struct kernel_interface *reports, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct kernel_interface *report = &reports[i];
		struct netlink_link link;

		if (report->used == BPF_XDP_OFF || netlink_get(report->name, &link))
			continue;
		for (size_t k = 0; k < n; k++) {
			size_t len = strlen(report->why);

			if (k == i || reports[k].used == BPF_XDP_OFF || !reports[k].index ||
			    (link.lower != reports[k].index && link.master != reports[k].index))
				continue;
			snprintf(report->why + len, sizeof(report->why) - len,
				 "%spackets pass the gate on %s too, so that limits count them twice: "
				 "name one of the two", len ? "; " : "", reports[k].name);
			break;
		}
	}
}

static void warn_twice(const struct kernel_interface *report, const struct kernel_interface *before)
{
	if (strstr(report->why, "limits count them twice") &&
	    !(before && strstr(before->why, "limits count them twice")))
		log_warn("XDP runs twice for some packets", F_STR("interface", report->name),
			 F_STR("reason", report->why));
}

/* Where somebody else's program is, the operator decides, before anything begins. What was off already
 * is no reason to refuse new addresses of backends. */
static bool is_fatal(const struct kernel *kernel, const struct kernel_interface *before, int err)
{
	if (!err || err == -ENODEV)
		return false;
	if (!before)
		return kernel->required || err == -EBUSY;
	return kernel->required && before->used != BPF_XDP_OFF;
}

int kernel_attach_xdp(struct kernel *kernel, const struct config *config)
{
	size_t n = config->kernel.n_interfaces;
	int ret = 0;

	if (!kernel->bpf)
		return 0;
	kernel_watch(kernel);
	struct kernel_interface *reports = calloc(n + 1, sizeof(*reports));
	const char **names = calloc(n + 1, sizeof(*names));

	if (!reports || !names) {
		ret = -ENOMEM;
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		const struct config_interface *interface = &config->kernel.interfaces[i];
		const struct kernel_interface *before = find(kernel, interface->name);

		snprintf(reports[i].name, sizeof(reports[i].name), "%s", interface->name);
		reports[i].wanted = interface->xdp;
		int err = attach(kernel, &reports[i], before);

		if (!ret && is_fatal(kernel, before, err))
			ret = err;
		names[i] = interface->name;
	}
	if (ret)
		goto out;
	note_twice(reports, n);
	for (size_t i = 0; i < n; i++)
		warn_twice(&reports[i], find(kernel, reports[i].name));
	bpf_detach_xdp_except(kernel->bpf, names, n);
	bpf_keep_foreign(kernel->bpf);
	free(kernel->interfaces);
	kernel->interfaces = reports;
	kernel->n_interfaces = n;
	reports = NULL;
out:
	free(reports);
	free(names);
	return ret;
}

static void attach_again(struct kernel *kernel, struct kernel_interface *report)
{
	const struct kernel_interface before = *report;

	attach(kernel, report, &before);
	note_twice(kernel->interfaces, kernel->n_interfaces);
	warn_twice(report, &before);
}

static void lost(struct kernel_interface *report, const char *why)
{
	report->used = BPF_XDP_OFF;
	report->chained = false;
	snprintf(report->why, sizeof(report->why), "%s", why);
	log_warn("XDP lost", F_STR("interface", report->name), F_STR("reason", report->why));
}

static void check_chain(struct kernel *kernel, struct kernel_interface *report)
{
	char chain[KERNEL_CHAIN_MAX];

	if (!report->chained || !bpf_xdp_chain_now(kernel->bpf, report->name, chain, sizeof(chain)) ||
	    !strcmp(chain, report->chain))
		return;
	memcpy(report->chain, chain, sizeof(chain));
	log_info("the programs on an interface changed", F_STR("interface", report->name),
		 F_STR("chain", report->chain));
}

static void check(struct kernel *kernel, struct kernel_interface *report)
{
	int index = (int)if_nametoindex(report->name);

	if (index != report->index) {
		bool was_on = report->used != BPF_XDP_OFF;

		/* Renamed or moved, it still has the gate: it is not ours to guard any more. */
		bpf_detach_xdp(kernel->bpf, report->name);
		if (was_on || !index)
			lost(report, index ? "another interface has the name now" :
					     "the interface is gone: XDP is attached when it is back");
		report->index = index;
		if (index)
			attach_again(kernel, report);
	} else if (report->used != BPF_XDP_OFF) {
		if (bpf_xdp_used_now(kernel->bpf, report->name) != report->used)
			lost(report, "detached from outside: a reload attaches it again");
		else
			check_chain(kernel, report);
	} else if (report->changed && now_ns() - report->tried_ns > TRY_AGAIN_NS) {
		attach_again(kernel, report);
	}
}

void kernel_interfaces_watch(struct kernel *kernel)
{
	for (size_t i = 0; i < kernel->n_interfaces; i++)
		check(kernel, &kernel->interfaces[i]);
}

static void on_link(struct netlink *netlink, const struct netlink_link *link)
{
	struct kernel *kernel = container_of(netlink, struct kernel, netlink);

	for (size_t i = 0; i < kernel->n_interfaces; i++) {
		struct kernel_interface *report = &kernel->interfaces[i];

		/* The name is another's, or the index has another name. */
		if (link && link->index != report->index && strcmp(link->name, report->name))
			continue;
		report->changed = true;
		check(kernel, report);
	}
}

void kernel_follow(struct kernel *kernel, struct loop *loop)
{
	int ret;

	if (!kernel->bpf)
		return;
	kernel->netlink.on_link = on_link;
	ret = netlink_open(&kernel->netlink, loop);
	if (ret)
		log_warn("cannot hear of interfaces that come and go: looking once a second",
			 F_ERR(ret));
}

void kernel_interfaces_done(struct kernel *kernel)
{
	free(kernel->interfaces);
	kernel->interfaces = NULL;
	kernel->n_interfaces = 0;
}
