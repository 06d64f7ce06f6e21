/* SPDX-License-Identifier: MIT */
/*
 * test_tier.c - which backends serve: by the live weight of two tiers, and when it is a panic.
 */
#include "balance/tier.h"

#include "cm.h"

static struct tier_verdict judge(uint64_t first_live, uint64_t first, uint64_t backup_live,
				 uint64_t backup, uint32_t below, uint32_t panic)
{
	struct tier_weights weights = { first, first_live, backup, backup_live };

	return tier_judge(&weights, below, panic, true);
}

static void assert_verdict(struct tier_verdict verdict, bool backups, bool panic)
{
	assert_int_equal(verdict.backups, backups);
	assert_int_equal(verdict.panic, panic);
}

static void test_backups_wait_until_none_of_the_first_tier_lives(void **state)
{
	(void)state;
	assert_verdict(judge(200, 200, 100, 100, 0, 0), false, false);
	assert_verdict(judge(1, 200, 100, 100, 0, 0), false, false);
	assert_verdict(judge(0, 200, 100, 100, 0, 0), true, false);
}

static void test_backups_come_in_below_their_share(void **state)
{
	(void)state;
	assert_verdict(judge(100, 200, 100, 100, 50, 0), false, false);
	assert_verdict(judge(99, 200, 100, 100, 50, 0), true, false);
	assert_verdict(judge(199, 200, 100, 100, 100, 0), true, false);
	assert_verdict(judge(200, 200, 100, 100, 100, 0), false, false);
}

static void test_a_group_of_backups_only_is_served_by_them(void **state)
{
	(void)state;
	assert_verdict(judge(0, 0, 100, 100, 0, 0), true, false);
	assert_verdict(judge(0, 0, 100, 100, 0, 50), true, false);
	assert_verdict(judge(0, 0, 40, 100, 0, 50), true, true);
}

static void test_panic_below_a_share_of_either_tier(void **state)
{
	(void)state;
	assert_verdict(judge(100, 200, 0, 0, 0, 50), false, false);
	assert_verdict(judge(99, 200, 0, 0, 0, 50), true, true);
	/* Backups that are well come first. */
	assert_verdict(judge(99, 200, 100, 100, 0, 50), true, false);
	assert_verdict(judge(99, 200, 49, 100, 0, 50), true, true);
}

static void test_with_nothing_live_it_is_a_panic_only_where_the_group_fails_open(void **state)
{
	struct tier_weights none_live = { .first = 100 }, nothing = { 0 };

	(void)state;
	assert_true(tier_judge(&none_live, 0, 0, true).panic);
	assert_false(tier_judge(&none_live, 0, 0, false).panic);
	assert_false(tier_judge(&none_live, 0, 50, false).panic);
	assert_false(tier_judge(&nothing, 0, 50, true).panic);
}

static void test_live_is_neither_down_nor_ejected(void **state)
{
	struct sluice_backend row = { .health = SLUICE_HEALTH_UNKNOWN };

	(void)state;
	assert_true(tier_is_live(&row, 1000));
	row.health = SLUICE_HEALTH_UP;
	assert_true(tier_is_live(&row, 1000));
	row.ejected_until_ns = 2000;
	row.eject_state = SLUICE_EJECT_EJECTED;
	assert_false(tier_is_live(&row, 1000));
	assert_false(tier_is_live(&row, 3000)); /* its trial is still to come */
	row.eject_state = SLUICE_EJECT_NONE;
	assert_true(tier_is_live(&row, 3000));
	row.health = SLUICE_HEALTH_DOWN;
	assert_false(tier_is_live(&row, 3000));
}

static void test_weights_add_up_by_tier_without_the_drained(void **state)
{
	struct sluice_backend up = { .health = SLUICE_HEALTH_UP };
	struct sluice_backend down = { .health = SLUICE_HEALTH_DOWN };
	struct tier_weights weights = { 0 };

	(void)state;
	tier_add(&weights, &up, 100, false, false, 1);
	tier_add(&weights, &down, 50, false, false, 1);
	tier_add(&weights, &up, 25, false, true, 1);
	tier_add(&weights, &up, 10, true, false, 1);
	tier_add(&weights, &down, 5, true, false, 1);
	assert_int_equal(weights.first, 150);
	assert_int_equal(weights.first_live, 100);
	assert_int_equal(weights.backup, 15);
	assert_int_equal(weights.backup_live, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backups_wait_until_none_of_the_first_tier_lives),
		cmocka_unit_test(test_backups_come_in_below_their_share),
		cmocka_unit_test(test_a_group_of_backups_only_is_served_by_them),
		cmocka_unit_test(test_panic_below_a_share_of_either_tier),
		cmocka_unit_test(test_with_nothing_live_it_is_a_panic_only_where_the_group_fails_open),
		cmocka_unit_test(test_live_is_neither_down_nor_ejected),
		cmocka_unit_test(test_weights_add_up_by_tier_without_the_drained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
