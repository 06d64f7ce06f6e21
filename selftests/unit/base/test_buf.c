/* SPDX-License-Identifier: MIT */
/*
 * test_buf.c - byte queues across the borders of their chunks, what is retained and rewound, the
 * count of memory in use, and no memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cm.h"
#include "fault.h"

static uint8_t source[300000], sink[300000];

static int setup(void **state)
{
	for (size_t i = 0; i < sizeof(source); i++)
		source[i] = (uint8_t)(i * 131 + i / 509);
	return 0;
}

static int teardown(void **state)
{
	buf_pool_trim();
	return buf_in_use() ? -1 : 0;
}

/* The next size bytes of buf are those of source from offset on. */
static void pulls(struct buf *buf, size_t offset, size_t size)
{
	assert_int_equal(buf_pull(buf, sink, size), size);
	assert_memory_equal(sink, source + offset, size);
}

static void what_goes_in_comes_out_in_order_whatever_the_sizes(void **state)
{
	static const size_t sizes[] = { 1,   5,	    480,   487,	  488,	 489,	512,	513,
					900, 16000, 16384, 16424, 16425, 16426, 100000, 3 };
	const size_t n = sizeof(sizes) / sizeof(sizes[0]);

	for (size_t in = 0; in < n; in++)
		for (size_t out = 0; out < n; out++) {
			struct buf buf;
			size_t appended = 0, pulled = 0;

			buf_init(&buf);
			while (appended + sizes[in] <= 220000 && appended < 20 * sizes[in]) {
				assert_int_equal(buf_append(&buf, source + appended, sizes[in]), 0);
				appended += sizes[in];
				assert_int_equal(buf_unread(&buf), appended - pulled);
				/* Sometimes in between, so that chunks are half read. */
				if (appended / sizes[in] % 3 == 0 && appended - pulled >= sizes[out]) {
					pulls(&buf, pulled, sizes[out]);
					pulled += sizes[out];
				}
			}
			while (pulled + sizes[out] <= appended) {
				pulls(&buf, pulled, sizes[out]);
				pulled += sizes[out];
			}
			assert_int_equal(buf_pull(&buf, sink, sizeof(sink)), appended - pulled);
			assert_memory_equal(sink, source + pulled, appended - pulled);
			assert_int_equal(buf_unread(&buf), 0);
			assert_int_equal(buf_in_use(), 0);
			buf_done(&buf);
		}
}

static void an_empty_buffer_gives_nothing(void **state)
{
	struct buf buf;

	buf_init(&buf);
	assert_int_equal(buf_pull(&buf, sink, 10), 0);
	assert_int_equal(buf_append(&buf, source, 0), 0);
	assert_int_equal(buf_pull(&buf, sink, 10), 0);
	buf_retain(&buf);
	buf_rewind(&buf);
	assert_int_equal(buf_unread(&buf), 0);
	assert_int_equal(buf_append(&buf, source, 7), 0);
	assert_int_equal(buf_append(&buf, source, 0), 0);
	pulls(&buf, 0, 7);
	assert_int_equal(buf_append(&buf, source + 7, 9), 0);
	pulls(&buf, 7, 9);
	buf_done(&buf);
	assert_int_equal(buf_in_use(), 0);
}

static void what_is_retained_comes_again_after_rewind(void **state)
{
	struct buf buf;

	for (size_t step = 1; step < 40000; step = step * 3 + 1) {
		buf_init(&buf);
		buf_retain(&buf);
		assert_int_equal(buf_append(&buf, source, 40000), 0);
		pulls(&buf, 0, step);
		assert_int_equal(buf.retained, step);
		buf_rewind(&buf);
		assert_int_equal(buf.retained, 0);
		assert_int_equal(buf_unread(&buf), 40000);
		pulls(&buf, 0, 40000); /* all, and all again */
		assert_int_equal(buf_unread(&buf), 0);
		buf_rewind(&buf);
		pulls(&buf, 0, 20000);
		/* What comes meanwhile goes behind. */
		assert_int_equal(buf_append(&buf, source + 40000, step), 0);
		buf_rewind(&buf);
		pulls(&buf, 0, 40000 + step);
		/* And once all is read, what comes is still read, and still retained. */
		assert_int_equal(buf_append(&buf, source + 40000 + step, 700), 0);
		pulls(&buf, 40000 + step, 700);
		buf_rewind(&buf);
		pulls(&buf, 0, 40700 + step);
		buf_done(&buf);
		assert_int_equal(buf_in_use(), 0);
	}
}

static void release_frees_what_was_read_and_nothing_else(void **state)
{
	struct buf buf;
	size_t before;

	buf_init(&buf);
	buf_retain(&buf);
	assert_int_equal(buf_append(&buf, source, 100000), 0);
	pulls(&buf, 0, 60000);
	before = buf_in_use();
	buf_release(&buf);
	assert_true(buf_in_use() < before);
	assert_int_equal(buf.retained, 0);
	pulls(&buf, 60000, 40000);
	assert_int_equal(buf_in_use(), 0);
	assert_int_equal(buf_append(&buf, source, 10), 0);
	pulls(&buf, 0, 10);
	assert_int_equal(buf.retained, 0);
	buf_release(&buf);
	buf_done(&buf);
	assert_int_equal(buf_in_use(), 0);
}

static void release_after_everything_was_read_leaves_an_empty_buffer(void **state)
{
	struct buf buf;

	buf_init(&buf);
	buf_retain(&buf);
	assert_int_equal(buf_append(&buf, source, 600), 0);
	pulls(&buf, 0, 600);
	buf_release(&buf);
	assert_int_equal(buf_in_use(), 0);
	assert_int_equal(buf_append(&buf, source + 600, 600), 0);
	pulls(&buf, 600, 600);
	buf_done(&buf);
}

static void memory_in_use_counts_whole_chunks_and_small_ones_stay_small(void **state)
{
	struct buf small, large;

	buf_init(&small);
	buf_init(&large);
	assert_int_equal(buf_append(&small, source, 5), 0);
	assert_true(buf_in_use() >= 5 && buf_in_use() <= 1024);
	assert_int_equal(buf_append(&large, source, 200000), 0);
	assert_in_range(buf_in_use(), 200005, 240000);
	buf_done(&large);
	assert_true(buf_in_use() <= 1024);
	buf_done(&small);
	assert_int_equal(buf_in_use(), 0);
}

static void chunks_are_kept_for_reuse(void **state)
{
	struct buf buf;

	buf_init(&buf);
	assert_int_equal(buf_append(&buf, source, 50000), 0);
	buf_done(&buf);
	fault_start_all(0);
	assert_int_equal(buf_append(&buf, source, 50000), 0);
	fault_stop();
	pulls(&buf, 0, 50000);
	buf_done(&buf);
}

static void without_memory_nothing_is_appended(void **state)
{
	int err = -ENOMEM;

	for (unsigned n = 0; err; n++) {
		struct buf buf;

		buf_pool_trim();
		buf_init(&buf);
		assert_int_equal(buf_append(&buf, source, 300), 0);
		fault_start(n);
		err = buf_append(&buf, source + 300, 70000);
		fault_stop();
		assert_int_equal(err, fault_hit() ? -ENOMEM : 0);
		assert_int_equal(buf_unread(&buf), err ? 300 : 70300);
		/* And it works on. */
		if (err)
			assert_int_equal(buf_append(&buf, source + 300, 70000), 0);
		pulls(&buf, 0, 70300);
		buf_done(&buf);
		assert_int_equal(buf_in_use(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_goes_in_comes_out_in_order_whatever_the_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(an_empty_buffer_gives_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_retained_comes_again_after_rewind, setup,
						teardown),
		cmocka_unit_test_setup_teardown(release_frees_what_was_read_and_nothing_else, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			release_after_everything_was_read_leaves_an_empty_buffer, setup, teardown),
		cmocka_unit_test_setup_teardown(
			memory_in_use_counts_whole_chunks_and_small_ones_stay_small, setup,
			teardown),
		cmocka_unit_test_setup_teardown(chunks_are_kept_for_reuse, setup, teardown),
		cmocka_unit_test_setup_teardown(without_memory_nothing_is_appended, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
