/* SPDX-License-Identifier: MIT */
/*
 * test_arena.c - bump allocation: from the owner's bytes first, then from blocks; aligned, never
 * overlapping, freed as a whole.
 */
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "cm.h"
#include "fault.h"

static void what_fits_comes_from_the_owners_bytes(void **state)
{
	max_align_t bytes[8];
	struct arena arena;
	char *a, *b;

	arena_init(&arena, bytes, sizeof(bytes));
	fault_start_all(0);
	a = arena_alloc(&arena, 1);
	b = arena_alloc(&arena, sizeof(bytes) - 8);
	fault_stop();
	assert_ptr_equal(a, bytes);
	assert_ptr_equal(b, (char *)bytes + 8);
	assert_int_equal(arena.left, 0);
	arena_done(&arena);
}

static void pieces_are_aligned_and_do_not_overlap(void **state)
{
	max_align_t bytes[4];
	struct arena arena;
	uint8_t *pieces[200];

	arena_init(&arena, bytes, sizeof(bytes));
	for (size_t i = 0; i < 200; i++) {
		pieces[i] = arena_alloc(&arena, i);
		assert_non_null(pieces[i]);
		assert_int_equal((uintptr_t)pieces[i] % 8, 0);
		memset(pieces[i], (int)i, i);
	}
	for (size_t i = 0; i < 200; i++)
		for (size_t j = 0; j < i; j++)
			assert_int_equal(pieces[i][j], i);
	arena_done(&arena);
}

static void a_large_piece_leaves_the_rest_of_the_owners_bytes_in_use(void **state)
{
	max_align_t bytes[4];
	struct arena arena;
	char *large, *small;

	arena_init(&arena, bytes, sizeof(bytes));
	large = arena_alloc(&arena, 100000);
	small = arena_alloc(&arena, 16);
	assert_true(large < (char *)bytes || large >= (char *)(bytes + 4));
	assert_ptr_equal(small, bytes);
	memset(large, 1, 100000);
	assert_in_range(arena.held, 100000, 100100);
	arena_done(&arena);
	assert_int_equal(arena.held, 0);
}

static void without_memory_it_says_so_and_goes_on(void **state)
{
	max_align_t bytes[1];
	struct arena arena;

	arena_init(&arena, bytes, sizeof(bytes));
	fault_start(0);
	assert_null(arena_alloc(&arena, 1000));
	assert_non_null(arena_alloc(&arena, sizeof(bytes)));
	assert_non_null(arena_alloc(&arena, 1000));
	fault_stop();
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_comes_from_the_owners_bytes),
		cmocka_unit_test(pieces_are_aligned_and_do_not_overlap),
		cmocka_unit_test(a_large_piece_leaves_the_rest_of_the_owners_bytes_in_use),
		cmocka_unit_test(without_memory_it_says_so_and_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
