/* SPDX-License-Identifier: MIT */
/*
 * test_siphash.c - SipHash-2-4 against the vectors of its authors.
 */
#include "base/siphash.h"

#include <string.h>

#include "cm.h"

/* Of 00 01 02 ... (length n) under the key 00 01 ... 0f; the paper's own example is n = 15. */
static const struct {
	size_t n;
	uint64_t hash;
} vectors[] = {
	{ 0, 0x726fdb47dd0e0e31ull },  { 1, 0x74f839c593dc67fdull },
	{ 2, 0x0d6c8009d9a94f5aull },  { 3, 0x85676696d7fb7e2dull },
	{ 7, 0xab0200f58b01d137ull },  { 8, 0x93f5f5799a932462ull },
	{ 15, 0xa129ca6149be45e5ull }, { 16, 0x3f2acc7f57c29bdbull },
	{ 63, 0x958a324ceb064572ull },
};

static void the_reference_vectors_hold(void **state)
{
	uint8_t key[16], bytes[65];

	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	for (size_t v = 0; v < sizeof(vectors) / sizeof(vectors[0]); v++) {
		for (unsigned shift = 0; shift < 2; shift++) { /* aligned or not */
			for (unsigned i = 0; i < 64; i++)
				bytes[i + shift] = (uint8_t)i;
			assert_int_equal(siphash(key, bytes + shift, vectors[v].n),
					 vectors[v].hash);
		}
	}
}

static void the_key_counts(void **state)
{
	uint8_t a[16] = { 0 }, b[16] = { 0 };

	for (unsigned i = 0; i < 16; i++) {
		memset(b, 0, sizeof(b));
		b[i] = 1;
		assert_int_not_equal(siphash(a, "sluice", 6), siphash(b, "sluice", 6));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reference_vectors_hold),
		cmocka_unit_test(the_key_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
