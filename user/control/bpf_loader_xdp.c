/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_xdp.c - puts the gate on interfaces and takes it off: by a pinned link of its own, or as
 * one program of libxdp's dispatcher (bpf_loader_chain.c). A link of an earlier run is given the new
 * program in one step. Programs of others are touched only where the caller said so.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/bpf_loader_impl.h"

#define XDP_PIN	  "xdp_"
#define CHAIN_PIN "chain_"
#define DISPATCHER "xdp_dispatcher"

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

static char *pin_of(const struct bpf *bpf, const char *prefix, const char *interface)
{
	char name[sizeof(CHAIN_PIN) + IFNAMSIZ];

	snprintf(name, sizeof(name), "%s%s", prefix, interface);
	swap_chars(name, '.', ':');
	return bpf_loader_path(bpf->pin_path, BPF_LOADER_LINKS, name);
}

/* What is on an interface */

struct xdp_state {
	__u32 program_id; /* 0: none */
	enum bpf_xdp_used used;
	__u32 flags; /* its mode's */
};

static int xdp_query(int ifindex, struct xdp_state *state)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	*state = (struct xdp_state){ 0 };
	if (bpf_xdp_query(ifindex, 0, &query))
		return -errno;
	state->used = BPF_XDP_OFF;
	state->program_id = query.prog_id;
	if (query.attach_mode == XDP_ATTACHED_SKB || query.skb_prog_id) {
		state->used = BPF_XDP_GENERIC;
		state->flags = XDP_FLAGS_SKB_MODE;
	}
	if (query.attach_mode == XDP_ATTACHED_DRV || query.drv_prog_id) {
		state->used = BPF_XDP_NATIVE;
		state->flags = XDP_FLAGS_DRV_MODE;
	}
	if (!state->program_id)
		state->program_id = query.drv_prog_id ? query.drv_prog_id : query.skb_prog_id;
	if (!state->program_id) {
		state->program_id = query.hw_prog_id;
		state->flags = XDP_FLAGS_HW_MODE;
	}
	return 0;
}

/* Whether fd is a link that is on this interface now. The program's id tells: an index may be
 * another's in another namespace. */
static bool link_is_on(int fd, int ifindex, struct xdp_state *state)
{
	struct bpf_link_info info;

	return !bpf_loader_link_info(fd, &info) && info.type == BPF_LINK_TYPE_XDP &&
	       (int)info.xdp.ifindex == ifindex && !xdp_query(ifindex, state) &&
	       state->program_id == info.prog_id;
}

/* Foreign programs */

/* A descriptor of the link that holds the interface's program and its id; -1: none does, or no right to
 * look at it. */
static int holding_link(int ifindex, __u32 *ret_id)
{
	struct xdp_state state;
	__u32 id = 0;

	while (!bpf_link_get_next_id(id, &id)) {
		int fd = bpf_link_get_fd_by_id(id);

		if (fd >= 0 && link_is_on(fd, ifindex, &state)) {
			*ret_id = id;
			return fd;
		}
		if (fd >= 0)
			close(fd);
	}
	return -1;
}

/* Fills name (BPF_OBJ_NAME_LEN) and returns a descriptor, or -1. */
static int open_program(__u32 id, char *name)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);

	if (fd >= 0)
		bpf_obj_get_info_by_fd(fd, &info, &len);
	snprintf(name, BPF_OBJ_NAME_LEN, "%s", info.name[0] ? info.name : "unnamed");
	return fd;
}

static int refuse_foreign(const struct bpf *bpf, const char *interface, int ifindex,
			  __u32 program_id, char *why, size_t why_size)
{
	char name[BPF_OBJ_NAME_LEN], fix[128];
	int fd = open_program(program_id, name), link_fd;
	__u32 link = 0;

	if (fd >= 0)
		close(fd);
	link_fd = holding_link(ifindex, &link);
	if (link_fd >= 0)
		close(link_fd);
	/* What a link holds, `ip link` cannot take off; only CAP_SYS_ADMIN may look for links. */
	if (link)
		snprintf(fix, sizeof(fix), "bpftool link detach id %u", link);
	else
		snprintf(fix, sizeof(fix), "ip link set dev %s xdp off; or bpftool link detach, where a link "
			 "holds it", interface);
	bpf_loader_why(why, why_size,
		       "interface %s already carries another XDP program (%s, id %u), which sluice does "
		       "not replace: detach it (%s), start sluiced with --force, %sor leave the interface "
		       "out of kernel.interfaces",
		       interface, name, program_id, fix,
		       !bpf->chain && !strcmp(name, DISPATCHER) ?
			       "set kernel.xdp_chain: true to run beside the programs of this dispatcher, " :
			       "");
	return -EBUSY;
}

/* As the operator asked. note: what was done. */
static int take_foreign_off(int ifindex, const struct xdp_state *state, char *note,
			    size_t note_size)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, options);
	char name[BPF_OBJ_NAME_LEN];
	int fd = open_program(state->program_id, name), link_fd, err = -EBUSY;
	__u32 link;

	link_fd = holding_link(ifindex, &link);
	if (link_fd >= 0) {
		err = bpf_link_detach(link_fd) ? -errno : 0;
		close(link_fd);
	} else if (!strcmp(name, DISPATCHER)) {
		err = bpf_loader_chain_clear(ifindex);
	}
	if (err && fd >= 0) {
		options.old_prog_fd = fd; /* not another that came meanwhile */
		err = bpf_xdp_detach(ifindex, state->flags | XDP_FLAGS_REPLACE, &options);
	}
	if (fd >= 0)
		close(fd);
	if (!err)
		bpf_loader_why(note, note_size, "in the place of %s (id %u), as --force says", name,
			       state->program_id);
	return err;
}

/* By a link */

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
static bool adopt_link(const struct bpf *bpf, int ifindex, enum config_xdp_mode mode,
		       const char *pin, enum bpf_xdp_used *ret_used)
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
		bpf_loader_link_drop(pin);
	return adopted;
}

/* Why native mode was refused. A link's error is a number only: asked by netlink, the driver says in
 * words what it does not like (its MTU, its queues). */
static void native_reason(const struct bpf *bpf, int ifindex, int err, char *reason, size_t size)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = bpf->gate_fd);
	char said[128];

	bpf_loader_kernel_message(said, sizeof(said)); /* an older one */
	if (!bpf_xdp_attach(ifindex, bpf->gate_fd,
			    XDP_FLAGS_DRV_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL))
		bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE | XDP_FLAGS_REPLACE, &options);
	bpf_loader_kernel_message(said, sizeof(said));
	snprintf(reason, size, "%s%s%s", strerror(-err), said[0] ? ": " : "", said);
}

static int make_link(const struct bpf *bpf, const char *interface, int ifindex,
		     enum config_xdp_mode mode, const char *pin, enum bpf_xdp_used *ret_used,
		     char *why, size_t why_size)
{
	char reason[192] = "";
	int err = 0;

	if (mode != XDP_MODE_GENERIC) {
		err = bpf_loader_link_make(bpf->gate_fd, ifindex, BPF_XDP, XDP_FLAGS_DRV_MODE, pin);
		if (!err) {
			*ret_used = BPF_XDP_NATIVE;
			return 0;
		}
		native_reason(bpf, ifindex, err, reason, sizeof(reason));
	}
	if (mode != XDP_MODE_NATIVE) {
		err = bpf_loader_link_make(bpf->gate_fd, ifindex, BPF_XDP, XDP_FLAGS_SKB_MODE, pin);
		if (!err) {
			*ret_used = BPF_XDP_GENERIC;
			if (reason[0])
				bpf_loader_why(why, why_size, "native XDP does not work on %s: %s",
					       interface, reason);
			return 0;
		}
	}
	bpf_loader_why(why, why_size, "cannot attach XDP (%s) to %s: %s",
		       mode == XDP_MODE_NATIVE ? "native" : "generic", interface,
		       mode == XDP_MODE_NATIVE ? reason : strerror(-err));
	return err;
}

/* By either */

struct pins {
	char *link, *chain;
};

static int pins_of(const struct bpf *bpf, const char *interface, struct pins *pins)
{
	pins->link = pin_of(bpf, XDP_PIN, interface);
	pins->chain = pin_of(bpf, CHAIN_PIN, interface);
	return pins->link && pins->chain ? 0 : -ENOMEM;
}

static void pins_done(struct pins *pins)
{
	free(pins->link);
	free(pins->chain);
}

/* Makes room: -EBUSY where somebody else is there, and is to stay. */
static int clear_way(const struct bpf *bpf, const char *interface, int ifindex, bool chain,
		     char *why, size_t why_size)
{
	struct xdp_state state;
	char name[BPF_OBJ_NAME_LEN];
	int err = xdp_query(ifindex, &state), fd;

	if (err || !state.program_id)
		return err;
	fd = open_program(state.program_id, name);
	if (fd >= 0)
		close(fd);
	if (chain && !strcmp(name, DISPATCHER))
		return 0; /* it takes another one */
	if (!bpf->replace_foreign)
		return refuse_foreign(bpf, interface, ifindex, state.program_id, why, why_size);
	err = take_foreign_off(ifindex, &state, why, why_size);
	if (err)
		bpf_loader_why(why, why_size, "cannot take %s (id %u) off %s: %s", name,
			       state.program_id, interface, strerror(-err));
	return err;
}

static int attach_in_chain(const struct bpf *bpf, const char *interface, int ifindex,
			   enum config_xdp_mode mode, const struct pins *pins,
			   enum bpf_xdp_used *ret_used, char *why, size_t why_size)
{
	struct xdp_state state;
	int err;

	bpf_loader_link_drop(pins->link); /* of a run without chain */
	err = clear_way(bpf, interface, ifindex, true, why, why_size);
	if (!err)
		err = bpf_loader_chain_attach(bpf, ifindex, mode, pins->chain, why, why_size);
	if (!err)
		err = xdp_query(ifindex, &state);
	if (!err)
		*ret_used = state.used;
	return err;
}

static int attach_alone(const struct bpf *bpf, const char *interface, int ifindex,
			enum config_xdp_mode mode, const struct pins *pins,
			enum bpf_xdp_used *ret_used, char *why, size_t why_size)
{
	int err;

	if (adopt_link(bpf, ifindex, mode, pins->link, ret_used))
		return 0;
	bpf_loader_chain_detach(ifindex, pins->chain); /* of a run with chain */
	err = clear_way(bpf, interface, ifindex, false, why, why_size);
	return err ? err : make_link(bpf, interface, ifindex, mode, pins->link, ret_used, why,
				     why_size);
}

int bpf_attach_xdp(struct bpf *bpf, const char *interface, enum config_xdp_mode mode,
		   enum bpf_xdp_used *ret_used, char *why, size_t why_size)
{
	int ifindex = (int)if_nametoindex(interface), err;
	char no_chain[256] = "";
	struct pins pins;

	bpf_loader_why(why, why_size, "%s", "");
	if (!ifindex) {
		bpf_loader_why(why, why_size, "there is no interface %s", interface);
		return -ENODEV;
	}
	err = pins_of(bpf, interface, &pins);
	if (err)
		goto out;
	if (bpf->chain && !bpf_loader_chain_probe(no_chain, sizeof(no_chain))) {
		err = attach_in_chain(bpf, interface, ifindex, mode, &pins, ret_used, why, why_size);
		if (err != -ENOSYS)
			goto out;
		snprintf(no_chain, sizeof(no_chain), "%s", why);
		bpf_loader_why(why, why_size, "%s", "");
	}
	err = attach_alone(bpf, interface, ifindex, mode, &pins, ret_used, why, why_size);
	if (!err && no_chain[0]) {
		size_t len = strlen(why);

		bpf_loader_why(why + len, why_size - len, "%salone on the interface, not in a chain: %s",
			       len ? "; " : "", no_chain);
	}
out:
	pins_done(&pins);
	return err;
}

void bpf_keep_foreign(struct bpf *bpf)
{
	bpf->replace_foreign = false;
}

bool bpf_xdp_chain_now(const struct bpf *bpf, const char *interface, char *text, size_t size)
{
	int ifindex = (int)if_nametoindex(interface);
	struct pins pins;
	bool found;

	bpf_loader_why(text, size, "%s", "");
	found = !pins_of(bpf, interface, &pins) && bpf->chain &&
		bpf_loader_chain_has(ifindex, pins.chain, text, size);
	pins_done(&pins);
	return found;
}

enum bpf_xdp_used bpf_xdp_used_now(const struct bpf *bpf, const char *interface)
{
	int ifindex = (int)if_nametoindex(interface), fd = -1;
	enum bpf_xdp_used used = BPF_XDP_OFF;
	struct xdp_state state = { 0 };
	char chain[16];
	struct pins pins;

	if (!pins_of(bpf, interface, &pins))
		fd = ifindex ? bpf_obj_get(pins.link) : -1;
	if (fd >= 0) {
		if (link_is_on(fd, ifindex, &state))
			used = state.used;
		close(fd);
	} else if (bpf_xdp_chain_now(bpf, interface, chain, sizeof(chain)) &&
		   !xdp_query(ifindex, &state)) {
		used = state.used;
	}
	pins_done(&pins);
	return used;
}

int bpf_detach_xdp(struct bpf *bpf, const char *interface)
{
	struct pins pins;
	int err = pins_of(bpf, interface, &pins), chain_err;

	if (!err) {
		err = bpf_loader_link_drop(pins.link);
		chain_err = bpf_loader_chain_detach((int)if_nametoindex(interface), pins.chain);
		if (!err)
			err = chain_err;
	}
	pins_done(&pins);
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

static const char *without_prefix(const char *name)
{
	if (!strncmp(name, XDP_PIN, strlen(XDP_PIN)))
		return name + strlen(XDP_PIN);
	if (!strncmp(name, CHAIN_PIN, strlen(CHAIN_PIN)))
		return name + strlen(CHAIN_PIN);
	return NULL;
}

int bpf_detach_xdp_except(struct bpf *bpf, const char *const *interfaces, size_t n_interfaces)
{
	char *path = bpf_loader_path(bpf->pin_path, BPF_LOADER_LINKS, "");
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
		const char *rest = without_prefix(entry->d_name);
		char name[IFNAMSIZ];

		if (!rest)
			continue;
		snprintf(name, sizeof(name), "%s", rest);
		swap_chars(name, ':', '.');
		if (!is_among(name, interfaces, n_interfaces) && !bpf_detach_xdp(bpf, name))
			detached++;
	}
	closedir(dir);
	return detached;
}
