/* Routes as the admin listener tells them, and servers that are taken out through it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adminpeer.h"
#include "base/mem.h"

#define SERVER_JSON(address, weight, backup, state, since, up, mode, down, counters)               \
	"{\"address\":\"" address "\",\"weight\":" weight ",\"backup\":" backup                    \
	",\"state\":\"" state "\",\"since\":" since ",\"up\":" up ",\"mode\":\"" mode              \
	"\",\"down\":" down "," counters "}"
#define NO_COUNTS "\"active\":0,\"connects\":0,\"failures\":0,\"last_failure\":null"

static void routes_are_told(void **state)
{
	struct json_object *o;

	fill_routes();
	start(NULL);
	o = fetch_json("/api/v1/routes");
	assert_json(o, "/total", "3");
	assert_json(o, "/routes/0/key", "\"app.example\"");
	assert_json(o, "/routes/0/hosts", "[\"app.example\",\"*.app.example\"]");
	assert_json(o, "/routes/0/hosts_total", "2");
	assert_json(o, "/routes/0/listeners", "[]");
	assert_json(o, "/routes/0/balance", "\"source\"");
	assert_json(o, "/routes/0/servers_total", "3");
	assert_json(o, "/routes/0/servers/0",
		SERVER_JSON("127.0.0.1:8080", "1", "false", "up", "1234", "true", "enabled",
			"false",
			"\"active\":1,\"connects\":2,\"failures\":3,\"last_failure\":null"));
	assert_json(o, "/routes/0/servers/1",
		SERVER_JSON("a\\\"b\\\\c:1", "7", "true", "no address", "null", "false", "enabled",
			"false",
			"\"active\":4,\"connects\":5,\"failures\":6,\"last_failure\":{"
			"\"time\":1234,\"message\":\"its check failed: \\\"no\\\"\"}"));
	assert_json(o, "/routes/1/servers/0",
		SERVER_JSON("127.0.0.1:9", "0", "false", "drain", "null", "false", "drain", "true",
			NO_COUNTS));
	assert_json(o, "/routes/2/key", "\"*.app.example@b,a\"");
	assert_json(o, "/routes/2/listeners", "[\"b\",\"a\"]");
	assert_json(o, "/routes/2/balance", "\"round_robin\"");
	assert_json(o, "/routes/0/tls", "\"terminate\"");
	assert_json(o, "/routes/2/tls", "\"passthrough\"");
	assert_json(o, "/routes/1/proxy_protocol", "\"none\"");
	assert_json(o, "/routes/2/proxy_protocol", "\"v2\"");
	assert_json(o, "/routes/2/servers/0",
		SERVER_JSON("127.0.0.1:9", "0", "false", "disabled", "null", "false", "disabled",
			"false", NO_COUNTS));
	assert_json(o, "/routes/2/servers/1/state", "\"down\"");
	json_object_put(o);
}

/* What is listed one by one has an end. */
static void long_lists_are_cut(void **state)
{
	static char host[] = "a.example";
	size_t n = 1500;
	char **hosts = mem_zalloc(n * sizeof(*hosts));
	struct admin_server *servers = mem_zalloc(n * sizeof(*servers));
	struct conf_route conf = {.hosts = {hosts, n}};
	struct admin_route *routes = mem_zalloc(n * sizeof(*routes));
	struct json_object *o, *list;
	size_t parts = 0;

	for (size_t i = 0; i < n; i++) {
		hosts[i] = host;
		servers[i].address = "127.0.0.1:1";
		routes[i] = (struct admin_route){host, &conf, servers, n};
	}
	d.view.routes = routes;
	d.view.n_routes = n;
	start(NULL);
	o = fetch_json("/api/v1/routes");
	assert_json(o, "/total", "1500");
	assert_json(o, "/routes/999/servers_total", "1500");
	assert_int_equal(json_pointer_get(o, "/routes", &list), 0);
	assert_int_equal(json_object_array_length(list), 1000);
	for (size_t i = 0; i < 1000; i++) {
		struct json_object *r = json_object_array_get_idx(list, i), *hs, *ss;

		assert_true(json_object_object_get_ex(r, "hosts", &hs));
		assert_true(json_object_object_get_ex(r, "servers", &ss));
		assert_true(json_object_array_length(hs) <= 1000);
		parts += json_object_array_length(hs) + json_object_array_length(ss);
	}
	assert_int_equal(parts, 10000);
	json_object_put(o);
	stop(NULL);
	free(hosts);
	free(servers);
	free(routes);
}

/* What a change by hand is answered. Static storage of one answer. */
static const char *order(const char *body)
{
	char request[2048];

	snprintf(request, sizeof(request),
		"POST /api/v1/routes HTTP/1.1\r\n" HOST
		"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		strlen(body), body);
	return ask(request);
}

#define ORDER(route, server, mode)                                                                 \
	"{\"route\":\"" route "\",\"server\":\"" server "\",\"mode\":\"" mode "\"}"

static void assert_done(const char *answer, size_t route, size_t server, const char *body)
{
	if (status_of(answer) != 200)
		fail_msg("%s", answer);
	assert_has(body_of(answer), body);
	assert_int_equal(d.route, route);
	assert_int_equal(d.server, server);
}

static void servers_are_taken_out(void **state)
{
	fill_routes();
	start(NULL);
	assert_done(order(ORDER("app.example", "127.0.0.1:8080", "drain")), 0, 0,
		"{\"route\":\"app.example\",\"server\":" SERVER_JSON("127.0.0.1:8080", "1", "false",
			"drain", "1234", "false", "drain", "false",
			"\"active\":1,\"connects\":2,\"failures\":3,\"last_failure\":null"));
	/* By a host, in any letter case; by the key of a route, where a host stands in two. */
	assert_done(order(ORDER("APP.example.", "a\\\"b\\\\c:1", "disabled")), 0, 1,
		"\"state\":\"disabled\"");
	assert_done(order(ORDER("shop.example@a", "127.0.0.1:9", "enabled")), 1, 0,
		"\"state\":\"down\"");
	assert_done(
		order(ORDER("app.example", "127.0.0.1:8080", "enabled")), 0, 0, "\"state\":\"up\"");
	assert_int_equal(d.modes_set, 4);
}

static void wrong_orders_are_refused(void **state)
{
	static const char *const bad[] = {"", "{}", "[]", "x", "{\"route\":\"app.example\"}",
		ORDER("app.example", "127.0.0.1:8080", "drained"),
		"{\"route\":\"app.example\",\"server\":\"127.0.0.1:8080\",\"mode\":1}",
		ORDER("app.example", "127.0.0.1:8080", "drain\",\"force\":\"yes")};

	fill_routes();
	start(NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		message_of(order(bad[i]), 400);
	assert_has(message_of(order(ORDER("app.example", "127.0.0.1:8080", "drained")), 400),
		"there is no mode \"drained\": \"enabled\", \"drain\" or \"disabled\"");
	assert_string_equal(message_of(order(ORDER("ap.example", "127.0.0.1:8080", "drain")), 404),
		"there is no route \"ap.example\"; did you mean \"app.example\"?");
	assert_string_equal(message_of(order(ORDER("\\u0007", "127.0.0.1:8080", "drain")), 404),
		"there is no route \"\\x07\"; `lintel status` shows them");
	assert_string_equal(message_of(order(ORDER("shop.example", "127.0.0.1:9", "drain")), 400),
		"shop.example stands in several routes; say which: shop.example@a, "
		"*.app.example@b,a");
	assert_string_equal(message_of(order(ORDER("app.example", "127.0.0.1:808", "drain")), 404),
		"route app.example has no server \"127.0.0.1:808\"; did you mean "
		"\"127.0.0.1:8080\"?");
	assert_string_equal(message_of(order(ORDER("shop.example@a", "x", "drain")), 404),
		"route shop.example@a has no server \"x\"; it has 127.0.0.1:9");
	message_of(ask("POST /api/v1/routes HTTP/1.1\r\n" HOST JSON
		       "Origin: http://evil.example\r\n\r\n{}"),
		403);
	message_of(ask("POST /api/v1/routes HTTP/1.1\r\n" HOST
		       "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}"),
		415);
	assert_int_equal(d.modes_set, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, stop)
	const struct CMUnitTest tests[] = {
		TEST(routes_are_told),
		TEST(long_lists_are_cut),
		TEST(servers_are_taken_out),
		TEST(wrong_orders_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
