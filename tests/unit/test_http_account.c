#include "http/account.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

static struct limits within(int64_t ms)
{
	return (struct limits){.deadline_ms = clock_mono_ms() + ms};
}

/* The same for the same credentials of the same provider, whoever asks. */
static void test_found_again(void **state)
{
	struct http_account *a = http_account_get("one", "secret", 0, 0);

	(void)state;
	assert_ptr_equal(http_account_get("one", "secret", 0, 0), a);
	assert_ptr_not_equal(http_account_get("one", "other", 0, 0), a);
	assert_ptr_not_equal(http_account_get("two", "secret", 0, 0), a);
}

/* So many at once, then one each time that a part of the period is over. */
static void test_rate(void **state)
{
	struct http_account *a = http_account_get("rate", "x", 3, 3000);
	struct limits l = within(100);
	struct error err;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(http_account_ask(a, &l, NULL), 0);
	assert_int_equal(http_account_ask(a, &l, &err), -1);
	assert_string_equal(err.text,
		"the provider's limit of 3 requests in 3 s is used up, and the "
		"next one would be too late");
	l = within(60000);
	assert_int_equal(http_account_ask(a, &l, NULL), 0); /* a second later */
	l = within(100);
	assert_int_equal(http_account_ask(a, &l, NULL), -1);
}

static void test_no_rate(void **state)
{
	struct http_account *a = http_account_get("no rate", "x", 0, 0);
	struct limits l = within(0);

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(http_account_ask(a, &l, NULL), 0);
}

static void test_told_to_stop(void **state)
{
	struct http_account *a = http_account_get("stop", "x", 1, 3600000);
	struct limits l = within(7200000);
	struct stop stop;
	struct error err;

	(void)state;
	assert_int_equal(stop_init(&stop, &err), 0);
	assert_int_equal(http_account_ask(a, &l, NULL), 0);
	assert_int_equal(http_account_enter(a, HTTP_TOKEN, &l, NULL), 0);
	stop_set(&stop);
	l.stop = &stop;
	assert_int_equal(http_account_ask(a, &l, &err), -1);
	assert_string_equal(err.text, "stopped");
	assert_int_equal(http_account_enter(a, HTTP_TOKEN, &l, &err), -1);
	assert_string_equal(err.text, "stopped");
	http_account_leave(a, HTTP_TOKEN);
	stop_clear(&stop);
}

struct race {
	struct http_account *account;
	int shared; /* no atomic: its guard is what is tested */
};

static void *add(void *arg)
{
	struct race *r = arg;

	for (int i = 0; i < 100; i++) {
		struct limits l = within(60000);

		assert_int_equal(http_account_enter(r->account, HTTP_CHANGE, &l, NULL), 0);
		r->shared++;
		http_account_leave(r->account, HTTP_CHANGE);
	}
	return NULL;
}

static void test_one_at_a_time(void **state)
{
	struct race r = {.account = http_account_get("turns", "x", 0, 0)};
	struct limits l = within(1);
	pthread_t threads[4];
	struct error err;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add, &r), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(r.shared, 400);
	l = within(60000);
	assert_int_equal(http_account_enter(r.account, HTTP_CHANGE, &l, NULL), 0);
	assert_int_equal(http_account_enter(r.account, HTTP_TOKEN, &l, NULL), 0);
	l = within(0);
	assert_int_equal(http_account_enter(r.account, HTTP_CHANGE, &l, &err), -1);
	assert_string_equal(err.text, "another order with the same account takes too long");
	http_account_leave(r.account, HTTP_TOKEN);
	http_account_leave(r.account, HTTP_CHANGE);
}

/* A token is not given out when it is about to end. */
static void test_token(void **state)
{
	struct http_account *a = http_account_get("token", "x", 0, 0);
	char *token;

	(void)state;
	assert_null(http_account_token(a));
	http_account_set_token(a, "t1", 3600);
	token = http_account_token(a);
	assert_string_equal(token, "t1");
	free(token);
	http_account_set_token(a, "t2", 0);
	assert_null(http_account_token(a));
	http_account_set_token(a, "t3", 100);
	token = http_account_token(a);
	assert_string_equal(token, "t3");
	free(token);
	http_account_set_token(a, NULL, 0);
	assert_null(http_account_token(a));
}

static void test_clock(void **state)
{
	struct http_account *a = http_account_get("clock", "x", 0, 0);
	int64_t delta;

	(void)state;
	assert_false(http_account_clock(a, &delta));
	http_account_set_clock(a, -7);
	assert_true(http_account_clock(a, &delta));
	assert_int_equal(delta, -7);
	http_account_forget_clock(a);
	assert_false(http_account_clock(a, &delta));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found_again),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_no_rate),
		cmocka_unit_test(test_told_to_stop),
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
