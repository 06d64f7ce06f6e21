/* SPDX-License-Identifier: MIT */
/*
 * test_random.c - random draws: chances in proportion to weights among what is usable.
 */
#include "balance/random.h"

#include "cm.h"
#include "fault.h"

static bool down[5];
static uint64_t word = 88172645463325252ull;

static bool usable(void *ctx, uint32_t index)
{
	(void)ctx;
	return !down[index];
}

static uint64_t fresh(void)
{
	word ^= word >> 12;
	word ^= word << 25;
	word ^= word >> 27;
	return word * 0x2545f4914f6cdd1dull;
}

/* Within five standard deviations of a binomial. */
static void assert_share(uint32_t count, uint32_t picks, double share)
{
	double off = count - picks * share;

	assert_true(off * off <= 25 * picks * share * (1 - share) + 1);
}

static void test_chances_follow_weights(void **state)
{
	const uint32_t weights[] = { 100, 50, 0, 25, 25 };
	struct alias *alias = alias_new(weights, 5);
	uint32_t count[5] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		count[random_pick(alias, usable, NULL, fresh())]++;
	for (unsigned i = 0; i < 5; i++)
		assert_share(count[i], 100000, weights[i] / 200.0);
	alias_free(alias);
}

static void test_the_rest_keep_their_shares_where_one_is_unusable(void **state)
{
	const uint32_t weights[] = { 1000, 3, 1 };
	struct alias *alias = alias_new(weights, 3);
	uint32_t count[3] = { 0 };

	(void)state;
	down[0] = true;
	for (unsigned i = 0; i < 20000; i++)
		count[random_pick(alias, usable, NULL, fresh())]++;
	assert_int_equal(count[0], 0);
	assert_share(count[1], 20000, 0.75);
	down[1] = down[2] = true;
	assert_int_equal(random_pick(alias, usable, NULL, fresh()), -1);
	down[0] = down[1] = down[2] = false;
	alias_free(alias);
}

static void test_no_weight_is_minus_one_and_no_memory_is_null(void **state)
{
	const uint32_t zero[] = { 0 }, one[] = { 1 };
	struct alias *alias = alias_new(zero, 1);

	(void)state;
	assert_int_equal(random_pick(alias, usable, NULL, fresh()), -1);
	alias_free(alias);
	alias_free(NULL);
	FAULT_EACH(n) {
		alias = alias_new(one, 1);
		fault_stop();
		assert_int_equal(alias == NULL, fault_hit());
		alias_free(alias);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chances_follow_weights),
		cmocka_unit_test(test_the_rest_keep_their_shares_where_one_is_unusable),
		cmocka_unit_test(test_no_weight_is_minus_one_and_no_memory_is_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
