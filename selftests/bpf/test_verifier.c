/* SPDX-License-Identifier: MIT */
/*
 * test_verifier.c - how hard the programs are to verify: instructions walked, the log's size, length. A
 * kernel's verifier is not the next one's, so there has to be room: these bounds are far below the
 * kernel's own of a million instructions, and what is near them is worth a thought. The figures are
 * printed, and stand in docs/KERNEL.md.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/utsname.h>

#include "gate_help.h"
#include "pick.skel.h"

#define LOG_BYTES (64u << 20)

static void check_program(struct bpf_object *object, const char *name, unsigned most_walked,
			  unsigned most_log_bytes, unsigned most_length)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);
	struct bpf_prog_info info = {};
	__u32 info_bytes = sizeof(info);
	char *log = calloc(1, LOG_BYTES);
	unsigned log_bytes, length;
	struct utsname kernel;

	assert_non_null(program);
	assert_non_null(log);
	bpf_program__set_log_level(program, 2);
	bpf_program__set_log_buf(program, log, LOG_BYTES);
	assert_int_equal(bpf_object__load(object), 0);
	assert_int_equal(bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &info_bytes), 0);
	uname(&kernel);
	log_bytes = (unsigned)strlen(log);
	length = info.xlated_prog_len / sizeof(struct bpf_insn);
	print_message("%s on Linux %s: %u instructions, %u walked by the verifier, log of %u KiB, "
		      "%u bytes of machine code\n", name, kernel.release, length,
		      info.verified_insns, log_bytes >> 10, info.jited_prog_len);
	assert_true(info.verified_insns > 0 && info.verified_insns <= most_walked);
	assert_true(log_bytes > 0 && log_bytes <= most_log_bytes);
	assert_true(length > 0 && length <= most_length);
	free(log);
}

static void the_gate_is_far_from_the_kernels_limits(void **state)
{
	struct gate_bpf *gate = gate_bpf__open();

	assert_non_null(gate);
	check_program(gate->obj, "gate", 150000, 60u << 20, 6000);
	gate_bpf__destroy(gate);
}

/* With tracing, for `sluicectl explain`, none of it is left out. */
static void so_is_the_gate_that_explains(void **state)
{
	struct gate_bpf *gate = gate_bpf__open();

	assert_non_null(gate);
	gate->rodata->tracing = true;
	check_program(gate->obj, "gate", 150000, 60u << 20, 6000);
	gate_bpf__destroy(gate);
}

static void the_pick_is_small(void **state)
{
	struct pick_bpf *pick = pick_bpf__open();

	assert_non_null(pick);
	check_program(pick->obj, "pick", 2000, 200000, 500);
	pick_bpf__destroy(pick);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_gate_is_far_from_the_kernels_limits),
		cmocka_unit_test(so_is_the_gate_that_explains),
		cmocka_unit_test(the_pick_is_small),
	};

	return bpf_is_allowed() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
