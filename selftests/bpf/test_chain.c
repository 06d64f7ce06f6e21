/* SPDX-License-Identifier: MIT */
/*
 * test_chain.c - the gate beside other XDP programs by libxdp's dispatcher, where the kernel allows
 * freplace; where it does not, that this is said. In namespaces of its own, with libxdp's own program
 * that passes everything as the neighbour.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <stdlib.h>
#define XDP_MODE_NATIVE LIBXDP_MODE_NATIVE /* config.h has one too */
#include <xdp/libxdp.h>
#undef XDP_MODE_NATIVE

#include "control/bpf_loader.h"
#include "gate_help.h"
#include "world_help.h"

#define NEEDS_CHAIN()                                                                              \
	do {                                                                                       \
		if (!can_chain) {                                                                  \
			printf("SKIP: no dispatcher here: %s\n", why_not);                         \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

static char why[BPF_WHY_MAX], why_not[BPF_WHY_MAX], chain[256];
static bool can_chain;

static struct bpf *open_with(bool chained, unsigned priority, bool force)
{
	struct bpf_options options = { .pin_path = world_pins, .chain = chained,
				       .chain_priority = priority, .replace_foreign = force };
	struct bpf *bpf = NULL;

	if (bpf_open(&bpf, &options, why, sizeof(why)))
		fail_msg("bpf_open: %s\n%s", why, bpf_library_log());
	return bpf;
}

static int with_interfaces(void **state)
{
	return run_command("ip link add v0 type veth peer name v1 && ip link set v0 up && "
			   "ip link set v1 up");
}

static int clean(void **state)
{
	struct bpf_options options = { .pin_path = world_pins };
	struct xdp_multiprog *on = xdp_multiprog__get_from_ifindex((int)if_nametoindex("v0"));
	struct bpf *bpf;

	if (!bpf_open(&bpf, &options, why, sizeof(why)))
		bpf_close(bpf, false);
	if (!libxdp_get_error(on)) {
		xdp_multiprog__detach(on);
		xdp_multiprog__close(on);
	}
	run_command("ip link del v0 2>/dev/null; true");
	return path_exists(world_pins, "") ? -1 : 0;
}

/* A program of somebody else, by libxdp. */
static struct xdp_program *neighbour(unsigned priority)
{
	DECLARE_LIBXDP_OPTS(xdp_program_opts, options, .find_filename = "xdp-dispatcher.o",
			    .prog_name = "xdp_pass");
	struct xdp_program *program = xdp_program__create(&options);

	assert_int_equal(libxdp_get_error(program), 0);
	assert_int_equal(xdp_program__set_run_prio(program, priority), 0);
	assert_int_equal(xdp_program__attach(program, (int)if_nametoindex("v0"),
					     LIBXDP_MODE_NATIVE, 0), 0);
	return program;
}

static uint32_t on_interface(void)
{
	__u32 id = 0;

	assert_int_equal(bpf_xdp_query_id((int)if_nametoindex("v0"), 0, &id), 0);
	return id;
}

static uint64_t passed(const struct bpf *bpf)
{
	struct sluice_verdict_count counts[VERDICT_MAX];
	uint64_t all = 0;

	assert_int_equal(bpf_read_verdicts(bpf, counts), 0);
	for (unsigned i = 0; i < VERDICT_MAX; i++)
		all += counts[i].packets;
	return all;
}

/* One frame through whatever is on v0; how many verdicts the gate counted for it. */
static unsigned gates_met(const struct bpf *bpf)
{
	unsigned char frame[64] = { [12] = 0x08, [13] = 0x06 }; /* ARP */
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = 1);
	uint64_t before = passed(bpf);
	int fd = bpf_prog_get_fd_by_id(on_interface());

	assert_true(fd >= 0);
	assert_int_equal(bpf_prog_test_run_opts(fd, &run), 0);
	close(fd);
	assert_int_equal(run.retval, XDP_PASS);
	return (unsigned)(passed(bpf) - before);
}

static void attach(struct bpf *bpf, enum bpf_xdp_used expected)
{
	enum bpf_xdp_used used = BPF_XDP_OFF;

	if (bpf_attach_xdp(bpf, "v0", XDP_MODE_AUTO, &used, why, sizeof(why)))
		fail_msg("%s\n%s", why, bpf_library_log());
	assert_int_equal(used, expected);
	assert_int_equal(bpf_xdp_used_now(bpf, "v0"), expected);
}

static void expect_chain(const struct bpf *bpf, const char *expected)
{
	assert_true(bpf_xdp_chain_now(bpf, "v0", chain, sizeof(chain)));
	assert_string_equal(chain, expected);
}

static void without_dispatcher_the_gate_is_alone_and_says_so(void **state)
{
	struct bpf *bpf = open_with(true, 50, false);

	if (can_chain) {
		bpf_close(bpf, false);
		printf("SKIP: this kernel has what the dispatcher needs\n");
		skip();
	}
	attach(bpf, BPF_XDP_NATIVE);
	assert_non_null(strstr(why, "alone on the interface, not in a chain: "));
	assert_non_null(strstr(why, "freplace"));
	assert_false(bpf_xdp_chain_now(bpf, "v0", chain, sizeof(chain)));
	assert_int_equal(gates_met(bpf), 1);
	attach(bpf, BPF_XDP_NATIVE); /* as a reload does */
	bpf_close(bpf, false);
	assert_int_equal(on_interface(), 0);
}

static void the_gate_alone_in_its_dispatcher(void **state)
{
	NEEDS_CHAIN();
	struct bpf *bpf = open_with(true, 50, false);
	uint32_t dispatcher;

	attach(bpf, BPF_XDP_NATIVE);
	assert_string_equal(why, "");
	expect_chain(bpf, "gate (priority 50)");
	assert_int_equal(gates_met(bpf), 1);
	dispatcher = on_interface();
	attach(bpf, BPF_XDP_NATIVE);
	assert_int_equal(on_interface(), dispatcher); /* nothing to do */
	bpf_close(bpf, false);
	assert_int_equal(on_interface(), 0);
}

static void programs_run_in_the_order_of_their_priorities(void **state)
{
	NEEDS_CHAIN();
	struct xdp_program *pass = neighbour(30);
	struct bpf *bpf = open_with(true, 50, false);

	attach(bpf, BPF_XDP_NATIVE);
	expect_chain(bpf, "xdp_pass (priority 30), gate (priority 50)");
	assert_int_equal(gates_met(bpf), 1);
	bpf_close(bpf, false);
	bpf = open_with(true, 10, false);
	attach(bpf, BPF_XDP_NATIVE);
	expect_chain(bpf, "gate (priority 10), xdp_pass (priority 30)");
	assert_int_equal(gates_met(bpf), 1);
	bpf_close(bpf, false);
	assert_int_not_equal(on_interface(), 0); /* the neighbour's */
	xdp_program__close(pass);
}

static void a_neighbour_may_come_and_go(void **state)
{
	NEEDS_CHAIN();
	struct bpf *bpf = open_with(true, 50, false);
	struct xdp_program *pass;

	attach(bpf, BPF_XDP_NATIVE);
	pass = neighbour(60);
	expect_chain(bpf, "gate (priority 50), xdp_pass (priority 60)");
	assert_int_equal(gates_met(bpf), 1);
	assert_int_equal(xdp_program__detach(pass, (int)if_nametoindex("v0"), LIBXDP_MODE_NATIVE, 0),
			 0);
	xdp_program__close(pass);
	expect_chain(bpf, "gate (priority 50)");
	assert_int_equal(gates_met(bpf), 1);
	bpf_close(bpf, false);
}

static void the_next_run_takes_the_place_of_the_last(void **state)
{
	NEEDS_CHAIN();
	struct xdp_program *pass = neighbour(30);
	struct bpf *bpf = open_with(true, 50, false);

	attach(bpf, BPF_XDP_NATIVE);
	bpf_forget(bpf); /* all that is left of a killed process: pins */
	bpf = open_with(true, 50, false);
	assert_int_equal(gates_met(bpf), 1); /* the old one, until the tables are full */
	attach(bpf, BPF_XDP_NATIVE);
	expect_chain(bpf, "xdp_pass (priority 30), gate (priority 50)");
	assert_int_equal(gates_met(bpf), 1);
	bpf_forget(bpf);
	/* Without the chain: the neighbour is somebody else's. */
	enum bpf_xdp_used used;

	bpf = open_with(false, 0, false);
	assert_int_equal(bpf_attach_xdp(bpf, "v0", XDP_MODE_AUTO, &used, why, sizeof(why)), -EBUSY);
	assert_non_null(strstr(why, "xdp_dispatcher"));
	assert_non_null(strstr(why, "kernel.xdp_chain: true"));
	bpf_forget(bpf);
	bpf = open_with(false, 0, true);
	attach(bpf, BPF_XDP_NATIVE);
	assert_non_null(strstr(why, "xdp_dispatcher"));
	assert_non_null(strstr(why, "--force"));
	assert_int_equal(gates_met(bpf), 1);
	bpf_close(bpf, false);
	assert_int_equal(on_interface(), 0);
	xdp_program__close(pass);
}

static void a_run_changes_between_link_and_chain(void **state)
{
	NEEDS_CHAIN();
	struct bpf *bpf = open_with(false, 0, false);

	attach(bpf, BPF_XDP_NATIVE);
	bpf_forget(bpf);
	bpf = open_with(true, 50, false);
	attach(bpf, BPF_XDP_NATIVE);
	expect_chain(bpf, "gate (priority 50)");
	bpf_forget(bpf);
	bpf = open_with(false, 0, false);
	attach(bpf, BPF_XDP_NATIVE);
	assert_false(bpf_xdp_chain_now(bpf, "v0", chain, sizeof(chain)));
	assert_int_equal(gates_met(bpf), 1);
	bpf_close(bpf, false);
	assert_int_equal(on_interface(), 0);
}

static void a_program_without_dispatcher_is_refused_or_replaced(void **state)
{
	struct gate_bpf *foreign = gate_bpf__open_and_load();
	int ifindex = (int)if_nametoindex("v0");
	enum bpf_xdp_used used;
	uint32_t id;

	assert_non_null(foreign);
	assert_int_equal(bpf_xdp_attach(ifindex, bpf_program__fd(foreign->progs.gate), 0, NULL), 0);
	id = on_interface();
	for (int chained = 0; chained < 2; chained++) {
		struct bpf *bpf = open_with(chained, 50, false);

		assert_int_equal(bpf_attach_xdp(bpf, "v0", XDP_MODE_AUTO, &used, why, sizeof(why)),
				 -EBUSY);
		assert_non_null(strstr(why, "another XDP program (gate, id "));
		assert_non_null(strstr(why, "--force"));
		assert_int_equal(on_interface(), id);
		bpf_close(bpf, false);
	}
	struct bpf *bpf = open_with(false, 0, true);

	attach(bpf, BPF_XDP_NATIVE);
	assert_non_null(strstr(why, "in the place of gate"));
	assert_int_not_equal(on_interface(), id);
	bpf_detach_xdp(bpf, "v0");
	/* A link of somebody else, and one that appears after the start. */
	int link = bpf_link_create(bpf_program__fd(foreign->progs.gate), ifindex, BPF_XDP, NULL);

	assert_true(link >= 0);
	attach(bpf, BPF_XDP_NATIVE);
	assert_int_not_equal(on_interface(), id);
	bpf_detach_xdp(bpf, "v0");
	close(link);
	link = bpf_link_create(bpf_program__fd(foreign->progs.gate), ifindex, BPF_XDP, NULL);
	assert_true(link >= 0);
	bpf_keep_foreign(bpf);
	assert_int_equal(bpf_attach_xdp(bpf, "v0", XDP_MODE_AUTO, &used, why, sizeof(why)), -EBUSY);
	assert_int_equal(on_interface(), id);
	close(link);
	bpf_close(bpf, false);
	gate_bpf__destroy(foreign);
}

/* By a first attach: then the others know what to expect. */
static int find_out(void **state)
{
	enum bpf_xdp_used used;
	struct bpf *bpf;

	if (with_interfaces(state))
		return -1;
	bpf = open_with(true, 50, false);
	if (bpf_attach_xdp(bpf, "v0", XDP_MODE_AUTO, &used, why_not, sizeof(why_not)))
		fail_msg("%s\n%s", why_not, bpf_library_log());
	can_chain = bpf_xdp_chain_now(bpf, "v0", chain, sizeof(chain));
	bpf_close(bpf, false);
	return clean(state);
}

#define CHAIN_TEST(name) cmocka_unit_test_setup_teardown(name, with_interfaces, clean)

int main(void)
{
	static const char *const tools[] = { "ip", NULL };
	const struct CMUnitTest tests[] = {
		CHAIN_TEST(without_dispatcher_the_gate_is_alone_and_says_so),
		CHAIN_TEST(the_gate_alone_in_its_dispatcher),
		CHAIN_TEST(programs_run_in_the_order_of_their_priorities),
		CHAIN_TEST(a_neighbour_may_come_and_go),
		CHAIN_TEST(the_next_run_takes_the_place_of_the_last),
		CHAIN_TEST(a_run_changes_between_link_and_chain),
		CHAIN_TEST(a_program_without_dispatcher_is_refused_or_replaced),
	};
	int failed;

	if (!bpf_is_allowed() || !world_enter(tools))
		return 77;
	setenv("LIBXDP_BPFFS", world_bpffs, 1);
	failed = cmocka_run_group_tests(tests, find_out, NULL);
	world_leave();
	return failed;
}
