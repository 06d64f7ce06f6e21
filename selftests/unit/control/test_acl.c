/* SPDX-License-Identifier: MIT */
/*
 * test_acl.c - what is remembered of entries by command: found by prefix and list, changed in place,
 * bounded, and ended in time.
 */
#include <errno.h>

#include "cm.h"
#include "control/acl.h"
#include "fault.h"

static struct acls acls;

static int setup(void **state)
{
	acls_init(&acls);
	return 0;
}

static int teardown(void **state)
{
	acls_done(&acls);
	return 0;
}

static struct prefix prefix(const char *text)
{
	struct prefix parsed;

	assert_int_equal(prefix_parse(&parsed, text), 0);
	return parsed;
}

static struct bpf_acl_edit *enter(uint32_t list, const char *text, uint8_t action,
				  uint64_t expires_ns)
{
	const struct bpf_acl_edit edit = { .prefix = prefix(text), .action = action,
					   .expires_ns = expires_ns };

	return acls_set(&acls, list, &edit);
}

static struct bpf_acl_edit *find(uint32_t list, const char *text)
{
	struct prefix wanted = prefix(text);

	return acls_find(&acls, list, &wanted);
}

static void an_edit_is_known_by_list_and_prefix(void **state)
{
	static const char *const texts[] = { "10.0.0.0/8", "10.0.0.0/9", "10.0.0.1", "::/0",
					     "fd00::/8", "0.0.0.0/0", "fd00::1" };
	struct bpf_acl_edit *edit;

	for (size_t i = 0; i < 7; i++)
		assert_non_null(enter(0, texts[i], SLUICE_ACL_DENY, 0));
	enter(5, "10.0.0.0/8", SLUICE_ACL_ALLOW, 0);
	assert_int_equal(acls.n, 8);
	for (size_t i = 0; i < 7; i++) {
		edit = find(0, texts[i]);
		assert_non_null(edit);
		assert_int_equal(edit->action, SLUICE_ACL_DENY);
	}
	assert_int_equal(find(5, "10.0.0.0/8")->action, SLUICE_ACL_ALLOW);
	assert_null(find(5, "10.0.0.1"));
	assert_null(find(0, "10.0.0.2"));
	acls_remove(&acls, 0, find(0, "10.0.0.1"));
	assert_null(find(0, "10.0.0.1"));
	assert_non_null(find(0, "fd00::1"));
	assert_int_equal(acls.n, 7);
	acls_forget(&acls, 0);
	assert_int_equal(acls.n, 1);
	assert_null(find(0, "::/0"));
	assert_non_null(find(5, "10.0.0.0/8"));
}

static void one_that_is_there_is_changed_and_keeps_what_it_hides(void **state)
{
	enter(0, "10.0.0.0/8", SLUICE_ACL_DENY, 7)->under = SLUICE_ACL_ALLOW;
	struct bpf_acl_edit *edit = enter(0, "10.0.0.0/8", SLUICE_ACL_ALLOW, 0);

	assert_int_equal(acls.n, 1);
	assert_int_equal(edit->action, SLUICE_ACL_ALLOW);
	assert_int_equal(edit->expires_ns, 0);
	assert_int_equal(edit->under, SLUICE_ACL_ALLOW);
}

static void their_number_is_bounded(void **state)
{
	struct bpf_acl_edit edit = { .prefix = prefix("10.0.0.0/32"), .action = SLUICE_ACL_DENY };

	for (uint32_t i = 0; i < ACL_EDITS_MAX; i++) {
		edit.prefix.bytes[1] = (uint8_t)(i >> 16);
		edit.prefix.bytes[2] = (uint8_t)(i >> 8);
		edit.prefix.bytes[3] = (uint8_t)i;
		assert_non_null(acls_set(&acls, i % 3, &edit));
	}
	assert_null(enter(9, "fd00::1", SLUICE_ACL_DENY, 0));
	assert_non_null(enter(0, "10.0.0.0", SLUICE_ACL_ALLOW, 0)); /* no new one */
	acls_remove(&acls, 0, find(0, "10.0.0.0"));
	assert_non_null(enter(9, "fd00::1", SLUICE_ACL_DENY, 0));
}

struct ended {
	unsigned n;
	uint32_t lists;
};

static void on_expired(void *context, uint32_t list, const struct bpf_acl_edit *edit)
{
	struct ended *ended = context;

	ended->n++;
	ended->lists |= 1u << list;
	assert_true(edit->expires_ns > 0);
}

static void each_ends_at_its_time_and_not_before(void **state)
{
	struct ended ended = { 0 };

	enter(0, "10.0.0.1", SLUICE_ACL_DENY, 0);
	enter(0, "10.0.0.2", SLUICE_ACL_DENY, 200);
	enter(0, "10.0.0.3", SLUICE_ACL_DENY, 100);
	enter(4, "10.0.0.4", SLUICE_ACL_DENY, 100);
	enter(4, "10.0.0.5", SLUICE_ACL_DENY, 300);
	acls_expire(&acls, 99, on_expired, &ended);
	assert_int_equal(ended.n, 0);
	acls_expire(&acls, 100, on_expired, &ended);
	assert_int_equal(ended.n, 2);
	assert_int_equal(ended.lists, 1 | 1 << 4);
	assert_int_equal(acls.n, 3);
	assert_null(find(0, "10.0.0.3"));
	assert_non_null(find(0, "10.0.0.2"));
	enter(0, "10.0.0.2", SLUICE_ACL_DENY, 400); /* longer after all */
	acls_expire(&acls, 300, on_expired, &ended);
	assert_int_equal(ended.n, 3);
	acls_expire(&acls, UINT64_MAX, on_expired, &ended);
	assert_int_equal(ended.n, 4);
	assert_int_equal(acls.n, 1);
	assert_non_null(find(0, "10.0.0.1"));
}

static void edits_follow_their_listener_to_another_number(void **state)
{
	enter(3, "10.0.0.1", SLUICE_ACL_DENY, 100);
	enter(3, "fd00::1", SLUICE_ACL_ALLOW, 0);
	strcpy(acls.lists[3].name, "grpc");
	enter(4, "10.0.0.9", SLUICE_ACL_DENY, 0);
	strcpy(acls.lists[4].name, "other");
	assert_int_equal(acls_follow(&acls, 7, "none"), 0);
	assert_int_equal(acls.lists[7].n, 0);
	fault_start(0);
	assert_int_equal(acls_follow(&acls, 7, "grpc"), -ENOMEM);
	fault_stop();
	assert_int_equal(acls_follow(&acls, 7, "grpc"), 0);
	assert_int_equal(acls.n, 5); /* until the old number's are forgotten */
	acls_forget(&acls, 3);
	assert_int_equal(acls.n, 3);
	assert_int_equal(find(7, "10.0.0.1")->expires_ns, 100);
	assert_int_equal(find(7, "fd00::1")->action, SLUICE_ACL_ALLOW);
	assert_null(find(7, "10.0.0.9"));
	assert_non_null(enter(7, "10.0.0.2", SLUICE_ACL_DENY, 0));
}

static void a_list_is_known_again_by_its_fingerprint(void **state)
{
	struct prefix one[] = { prefix("10.0.0.0/8"), prefix("10.0.0.1") };
	struct prefix two[] = { prefix("10.0.0.0/8"), prefix("10.0.0.2") };
	struct config_acl a = { .deny = one, .n_deny = 2 }, b = { .deny = one, .n_deny = 2 };

	assert_true(acls_fingerprint(&acls, &a) == acls_fingerprint(&acls, &b));
	b.deny = two;
	assert_true(acls_fingerprint(&acls, &a) != acls_fingerprint(&acls, &b));
	b = (struct config_acl){ .deny = one, .n_deny = 1 };
	assert_true(acls_fingerprint(&acls, &a) != acls_fingerprint(&acls, &b));
	b = (struct config_acl){ .allow = one, .n_allow = 2 };
	assert_true(acls_fingerprint(&acls, &a) != acls_fingerprint(&acls, &b));
	b = (struct config_acl){ .deny = one, .n_deny = 1, .allow = one + 1, .n_allow = 1 };
	assert_true(acls_fingerprint(&acls, &a) != acls_fingerprint(&acls, &b));
	assert_true(acls_fingerprint(&acls, &(struct config_acl){ 0 }) != 0);
}

static void without_memory_nothing_is_entered(void **state)
{
	fault_start(0);
	assert_null(enter(0, "10.0.0.1", SLUICE_ACL_DENY, 100));
	fault_stop();
	assert_int_equal(acls.n, 0);
	assert_non_null(enter(0, "10.0.0.1", SLUICE_ACL_DENY, 100));
}

#define ACL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ACL_TEST(an_edit_is_known_by_list_and_prefix),
		ACL_TEST(one_that_is_there_is_changed_and_keeps_what_it_hides),
		ACL_TEST(their_number_is_bounded),
		ACL_TEST(each_ends_at_its_time_and_not_before),
		ACL_TEST(edits_follow_their_listener_to_another_number),
		ACL_TEST(a_list_is_known_again_by_its_fingerprint),
		ACL_TEST(without_memory_nothing_is_entered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
