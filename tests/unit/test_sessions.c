/* The sessions with servers that are kept: the newest for a key, so many, so long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tls/sessions.h"

static SSL_SESSION *put(struct sessions *all, const char *key, int64_t until)
{
	SSL_SESSION *session = SSL_SESSION_new();

	assert_non_null(session);
	sessions_put(all, key, session, until);
	return session;
}

static void test_newest_for_a_key(void **state)
{
	struct sessions *all = sessions_new(10);
	SSL_SESSION *a, *b;

	(void)state;
	assert_null(sessions_get(all, "a", 0));
	put(all, "a", 100);
	a = put(all, "a", 100);
	b = put(all, "b", 100);
	assert_ptr_equal(sessions_get(all, "a", 0), a);
	assert_ptr_equal(sessions_get(all, "b", 0), b);
	assert_ptr_equal(sessions_get(all, "a", 0), a); /* it stays */
	assert_null(sessions_get(all, "ab", 0));
	sessions_free(all);
}

static void test_time(void **state)
{
	struct sessions *all = sessions_new(10);
	SSL_SESSION *a = put(all, "a", 100);

	(void)state;
	assert_ptr_equal(sessions_get(all, "a", 99), a);
	assert_null(sessions_get(all, "a", 100));
	assert_null(sessions_get(all, "a", 0)); /* it was dropped */
	sessions_free(all);
}

static void test_the_least_recently_used_goes(void **state)
{
	struct sessions *all = sessions_new(3);

	(void)state;
	put(all, "a", 100);
	put(all, "b", 100);
	put(all, "c", 100);
	assert_non_null(sessions_get(all, "a", 0));
	put(all, "d", 100);
	assert_null(sessions_get(all, "b", 0));
	put(all, "c", 100); /* in the place of its own */
	assert_non_null(sessions_get(all, "a", 0));
	assert_non_null(sessions_get(all, "c", 0));
	assert_non_null(sessions_get(all, "d", 0));
	sessions_free(all);
	sessions_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_newest_for_a_key),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_the_least_recently_used_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
