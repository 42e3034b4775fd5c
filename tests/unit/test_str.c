#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

static void test_add(void **state)
{
	struct str s = {0};

	str_add(&s, NULL, 0);
	assert_string_equal(s.data, "");
	for (int i = 0; i < 300; i++) {
		str_add(&s, "ab", 2);
		str_addf(&s, "%d", i % 10);
		assert_int_equal(s.len, (size_t)(i + 1) * 3);
		assert_int_equal(strlen(s.data), s.len);
	}
	assert_memory_equal(s.data, "ab0ab1ab2", 9);
	assert_string_equal(s.data + s.len - 6, "ab8ab9");
	str_clear(&s);
	assert_null(s.data);
	str_add(&s, "a\0b", 3);
	assert_int_equal(s.len, 3);
	assert_memory_equal(s.data, "a\0b", 4);
	str_clear(&s);
}

/* Each step over a power of two: the room is derived from the length alone. */
static void test_add_at_the_borders_of_room(void **state)
{
	for (size_t first = 60; first < 70; first++) {
		for (size_t second = 0; second < 70; second++) {
			struct str s = {0};
			char bytes[70];

			memset(bytes, 'x', sizeof(bytes));
			str_add(&s, bytes, first);
			str_add(&s, bytes, second);
			str_addf(&s, "%s", "yz");
			assert_int_equal(s.len, first + second + 2);
			assert_string_equal(s.data + first + second, "yz");
			str_clear(&s);
		}
	}
}

static void test_escape(void **state)
{
	char out[64];

	assert_string_equal(str_escape(out, sizeof(out), "plain text", 10), "plain text");
	assert_string_equal(
		str_escape(out, sizeof(out), "a\n\"\\\0\xff", 6), "a\\x0a\\x22\\x5c\\x00\\xff");
	assert_string_equal(str_escape(out, sizeof(out), "", 0), "");
}

static void test_escape_cuts_only_what_does_not_fit(void **state)
{
	char out[9];

	out[8] = '!';
	assert_string_equal(str_escape(out, 8, "1234567", 7), "1234567");
	assert_string_equal(str_escape(out, 8, "12345678", 8), "1234...");
	assert_string_equal(str_escape(out, 8, "123\n", 4), "123\\x0a");
	assert_string_equal(str_escape(out, 8, "1234\n", 5), "1234...");
	assert_string_equal(str_escape(out, 8, "\n1234", 5), "\\x0a...");
	assert_string_equal(str_escape(out, 8, "\n\n", 2), "\\x0a...");
	assert_string_equal(str_escape(out, 8, "12\n34", 5), "12...");
	assert_int_equal(out[8], '!');
}

static void test_nearest(void **state)
{
	const char *const words[] = {"domains", NULL, "provider", "email", "options", "tls"};
	const size_t n = sizeof(words) / sizeof(*words);

	assert_string_equal(str_nearest("domain", words, n), "domains");
	assert_string_equal(str_nearest("PROVIDER", words, n), "provider");
	assert_string_equal(str_nearest("porvider", words, n), "provider");
	assert_string_equal(str_nearest("emial", words, n), "email");
	assert_string_equal(str_nearest("tsl", words, n), "tls");
	assert_null(str_nearest("backends", words, n));
	assert_null(str_nearest("b", (const char *const[]){"a"}, 1)); /* nothing in common */
	assert_null(str_nearest("", words, n));
	assert_null(str_nearest("x", words, 0));
}

static void test_nearest_of_long_words(void **state)
{
	char word[200];
	const char *const words[] = {word};

	memset(word, 'a', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	assert_null(str_nearest(word, words, 1)); /* nobody's slip of the finger */
}

static void test_small_ones(void **state)
{
	char text[] = "AbC-\xc3\x84Z", hex[7];

	str_lower(text);
	assert_string_equal(text, "abc-\xc3\x84z");
	str_hex(hex, "\x00\xab\x1f", 3);
	assert_string_equal(hex, "00ab1f");
	assert_true(str_starts("unix:/x", "unix:"));
	assert_false(str_starts("uni", "unix:"));
	assert_true(str_starts("x", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_add_at_the_borders_of_room),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_escape_cuts_only_what_does_not_fit),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_nearest_of_long_words),
		cmocka_unit_test(test_small_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
