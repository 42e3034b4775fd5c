/* fetch() against a server of a few lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/fetch.h"

static struct {
	int listening;
	char *url;
	const char *answer; /* NULL: reads, and says nothing until the client leaves */
	char request[4096];
	pthread_t thread;
} server;

static void *serve(void *arg)
{
	int fd = accept(server.listening, NULL, NULL);
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, server.request + len, sizeof(server.request) - 1 - len, 0)) > 0) {
		len += (size_t)n;
		server.request[len] = '\0';
		if (server.answer && strstr(server.request, "\r\n\r\n"))
			break;
	}
	if (server.answer)
		send(fd, server.answer, strlen(server.answer), MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static void start(const char *answer)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);

	server.listening = socket(AF_INET, SOCK_STREAM, 0);
	server.answer = answer;
	assert_int_equal(bind(server.listening, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(server.listening, 1), 0);
	assert_int_equal(getsockname(server.listening, (struct sockaddr *)&in, &len), 0);
	server.url = mem_printf("http://127.0.0.1:%u/x", ntohs(in.sin_port));
	assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void stop(void)
{
	pthread_join(server.thread, NULL);
	close(server.listening);
	free(server.url);
}

static void gives_the_answer(void **state)
{
	struct fetch_request req = {
		.method = "POST", .bearer = "tok", .body = "", .timeout_ms = 10000, .max_bytes = 5};
	struct fetch_response res;
	struct error err;

	start("HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nhello");
	req.url = server.url;
	assert_int_equal(fetch(&req, &res, &err), 0);
	stop();
	assert_int_equal(res.status, 503);
	assert_int_equal(res.len, 5);
	assert_string_equal(res.body, "hello");
	fetch_response_clear(&res);
	assert_non_null(strstr(server.request, "POST /x HTTP/1.1\r\n"));
	assert_non_null(strstr(server.request, "\r\nAuthorization: Bearer tok\r\n"));
	assert_non_null(strstr(server.request, "\r\nContent-Type: application/json\r\n"));
	assert_null(strstr(server.request, "Expect"));
}

static void gives_an_empty_answer(void **state)
{
	struct fetch_request req = {.method = "GET", .timeout_ms = 10000, .max_bytes = 5};
	struct fetch_response res;
	struct error err;

	start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	req.url = server.url;
	assert_int_equal(fetch(&req, &res, &err), 0);
	stop();
	assert_string_equal(res.body, "");
	fetch_response_clear(&res);
}

static void refuses_a_large_answer(void **state)
{
	struct fetch_request req = {.method = "GET", .timeout_ms = 10000, .max_bytes = 5};
	struct fetch_response res;
	struct error err;

	start("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello!");
	req.url = server.url;
	assert_int_equal(fetch(&req, &res, &err), -1);
	assert_null(res.body);
	assert_non_null(strstr(err.text, "the answer has more than 5 bytes"));
	stop();
}

static void refuses_half_an_answer(void **state)
{
	struct fetch_request req = {.method = "GET", .timeout_ms = 10000, .max_bytes = 500};
	struct fetch_response res;
	struct error err;

	start("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello");
	req.url = server.url;
	assert_int_equal(fetch(&req, &res, &err), -1);
	assert_non_null(strstr(err.text, server.url));
	stop();
}

static void gives_up(void **state)
{
	struct fetch_request req = {.method = "GET", .timeout_ms = 50, .max_bytes = 5};
	struct fetch_response res;
	struct error err;

	start(NULL);
	req.url = server.url;
	assert_int_equal(fetch(&req, &res, &err), -1);
	assert_non_null(strstr(err.text, "timed out"));
	stop();
}

static void says_that_nobody_is_there(void **state)
{
	struct fetch_request req = {.method = "GET",
		.url = "http://x/",
		.unix_path = "/nonexistent/admin.sock",
		.timeout_ms = 10000,
		.max_bytes = 5};
	struct fetch_response res;
	struct error err;

	assert_int_equal(fetch(&req, &res, &err), -1);
	assert_string_equal(err.text, "/nonexistent/admin.sock: No such file or directory");
	req.url = "file:///etc/passwd";
	req.unix_path = NULL;
	assert_int_equal(fetch(&req, &res, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_the_answer),
		cmocka_unit_test(gives_an_empty_answer),
		cmocka_unit_test(refuses_a_large_answer),
		cmocka_unit_test(refuses_half_an_answer),
		cmocka_unit_test(gives_up),
		cmocka_unit_test(says_that_nobody_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
