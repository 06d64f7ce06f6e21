/* SPDX-License-Identifier: MIT */
/*
 * test_base64.c - base64 there and back: RFC 4648's vectors, padded and not, and what is none.
 */
#include "base/base64.h"

#include <errno.h>
#include <string.h>

#include "cm.h"

static const struct {
	const char *plain, *bare, *padded;
} vectors[] = {
	{ "", "", "" },
	{ "f", "Zg", "Zg==" },
	{ "fo", "Zm8", "Zm8=" },
	{ "foo", "Zm9v", "Zm9v" },
	{ "foob", "Zm9vYg", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
	{ "\xff\xfe\xfd", "//79", "//79" },
	{ "\xfb\xef\xbe", "++++", "++++" },
};

static void decodes_to(const char *text, const char *want)
{
	char out[32];

	assert_int_equal(base64_decode(out, sizeof(out), text, strlen(text)), strlen(want));
	assert_memory_equal(out, want, strlen(want));
}

static void the_vectors_hold_both_ways(void **state)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		size_t len = strlen(vectors[i].plain);
		char out[32];

		decodes_to(vectors[i].bare, vectors[i].plain);
		decodes_to(vectors[i].padded, vectors[i].plain);
		assert_int_equal(BASE64_LEN(len), strlen(vectors[i].bare));
		assert_int_equal(base64_encode(out, vectors[i].plain, len), BASE64_LEN(len));
		assert_memory_equal(out, vectors[i].bare, BASE64_LEN(len));
	}
}

static void what_is_not_base64_is_refused(void **state)
{
	static const char *const bad[] = { "Z", "Zg=", "Zg===", "=", "====", "Z===", "Zm9v=", "Zm 9",
					   "Zm9-", "Zm_9", "Zg=a", "Zm9vY", "\n" };
	char out[32];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(base64_decode(out, sizeof(out), bad[i], strlen(bad[i])), -EINVAL);
	assert_int_equal(base64_decode(out, 4, "Zm9vYmE=", 8), -ENOSPC);
	assert_int_equal(base64_decode(out, 5, "Zm9vYmE=", 8), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors_hold_both_ways),
		cmocka_unit_test(what_is_not_base64_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
