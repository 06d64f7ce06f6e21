/* SPDX-License-Identifier: MIT */
/*
 * test_addr.c - addresses and prefixes: what is parsed, what is refused and how, and what is
 * printed.
 */
#include "base/addr.h"

#include <errno.h>
#include <string.h>

#include "cm.h"

static void test_good_addresses_print_as_they_were(void **state)
{
	static const struct {
		const char *in, *out;
		int family;
		uint16_t port;
	} good[] = {
		{ "192.0.2.1:443", "192.0.2.1:443", AF_INET, 443 },
		{ "0.0.0.0:0", "0.0.0.0:0", AF_INET, 0 },
		{ "255.255.255.255:65535", "255.255.255.255:65535", AF_INET, 65535 },
		{ "[::]:443", "[::]:443", AF_INET6, 443 },
		{ "[::1]:80", "[::1]:80", AF_INET6, 80 },
		{ "[2001:DB8:0:0::1]:50051", "[2001:db8::1]:50051", AF_INET6, 50051 },
		{ "[::ffff:192.0.2.7]:9", "192.0.2.7:9", AF_INET6, 9 },
		{ "[fe80::1%lo]:1", "[fe80::1%lo]:1", AF_INET6, 1 },
		{ "[fe80::1%4294967295]:1", "[fe80::1%4294967295]:1", AF_INET6, 1 },
	};
	char text[ADDR_TEXT_MAX];
	struct addr addr;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(addr_parse(&addr, good[i].in), 0);
		assert_int_equal(addr.sa.sa_family, good[i].family);
		assert_int_equal(addr_port(&addr), good[i].port);
		assert_string_equal(addr_format(&addr, text, sizeof(text)), good[i].out);
		assert_int_equal(addr.len, good[i].family == AF_INET ? sizeof(addr.v4) :
								       sizeof(addr.v6));
	}
}

static void test_bad_addresses_say_which_half_is_wrong(void **state)
{
	static const struct {
		const char *in;
		int err;
	} bad[] = {
		{ "", -EINVAL },
		{ ":443", -EINVAL },
		{ "localhost:80", -EINVAL },
		{ "localhost:99999", -EINVAL },
		{ "1.2.3:80", -EINVAL },
		{ "1.2.3.4.5:80", -EINVAL },
		{ "01.2.3.4:80", -EINVAL },
		{ "256.1.1.1:80", -EINVAL },
		{ " 1.2.3.4:80", -EINVAL },
		{ "::1", -EINVAL },
		{ "2001:db8::1:443", -EINVAL },
		{ "[::1", -EINVAL },
		{ "[]:443", -EINVAL },
		{ "[1.2.3.4]:443", -EINVAL },
		{ "[::g]:443", -EINVAL },
		{ "[::1%]:443", -EINVAL },
		{ "[::1%no-such-interface]:443", -EINVAL },
		{ "[fe80::1%0]:443", -EINVAL },
		{ "1.2.3.4", -ERANGE },
		{ "1.2.3.4:", -ERANGE },
		{ "1.2.3.4:65536", -ERANGE },
		{ "1.2.3.4:99999999999999999999", -ERANGE },
		{ "1.2.3.4:-1", -ERANGE },
		{ "1.2.3.4:+1", -ERANGE },
		{ "1.2.3.4: 1", -ERANGE },
		{ "1.2.3.4:080", -ERANGE },
		{ "1.2.3.4:80x", -ERANGE },
		{ "[::1]", -ERANGE },
		{ "[::1]443", -ERANGE },
		{ "[::1]:", -ERANGE },
	};
	char longest[400];
	struct addr addr, before;
	size_t i;

	(void)state;
	memset(&before, 0x5a, sizeof(before));
	addr = before;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(addr_parse(&addr, bad[i].in), bad[i].err);
		assert_memory_equal(&addr, &before, sizeof(addr));
	}
	memset(longest, '1', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(addr_parse(&addr, longest), -EINVAL);
	longest[0] = '[';
	longest[300] = ']';
	assert_int_equal(addr_parse(&addr, longest), -EINVAL);
}

static void test_ip_without_port(void **state)
{
	char text[ADDR_TEXT_MAX];
	struct addr addr;

	(void)state;
	assert_int_equal(addr_from_ip(&addr, "192.0.2.1", 80), 0);
	assert_string_equal(addr_format(&addr, text, sizeof(text)), "192.0.2.1:80");
	assert_string_equal(addr_format_ip(&addr, text, sizeof(text)), "192.0.2.1");
	assert_int_equal(addr_from_ip(&addr, "2001:db8::1", 80), 0);
	assert_string_equal(addr_format_ip(&addr, text, sizeof(text)), "2001:db8::1");
	assert_int_equal(addr_from_ip(&addr, "[::1]", 80), -EINVAL);
	assert_int_equal(addr_from_ip(&addr, "192.0.2.1%lo", 80), -EINVAL);
	assert_int_equal(addr_from_ip(&addr, "backend.example", 80), -EINVAL);
}

static void test_mapped_bytes_go_both_ways(void **state)
{
	static const char *const texts[] = { "192.0.2.1:443", "[2001:db8::1]:443", "[::]:443",
					     "0.0.0.0:443" };
	uint8_t bytes[16], again[16];
	struct addr addr, back;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(addr_parse(&addr, texts[i]), 0);
		addr_to_mapped(&addr, bytes);
		addr_from_mapped(&back, bytes, 443);
		assert_true(addr_equal(&addr, &back));
		assert_int_equal(back.sa.sa_family, addr.sa.sa_family);
		addr_to_mapped(&back, again);
		assert_memory_equal(bytes, again, 16);
	}
	assert_int_equal(addr_parse(&addr, "192.0.2.1:1"), 0);
	addr_to_mapped(&addr, bytes);
	assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01", 16);
	memset(&addr, 0, sizeof(addr));
	addr_to_mapped(&addr, bytes);
	assert_memory_equal(bytes, (uint8_t[16]){ 0 }, 16);
}

static bool equal(const char *a, const char *b)
{
	struct addr addr_a, addr_b;

	assert_int_equal(addr_parse(&addr_a, a), 0);
	assert_int_equal(addr_parse(&addr_b, b), 0);
	return addr_equal(&addr_a, &addr_b);
}

static void test_equal_means_address_port_and_scope(void **state)
{
	(void)state;
	assert_true(equal("192.0.2.1:1", "192.0.2.1:1"));
	assert_false(equal("192.0.2.1:1", "192.0.2.1:2"));
	assert_false(equal("192.0.2.1:1", "192.0.2.2:1"));
	assert_true(equal("192.0.2.1:1", "[::ffff:192.0.2.1]:1"));
	assert_false(equal("0.0.0.0:1", "[::]:1"));
	assert_false(equal("[fe80::1%1]:1", "[fe80::1%2]:1"));
}

static bool is_any(const char *text)
{
	struct addr addr;

	assert_int_equal(addr_parse(&addr, text), 0);
	return addr_is_any(&addr);
}

static void test_any_is_any_in_all_its_forms(void **state)
{
	(void)state;
	assert_true(is_any("0.0.0.0:1"));
	assert_true(is_any("[::]:1"));
	assert_true(is_any("[::ffff:0.0.0.0]:1"));
	assert_false(is_any("127.0.0.1:1"));
	assert_false(is_any("[::1]:1"));
	assert_false(is_any("0.0.0.1:1"));
}

static void test_port_can_be_set(void **state)
{
	struct addr addr;

	(void)state;
	assert_int_equal(addr_parse(&addr, "[::1]:1"), 0);
	addr_set_port(&addr, 65535);
	assert_int_equal(addr_port(&addr), 65535);
	assert_int_equal(addr_parse(&addr, "1.2.3.4:1"), 0);
	addr_set_port(&addr, 258);
	assert_int_equal(addr_port(&addr), 258);
}

static void test_good_prefixes_print_as_they_mean(void **state)
{
	static const char *const good[][2] = {
		{ "10.0.0.0/8", "10.0.0.0/8" },
		{ "0.0.0.0/0", "0.0.0.0/0" },
		{ "192.0.2.1", "192.0.2.1/32" },
		{ "192.0.2.128/25", "192.0.2.128/25" },
		{ "2001:db8::/32", "2001:db8::/32" },
		{ "::/0", "::/0" },
		{ "2001:db8::1", "2001:db8::1/128" },
		{ "2001:db8:8000::/33", "2001:db8:8000::/33" },
		{ "::ffff:192.0.2.0/120", "192.0.2.0/24" },
		{ "::ffff:0.0.0.0/96", "0.0.0.0/0" },
	};
	char text[ADDR_TEXT_MAX];
	struct prefix prefix;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(prefix_parse(&prefix, good[i][0]), 0);
		assert_string_equal(prefix_format(&prefix, text, sizeof(text)), good[i][1]);
	}
}

static void test_bad_prefixes_say_what_is_wrong(void **state)
{
	static const struct {
		const char *in;
		int err;
	} bad[] = {
		{ "", -EINVAL },	      { "/8", -EINVAL },
		{ "10.0.0/8", -EINVAL },      { "example/8", -EINVAL },
		{ "[::1]/128", -EINVAL },     { "10.0.0.0/", -ERANGE },
		{ "10.0.0.0/33", -ERANGE },   { "10.0.0.0/-1", -ERANGE },
		{ "10.0.0.0/08", -ERANGE },   { "10.0.0.0/8/8", -ERANGE },
		{ "10.0.0.0/8 ", -ERANGE },   { "::/129", -ERANGE },
		{ "10.0.0.1/8", -EDOM },      { "10.0.0.0/6", -EDOM },
		{ "192.0.2.1/31", -EDOM },    { "2001:db8::1/127", -EDOM },
		{ "2001:db8:8000::/32", -EDOM }, { "0.0.0.1/0", -EDOM },
	};
	struct prefix prefix, before;
	size_t i;

	(void)state;
	memset(&before, 0x5a, sizeof(before));
	prefix = before;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(prefix_parse(&prefix, bad[i].in), bad[i].err);
		assert_memory_equal(&prefix, &before, sizeof(prefix));
	}
}

static bool contains(const char *prefix_text, const char *ip)
{
	struct prefix prefix;
	struct addr addr;

	assert_int_equal(prefix_parse(&prefix, prefix_text), 0);
	assert_int_equal(addr_from_ip(&addr, ip, 0), 0);
	return prefix_contains(&prefix, &addr);
}

static void test_contains_looks_at_the_prefix_bits_only(void **state)
{
	struct prefix prefix;
	struct addr none;

	(void)state;
	assert_true(contains("10.0.0.0/8", "10.255.1.2"));
	assert_false(contains("10.0.0.0/8", "11.0.0.0"));
	assert_true(contains("192.0.2.128/25", "192.0.2.128"));
	assert_false(contains("192.0.2.128/25", "192.0.2.127"));
	assert_true(contains("192.0.2.1", "192.0.2.1"));
	assert_false(contains("192.0.2.1", "192.0.2.0"));
	assert_true(contains("0.0.0.0/0", "8.8.8.8"));
	assert_false(contains("0.0.0.0/0", "2001:db8::1"));
	assert_true(contains("2001:db8:8000::/33", "2001:db8:ffff::1"));
	assert_false(contains("2001:db8:8000::/33", "2001:db8:7fff::1"));
	assert_true(contains("::/0", "2001:db8::1"));
	/* IPv4 is IPv4, however it is written. */
	assert_false(contains("::/0", "192.0.2.1"));
	assert_true(contains("192.0.2.0/24", "::ffff:192.0.2.9"));

	memset(&none, 0, sizeof(none));
	assert_int_equal(prefix_parse(&prefix, "0.0.0.0/0"), 0);
	assert_false(prefix_contains(&prefix, &none));
}

static bool overlap(const char *a_text, const char *b_text)
{
	struct prefix a, b;

	assert_int_equal(prefix_parse(&a, a_text), 0);
	assert_int_equal(prefix_parse(&b, b_text), 0);
	assert_int_equal(prefix_overlaps(&a, &b), prefix_overlaps(&b, &a));
	return prefix_overlaps(&a, &b);
}

static void test_prefixes_overlap_where_one_contains_the_other(void **state)
{
	assert_true(overlap("10.0.0.0/8", "10.1.2.3/32"));
	assert_true(overlap("10.1.2.3", "10.1.2.3"));
	assert_true(overlap("0.0.0.0/0", "192.0.2.0/25"));
	assert_false(overlap("192.0.2.128/25", "192.0.2.0/25"));
	assert_false(overlap("10.1.2.3", "10.1.2.2"));
	assert_true(overlap("2001:db8::/32", "2001:db8:5::/48"));
	assert_false(overlap("2001:db8::/32", "2001:db9::/32"));
	assert_false(overlap("::/0", "0.0.0.0/0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_addresses_print_as_they_were),
		cmocka_unit_test(test_bad_addresses_say_which_half_is_wrong),
		cmocka_unit_test(test_ip_without_port),
		cmocka_unit_test(test_mapped_bytes_go_both_ways),
		cmocka_unit_test(test_equal_means_address_port_and_scope),
		cmocka_unit_test(test_any_is_any_in_all_its_forms),
		cmocka_unit_test(test_port_can_be_set),
		cmocka_unit_test(test_good_prefixes_print_as_they_mean),
		cmocka_unit_test(test_bad_prefixes_say_what_is_wrong),
		cmocka_unit_test(test_contains_looks_at_the_prefix_bits_only),
		cmocka_unit_test(test_prefixes_overlap_where_one_contains_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
