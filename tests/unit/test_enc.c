#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/enc.h"

/* RFC 4648, section 10, in the other alphabet and without padding. */
static const struct {
	const char *data, *text, *padded;
} pairs[] = {
	{"", "", ""},
	{"f", "Zg", "Zg=="},
	{"fo", "Zm8", "Zm8="},
	{"foo", "Zm9v", "Zm9v"},
	{"foob", "Zm9vYg", "Zm9vYg=="},
	{"fooba", "Zm9vYmE", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy", "Zm9vYmFy"},
	{"\xff\xef\xfb\xf0", "_-_78A", "_-_78A=="},
};

static void expect_decoded(const char *text, const char *data)
{
	size_t len;
	uint8_t *out = enc_base64url_decode(text, &len, NULL);

	assert_non_null(out);
	assert_int_equal(len, strlen(data));
	assert_memory_equal(out, data, len);
	free(out);
}

static void test_both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		char *text = enc_base64url(pairs[i].data, strlen(pairs[i].data));

		assert_string_equal(text, pairs[i].text);
		free(text);
		expect_decoded(pairs[i].text, pairs[i].data);
		expect_decoded(pairs[i].padded, pairs[i].data);
	}
}

static void test_every_byte(void **state)
{
	uint8_t all[256], *again;
	char *text;
	size_t len;

	(void)state;
	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	text = enc_base64url(all, sizeof(all));
	assert_int_equal(strlen(text), 342);
	again = enc_base64url_decode(text, &len, NULL);
	assert_int_equal(len, sizeof(all));
	assert_memory_equal(again, all, len);
	free(again);
	free(text);
}

static void test_refuses(void **state)
{
	/* The ordinary alphabet, white space, one letter too many, padding within, bits left. */
	static const char *const texts[] = {"_-+7", "a/bc", "Zm 9", "Zm9v\n", "Zm9vY", "Z",
		"Zg==Zg", "Zh", "Zm9", "secr\xc3\xa9t"};
	struct error err;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		err.text[0] = '\0';
		assert_null(enc_base64url_decode(texts[i], &len, &err));
		assert_string_equal(err.text, "is no base64url"); /* nothing of the text */
	}
}

static void test_url(void **state)
{
	struct str s = {0};

	(void)state;
	enc_url(&s, "aZ09-._~");
	enc_url(&s, " &=/?%+\xc3\xa4");
	assert_string_equal(s.data, "aZ09-._~%20%26%3D%2F%3F%25%2B%C3%A4");
	str_clear(&s);
	enc_url_path(&s, "/a (b)/c?d", 8);
	assert_string_equal(s.data, "/a%20%28b%29/c");
	str_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_url),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
