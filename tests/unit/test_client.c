/* What the commands print for what a daemon answers; the daemon is one that gives a fixed answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "certgen.h"
#include "client.h"

static struct {
	char *folder, *conf_file;
	int listening;
	char address[32];
	const char *answer;
	pthread_t thread;
	struct str out, err; /* what a command printed */
	int status;          /* and returned */
} t;

static void *serve(void *arg)
{
	char request[4096];
	int fd = accept(t.listening, NULL, NULL);
	size_t len = 0;
	ssize_t n;

	/* The requests end with their headers, or with a JSON object. */
	while ((n = recv(fd, request + len, sizeof(request) - 1 - len, 0)) > 0) {
		len += (size_t)n;
		request[len] = '\0';
		if (strstr(request, "\r\n\r\n") && (*request == 'G' || request[len - 1] == '}'))
			break;
	}
	send(fd, t.answer, strlen(t.answer), MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static int setup(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);

	t.listening = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(t.listening, (struct sockaddr *)&in, len), 0);
	assert_int_equal(getsockname(t.listening, (struct sockaddr *)&in, &len), 0);
	snprintf(t.address, sizeof(t.address), "127.0.0.1:%u", ntohs(in.sin_port));
	t.folder = certgen_temp();
	t.conf_file = mem_printf("%s/lintel.yaml", t.folder);
	return 0;
}

static int teardown(void **state)
{
	close(t.listening);
	free(t.conf_file);
	certgen_remove(t.folder);
	str_clear(&t.out);
	str_clear(&t.err);
	memset(&t, 0, sizeof(t));
	return 0;
}

static void read_back(struct str *s, FILE *f)
{
	char buf[4096];
	size_t n;

	str_clear(s);
	str_add(s, "", 0);
	rewind(f);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		str_add(s, buf, n);
	fclose(f);
}

static int status_table(const char *conf_file)
{
	return client_status(conf_file, false);
}

static int status_json(const char *conf_file)
{
	return client_status(conf_file, true);
}

static int certs_table(const char *conf_file)
{
	return client_certs(conf_file, false);
}

static int certs_json(const char *conf_file)
{
	return client_certs(conf_file, true);
}

static int renew_main(const char *conf_file)
{
	return client_renew(conf_file, "main");
}

static int renew_all(const char *conf_file)
{
	return client_renew(conf_file, NULL);
}

/* Runs a command with its two outputs in files. */
static void capture(int (*command)(const char *conf_file))
{
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
	FILE *out_file = tmpfile(), *err_file = tmpfile();

	fflush(stdout);
	fflush(stderr);
	dup2(fileno(out_file), STDOUT_FILENO);
	dup2(fileno(err_file), STDERR_FILENO);
	t.status = command(t.conf_file);
	fflush(stdout);
	fflush(stderr);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	read_back(&t.out, out_file);
	read_back(&t.err, err_file);
}

static void run(int (*command)(const char *conf_file), const char *status_line, const char *body)
{
	char *conf = mem_printf("admin: { address: %s, token: s3cret }\n", t.address);
	char *answer = mem_printf(
		"HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status_line, strlen(body), body);

	certgen_write_text(t.conf_file, conf, 0600);
	t.answer = answer;
	assert_int_equal(listen(t.listening, 1), 0);
	assert_int_equal(pthread_create(&t.thread, NULL, serve, NULL), 0);
	capture(command);
	pthread_join(t.thread, NULL);
	free(answer);
	free(conf);
}

static void assert_has(const struct str *s, const char *part)
{
	if (!strstr(s->data, part))
		fail_msg("\"%s\" is not in: %s", part, s->data);
}

static void reload_is_told(void **state)
{
	run(client_reload, "200 OK", "{\"message\":\"reloaded\"}");
	assert_int_equal(t.status, 0);
	assert_string_equal(t.out.data, "reloaded\n");
	assert_string_equal(t.err.data, "");

	run(client_reload, "422 x", "{\"message\":\"a\",\"errors\":[\"f:1:1: a\",\"f:2:1: b\"]}");
	assert_int_equal(t.status, 1);
	assert_string_equal(t.out.data, "");
	assert_string_equal(t.err.data, "f:1:1: a\nf:2:1: b\n");
}

static void other_answers_are_told(void **state)
{
	run(client_reload, "503 x", "{\"message\":\"busy\"}");
	assert_int_equal(t.status, 1);
	assert_string_equal(t.err.data, "lintel: the daemon answered 503: busy\n");

	run(status_table, "200 OK", "<html>");
	assert_int_equal(t.status, 1);
	assert_has(&t.err, "is another program at admin.address?");

	run(client_reload, "401 x", "{\"message\":\"no\"}");
	assert_int_equal(t.status, 1);
	assert_has(&t.err, t.address);
	assert_has(&t.err, t.conf_file);
	assert_has(&t.err, "refuses the token");
	assert_null(strstr(t.err.data, "s3cret"));
}

static void no_daemon_is_told(void **state)
{
	char *conf = mem_printf("admin: { address: %s }\n", t.address);

	certgen_write_text(t.conf_file, conf, 0600);
	capture(status_table);
	assert_int_equal(t.status, 1);
	assert_has(&t.err, t.address);
	assert_has(&t.err, "Connection refused");

	certgen_write_text(t.conf_file, "state_dir: /nowhere\n", 0600);
	capture(client_reload);
	assert_int_equal(t.status, 1);
	assert_has(&t.err, "there is no admin block");

	certgen_write_text(t.conf_file, "admin: { addres: x }\n", 0600);
	capture(client_reload);
	assert_int_equal(t.status, 1);
	assert_has(&t.err, "did you mean \"address\"?");
	free(conf);
}

static const char answer[] =
	"{\"version\":\"9.9\",\"pid\":12,\"started\":1000,\"uptime\":93784,\"loaded\":2000,"
	"\"config\":\"/etc/x.yaml\",\"workers\":2,\"draining\":true,"
	"\"reloads\":{\"succeeded\":1,\"failed\":2,\"last_error\":\"broken\"},"
	"\"connections\":{\"active\":3,\"total\":40,"
	"\"refused\":{\"per_ip\":0,\"rate\":5,\"route\":2}},\"bytes\":{\"in\":5,\"out\":1610612736}"
	","
	"\"handshakes\":{\"tls12\":1,\"tls13\":2,\"tls12_resumed\":3,\"tls13_resumed\":4,"
	"\"failed\":{\"timeout\":5,\"closed\":0,\"protocol\":1}},"
	"\"listeners\":[{\"name\":null,\"address\":\":443\",\"up\":true},"
	"{\"name\":\"b\",\"address\":\"127.0.0.1:8443\",\"up\":false}],"
	"\"routes_total\":2,\"routes\":[{\"key\":\"a.example@b\",\"hosts\":[\"a.example\"],"
	"\"hosts_total\":2,\"servers\":["
	"{\"address\":\"127.0.0.1:8080\",\"state\":\"up\",\"since\":null,\"down\":false,"
	"\"active\":1,\"connects\":22,\"failures\":0},"
	"{\"address\":\"127.0.0.1:8081\",\"state\":\"down\",\"since\":null,\"down\":true,"
	"\"active\":0,\"connects\":3,\"failures\":4,"
	"\"last_failure\":{\"time\":4102444800,\"message\":\"its check failed: HTTP 503\"}},"
	"{\"address\":\"unix:/x\",\"state\":\"drain\",\"since\":4102444800,\"down\":true,"
	"\"active\":0,\"connects\":0,\"failures\":7}]}],"
	"\"certificates\":{\"count\":1,\"earliest_not_after\":0}}\n";

static void status_is_a_table(void **state)
{
	run(status_table, "200 OK", answer);
	assert_int_equal(t.status, 0);
	assert_string_equal(t.err.data, "");
	assert_has(&t.out, "lintel 9.9, pid 12, up 1d 2h, 2 workers, draining\n");
	assert_has(&t.out, "configuration /etc/x.yaml, loaded 1970-01-01T00:33:20Z\n");
	assert_has(&t.out,
		"reloads       accepted 1, refused 2\n              the last one: broken\n");
	assert_has(&t.out, "connections   now 3, since start 40, refused 7 (rate 5, route 2)\n");
	assert_has(&t.out, "TLS 1.3 2, TLS 1.2 1, resumed 7, failed 6 (timeout 5, protocol 1)\n");
	assert_has(&t.out, "bytes         in 5 B, out 1.5 GiB\n");
	assert_has(&t.out, "certificates  1; the first ended 1970-01-01T00:00:00Z, ");
	assert_has(&t.out, "\nLISTENER        NAME  STATE\n"
			   ":443                  up\n"
			   "127.0.0.1:8443  b     down\n");
	assert_has(&t.out,
		"\n"
		"ROUTE           SERVER          STATE        SINCE   NOW  CONNECTS  FAILURES  "
		"LAST FAILURE\n"
		"a.example@b +1  127.0.0.1:8080  up           -       1    22        0         -\n"
		"                127.0.0.1:8081  down         -       0    3         4         "
		"0s ago: its check failed: HTTP 503\n"
		"                unix:/x         drain, down  0s ago  0    0         7         -\n"
		"and 1 more routes\n");
}

static int drain_server(const char *conf_file)
{
	return client_server(conf_file, "drain", "a.example", "127.0.0.1:8080");
}

static void servers_by_hand_are_told(void **state)
{
	run(drain_server, "200 OK",
		"{\"route\":\"a.example@b\",\"server\":{\"address\":\"127.0.0.1:8080\","
		"\"state\":\"drain\",\"down\":true,\"active\":3}}");
	assert_int_equal(t.status, 0);
	assert_string_equal(t.out.data, "route a.example@b: server 127.0.0.1:8080: drain, down; "
					"connections now: 3\n");
	run(drain_server, "404 x", "{\"message\":\"there is no route\"}");
	assert_int_equal(t.status, 1);
	assert_string_equal(t.out.data, "");
	assert_string_equal(t.err.data, "lintel: the daemon answered 404: there is no route\n");
	run(drain_server, "200 OK", "{}");
	assert_int_equal(t.status, 1);
	assert_has(&t.err, "is another program at admin.address?");
}

static void status_is_json(void **state)
{
	run(status_json, "200 OK", answer);
	assert_int_equal(t.status, 0);
	assert_string_equal(t.out.data, answer);
}

static void certs_are_a_table(void **state)
{
	int64_t now = clock_wall_s();
	char *body = mem_printf(
		"{\"total\":2,\"certificates\":["
		"{\"name\":\"main\",\"provider\":\"rfc2136\",\"domains\":[\"a.example\"],"
		"\"issuer\":\"The \\u001b[2JIssuer\",\"not_after\":4102444800,"
		"\"dns_names\":[\"a.example\",\"b.example\",\"c.example\",\"d.example\"],"
		"\"renewing\":false,\"next_renewal\":%" PRId64
		",\"next_renewal_reason\":\"its age\"},"
		"{\"name\":\"extra[1]\",\"domains\":[\"x.example\",\"y.example\"],"
		"\"renewing\":false,\"next_renewal\":%" PRId64 ","
		"\"next_renewal_reason\":\"there is no usable certificate\","
		"\"last_failure\":{\"time\":%" PRId64 ",\"message\":\"zone x.example: REFUSED\","
		"\"retry_at\":%" PRId64 ",\"attempts\":2}},"
		"{\"name\":\"extra[2]\",\"domains\":[\"z.example\"],\"renewing\":true,"
		"\"next_renewal_reason\":\"it ends soon\",\"not_after\":1000},"
		"{\"name\":\"tls.certificates\",\"dns_names\":[],\"issuer\":\"\","
		"\"not_after\":4102444800}]}\n",
		now + 86400 * 5 + 1800, now + 3630, now - 7210, now + 3630);

	run(certs_table, "200 OK", body);
	assert_int_equal(t.status, 0);
	assert_string_equal(t.err.data, "");
	assert_has(&t.out, "NAME              NAMES                    ISSUER");
	assert_has(&t.out, "main              a.example, b.example +2  The ?[2JIssuer  "
			   "2100-01-01T00:00:00Z  ");
	assert_has(&t.out, "  in 5d 0h: its age\n");
	assert_has(&t.out, "extra[1]          x.example, y.example     -               -"
			   "                     missing");
	assert_has(&t.out, "  in 1h 0m: there is no usable certificate\n");
	assert_has(&t.out, "1970-01-01T00:16:40Z  ended");
	assert_has(&t.out, "  now: it is being obtained\n");
	assert_has(&t.out, "tls.certificates  -  ");
	assert_has(&t.out, "\nextra[1] failed 2h 0m ago: zone x.example: REFUSED\n"
			   "it is tried again in 1h 0m; `lintel renew extra[1]` tries now\n");
	run(certs_json, "200 OK", body);
	assert_int_equal(t.status, 0);
	assert_string_equal(t.out.data, body);
	free(body);

	run(certs_table, "200 OK", "{\"total\":0,\"certificates\":[]}");
	assert_int_equal(t.status, 0);
	assert_string_equal(t.out.data, "there is no certificate, and autocert is to get none\n");
	run(certs_table, "200 OK", "[]");
	assert_int_equal(t.status, 1);
	assert_has(&t.err, "is another program at admin.address?");
}

#define EVENT(step, message)                                                                       \
	"{\"time\":\"2026-01-02T03:04:05Z\",\"provider\":\"main\",\"step\":\"" step                \
	"\",\"level\":\"info\",\"message\":\"" message "\"}\n"
#define DONE(ok)                                                                                   \
	"{\"time\":\"2026-01-02T03:04:05Z\",\"provider\":null,\"step\":\"done\","                  \
	"\"level\":\"info\",\"message\":\"x\",\"ok\":" ok "}\n"

static void renewals_are_shown(void **state)
{
	run(renew_all, "200 OK",
		EVENT("order", "order placed") EVENT("txt_set", "2 values are out") DONE("true"));
	assert_int_equal(t.status, 0);
	assert_string_equal(t.err.data, "");
	assert_string_equal(t.out.data, "2026-01-02T03:04:05Z  order     main: order placed\n"
					"2026-01-02T03:04:05Z  txt_set   main: 2 values are out\n");
	run(renew_main, "200 OK", EVENT("failed", "zone x: REFUSED") DONE("false"));
	assert_int_equal(t.status, 1);
	assert_has(&t.out, "main: zone x: REFUSED\n");
	assert_string_equal(t.err.data, "lintel: x\n");

	run(renew_main, "200 OK", "{\"message\":\"there is nothing to renew\"}\n");
	assert_int_equal(t.status, 0);
	assert_string_equal(t.out.data, "there is nothing to renew\n");
}

static void refused_renewals_are_told(void **state)
{
	run(renew_main, "409 x", "{\"message\":\"cert renewal already in progress\"}\n");
	assert_int_equal(t.status, 1);
	assert_string_equal(t.out.data, "");
	assert_has(&t.err, "409: cert renewal already in progress\n");
	run(renew_main, "404 x", "{\"message\":\"no such provider\"}");
	assert_int_equal(t.status, 1);
	assert_has(&t.err, "404: no such provider\n");
	run(renew_main, "401 x", "{\"message\":\"no\"}");
	assert_int_equal(t.status, 1);
	assert_has(&t.err, "refuses the token");

	run(renew_main, "200 OK", EVENT("order", "order placed"));
	assert_int_equal(t.status, 1);
	assert_has(&t.out, "order placed\n");
	assert_has(&t.err, "the daemon has gone away before the renewal was done\n");
	run(renew_main, "200 OK", "<html>\n</html>");
	assert_int_equal(t.status, 1);
	assert_has(&t.err, "is another program at admin.address?");
	run(renew_main, "200 OK", "[]\n1\nnull\n\"x\"\n");
	assert_int_equal(t.status, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(reload_is_told),
		TEST(other_answers_are_told),
		TEST(no_daemon_is_told),
		TEST(status_is_a_table),
		TEST(status_is_json),
		TEST(servers_by_hand_are_told),
		TEST(certs_are_a_table),
		TEST(renewals_are_shown),
		TEST(refused_renewals_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
