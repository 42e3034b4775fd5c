/* The queue and the timetable of notifications, against a server of a few lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "conffile.h"
#include "notify/notify.h"

#define REQUESTS_MAX 8

static char log_path[64];

static struct {
	int listening;
	unsigned port;
	const int *statuses; /* of its answers, ended by 0; then it answers no more */
	char requests[REQUESTS_MAX][2048];
	int64_t at[REQUESTS_MAX];
	atomic_size_t n;
	pthread_t thread;
} server;

static void read_request(int fd, char *to, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, to + len, size - 1 - len, 0)) > 0) {
		len += (size_t)n;
		to[len] = '\0';
		if (strstr(to, "}]}")) /* the end of what these tests send */
			break;
	}
}

static void *serve(void *arg)
{
	char answer[128], c;

	(void)arg;
	for (const int *status = server.statuses;; status++) {
		int fd = accept(server.listening, NULL, NULL);

		if (fd < 0)
			return NULL;
		server.at[server.n] = clock_mono_ms();
		read_request(fd, server.requests[server.n], sizeof(server.requests[0]));
		server.n++;
		if (*status) {
			snprintf(answer, sizeof(answer),
				"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
				*status);
			send(fd, answer, strlen(answer), MSG_NOSIGNAL);
			close(fd);
			continue;
		}
		while (recv(fd, &c, 1, 0) > 0) /* until the client leaves */
			;
		close(fd);
		return NULL;
	}
}

static void start_server(const int *statuses)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);

	server.listening = socket(AF_INET, SOCK_STREAM, 0);
	server.statuses = statuses;
	server.n = 0;
	assert_int_equal(bind(server.listening, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(server.listening, 8), 0);
	assert_int_equal(getsockname(server.listening, (struct sockaddr *)&in, &len), 0);
	server.port = ntohs(in.sin_port);
	assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void stop_server(void)
{
	shutdown(server.listening, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.listening);
}

/* What control.c is to notifications. */
static struct {
	struct event_base *base;
	struct mailbox home;
	struct event *ev_home;
	struct jobs *jobs;
	struct notify *notify;
} owner;

static void on_home(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	jobs_done(mailbox_take(&owner.home));
}

static void start_owner(const char *notifications)
{
	char *text = mem_printf(BASE "notifications: [%s]\n", notifications);
	struct problems p = {0};
	struct error err;
	struct conf *c;

	unlink(log_path);
	assert_int_equal(log_start(log_path, &err), 0);
	conffile_write(conffile_path, text);
	c = conf_load(conffile_path, &p);
	assert_non_null(c);
	owner.base = event_base_new();
	assert_int_equal(mailbox_init(&owner.home, &err), 0);
	owner.ev_home = event_new(owner.base, owner.home.fd, EV_READ | EV_PERSIST, on_home, NULL);
	event_add(owner.ev_home, NULL);
	owner.jobs = jobs_start(2, 16, &owner.home, &err);
	assert_non_null(owner.jobs);
	owner.notify = notify_new(owner.base, owner.jobs, &err);
	assert_non_null(owner.notify);
	notify_configure(owner.notify, c);
	conf_unref(c);
	free(text);
}

/* Returns what was logged: new. */
static char *stop_owner(void)
{
	struct error err;
	char *text;
	size_t len;

	notify_stop(owner.notify);
	/* Less than a try takes when nobody tells it to stop. */
	assert_true(jobs_stop(owner.jobs, 1500));
	jobs_done(mailbox_take(&owner.home));
	notify_free(owner.notify);
	event_free(owner.ev_home);
	mailbox_clear(&owner.home);
	event_base_free(owner.base);
	log_stop();
	text = file_read(log_path, 1 << 20, &len, &err);
	assert_non_null(text);
	return text;
}

static bool is_logged(const char *what)
{
	struct error err;
	size_t len;
	char *text = file_read(log_path, 1 << 20, &len, &err);
	bool found = text && strstr(text, what);

	free(text);
	return found;
}

/* Runs the loop until `what` is in the log, or there were `requests`. */
static void run_until(const char *what, size_t requests)
{
	int64_t end = clock_mono_ms() + 20000;

	while ((what && !is_logged(what)) || server.n < requests) {
		const struct timeval soon = {.tv_usec = 20000};

		assert_true(clock_mono_ms() < end);
		event_base_loopexit(owner.base, &soon);
		event_base_dispatch(owner.base);
	}
}

static void waits_longer_and_longer(void **state)
{
	(void)state;
	assert_int_equal(notify_tries(LOG_INFO), 1);
	assert_int_equal(notify_tries(LOG_WARN), 3);
	assert_int_equal(notify_tries(LOG_ERROR), 5);
	assert_int_equal(notify_wait_ms(1, 0.5), 2000);
	assert_int_equal(notify_wait_ms(2, 0.5), 4000);
	assert_int_equal(notify_wait_ms(4, 0.5), 16000);
	assert_int_equal(notify_wait_ms(8, 0.5), 256000);
	assert_int_equal(notify_wait_ms(9, 0.5), 300000);
	assert_int_equal(notify_wait_ms(100, 0.5), 300000);
	assert_int_equal(notify_wait_ms(1, 0), 1800);
	assert_in_range(notify_wait_ms(1, 0.999999), 2199, 2200);
}

static void sends_to_every_target(void **state)
{
	static const int statuses[] = {200, 201, 202, 204, 0};
	static const struct notify_field field = {"main", "until tomorrow"};
	char *targets, *logged;

	(void)state;
	start_server(statuses);
	targets = mem_printf("{ provider: webhook, url: 'http://127.0.0.1:%u/a', token: tok, "
			     "payload: '{\"x\": $title, \"f\": $fields}' },"
			     "{ provider: webhook, url: 'http://127.0.0.1:%u/b', method: PUT, "
			     "payload: '{\"f\": $fields}' }",
		server.port, server.port);
	start_owner(targets);
	free(targets);
	notify_send(owner.notify, LOG_INFO, "Started", "", &field, 1);
	notify_send(owner.notify, LOG_INFO, "Again", "", &field, 1);
	run_until(NULL, 4);
	run_until(NULL, 4);
	logged = stop_owner();
	stop_server();
	assert_memory_equal(server.requests[0], "POST /a HTTP/1.1\r\n", 18);
	assert_non_null(strstr(server.requests[0], "Authorization: Bearer tok\r\n"));
	assert_non_null(strstr(server.requests[0], "Content-Type: application/json\r\n"));
	assert_non_null(strstr(server.requests[0], "{\"x\": \"Started\", \"f\": [{"));
	assert_memory_equal(server.requests[1], "PUT /b HTTP/1.1\r\n", 17);
	assert_null(strstr(server.requests[1], "Authorization"));
	assert_memory_equal(server.requests[3], "PUT /b HTTP/1.1\r\n", 17);
	free(logged);
}

static void tries_again(void **state)
{
	static const int statuses[] = {500, 204, 0};
	static const struct notify_field field = {"main", "x"};
	char *targets, *logged;

	(void)state;
	start_server(statuses);
	targets = mem_printf("{ provider: webhook, name: ops, url: 'http://127.0.0.1:%u/a-secret', "
			     "payload: '{\"f\": $fields}' }",
		server.port);
	start_owner(targets);
	log_configure(LOG_DEBUG, LOG_TEXT);
	free(targets);
	notify_send(owner.notify, LOG_WARN, "Title", "m", &field, 1);
	run_until("\"Title\" is delivered", 2);
	logged = stop_owner();
	log_configure(LOG_INFO, LOG_TEXT);
	stop_server();
	assert_true(server.at[1] - server.at[0] >= 1700); /* 2 s less a tenth, and a coarse clock */
	assert_non_null(strstr(logged, "notifications: ops: HTTP 500; it is tried again"));
	assert_null(strstr(logged, "not delivered"));
	assert_null(strstr(logged, "a-secret"));
	free(logged);
}

static void gives_up_with_a_sentence(void **state)
{
	static const int statuses[] = {401, 302, 0};
	static const struct notify_field field = {"main", "x"};
	char *targets, *logged;

	(void)state;
	start_server(statuses);
	targets = mem_printf("{ provider: webhook, url: 'http://127.0.0.1:%u/a-secret', "
			     "token: a-secret, payload: '{\"f\": $fields}' }",
		server.port);
	start_owner(targets);
	notify_send(owner.notify, LOG_INFO, "One", "m", &field, 1);
	notify_send(owner.notify, LOG_INFO, "Two", "m", &field, 1);
	run_until("\"Two\" is given up", 2);
	stop_server();
	/* Nobody listens there any more. */
	notify_send(owner.notify, LOG_INFO, "Three", "m", &field, 1);
	run_until("\"Three\" is given up", 2);
	logged = stop_owner();
	assert_non_null(strstr(logged, "notifications: notifications[0]: HTTP 401: is its token "
				       "right?; \"One\" is given up after 1 try\n"));
	assert_non_null(
		strstr(logged, "HTTP 302: it has moved; give the url that it has moved to"));
	assert_non_null(strstr(logged, "notifications[0]: Connection refused; \"Three\" is given"));
	assert_null(strstr(logged, "a-secret"));
	free(logged);
	free(targets);
}

static void drops_what_the_queue_has_no_room_for(void **state)
{
	char *logged;

	(void)state;
	start_owner("{ provider: gotify, url: 'http://127.0.0.1:1', token: t }");
	for (int i = 0; i < 300; i++)
		notify_send(owner.notify, LOG_ERROR, "Title", "m", NULL, 0);
	logged = stop_owner();
	assert_non_null(
		strstr(logged, "notifications: the queue is full, with 256: \"Title\" is dropped"));
	assert_non_null(strstr(logged, "notifications: 300 were not delivered"));
	free(logged);
}

/* A server that says nothing: the try ends when it is told to. */
static void stops_at_once(void **state)
{
	static const int statuses[] = {0};
	static const struct notify_field field = {"main", "x"};
	char *targets, *logged;

	(void)state;
	start_server(statuses);
	targets = mem_printf("{ provider: webhook, url: 'http://127.0.0.1:%u/', "
			     "payload: '{\"f\": $fields}' }",
		server.port);
	start_owner(targets);
	notify_send(owner.notify, LOG_INFO, "Title", "m", &field, 1);
	run_until(NULL, 1);
	logged = stop_owner();
	stop_server();
	assert_non_null(strstr(logged, "notifications: 1 were not delivered"));
	assert_null(strstr(logged, "given up"));
	free(logged);
	free(targets);
}

static void says_nothing_without_targets(void **state)
{
	char *logged;

	(void)state;
	start_owner("");
	notify_send(owner.notify, LOG_ERROR, "Title", "m", NULL, 0);
	logged = stop_owner();
	assert_string_equal(logged, "");
	free(logged);
}

static void checks_payloads(void **state)
{
	struct problems p = {0};
	struct conf *c;

	(void)state;
	conffile_write(conffile_path,
		BASE "notifications:\n"
		     "- { provider: webhook, url: 'http://h', payload: '{\"a\": $title}' }\n"
		     "- { provider: webhook, url: 'http://h', payload: '{\"a\": $titel}' }\n");
	c = conf_load(conffile_path, &p);
	assert_non_null(c);
	notify_check(c, &p);
	assert_int_equal(p.n, 1);
	assert_non_null(strstr(p.lines[0], ":5:3: notifications[1].payload: is no JSON"));
	problems_clear(&p);
	conf_unref(c);
}

static int set_up(void **state)
{
	if (conffile_set_up(state) < 0)
		return -1;
	snprintf(log_path, sizeof(log_path), "%s/log", conffile_folder);
	return 0;
}

static int tear_down(void **state)
{
	unlink(log_path);
	return conffile_tear_down(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_longer_and_longer),
		cmocka_unit_test(sends_to_every_target),
		cmocka_unit_test(tries_again),
		cmocka_unit_test(gives_up_with_a_sentence),
		cmocka_unit_test(drops_what_the_queue_has_no_room_for),
		cmocka_unit_test(stops_at_once),
		cmocka_unit_test(says_nothing_without_targets),
		cmocka_unit_test(checks_payloads),
	};

	/* Whatever proxy the environment names. */
	unsetenv("http_proxy");
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
