/* SPDX-License-Identifier: MIT */
/*
 * test_maglev.c - consistent hashing: shares by weight, few keys moved by a change of the entries,
 * only the keys of what is not usable moved by health, one table whatever the file's order.
 */
#include "balance/maglev.h"

#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "fault.h"

#define KEYS  50000
#define N_MAX 2000

static bool down[N_MAX];

static bool usable(void *ctx, uint32_t index)
{
	(void)ctx;
	return !down[index];
}

static uint64_t scramble(uint64_t z)
{
	z = (z + 0x9e3779b97f4a7c15ull) * 0xff51afd7ed558ccdull;
	z = (z ^ (z >> 33)) * 0xc4ceb9fe1a85ec53ull;
	return z ^ (z >> 33);
}

static uint64_t key_of(unsigned i)
{
	return scramble(i + 7000000);
}

static struct maglev *make(const uint32_t *weights, uint32_t n)
{
	uint64_t hashes[N_MAX];

	for (uint32_t i = 0; i < n; i++)
		hashes[i] = scramble(i * 31 + 1);
	return maglev_new(hashes, weights, n);
}

static int reset(void **state)
{
	(void)state;
	memset(down, 0, sizeof(down));
	return 0;
}

static void fill(uint32_t *weights, uint32_t n, bool varied)
{
	for (uint32_t i = 0; i < n; i++)
		weights[i] = varied ? 1 + i % 7 * 15 : 1;
}

/* Keys that moved though the entry that was theirs is still there, in 1/1000 of all. */
static unsigned moved_permille(const uint32_t *weights, uint32_t n, uint32_t gone)
{
	uint32_t without[N_MAX];
	struct maglev *before = make(weights, n), *after;
	unsigned moved = 0;

	memcpy(without, weights, n * sizeof(*weights));
	without[gone] = 0;
	after = make(without, n);
	for (unsigned i = 0; i < KEYS; i++) {
		int first = maglev_pick(before, usable, NULL, key_of(i));

		moved += first != (int)gone && maglev_pick(after, usable, NULL, key_of(i)) != first;
	}
	maglev_free(before);
	maglev_free(after);
	return moved * 1000 / KEYS;
}

static void test_a_change_of_one_moves_its_share_and_a_hundredth(void **state)
{
	static const uint32_t sizes[] = { 2, 3, 10, 24, 64, 200, 1024 };
	uint32_t weights[N_MAX];

	(void)state;
	for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		fill(weights, sizes[s], false);
		for (unsigned i = 0; i < 3; i++)
			assert_in_range(moved_permille(weights, sizes[s], i * (sizes[s] - 1) / 2),
					0, 10);
		fill(weights, sizes[s], true);
		assert_in_range(moved_permille(weights, sizes[s], sizes[s] / 2), 0, 10);
	}
}

/* Of 4, 8 and 16 bits a slot. */
static void test_every_width_of_a_table_knows_all_its_entries(void **state)
{
	static const uint32_t sizes[] = { 16, 17, 64, 256, 257 };
	uint32_t weights[N_MAX];

	(void)state;
	for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		struct maglev *maglev;
		bool seen[N_MAX] = { false };

		fill(weights, sizes[s], false);
		maglev = make(weights, sizes[s]);
		for (unsigned i = 0; i < KEYS; i++) {
			int picked = maglev_pick(maglev, usable, NULL, key_of(i));

			assert_in_range(picked, 0, sizes[s] - 1);
			seen[picked] = true;
		}
		for (unsigned i = 0; i < sizes[s]; i++)
			assert_true(seen[i]);
		maglev_free(maglev);
	}
}

static void test_one_more_moves_keys_only_to_itself_and_a_hundredth(void **state)
{
	uint32_t weights[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	struct maglev *nine = make(weights, 9), *ten = make(weights, 10);
	unsigned elsewhere = 0, to_it = 0;

	(void)state;
	for (unsigned i = 0; i < KEYS; i++) {
		int was = maglev_pick(nine, usable, NULL, key_of(i));
		int is = maglev_pick(ten, usable, NULL, key_of(i));

		to_it += is == 9;
		elsewhere += is != was && is != 9;
	}
	assert_in_range(to_it, KEYS / 10 * 9 / 10, KEYS / 10 * 11 / 10);
	assert_in_range(elsewhere, 0, KEYS / 100);
	maglev_free(nine);
	maglev_free(ten);
}

static void test_shares_follow_weights(void **state)
{
	const uint32_t weights[] = { 100, 50, 0, 25, 25 };
	struct maglev *maglev = make(weights, 5);
	unsigned count[5] = { 0 };

	(void)state;
	for (unsigned i = 0; i < KEYS; i++)
		count[maglev_pick(maglev, usable, NULL, key_of(i))]++;
	for (unsigned i = 0; i < 5; i++)
		assert_in_range(count[i], weights[i] * KEYS / 200 * 95 / 100,
				weights[i] * KEYS / 200 * 105 / 100);
	maglev_free(maglev);
}

static void test_only_the_keys_of_the_unusable_move_and_spread(void **state)
{
	uint32_t weights[20], count[20] = { 0 };
	struct maglev *maglev;
	unsigned displaced = 0;

	(void)state;
	fill(weights, 20, false);
	maglev = make(weights, 20);
	for (unsigned i = 0; i < KEYS; i++) {
		int was, is;

		down[4] = false;
		was = maglev_pick(maglev, usable, NULL, key_of(i));
		down[4] = true;
		is = maglev_pick(maglev, usable, NULL, key_of(i));
		assert_int_not_equal(is, 4);
		if (was != 4) {
			assert_int_equal(is, was);
			continue;
		}
		count[is]++;
		displaced++;
	}
	for (unsigned i = 0; i < 20; i++)
		if (i != 4)
			assert_in_range(count[i], displaced / 19 * 6 / 10, displaced / 19 * 14 / 10);
	maglev_free(maglev);
}

/* The slots that follow are all of unusable ones: the few share by weight, each key always alike. */
static void test_the_last_few_share_by_weight(void **state)
{
	uint32_t weights[1000], count[1000] = { 0 };
	struct maglev *maglev;

	(void)state;
	fill(weights, 1000, false);
	weights[17] = 3;
	memset(down, 1, sizeof(down));
	down[17] = down[900] = false;
	maglev = make(weights, 1000);
	for (unsigned i = 0; i < KEYS / 5; i++) {
		int picked = maglev_pick(maglev, usable, NULL, key_of(i));

		assert_int_equal(maglev_pick(maglev, usable, NULL, key_of(i)), picked);
		count[picked]++;
	}
	assert_int_equal(count[17] + count[900], KEYS / 5);
	assert_in_range(count[17], KEYS / 5 * 70 / 100, KEYS / 5 * 80 / 100);
	maglev_free(maglev);
}

static void test_the_order_of_the_entries_does_not_matter(void **state)
{
	const uint64_t one[] = { scramble(1), scramble(2), scramble(3) };
	const uint64_t other[] = { one[2], one[0], one[1] };
	const uint32_t weights[] = { 3, 2, 1 }, turned[] = { 1, 3, 2 };
	struct maglev *a = maglev_new(one, weights, 3), *b = maglev_new(other, turned, 3);

	(void)state;
	for (unsigned i = 0; i < KEYS; i++)
		assert_int_equal(one[maglev_pick(a, usable, NULL, key_of(i))],
				 other[maglev_pick(b, usable, NULL, key_of(i))]);
	maglev_free(a);
	maglev_free(b);
}

static void test_a_table_is_taken_over_where_nothing_changed(void **state)
{
	const uint32_t weights[] = { 1, 2, 3 }, other[] = { 1, 2, 4 };
	struct maglev *old = make(weights, 3), *same = make(weights, 3), *changed = make(other, 3);
	int picked[100];

	(void)state;
	maglev_inherit(same, old); /* it has none yet */
	for (unsigned i = 0; i < 100; i++)
		picked[i] = maglev_pick(old, usable, NULL, key_of(i));
	maglev_inherit(same, old);
	maglev_inherit(changed, old);
	maglev_free(old);
	fault_start_all(0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(maglev_pick(same, usable, NULL, key_of(i)), picked[i]);
	fault_stop();
	assert_int_equal(fault_count(), 0);
	fault_start_all(0);
	maglev_pick(changed, usable, NULL, 1);
	fault_stop();
	assert_true(fault_count() > 0);
	maglev_free(same);
	maglev_free(changed);
}

static void test_none_is_minus_one(void **state)
{
	const uint32_t weights[] = { 1, 1 }, zero[] = { 0, 0 };
	struct maglev *maglev = make(weights, 2), *no_weight = make(zero, 2);
	struct maglev *nothing = make(NULL, 0);

	(void)state;
	down[0] = down[1] = true;
	assert_int_equal(maglev_pick(maglev, usable, NULL, 1), -1);
	assert_int_equal(maglev_pick(no_weight, usable, NULL, 1), -1);
	assert_int_equal(maglev_pick(nothing, usable, NULL, UINT64_MAX), -1);
	maglev_free(maglev);
	maglev_free(no_weight);
	maglev_free(nothing);
	maglev_free(NULL);
}

static void test_without_memory_for_the_table_calls_are_still_served(void **state)
{
	const uint32_t weights[] = { 1, 1, 1 };

	(void)state;
	FAULT_EACH(n) {
		struct maglev *maglev = make(weights, 3);
		int picked = maglev ? maglev_pick(maglev, usable, NULL, key_of(1)) : -1;

		fault_stop();
		if (maglev)
			assert_in_range(picked, 0, 2);
		else
			assert_true(fault_hit());
		maglev_free(maglev);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_a_change_of_one_moves_its_share_and_a_hundredth, reset),
		cmocka_unit_test_setup(test_every_width_of_a_table_knows_all_its_entries, reset),
		cmocka_unit_test_setup(test_one_more_moves_keys_only_to_itself_and_a_hundredth, reset),
		cmocka_unit_test_setup(test_shares_follow_weights, reset),
		cmocka_unit_test_setup(test_only_the_keys_of_the_unusable_move_and_spread, reset),
		cmocka_unit_test_setup(test_the_last_few_share_by_weight, reset),
		cmocka_unit_test_setup(test_the_order_of_the_entries_does_not_matter, reset),
		cmocka_unit_test_setup(test_a_table_is_taken_over_where_nothing_changed, reset),
		cmocka_unit_test_setup(test_none_is_minus_one, reset),
		cmocka_unit_test_setup(test_without_memory_for_the_table_calls_are_still_served,
				       reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
