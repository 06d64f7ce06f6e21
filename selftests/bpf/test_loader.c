/* SPDX-License-Identifier: MIT */
/*
 * test_loader.c - the loader as the supervisor calls it: pins and their adoption, attaching and
 * what stands in its way, the tables. In namespaces of its own, with real interfaces.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "control/bpf_loader.h"
#include "gate_help.h"
#include "world_help.h"

static const char *const map_names[] = {
	"listeners", "sockets", "workers", "groups", "backends", "acl_exact", "acl_v4", "acl_v6",
	"sources", "listener_times", "listener_stats", "verdicts", "asking", "meta",
};
#define N_MAPS (sizeof(map_names) / sizeof(map_names[0]))

static char why[BPF_WHY_MAX];

static struct bpf *open_or_fail(bool replace_maps)
{
	struct bpf_options options = { .pin_path = world_pins, .replace_maps = replace_maps };
	struct bpf *bpf = NULL;

	if (bpf_open(&bpf, &options, why, sizeof(why)))
		fail_msg("bpf_open: %s\n%s", why, bpf_library_log());
	return bpf;
}

static int pinned(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", world_pins, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return fd;
}

static uint32_t map_id(const char *name)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	int fd = pinned(name);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	close(fd);
	return info.id;
}

static uint32_t xdp_program(const char *interface)
{
	__u32 id = 0;

	assert_int_equal(bpf_xdp_query_id((int)if_nametoindex(interface), 0, &id), 0);
	return id;
}

static struct bpf_link_info pinned_link(const char *name)
{
	struct bpf_link_info info = { 0 };
	__u32 len = sizeof(info);
	int fd = pinned(name);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	close(fd);
	return info;
}

static int with_interfaces(void **state)
{
	return run_command("ip link add v0 type veth peer name v1 && ip link set v0 up && "
			   "ip link set v1 up");
}

static int clean(void **state)
{
	struct bpf_options options = { .pin_path = world_pins, .replace_maps = true };
	struct bpf *bpf;

	if (!bpf_open(&bpf, &options, why, sizeof(why)))
		bpf_close(bpf, false);
	run_command("ip link del v0 2>/dev/null; true");
	return path_exists(world_pins, "") ? -1 : 0;
}

/* Pins */

static void all_maps_are_pinned_while_open_and_gone_after_close(void **state)
{
	struct bpf *bpf = open_or_fail(false);
	struct sluice_meta meta;
	__u32 zero = 0;
	int fd;

	for (size_t i = 0; i < N_MAPS; i++)
		close(pinned(map_names[i]));
	fd = pinned("meta");
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &meta), 0);
	close(fd);
	assert_int_equal(meta.abi_version, SLUICE_ABI_VERSION);
	assert_int_equal(meta.layout_hash, SLUICE_LAYOUT_HASH);
	assert_int_equal(meta.supervisor_pid, getpid());
	bpf_close(bpf, false);
	assert_false(path_exists(world_pins, ""));
}

static void a_kept_run_leaves_counters_that_the_next_adopts(void **state)
{
	static const char *const adopted[] = { "sources", "strays", "penalties", "listener_times",
					       "listener_stats", "verdicts" };
	static const char *const fresh[] = { "listeners", "sockets", "workers", "groups",
					     "backends", "acls", "meta" };
	struct bpf *bpf = open_or_fail(false);
	uint32_t ids[6], fresh_ids[7];

	for (int i = 0; i < 6; i++)
		ids[i] = map_id(adopted[i]);
	for (int i = 0; i < 7; i++)
		fresh_ids[i] = map_id(fresh[i]);
	bpf_close(bpf, true);
	bpf = open_or_fail(false);
	for (int i = 0; i < 6; i++)
		assert_int_equal(map_id(adopted[i]), ids[i]);
	for (int i = 0; i < 7; i++)
		assert_int_not_equal(map_id(fresh[i]), fresh_ids[i]);
	bpf_close(bpf, false);
}

static void maps_of_another_abi_are_refused_unless_replaced(void **state)
{
	struct bpf_options options = { .pin_path = world_pins };
	struct bpf *bpf = open_or_fail(false), *none = NULL;
	struct sluice_meta meta = { .abi_version = SLUICE_ABI_VERSION + 1 };
	uint32_t verdicts = map_id("verdicts");
	__u32 zero = 0;
	int fd = pinned("meta");
	char want[32];

	assert_int_equal(bpf_map_update_elem(fd, &zero, &meta, BPF_ANY), 0);
	close(fd);
	bpf_close(bpf, true);
	assert_int_equal(bpf_open(&none, &options, why, sizeof(why)), -EEXIST);
	assert_null(none);
	snprintf(want, sizeof(want), "ABI version %u", SLUICE_ABI_VERSION + 1);
	assert_non_null(strstr(why, want));
	assert_non_null(strstr(why, "--replace-maps"));
	assert_int_equal(map_id("verdicts"), verdicts); /* untouched */
	bpf = open_or_fail(true);
	assert_int_not_equal(map_id("verdicts"), verdicts);
	bpf_close(bpf, true);
	bpf_close(open_or_fail(false), false);
}

static void a_map_of_another_layout_is_refused_by_name(void **state)
{
	struct bpf_options options = { .pin_path = world_pins };
	struct bpf *bpf = open_or_fail(false);
	char path[256];
	int fd;

	bpf_close(bpf, true);
	snprintf(path, sizeof(path), "%s/acl_exact", world_pins);
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "acl_exact", 16, 16, 8, NULL);
	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	close(fd);
	assert_int_equal(bpf_open(&bpf, &options, why, sizeof(why)), -EEXIST);
	assert_non_null(strstr(why, "acl_exact"));
	bpf_close(open_or_fail(true), false);
}

static void a_second_one_on_the_same_path_is_refused(void **state)
{
	struct bpf_options options = { .pin_path = world_pins };
	struct bpf *bpf = open_or_fail(false), *second = NULL;

	assert_int_equal(bpf_open(&second, &options, why, sizeof(why)), -EBUSY);
	assert_non_null(strstr(why, "in use"));
	for (size_t i = 0; i < N_MAPS; i++)
		close(pinned(map_names[i]));
	bpf_close(bpf, false);
}

static void a_path_that_is_on_no_bpffs_is_refused_with_the_fix(void **state)
{
	struct bpf_options options = { .pin_path = "/tmp/sluice-nowhere" };
	struct bpf *bpf = NULL;

	assert_int_equal(bpf_open(&bpf, &options, why, sizeof(why)), -ENOTSUP);
	assert_non_null(strstr(why, "mount -t bpf"));
	assert_false(path_exists("/tmp/sluice-nowhere", ""));
}

/* In a child: 0, or the number of the check that failed. */
static int in_child(int (*body)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(body());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int mounts_bpffs(void)
{
	struct bpf_options options = { .pin_path = "/sys/fs/bpf/sluice-mount-test" };
	struct bpf *bpf = NULL;

	if (unshare(CLONE_NEWNS))
		return 1;
	while (!umount2("/sys/fs/bpf", MNT_DETACH))
		;
	if (bpf_open(&bpf, &options, why, sizeof(why)))
		return 2;
	bpf_close(bpf, false);
	return umount2("/sys/fs/bpf", 0) ? 3 : 0;
}

static void the_usual_bpffs_is_mounted_where_it_is_not(void **state)
{
	struct stat status;

	if (stat("/sys/fs/bpf", &status)) {
		printf("SKIP: there is no /sys/fs/bpf to mount on\n");
		skip();
	}
	assert_int_equal(in_child(mounts_bpffs), 0);
}

static int become_nobody(bool with_rights)
{
	static const cap_value_t rights[] = { CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN };
	cap_t caps = cap_init();

	prctl(PR_SET_KEEPCAPS, 1);
	if (!caps || setgid(65534) || setuid(65534))
		return -1;
	if (with_rights) {
		cap_set_flag(caps, CAP_PERMITTED, 3, rights, CAP_SET);
		cap_set_flag(caps, CAP_EFFECTIVE, 3, rights, CAP_SET);
	}
	return cap_set_proc(caps);
}

static int refused_without_rights(void)
{
	struct bpf_options options = { .pin_path = world_pins };
	struct bpf *bpf = NULL;

	if (become_nobody(false))
		return 1;
	if (bpf_open(&bpf, &options, why, sizeof(why)) != -EPERM)
		return 2;
	if (bpf || !strstr(why, "CAP_BPF CAP_PERFMON CAP_NET_ADMIN"))
		return 3;
	return path_exists(world_pins, "") ? 4 : 0;
}

static void without_rights_the_missing_ones_are_named(void **state)
{
	assert_int_equal(in_child(refused_without_rights), 0);
}

static int works_with_three_capabilities(void)
{
	struct bpf_options options = { .pin_path = world_pins };
	enum bpf_xdp_used used;
	struct bpf *bpf = NULL;

	if (chown(world_bpffs, 65534, 65534) || become_nobody(true))
		return 1;
	if (bpf_open(&bpf, &options, why, sizeof(why))) {
		print_error("%s\n%s\n", why, bpf_library_log());
		return 2;
	}
	if (bpf_attach_xdp(bpf, "v0", XDP_MODE_NATIVE, &used, why, sizeof(why)) ||
	    bpf_attach_sk_lookup(bpf, why, sizeof(why))) {
		print_error("%s\n", why);
		return 3;
	}
	bpf_close(bpf, false);
	return path_exists(world_pins, "") ? 4 : 0;
}

static void cap_bpf_perfmon_and_net_admin_are_enough(void **state)
{
	int failed = in_child(works_with_three_capabilities);

	assert_int_equal(chown(world_bpffs, 0, 0), 0);
	assert_int_equal(failed, 0);
}

static void the_processes_maps_can_be_mapped(void **state)
{
	struct bpf *bpf = open_or_fail(false);
	int fds[STATE_FDS];

	assert_int_equal(bpf_state_fds(bpf, fds), 0);
	assert_int_equal(fds[STATE_FD_LEDGER], -1);
	for (int i = STATE_FD_WORKERS; i < STATE_FD_LEDGER; i++) {
		static const size_t bytes[] = {
			SLUICE_MAX_WORKERS * sizeof(struct sluice_worker),
			SLUICE_MAX_GROUPS * sizeof(struct sluice_group),
			SLUICE_MAX_BACKENDS * sizeof(struct sluice_backend),
			SLUICE_MAX_ROUTES * sizeof(struct sluice_route),
			SLUICE_LIMIT_SETS * sizeof(struct sluice_limit_set),
			SLUICE_SOURCE_SETS * sizeof(struct sluice_source_set),
			sizeof(struct sluice_switches),
		};
		void *memory = mmap(NULL, bytes[i], PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);

		assert_ptr_not_equal(memory, MAP_FAILED);
		munmap(memory, bytes[i]);
		close(fds[i]);
	}
	bpf_close(bpf, false);
}

/* XDP */

static void native_and_generic_attach_as_asked(void **state)
{
	struct bpf *bpf = open_or_fail(false);
	enum bpf_xdp_used used = BPF_XDP_OFF;

	assert_int_equal(bpf_attach_xdp(bpf, "v0", XDP_MODE_AUTO, &used, why, sizeof(why)), 0);
	assert_int_equal(used, BPF_XDP_NATIVE);
	assert_string_equal(why, "");
	assert_int_equal(bpf_attach_xdp(bpf, "v0", XDP_MODE_GENERIC, &used, why, sizeof(why)), 0);
	assert_int_equal(used, BPF_XDP_GENERIC);
	assert_int_equal(bpf_attach_xdp(bpf, "v0", XDP_MODE_NATIVE, &used, why, sizeof(why)), 0);
	assert_int_equal(used, BPF_XDP_NATIVE);
	assert_int_equal(bpf_detach_xdp(bpf, "v0"), 0);
	assert_int_equal(xdp_program("v0"), 0);
	assert_int_equal(bpf_detach_xdp(bpf, "v0"), 0);
	bpf_close(bpf, false);
}

static void auto_falls_back_to_generic_and_says_why(void **state)
{
	struct bpf *bpf = open_or_fail(false);
	enum bpf_xdp_used used = BPF_XDP_OFF;

	assert_int_equal(bpf_attach_xdp(bpf, "lo", XDP_MODE_NATIVE, &used, why, sizeof(why)),
			 -EOPNOTSUPP);
	assert_non_null(strstr(why, "lo"));
	assert_int_equal(used, BPF_XDP_OFF);
	assert_int_equal(bpf_attach_xdp(bpf, "lo", XDP_MODE_AUTO, &used, why, sizeof(why)), 0);
	assert_int_equal(used, BPF_XDP_GENERIC);
	assert_non_null(strstr(why, "native XDP does not work on lo"));
	assert_string_equal(bpf_xdp_used_name(used), "generic");
	bpf_close(bpf, false);
	assert_int_equal(xdp_program("lo"), 0);
}

static void an_interface_that_does_not_exist_is_named(void **state)
{
	struct bpf *bpf = open_or_fail(false);
	enum bpf_xdp_used used;

	assert_int_equal(bpf_attach_xdp(bpf, "nosuch0", XDP_MODE_AUTO, &used, why, sizeof(why)),
			 -ENODEV);
	assert_non_null(strstr(why, "nosuch0"));
	bpf_close(bpf, false);
}

static void a_foreign_program_is_refused_and_left_alone(void **state)
{
	struct bpf *bpf = open_or_fail(false);
	struct gate_bpf *foreign = gate_bpf__open_and_load();
	int ifindex = (int)if_nametoindex("v0");
	enum bpf_xdp_used used;
	uint32_t id;

	assert_non_null(foreign);
	assert_int_equal(bpf_xdp_attach(ifindex, bpf_program__fd(foreign->progs.gate), 0, NULL), 0);
	id = xdp_program("v0");
	for (int mode = XDP_MODE_AUTO; mode <= XDP_MODE_GENERIC; mode++) {
		assert_int_equal(bpf_attach_xdp(bpf, "v0", (enum config_xdp_mode)mode, &used, why,
						sizeof(why)), -EBUSY);
		assert_non_null(strstr(why, "does not replace"));
		assert_int_equal(xdp_program("v0"), id);
	}
	bpf_close(bpf, false);
	assert_int_equal(xdp_program("v0"), id);
	bpf_xdp_detach(ifindex, 0, NULL);
	gate_bpf__destroy(foreign);
}

/* `ip link` cannot take off what a link holds: a fix that does not work is none. */
static void a_foreign_link_is_named_by_its_id(void **state)
{
	struct bpf *bpf = open_or_fail(false);
	struct gate_bpf *foreign = gate_bpf__open_and_load();
	enum bpf_xdp_used used;
	unsigned id;

	assert_non_null(foreign);
	int link = bpf_link_create(bpf_program__fd(foreign->progs.gate),
				   (int)if_nametoindex("v0"), BPF_XDP, NULL);

	assert_true(link >= 0);
	assert_int_equal(bpf_attach_xdp(bpf, "v0", XDP_MODE_AUTO, &used, why, sizeof(why)), -EBUSY);
	char *fix = strstr(why, "bpftool link detach id ");

	assert_non_null(fix);
	assert_int_equal(sscanf(fix, "bpftool link detach id %u)", &id), 1);
	int named = bpf_link_get_fd_by_id(id);

	assert_true(named >= 0);
	assert_int_equal(bpf_link_detach(named), 0); /* what that command does */
	assert_int_equal(xdp_program("v0"), 0);
	close(named);
	close(link);
	gate_bpf__destroy(foreign);
	bpf_close(bpf, false);
}

static void what_was_detached_from_outside_is_seen_and_attached_again(void **state)
{
	struct bpf *bpf = open_or_fail(false);
	enum bpf_xdp_used used;
	int fd;

	assert_int_equal(bpf_xdp_used_now(bpf, "v0"), BPF_XDP_OFF);
	assert_int_equal(bpf_attach_xdp(bpf, "v0", XDP_MODE_GENERIC, &used, why, sizeof(why)), 0);
	assert_int_equal(bpf_xdp_used_now(bpf, "v0"), BPF_XDP_GENERIC);
	fd = pinned("links/xdp_v0");
	assert_int_equal(bpf_link_detach(fd), 0);
	close(fd);
	assert_int_equal(bpf_xdp_used_now(bpf, "v0"), BPF_XDP_OFF);
	assert_int_equal(bpf_attach_xdp(bpf, "v0", XDP_MODE_NATIVE, &used, why, sizeof(why)), 0);
	assert_int_equal(bpf_xdp_used_now(bpf, "v0"), BPF_XDP_NATIVE);
	assert_int_equal(run_command("ip link del v0"), 0);
	assert_int_equal(bpf_xdp_used_now(bpf, "v0"), BPF_XDP_OFF);

	assert_false(bpf_sk_lookup_is_on(bpf));
	assert_int_equal(bpf_attach_sk_lookup(bpf, why, sizeof(why)), 0);
	assert_true(bpf_sk_lookup_is_on(bpf));
	fd = pinned("links/sk_lookup");
	assert_int_equal(bpf_link_detach(fd), 0);
	close(fd);
	assert_false(bpf_sk_lookup_is_on(bpf));
	assert_int_equal(bpf_attach_sk_lookup(bpf, why, sizeof(why)), 0);
	assert_true(bpf_sk_lookup_is_on(bpf));
	bpf_close(bpf, false);
}

static void links_left_by_a_kill_are_given_the_new_program(void **state)
{
	struct bpf *bpf = open_or_fail(false);
	struct bpf_link_info xdp, lookup, now;
	enum bpf_xdp_used used;
	uint32_t program;

	assert_int_equal(bpf_attach_xdp(bpf, "v0", XDP_MODE_AUTO, &used, why, sizeof(why)), 0);
	assert_int_equal(bpf_attach_sk_lookup(bpf, why, sizeof(why)), 0);
	xdp = pinned_link("links/xdp_v0");
	lookup = pinned_link("links/sk_lookup");
	program = xdp_program("v0");
	bpf_forget(bpf); /* all that is left of a killed process: pins */
	assert_int_equal(xdp_program("v0"), program);

	bpf = open_or_fail(false);
	assert_int_equal(xdp_program("v0"), program); /* until the tables are full */
	assert_int_equal(bpf_attach_xdp(bpf, "v0", XDP_MODE_AUTO, &used, why, sizeof(why)), 0);
	assert_int_equal(used, BPF_XDP_NATIVE);
	assert_int_equal(bpf_attach_sk_lookup(bpf, why, sizeof(why)), 0);
	now = pinned_link("links/xdp_v0");
	assert_int_equal(now.id, xdp.id); /* the same link, never off the interface */
	assert_int_not_equal(now.prog_id, xdp.prog_id);
	assert_int_equal(xdp_program("v0"), now.prog_id);
	now = pinned_link("links/sk_lookup");
	assert_int_equal(now.id, lookup.id);
	assert_int_not_equal(now.prog_id, lookup.prog_id);
	bpf_close(bpf, false);
	assert_int_equal(xdp_program("v0"), 0);
}

static void a_link_that_lost_its_interface_is_thrown_away(void **state)
{
	struct bpf *bpf = open_or_fail(false);
	enum bpf_xdp_used used;

	assert_int_equal(bpf_attach_xdp(bpf, "v0", XDP_MODE_AUTO, &used, why, sizeof(why)), 0);
	bpf_forget(bpf);
	assert_int_equal(run_command("ip link del v0 && ip link add v0 type veth peer name v1"), 0);
	bpf = open_or_fail(false);
	assert_int_equal(bpf_attach_xdp(bpf, "v0", XDP_MODE_AUTO, &used, why, sizeof(why)), 0);
	assert_int_not_equal(xdp_program("v0"), 0);
	bpf_close(bpf, false);
	assert_int_equal(xdp_program("v0"), 0);
}

static void interfaces_that_are_not_configured_any_more_are_let_go(void **state)
{
	const char *keep[] = { "v1" };
	struct bpf *bpf = open_or_fail(false);
	enum bpf_xdp_used used;

	assert_int_equal(bpf_attach_xdp(bpf, "v0", XDP_MODE_AUTO, &used, why, sizeof(why)), 0);
	assert_int_equal(bpf_attach_xdp(bpf, "v1", XDP_MODE_AUTO, &used, why, sizeof(why)), 0);
	bpf_forget(bpf);
	bpf = open_or_fail(false);
	assert_int_equal(bpf_detach_xdp_except(bpf, keep, 1), 1);
	assert_int_equal(xdp_program("v0"), 0);
	assert_int_not_equal(xdp_program("v1"), 0);
	bpf_close(bpf, false);
	assert_int_equal(xdp_program("v1"), 0);
}

static void an_interface_with_a_dot_in_its_name_works(void **state)
{
	struct bpf *bpf = open_or_fail(false);
	enum bpf_xdp_used used;

	assert_int_equal(run_command("ip link add v.7 type veth peer name v8"), 0);
	assert_int_equal(bpf_attach_xdp(bpf, "v.7", XDP_MODE_AUTO, &used, why, sizeof(why)), 0);
	assert_int_not_equal(xdp_program("v.7"), 0);
	bpf_close(bpf, false);
	assert_int_equal(xdp_program("v.7"), 0);
}

#define LOADER_TEST(name) cmocka_unit_test_setup_teardown(name, with_interfaces, clean)

int main(void)
{
	static const char *const tools[] = { "ip", NULL };
	const struct CMUnitTest tests[] = {
		LOADER_TEST(all_maps_are_pinned_while_open_and_gone_after_close),
		LOADER_TEST(a_kept_run_leaves_counters_that_the_next_adopts),
		LOADER_TEST(maps_of_another_abi_are_refused_unless_replaced),
		LOADER_TEST(a_map_of_another_layout_is_refused_by_name),
		LOADER_TEST(a_second_one_on_the_same_path_is_refused),
		LOADER_TEST(a_path_that_is_on_no_bpffs_is_refused_with_the_fix),
		LOADER_TEST(the_usual_bpffs_is_mounted_where_it_is_not),
		LOADER_TEST(without_rights_the_missing_ones_are_named),
		LOADER_TEST(cap_bpf_perfmon_and_net_admin_are_enough),
		LOADER_TEST(the_processes_maps_can_be_mapped),
		LOADER_TEST(native_and_generic_attach_as_asked),
		LOADER_TEST(auto_falls_back_to_generic_and_says_why),
		LOADER_TEST(an_interface_that_does_not_exist_is_named),
		LOADER_TEST(a_foreign_program_is_refused_and_left_alone),
		LOADER_TEST(a_foreign_link_is_named_by_its_id),
		LOADER_TEST(what_was_detached_from_outside_is_seen_and_attached_again),
		LOADER_TEST(links_left_by_a_kill_are_given_the_new_program),
		LOADER_TEST(a_link_that_lost_its_interface_is_thrown_away),
		LOADER_TEST(interfaces_that_are_not_configured_any_more_are_let_go),
		LOADER_TEST(an_interface_with_a_dot_in_its_name_works),
	};
	int failed;

	if (!bpf_is_allowed() || !world_enter(tools))
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_leave();
	return failed;
}
