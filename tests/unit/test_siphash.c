#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/siphash.h"

/* The authors' vector for 16 bytes. */
static void test_vector(void **state)
{
	static const unsigned char want[8] = {0xdb, 0x9b, 0xc2, 0x57, 0x7f, 0xcc, 0x2a, 0x3f};
	unsigned char bytes[16], got[8];
	struct siphash_key key;
	uint64_t hash;

	(void)state;
	for (int i = 0; i < 16; i++)
		bytes[i] = (unsigned char)i;
	memcpy(&key, bytes, sizeof(key));
	hash = siphash_16(&key, bytes);
	for (int i = 0; i < 8; i++)
		got[i] = (unsigned char)(hash >> 8 * i);
	assert_memory_equal(got, want, sizeof(want));
}

static void test_keys_differ(void **state)
{
	struct siphash_key a, b;
	const char bytes[16] = "";

	(void)state;
	siphash_make_key(&a);
	siphash_make_key(&b);
	assert_int_not_equal(siphash_16(&a, bytes), siphash_16(&b, bytes));
	assert_int_equal(siphash_16(&a, bytes), siphash_16(&a, bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_keys_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
