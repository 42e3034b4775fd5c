#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/address.h"

static void check(const char *text, enum address_kind kind, const char *host, uint16_t port)
{
	struct address a, b;
	struct error err = {0};

	assert_int_equal(address_parse(&a, text, &err), 0);
	address_copy(&b, &a);
	address_clear(&a);
	assert_int_equal(b.kind, kind);
	assert_string_equal(b.text, text);
	assert_int_equal(b.port, port);
	if (host)
		assert_string_equal(b.host, host);
	else
		assert_null(b.host);
	address_clear(&b);
}

static void test_parse(void **state)
{
	check(":443", ADDRESS_ANY, NULL, 443);
	check("127.0.0.1:8080", ADDRESS_IP, "127.0.0.1", 8080);
	check("[::1]:65535", ADDRESS_IP, "::1", 65535);
	check("[2001:db8::1]:1", ADDRESS_IP, "2001:db8::1", 1);
	check("app.internal:80", ADDRESS_NAME, "app.internal", 80);
	check("app.internal.:80", ADDRESS_NAME, "app.internal.", 80);
	check("my_host-1:80", ADDRESS_NAME, "my_host-1", 80);
	check("unix:/run/app.sock", ADDRESS_UNIX, "/run/app.sock", 0);
}

static void refuse(const char *text, const char *part)
{
	struct address a;
	struct error err = {0};

	assert_int_equal(address_parse(&a, text, &err), -1);
	assert_null(a.text);
	assert_null(a.host);
	if (!strstr(err.text, part))
		fail_msg("%s: \"%s\" lacks \"%s\"", text, err.text, part);
}

static void test_refused(void **state)
{
	char path[5 + 109] = "unix:/";

	refuse("", "an address is host:port");
	refuse("example.com", "an address is host:port");
	refuse("[::1]", "an address is host:port");
	refuse("[::1", "an address is host:port");
	refuse("[::1]443", "an address is host:port");
	refuse("::1:443", "in brackets");
	refuse("[127.0.0.1]:443", "no IPv6 address");
	refuse("[]:443", "no IPv6 address");
	refuse("x:", "is no port");
	refuse("x:0", "is no port");
	refuse("x:65536", "is no port");
	refuse("x:443443", "is no port");
	refuse("x:+80", "is no port");
	refuse("x: 80", "is no port");
	refuse("http://127.0.0.1:80", "this is a URL");
	refuse("http://a.example", "this is a URL");
	refuse("1.2.3:80", "neither an IP address nor a host name");
	refuse("256.1.1.1:80", "neither an IP address nor a host name");
	refuse("a..b:80", "neither an IP address nor a host name");
	refuse("a b:80", "neither an IP address nor a host name");
	refuse("unix:app.sock", "absolute path");
	memset(path + 6, 'x', sizeof(path) - 7);
	refuse(path, "at most 107 bytes");
	path[sizeof(path) - 2] = '\0';
	check(path, ADDRESS_UNIX, path + 5, 0);
}

static void test_default_port(void **state)
{
	static const char *const good[][2] = {{"192.0.2.1", "192.0.2.1:53"},
		{"192.0.2.1:5353", "192.0.2.1:5353"}, {"2001:db8::1", "[2001:db8::1]:53"},
		{"[2001:db8::1]", "[2001:db8::1]:53"}, {"[2001:db8::1]:99", "[2001:db8::1]:99"},
		{"ns.example.org", "ns.example.org:53"}, {"ns:99", "ns:99"}};
	static const char *const bad[] = {
		"", ":53", "unix:/x", "a b", "192.0.2.1:0", "192.0.2.1:x", "[x]", "http://a"};
	struct address a;
	struct error err;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(address_parse_default(&a, good[i][0], DNS_PORT, &err), 0);
		assert_string_equal(a.text, good[i][1]);
		address_clear(&a);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err = (struct error){""};
		assert_int_equal(address_parse_default(&a, bad[i], DNS_PORT, &err), -1);
		assert_null(a.text);
		assert_true(*err.text);
	}
}

static bool loopback(const char *text)
{
	struct address a;
	bool yes;

	assert_int_equal(address_parse(&a, text, NULL), 0);
	yes = address_is_loopback(&a);
	address_clear(&a);
	return yes;
}

static void test_loopback(void **state)
{
	assert_true(loopback("127.0.0.1:1"));
	assert_true(loopback("127.9.9.9:1"));
	assert_true(loopback("[::1]:1"));
	assert_true(loopback("[0:0:0:0:0:0:0:1]:1"));
	assert_true(loopback("[::ffff:127.0.0.1]:1"));
	assert_true(loopback("LocalHost:1"));
	assert_false(loopback("[::ffff:10.0.0.1]:1"));
	assert_false(loopback("[::2]:1"));
	assert_false(loopback("128.0.0.1:1"));
	assert_false(loopback("localhost.example:1"));
	assert_false(loopback("127.example:1"));
	assert_false(loopback(":1"));
	assert_false(loopback("unix:/127.0.0.1"));
}

static void test_secure_url(void **state)
{
	static const char *const good[] = {"https://ca.example", "https://ca.example:14000/dir",
		"https://u:p@ca.example/", "http://127.0.0.1/dir", "http://127.0.0.1:14000/dir",
		"http://localhost/dir", "http://LocalHost:1?x", "http://[::1]", "http://[::1]:1/"};
	static const char *const bad[] = {"", "x", "https:", "https://", "https:///dir",
		"https://?x", "ftp://127.0.0.1/", "http://", "http:///dir", "http://ca.example/",
		"http://127.0.0.1.example/", "http://localhost.example/", "http://[::2]/",
		"http://192.0.2.1/127.0.0.1", "http://127.0.0.1@ca.example/",
		"http://127.0.0.1:80@ca.example/", "http://localhost:1@ca.example:80/",
		"http://ca.example:80@127.0.0.1.example/", "http://127.0.0.1\\@ca.example/",
		"http://127.0.0.1%2f.ca.example/", "http://unix:/127.0.0.1/"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!address_is_secure_url(good[i]))
			fail_msg("%s is secure", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (address_is_secure_url(bad[i]))
			fail_msg("%s is not secure", bad[i]);
}

static void endpoint_is(const char *text, const char *wanted)
{
	struct address a;
	struct endpoint e;
	char out[ENDPOINT_TEXT_SIZE];

	assert_int_equal(address_parse(&a, text, NULL), 0);
	assert_int_equal(address_to_endpoint(&a, &e, NULL), 0);
	assert_string_equal(endpoint_text(out, &e), wanted);
	address_clear(&a);
}

static void test_endpoints(void **state)
{
	struct address a;
	struct endpoint e, f;
	struct error err = {0};
	char out[ENDPOINT_TEXT_SIZE];

	endpoint_is("127.0.0.1:80", "127.0.0.1:80");
	endpoint_is("[2001:DB8:0:0:0:0:0:1]:80", "[2001:db8::1]:80");
	endpoint_is("[::ffff:10.1.2.3]:80", "10.1.2.3:80");
	endpoint_is(":443", "[::]:443");
	endpoint_is("unix:/run/x.sock", "unix:/run/x.sock");
	e = (struct endpoint){.un = {.sun_family = AF_UNIX}, .len = sizeof(sa_family_t)};
	assert_string_equal(endpoint_text(out, &e), "unix:");
	memset(e.un.sun_path, 'p', sizeof(e.un.sun_path)); /* the kernel needs no NUL there */
	e.len = sizeof(e.un);
	assert_int_equal(strlen(endpoint_text(out, &e)), 5 + sizeof(e.un.sun_path));
	e = (struct endpoint){.len = sizeof(sa_family_t)};
	assert_string_equal(endpoint_text(out, &e), "?");

	assert_int_equal(address_parse(&a, "app.internal:80", NULL), 0);
	assert_int_equal(address_to_endpoint(&a, &e, &err), -1);
	assert_non_null(strstr(err.text, "not a name"));
	address_clear(&a);

	assert_int_equal(address_parse(&a, "127.0.0.1:80", NULL), 0);
	assert_int_equal(address_to_endpoint(&a, &e, NULL), 0);
	assert_int_equal(address_to_endpoint(&a, &f, NULL), 0);
	assert_true(endpoint_equal(&e, &f));
	f.in.sin_port = htons(81);
	assert_false(endpoint_equal(&e, &f));
	address_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_default_port),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_secure_url),
		cmocka_unit_test(test_endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
