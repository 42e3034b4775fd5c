/* Responses of HTTP servers, however they are cut. */
#include "http/response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#define OK "HTTP/1.1 200 OK\r\n"

/* In pieces of `size` bytes, then the connection ends. What became of it. */
static struct response read_all(
	const char *text, size_t len, size_t size, const char *wanted, struct error *err)
{
	struct response r;
	int rc = 0;

	*err = (struct error){0};
	response_init(&r, wanted);
	for (size_t at = 0; at < len && rc == 0; at += size)
		rc = response_add(&r, text + at, size < len - at ? size : len - at, err);
	if (rc == 0)
		rc = response_end(&r, err);
	assert_int_equal(rc, r.state == RESPONSE_BAD ? -1 : 0);
	assert_true(r.state == RESPONSE_BAD || r.state == RESPONSE_WHOLE);
	response_clear(&r);
	return r;
}

static void test_good(void **state)
{
	static const struct {
		const char *text, *wanted;
		int status;
		bool found;
	} all[] = {
		{OK "\r\n", NULL, 200, false},
		{"HTTP/1.0 503 Service Unavailable\r\nServer: x\r\n\r\nno", NULL, 503, false},
		{"HTTP/1.1 404\r\n\r\n", NULL, 404, false},
		{"HTTP/1.1 204 \n\n", "x", 204, false},
		/* what is not whole is enough, when the body is of no interest */
		{OK "Content-Length: 1000\r\n\r\n", NULL, 200, false},
		{OK "Content-Length: 5\r\n\r\nready", "ready", 200, true},
		{OK "Content-Length: 4\r\n\r\nready", "ready", 200, false},
		{OK "content-length :5\r\nCONTENT-LENGTH:\t0 \r\n\r\nready", "ready", 200, false},
		{OK "\r\nI am readready.", "ready.", 200, true},
		{OK "\r\nrea", "ready", 200, false},
		{OK "\r\n", "ready", 200, false},
		/* chunks; the text lies across them */
		{OK "Transfer-Encoding: Chunked\r\n\r\n3\r\nrea\r\n2;x=y\r\ndy\r\n0\r\n\r\n",
			"ready", 200, true},
		{OK "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n3 \nrea\n00\nx: dy\n\n",
			"ready", 200, false},
		{OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n01234ready\r\n",
			"ready", 200, true},
		/* interim ones */
		{"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 C\r\n\r\n" OK "\r\nready",
			"ready", 200, true},
	};
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		size_t len = strlen(all[i].text);

		for (size_t size = 1; size <= len; size++) {
			struct response r = read_all(all[i].text, len, size, all[i].wanted, &err);

			if (r.state != RESPONSE_WHOLE || r.status != all[i].status ||
				r.found != all[i].found)
				fail_msg("%zu, pieces of %zu: %d %d %d: %s", i, size, r.state,
					r.status, r.found, err.text);
		}
	}
}

static void test_bad(void **state)
{
	static const struct {
		const char *text, *why;
	} all[] = {
		{"", "the connection ended without a response"},
		{"H", "the connection ended within the head of its response"},
		{OK "a: b\r\n", "the connection ended within the head of its response"},
		{"SSH-2.0-OpenSSH_9.2\r\n\r\n", "no HTTP response: its first line has no status"},
		{"\r\n\r\n", "no HTTP response: its first line has no status"},
		{"HTTP/1.1 2000 OK\r\n\r\n", "no HTTP response: its first line has no status"},
		{"HTTP/1.1 20\r\n\r\n", "no HTTP response: its first line has no status"},
		{"HTTP/1.1 600 OK\r\n\r\n", "no HTTP response: its first line has no status"},
		{"HTTP/2.0 200 OK\r\n\r\n", "no HTTP response: its first line has no status"},
		{OK "Content-Length: 5\r\n\r\nread", "the connection ended within the response"},
		{OK "Content-Length: -5\r\n\r\nread",
			"no HTTP response: its Content-Length is no number"},
		{OK "Content-Length: 99999999999999999999\r\n\r\nread",
			"no HTTP response: its Content-Length is no number"},
		{OK "Content-Length: \r\n\r\n", "no HTTP response: its Content-Length is empty"},
		{OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
			"an HTTP response in a Transfer-Encoding that is unknown"},
		{OK "Transfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n",
			"the connection ended within the response"},
		{OK "Transfer-Encoding: chunked\r\n\r\n\r\n",
			"no HTTP response: a chunk has no size"},
		{OK "Transfer-Encoding: chunked\r\n\r\nx\r\n",
			"no HTTP response: a chunk's size is no number"},
		{OK "Transfer-Encoding: chunked\r\n\r\n1000000000000000\r\n",
			"no HTTP response: a chunk's size is out of range"},
		{OK "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
			"no HTTP response: a chunk is longer than it said"},
	};
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		size_t len = strlen(all[i].text);

		for (size_t size = 1; size <= len + 1; size++) {
			struct response r = read_all(all[i].text, len, size, "ready", &err);

			if (r.state != RESPONSE_BAD || strcmp(err.text, all[i].why) != 0)
				fail_msg("%zu, pieces of %zu: %d: %s", i, size, r.state, err.text);
		}
	}
	assert_int_equal(
		read_all(OK "a: \0\r\n\r\n", strlen(OK) + 8, 9, "x", &err).state, RESPONSE_BAD);
	assert_string_equal(err.text, "no HTTP response: there is a NUL byte in its head");
	/* In the first line, which has no end then for who reads it as a string. */
	assert_int_equal(
		read_all("HTTP/1.1 200\0OK\r\n\r\n", 19, 19, "x", &err).state, RESPONSE_BAD);
	assert_string_equal(err.text, "no HTTP response: there is a NUL byte in its head");
}

/* Of a body that never ends 64 KiB are looked at; a head has its limit too. */
static void test_limits(void **state)
{
	size_t len = 2 * RESPONSE_BODY_MAX;
	char *text = mem_alloc(len);
	struct response r;
	struct error err;

	(void)state;
	for (int chunked = 0; chunked < 2; chunked++) {
		const char *head = chunked ? OK "Transfer-Encoding: chunked\r\n\r\nfffff\r\n"
					   : OK "Content-Length: 1048575\r\n\r\n";
		size_t end = strlen(head) + RESPONSE_BODY_MAX;

		for (size_t beyond = 0; beyond < 2; beyond++) {
			memset(text, 'x', len);
			memcpy(text, head, strlen(head));
			memcpy(text + end - 5 + beyond, "ready", 5);
			r = read_all(text, len, 1000, "ready", &err);
			assert_int_equal(r.state, RESPONSE_WHOLE);
			assert_int_equal(r.found, !beyond);
		}
	}
	memset(text, 'x', len);
	r = read_all(text, len, 1000, NULL, &err);
	assert_int_equal(r.state, RESPONSE_BAD);
	for (size_t i = 0; i + 19 <= len; i += 19)
		memcpy(text + i, "HTTP/1.1 100 OK\r\n\r\n", 19);
	r = read_all(text, len, 1000, NULL, &err);
	assert_int_equal(r.state, RESPONSE_BAD);
	assert_string_equal(err.text, "no HTTP response: its head is longer than 16 KiB");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
