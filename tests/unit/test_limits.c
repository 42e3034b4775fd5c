/* The crowds of routes: one for each key with a limit, over reloads, for as long as it is used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/route.h"

static struct crowd *attach(struct crowds *all, char *key, uint64_t limit)
{
	struct route route = {.key = key, .max_connections = limit};
	struct routes routes = {.v = &route, .n = 1};

	crowds_attach(all, &routes);
	return route.crowd;
}

static void test_crowds(void **state)
{
	char a[] = "a.example", b[] = "a.example@internal";
	struct crowds all = {0};
	struct crowd *first = attach(&all, a, 5), *again = attach(&all, a, 6),
		     *other = attach(&all, b, 5);

	(void)state;
	assert_ptr_equal(first, again);
	assert_ptr_not_equal(first, other);
	assert_null(attach(&all, a, 0));
	atomic_store(&first->connections, 3);
	crowd_unref(first);
	crowds_sweep(&all);
	first = attach(&all, a, 7); /* `again` has kept it */
	assert_int_equal(atomic_load(&first->connections), 3);
	crowd_unref(first);
	crowd_unref(again);
	crowds_sweep(&all);
	first = attach(&all, a, 7);
	assert_int_equal(atomic_load(&first->connections), 0);
	crowd_unref(first);
	crowds_clear(&all);
	assert_string_equal(other->keyed.key, b);
	crowd_unref(other);
	crowd_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_crowds)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
