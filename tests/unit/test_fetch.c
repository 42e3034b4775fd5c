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
#include "base/stop.h"
#include "base/str.h"
#include "http/fetch.h"
#include "lookup.h"

static struct {
	int listening;
	char *url;
	const char *answer; /* NULL: reads, and says nothing until the client leaves */
	char request[4096];
	unsigned requests; /* that one connection is good for; 0 = one */
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
		if (!server.answer || !strstr(server.request, "\r\n\r\n"))
			continue;
		send(fd, server.answer, strlen(server.answer), MSG_NOSIGNAL);
		if (server.requests <= 1)
			break;
		server.requests--;
		len = 0;
	}
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

static void gives_the_headers(void **state)
{
	struct fetch_request req = {.method = "GET", .timeout_ms = 10000, .max_bytes = 5};
	struct fetch_response res;
	struct error err;

	start("HTTP/1.1 100 Continue\r\nLink: <x>\r\n\r\n"
	      "HTTP/1.1 200 OK\r\nlink: <a>\r\nLink:  <b> \r\nContent-Length: 0\r\nEmpty:\r\n\r\n");
	req.url = server.url;
	assert_int_equal(fetch(&req, &res, &err), 0);
	stop();
	assert_string_equal(fetch_header(&res, "LINK", 0), "<a>");
	assert_string_equal(fetch_header(&res, "link", 1), "<b>");
	assert_null(fetch_header(&res, "link", 2));
	assert_string_equal(fetch_header(&res, "empty", 0), "");
	fetch_response_clear(&res);
}

static void refuses_many_headers(void **state)
{
	struct fetch_request req = {.method = "GET", .timeout_ms = 10000, .max_bytes = 5};
	struct fetch_response res;
	struct str answer = {0};
	struct error err;

	str_addf(&answer, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 100; i++)
		str_addf(&answer, "X: %01000d\r\n", i);
	str_addf(&answer, "Content-Length: 0\r\n\r\n");
	start(answer.data);
	req.url = server.url;
	assert_int_equal(fetch(&req, &res, &err), -1);
	assert_non_null(strstr(err.text, "headers have more than 65536 bytes"));
	stop();
	str_clear(&answer);
}

/* The server takes one connection only. */
static void keeps_a_connection(void **state)
{
	struct fetch_request req = {.method = "GET", .timeout_ms = 10000, .max_bytes = 5};
	struct fetch *f = fetch_new();
	struct fetch_response res;
	struct error err = {""};

	server.requests = 3;
	start("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	req.url = server.url;
	for (int i = 0; i < 3; i++) {
		if (fetch_run(f, &req, &res, &err) < 0)
			fail_msg("%s", err.text);
		assert_string_equal(res.body, "hi");
		fetch_response_clear(&res);
	}
	fetch_free(f);
	stop();
	server.requests = 0;
}

static struct stop stopped;

static void *stop_soon(void *arg)
{
	(void)arg;
	stop_wait(NULL, 30);
	stop_set(&stopped);
	return NULL;
}

static void can_be_stopped(void **state)
{
	struct fetch_request req = {
		.method = "GET", .timeout_ms = 60000, .max_bytes = 5, .stop = &stopped};
	struct fetch_response res;
	struct error err;
	pthread_t thread;

	stop_init(&stopped, NULL);
	start(NULL);
	req.url = server.url;
	pthread_create(&thread, NULL, stop_soon, NULL);
	assert_int_equal(fetch(&req, &res, &err), -1);
	assert_non_null(strstr(err.text, ": stopped"));
	pthread_join(thread, NULL);
	stop();
	req.url = "http://127.0.0.1:1/";
	assert_int_equal(fetch(&req, &res, &err), -1); /* nothing is begun any more */
	assert_non_null(strstr(err.text, ": stopped"));
	stop_clear(&stopped);
}

/* Nor does a name that is being looked up hold it up. */
static void can_be_stopped_at_a_name(void **state)
{
	struct fetch_request req = {.method = "GET",
		.url = "http://" HANGING "/",
		.timeout_ms = 3600000,
		.max_bytes = 5,
		.stop = &stopped};
	struct fetch_response res;
	struct error err;

	stop_init(&stopped, NULL);
	lookup_begin(&stopped);
	assert_int_equal(fetch(&req, &res, &err), -1);
	assert_string_equal(err.text, "http://" HANGING "/: stopped");
	lookup_end();
	stop_clear(&stopped);
}

static void add_line(void *arg, const char *line)
{
	str_addf(arg, "[%s]", line);
}

static void gives_lines(void **state)
{
	struct str lines = {0};
	struct fetch_request req = {
		.method = "GET", .timeout_ms = 10000, .on_line = add_line, .arg = &lines};
	struct fetch_response res;
	struct error err;

	start("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	      "4\r\none\n\r\n2\r\ntw\r\n5\r\no\n\nth\r\n3\r\nree\r\n0\r\n\r\n");
	req.url = server.url;
	assert_int_equal(fetch(&req, &res, &err), 0);
	stop();
	assert_string_equal(lines.data, "[one][two][][three]");
	fetch_response_clear(&res);
	str_clear(&lines);
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
		cmocka_unit_test(gives_the_headers),
		cmocka_unit_test(refuses_many_headers),
		cmocka_unit_test(keeps_a_connection),
		cmocka_unit_test(can_be_stopped),
		cmocka_unit_test(can_be_stopped_at_a_name),
		cmocka_unit_test(gives_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
