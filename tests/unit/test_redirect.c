#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/redirect.h"

#define WHEN INT64_C(784111777) /* the example of RFC 9110, 5.6.7 */
#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define REST "Content-Length: 0\r\nConnection: close\r\n\r\n"

static void assert_answer(const char *head, uint16_t port, const char *want)
{
	char out[REDIRECT_ANSWER_MAX];
	struct request r;
	enum redirect_status status = redirect_read(&r, head, strlen(head));
	size_t len;

	assert_int_not_equal(status, REDIRECT_STATUSES);
	len = redirect_write(out, status, &r, port, WHEN);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(out, want, len);
}

static void test_answers(void **state)
{
	(void)state;
	assert_answer("GET /a?b HTTP/1.1\r\nHost: a.example:80\r\n\r\n", 443,
		"HTTP/1.1 308 Permanent Redirect\r\n" DATE
		"Location: https://a.example/a?b\r\n" REST);
	assert_answer("HEAD / HTTP/1.0\r\nHost: [::1]:80\r\n\r\n", 8443,
		"HTTP/1.1 308 Permanent Redirect\r\n" DATE
		"Location: https://[::1]:8443/\r\n" REST);
	assert_answer("OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", 443,
		"HTTP/1.1 308 Permanent Redirect\r\n" DATE "Location: https://a.example\r\n" REST);
	assert_answer("GET /\r\n", 443, "HTTP/1.1 400 Bad Request\r\n" DATE REST);
	assert_answer(
		"GET / HTTP/3.0\r\n", 443, "HTTP/1.1 505 HTTP Version Not Supported\r\n" DATE REST);
}

/* The largest head leads to an answer that is whole. */
static void test_largest(void **state)
{
	static char head[REQUEST_HEAD_MAX + 1], out[REDIRECT_ANSWER_MAX];
	static const char end[] = " HTTP/1.0\r\n\r\n";
	struct request r;
	size_t len;

	(void)state;
	len = (size_t)snprintf(head, sizeof(head), "A http://%0249d/", 0);
	memset(head + len, 'x', REQUEST_HEAD_MAX - len);
	memcpy(head + REQUEST_HEAD_MAX - strlen(end), end, strlen(end));
	assert_int_equal(redirect_read(&r, head, REQUEST_HEAD_MAX), REDIRECT_308);
	len = redirect_write(out, REDIRECT_308, &r, 65535, WHEN);
	assert_in_range(len, REQUEST_HEAD_MAX, sizeof(out) - 1);
	assert_string_equal(out + len - 4, "\r\n\r\n");
}

static void test_more_is_needed(void **state)
{
	struct request r;

	(void)state;
	assert_int_equal(redirect_read(&r, "GET ", 4), REDIRECT_STATUSES);
	assert_string_equal(redirect_status_names[REDIRECT_408], "408");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_more_is_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
