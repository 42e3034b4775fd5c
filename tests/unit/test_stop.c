#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/stop.h"

#define LONG_MS 600000 /* nobody waits that long */

static void test_waits(void **state)
{
	int64_t before = clock_mono_us();
	struct stop s;

	(void)state;
	assert_int_equal(stop_init(&s, NULL), 0);
	assert_false(stop_is_set(&s));
	assert_false(stop_wait(&s, 20));
	assert_true(clock_mono_us() - before >= 19000);
	assert_false(stop_wait(&s, 0));
	stop_clear(&s);
}

static void test_never(void **state)
{
	(void)state;
	assert_false(stop_is_set(NULL));
	assert_false(stop_wait(NULL, 10));
}

static void *set_it(void *arg)
{
	stop_set(arg);
	return NULL;
}

static void test_ends_a_wait(void **state)
{
	struct stop s;
	pthread_t thread;

	(void)state;
	assert_int_equal(stop_init(&s, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, set_it, &s), 0);
	assert_true(stop_wait(&s, LONG_MS));
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(stop_is_set(&s));
	assert_true(stop_wait(&s, LONG_MS)); /* it stays set */
	stop_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_ends_a_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
