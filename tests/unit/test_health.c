/* When servers go down and come up, and who is checked. What the checks themselves find is
 * tests/e2e/test_health.py's. */
#include "proxy/health.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conffile.h"

/* Results in their order, "+" and "-", and at which of them it goes down ("d") or up ("u"). */
static void test_rows(void **state)
{
	static const struct {
		unsigned rise, fall;
		const char *results, *changes;
	} all[] = {
		{2, 3, "+++--+--+---", "...........d"},
		{2, 3, "---+-+++-+--", "..d...u....."},
		{2, 3, "---------+++", "..d.......u."},
		{1, 1, "+-+-", ".dud"},
		{1, 2, "-+--+", "...du"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct health_row row = {0};
		bool down = false;

		for (size_t n = 0; all[i].results[n]; n++) {
			bool turn = health_count(
				&row, down, all[i].results[n] == '+', all[i].rise, all[i].fall);

			if (turn)
				down = !down;
			if ((turn ? down ? 'd' : 'u' : '.') != all[i].changes[n])
				fail_msg("%zu: %zu", i, n);
		}
	}
}

/* Bad results until a worker takes it out are no good ones afterwards. */
static void test_taken_out_meanwhile(void **state)
{
	struct health_row row = {0};

	(void)state;
	assert_false(health_count(&row, false, false, 2, 4));
	assert_false(health_count(&row, false, false, 2, 4));
	assert_false(health_count(&row, true, true, 2, 4));
	assert_true(health_count(&row, true, true, 2, 4));
}

struct stage {
	struct conf *conf;
	struct servers servers;
	struct routes *routes;
	struct event_base *base;
	struct health *health;
};

static void publish(struct stage *s, const char *backends)
{
	const char *const listeners[] = {NULL};
	char text[1024];
	struct problems p = {0};
	struct trust *trust;

	snprintf(text, sizeof(text), "listen: [{ address: ':443' }]\nroutes: [%s]\n", backends);
	conffile_write(conffile_path, text);
	conf_unref(s->conf);
	s->conf = conf_load(conffile_path, &p);
	for (size_t i = 0; i < p.n; i++)
		fail_msg("%s", p.lines[i]);
	routes_unref(s->routes);
	trust = trust_build(s->conf, &p);
	s->routes = routes_build(s->conf, trust, listeners, 1, &s->servers, NULL, NULL);
	trust_unref(trust);
	health_update(s->health, s->conf, s->routes);
	servers_sweep(&s->servers);
}

static struct server *server_at(const struct stage *s, size_t route, size_t target)
{
	return s->routes->v[route].targets[target].server;
}

static void test_who_is_checked(void **state)
{
	struct stage s = {.base = event_base_new()};
	struct server *a, *b;
	struct error err;

	(void)state;
	s.health = health_new(s.base, &err);
	assert_non_null(s.health);
	publish(&s, "{ hosts: [a], backends: ['127.0.0.1:1', '127.0.0.1:2'] }");
	a = server_at(&s, 0, 0);
	b = server_at(&s, 0, 1);
	assert_null(a->watch);
	assert_int_equal(s.routes->v[0].fall, 3);
	server_set_down(a, true); /* as a worker does */
	health_tick(s.health);
	assert_non_null(a->watch);
	assert_null(b->watch);

	/* a reload: it is still who it was */
	publish(&s, "{ hosts: [a], backends: ['127.0.0.1:1', '127.0.0.1:2'],"
		    " health_check: { type: tcp, fall: 7 }, slow_start: 3s }");
	assert_ptr_equal(server_at(&s, 0, 0), a);
	assert_true(atomic_load(&a->down));
	assert_non_null(a->watch);
	assert_non_null(b->watch);
	assert_int_equal(s.routes->v[0].fall, 7);
	assert_int_equal(s.routes->v[0].slow_start_ms, 3000);

	/* those that are gone are looked at no more */
	server_ref(b);
	publish(&s, "{ hosts: [a], backends: ['127.0.0.1:1'], health_check: { type: tcp } }");
	assert_null(b->watch);
	server_unref(b);
	health_free(s.health);
	assert_null(a->watch);
	routes_unref(s.routes);
	conf_unref(s.conf);
	servers_clear(&s.servers);
	event_base_free(s.base);
}

static void turn_until(struct stage *s, bool (*done)(const struct server *), size_t target)
{
	for (int i = 0; i < 2000 && !done(server_at(s, 0, target)); i++) {
		event_base_loop(s->base, EVLOOP_NONBLOCK);
		usleep(10000);
	}
	assert_true(done(server_at(s, 0, target)));
}

static bool is_down(const struct server *s)
{
	return atomic_load(&s->down);
}

static bool was_checked(const struct server *s)
{
	return s->checks_bad > 0;
}

/* One that was disabled by hand is left alone until it is enabled. */
static void test_disabled(void **state)
{
	struct stage s = {.base = event_base_new()};
	struct server *off;
	struct error err;

	(void)state;
	s.health = health_new(s.base, &err);
	publish(&s, "{ hosts: [a], backends: ['unix:/nonexistent/1', 'unix:/nonexistent/2'],"
		    " health_check: { type: tcp, interval: 10ms, fall: 2 } }");
	off = server_at(&s, 0, 0);
	atomic_store(&off->mode, SERVER_DISABLED);
	turn_until(&s, is_down, 1);
	assert_int_equal(off->checks_bad, 0);
	atomic_store(&off->mode, SERVER_DRAIN);
	health_tick(s.health);
	turn_until(&s, was_checked, 0);
	health_free(s.health);
	routes_unref(s.routes);
	conf_unref(s.conf);
	servers_clear(&s.servers);
	event_base_free(s.base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_taken_out_meanwhile),
		cmocka_unit_test(test_who_is_checked),
		cmocka_unit_test(test_disabled),
	};

	return cmocka_run_group_tests(tests, conffile_set_up, conffile_tear_down);
}
