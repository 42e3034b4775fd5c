#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conf/value.h"

#define DAY INT64_C(86400000)

static void assert_expands(const char *text, const char *want)
{
	struct error err = {""};
	char *got = value_expand(text, &err);

	assert_string_equal(err.text, "");
	assert_string_equal(got, want);
	free(got);
}

static void assert_expand_refused(const char *text, const char *want)
{
	struct error err = {""};

	assert_null(value_expand(text, &err));
	assert_string_equal(err.text, want);
}

static void expands_variables(void **state)
{
	setenv("LT_A", "apple", 1);
	setenv("LT_EMPTY", "", 1);
	setenv("LT_AGAIN", "${LT_A}$$", 1);
	unsetenv("LT_NONE");

	assert_expands("", "");
	assert_expands("plain", "plain");
	assert_expands("${LT_A}", "apple");
	assert_expands("<${LT_A}${LT_A}>", "<appleapple>");
	assert_expands("${LT_EMPTY}", "");
	assert_expands("${LT_AGAIN}", "${LT_A}$$"); /* once */
	assert_expands("${LT_NONE:-pear}", "pear");
	assert_expands("${LT_EMPTY:-pear}", "pear");
	assert_expands("${LT_A:-pear}", "apple");
	assert_expands("${LT_NONE:-}", "");
	assert_expands("${LT_NONE:-a:-$b$$c}", "a:-$b$c");
	assert_expands("$$", "$");
	assert_expands("$${LT_A}", "${LT_A}");
	assert_expands("$LT_A 5$", "$LT_A 5$");
}

static void refuses_bad_variables(void **state)
{
	static const char name[] =
		"after \"${\" a name and \"}\" or \":-default}\" are wanted; a dollar "
		"sign itself is written $$";
	static const char open[] = "\"${\" is not closed; a dollar sign itself is written $$";

	unsetenv("LT_NONE");
	assert_expand_refused("x${LT_NONE}",
		"the environment variable LT_NONE is not set; ${LT_NONE:-default} gives a default");
	assert_expand_refused("${}", name);
	assert_expand_refused("${1A}", name);
	assert_expand_refused("${A B}", name);
	assert_expand_refused("${A:b}", name);
	assert_expand_refused("${A-b}", name);
	assert_expand_refused("${", name);
	assert_expand_refused("${A", name);
	assert_expand_refused("${A:-b", open);
	assert_expand_refused(
		"${LT_NONE:-${LT_A}}", "the default of a \"${\" cannot hold another one");
}

static void limits_expanded_size(void **state)
{
	char *big = mem_alloc(100001), text[20 * 9 + 1] = "";

	memset(big, 'x', 100000);
	big[100000] = '\0';
	setenv("LT_BIG", big, 1);
	for (int i = 0; i < 20; i++)
		strcat(text, "${LT_BIG}");
	assert_expand_refused(
		text, "the value has more than 1 MiB when its variables are expanded");
	unsetenv("LT_BIG");
	free(big);
}

static void reads_booleans(void **state)
{
	struct error err;
	bool b;

	assert_int_equal(value_bool("true", &b, &err), 0);
	assert_true(b);
	assert_int_equal(value_bool("false", &b, &err), 0);
	assert_false(b);
	assert_int_equal(value_bool("yes\n", &b, &err), -1);
	assert_string_equal(err.text, "\"yes\\x0a\" is neither true nor false");
	assert_int_equal(value_bool("True", &b, &err), -1);
}

static void assert_int(const char *text, int64_t min, int64_t max, int64_t want, const char *error)
{
	struct error err = {""};
	int64_t got = -99;

	assert_int_equal(value_int(text, min, max, &got, &err), error ? -1 : 0);
	assert_string_equal(err.text, error ? error : "");
	if (!error)
		assert_int_equal(got, want);
}

static void reads_whole_numbers(void **state)
{
	assert_int("0", 0, 16, 0, NULL);
	assert_int("16", 0, 16, 16, NULL);
	assert_int("-3", -5, 5, -3, NULL);
	assert_int("9223372036854775807", 0, INT64_MAX, INT64_MAX, NULL);
	assert_int("17", 0, 16, 0, "17 is out of range, 0 to 16 are possible");
	assert_int("-1", 0, 16, 0, "-1 is out of range, 0 to 16 are possible");
	assert_int("99999999999999999999", 0, 16, 0,
		"99999999999999999999 is out of range, 0 to 16 are possible");
	assert_int("-99999999999999999999", 0, 16, 0,
		"-99999999999999999999 is out of range, 0 to 16 are possible");
	assert_int("", 0, 16, 0, "\"\" is no whole number");
	assert_int("-", 0, 16, 0, "\"-\" is no whole number");
	assert_int("+1", 0, 16, 0, "\"+1\" is no whole number");
	assert_int("1.0", 0, 16, 0, "\"1.0\" is no whole number");
	assert_int("0x1", 0, 16, 0, "\"0x1\" is no whole number");
	assert_int("010", 0, 16, 0, "\"010\" is no whole number");
	assert_int("1 ", 0, 16, 0, "\"1 \" is no whole number");
}

static void assert_duration(const char *text, int64_t want, const char *error)
{
	struct error err = {""};
	int64_t got = -99;

	assert_int_equal(value_duration(text, 1, 10 * DAY, &got, &err), error ? -1 : 0);
	assert_string_equal(err.text, error ? error : "");
	if (!error)
		assert_int_equal(got, want);
}

static void reads_durations(void **state)
{
	assert_duration("250ms", 250, NULL);
	assert_duration("5s", 5000, NULL);
	assert_duration("5m", 300000, NULL);
	assert_duration("2h", 7200000, NULL);
	assert_duration("10d", 10 * DAY, NULL);
	assert_duration("5", 0, "\"5\" has no unit: write 5s, or with ms, m, h or d");
	assert_duration("-5s", 0, "\"-5s\" is negative: a time is written like 5s");
	assert_duration("0s", 0, "\"0s\" is out of range, 1ms to 10d are possible");
	assert_duration("11d", 0, "\"11d\" is out of range, 1ms to 10d are possible");
	assert_duration("9223372036854775807d", 0,
		"\"9223372036854775807d\" is out of range, 1ms to 10d are possible");
	/* Times 86400000 it is 1024 and a multiple of 2 to the 64th. */
	assert_duration("8825400613783079d", 0,
		"\"8825400613783079d\" is out of range, 1ms to 10d are possible");
	assert_duration("99999999999999999999ms", 0,
		"\"99999999999999999999ms\" is out of range, 1ms to 10d are possible");
	assert_duration("1.5s", 0,
		"\"1.5s\" is no time: write a whole number and ms, s, m, h or d, like 5s");
	assert_duration(
		"5 s", 0, "\"5 s\" is no time: write a whole number and ms, s, m, h or d, like 5s");
	assert_duration(
		"s", 0, "\"s\" is no time: write a whole number and ms, s, m, h or d, like 5s");
	assert_duration(
		"5S", 0, "\"5S\" is no time: write a whole number and ms, s, m, h or d, like 5s");
	assert_duration(
		"", 0, "\"\" is no time: write a whole number and ms, s, m, h or d, like 5s");
}

static void assert_rate(const char *text, int64_t want, const char *error)
{
	struct error err = {""};
	int64_t got = -99;

	assert_int_equal(value_rate(text, &got, &err), error ? -1 : 0);
	assert_string_equal(err.text, error ? error : "");
	if (!error)
		assert_int_equal(got, want);
}

#define NO_RATE(text)                                                                              \
	assert_rate(text, 0,                                                                       \
		"\"" text "\" is no rate: write a whole number and /s, /m or /h, like 50/s")

static void reads_rates(void **state)
{
	assert_rate("50/s", 20000000, NULL);
	assert_rate("1/m", INT64_C(60000000000), NULL);
	assert_rate("1/h", INT64_C(3600000000000), NULL);
	assert_rate("1000000/s", 1000, NULL);
	assert_rate("0/s", 0, "\"0/s\" is out of range, 1/s to 1000000/s are possible");
	assert_rate("1000001/h", 0, "\"1000001/h\" is out of range, 1/h to 1000000/h are possible");
	assert_rate("99999999999999999999/s", 0,
		"\"99999999999999999999/s\" is out of range, 1/s to 1000000/s are possible");
	NO_RATE("");
	NO_RATE("50");
	NO_RATE("/s");
	NO_RATE("-1/s");
	NO_RATE("1.5/s");
	NO_RATE("50 /s");
	NO_RATE("50/d");
	NO_RATE("50/sec");
	NO_RATE("50/5s");
}

static void reads_statuses(void **state)
{
	static const char *const bad[] = {"", "20", "2000", "099", "600", "2xx", "200-", "-200",
		"200,", ",200", "200-300-400", "300-200", "200 ,300", "200-29999999999999999999"};
	struct error err;

	assert_int_equal(value_statuses("200", 200, NULL), 1);
	assert_int_equal(value_statuses("200", 201, NULL), 0);
	assert_int_equal(value_statuses("100-199,204,500-599", 599, NULL), 1);
	assert_int_equal(value_statuses("100-199,204,500-599", 204, NULL), 1);
	assert_int_equal(value_statuses("100-199,204,500-599", 100, NULL), 1);
	assert_int_equal(value_statuses("100-199,204,500-599", 200, NULL), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(value_statuses(bad[i], 200, &err), -1);
	assert_string_equal(err.text, "\"200-29999999999999999999\" is no set of statuses, 100 to "
				      "599: write 200, or 200-299,301");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expands_variables),
		cmocka_unit_test(refuses_bad_variables),
		cmocka_unit_test(limits_expanded_size),
		cmocka_unit_test(reads_booleans),
		cmocka_unit_test(reads_whole_numbers),
		cmocka_unit_test(reads_durations),
		cmocka_unit_test(reads_rates),
		cmocka_unit_test(reads_statuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
