/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader.c - brings the BPF programs and maps into the kernel and takes them out again: rights,
 * bpffs, the pins of an earlier run, loading. Called by the supervisor. With its siblings
 * the only place that knows libbpf. Pins change only after everything has loaded.
 */
#include "control/bpf_loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "control/bpf_loader_features.h"
#include "control/bpf_loader_impl.h"
#include "sluice/trace.h" /* before the skeleton, which has one in it */
#include "gate.skel.h"
#include "pick.skel.h"

#define BPFFS_DEFAULT "/sys/fs/bpf"
#define LIBRARY_LOG_SIZE (64 * 1024)

static const struct {
	const char *name;
	bool adopted;
} map_table[MAPS] = {
#define MAP_ROW(name, adopted) { #name, adopted },
	BPF_LOADER_MAPS(MAP_ROW)
#undef MAP_ROW
};

static char library_log[LIBRARY_LOG_SIZE];
static size_t library_log_len;
static char kernel_message[128];

const char *bpf_library_log(void)
{
	return library_log;
}

__attribute__((format(printf, 1, 0))) static void
keep_kernel_message(const char *format, va_list args)
{
	static const char prefix[] = "libbpf: Kernel error message: ";
	char line[sizeof(kernel_message) + sizeof(prefix)];

	vsnprintf(line, sizeof(line), format, args);
	if (strncmp(line, prefix, strlen(prefix)))
		return;
	snprintf(kernel_message, sizeof(kernel_message), "%.*s",
		 (int)strcspn(line + strlen(prefix), "\n"), line + strlen(prefix));
}

void bpf_loader_kernel_message(char *text, size_t size)
{
	snprintf(text, size, "%s", kernel_message);
	kernel_message[0] = 0;
}

__attribute__((format(printf, 2, 0))) static int
on_library_print(enum libbpf_print_level level, const char *format, va_list args)
{
	size_t room = sizeof(library_log) - library_log_len;
	va_list again;
	int n;

	if (level == LIBBPF_WARN) {
		va_copy(again, args);
		keep_kernel_message(format, again);
		va_end(again);
	}
	if (level == LIBBPF_DEBUG || room < 2)
		return 0;
	n = vsnprintf(library_log + library_log_len, room, format, args);
	if (n > 0)
		library_log_len += (size_t)n < room ? (size_t)n : room - 1;
	return n;
}

void bpf_loader_why(char *why, size_t why_size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, why_size, format, args);
	va_end(args);
}

char *bpf_loader_path(const char *pin_path, const char *a, const char *b)
{
	char *path;

	return asprintf(&path, "%s/%s%s", pin_path, a, b) < 0 ? NULL : path;
}

/* Rights */

static bool has_capability(cap_t caps, cap_value_t value)
{
	cap_flag_value_t flag = CAP_CLEAR;

	return !cap_get_flag(caps, value, CAP_EFFECTIVE, &flag) && flag == CAP_SET;
}

static int probe_rights(char *why, size_t why_size)
{
	cap_t caps = cap_get_proc();
	bool all, net_admin;
	char missing[64];

	if (!caps)
		return -errno;
	/* CAP_PERFMON: else the verifier takes the programs for a stranger's, refuses some of what
	 * they do and slows the rest down. */
	all = has_capability(caps, CAP_SYS_ADMIN);
	net_admin = has_capability(caps, CAP_NET_ADMIN);
	snprintf(missing, sizeof(missing), "%s%s%s",
		 all || has_capability(caps, CAP_BPF) ? "" : " CAP_BPF",
		 all || has_capability(caps, CAP_PERFMON) ? "" : " CAP_PERFMON",
		 net_admin ? "" : " CAP_NET_ADMIN");
	cap_free(caps);
	if (!missing[0])
		return 0;
	bpf_loader_why(why, why_size,
		       "loading BPF needs%s: run sluiced as root, grant what is missing, or set "
		       "kernel.mode: off", missing);
	return -EPERM;
}

/* bpffs, the directory and its lock */

static bool on_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

/* The directory that holds pin_path must be on a bpffs; the usual one is mounted where it is not. */
static int ensure_bpffs(const char *pin_path, char *why, size_t why_size)
{
	char *parent = strdup(pin_path), *slash;
	int err = 0;

	if (!parent)
		return -ENOMEM;
	slash = strrchr(parent, '/');
	if (slash)
		*slash = 0;
	if (on_bpffs(parent) || on_bpffs(pin_path))
		goto out;
	if (!strcmp(parent, BPFFS_DEFAULT) &&
	    !mount("bpf", BPFFS_DEFAULT, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		goto out;
	err = -ENOTSUP;
	bpf_loader_why(why, why_size,
		       "kernel.pin_path %s is not on a bpffs: its parent directory must exist and be on "
		       "one (mount -t bpf bpf " BPFFS_DEFAULT ")", pin_path);
out:
	free(parent);
	return err;
}

static int lock_directory(struct bpf *bpf, bool *ret_made, char *why, size_t why_size)
{
	*ret_made = !mkdir(bpf->pin_path, 0700);
	if (!*ret_made && errno != EEXIST) {
		int err = -errno;

		bpf_loader_why(why, why_size, "cannot make kernel.pin_path %s: %s", bpf->pin_path,
			       strerror(-err));
		return err;
	}
	bpf->lock_fd = open(bpf->pin_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (bpf->lock_fd < 0 || flock(bpf->lock_fd, LOCK_EX | LOCK_NB)) {
		int err = errno == EWOULDBLOCK ? -EBUSY : -errno;

		bpf_loader_why(why, why_size,
			       err == -EBUSY ? "kernel.pin_path %s is in use by another sluiced: give "
					       "each its own (%s)" :
					       "cannot open kernel.pin_path %s: %s",
			       bpf->pin_path, strerror(-err));
		return err;
	}
	return 0;
}

/* Pins of an earlier run */

static int open_pin(const char *pin_path, const char *prefix, const char *name)
{
	char *path = bpf_loader_path(pin_path, prefix, name);
	int fd;

	if (!path)
		return -ENOMEM;
	fd = bpf_obj_get(path);
	if (fd < 0)
		fd = -errno;
	free(path);
	return fd;
}

static bool same_layout(int fd, const struct bpf_map *map)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);

	return !bpf_obj_get_info_by_fd(fd, &info, &len) && info.type == bpf_map__type(map) &&
	       info.key_size == bpf_map__key_size(map) &&
	       info.value_size == bpf_map__value_size(map) &&
	       info.max_entries == bpf_map__max_entries(map) &&
	       info.map_flags == bpf_map__map_flags(map);
}

/*
 * Hands the pinned maps that may be adopted to object. All pins are looked at: -EEXIST where meta
 * tells of another ABI or a map has another layout than object's; then none is used.
 */
static int adopt_pins(struct bpf *bpf, struct bpf_object *object, char *why, size_t why_size)
{
	struct sluice_meta meta = { 0 };
	int fds[MAPS], err = 0;
	unsigned found = 0;
	__u32 zero = 0;

	for (unsigned i = 0; i < MAPS; i++) {
		fds[i] = open_pin(bpf->pin_path, "", map_table[i].name);
		if (fds[i] < 0 && fds[i] != -ENOENT) {
			err = fds[i];
			bpf_loader_why(why, why_size, "cannot open the pinned map %s/%s: %s",
				       bpf->pin_path, map_table[i].name, strerror(-err));
		}
		found += fds[i] >= 0;
	}
	if (err || !found)
		goto out;
	if (fds[MAP_meta] >= 0)
		bpf_map_lookup_elem(fds[MAP_meta], &zero, &meta);
	if (meta.abi_version != SLUICE_ABI_VERSION || meta.layout_hash != SLUICE_LAYOUT_HASH) {
		err = -EEXIST;
		bpf_loader_why(why, why_size,
			       "the maps pinned in %s have ABI version %u (layout %08x), this sluiced has "
			       "%u (%08x): start it with --replace-maps, or remove them",
			       bpf->pin_path, meta.abi_version, meta.layout_hash,
			       SLUICE_ABI_VERSION, SLUICE_LAYOUT_HASH);
		goto out;
	}
	for (unsigned i = 0; i < MAPS && !err; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(object, map_table[i].name);

		if (fds[i] < 0 || same_layout(fds[i], map))
			continue;
		err = -EEXIST;
		bpf_loader_why(why, why_size,
			       "the map pinned as %s/%s has another layout: start sluiced with "
			       "--replace-maps, or remove it", bpf->pin_path, map_table[i].name);
	}
	for (unsigned i = 0; i < MAPS && !err; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(object, map_table[i].name);

		if (fds[i] >= 0 && map_table[i].adopted)
			err = bpf_map__reuse_fd(map, fds[i]);
	}
out:
	for (unsigned i = 0; i < MAPS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	return err;
}

/* Pins all maps, under other names first, so that each appears in the place of the old one. */
static int pin_maps(struct bpf *bpf, char *why, size_t why_size)
{
	int err = 0;

	for (unsigned i = 0; i < MAPS && !err; i++) {
		char *fresh = bpf_loader_path(bpf->pin_path, "new_", map_table[i].name);
		char *path = bpf_loader_path(bpf->pin_path, "", map_table[i].name);

		if (!fresh || !path) {
			err = -ENOMEM;
		} else {
			unlink(fresh);
			if (bpf_obj_pin(bpf->maps[i], fresh) || rename(fresh, path)) {
				err = -errno;
				unlink(fresh);
			}
		}
		if (err)
			bpf_loader_why(why, why_size, "cannot pin the map %s in %s: %s",
				       map_table[i].name, bpf->pin_path, strerror(-err));
		free(fresh);
		free(path);
	}
	return err;
}

/* Removes every pin in pin_path, or in its links, and these directories. */
static void remove_pins(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(dir), entry->d_name, 0); /* links/ is not empty, or goes later */
	}
	closedir(dir);
}

/* Load */

/* The kernel refused: says which of the needed features it lacks, if it is that. */
static int explain_load(int err, char *why, size_t why_size)
{
	const char *line = library_log;
	bool has[BPF_FEATURE_COUNT];
	struct utsname kernel;
	char no_chain[1];

	if (err == -EPERM) {
		bpf_loader_why(why, why_size,
			       "the kernel refuses bpf() though the capabilities are there: a "
			       "container's seccomp profile or user namespace, or kernel lockdown; or "
			       "set kernel.mode: off");
		return -EPERM;
	}
	bool asked = !bpf_features_probe(has, no_chain, sizeof(no_chain)) && !uname(&kernel);

	for (int i = 0; asked && i < BPF_FEATURE_COUNT; i++) {
		if (has[i] || !bpf_feature_rows[i].needed)
			continue;
		bpf_loader_why(why, why_size,
			       "kernel %s lacks %s (Linux %s): use a newer one, or set kernel.mode: off",
			       kernel.release, bpf_feature_rows[i].name, bpf_feature_rows[i].since);
		return -ENOSYS;
	}
	bpf_loader_why(why, why_size, "loading the BPF programs failed: %s: %.*s", strerror(-err),
		       (int)strcspn(line, "\n"), line);
	return err;
}

/* Both objects with one set of maps: the second is given the first's. On success bpf has
 * descriptors of its own, so that the objects can go. */
static int load(struct bpf *bpf, struct gate_bpf *gate, struct pick_bpf *pick)
{
	int err = gate_bpf__load(gate);

	for (unsigned i = 0; i < MAPS && !err; i++) {
		const char *name = map_table[i].name;
		int fd = bpf_object__find_map_fd_by_name(gate->obj, name);

		err = bpf_map__reuse_fd(bpf_object__find_map_by_name(pick->obj, name), fd);
		if (!err) {
			bpf->maps[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
			err = bpf->maps[i] < 0 ? -errno : 0;
		}
	}
	if (!err)
		err = pick_bpf__load(pick);
	if (err)
		return err;
	bpf->gate_fd = fcntl(bpf_program__fd(gate->progs.gate), F_DUPFD_CLOEXEC, 0);
	bpf->pick_fd = fcntl(bpf_program__fd(pick->progs.pick), F_DUPFD_CLOEXEC, 0);
	return bpf->gate_fd < 0 || bpf->pick_fd < 0 ? -errno : 0;
}

/* Maps the gate's global data; so far no port has a listener. */
static int map_ports(struct bpf *bpf, const struct gate_bpf *gate)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct gate_bpf__bss *data;

	bpf->gate_data_bytes = (sizeof(*data) + page - 1) / page * page;
	bpf->gate_data_fd = fcntl(bpf_map__fd(gate->maps.bss), F_DUPFD_CLOEXEC, 0);
	if (bpf->gate_data_fd < 0)
		return -errno;
	bpf->gate_data = mmap(NULL, bpf->gate_data_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			      bpf->gate_data_fd, 0);
	if (bpf->gate_data == MAP_FAILED) {
		bpf->gate_data = NULL;
		return -errno;
	}
	data = bpf->gate_data;
	memset(data->ports_without_address, 0xff, sizeof(data->ports_without_address));
	memset(data->ports_without_any, 0xff, sizeof(data->ports_without_any));
	bpf->ports_without_address = (uint64_t *)data->ports_without_address;
	bpf->ports_without_any = (uint64_t *)data->ports_without_any;
	return bpf_loader_ports_init(bpf, (struct sluice_ports *)&data->ports);
}

static int fill_meta(struct bpf *bpf)
{
	struct sluice_meta meta = {
		.abi_version = SLUICE_ABI_VERSION,
		.layout_hash = SLUICE_LAYOUT_HASH,
		.supervisor_pid = (__u32)getpid(),
	};
	__u32 zero = 0;

	return bpf_map_update_elem(bpf->maps[MAP_meta], &zero, &meta, BPF_ANY) ? -errno : 0;
}

static int open_all(struct bpf *bpf, bool replace_maps, char *why, size_t why_size)
{
	struct gate_bpf *gate = gate_bpf__open();
	struct pick_bpf *pick = pick_bpf__open();
	char *links = bpf_loader_path(bpf->pin_path, "links", "");
	bool replace = false;
	int err;

	if (!gate || !pick || !links) {
		err = -ENOMEM;
		goto out;
	}
	err = adopt_pins(bpf, gate->obj, why, why_size);
	if (err == -EEXIST && replace_maps) {
		replace = true;
		err = 0;
	}
	if (err)
		goto out;
	err = load(bpf, gate, pick);
	if (err) {
		err = explain_load(err, why, why_size);
		goto out;
	}
	err = map_ports(bpf, gate);
	if (!err)
		err = bpf_loader_acl_init(bpf);
	if (!err)
		err = fill_meta(bpf);
	if (err)
		goto out;
	if (replace)
		remove_pins(bpf->pin_path);
	if (mkdir(links, 0700) && errno != EEXIST) {
		err = -errno;
		bpf_loader_why(why, why_size, "cannot make %s: %s", links, strerror(-err));
		goto out;
	}
	err = pin_maps(bpf, why, why_size);
out:
	free(links);
	gate_bpf__destroy(gate);
	pick_bpf__destroy(pick);
	return err;
}

int bpf_open(struct bpf **ret_bpf, const struct bpf_options *options, char *why, size_t why_size)
{
	struct bpf *bpf = calloc(1, sizeof(*bpf));
	bool made = false;
	int err;

	library_log[0] = 0;
	library_log_len = 0;
	libbpf_set_print(on_library_print);
	bpf_loader_why(why, why_size, "%s", "");
	if (!bpf)
		return -ENOMEM;
	bpf->lock_fd = bpf->gate_fd = bpf->pick_fd = bpf->gate_data_fd = -1;
	bpf->replace_foreign = options->replace_foreign;
	bpf->chain = options->chain;
	bpf->chain_priority = options->chain_priority;
	for (unsigned i = 0; i < MAPS; i++)
		bpf->maps[i] = -1;
	bpf->pin_path = strdup(options->pin_path);
	if (!bpf->pin_path) {
		err = -ENOMEM;
		goto out;
	}
	err = probe_rights(why, why_size);
	if (!err)
		err = ensure_bpffs(bpf->pin_path, why, why_size);
	if (!err)
		err = lock_directory(bpf, &made, why, why_size);
	if (!err)
		err = open_all(bpf, options->replace_maps, why, why_size);
	if (!err)
		*ret_bpf = bpf;
out:
	if (err) {
		if (!*why)
			bpf_loader_why(why, why_size, "loading the BPF programs failed: %s",
				       strerror(-err));
		if (made)
			bpf_close(bpf, false);
		else
			bpf_forget(bpf);
	}
	return err;
}

void bpf_close(struct bpf *bpf, bool keep)
{
	char *links;

	if (!bpf)
		return;
	if (!keep) {
		bpf_detach_sk_lookup(bpf);
		bpf_detach_xdp_except(bpf, NULL, 0);
		links = bpf_loader_path(bpf->pin_path, "links", "");
		if (links)
			rmdir(links);
		free(links);
		remove_pins(bpf->pin_path);
		rmdir(bpf->pin_path);
	}
	bpf_forget(bpf);
}

void bpf_forget(struct bpf *bpf)
{
	if (!bpf)
		return;
	for (unsigned i = 0; i < MAPS; i++) {
		if (bpf->maps[i] >= 0)
			close(bpf->maps[i]);
	}
	bpf_loader_acl_done(bpf);
	bpf_loader_ports_done(bpf);
	if (bpf->gate_data)
		munmap(bpf->gate_data, bpf->gate_data_bytes);
	if (bpf->gate_data_fd >= 0)
		close(bpf->gate_data_fd);
	if (bpf->gate_fd >= 0)
		close(bpf->gate_fd);
	if (bpf->pick_fd >= 0)
		close(bpf->pick_fd);
	if (bpf->lock_fd >= 0)
		close(bpf->lock_fd);
	free(bpf->pin_path);
	free(bpf);
}

int bpf_state_fds(const struct bpf *bpf, int fds[STATE_FDS])
{
	static const enum bpf_loader_map shared[] = {
		[STATE_FD_WORKERS] = MAP_workers,
		[STATE_FD_GROUPS] = MAP_groups,
		[STATE_FD_BACKENDS] = MAP_backends,
		[STATE_FD_ROUTES] = MAP_routes,
		[STATE_FD_LIMITS] = MAP_call_limits,
		[STATE_FD_SOURCES] = MAP_source_states,
		[STATE_FD_SWITCHES] = MAP_switches,
	};
	int err = 0;

	for (unsigned i = 0; i < STATE_FDS; i++)
		fds[i] = -1;
	for (unsigned i = 0; i < sizeof(shared) / sizeof(shared[0]) && !err; i++) {
		fds[i] = fcntl(bpf->maps[shared[i]], F_DUPFD_CLOEXEC, 0);
		err = fds[i] < 0 ? -errno : 0;
	}
	for (unsigned i = 0; i < STATE_FDS && err; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
	return err;
}
