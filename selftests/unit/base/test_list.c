/* SPDX-License-Identifier: MIT */
/*
 * test_list.c - walks over lists: in order, with members that unlink themselves, and of members
 * that are more aligned than the head (which a walk must never take for a member).
 */
#include <stdlib.h>

#include "base/list.h"
#include "cm.h"

struct member {
	_Alignas(16) char bytes[32];
	struct list link;
	int number;
};

struct owner {
	long before; /* so that a head less the link's offset is no member's address */
	struct list head;
};

static struct owner *owner_with(struct member *members, int n)
{
	struct owner *owner = calloc(1, sizeof(*owner));

	assert_non_null(owner);
	list_init(&owner->head);
	for (int i = 0; i < n; i++) {
		members[i].number = i;
		list_add_tail(&owner->head, &members[i].link);
	}
	return owner;
}

static void walks_are_in_order_and_end(void **state)
{
	struct member members[3], *member;
	struct owner *owner = owner_with(members, 3);
	int expected = 0;

	list_for_each(member, &owner->head, link)
		assert_int_equal(member->number, expected++);
	assert_int_equal(expected, 3);
	free(owner);
}

static void empty_lists_have_no_members(void **state)
{
	struct owner *owner = owner_with(NULL, 0);
	struct member *member, *next;

	list_for_each(member, &owner->head, link)
		fail();
	list_for_each_safe(member, next, &owner->head, link)
		fail();
	free(owner);
}

static void members_may_unlink_themselves_in_a_walk(void **state)
{
	struct member members[3], *member, *next;
	struct owner *owner = owner_with(members, 3);
	int seen = 0;

	list_for_each_safe(member, next, &owner->head, link) {
		list_del(&member->link);
		seen++;
	}
	assert_int_equal(seen, 3);
	assert_true(list_empty(&owner->head));
	free(owner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walks_are_in_order_and_end),
		cmocka_unit_test(empty_lists_have_no_members),
		cmocka_unit_test(members_may_unlink_themselves_in_a_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
