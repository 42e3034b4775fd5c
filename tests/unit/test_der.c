#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <time.h>

#include "tls/der.h"

#define DER(literal) ((struct der){(const uint8_t *)(literal), sizeof(literal) - 1})

static void takes_one_element_after_the_other(void **state)
{
	struct der d = DER("\x02\x01\x05\x04\x02xy\x30\x03\x02\x01\x07"), content;
	uint8_t tag;

	assert_true(der_next(&d, &tag, &content));
	assert_int_equal(tag, DER_INTEGER);
	assert_true(der_is(content, "\x05"));
	assert_false(der_take(&d, DER_INTEGER, &content)); /* another tag: nothing is taken */
	assert_true(der_take(&d, DER_OCTET_STRING, &content));
	assert_true(der_is(content, "xy"));
	assert_true(der_take_optional(&d, DER_CONTEXT_0, &content));
	assert_null(content.p);
	assert_true(der_take(&d, DER_SEQUENCE, &d)); /* into it */
	assert_true(der_take_unsigned(&d, &content));
	assert_true(der_is(content, "\x07"));
	assert_int_equal(d.len, 0);
	assert_false(der_next(&d, &tag, &content));
	assert_true(der_take_optional(&d, DER_CONTEXT_0, &content));
}

static void refuses_what_does_not_fit(void **state)
{
	const struct der broken[] = {
		DER(""), DER("\x30"), DER("\x30\x01"),
		DER("\x30\x80\x00\x00"), /* indefinite length */
		DER("\x30\x81"), DER("\x30\x82\x01"), DER("\x30\x82\x00\x03xy"),
		DER("\x30\x84\xff\xff\xff\xffxy"),
		DER("\x30\x85\x00\x00\x00\x00\x01x"), /* more than four bytes of length */
		DER("\x30\xffxyz"), DER("\x3f\x01x"), /* a tag of several bytes */
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct der d = broken[i], content;
		uint8_t tag;

		assert_false(der_next(&d, &tag, &content));
		assert_true(der_equal(d, broken[i]));
		assert_false(der_cut(&d));
	}
}

static void optional_but_broken_is_refused(void **state)
{
	struct der d = DER("\xa0\x05x"), content;

	assert_false(der_take_optional(&d, DER_CONTEXT_0, &content));
}

static void reads_long_lengths(void **state)
{
	uint8_t bytes[4 + 300] = {0x04, 0x82, 0x01, 0x2c};
	struct der d = {bytes, sizeof(bytes)}, content;

	assert_true(der_take(&d, DER_OCTET_STRING, &content));
	assert_ptr_equal(content.p, bytes + 4);
	assert_int_equal(content.len, 300);
	assert_int_equal(d.len, 0);
}

static void cuts_what_follows(void **state)
{
	struct der d = DER("\x30\x01xtrailing");

	assert_true(der_cut(&d));
	assert_int_equal(d.len, 3);
}

static void reads_numbers_and_bits(void **state)
{
	struct der d = DER("\x02\x03\x00\x00\x81"), content;

	assert_true(der_take_unsigned(&d, &content));
	assert_true(der_is(content, "\x81"));
	d = DER("\x02\x01\x00");
	assert_true(der_take_unsigned(&d, &content));
	assert_true(der_is(content, "\x00"));
	d = DER("\x02\x01\x81");
	assert_false(der_take_unsigned(&d, &content)); /* negative */
	d = DER("\x02\x00");
	assert_false(der_take_unsigned(&d, &content));
	d = DER("\x03\x03\x00xy");
	assert_true(der_take_bits(&d, &content));
	assert_true(der_is(content, "xy"));
	d = DER("\x03\x03\x04xy");
	assert_false(der_take_bits(&d, &content)); /* unused bits */
	d = DER("\x03\x00");
	assert_false(der_take_bits(&d, &content));
}

static bool read_time(uint8_t tag, const char *text, int64_t *s)
{
	uint8_t bytes[64] = {tag, (uint8_t)strlen(text)};
	struct der d = {bytes, 2 + strlen(text)};

	memcpy(bytes + 2, text, strlen(text));
	return der_take_time(&d, s);
}

static void reads_times_as_the_library_does(void **state)
{
	for (int year = 1950; year < 2400; year++) {
		for (int month = 1; month <= 12; month++) {
			struct tm tm = {.tm_year = year - 1900,
				.tm_mon = month - 1,
				.tm_mday = 28,
				.tm_hour = 23,
				.tm_min = 59,
				.tm_sec = 58};
			char text[32];
			int64_t s;

			snprintf(text, sizeof(text), "%04d%02d28235958Z", year, month);
			assert_true(read_time(DER_GENERALIZED_TIME, text, &s));
			assert_int_equal(s, timegm(&tm));
			if (year < 2050) {
				assert_true(read_time(DER_UTC_TIME, text + 2, &s));
				assert_int_equal(s, timegm(&tm));
			}
		}
	}
}

static void knows_the_edges_of_time(void **state)
{
	int64_t s;

	assert_true(read_time(DER_UTC_TIME, "700101000000Z", &s));
	assert_int_equal(s, 0);
	assert_true(read_time(DER_UTC_TIME, "000229000000Z", &s));
	assert_int_equal(s, 951782400);
	assert_true(read_time(DER_GENERALIZED_TIME, "99991231235959Z", &s)); /* "no end" */
	assert_int_equal(s, 253402300799);
}

static void refuses_other_forms_of_time(void **state)
{
	static const char *const utc[] = {"", "7001010000Z", "700101000000", "700101000000+0100",
		"701301000000Z", "700100000000Z", "700101240000Z", "7001010000 0Z",
		"70010100:000Z"};
	int64_t s;

	for (size_t i = 0; i < sizeof(utc) / sizeof(utc[0]); i++)
		assert_false(read_time(DER_UTC_TIME, utc[i], &s));
	assert_false(read_time(DER_GENERALIZED_TIME, "700101000000Z", &s));
	assert_false(read_time(DER_GENERALIZED_TIME, "20000101000000.5Z", &s));
	assert_false(read_time(DER_GENERALIZED_TIME, "x0000101000000Z", &s));
	assert_false(read_time(DER_OCTET_STRING, "700101000000Z", &s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_one_element_after_the_other),
		cmocka_unit_test(refuses_what_does_not_fit),
		cmocka_unit_test(optional_but_broken_is_refused),
		cmocka_unit_test(reads_long_lengths),
		cmocka_unit_test(cuts_what_follows),
		cmocka_unit_test(reads_numbers_and_bits),
		cmocka_unit_test(reads_times_as_the_library_does),
		cmocka_unit_test(knows_the_edges_of_time),
		cmocka_unit_test(refuses_other_forms_of_time),
	};

	return cmocka_run_group_tests_name("der", tests, NULL, NULL);
}
