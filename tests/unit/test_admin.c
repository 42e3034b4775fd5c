/* The admin listener as clients see it, but for renewals (test_renew.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adminpeer.h"
#include "base/mem.h"
#include "base/str.h"
#include "certgen.h"
#include "http/fetch.h"

/* ---- requests ---- */

static void healthz_is_ok(void **state)
{
	const char *answer;

	start(NULL);
	answer = ask_with("GET /healthz", HOST);
	assert_int_equal(status_of(answer), 200);
	assert_has(answer, "\r\nContent-Type: text/plain; charset=utf-8\r\n");
	assert_has(answer, "\r\nCache-Control: no-store\r\n");
	assert_string_equal(body_of(answer), "ok");

	answer = ask_with("HEAD /healthz", HOST);
	assert_int_equal(status_of(answer), 200);
	assert_has(answer, "\r\nContent-Length: 2\r\n");
	assert_string_equal(body_of(answer), "");
}

static void readyz_gives_reasons(void **state)
{
	const char *answer;

	start(NULL);
	assert_string_equal(message_of(ask_with("GET /readyz", HOST), 200), "ready");
	problems_add(&d.reasons, "listener :443 is not up");
	answer = ask_with("GET /readyz", HOST);
	assert_string_equal(message_of(answer, 503), "not ready");
	assert_has(answer, "\"reasons\":[\"listener :443 is not up\"]");

	answer = ask_with("GET /readyz", "Host: evil.example\r\n");
	assert_string_equal(message_of(answer, 503), "not ready");
	assert_lacks(answer, "listener");
}

static void token_is_wanted(void **state)
{
	const char *answer;

	start("sesame");
	answer = ask_with("GET /api/v1/version", HOST);
	message_of(answer, 401);
	assert_has(answer, "\r\nWWW-Authenticate: Bearer");
	message_of(ask_with("GET /api/v1/version", HOST "Authorization: Bearer sesam\r\n"), 401);
	message_of(ask_with("GET /api/v1/version", HOST "Authorization: Bearer sesame2\r\n"), 401);
	/* Their SHA-256 begin with the same byte. */
	message_of(ask_with("GET /api/v1/version", HOST "Authorization: Bearer 61\r\n"), 401);
	message_of(ask_with("GET /api/v1/version", HOST "Authorization: Basic sesame\r\n"), 401);
	message_of(ask_with("GET /nothing", HOST), 401);
	message_of(ask_with("POST /api/v1/reload", HOST "Content-Type: application/json\r\n"), 401);
}

static void token_opens(void **state)
{
	const char *answer;

	start("sesame");
	answer = ask_with(
		"GET /api/v1/version", "Host: any.example\r\nAuthorization: bearer sesame\r\n");
	assert_int_equal(status_of(answer), 200);
	json_object_put(fetch_json("/api/v1/version"));
	assert_int_equal(status_of(ask_with("GET /healthz", HOST)), 200);

	problems_add(&d.reasons, "draining");
	answer = ask_with("GET /readyz", HOST);
	message_of(answer, 503);
	assert_lacks(answer, "draining");
	answer = ask_with("GET /readyz", HOST "Authorization: Bearer sesame\r\n");
	message_of(answer, 503);
	assert_has(answer, "draining");
}

static void reload_changes_the_token(void **state)
{
	const char *answer;

	start("old");
	free(d.conf.token);
	d.conf.token = mem_strdup("new");
	command('c');
	do /* until the other thread has seen the command */
		answer = ask_with("GET /api/v1/version", HOST "Authorization: Bearer new\r\n");
	while (status_of(answer) == 401);
	assert_int_equal(status_of(answer), 200);
	message_of(ask_with("GET /api/v1/version", HOST "Authorization: Bearer old\r\n"), 401);
}

static void foreign_hosts_are_refused(void **state)
{
	static const char *const ours[] = {
		"localhost", "LocalHost:1", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:8888"};
	static const char *const foreign[] = {"evil.example", "localhost.evil.example", "10.0.0.1",
		"192.0.2.1", "127.0.0.1.evil.example:80", "[::2]", "[::1", "", "localhost:80:80",
		"::1"};
	char header[128];

	start(NULL);
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		snprintf(header, sizeof(header), "Host: %s\r\n", ours[i]);
		assert_int_equal(status_of(ask_with("GET /api/v1/version", header)), 200);
	}
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		snprintf(header, sizeof(header), "Host: %s\r\n", foreign[i]);
		message_of(ask_with("GET /api/v1/version", header), 403);
		message_of(ask_with("GET /metrics", header), 403);
		assert_int_equal(status_of(ask_with("GET /healthz", header)), 200);
	}
}

static void odd_requests_are_refused(void **state)
{
	start(NULL);
	message_of(ask_with("GET /api/v1/version", HOST HOST), 400);
	message_of(ask_with("GET /healthz", "Host: a\r\nhost: b\r\n"), 400);
	message_of(ask_with("GET /api/v1/version", ""), 400);
	message_of(ask("GET /api/v1/version HTTP/1.0\r\n\r\n"), 403);
	message_of(ask_with("GET http://localhost/api/v1/version", HOST), 400);
	message_of(ask_with("GET //localhost/api/v1/version", HOST), 400);
	assert_int_equal(status_of(ask_with("BREW /healthz", HOST)), 501);
	assert_int_equal(status_of(ask("nonsense\r\n\r\n")), 400);
}

static void unknown_paths_and_methods(void **state)
{
	const char *answer;

	start(NULL);
	message_of(ask_with("GET /", HOST), 404);
	message_of(ask_with("GET /api/v1/version/", HOST), 404);
	message_of(ask_with("OPTIONS *", HOST), 404);
	answer = ask_with("DELETE /api/v1/version", HOST);
	message_of(answer, 405);
	assert_has(answer, "\r\nAllow: GET, HEAD\r\n");
	answer = ask_with("GET /api/v1/reload", HOST);
	message_of(answer, 405);
	assert_has(answer, "\r\nAllow: POST\r\n");
	assert_int_equal(status_of(ask_with("GET /api/v1/version?x=1", HOST)), 200);
	message_of(ask_with("GET /api/v1/cert/info", HOST), 404);
}

#define RELOAD(headers) "POST /api/v1/reload HTTP/1.1\r\n" headers "\r\n{}"

static void reload_answers(void **state)
{
	const char *answer;

	start(NULL);
	d.reload_at_once = true;
	assert_string_equal(message_of(ask(RELOAD(HOST JSON)), 200), "reloaded");
	problems_add(&d.reload_problems, "lintel.yaml:1:1: first");
	problems_add(&d.reload_problems, "lintel.yaml:2:1: second");
	answer = ask(RELOAD(HOST JSON));
	assert_string_equal(message_of(answer, 422), "lintel.yaml:1:1: first");
	assert_has(answer, "\"errors\":[\"lintel.yaml:1:1: first\",\"lintel.yaml:2:1: second\"]");
	assert_int_equal(d.reloads, 2);
}

static void forged_reloads_are_refused(void **state)
{
	start(NULL);
	d.reload_at_once = true;
	message_of(ask(RELOAD(HOST JSON "Origin: http://evil.example\r\n")), 403);
	message_of(ask(RELOAD(HOST JSON "Origin: null\r\n")), 403);
	message_of(ask(RELOAD(HOST JSON "Origin: http://localhost:1\r\n")), 403);
	message_of(ask(RELOAD(HOST "Content-Type: text/plain\r\nContent-Length: 2\r\n")), 415);
	message_of(
		ask(RELOAD(HOST "Content-Type: application/jsonx\r\nContent-Length: 2\r\n")), 415);
	message_of(ask(RELOAD(HOST "Content-Length: 2\r\n")), 415);
	assert_int_equal(d.reloads, 0);
	message_of(ask(RELOAD(HOST JSON "Origin: http://LOCALHOST\r\n")), 200);
	message_of(ask(RELOAD(HOST "Content-Type: application/json; charset=utf-8\r\n"
				   "Content-Length: 2\r\n")),
		200);
	assert_int_equal(d.reloads, 2);
}

/* Whichever of them would be taken: who stands in front may have looked at the other. */
static void what_decides_stands_once(void **state)
{
	static const struct {
		const char *twice, *message;
	} cases[] = {
		{RELOAD(HOST JSON "Origin: http://localhost\r\nOrigin: http://evil.example\r\n"),
			"the request has more than one Origin header"},
		{RELOAD(HOST JSON "content-type: text/plain\r\n"),
			"the request has more than one Content-Type header"},
		{RELOAD(HOST JSON "Authorization: Bearer x\r\nAuthorization: Bearer y\r\n"),
			"the request has more than one Authorization header"},
	};

	start(NULL);
	d.reload_at_once = true;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(message_of(ask(cases[i].twice), 400), cases[i].message);
	assert_int_equal(d.reloads, 0);
}

static void wait_for_reloads(int n)
{
	while (d.reloads < n)
		usleep(1000);
}

static void several_reloads_wait(void **state)
{
	int fds[3];

	start(NULL);
	for (int i = 0; i < 3; i++) {
		fds[i] = connect_to();
		send_text(fds[i], RELOAD(HOST JSON));
	}
	wait_for_reloads(3);
	assert_int_equal(status_of(ask_with("GET /healthz", HOST)), 200);
	command('d');
	for (int i = 0; i < 3; i++)
		message_of(receive(fds[i]), 200);
}

static void client_leaves_during_a_reload(void **state)
{
	struct linger reset = {.l_onoff = 1};
	int fd;

	start(NULL);
	fd = connect_to();
	send_text(fd, RELOAD(HOST JSON));
	wait_for_reloads(1);
	close(fd);
	fd = connect_to();
	send_text(fd, RELOAD(HOST JSON));
	wait_for_reloads(2);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	command('d');
	assert_int_equal(status_of(ask_with("GET /healthz", HOST)), 200);
}

static void stop_during_a_reload(void **state)
{
	int fd;

	start(NULL);
	fd = connect_to();
	send_text(fd, RELOAD(HOST JSON));
	wait_for_reloads(1);
	stop(NULL); /* calls `done`, then closes */
	receive(fd);
}

static void large_requests_are_refused(void **state)
{
	size_t size = (64 << 10) + 1;
	char *filler = mem_zalloc(size + 1), *request;
	int fd;

	start(NULL);
	d.reload_at_once = true;
	memset(filler, 'x', size);
	request = mem_printf("GET /healthz HTTP/1.1\r\n" HOST "X: %.8192s\r\n\r\n", filler);
	assert_int_equal(status_of(ask(request)), 400);
	free(request);

	request = mem_printf("POST /api/v1/reload HTTP/1.1\r\n" HOST
			     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		size);
	assert_int_equal(status_of(ask(request)), 413);
	free(request);

	request = mem_printf("POST /api/v1/reload HTTP/1.1\r\n" HOST
			     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%.*s",
		size - 1, (int)size - 1, filler);
	fd = connect_to();
	send_text(fd, request);
	message_of(receive(fd), 200);
	free(request);
	free(filler);
}

/* evhttp takes what follows its own error page, or an answer, for the next request. */
static void bodies_are_no_requests(void **state)
{
	const char *answer;

	start(NULL);
	d.reload_at_once = true;
	answer = ask("POST /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n"
		     "Content-Type: text/plain\r\nContent-Length: 99999\r\n\r\n" RELOAD(HOST JSON));
	assert_int_equal(status_of(answer), 413);
	answer = ask(
		"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200\r\n\r\n" RELOAD(
			HOST JSON));
	assert_int_equal(status_of(answer), 200);
	assert_lacks(answer + 1, "HTTP/1.1");
	answer = ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\nExpect: x\r\n"
		     "Content-Length: 200\r\n\r\n" RELOAD(HOST JSON));
	assert_int_equal(status_of(answer), 417);
	assert_int_equal(d.reloads, 0);
}

static void slow_requests_are_ended(void **state)
{
	struct pollfd p = {.events = POLLIN};
	int tries = 0;

	start(NULL);
	p.fd = connect_to();
	send_text(p.fd, "GET /healthz HTTP/1.1\r\nX: ");
	/* A byte every 100 ms, which no idle timer would mind. */
	while (poll(&p, 1, 100) == 0) {
		assert_true(++tries < 600);
		send(p.fd, "x", 1, MSG_NOSIGNAL);
	}
	assert_string_equal(receive(p.fd), "");
}

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void connections_are_limited(void **state)
{
	int fds[100], last;
	unsigned before;

	start(NULL);
	assert_int_equal(status_of(ask_with("GET /healthz", HOST)), 200);
	before = count_fds();
	for (int i = 0; i < 100; i++)
		fds[i] = connect_to();
	/* `before` may count the first connection, which was about to be closed. */
	while (count_fds() < before + 100 + 63)
		usleep(1000);
	last = connect_to();
	send_text(last, "GET /healthz HTTP/1.1\r\n" HOST "\r\n");
	for (int i = 0; i < 50; i++)
		close(fds[i]);
	/* The 36 that waited in the backlog and `last` are accepted now, and not before. */
	assert_int_equal(status_of(receive(last)), 200);
	assert_true(count_fds() <= before + 50 + 64);
	for (int i = 50; i < 100; i++)
		close(fds[i]);
}

/* ---- unix socket ---- */

static void works_on_a_unix_socket(void **state)
{
	char *folder = certgen_temp(), *path, *address;
	struct fetch_request req = {.method = "GET",
		.url = "http://any.example/api/v1/version",
		.timeout_ms = 10000,
		.max_bytes = 1 << 20};
	struct fetch_response res;
	struct error err;
	struct stat st;

	path = mem_printf("%s/admin.sock", folder);
	address = mem_printf("unix:%s", path);
	start_at(address, NULL);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0660);
	req.unix_path = path;
	assert_int_equal(fetch(&req, &res, &err), 0);
	assert_int_equal(res.status, 200);
	fetch_response_clear(&res);

	/* A second one finds it alive, and leaves it. */
	assert_null(admin_open(&d.conf, &err));
	assert_has(err.text, "is taken");
	assert_int_equal(fetch(&req, &res, &err), 0);
	fetch_response_clear(&res);

	stop(NULL);
	assert_int_equal(lstat(path, &st), -1);
	certgen_remove(folder);
	free(path);
	free(address);
}

/* Another daemon's, say, that was started where ours was removed by hand. */
static void leaves_the_socket_of_others(void **state)
{
	char *folder = certgen_temp(), *path, *address, *away;
	struct stat st;

	path = mem_printf("%s/admin.sock", folder);
	away = mem_printf("%s/away", folder);
	address = mem_printf("unix:%s", path);
	start_at(address, NULL);
	assert_int_equal(rename(path, away), 0);
	certgen_write_text(path, "", 0600);
	stop(NULL);
	assert_int_equal(lstat(path, &st), 0);
	certgen_remove(folder);
	free(path);
	free(away);
	free(address);
}

static void takes_over_a_stale_unix_socket(void **state)
{
	char *folder = certgen_temp(), *path, *address;
	struct endpoint e;
	struct error err;
	int fd;

	path = mem_printf("%s/admin.sock", folder);
	address = mem_printf("unix:%s", path);
	assert_int_equal(address_parse(&d.conf.address, address, &err), 0);
	assert_int_equal(address_to_endpoint(&d.conf.address, &e, &err), 0);

	/* What is no socket is left alone. */
	fclose(fopen(path, "w"));
	assert_null(admin_open(&d.conf, &err));
	assert_has(err.text, path);
	assert_int_equal(unlink(path), 0);
	address_clear(&d.conf.address);

	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, &e.sa, e.len), 0);
	close(fd);
	start_at(address, NULL);
	assert_int_equal(status_of(ask_with("GET /api/v1/version", "Host: x\r\n")), 200);
	stop(NULL);
	certgen_remove(folder);
	free(path);
	free(address);
}

static void taken_port_is_said(void **state)
{
	struct error err;

	start(NULL);
	assert_null(admin_open(&d.conf, &err));
	assert_has(err.text, d.conf.address.text);
	assert_has(err.text, "is taken");
}

/* ---- what it says ---- */

static void fill_view(void)
{
	static const struct admin_listener listeners[] = {
		{"https", ":443", true}, {NULL, ":8443", false}};

	d.view = (struct admin_view){.started = 1000,
		.loaded = 2000,
		.reloads_ok = 7,
		.reloads_failed = 8,
		.last_reload_error = "lintel.yaml:1:1: broken",
		.workers = 2,
		.listeners = listeners,
		.n_listeners = 2};
	fill_routes();
	d.view.stats.accepted = 30;
	d.view.stats.closed = 10;
	d.view.stats.bytes_in = 18446744073709551615u;
	d.view.stats.accept_paused_ms = 1050;
	d.view.stats.handshake_failures[HANDSHAKE_TIMEOUT] = 9;
	d.view.stats.refused[REFUSED_PER_IP] = 8;
}

static void status_tells_all(void **state)
{
	struct json_object *o;

	fill_view();
	start(NULL);
	o = fetch_json("/api/v1/status");
	assert_json(o, "/started", "1000");
	assert_json(o, "/loaded", "2000");
	assert_json(o, "/workers", "2");
	assert_json(o, "/draining", "false");
	assert_json(o, "/connections",
		"{\"active\":20,\"total\":30,\"refused\":{\"per_ip\":8,\"rate\":0,"
		"\"handshake_rate\":0,\"route\":0}}");
	assert_json(o, "/bytes/in", "18446744073709551615");
	assert_json(o, "/reloads/failed", "8");
	assert_json(o, "/reloads/last_error", "\"lintel.yaml:1:1: broken\"");
	assert_json(o, "/handshakes/failed/timeout", "9");
	assert_json(o, "/counters/accept_paused_ms", "1050");
	assert_json(o, "/listeners/0", "{\"name\":\"https\",\"address\":\":443\",\"up\":true}");
	assert_json(o, "/listeners/1/name", "null");
	assert_json(o, "/routes/0/hosts", "[\"app.example\",\"*.app.example\"]");
	assert_json(o, "/routes/0/servers/1/failures", "6");
	assert_json(o, "/routes/0/servers/1/up", "false");
	assert_json(o, "/routes_total", "3");
	assert_json(o, "/certificates", "{\"count\":0,\"earliest_not_after\":null}");
	json_object_put(o);
}

/* Each sample's family has HELP and TYPE before it, families are not torn apart, and no sample is
 * there twice. */
static void check_exposition(char *text)
{
	char *lines[512], *save, *names[128];
	size_t n = 0, n_names = 0;

	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		assert_true(n < 512);
		lines[n++] = l;
	}
	for (size_t i = 0; i < n; i++) {
		size_t len = strcspn(lines[i], "{ ");

		if (str_starts(lines[i], "# HELP ")) {
			names[n_names] = mem_strndup(lines[i] + 7, strcspn(lines[i] + 7, " "));
			assert_true(str_starts(lines[i + 1], "# TYPE "));
			for (size_t k = 0; k < n_names; k++)
				assert_string_not_equal(names[k], names[n_names]);
			n_names++;
			i++;
			continue;
		}
		assert_int_equal(strlen(names[n_names - 1]), len);
		assert_memory_equal(lines[i], names[n_names - 1], len);
		len = (size_t)(strrchr(lines[i], ' ') - lines[i]);
		for (size_t k = 0; k < i; k++)
			assert_true(strncmp(lines[k], lines[i], len + 1) != 0);
	}
	while (n_names)
		free(names[--n_names]);
}

static void metrics_are_well_formed(void **state)
{
	const char *answer;
	char *text;

	fill_view();
	start(NULL);
	answer = ask_with("GET /metrics", HOST);
	assert_int_equal(status_of(answer), 200);
	assert_has(answer, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	assert_has(answer, "\nlintel_connections_accepted_total 30\n");
	assert_has(answer, "\nlintel_connections_active 20\n");
	assert_has(answer, "\nlintel_accept_paused_seconds_total 1.050\n");
	assert_has(answer, "\nlintel_handshake_failures_total{reason=\"timeout\"} 9\n");
	assert_has(answer, "\nlintel_connections_refused_total{reason=\"per_ip\"} 8\n");
	assert_has(answer, "\nlintel_server_up{route=\"app.example\",server="
			   "\"a\\\"b\\\\c:1\"} 0\n");
	assert_has(
		answer, "\nlintel_server_up{route=\"app.example\",server=\"127.0.0.1:8080\"} 1\n");
	assert_has(answer,
		"\nlintel_server_mode{route=\"shop.example@a\",server=\"127.0.0.1:9\"} 1\n");
	assert_has(answer,
		"\nlintel_server_down{route=\"shop.example@a\",server=\"127.0.0.1:9\"} 1\n");
	assert_has(answer, "\nlintel_server_checks_total{route=\"app.example\",server="
			   "\"127.0.0.1:8080\",result=\"failure\"} 5\n");
	assert_has(answer, "\nlintel_listener_up{name=\"\",address=\":8443\"} 0\n");
	assert_has(answer, "\nlintel_config_last_reload_successful 0\n");
	text = mem_strdup(body_of(answer));
	check_exposition(text);
	free(text);

	/* One was accepted and closed while they were added up. */
	d.view.stats.closed = d.view.stats.accepted + 1;
	answer = ask_with("GET /metrics", HOST);
	assert_has(answer, "\nlintel_connections_active 0\n");
}

/* Every counter that a worker has is told. */
static void metrics_are_complete(void **state)
{
	const char *answer;
	uint64_t value = 770000;
	char number[32];

	start(NULL);
#define X(name) d.view.stats.name = value += 1000;
	STATS_FIELDS(X)
#undef X
	answer = ask_with("GET /metrics", HOST);
	for (uint64_t v = 771000; v <= value; v += 1000) {
		if (v == d.view.stats.accept_paused_ms) /* in seconds */
			continue;
		snprintf(number, sizeof(number), " %llu\n", (unsigned long long)v);
		assert_has(answer, number);
	}
}

static void add_certificate(
	const char *folder_name, const char *name, struct certgen g, const char *issuer_name)
{
	EVP_PKEY *issuer_key = certgen_key("P-256");
	X509 *issuer = certgen_cert(&(struct certgen){.cn = issuer_name, .key = issuer_key});
	char *path = mem_printf("%s/%s", folder_name, name), *cert, *key, *both;
	X509 *x;

	g.key = certgen_key("P-256");
	g.issuer = issuer;
	g.issuer_key = issuer_key;
	x = certgen_cert(&g);
	cert = certgen_cert_pem(x);
	key = certgen_key_pem(g.key);
	both = certgen_join(cert, key, NULL);
	certgen_write_text(path, both, 0600);
	X509_free(x);
	X509_free(issuer);
	EVP_PKEY_free(g.key);
	EVP_PKEY_free(issuer_key);
	free(path);
	free(cert);
	free(key);
	free(both);
}

static void certificates_are_told(void **state)
{
	char *dir = certgen_temp(), want[1024];
	/* `dir` twice: a file is a certificate twice in the table, but one time series. */
	struct certs_source sources[] = {
		{.place = "test", .dir = dir}, {.place = "test", .dir = dir}};
	struct problems p = {0};
	struct json_object *o;
	struct certs *certs;
	const char *answer;
	char *text;

	add_certificate(dir, "a.pem",
		(struct certgen){.cn = "main",
			.alt_names = "DNS:a.example,DNS:*.a.example,email:me@a.example"},
		"The Issuer");
	add_certificate(dir, "b.pem",
		(struct certgen){.alt_names = "DNS:b.example", .from_s = -60, .until_s = 60}, NULL);
	certs = certs_build(sources, 2, NULL, &p);
	assert_non_null(certs);
	d.view.certs = certs;
	start(NULL);

	o = fetch_json("/api/v1/cert/info");
	assert_json(o, "/0/subject", "\"main\"");
	assert_json(o, "/0/issuer", "\"The Issuer\"");
	assert_json(o, "/0/dns_names", "[\"a.example\",\"*.a.example\"]");
	assert_json(o, "/0/email_addresses", "[\"me@a.example\"]");
	snprintf(want, sizeof(want), "%lld", (long long)certs_at(certs, 0)->not_before);
	assert_json(o, "/0/not_before", want);
	snprintf(want, sizeof(want), "%lld", (long long)certs_at(certs, 0)->not_after);
	assert_json(o, "/0/not_after", want);
	assert_json(o, "/1/subject", "\"\"");
	assert_json(o, "/1/email_addresses", "[]");
	json_object_put(o);

	o = fetch_json("/api/v1/status");
	snprintf(want, sizeof(want), "%lld", (long long)certs_at(certs, 1)->not_after);
	assert_json(o, "/certificates/earliest_not_after", want);
	json_object_put(o);

	answer = ask_with("GET /metrics", HOST);
	snprintf(want, sizeof(want),
		"\nlintel_certificate_not_after_timestamp_seconds{name=\"b.example\",kind="
		"\"ecdsa\","
		"file=\"%s/b.pem\"} %lld\n",
		dir, (long long)certs_at(certs, 1)->not_after);
	assert_has(answer, want);
	text = mem_strdup(body_of(answer));
	check_exposition(text);
	free(text);
	stop(NULL);
	certs_unref(certs);
	certgen_remove(dir);
}

static void providers_are_told(void **state)
{
	static char names[4][16] = {"main", "extra[1]", "extra[2]", "extra[3]"};
	static char apex[] = "a.example", wildcard[] = "*.a.example", why[] = "x \"y\": REFUSED";
	char *domains[] = {apex, wildcard};
	char *dir = certgen_temp(), *file = mem_printf("%s/a.pem", dir), want[1024], *text;
	struct certs_source sources[] = {{.place = "test", .dir = dir}};
	struct conf_autocert confs[] = {
		{.name = names[0], .provider = PROVIDER_PSEUDO, .domains = {domains, 2}},
		{.name = names[1], .provider = PROVIDER_RFC2136, .domains = {domains, 1}},
		{.name = names[2], .provider = PROVIDER_LOCAL},
		{.name = names[3], .provider = PROVIDER_PSEUDO, .domains = {domains, 1}},
	};
	struct obtained good = {.renew_at = 4000000000, .why = WHY_AGE};
	struct obtained failed = {.why = WHY_MISSING,
		.state = {.attempts = 3,
			.failed_at = 1700000000,
			.retry_at = 1700003600,
			.failure = why}};
	struct admin_autocert shown[] = {
		{.conf = &confs[0], .last = &good, .renewals = 5, .failures = 1},
		{.conf = &confs[1], .last = &failed, .running = true, .failures = 3},
		{.conf = &confs[2]}, {.conf = &confs[3]}, /* not looked at yet */
	};
	struct problems p = {0};
	struct json_object *o, *none;
	struct certs *certs;
	const char *answer;

	for (int i = 0; i < 4; i++)
		confs[i].cert_path = file;
	add_certificate(dir, "a.pem",
		(struct certgen){.alt_names = "DNS:a.example,DNS:*.a.example"}, "The Issuer");
	add_certificate(dir, "b.pem", (struct certgen){.alt_names = "DNS:b.example"}, NULL);
	certs = certs_build(sources, 1, NULL, &p);
	assert_non_null(certs);
	shown[0].cert = certs_at(certs, strcmp(certs_at(certs, 0)->file, file) != 0);
	d.view.certs = certs;
	d.view.autocerts = shown;
	d.view.n_autocerts = 4;
	start(NULL);

	o = fetch_json("/api/v1/certs");
	assert_json(o, "/total", "2");
	assert_json(o, "/certificates/0/name", "\"main\"");
	assert_json(o, "/certificates/0/provider", "\"pseudo\"");
	assert_json(o, "/certificates/0/domains", "[\"a.example\",\"*.a.example\"]");
	assert_json(o, "/certificates/0/dns_names", "[\"a.example\",\"*.a.example\"]");
	assert_json(o, "/certificates/0/issuer", "\"The Issuer\"");
	snprintf(want, sizeof(want), "%lld", (long long)shown[0].cert->not_after);
	assert_json(o, "/certificates/0/not_after", want);
	assert_json(o, "/certificates/0/renewing", "false");
	assert_json(o, "/certificates/0/renewals", "5");
	assert_json(o, "/certificates/0/failures", "1");
	assert_json(o, "/certificates/0/next_renewal", "4000000000");
	assert_json(o, "/certificates/0/next_renewal_reason", "\"its age\"");
	assert_int_equal(json_pointer_get(o, "/certificates/0/serial", &none), 0);
	assert_int_equal(json_pointer_get(o, "/certificates/0/last_failure", &none), -1);
	assert_json(o, "/certificates/1/name", "\"extra[1]\"");
	assert_json(o, "/certificates/1/provider", "\"rfc2136\"");
	assert_json(o, "/certificates/1/renewing", "true");
	assert_json(o, "/certificates/1/next_renewal", "1700003600");
	assert_json(o, "/certificates/1/last_failure",
		"{\"time\":1700000000,\"message\":\"x \\\"y\\\": REFUSED\","
		"\"retry_at\":1700003600,\"attempts\":3}");
	assert_int_equal(json_pointer_get(o, "/certificates/1/not_after", &none), -1);
	assert_json(o, "/certificates/2/name", "\"extra[3]\"");
	assert_int_equal(json_pointer_get(o, "/certificates/2/next_renewal_reason", &none), -1);
	assert_json(o, "/certificates/3/name", "\"tls.certificates\"");
	assert_json(o, "/certificates/3/dns_names", "[\"b.example\"]");
	assert_int_equal(json_pointer_get(o, "/certificates/4", &none), -1);
	json_object_put(o);

	answer = ask_with("GET /metrics", HOST);
#define OF(provider, name) "\nlintel_autocert_" name "{provider=\"" provider "\"} "
	assert_has(answer, OF("main", "next_renewal_timestamp_seconds") "4000000000\n");
	assert_has(answer, OF("main", "last_failure_timestamp_seconds") "0\n");
	assert_has(answer, OF("main", "renewals_total") "5\n");
	assert_has(answer, OF("extra[1]", "not_after_timestamp_seconds") "0\n");
	assert_has(answer, OF("extra[1]", "last_failure_timestamp_seconds") "1700000000\n");
	assert_has(answer, OF("extra[1]", "failures_total") "3\n");
	assert_lacks(answer, "extra[2]");
	text = mem_strdup(body_of(answer));
	check_exposition(text);
	free(text);
	stop(NULL);
	certs_unref(certs);
	certgen_remove(dir);
	free(file);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, stop)
	const struct CMUnitTest tests[] = {
		TEST(healthz_is_ok),
		TEST(readyz_gives_reasons),
		TEST(token_is_wanted),
		TEST(token_opens),
		TEST(reload_changes_the_token),
		TEST(foreign_hosts_are_refused),
		TEST(odd_requests_are_refused),
		TEST(unknown_paths_and_methods),
		TEST(reload_answers),
		TEST(forged_reloads_are_refused),
		TEST(what_decides_stands_once),
		TEST(several_reloads_wait),
		TEST(client_leaves_during_a_reload),
		TEST(stop_during_a_reload),
		TEST(large_requests_are_refused),
		TEST(bodies_are_no_requests),
		TEST(slow_requests_are_ended),
		TEST(connections_are_limited),
		TEST(works_on_a_unix_socket),
		TEST(leaves_the_socket_of_others),
		TEST(takes_over_a_stale_unix_socket),
		TEST(taken_port_is_said),
		TEST(status_tells_all),
		TEST(metrics_are_well_formed),
		TEST(metrics_are_complete),
		TEST(certificates_are_told),
		TEST(providers_are_told),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
