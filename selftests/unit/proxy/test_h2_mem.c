/* SPDX-License-Identifier: MIT */
/*
 * test_h2_mem.c - the memory of HPACK codecs: malloc's semantics over free lists, zeroed again
 * after use, and no memory.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "fault.h"
#include "proxy/h2_mem.h"

static int teardown(void **state)
{
	h2_mem_trim();
	return 0;
}

static void *filled(size_t size, int with)
{
	void *block = h2_mem_alloc(size);

	assert_non_null(block);
	assert_int_equal((uintptr_t)block % 16, 0);
	memset(block, with, size);
	return block;
}

static bool is_all(const void *block, int byte, size_t size)
{
	const uint8_t *at = block;

	for (size_t i = 0; i < size; i++)
		if (at[i] != (uint8_t)byte)
			return false;
	return true;
}

static const size_t sizes[] = { 0,    1,    63,	  64,	65,   128,  1000,  1023,  1024,	 1025,
				2000, 4095, 4096, 4097, 8192, 16394, 20479, 20480, 20481, 100000 };
#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void blocks_of_every_size_are_distinct(void **state)
{
	void *blocks[N_SIZES][3];

	for (size_t i = 0; i < N_SIZES; i++)
		for (int j = 0; j < 3; j++)
			blocks[i][j] = filled(sizes[i], (int)(i * 3) + j);
	for (size_t i = 0; i < N_SIZES; i++)
		for (int j = 0; j < 3; j++) {
			assert_true(is_all(blocks[i][j], (int)(i * 3) + j, sizes[i]));
			h2_mem_free(blocks[i][j]);
		}
	h2_mem_free(NULL);
}

static void a_zeroed_block_is_zero_also_where_it_was_used_before(void **state)
{
	for (size_t i = 0; i < N_SIZES; i++)
		for (int round = 0; round < 3; round++) {
			void *block = h2_mem_zalloc(1, sizes[i]);

			assert_non_null(block);
			assert_true(is_all(block, 0, sizes[i]));
			memset(block, 0xff, sizes[i]);
			h2_mem_free(block);
			/* By way of the plain allocation, too. */
			h2_mem_free(filled(sizes[i], 0xee));
		}
	assert_null(h2_mem_zalloc(SIZE_MAX / 2, 3));
	assert_null(h2_mem_alloc(SIZE_MAX));
}

static void growing_keeps_the_content_over_every_border(void **state)
{
	for (size_t from = 1; from < N_SIZES; from++)
		for (size_t to = from; to < N_SIZES; to++) {
			void *block = filled(sizes[from], 0x5a);

			block = h2_mem_resize(block, sizes[to]);
			assert_non_null(block);
			assert_true(is_all(block, 0x5a, sizes[from]));
			memset(block, 0xa5, sizes[to]);
			/* Shrinking leaves it where it is. */
			assert_ptr_equal(h2_mem_resize(block, sizes[from]), block);
			assert_true(is_all(block, 0xa5, sizes[from]));
			h2_mem_free(block);
		}
	h2_mem_free(h2_mem_resize(NULL, 100));
}

static void without_memory_it_says_so_and_keeps_the_block(void **state)
{
	void *block = filled(1000, 7);

	h2_mem_trim();
	fault_start_all(0);
	assert_null(h2_mem_alloc(100));
	assert_null(h2_mem_zalloc(1, 5000));
	assert_null(h2_mem_resize(block, 2000));
	assert_null(h2_mem_resize(block, 5000));
	fault_stop();
	assert_true(is_all(block, 7, 1000));
	h2_mem_free(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(blocks_of_every_size_are_distinct, teardown),
		cmocka_unit_test_teardown(a_zeroed_block_is_zero_also_where_it_was_used_before,
					  teardown),
		cmocka_unit_test_teardown(growing_keeps_the_content_over_every_border, teardown),
		cmocka_unit_test_teardown(without_memory_it_says_so_and_keeps_the_block, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
