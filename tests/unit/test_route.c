/* Who gets a connection: by listener and name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/names.h"
#include "proxy/route.h"

/* Strings as the configuration has them. */
#define LIST(...)                                                                                  \
	{                                                                                          \
		(char **)(uintptr_t)(const char *[]){__VA_ARGS__},                                 \
			sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)                     \
	}

static struct servers servers;
static const char *resolved; /* the last name asked for */
static struct endpoints found;

static const struct endpoints *resolve(void *arg, const struct address *address)
{
	(void)arg;
	resolved = address->host;
	return &found;
}

static struct conf_server server(const char *text)
{
	struct conf_server s = {.weight = 1};
	struct error err;

	assert_int_equal(address_parse(&s.address, text, &err), 0);
	return s;
}

static void clear(struct conf_server *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		address_clear(&s[i].address);
}

static struct routes *build(const struct conf *conf, const char *const *names, size_t n)
{
	struct problems p = {0};
	struct trust *trust = trust_build(conf, &p);
	struct routes *r = routes_build(conf, trust, names, n, &servers, resolve, NULL);

	trust_unref(trust);
	return r;
}

static size_t route_of(const struct routes *r, size_t listener, const char *name)
{
	const struct route *found_route = routes_find(r, listener, name);

	return found_route ? (size_t)(found_route - r->v) : SIZE_MAX;
}

static void test_exact_wildcard_default(void **state)
{
	struct conf_server one[] = {server("127.0.0.1:1")};
	struct conf_route v[] = {
		{.hosts = LIST("*.a.test"), .servers = one, .n_servers = 1},
		{.hosts = LIST("www.a.test", "b.test"), .servers = one, .n_servers = 1},
		{.hosts = LIST("default"), .servers = one, .n_servers = 1},
	};
	struct conf conf = {.workers = 1, .routes = v, .n_routes = 3};
	struct routes *r = build(&conf, (const char *[]){NULL}, 1);

	(void)state;
	assert_int_equal(route_of(r, 0, "www.a.test"), 1);
	assert_int_equal(route_of(r, 0, "x.a.test"), 0);
	assert_int_equal(route_of(r, 0, "b.test"), 1);
	assert_int_equal(route_of(r, 0, "a.test"), 2);
	assert_int_equal(route_of(r, 0, "y.x.a.test"), 2);
	assert_int_equal(route_of(r, 0, ""), 2);
	assert_int_equal(route_of(r, 0, "default"), 2); /* the name, not the word */
	routes_unref(r);

	conf.n_routes = 2;
	r = build(&conf, (const char *[]){NULL}, 1);
	assert_int_equal(route_of(r, 0, "a.test"), SIZE_MAX);
	assert_int_equal(route_of(r, 0, ""), SIZE_MAX);
	assert_int_equal(route_of(r, 0, "default"), SIZE_MAX);
	routes_unref(r);
	clear(one, 1);
}

/* A route of some listeners only; a host in several routes on disjoint listeners. */
static void test_listeners(void **state)
{
	const char *names[] = {"in", NULL, "out"};
	struct conf_server one[] = {server("127.0.0.1:1")};
	struct conf_route v[] = {
		{.hosts = LIST("a.test", "default"),
			.listeners = LIST("in"),
			.servers = one,
			.n_servers = 1},
		{.hosts = LIST("a.test"), .listeners = LIST("out"), .servers = one, .n_servers = 1},
		{.hosts = LIST("b.test"), .servers = one, .n_servers = 1},
	};
	struct conf conf = {.workers = 1, .routes = v, .n_routes = 3};
	struct routes *r = build(&conf, names, 3);
	static const struct {
		size_t listener;
		const char *name;
		size_t route;
	} rows[] = {
		{0, "a.test", 0},
		{1, "a.test", SIZE_MAX},
		{2, "a.test", 1},
		{0, "c.test", 0},
		{1, "c.test", SIZE_MAX},
		{2, "", SIZE_MAX},
		{0, "b.test", 2},
		{1, "b.test", 2},
		{2, "b.test", 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(route_of(r, rows[i].listener, rows[i].name), rows[i].route);
	routes_unref(r);
	clear(one, 1);
}

static void test_servers_and_policy(void **state)
{
	struct conf_server three[] = {
		server("127.0.0.1:1"), server("unix:/run/a"), server("app.test:80")};
	struct conf_route v[] = {
		{.hosts = LIST("a.test"), .servers = three, .n_servers = 3, .connect_ms = 5},
		{.hosts = LIST("b.test"),
			.listeners = LIST("in", "out"),
			.servers = three,
			.n_servers = 1,
			.has_alpn = true,
			.min_version = 0x0304},
		{.hosts = LIST("b.test"),
			.listeners = LIST("in", "out"),
			.servers = three,
			.n_servers = 1,
			.tls = ROUTE_PASSTHROUGH,
			.has_alpn = true,
			.alpn = LIST("acme-tls/1")},
		{.hosts = LIST("c.test"),
			.servers = three,
			.n_servers = 1,
			.tls = ROUTE_PASSTHROUGH},
	};
	struct conf conf = {.workers = 3,
		.routes = v,
		.n_routes = 4,
		.tls = {.min_version = 0x0303, .alpn = LIST("h2", "http/1.1")}};
	struct endpoint two[2] = {{.len = 1}, {.len = 2}};
	struct routes *r;

	(void)state;
	three[1].weight = 7;
	three[1].backup = true;
	found = (struct endpoints){two, 2};
	r = build(&conf, (const char *[]){NULL}, 1);
	assert_string_equal(resolved, "app.test");
	assert_int_equal(r->v[0].n_targets, 3);
	assert_int_equal(r->v[0].targets[0].n, 1);
	assert_int_equal(r->v[0].targets[0].endpoints[0].sa.sa_family, AF_INET);
	assert_int_equal(r->v[0].targets[1].endpoints[0].sa.sa_family, AF_UNIX);
	assert_int_equal(r->v[0].targets[2].n, 2);
	assert_int_equal(r->v[0].targets[2].endpoints[1].len, 2);
	assert_string_equal(r->v[0].key, "a.test");
	assert_string_equal(r->v[1].key, "b.test@in,out");
	assert_string_equal(r->v[2].key, "b.test@in,out#alpn");
	assert_string_equal(r->v[3].key, "c.test");
	assert_ptr_not_equal(r->v[2].targets[0].server, r->v[1].targets[0].server);
	assert_ptr_not_equal(r->v[0].targets[0].server, r->v[1].targets[0].server);
	assert_int_equal(r->v[0].targets[0].weight, 1);
	assert_false(r->v[0].targets[0].backup);
	assert_int_equal(r->v[0].targets[1].weight, 7);
	assert_true(r->v[0].targets[1].backup);
	assert_int_equal(r->v[0].connect_ms, 5);

	assert_int_equal(r->v[0].policy.min_version, 0x0303);
	assert_int_equal(r->v[0].policy.alpn_len, 12);
	assert_memory_equal(r->v[0].policy.alpn, "\2h2\10http/1.1", 12);
	assert_int_equal(r->v[1].policy.min_version, 0x0304);
	assert_null(r->v[1].policy.alpn); /* its own, empty list wins */
	routes_unref(r);

	found = (struct endpoints){0}; /* not resolved yet */
	r = build(&conf, (const char *[]){NULL}, 1);
	assert_int_equal(r->v[0].targets[2].n, 0);
	assert_non_null(r->v[0].targets[2].server);
	routes_unref(r);
	clear(three, 3);
}

static size_t passed_to(
	const struct routes *r, size_t listener, const char *name, const char *alpn, size_t len)
{
	const struct route *to =
		routes_find_passthrough(r, listener, name, (const unsigned char *)alpn, len);

	return to ? (size_t)(to - r->v) : SIZE_MAX;
}

/* By name, and by a protocol that a client offers, whatever route has the name. */
static void test_passthrough(void **state)
{
	struct conf_server one[] = {server("127.0.0.1:1")};
	struct conf_route v[] = {
		{.hosts = LIST("a.test"), .servers = one, .n_servers = 1},
		{.hosts = LIST("b.test", "*.b.test"),
			.tls = ROUTE_PASSTHROUGH,
			.servers = one,
			.n_servers = 1},
		{.hosts = LIST("a.test", "*.b.test"),
			.listeners = LIST("in"),
			.tls = ROUTE_PASSTHROUGH,
			.has_alpn = true,
			.alpn = LIST("acme-tls/1", "x"),
			.servers = one,
			.n_servers = 1},
	};
	struct conf conf = {.workers = 1, .routes = v, .n_routes = 3};
	const char *names[] = {"in", "out"};
	struct routes *r = build(&conf, names, 2);

	(void)state;
	assert_true(r->by_listener[0].passes);
	assert_true(r->by_listener[1].passes);
	assert_int_equal(passed_to(r, 0, "a.test", NULL, 0), SIZE_MAX);
	assert_int_equal(passed_to(r, 0, "", NULL, 0), SIZE_MAX);
	assert_int_equal(passed_to(r, 0, "b.test", NULL, 0), 1);
	assert_int_equal(passed_to(r, 1, "c.b.test", NULL, 0), 1);
	assert_int_equal(passed_to(r, 0, "a.test", "\2h2\1x", 5), 2);
	assert_int_equal(passed_to(r, 1, "a.test", "\2h2\1x", 5), SIZE_MAX); /* elsewhere */
	assert_int_equal(passed_to(r, 0, "c.b.test", "\12acme-tls/1", 11), 2);
	assert_int_equal(passed_to(r, 0, "c.b.test", "\11acme-tls/", 10), 1);
	assert_int_equal(passed_to(r, 0, "b.test", "\1x", 2), 1); /* not one of its names */
	/* What is malformed offers nothing more. */
	assert_int_equal(passed_to(r, 0, "a.test", "\5x", 2), SIZE_MAX);
	assert_int_equal(passed_to(r, 0, "a.test", "\0\0\1", 3), SIZE_MAX);
	assert_int_equal(passed_to(r, 0, "a.test", "\0\1x\7", 4), 2);
	routes_unref(r);

	conf.n_routes = 1;
	r = build(&conf, names, 2);
	assert_false(r->by_listener[0].passes);
	routes_unref(r);
	clear(one, 1);
}

static int teardown(void **state)
{
	(void)state;
	servers_clear(&servers);
	return 0;
}

static void assert_https_port(struct conf *conf, uint16_t port)
{
	const char *names[3] = {NULL, NULL, NULL};
	struct routes *r = build(conf, names, conf->n_listens);

	assert_int_equal(r->by_listener[0].https_port, port);
	routes_unref(r);
}

/* No route is on it; unless it is told another port it sends clients to the first listener that
 * takes TLS from the network. */
static void test_listeners_that_redirect(void **state)
{
	struct conf_server one[] = {server("127.0.0.1:1")};
	struct conf_route v[] = {{.hosts = LIST("default"), .servers = one, .n_servers = 1}};
	struct conf_listen listens[] = {
		{.address = {.kind = ADDRESS_ANY, .port = 80}, .redirect = 1},
		{.address = {.kind = ADDRESS_UNIX}},
		{.address = {.kind = ADDRESS_IP, .port = 8443}},
	};
	struct conf conf = {
		.workers = 1, .routes = v, .n_routes = 1, .listens = listens, .n_listens = 3};
	const char *names[3] = {NULL, NULL, NULL};
	struct routes *r = build(&conf, names, 3);

	(void)state;
	assert_true(r->by_listener[0].redirects);
	assert_false(r->by_listener[2].redirects);
	assert_int_equal(route_of(r, 0, ""), SIZE_MAX);
	assert_int_equal(route_of(r, 1, ""), 0);
	routes_unref(r);
	assert_https_port(&conf, 8443);
	conf.n_listens = 2;
	assert_https_port(&conf, 443);
	listens[0].redirect_port = 65535;
	assert_https_port(&conf, 65535);
	clear(one, 1);
	servers_clear(&servers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact_wildcard_default),
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_servers_and_policy),
		cmocka_unit_test(test_passthrough),
		cmocka_unit_test(test_listeners_that_redirect),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
