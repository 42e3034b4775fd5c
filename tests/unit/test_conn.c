/* One end of a session over a socket pair: what the kernel does not take waits, in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/conn.h"

#define BIG (1u << 20) /* more than a socket takes */

struct fixture {
	struct conn conn; /* first: the callbacks are given this */
	struct event_base *base;
	int peer;
	unsigned drained, failed, events;
	bool close_when_drained;
};

static void on_drained(struct conn *c)
{
	struct fixture *f = (struct fixture *)c;

	f->drained++;
	if (f->close_when_drained)
		conn_close(c, false);
}

static void on_failed(struct conn *c)
{
	((struct fixture *)c)->failed++;
	assert_true(conn_queued(c) > 0);
	conn_drop(c);
	assert_int_equal(conn_queued(c), 0);
	conn_close(c, true);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	((struct fixture *)arg)->events++;
}

static const struct conn_events events = {on_drained, on_failed};

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	struct event_config *config = event_config_new();
	int fds[2];

	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	f->base = event_base_new_with_config(config);
	event_config_free(config);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	conn_open(&f->conn, fds[0], &events);
	conn_watch(&f->conn, f->base, EV_READ | EV_PERSIST, on_event, f);
	f->peer = fds[1];
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	conn_close(&f->conn, false);
	conn_free(&f->conn);
	if (f->peer >= 0)
		close(f->peer);
	event_base_free(f->base);
	free(f);
	return 0;
}

static void turn(struct fixture *f)
{
	event_base_loop(f->base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
}

static unsigned char *pattern(void)
{
	unsigned char *data = mem_alloc(BIG);

	for (size_t i = 0; i < BIG; i++)
		data[i] = (unsigned char)(i * 31 + i / 256);
	return data;
}

/* Reads all that comes while the loop turns, compares it, and returns whether the end was met. */
static bool expect(struct fixture *f, const unsigned char *data, size_t len)
{
	unsigned char chunk[5000];
	size_t got = 0;
	ssize_t n;

	for (;;) {
		n = read(f->peer, chunk, sizeof(chunk));
		if (n > 0) {
			assert_true(got + (size_t)n <= len);
			assert_memory_equal(chunk, data + got, (size_t)n);
			got += (size_t)n;
			continue;
		}
		if (got == len)
			return n == 0;
		assert_int_equal(n, -1);
		assert_int_equal(errno, EAGAIN);
		turn(f);
	}
}

/* A send that is short, more behind it, and the end asked for meanwhile: all in order. */
static void test_queue_keeps_the_order(void **state)
{
	struct fixture *f = *state;
	unsigned char *data = pattern();
	size_t at = 300000;

	assert_int_equal(conn_send(&f->conn, data, 10), 0);
	assert_null(f->conn.queue);
	assert_int_equal(conn_send(&f->conn, data + 10, at - 10), 1);
	while (at < BIG - 1000) {
		assert_int_equal(conn_send(&f->conn, data + at, 1000), 1);
		at += 1000;
	}
	assert_int_equal(conn_send(&f->conn, data + at, BIG - at), 1);
	assert_true(conn_queued(&f->conn) > BIG / 2);
	conn_finish(&f->conn);
	assert_false(f->conn.finished);
	assert_true(expect(f, data, BIG));
	assert_int_equal(f->drained, 1);
	assert_int_equal(conn_queued(&f->conn), 0);
	assert_true(f->conn.finished);
	free(data);
}

/* Once the queue was empty sends are direct again, and the queue may fill a second time. */
static void test_direct_again(void **state)
{
	struct fixture *f = *state;
	unsigned char *data = pattern();

	for (unsigned i = 1; i <= 2; i++) {
		assert_int_equal(conn_send(&f->conn, data, BIG), 1);
		expect(f, data, BIG);
		turn(f);
		assert_int_equal(f->drained, i);
		assert_int_equal(conn_send(&f->conn, data, 5), 0);
		expect(f, data, 5);
	}
	conn_finish(&f->conn);
	conn_finish(&f->conn);
	assert_true(expect(f, data, 0));
	free(data);
}

static void test_send_to_the_dead(void **state)
{
	struct fixture *f = *state;

	close(f->peer);
	f->peer = -1;
	assert_int_equal(conn_send(&f->conn, "x", 1), -1);
	turn(f);
	assert_int_equal(f->failed, 0); /* whoever sends is told by the result */
}

static void test_queue_fails(void **state)
{
	struct fixture *f = *state;
	unsigned char *data = pattern();

	assert_int_equal(conn_send(&f->conn, data, BIG), 1);
	close(f->peer);
	f->peer = -1;
	turn(f);
	assert_int_equal(f->failed, 1);
	assert_int_equal(f->conn.fd, -1);
	turn(f);
	assert_int_equal(f->failed, 1);
	free(data);
}

static void test_close_in_its_callback(void **state)
{
	struct fixture *f = *state;
	unsigned char *data = pattern();

	f->close_when_drained = true;
	assert_int_equal(conn_send(&f->conn, data, BIG), 1);
	expect(f, data, BIG);
	turn(f);
	assert_int_equal(f->drained, 1);
	assert_int_equal(f->conn.fd, -1);
	assert_true(expect(f, data, 0));
	free(data);
}

static void test_pause(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(write(f->peer, "x", 1), 1);
	turn(f);
	assert_int_equal(f->events, 0); /* not resumed yet */
	conn_resume(&f->conn);
	conn_resume(&f->conn);
	turn(f);
	turn(f);
	assert_int_equal(f->events, 2); /* level-triggered */
	conn_pause(&f->conn);
	turn(f);
	assert_int_equal(f->events, 2);
	f->conn.ended = true;
	conn_resume(&f->conn); /* an ended stream would be readable for ever */
	turn(f);
	assert_int_equal(f->events, 2);
}

static void test_reset(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0), peer;
	struct conn c;
	char byte;

	(void)state;
	assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&a, &len), 0);
	for (int how = 0; how < 2; how++) {
		fd = how ? socket(AF_INET, SOCK_STREAM, 0) : fd;
		assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
		peer = accept(l, NULL, NULL);
		conn_open(&c, fd, &events);
		conn_close(&c, how == 1);
		conn_close(&c, how == 1);
		assert_int_equal(read(peer, &byte, 1), how ? -1 : 0);
		if (how)
			assert_int_equal(errno, ECONNRESET);
		close(peer);
	}
	close(l);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_queue_keeps_the_order),
		TEST(test_direct_again),
		TEST(test_send_to_the_dead),
		TEST(test_queue_fails),
		TEST(test_close_in_its_callback),
		TEST(test_pause),
		cmocka_unit_test(test_reset),
	};

	signal(SIGPIPE, SIG_IGN); /* as control does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
