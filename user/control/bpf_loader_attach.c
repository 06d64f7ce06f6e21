/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_attach.c - the links that tie the programs to what they run on, pinned in pin_path/links;
 * and the one of sk_lookup to the network namespace. A link of an earlier run is given the new program
 * in one step; one that has lost what it was on is thrown away. Interfaces: bpf_loader_xdp.c.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/bpf_loader_impl.h"

#define SK_LOOKUP_PIN "sk_lookup"

int bpf_loader_link_drop(const char *pin)
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

int bpf_loader_link_info(int fd, struct bpf_link_info *info)
{
	__u32 len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return bpf_obj_get_info_by_fd(fd, info, &len) ? -errno : 0;
}

int bpf_loader_link_make(int program_fd, int target, int type, uint32_t flags, const char *pin)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
	int fd = bpf_link_create(program_fd, target, (enum bpf_attach_type)type, &options), err = 0;

	if (fd < 0)
		return -errno;
	if (bpf_obj_pin(fd, pin))
		err = -errno;
	close(fd);
	return err;
}

/* sk_lookup */

static bool is_for_netns(int fd, const struct stat *netns)
{
	struct bpf_link_info info;

	return !bpf_loader_link_info(fd, &info) && info.type == BPF_LINK_TYPE_NETNS &&
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
		bpf_loader_link_drop(pin);
	return adopted;
}

int bpf_attach_sk_lookup(struct bpf *bpf, char *why, size_t why_size)
{
	char *pin = bpf_loader_path(bpf->pin_path, BPF_LOADER_LINKS, SK_LOOKUP_PIN);
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
		err = bpf_loader_link_make(bpf->pick_fd, netns_fd, BPF_SK_LOOKUP, 0, pin);
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
	char *pin = bpf_loader_path(bpf->pin_path, BPF_LOADER_LINKS, SK_LOOKUP_PIN);
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
	char *pin = bpf_loader_path(bpf->pin_path, BPF_LOADER_LINKS, SK_LOOKUP_PIN);
	int err = pin ? bpf_loader_link_drop(pin) : -ENOMEM;

	free(pin);
	return err;
}
