#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

static void test_growth(void **state)
{
	int *array = NULL;

	for (size_t n = 0; n < 1000; n++) {
		int *p = mem_grow(&array, n, sizeof(*array));

		assert_ptr_equal(p, &array[n]);
		assert_int_equal(*p, 0);
		*p = (int)n + 1;
	}
	for (size_t n = 0; n < 1000; n++)
		assert_int_equal(array[n], n + 1);
	free(array);
}

/* An element taken away and added again is zeroed, at a power of two too. */
static void test_growth_after_removal(void **state)
{
	int *array = NULL;

	for (size_t n = 0; n < 9; n++)
		*(int *)mem_grow(&array, n, sizeof(*array)) = 7;
	for (size_t n = 4; n < 9; n++) {
		int *p = mem_grow(&array, n, sizeof(*array));

		assert_int_equal(*p, 0);
		*p = 8;
	}
	assert_int_equal(array[3], 7);
	assert_int_equal(array[8], 8);
	free(array);
}

static void test_copies(void **state)
{
	char *s = mem_strdup("abc"), *t = mem_strndup("abcdef", 2),
	     *u = mem_printf("%d-%s", 5, "x");
	char *d = mem_dup("a\0b", 3), *z = mem_zalloc(4);

	assert_null(mem_strdup(NULL));
	assert_string_equal(s, "abc");
	assert_string_equal(t, "ab");
	assert_string_equal(u, "5-x");
	assert_memory_equal(d, "a\0b", 3);
	assert_memory_equal(z, "\0\0\0\0", 4);
	free(s);
	free(t);
	free(u);
	free(d);
	free(z);
}

static void test_nothing_is_something(void **state)
{
	void *a = mem_alloc(0), *b = mem_zalloc(0), *c = mem_dup(NULL, 0);
	void *d = mem_realloc_array(NULL, 0, 8);

	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
	assert_non_null(d);
	free(a);
	free(b);
	free(c);
	free(d);
}

static void test_overflow_aborts(void **state)
{
	volatile size_t many = SIZE_MAX / 2;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDERR_FILENO);
		signal(SIGABRT, SIG_DFL); /* cmocka's own handler would go on with the tests */
		mem_realloc_array(NULL, many, 16);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(
		(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) ||
		(WIFEXITED(status) && WEXITSTATUS(status) != 0)); /* a sanitizer ends it itself */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_growth_after_removal),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_nothing_is_something),
		cmocka_unit_test(test_overflow_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
