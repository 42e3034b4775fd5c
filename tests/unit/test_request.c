/* The head of a request: what is read, what is refused, and that it makes no difference in how many
 * pieces it comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http/request.h"

#define HOST "Host: a.example\r\n"
#define GOOD "GET / HTTP/1.1\r\n" HOST

/* Each beginning is unfinished, or what the whole is. */
static enum request_result parse(struct request *r, const char *head, size_t len)
{
	enum request_result whole = request_parse(r, head, len), part;

	for (size_t n = 0; n < len; n++) {
		struct request unused;
		char *copy = mem_dup(head, n ? n : 1); /* so that a sanitizer sees its end */

		part = request_parse(&unused, copy, n);
		free(copy);
		if (part != REQUEST_UNFINISHED)
			assert_int_equal(part, whole);
	}
	return whole;
}

static void test_where_it_goes(void **state)
{
	static const struct {
		const char *head, *host, *target;
	} cases[] = {
		{GOOD "\r\n", "a.example", "/"},
		{"GET / HTTP/1.1\r\nhOST:a.example\r\n\r\n", "a.example", "/"},
		{"GET / HTTP/1.1\r\nHost: \t A.Example. \t\r\n\r\n", "a.example", "/"},
		{"GET / HTTP/1.1\r\nHost: a.example:80\r\n\r\n", "a.example", "/"},
		{"GET / HTTP/1.1\r\nHost: a.example:\r\n\r\n", "a.example", "/"},
		{"GET / HTTP/1.1\r\nHost: under_score\r\n\r\n", "under_score", "/"},
		{"GET / HTTP/1.1\r\nHost: 192.0.2.1:8080\r\n\r\n", "192.0.2.1", "/"},
		{"GET / HTTP/1.1\r\nHost: [2001:DB8:0::1]\r\n\r\n", "[2001:db8::1]", "/"},
		{"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "[::1]", "/"},
		{"\r\n" GOOD "\r\n", "a.example", "/"},
		{GOOD "\r\nGET /other", "a.example", "/"},
		{"GET / HTTP/1.0\r\n" HOST "\r\n", "a.example", "/"},
		{"GET / HTTP/1.2\r\n" HOST "\r\n", "a.example", "/"},
		{"POST /a/b%20c;d?e=f&g=%00 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc",
			"a.example", "/a/b%20c;d?e=f&g=%00"},
		{"GET //b.example/?q=100%|[{}]` HTTP/1.1\r\n" HOST "\r\n", "a.example",
			"//b.example/?q=100%|[{}]`"},
		{"M-SEARCH /? HTTP/1.1\r\n" HOST "\r\n", "a.example", "/?"},
		{"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "a.example", ""},
		{"GET http://b.example/x HTTP/1.1\r\n" HOST "\r\n", "b.example", "/x"},
		{"GET HTTPS://B.example:81?x HTTP/1.1\r\n" HOST "\r\n", "b.example", "?x"},
		{"GET http://[::1] HTTP/1.1\r\n" HOST "\r\n", "[::1]", ""},
		{"GET http://b.example HTTP/1.0\r\n\r\n", "b.example", ""},
		{GOOD "Other:\r\nX: a\x80\xff\tb \"\\\r\n\r\n", "a.example", "/"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct request r;
		char target[64];

		assert_int_equal(parse(&r, cases[i].head, strlen(cases[i].head)), REQUEST_WHOLE);
		assert_string_equal(r.host, cases[i].host);
		memcpy(target, r.target, r.target_len);
		target[r.target_len] = '\0';
		assert_string_equal(target, cases[i].target);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *head;
		enum request_result result;
	} cases[] = {
		/* the request line */
		{"\r\n\r\n" GOOD "\r\n", REQUEST_BAD},
		{"GET /\r\n\r\n", REQUEST_BAD}, /* HTTP/0.9 */
		{"GET / HTTP/2.0\r\n\r\n", REQUEST_BAD_VERSION},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REQUEST_BAD_VERSION},
		{"GET / HTTP/0.9\r\n" HOST "\r\n", REQUEST_BAD_VERSION},
		{"GET / HTTP/1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET / HTTP/1.10\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET / http/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET / HTTP/x.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1 \r\n" HOST "\r\n", REQUEST_BAD},
		{"GET  / HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{" GET / HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET\t/ HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"G(T / HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET / / HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET x HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET * HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET ** HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"CONNECT a.example:443 HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET /#a HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET /\\a HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET /<a> HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET /\"a HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET ftp://b.example/ HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET http:/b.example/ HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET http:///x HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"GET http://u@b.example/ HTTP/1.1\r\n" HOST "\r\n", REQUEST_BAD},
		{"\x16\x03\x01\x02", REQUEST_BAD}, /* TLS, at once */
		/* lines */
		{"GET / HTTP/1.1\n" HOST "\r\n", REQUEST_BAD},
		{GOOD "\n", REQUEST_BAD},
		{GOOD "X: a\n\r\n", REQUEST_BAD},
		{GOOD "X: a\rb\r\n\r\n", REQUEST_BAD},
		{GOOD "X: a\r\r\n\r\n", REQUEST_BAD},
		{GOOD "X: \x01\r\n\r\n", REQUEST_BAD},
		{GOOD "X: \x7f\r\n\r\n", REQUEST_BAD},
		/* fields */
		{GOOD " folded: b\r\n\r\n", REQUEST_BAD},
		{GOOD "\tfolded\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\n " HOST "\r\n", REQUEST_BAD},
		{GOOD "X : a\r\n\r\n", REQUEST_BAD},
		{GOOD "X\r\n\r\n", REQUEST_BAD},
		{GOOD ": a\r\n\r\n", REQUEST_BAD},
		{GOOD "X\x80: a\r\n\r\n", REQUEST_BAD},
		/* the host */
		{"GET / HTTP/1.1\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.0\r\n\r\n", REQUEST_BAD},
		{"GET http://b.example/ HTTP/1.1\r\n\r\n", REQUEST_BAD},
		{GOOD HOST "\r\n", REQUEST_BAD},
		{"GET http://b.example/ HTTP/1.0\r\n" HOST HOST "\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost:\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: .\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: a :80\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: [::1]80\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: [v1.a]\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: [192.0.2.1]\r\n\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost: []\r\n\r\n", REQUEST_BAD},
		/* unfinished */
		{"", REQUEST_UNFINISHED},
		{"\r\n", REQUEST_UNFINISHED},
		{GOOD, REQUEST_UNFINISHED},
		{GOOD "\r", REQUEST_UNFINISHED},
	};
	static const char nul[] = GOOD "X: a\0b\r\n\r\n";
	struct request r;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(parse(&r, cases[i].head, strlen(cases[i].head)), cases[i].result);
	assert_int_equal(parse(&r, nul, sizeof(nul) - 1), REQUEST_BAD);
}

/* The largest that is taken, and one byte or field more. */
static void test_sizes(void **state)
{
	static char head[REQUEST_HEAD_MAX + 100];
	struct request r;
	size_t len, n;

	(void)state;
	for (int more = 0; more < 2; more++) {
		n = REQUEST_HEAD_MAX - strlen(GOOD "\r\n") - strlen("X: \r\n") + (size_t)more;
		len = (size_t)sprintf(head, GOOD "X: %0*d\r\n\r\n", (int)n, 0);
		assert_int_equal(
			request_parse(&r, head, len), more ? REQUEST_TOO_LARGE : REQUEST_WHOLE);
		len = (size_t)sprintf(head, GOOD);
		for (int i = 1; i < REQUEST_FIELDS_MAX + more; i++)
			len += (size_t)sprintf(head + len, "X: a\r\n");
		len += (size_t)sprintf(head + len, "\r\n");
		assert_int_equal(parse(&r, head, len), more ? REQUEST_TOO_LARGE : REQUEST_WHOLE);
	}
	memset(head, 'a', sizeof(head)); /* no line at all */
	assert_int_equal(request_parse(&r, head, REQUEST_HEAD_MAX - 1), REQUEST_UNFINISHED);
	assert_int_equal(request_parse(&r, head, REQUEST_HEAD_MAX), REQUEST_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_where_it_goes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
