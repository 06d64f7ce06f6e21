/* SPDX-License-Identifier: MIT */
/*
 * bpf_loader_chain.c - the gate as one of several XDP programs on an interface, by libxdp's dispatcher;
 * the only place that knows libxdp. Called by bpf_loader_xdp.c. The dispatcher calls programs that
 * replace functions of it (freplace), which not every kernel allows: libxdp then attaches the program
 * alone and says nothing. So it is asked for only after a try of our own, and looked at afterwards.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* libxdp has an XDP_MODE_NATIVE too, with another value than config.h's. */
#define XDP_MODE_NATIVE LIBXDP_MODE_NATIVE
#include <xdp/libxdp.h>
#undef XDP_MODE_NATIVE

#include "control/bpf_loader_impl.h"
#include "sluice/trace.h" /* before the skeleton, which has one in it */
#include "gate_chain.skel.h"

#define DISPATCHER_OBJECT "xdp-dispatcher.o"
#define DISPATCHER_PASS	  "xdp_pass"

static char said[192]; /* libxdp's last word */

__attribute__((format(printf, 2, 0))) static int
on_print(enum libxdp_print_level level, const char *format, va_list args)
{
	if (level == LIBXDP_DEBUG)
		return 0;
	vsnprintf(said, sizeof(said), format, args);
	said[strcspn(said, "\n")] = 0;
	return 0;
}

static void listen_to_library(void)
{
	said[0] = 0;
	libxdp_set_print(on_print);
}

/* The probe */

static struct bpf_program *pass_of(struct xdp_program *file)
{
	struct bpf_object *object = xdp_program__bpf_obj(file);
	struct bpf_program *program;

	bpf_object__for_each_program(program, object)
		bpf_program__set_autoload(program,
					  !strcmp(bpf_program__name(program), DISPATCHER_PASS));
	return bpf_object__find_program_by_name(object, DISPATCHER_PASS);
}

/* Replaces a program that is on no interface. 0 or -errno. */
static int try_freplace(struct xdp_program *target_file, struct xdp_program *file)
{
	struct bpf_program *target = pass_of(target_file), *program = pass_of(file);
	struct bpf_link *link;
	int err;

	if (!target || !program)
		return -ENOENT;
	err = bpf_object__load(xdp_program__bpf_obj(target_file));
	if (!err)
		err = bpf_program__set_attach_target(program, bpf_program__fd(target),
						     DISPATCHER_PASS);
	if (err)
		return err;
	bpf_program__set_type(program, BPF_PROG_TYPE_EXT);
	bpf_program__set_expected_attach_type(program, (enum bpf_attach_type)0);
	err = bpf_object__load(xdp_program__bpf_obj(file));
	if (err)
		return err;
	link = bpf_program__attach_freplace(program, 0, NULL);
	if (!link)
		return -errno;
	bpf_link__destroy(link);
	return 0;
}

static int probe(char *why, size_t why_size)
{
	DECLARE_LIBXDP_OPTS(xdp_program_opts, options, .find_filename = DISPATCHER_OBJECT,
			    .prog_name = DISPATCHER_PASS);
	struct xdp_program *target = xdp_program__create(&options);
	struct xdp_program *program = xdp_program__create(&options);
	int err = (int)libxdp_get_error(target);

	if (!err)
		err = (int)libxdp_get_error(program);
	if (err) {
		bpf_loader_why(why, why_size, "libxdp's %s cannot be opened (%s)",
			       DISPATCHER_OBJECT, strerror(-err));
	} else {
		err = try_freplace(target, program);
		if (err)
			bpf_loader_why(why, why_size,
				       "this kernel refuses freplace, which libxdp's dispatcher needs "
				       "(%s%s)", strerror(-err),
				       err == -EPERM ? ": it takes CAP_SYS_ADMIN and a kernel that "
						       "allows it" : "");
	}
	if (!libxdp_get_error(target))
		xdp_program__close(target);
	if (!libxdp_get_error(program))
		xdp_program__close(program);
	return err;
}

int bpf_loader_chain_probe(char *why, size_t why_size)
{
	static bool probed;
	static int result;
	static char reason[192];

	if (!probed) {
		listen_to_library();
		result = probe(reason, sizeof(reason));
		probed = true;
	}
	bpf_loader_why(why, why_size, "%s", reason);
	return result ? -EOPNOTSUPP : 0;
}

/* What is on an interface */

/* The dispatcher there, or NULL: none, another program, or nothing at all. */
static struct xdp_multiprog *dispatcher_on(int ifindex)
{
	struct xdp_multiprog *on;

	listen_to_library();
	on = ifindex > 0 ? xdp_multiprog__get_from_ifindex(ifindex) : NULL;
	if (!on || libxdp_get_error(on))
		return NULL;
	if (!xdp_multiprog__is_legacy(on))
		return on;
	xdp_multiprog__close(on);
	return NULL;
}

static uint32_t pinned_id(const char *pin)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);
	int fd = bpf_obj_get(pin);

	if (fd < 0)
		return 0;
	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		info.id = 0;
	close(fd);
	return info.id;
}

static bool contains(const struct xdp_multiprog *on, uint32_t id)
{
	struct xdp_program *program = NULL;

	while ((program = xdp_multiprog__next_prog(program, on)))
		if (xdp_program__id(program) == id)
			return true;
	return false;
}

static void describe(const struct xdp_multiprog *on, char *text, size_t size)
{
	struct xdp_program *program = NULL;
	size_t len = 0;

	while ((program = xdp_multiprog__next_prog(program, on)) && len < size) {
		int n = snprintf(text + len, size - len, "%s%s (priority %u)", len ? ", " : "",
				 xdp_program__name(program), xdp_program__run_prio(program));

		len += n > 0 ? (size_t)n : 0;
	}
}

bool bpf_loader_chain_has(int ifindex, const char *pin, char *text, size_t size)
{
	uint32_t id = pinned_id(pin);
	struct xdp_multiprog *on = id ? dispatcher_on(ifindex) : NULL;
	bool found = on && contains(on, id);

	if (found)
		describe(on, text, size);
	xdp_multiprog__close(on);
	return found;
}

/* Whether the pinned program is of this run: it has the listeners of this one. */
static bool is_of_this_run(const struct bpf *bpf, const char *pin)
{
	struct bpf_map_info map = { 0 };
	struct bpf_prog_info info = { 0 };
	__u32 ids[MAPS + 8] = { 0 }, map_len = sizeof(map), len = sizeof(info);
	int fd = bpf_obj_get(pin);
	bool found = false;

	if (fd < 0)
		return false;
	info.nr_map_ids = sizeof(ids) / sizeof(ids[0]);
	info.map_ids = (uintptr_t)ids;
	if (!bpf_obj_get_info_by_fd(bpf->maps[MAP_listeners], &map, &map_len) &&
	    !bpf_obj_get_info_by_fd(fd, &info, &len))
		for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]) && !found; i++)
			found = ids[i] == map.id;
	close(fd);
	return found;
}

static bool mode_fits(enum config_xdp_mode wanted, enum xdp_attach_mode is)
{
	return wanted == XDP_MODE_AUTO ||
	       is == (wanted == XDP_MODE_GENERIC ? XDP_MODE_SKB : LIBXDP_MODE_NATIVE);
}

/* Attach */

/* A second gate on the same maps: a program in a dispatcher is of another type. */
static struct gate_chain_bpf *open_gate(const struct bpf *bpf)
{
	static const char *const names[MAPS] = {
#define MAP_NAME(name, adopted) #name,
		BPF_LOADER_MAPS(MAP_NAME)
#undef MAP_NAME
	};
	struct gate_chain_bpf *gate = gate_chain_bpf__open();
	int err = 0;

	for (unsigned i = 0; gate && i < MAPS && !err; i++)
		err = bpf_map__reuse_fd(bpf_object__find_map_by_name(gate->obj, names[i]),
					bpf->maps[i]);
	if (gate && !err && sizeof(*gate->bss) > bpf->gate_data_bytes)
		err = -EINVAL;
	if (gate && !err)
		err = bpf_map__reuse_fd(gate->maps.bss, bpf->gate_data_fd);
	if (gate && err) {
		gate_chain_bpf__destroy(gate);
		errno = -err;
		return NULL;
	}
	return gate;
}

static int attach_program(struct xdp_program *program, int ifindex, enum config_xdp_mode mode,
			  enum xdp_attach_mode present)
{
	char native_said[sizeof(said)];
	int err, native_err;

	if (present != XDP_MODE_UNSPEC) /* a dispatcher's mode stays */
		return xdp_program__attach(program, ifindex, present, 0);
	if (mode == XDP_MODE_GENERIC)
		return xdp_program__attach(program, ifindex, XDP_MODE_SKB, 0);
	native_err = xdp_program__attach(program, ifindex, LIBXDP_MODE_NATIVE, 0);
	if (!native_err || mode == XDP_MODE_NATIVE)
		return native_err;
	memcpy(native_said, said, sizeof(said));
	err = xdp_program__attach(program, ifindex, XDP_MODE_SKB, 0);
	if (!err)
		return 0;
	memcpy(said, native_said, sizeof(said)); /* what went wrong first is the reason */
	return native_err;
}

/* In the place of the pin of an earlier run, in one step. */
static int pin_program(struct xdp_program *program, const char *pin)
{
	char *fresh;
	int err = 0;

	if (asprintf(&fresh, "%s:new", pin) < 0)
		return -ENOMEM;
	unlink(fresh);
	if (bpf_obj_pin(xdp_program__fd(program), fresh) || rename(fresh, pin)) {
		err = -errno;
		unlink(fresh);
	}
	free(fresh);
	return err;
}

static int take_out(struct xdp_program *program, int ifindex)
{
	struct xdp_multiprog *on = dispatcher_on(ifindex);
	int err = 0;

	if (on && contains(on, xdp_program__id(program)))
		err = xdp_program__detach(program, ifindex, xdp_multiprog__attach_mode(on), 0);
	xdp_multiprog__close(on);
	return err;
}

/* libxdp has said yes: is it a dispatcher? */
static int confirm(struct xdp_program *program, int ifindex)
{
	struct xdp_multiprog *on = dispatcher_on(ifindex);
	bool found = on && contains(on, xdp_program__id(program));

	xdp_multiprog__close(on);
	if (found)
		return 0;
	bpf_loader_chain_clear(ifindex);
	return -ENOSYS;
}

static int attach_gate(const struct bpf *bpf, struct gate_chain_bpf *gate, int ifindex,
		       enum config_xdp_mode mode, enum xdp_attach_mode present, const char *pin)
{
	DECLARE_LIBXDP_OPTS(xdp_program_opts, options, .obj = gate->obj, .prog_name = "gate");
	struct xdp_program *program = xdp_program__create(&options);
	struct xdp_program *former = NULL;
	int err = (int)libxdp_get_error(program);

	if (err)
		return err;
	err = xdp_program__set_run_prio(program, bpf->chain_priority);
	if (!err)
		err = attach_program(program, ifindex, mode, present);
	if (!err)
		err = confirm(program, ifindex);
	if (err)
		goto out;
	/* Both are in for a moment: no packet passes without one. */
	former = pinned_id(pin) ? xdp_program__from_pin(pin) : NULL;
	err = pin_program(program, pin);
	if (err)
		take_out(program, ifindex);
	else if (former && !libxdp_get_error(former))
		take_out(former, ifindex);
	if (former && !libxdp_get_error(former))
		xdp_program__close(former);
out:
	xdp_program__close(program);
	return err;
}

int bpf_loader_chain_attach(const struct bpf *bpf, int ifindex, enum config_xdp_mode mode,
			    const char *pin, char *why, size_t why_size)
{
	struct xdp_multiprog *on = dispatcher_on(ifindex);
	enum xdp_attach_mode present = on ? xdp_multiprog__attach_mode(on) : XDP_MODE_UNSPEC;
	bool ours = on && contains(on, pinned_id(pin)) && is_of_this_run(bpf, pin);
	int programs = on ? xdp_multiprog__program_count(on) : 0, err;
	struct gate_chain_bpf *gate;

	xdp_multiprog__close(on);
	if (on && !mode_fits(mode, present)) {
		if (!ours || programs > 1) {
			bpf_loader_why(why, why_size, "the dispatcher on the interface runs in %s mode",
				       present == XDP_MODE_SKB ? "generic" : "native");
			return -EBUSY;
		}
		bpf_loader_chain_detach(ifindex, pin);
		present = XDP_MODE_UNSPEC;
	} else if (ours) {
		return 0;
	}
	gate = open_gate(bpf);
	if (!gate)
		return errno ? -errno : -ENOMEM;
	listen_to_library();
	err = attach_gate(bpf, gate, ifindex, mode, present, pin);
	if (err)
		bpf_loader_why(why, why_size, "libxdp cannot put the gate into a dispatcher: %s%s%s",
			       strerror(-err), said[0] ? ": " : "", said);
	gate_chain_bpf__destroy(gate);
	return err;
}

int bpf_loader_chain_detach(int ifindex, const char *pin)
{
	struct xdp_program *program = pinned_id(pin) ? xdp_program__from_pin(pin) : NULL;
	struct if_nameindex *links, *link;
	int err = 0;

	if (program && !libxdp_get_error(program)) {
		listen_to_library();
		links = ifindex > 0 ? NULL : if_nameindex(); /* renamed: it has it still */
		for (link = links; link && link->if_index && !err; link++)
			err = take_out(program, (int)link->if_index);
		if (links)
			if_freenameindex(links);
		else
			err = take_out(program, ifindex);
		xdp_program__close(program);
	}
	if (unlink(pin) && errno != ENOENT && !err)
		err = -errno;
	return err;
}

int bpf_loader_chain_clear(int ifindex)
{
	struct xdp_multiprog *on;
	int err;

	listen_to_library();
	on = xdp_multiprog__get_from_ifindex(ifindex);
	if (!on || libxdp_get_error(on))
		return -ENOENT;
	err = xdp_multiprog__detach(on);
	xdp_multiprog__close(on);
	return err;
}
