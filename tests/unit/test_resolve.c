/* When names are looked up: at once, and after failures. Jobs are run here, by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "resolve.h"

static struct job *waiting;
static unsigned submitted, changes;
static bool full;

/* In place of the real one. */
bool jobs_submit(struct jobs *j, struct job *job)
{
	(void)j;
	if (full)
		return false;
	assert_null(waiting);
	waiting = job;
	submitted++;
	return true;
}

static void look(void)
{
	struct job *job = waiting;

	waiting = NULL;
	job->run(job);
	job->done(job);
}

static void changed(void *arg)
{
	(void)arg;
	changes++;
}

static void test_when(void **state)
{
	struct servers servers = {0};
	struct address a;
	struct target target = {0};
	struct route route = {.targets = &target, .n_targets = 1};
	struct routes routes = {.v = &route, .n = 1};
	struct resolver *r = resolver_new(NULL, changed, NULL);
	const struct endpoints *found;

	(void)state;
	assert_int_equal(address_parse(&a, "localhost:1", NULL), 0);
	target.server = servers_get(&servers, "a.test", &a);
	found = resolver_get(r, &a);
	assert_int_equal(submitted, 1);
	assert_int_equal(found->n, 0);
	look();
	assert_true(found->n > 0);
	assert_int_equal(changes, 1);
	resolver_get(r, &a);
	resolver_tick(r, &routes);
	assert_int_equal(submitted, 1); /* half a minute is not over */
	/* A connect that has failed; the one after it while the name is looked up. */
	atomic_fetch_add(&target.server->failures, 1);
	resolver_tick(r, &routes);
	assert_int_equal(submitted, 2);
	atomic_fetch_add(&target.server->failures, 1);
	resolver_tick(r, &routes);
	assert_int_equal(submitted, 2);
	look();
	resolver_tick(r, &routes);
	assert_int_equal(submitted, 3);
	look();
	resolver_tick(r, &routes);
	assert_int_equal(submitted, 3);
	/* A check; there is no room for the job at first. */
	target.server->checks_bad++;
	full = true;
	resolver_tick(r, &routes);
	full = false;
	assert_int_equal(submitted, 3);
	resolver_tick(r, &routes);
	assert_int_equal(submitted, 4);
	look();
	assert_int_equal(changes, 1);
	/* Nobody wants it any more. */
	resolver_begin(r);
	resolver_end(r);
	resolver_get(r, &a);
	assert_int_equal(submitted, 5);
	look();
	resolver_free(r);
	server_unref(target.server);
	servers_clear(&servers);
	address_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_when)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
