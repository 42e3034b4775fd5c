/* Servers: the registry, and what connects tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/server.h"

static struct address address(const char *text)
{
	struct address a;
	struct error err;

	assert_int_equal(address_parse(&a, text, &err), 0);
	return a;
}

/* A server keeps what is known of it while a route or a session refers to it, and is forgotten
 * after. */
static void test_registry(void **state)
{
	struct address a[] = {
		address("127.0.0.1:1"), address("127.0.0.1:2"), address("127.0.0.1:3")};
	struct server *held[3], *other, *again;
	struct servers all = {0};

	(void)state;
	for (int i = 0; i < 3; i++)
		held[i] = servers_get(&all, "a.test", &a[i]);
	other = servers_get(&all, "b.test", &a[1]);
	assert_ptr_not_equal(other, held[1]); /* another route's */
	server_unref(other);
	atomic_store(&held[1]->connects, 7);
	server_unref(held[0]);
	server_unref(held[2]);
	servers_sweep(&all);
	again = servers_get(&all, "a.test", &a[1]);
	assert_ptr_equal(again, held[1]);
	assert_int_equal(again->connects, 7);
	server_unref(again);
	server_unref(held[1]);
	servers_sweep(&all);
	again = servers_get(&all, "a.test", &a[1]);
	assert_int_equal(again->connects, 0);
	servers_clear(&all);
	server_unref(again); /* a session's, which outlives the registry */
	for (int i = 0; i < 3; i++)
		address_clear(&a[i]);
}

/* A server that left the routes and is back is another one, also where a session has the first. */
static void test_back_again(void **state)
{
	struct address a = address("127.0.0.1:1");
	struct servers all = {0};
	struct server *s, *again;

	(void)state;
	servers_begin(&all);
	s = servers_get(&all, "a.test", &a);
	server_set_mode(s, SERVER_DRAIN);
	servers_begin(&all);
	again = servers_get(&all, "a.test", &a);
	assert_ptr_equal(again, s);
	server_unref(again);
	servers_begin(&all);
	servers_begin(&all);
	again = servers_get(&all, "a.test", &a);
	assert_ptr_not_equal(again, s);
	assert_int_equal(again->mode, SERVER_ENABLED);
	assert_string_equal(s->address.text, "127.0.0.1:1");
	server_unref(s);
	server_unref(again);
	servers_clear(&all);
	address_clear(&a);
}

/* The last one is kept, in what a terminal may show. */
static void test_last_failure(void **state)
{
	struct address a = address("127.0.0.1:1");
	struct servers all = {0};
	struct server *s = servers_get(&all, "a.test", &a);
	struct server_failure f;
	char longer[1000];

	(void)state;
	assert_false(server_last_failure(s, &f));
	server_note_failure(s, "cannot connect", "Connection refused");
	assert_true(server_last_failure(s, &f));
	assert_string_equal(f.text, "cannot connect: Connection refused");
	assert_true(f.time > 0);
	server_note_failure(s, "its check failed", "\"a\x1b\xc3\xbc\x7f\n\"");
	server_connected(s); /* what was is still worth knowing */
	assert_true(server_last_failure(s, &f));
	assert_string_equal(f.text, "its check failed: \"a?????\"");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	server_note_failure(s, "cannot connect", longer);
	server_last_failure(s, &f);
	assert_int_equal(strlen(f.text), sizeof(f.text) - 1);
	server_unref(s);
	servers_clear(&all);
	address_clear(&a);
}

static void test_failures_in_a_row(void **state)
{
	struct address a = address("127.0.0.1:1");
	struct servers all = {0};
	struct server *s = servers_get(&all, "a.test", &a);

	(void)state;
	assert_true(server_is_usable(s));
	assert_false(server_failed(s, 3));
	assert_false(server_failed(s, 3));
	server_connected(s); /* begins anew */
	assert_false(server_failed(s, 3));
	assert_false(server_failed(s, 3));
	assert_true(server_is_usable(s));
	assert_true(server_failed(s, 3));
	assert_false(server_is_usable(s));
	assert_true(s->since > 0);
	assert_false(server_failed(s, 3)); /* told once */
	assert_int_equal(s->failures, 6);
	assert_int_equal(s->connects, 1);
	assert_true(server_set_down(s, false));
	assert_false(server_set_down(s, false));
	assert_int_equal(s->changes, 2);
	assert_true(server_is_usable(s));
	for (int i = 0; i < 100; i++)
		assert_false(server_failed(s, 0)); /* never */
	server_unref(s);
	servers_clear(&all);
	address_clear(&a);
}

static void test_by_hand(void **state)
{
	struct address a = address("127.0.0.1:1");
	struct servers all = {0};
	struct server *s = servers_get(&all, "a.test", &a);

	(void)state;
	assert_int_equal(s->since, 0);
	server_begin(s);
	assert_true(s->since > 0);
	s->since = 1;
	server_begin(s); /* it has begun */
	assert_false(server_set_mode(s, SERVER_ENABLED));
	assert_int_equal(s->since, 1);
	assert_true(server_set_mode(s, SERVER_DRAIN));
	assert_false(server_is_usable(s));
	assert_true(s->since > 1);
	assert_true(server_set_mode(s, SERVER_DISABLED));
	assert_false(server_is_usable(s));
	server_set_down(s, true);
	assert_true(server_set_mode(s, SERVER_ENABLED));
	assert_false(server_is_usable(s)); /* what its health says holds */
	server_set_down(s, false);
	assert_true(server_is_usable(s));
	server_unref(s);
	servers_clear(&all);
	address_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registry),
		cmocka_unit_test(test_back_again),
		cmocka_unit_test(test_last_failure),
		cmocka_unit_test(test_failures_in_a_row),
		cmocka_unit_test(test_by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
