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
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

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

	/* The requests end with their headers, or with "{}". */
	while ((n = recv(fd, request + len, sizeof(request) - 1 - len, 0)) > 0) {
		len += (size_t)n;
		request[len] = '\0';
		if (strstr(request, "\r\n\r\n") &&
			(*request == 'G' || str_starts(request + len - 2, "{}")))
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
	"\"connections\":{\"active\":3,\"total\":40},\"bytes\":{\"in\":5,\"out\":1610612736},"
	"\"handshakes\":{\"tls12\":1,\"tls13\":2,\"tls12_resumed\":3,\"tls13_resumed\":4,"
	"\"failed\":{\"timeout\":5,\"closed\":0,\"protocol\":1}},"
	"\"listeners\":[{\"name\":null,\"address\":\":443\",\"up\":true},"
	"{\"name\":\"b\",\"address\":\"127.0.0.1:8443\",\"up\":false}],"
	"\"routes_total\":2,\"routes\":[{\"hosts\":[\"a.example\",\"b.example\"],\"servers\":["
	"{\"address\":\"127.0.0.1:8080\",\"up\":true,\"active\":1,\"connects\":22,\"failures\":0},"
	"{\"address\":\"unix:/x\",\"up\":false,\"active\":0,\"connects\":0,\"failures\":7}]}],"
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
	assert_has(&t.out, "connections   now 3, since start 40\n");
	assert_has(&t.out, "TLS 1.3 2, TLS 1.2 1, resumed 7, failed 6 (timeout 5, protocol 1)\n");
	assert_has(&t.out, "bytes         in 5 B, out 1.5 GiB\n");
	assert_has(&t.out, "certificates  1; the first ended 1970-01-01T00:00:00Z, ");
	assert_has(&t.out, "\nLISTENER        NAME  STATE\n"
			   ":443                  up\n"
			   "127.0.0.1:8443  b     down\n");
	assert_has(&t.out, "\nROUTE         SERVER          STATE  NOW  CONNECTS  FAILURES\n"
			   "a.example +1  127.0.0.1:8080  up     1    22        0\n"
			   "              unix:/x         down   0    0         7\n"
			   "and 1 more routes\n");
}

static void status_is_json(void **state)
{
	run(status_json, "200 OK", answer);
	assert_int_equal(t.status, 0);
	assert_string_equal(t.out.data, answer);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
