#include "adminpeer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "base/address.h"
#include "base/mem.h"
#include "http/fetch.h"

/* ---- the daemon's side ---- */

struct adminpeer d;

static const struct admin_view *get_view(void *arg)
{
	return &d.view;
}

static void get_unready(void *arg, struct problems *reasons)
{
	for (size_t i = 0; i < d.reasons.n; i++)
		problems_add(reasons, "%s", d.reasons.lines[i]);
}

/* The servers of the view are the test's own. */
static void set_mode(void *arg, size_t route, size_t server, enum server_mode mode)
{
	d.route = route;
	d.server = server;
	d.modes_set++;
	((struct admin_server *)&d.view.routes[route].servers[server])->mode = mode;
}

static void start_reload(void *arg, admin_reload_done *done, void *done_arg)
{
	int i = atomic_fetch_add(&d.reloads, 1);

	if (d.reload_at_once) {
		done(done_arg, &d.reload_problems);
		return;
	}
	assert_true(i < WAITING_MAX);
	d.done[i] = done;
	d.done_arg[i] = done_arg;
}

static void finish_reloads(void)
{
	for (int i = 0; i < WAITING_MAX; i++) {
		if (d.done[i])
			d.done[i](d.done_arg[i], &d.reload_problems);
		d.done[i] = NULL;
	}
}

/* extra[1] is `local`. */
static enum autocert_asked may_renew(void *arg, const char *name)
{
	if (name && strcmp(name, "extra[1]") == 0)
		return ASKED_NOTHING;
	if (name && strcmp(name, "main") != 0)
		return ASKED_UNKNOWN;
	return d.running ? ASKED_RUNNING : ASKED_STARTED;
}

static enum autocert_asked renew(void *arg, const char *name, struct autocert_watch *w)
{
	enum autocert_asked asked = may_renew(arg, name);
	int i = d.renewals;

	assert_int_equal(asked, ASKED_STARTED);
	assert_true(i < RENEWALS_MAX);
	snprintf(d.renewed[i], sizeof(d.renewed[i]), "%s", name ? name : "");
	d.watches[i] = w;
	d.renewals++;
	return asked;
}

static void unwatch(void *arg, struct autocert_watch *w)
{
	for (int i = 0; i < RENEWALS_MAX; i++)
		if (d.watches[i] == w)
			d.watches[i] = NULL;
	d.unwatched++;
}

/* Like autocert: the last event, and the watch is forgotten. */
static void play(void)
{
	for (int i = 0; i < RENEWALS_MAX; i++) {
		struct autocert_watch *w = d.watches[i];

		if (!w)
			continue;
		if (d.event.step == STEP_DONE)
			d.watches[i] = NULL;
		w->event(w, &d.event);
	}
	d.played++;
}

static void on_command(evutil_socket_t fd, short what, void *arg)
{
	char command;

	assert_int_equal(read(fd, &command, 1), 1);
	switch (command) {
	case 'd': finish_reloads(); break;
	case 'c': admin_configure(d.admin, &d.conf); break;
	case 'e': play(); break;
	case 'q': event_base_loopbreak(arg); break;
	}
}

static void *run(void *arg)
{
	const struct admin_ops ops = {
		.view = get_view,
		.unready = get_unready,
		.set_mode = set_mode,
		.reload = start_reload,
		.may_renew = may_renew,
		.renew = renew,
		.unwatch = unwatch,
	};
	struct event_base *base = event_base_new();
	struct event *commands =
		event_new(base, d.commands[0], EV_READ | EV_PERSIST, on_command, base);
	struct error err;

	event_add(commands, NULL);
	assert_int_equal(admin_start(d.admin, base, &ops, &err), 0);
	event_base_dispatch(base);
	finish_reloads();
	admin_close(d.admin);
	event_free(commands);
	event_base_free(base);
	return NULL;
}

void command(char c)
{
	assert_int_equal(write(d.commands[1], &c, 1), 1);
}

static uint16_t free_port(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	close(fd);
	return ntohs(in.sin_port);
}

void start_at(const char *address, const char *token)
{
	struct error err = {""};

	assert_int_equal(address_parse(&d.conf.address, address, &err), 0);
	d.conf.token = mem_strdup(token);
	d.admin = admin_open(&d.conf, &err);
	assert_string_equal(err.text, "");
	assert_non_null(d.admin);
	assert_int_equal(pipe(d.commands), 0);
	assert_int_equal(pthread_create(&d.thread, NULL, run, NULL), 0);
}

void start(const char *token)
{
	char address[64];

	d.port = free_port();
	snprintf(address, sizeof(address), "127.0.0.1:%u", d.port);
	start_at(address, token);
}

int stop(void **state)
{
	if (d.thread) {
		command('q');
		pthread_join(d.thread, NULL);
		close(d.commands[0]);
		close(d.commands[1]);
	}
	address_clear(&d.conf.address);
	free(d.conf.token);
	problems_clear(&d.reasons);
	problems_clear(&d.reload_problems);
	memset(&d, 0, sizeof(d));
	return 0;
}

void fill_routes(void)
{
	static char app[] = "app.example", wildcard[] = "*.app.example", shop[] = "shop.example",
		    a[] = "a", b[] = "b";
	static char *app_hosts[] = {app, wildcard}, *shop_hosts[] = {shop},
		    *shop_www[] = {wildcard, shop};
	static char *on_a[] = {a}, *on_b[] = {b, a};
	static const struct conf_route confs[] = {
		{.hosts = {app_hosts, 2}, .balance = BALANCE_SOURCE},
		{.hosts = {shop_hosts, 1}, .listeners = {on_a, 1}},
		{.hosts = {shop_www, 2},
			.listeners = {on_b, 2},
			.tls = ROUTE_PASSTHROUGH,
			.proxy_protocol = PROXY_PROTOCOL_V2},
	};
	static struct server failed = {.lock = PTHREAD_MUTEX_INITIALIZER};
	static struct admin_server servers[6];
	static const struct admin_server at_first[6] = {
		{.address = "127.0.0.1:8080",
			.weight = 1,
			.since = 1234,
			.active = 1,
			.connects = 2,
			.failures = 3,
			.checks_bad = 5},
		{.address = "a\"b\\c:1",
			.weight = 7,
			.backup = true,
			.no_address = true,
			.server = &failed,
			.active = 4,
			.connects = 5,
			.failures = 6},
		{.address = "127.0.0.1:8080", .weight = 1},
		{.address = "127.0.0.1:9", .mode = SERVER_DRAIN, .down = true},
		{.address = "127.0.0.1:9", .mode = SERVER_DISABLED},
		{.address = "127.0.0.1:9", .down = true},
	};
	static const struct admin_route routes[] = {
		{"app.example", &confs[0], servers, 3},
		{"shop.example@a", &confs[1], servers + 3, 1},
		{"*.app.example@b,a", &confs[2], servers + 4, 2},
	};

	failed.failure = (struct server_failure){1234, "its check failed: \"no\""};
	memcpy(servers, at_first, sizeof(servers)); /* tests change them */
	d.view.routes = routes;
	d.view.n_routes = 3;
}

/* ---- the client's side ---- */

int connect_to(void)
{
	struct timeval patience = {.tv_sec = 60}; /* so that a fault ends the test */
	struct endpoint e;
	int fd;

	assert_int_equal(address_to_endpoint(&d.conf.address, &e, NULL), 0);
	fd = socket(e.sa.sa_family, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, &e.sa, e.len), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

void send_text(int fd, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

/* Everything up to the end of the connection. Static storage of one answer. */
const char *receive(int fd)
{
	static char answer[1 << 20];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0)
		len += (size_t)n;
	assert_true(n == 0 || errno == ECONNRESET);
	answer[len] = '\0';
	close(fd);
	return answer;
}

const char *ask(const char *request)
{
	int fd = connect_to();

	send_text(fd, request);
	return receive(fd);
}

/* "GET /path", and lines of headers each ending in \r\n. */
const char *ask_with(const char *method_path, const char *headers)
{
	char request[4096];

	snprintf(request, sizeof(request), "%s HTTP/1.1\r\n%s\r\n", method_path, headers);
	return ask(request);
}

int status_of(const char *answer)
{
	int status = 0;

	if (sscanf(answer, "HTTP/%*d.%*d %d ", &status) != 1)
		fail_msg("no answer: %s", answer);
	return status;
}

const char *body_of(const char *answer)
{
	const char *body = strstr(answer, "\r\n\r\n");

	assert_non_null(body);
	return body + 4;
}

void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in: %s", part, text);
}

void assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" is in: %s", part, text);
}

/* The answer has this status and a JSON object with a message. Returns the message. */
const char *message_of(const char *answer, int status)
{
	static char message[1024];
	struct json_object *o, *m;

	if (status_of(answer) != status)
		fail_msg("not %d: %s", status, answer);
	assert_has(answer, "\r\nContent-Type: application/json\r\n");
	assert_has(answer, "\r\nCache-Control: no-store\r\n");
	o = json_tokener_parse(body_of(answer));
	assert_non_null(o);
	assert_true(json_object_object_get_ex(o, "message", &m));
	snprintf(message, sizeof(message), "%s", json_object_get_string(m));
	json_object_put(o);
	return message;
}

struct json_object *fetch_json(const char *path)
{
	char *url = mem_printf("http://127.0.0.1:%u%s", d.port, path);
	struct fetch_request req = {.method = "GET",
		.url = url,
		.bearer = d.conf.token,
		.timeout_ms = 10000,
		.max_bytes = 4 << 20};
	struct fetch_response res;
	struct json_object *o;
	struct error err;

	assert_int_equal(fetch(&req, &res, &err), 0);
	assert_int_equal(res.status, 200);
	o = json_tokener_parse(res.body);
	assert_non_null(o);
	fetch_response_clear(&res);
	free(url);
	return o;
}

void assert_json(struct json_object *o, const char *pointer, const char *want)
{
	struct json_object *part;

	if (json_pointer_get(o, pointer, &part) < 0)
		fail_msg("there is no %s", pointer);
	assert_string_equal(json_object_to_json_string_ext(part, JSON_C_TO_STRING_PLAIN), want);
}
