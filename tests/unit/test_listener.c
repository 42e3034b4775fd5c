/* Listening sockets: what may be opened beside what, and what is said when it may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "certgen.h"
#include "proxy/listener.h"

static char *folder;

static struct listener *open_text(
	const char *text, size_t workers, const struct listeners *others, struct error *err)
{
	struct address a;
	struct listener *l = NULL;

	assert_int_equal(address_parse(&a, text, err), 0);
	if (listener_check_free(&a, others, err) == 0)
		l = listener_open(&a, workers, err);
	address_clear(&a);
	return l;
}

/* A port that nobody has, as "HOST:PORT". */
static char *free_address(const char *host)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char *text;

	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	text = mem_printf("%s:%u", host, ntohs(in.sin_port));
	close(fd);
	return text;
}

static bool can_connect(const char *text)
{
	struct address a;
	struct endpoint e;
	struct error err;
	int fd, rc;

	assert_int_equal(address_parse(&a, text, &err), 0);
	assert_int_equal(address_to_endpoint(&a, &e, &err), 0);
	address_clear(&a);
	fd = socket(e.sa.sa_family, SOCK_STREAM, 0);
	rc = connect(fd, &e.sa, e.len);
	close(fd);
	return rc == 0;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_one_socket_for_each_worker(void **state)
{
	char *text = free_address("127.0.0.1");
	struct error err;
	struct listener *l = open_text(text, 3, NULL, &err);
	int fds[3];

	(void)state;
	assert_non_null(l);
	assert_int_equal(l->n, 3);
	assert_false(l->shared);
	for (int i = 0; i < 3; i++) {
		fds[i] = l->fds[i];
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
	}
	assert_true(can_connect(text));
	listener_ref(l);
	listener_unref(l);
	assert_true(is_open(fds[0]));
	listener_unref(l);
	for (int i = 0; i < 3; i++)
		assert_false(is_open(fds[i]));
	assert_false(can_connect(text));
	free(text);
}

/* A second lintel is refused although SO_REUSEPORT would let it in; our own are not in the way of
 * an address that overlaps with theirs. */
static void test_taken(void **state)
{
	char *text = free_address("127.0.0.1"), *wide = mem_printf("%s", strchr(text, ':'));
	struct error err = {""};
	struct listeners *ours = listeners_new(1);
	struct listener *l;

	(void)state;
	ours->v[0] = open_text(text, 2, NULL, &err);
	assert_non_null(ours->v[0]);
	assert_null(open_text(text, 2, NULL, &err));
	assert_non_null(strstr(err.text, text));
	assert_non_null(strstr(err.text, "is taken"));
	assert_null(open_text(wide, 2, NULL, &err));
	l = open_text(wide, 2, ours, &err);
	assert_non_null(l);
	listener_unref(l);
	l = open_text(text, 2, ours, &err);
	assert_non_null(l);
	listener_unref(l);
	listeners_unref(ours);
	l = open_text(text, 2, NULL, &err);
	assert_non_null(l);
	listener_unref(l);
	free(text);
	free(wide);
}

static void test_ipv6_and_any(void **state)
{
	char *v6 = free_address("[::1]"), *any = free_address(""), *v4;
	struct error err;
	struct listener *l = open_text(v6, 1, NULL, &err);

	(void)state;
	assert_non_null(l);
	assert_true(can_connect(v6));
	v4 = mem_printf("127.0.0.1%s", strrchr(v6, ':'));
	assert_false(can_connect(v4));
	listener_unref(l);
	free(v4);

	l = open_text(any, 1, NULL, &err);
	assert_non_null(l);
	v4 = mem_printf("127.0.0.1%s", any);
	assert_true(can_connect(v4));
	free(v4);
	v4 = mem_printf("[::1]%s", any);
	assert_true(can_connect(v4));
	listener_unref(l);
	free(v4);
	free(v6);
	free(any);
}

static void test_sentences(void **state)
{
	struct error err = {""};

	(void)state;
	assert_null(open_text("192.0.2.77:4443", 1, NULL, &err));
	assert_string_equal(err.text, "192.0.2.77:4443: this host does not have that address");
	assert_null(open_text("name.test:4443", 1, NULL, &err));
	assert_non_null(strstr(err.text, "an IP address is wanted here"));
	assert_null(open_text("unix:/no/such/folder/sock", 1, NULL, &err));
	assert_non_null(strstr(err.text, "unix:/no/such/folder/sock"));
	assert_non_null(strstr(err.text, "its folder does not exist"));
}

static void test_unix(void **state)
{
	char *path = mem_printf("%s/sock", folder), *text = mem_printf("unix:%s", path);
	struct error err = {""};
	struct listeners *ours = listeners_new(1), *none = listeners_new(0);
	struct stat st;

	(void)state;
	ours->v[0] = open_text(text, 4, NULL, &err);
	assert_non_null(ours->v[0]);
	assert_true(ours->v[0]->shared);
	assert_int_equal(ours->v[0]->n, 1);
	assert_true(can_connect(text));

	/* Somebody listens there. */
	assert_null(open_text(text, 4, NULL, &err));
	assert_non_null(strstr(err.text, "is taken"));
	assert_true(can_connect(text));

	/* It is stale once nobody does: the path stays, and is taken over. */
	listeners_unlink_gone(ours, ours);
	close(ours->v[0]->fds[0]);
	ours->v[0]->fds[0] = -1;
	listener_unref(ours->v[0]);
	assert_int_equal(stat(path, &st), 0);
	assert_false(can_connect(text));
	ours->v[0] = open_text(text, 4, NULL, &err);
	assert_non_null(ours->v[0]);
	assert_true(can_connect(text));

	listeners_unlink_gone(ours, none);
	assert_int_equal(stat(path, &st), -1);
	listeners_unref(ours);
	listeners_unref(none);

	/* What is no socket is not touched. */
	certgen_write_text(path, "precious", 0600);
	assert_null(open_text(text, 4, NULL, &err));
	assert_non_null(strstr(err.text, "is no socket"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 8);
	free(path);
	free(text);
}

static void test_find(void **state)
{
	char *text = free_address("127.0.0.1");
	struct listeners *all = listeners_new(2); /* the second one failed to open */
	struct error err;
	struct address a;

	(void)state;
	all->v[0] = open_text(text, 1, NULL, &err);
	assert_non_null(all->v[0]);
	assert_int_equal(address_parse(&a, text, &err), 0);
	assert_ptr_equal(listeners_find(all, &a), all->v[0]);
	assert_null(listeners_find(NULL, &a));
	address_clear(&a);
	assert_int_equal(address_parse(&a, "127.0.0.1:1", &err), 0);
	assert_null(listeners_find(all, &a));
	address_clear(&a);
	listeners_unlink_gone(all, NULL);
	listeners_unref(listeners_ref(all));
	listeners_unref(all);
	free(text);
}

static int setup(void **state)
{
	(void)state;
	folder = certgen_temp();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	certgen_remove(folder);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_socket_for_each_worker),
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_ipv6_and_any),
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
