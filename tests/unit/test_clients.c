/* Clients by address: what counts as one, the limits, what is forgotten, and many threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/address.h"
#include "base/mem.h"
#include "proxy/clients.h"

#define SECOND   1000                        /* ms */
#define PER_S(n) (INT64_C(1000000000) / (n)) /* as client_rate has it */
#define NOW      123456789                   /* ms */

static struct clients *all;

static int setup(void **state)
{
	(void)state;
	all = clients_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	clients_free(all);
	return 0;
}

static struct endpoint peer(const char *ip)
{
	struct endpoint e = {.len = 0};

	if (inet_pton(AF_INET, ip, &e.in.sin_addr) == 1)
		e.in.sin_family = AF_INET;
	else if (inet_pton(AF_INET6, ip, &e.in6.sin6_addr) == 1)
		e.in6.sin6_family = AF_INET6;
	else
		e.un.sun_family = AF_UNIX;
	return e;
}

/* The n-th of many /64. */
static struct endpoint nth_peer(uint32_t n)
{
	struct endpoint e = peer("2001:db8::1");

	e.in6.sin6_addr.s6_addr32[1] = htonl(n);
	return e;
}

static struct client *taken(const struct client_limits *limits, const char *ip, int64_t now)
{
	struct endpoint e = peer(ip);
	struct client *c;

	assert_int_equal(clients_enter(all, limits, &e.sa, now, &c), CLIENT_TAKEN);
	return c;
}

static void refused(
	const struct client_limits *limits, const char *ip, int64_t now, enum client_verdict why)
{
	struct endpoint e = peer(ip);
	struct client *c;

	assert_int_equal(clients_enter(all, limits, &e.sa, now, &c), why);
	assert_null(c);
}

static void test_connections_per_address(void **state)
{
	const struct client_limits two = {.connections = 2}, three = {.connections = 3};
	struct client *first = taken(&two, "192.0.2.1", NOW), *third;

	(void)state;
	assert_ptr_equal(taken(&two, "192.0.2.1", NOW), first);
	refused(&two, "192.0.2.1", NOW, CLIENT_PER_IP);
	clients_leave(all, taken(&two, "192.0.2.2", NOW)); /* another one */
	third = taken(&three, "192.0.2.1", NOW);           /* after a reload */
	refused(&three, "192.0.2.1", NOW, CLIENT_PER_IP);
	clients_leave(all, first);
	refused(&two, "192.0.2.1", NOW, CLIENT_PER_IP); /* and one back */
	clients_leave(all, first);
	clients_leave(all, taken(&two, "192.0.2.1", NOW));
	clients_leave(all, third);
}

static void test_what_is_one_client(void **state)
{
	const struct client_limits one = {.connections = 1};
	static const char *const others[] = {
		"2001:db8:0:2::1", "::1", "::ffff:192.0.2.2", "127.0.0.1", "192.0.3.1", "::", NULL};
	static const char *const same[][2] = {
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"},
		{"192.0.2.1", "::ffff:192.0.2.1"},
		{"::1", "::2"},
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct client *c = taken(&one, same[i][0], NOW);

		refused(&one, same[i][1], NOW, CLIENT_PER_IP);
		for (size_t j = 0; others[j]; j++)
			if (i < 2 && strcmp(others[j], same[i][0]) != 0)
				clients_leave(all, taken(&one, others[j], NOW));
		clients_leave(all, c);
	}
}

static void test_unix_peers_are_not_limited(void **state)
{
	const struct client_limits one = {.connections = 1, .connects = {PER_S(1), 1}};

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_null(taken(&one, "", NOW));
}

/* Takes connections, which end at once, until one is refused. */
static int burst(const struct client_limits *limits, const char *ip, int64_t now)
{
	struct endpoint e = peer(ip);
	struct client *c;
	int n = 0;

	while (clients_enter(all, limits, &e.sa, now, &c) == CLIENT_TAKEN) {
		clients_leave(all, c);
		n++;
	}
	return n;
}

static void test_rate_of_connections(void **state)
{
	const struct client_limits limits = {.connects = {PER_S(50), 100}};

	(void)state;
	assert_int_equal(burst(&limits, "192.0.2.1", NOW), 100);
	assert_int_equal(burst(&limits, "192.0.2.1", NOW + 19), 0);
	assert_int_equal(burst(&limits, "192.0.2.1", NOW + 20), 1);
	assert_int_equal(burst(&limits, "192.0.2.1", NOW + SECOND), 49);
	assert_int_equal(burst(&limits, "192.0.2.2", NOW + SECOND), 100);
	assert_int_equal(burst(&limits, "192.0.2.1", NOW + 9 * SECOND), 100); /* never more */
}

/* An hour's wait ends when a reload raises the rate. */
static void test_rate_changes(void **state)
{
	const struct client_limits slow = {.connects = {3600 * PER_S(1), 100}},
				   fast = {.connects = {PER_S(10), 5}}, none = {.connections = 9};

	(void)state;
	assert_int_equal(burst(&slow, "192.0.2.1", NOW), 100);
	assert_int_equal(burst(&fast, "192.0.2.1", NOW), 0);
	assert_int_equal(burst(&fast, "192.0.2.1", NOW + 100), 1);
	assert_int_equal(burst(&slow, "192.0.2.1", NOW + 200), 99); /* all but what was used */
	clients_leave(all, taken(&none, "192.0.2.1", NOW + 200));
}

/* What per_ip refuses costs nothing of the rate; the rate of handshakes is another one. */
static void test_limits_do_not_mix(void **state)
{
	const struct client_limits limits = {
		.connections = 1, .connects = {PER_S(1), 2}, .handshakes = {PER_S(1), 3}};
	struct client *c = taken(&limits, "192.0.2.1", NOW);

	(void)state;
	for (int i = 0; i < 10; i++)
		refused(&limits, "192.0.2.1", NOW, CLIENT_PER_IP);
	for (int i = 0; i < 3; i++)
		assert_true(clients_may_handshake(all, &limits, c, NOW));
	assert_false(clients_may_handshake(all, &limits, c, NOW));
	assert_true(clients_may_handshake(all, &limits, c, NOW + SECOND));
	clients_leave(all, c);
	clients_leave(all, taken(&limits, "192.0.2.1", NOW));
	refused(&limits, "192.0.2.1", NOW, CLIENT_RATE);
}

/* Far more addresses than there is room for: none is refused, and who has connections stays. */
static void test_forgets_who_has_nothing(void **state)
{
	const struct client_limits limits = {.connections = 1, .connects = {PER_S(1), 1}};
	struct client *kept = taken(&limits, "192.0.2.1", NOW), *c;
	struct endpoint e;

	(void)state;
	for (uint32_t i = 0; i < 1000000; i++) {
		e = nth_peer(i);
		assert_int_equal(clients_enter(all, &limits, &e.sa, NOW, &c), CLIENT_TAKEN);
		clients_leave(all, c);
	}
	refused(&limits, "192.0.2.1", NOW, CLIENT_PER_IP);
	clients_leave(all, kept);
}

/* Of those without connections, the one whose wait is longest is the last to be forgotten. */
static void test_forgets_the_shortest_wait(void **state)
{
	const struct client_limits slow = {.connects = {3600 * PER_S(1), 1}},
				   fast = {.connects = {PER_S(1), 1}};
	struct client *c;
	struct endpoint e;

	(void)state;
	clients_leave(all, taken(&slow, "192.0.2.1", NOW));
	for (uint32_t i = 0; i < 1000000; i++) {
		e = nth_peer(i);
		assert_int_equal(clients_enter(all, &fast, &e.sa, NOW, &c), CLIENT_TAKEN);
		clients_leave(all, c);
	}
	refused(&slow, "192.0.2.1", NOW, CLIENT_RATE);
}

/* Everyone has a connection: who finds no place is let in, and told apart. */
static void test_full(void **state)
{
	const struct client_limits limits = {.connections = 1};
	const uint32_t many = 300000;
	struct client **list = mem_zalloc(many * sizeof(*list));
	enum client_verdict verdict;
	size_t tracked = 0;
	struct endpoint e;

	(void)state;
	for (uint32_t i = 0; i < many; i++) {
		e = nth_peer(i);
		verdict = clients_enter(all, &limits, &e.sa, NOW, &list[i]);
		assert_int_equal(verdict, list[i] ? CLIENT_TAKEN : CLIENT_UNTRACKED);
		tracked += list[i] != NULL;
	}
	assert_in_range(tracked, 130000, 1 << 17);
	for (uint32_t i = 0; i < many; i++)
		if (list[i])
			clients_leave(all, list[i]);
	for (uint32_t i = 0; i < 1000; i++) {
		e = nth_peer(many + i);
		assert_int_equal(clients_enter(all, &limits, &e.sa, NOW, &list[i]), CLIENT_TAKEN);
	}
	free(list);
}

/* Threads: the same address and others; no more than the limit at any time, and none is lost. */

#define THREADS 4
#define ROUNDS  20000

static atomic_int there, most;

static void *come_and_go(void *arg)
{
	const struct client_limits limits = {.connections = 2};
	struct endpoint shared = peer("192.0.2.1"), own = nth_peer(*(uint32_t *)arg);
	struct client *c, *mine;

	for (int i = 0; i < ROUNDS; i++) {
		if (clients_enter(all, &limits, &shared.sa, NOW, &c) == CLIENT_TAKEN) {
			int n = atomic_fetch_add(&there, 1) + 1;

			if (n > atomic_load(&most))
				atomic_store(&most, n);
			clients_may_handshake(all, &limits, c, NOW);
			atomic_fetch_sub(&there, 1);
			clients_leave(all, c);
		}
		if (clients_enter(all, &limits, &own.sa, NOW, &mine) != CLIENT_TAKEN)
			abort();
		clients_leave(all, mine);
	}
	return NULL;
}

static void test_threads(void **state)
{
	const struct client_limits one = {.connections = 1};
	pthread_t threads[THREADS];
	uint32_t numbers[THREADS];

	(void)state;
	for (uint32_t i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &numbers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_in_range(atomic_load(&most), 1, 2);
	clients_leave(all, taken(&one, "192.0.2.1", NOW));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connections_per_address, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_one_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unix_peers_are_not_limited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate_of_connections, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits_do_not_mix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forgets_who_has_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forgets_the_shortest_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
