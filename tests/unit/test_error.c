#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static void test_set_and_prefix(void **state)
{
	struct error err = {0};

	assert_int_equal(error_set(&err, "%s is missing", "key"), -1);
	assert_string_equal(err.text, "key is missing");
	assert_int_equal(error_prefix(&err, "extra[%d]", 2), -1);
	assert_string_equal(err.text, "extra[2]: key is missing");
	assert_int_equal(error_append(&err, "give %s", "one"), -1);
	assert_string_equal(err.text, "extra[2]: key is missing; give one");
}

static void test_errno(void **state)
{
	struct error err;

	errno = ENOENT;
	assert_int_equal(error_set_errno(&err, "cannot open %s", "/x"), -1);
	assert_string_equal(err.text, "cannot open /x: No such file or directory");
}

static void test_nobody_cares(void **state)
{
	assert_int_equal(error_set(NULL, "x"), -1);
	assert_int_equal(error_set_errno(NULL, "x"), -1);
	assert_int_equal(error_prefix(NULL, "x"), -1);
	assert_int_equal(error_append(NULL, "x"), -1);
}

static void test_long_sentences_are_cut(void **state)
{
	char big[3 * ERROR_MAX];
	struct error err;

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	error_set(&err, "%s", big);
	assert_int_equal(strlen(err.text), ERROR_MAX - 1);
	assert_string_equal(err.text + ERROR_MAX - 4, "...");
	error_prefix(&err, "front");
	assert_memory_equal(err.text, "front: aaa", 10);
	assert_int_equal(strlen(err.text), ERROR_MAX - 1);
	error_append(&err, "behind");
	assert_true(strlen(err.text) < ERROR_MAX - 100); /* more may come in front */
	assert_non_null(strstr(err.text, "; behind"));
	error_append(&err, "%s", big);
	assert_int_equal(strlen(err.text), ERROR_MAX - 1);
	errno = EACCES;
	error_set_errno(&err, "%s", big);
	assert_int_equal(strlen(err.text), ERROR_MAX - 1);
}

static void test_problems(void **state)
{
	struct problems p = {0};

	problems_clear(&p);
	for (int i = 0; i < PROBLEMS_MAX + 5; i++)
		problems_add(&p, "problem %d", i);
	assert_int_equal(p.n, PROBLEMS_MAX + 1);
	assert_string_equal(p.lines[0], "problem 0");
	assert_string_equal(p.lines[PROBLEMS_MAX - 1], "problem 999");
	assert_non_null(strstr(p.lines[PROBLEMS_MAX], "more problems"));
	problems_clear(&p);
	assert_int_equal(p.n, 0);
	assert_null(p.lines);
	problems_add(&p, "again");
	assert_string_equal(p.lines[0], "again");
	problems_clear(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_and_prefix),
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_nobody_cares),
		cmocka_unit_test(test_long_sentences_are_cut),
		cmocka_unit_test(test_problems),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
