/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_attach.c - ties the programs to interfaces and to the network namespace by links
 * pinned in pin_path/links. A link of an earlier run is given the new program in one step; one
 * that has lost its interface or namespace is thrown away. Programs of others are never touched.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/bpf_loader_impl.h"

#define LINKS "links/"
#define XDP_PIN "xdp_"
#define SK_LOOKUP_PIN "sk_lookup"

const char *bpf_xdp_used_name(enum bpf_xdp_used used)
{
	switch (used) {
	case BPF_XDP_NATIVE:
		return "native";
	case BPF_XDP_GENERIC:
		return "generic";
	case BPF_XDP_OFF:
		break;
	}
	return "off";
}

/* bpffs takes no dots and interfaces no colons: eth0.7 is pinned as xdp_eth0:7. */
static void swap_chars(char *text, char from, char to)
{
	for (; *text; text++) {
		if (*text == from)
			*text = to;
	}
}

static char *xdp_pin(const struct bpf *bpf, const char *interface)
{
	char name[IFNAMSIZ];

	snprintf(name, sizeof(name), "%s", interface);
	swap_chars(name, '.', ':');
	return bpf_loader_path(bpf->pin_path, LINKS XDP_PIN, name);
}

/* Detaches the link pinned there and removes the pin. 0, also where none was. */
static int drop_link(const char *pin)
{
	int fd = bpf_obj_get(pin), err = 0;

	if (fd >= 0) {
		/* Fails where it had lost what it was attached to. */
		bpf_link_detach(fd);
		close(fd);
	}
	if (unlink(pin) && errno != ENOENT)
		err = -errno;
	return err;
}

static int link_info(int fd, struct bpf_link_info *info)
{
	__u32 len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return bpf_obj_get_info_by_fd(fd, info, &len) ? -errno : 0;
}

/* Makes a link and pins it; the pin alone holds it. */
static int make_link(int program_fd, int target, enum bpf_attach_type type, __u32 flags,
		     const char *pin)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
	int fd = bpf_link_create(program_fd, target, type, &options), err = 0;

	if (fd < 0)
		return -errno;
	if (bpf_obj_pin(fd, pin))
		err = -errno;
	close(fd);
	return err;
}

/* XDP */

struct xdp_state {
	__u32 program_id; /* 0: none */
	enum bpf_xdp_used used;
};

static int xdp_query(int ifindex, struct xdp_state *state)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	*state = (struct xdp_state){ 0 };
	if (bpf_xdp_query(ifindex, 0, &query))
		return -errno;
	state->used = BPF_XDP_OFF;
	state->program_id = query.prog_id;
	if (query.attach_mode == XDP_ATTACHED_SKB || query.skb_prog_id)
		state->used = BPF_XDP_GENERIC;
	if (query.attach_mode == XDP_ATTACHED_DRV || query.drv_prog_id)
		state->used = BPF_XDP_NATIVE;
	if (!state->program_id)
		state->program_id = query.drv_prog_id ? query.drv_prog_id : query.skb_prog_id;
	if (!state->program_id)
		state->program_id = query.hw_prog_id;
	return 0;
}

/* Whether fd is a link that is on this interface now. The program's id tells: an index may be
 * another's in another namespace. */
static bool link_is_on(int fd, int ifindex, struct xdp_state *state)
{
	struct bpf_link_info info;

	return !link_info(fd, &info) && info.type == BPF_LINK_TYPE_XDP &&
	       (int)info.xdp.ifindex == ifindex && !xdp_query(ifindex, state) &&
	       state->program_id == info.prog_id;
}

/* The link that holds the interface's program; 0: none does, or no right to look at it. */
static __u32 holding_link(int ifindex)
{
	struct xdp_state state;
	__u32 id = 0;

	while (!bpf_link_get_next_id(id, &id)) {
		int fd = bpf_link_get_fd_by_id(id);
		bool found = fd >= 0 && link_is_on(fd, ifindex, &state);

		if (fd >= 0)
			close(fd);
		if (found)
			return id;
	}
	return 0;
}

static int refuse_foreign(const char *interface, int ifindex, __u32 program_id, char *why,
			  size_t why_size)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info), link = holding_link(ifindex);
	int fd = bpf_prog_get_fd_by_id(program_id);
	char fix[128];

	if (fd >= 0) {
		bpf_obj_get_info_by_fd(fd, &info, &len);
		close(fd);
	}
	/* What a link holds, `ip link` cannot take off; only CAP_SYS_ADMIN may look for links. */
	if (link)
		snprintf(fix, sizeof(fix), "bpftool link detach id %u", link);
	else
		snprintf(fix, sizeof(fix), "ip link set dev %s xdp off; or bpftool link detach, where a link "
			 "holds it", interface);
	bpf_loader_why(why, why_size,
		       "interface %s already carries another XDP program (%s, id %u), which sluice does "
		       "not replace: detach it (%s), or leave the interface out of kernel.interfaces",
		       interface, info.name[0] ? info.name : "unnamed", program_id, fix);
	return -EBUSY;
}

static bool mode_fits(enum config_xdp_mode mode, enum bpf_xdp_used used)
{
	switch (mode) {
	case XDP_MODE_NATIVE:
		return used == BPF_XDP_NATIVE;
	case XDP_MODE_GENERIC:
		return used == BPF_XDP_GENERIC;
	case XDP_MODE_AUTO:
		break;
	}
	return used != BPF_XDP_OFF;
}

/* Puts the new program into sluice's own link on this interface. False: there is none that serves,
 * and nothing of it is left. */
static bool adopt_xdp(struct bpf *bpf, int ifindex, enum config_xdp_mode mode, const char *pin,
		      enum bpf_xdp_used *ret_used)
{
	struct xdp_state state = { 0 };
	bool adopted = false;
	int fd = bpf_obj_get(pin);

	if (fd < 0)
		return false;
	if (link_is_on(fd, ifindex, &state) && mode_fits(mode, state.used) &&
	    !bpf_link_update(fd, bpf->gate_fd, NULL)) {
		*ret_used = state.used;
		adopted = true;
	}
	close(fd);
	if (!adopted)
		drop_link(pin);
	return adopted;
}

int bpf_attach_xdp(struct bpf *bpf, const char *interface, enum config_xdp_mode mode,
		   enum bpf_xdp_used *ret_used, char *why, size_t why_size)
{
	unsigned ifindex = if_nametoindex(interface);
	struct xdp_state state = { 0 };
	int err, native_err = 0;
	char *pin;

	bpf_loader_why(why, why_size, "%s", "");
	if (!ifindex) {
		bpf_loader_why(why, why_size, "there is no interface %s", interface);
		return -ENODEV;
	}
	pin = xdp_pin(bpf, interface);
	if (!pin)
		return -ENOMEM;
	err = 0;
	if (adopt_xdp(bpf, (int)ifindex, mode, pin, ret_used))
		goto out;
	err = xdp_query((int)ifindex, &state);
	if (!err && state.program_id) {
		err = refuse_foreign(interface, (int)ifindex, state.program_id, why, why_size);
		goto out;
	}
	if (mode != XDP_MODE_GENERIC) {
		native_err = make_link(bpf->gate_fd, (int)ifindex, BPF_XDP, XDP_FLAGS_DRV_MODE, pin);
		err = native_err;
		if (!err) {
			*ret_used = BPF_XDP_NATIVE;
			goto out;
		}
	}
	if (mode != XDP_MODE_NATIVE) {
		err = make_link(bpf->gate_fd, (int)ifindex, BPF_XDP, XDP_FLAGS_SKB_MODE, pin);
		if (!err) {
			*ret_used = BPF_XDP_GENERIC;
			if (native_err)
				bpf_loader_why(why, why_size,
					       "native XDP does not work on %s: %s", interface,
					       strerror(-native_err));
			goto out;
		}
	}
	bpf_loader_why(why, why_size, "cannot attach XDP (%s) to %s: %s",
		       mode == XDP_MODE_NATIVE ? "native" : "generic", interface, strerror(-err));
out:
	free(pin);
	return err;
}

enum bpf_xdp_used bpf_xdp_used_now(const struct bpf *bpf, const char *interface)
{
	unsigned ifindex = if_nametoindex(interface);
	struct xdp_state state = { 0 };
	char *pin = xdp_pin(bpf, interface);
	int fd = pin && ifindex ? bpf_obj_get(pin) : -1;
	enum bpf_xdp_used used = BPF_XDP_OFF;

	if (fd >= 0) {
		if (link_is_on(fd, (int)ifindex, &state))
			used = state.used;
		close(fd);
	}
	free(pin);
	return used;
}

int bpf_detach_xdp(struct bpf *bpf, const char *interface)
{
	char *pin = xdp_pin(bpf, interface);
	int err = pin ? drop_link(pin) : -ENOMEM;

	free(pin);
	return err;
}

static bool is_among(const char *name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(name, names[i]))
			return true;
	}
	return false;
}

int bpf_detach_xdp_except(struct bpf *bpf, const char *const *interfaces, size_t n_interfaces)
{
	char *path = bpf_loader_path(bpf->pin_path, LINKS, "");
	struct dirent *entry;
	int detached = 0;
	DIR *dir;

	if (!path)
		return -ENOMEM;
	dir = opendir(path);
	free(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(dir))) {
		char name[IFNAMSIZ];

		if (strncmp(entry->d_name, XDP_PIN, strlen(XDP_PIN)))
			continue;
		snprintf(name, sizeof(name), "%s", entry->d_name + strlen(XDP_PIN));
		swap_chars(name, ':', '.');
		if (!is_among(name, interfaces, n_interfaces) && !bpf_detach_xdp(bpf, name))
			detached++;
	}
	closedir(dir);
	return detached;
}

/* sk_lookup */

static bool is_for_netns(int fd, const struct stat *netns)
{
	struct bpf_link_info info;

	return !link_info(fd, &info) && info.type == BPF_LINK_TYPE_NETNS &&
	       info.netns.netns_ino == netns->st_ino;
}

static bool adopt_sk_lookup(struct bpf *bpf, int netns_fd, const char *pin)
{
	struct stat netns;
	bool adopted = false;
	int fd = bpf_obj_get(pin);

	if (fd < 0)
		return false;
	if (!fstat(netns_fd, &netns) && is_for_netns(fd, &netns) &&
	    !bpf_link_update(fd, bpf->pick_fd, NULL))
		adopted = true;
	close(fd);
	if (!adopted)
		drop_link(pin);
	return adopted;
}

int bpf_attach_sk_lookup(struct bpf *bpf, char *why, size_t why_size)
{
	char *pin = bpf_loader_path(bpf->pin_path, LINKS, SK_LOOKUP_PIN);
	int netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), err = 0;

	bpf_loader_why(why, why_size, "%s", "");
	if (!pin) {
		err = -ENOMEM;
		goto out;
	}
	if (netns_fd < 0) {
		err = -errno;
		goto out;
	}
	if (!adopt_sk_lookup(bpf, netns_fd, pin))
		err = make_link(bpf->pick_fd, netns_fd, BPF_SK_LOOKUP, 0, pin);
out:
	if (err)
		bpf_loader_why(why, why_size,
			       "cannot attach sk_lookup to the network namespace: %s", strerror(-err));
	if (netns_fd >= 0)
		close(netns_fd);
	free(pin);
	return err;
}

bool bpf_sk_lookup_is_on(const struct bpf *bpf)
{
	char *pin = bpf_loader_path(bpf->pin_path, LINKS, SK_LOOKUP_PIN);
	int fd = pin ? bpf_obj_get(pin) : -1;
	struct stat netns;
	bool on = fd >= 0 && !stat("/proc/self/ns/net", &netns) && is_for_netns(fd, &netns);

	if (fd >= 0)
		close(fd);
	free(pin);
	return on;
}

int bpf_detach_sk_lookup(struct bpf *bpf)
{
	char *pin = bpf_loader_path(bpf->pin_path, LINKS, SK_LOOKUP_PIN);
	int err = pin ? drop_link(pin) : -ENOMEM;

	free(pin);
	return err;
}
