/* Which server a connection goes to. Draws are from fixed seeds: what is asserted of them is so in
 * every run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "base/mem.h"
#include "proxy/balance.h"
#include "proxy/route.h"

#define N     10000
#define MAX_N 8

/* A route of servers as the rows of a test want them. */
struct stage {
	struct servers servers;
	struct route route;
	struct target targets[MAX_N];
	unsigned got[MAX_N];
};

static void set_up(struct stage *s, enum conf_balance balance, const unsigned *weights, size_t n)
{
	memset(s, 0, sizeof(*s));
	s->route = (struct route){.targets = s->targets, .n_targets = n, .balance = balance};
	for (size_t i = 0; i < n; i++) {
		char text[32];
		struct address a;
		struct error err;

		snprintf(text, sizeof(text), "192.0.2.%zu:80", i + 1);
		assert_int_equal(address_parse(&a, text, &err), 0);
		s->targets[i] = (struct target){.server = servers_get(&s->servers, "test", &a),
			.weight = weights ? weights[i] : 1,
			.hash = balance_hash(text, strlen(text))};
		address_clear(&a);
	}
	s->route.turns = balance_turns_new(&s->route, 4);
	for (size_t w = 0; w < 4; w++)
		balance_turns(&s->route, w)->random = w; /* the seed */
}

static void tear_down(struct stage *s)
{
	for (size_t i = 0; i < s->route.n_targets; i++)
		server_unref(s->targets[i].server);
	servers_clear(&s->servers);
	free(s->route.turns);
}

static struct inet_address client(uint32_t n)
{
	return (struct inet_address){
		.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000000 + n)}};
}

static size_t choose(struct stage *s, size_t worker, uint32_t from)
{
	struct inet_address a = client(from);
	struct target *t = balance_choose(&s->route, worker, &a, 0, NULL);

	return t ? (size_t)(t - s->targets) : SIZE_MAX;
}

/* What a chi-square of `df` degrees of freedom is above once in 1000 times. */
static double critical(size_t df)
{
	static const double table[] = {0, 10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32};

	assert_in_range(df, 1, 7);
	return table[df];
}

static void assert_fits(const struct stage *s)
{
	unsigned total = 0, weights = 0;
	double chi = 0;

	for (size_t i = 0; i < s->route.n_targets; i++) {
		total += s->got[i];
		weights += s->targets[i].weight;
	}
	for (size_t i = 0; i < s->route.n_targets; i++) {
		double wanted = (double)total * s->targets[i].weight / weights,
		       off = s->got[i] - wanted;

		chi += off * off / wanted;
	}
	print_message("chi-square %.2f, allowed %.2f\n", chi, critical(s->route.n_targets - 1));
	assert_true(chi < critical(s->route.n_targets - 1));
}

static const unsigned even[] = {1, 1, 1, 1, 1}, uneven[] = {5, 1, 3, 2, 9};

/* Within one connection of its share, at any moment and for each worker by itself. */
static void test_round_robin(void **state)
{
	const unsigned *rows[] = {even, uneven};

	(void)state;
	for (size_t row = 0; row < 2; row++) {
		for (size_t w = 0; w < 4; w++) {
			struct stage s;
			unsigned weights = 0;

			set_up(&s, BALANCE_ROUND_ROBIN, rows[row], 5);
			for (size_t i = 0; i < 5; i++)
				weights += rows[row][i];
			for (unsigned n = 1; n <= N; n++) {
				s.got[choose(&s, w, n)]++;
				for (size_t i = 0; i < 5; i++) {
					double off = s.got[i] - (double)n * rows[row][i] / weights;

					assert_true(off > -1.0001 && off < 1.0001);
				}
			}
			tear_down(&s);
		}
	}
}

static void test_workers_begin_elsewhere(void **state)
{
	struct stage s;

	(void)state;
	set_up(&s, BALANCE_ROUND_ROBIN, even, 3);
	for (size_t w = 0; w < 4; w++)
		for (size_t n = 0; n < 7; n++)
			assert_int_equal(choose(&s, w, 0), (w + n) % 3);
	tear_down(&s);
}

/* Connections come and go; whenever one comes, no two servers are further apart than one for each
 * unit of their weight. */
static void test_least_conn(void **state)
{
	struct stage s;
	uint64_t random = 7;

	(void)state;
	set_up(&s, BALANCE_LEAST_CONN, even, 5);
	for (unsigned n = 0; n < N; n++) { /* only coming: even throughout */
		s.got[choose(&s, n % 4, n)]++;
		for (size_t i = 0; i < 5; i++) {
			s.targets[i].server->active = s.got[i];
			assert_in_range(s.got[i], n / 5, n / 5 + 1);
		}
	}
	for (unsigned n = 0; n < N; n++) { /* one goes, and the next fills that gap */
		size_t gone = balance_hash(&random, sizeof(random)) % 5;

		random++;
		atomic_fetch_sub(&s.targets[gone].server->active, 2);
		assert_int_equal(choose(&s, 0, n), gone);
		atomic_fetch_add(&s.targets[gone].server->active, 2);
	}
	tear_down(&s);

	set_up(&s, BALANCE_LEAST_CONN, uneven, 5);
	for (unsigned n = 0; n < N; n++)
		atomic_fetch_add(&s.targets[choose(&s, n % 4, n)].server->active, 1);
	for (size_t i = 0; i < 5; i++)
		assert_true(
			labs((long)s.targets[i].server->active - N / 20 * (long)uneven[i]) <= 1);
	tear_down(&s);
}

static void test_random(void **state)
{
	struct stage s;

	(void)state;
	for (size_t row = 0; row < 2; row++) {
		set_up(&s, BALANCE_RANDOM, row ? uneven : even, 5);
		for (unsigned n = 0; n < N; n++)
			s.got[choose(&s, n % 4, n)]++;
		assert_fits(&s);
		tear_down(&s);
	}
	/* Of the two that were drawn the one with fewer: a server that is slow gets little. */
	set_up(&s, BALANCE_RANDOM, even, 2);
	s.targets[0].server->active = 100;
	for (unsigned n = 0; n < N; n++)
		s.got[choose(&s, 0, n)]++;
	assert_in_range(s.got[0], N / 4 - 200, N / 4 + 200); /* drawn twice */
	tear_down(&s);
}

static void test_source(void **state)
{
	static size_t before[N];
	struct stage s;

	(void)state;
	for (size_t row = 0; row < 2; row++) {
		set_up(&s, BALANCE_SOURCE, row ? uneven : even, 5);
		for (unsigned n = 0; n < N; n++) {
			before[n] = choose(&s, 0, n);
			assert_int_equal(choose(&s, 3, n), before[n]); /* whatever worker */
			s.got[before[n]]++;
		}
		assert_fits(&s);

		/* One leaves: its clients move, to the others by weight, and nobody else does. */
		assert_true(server_set_down(s.targets[2].server, true));
		for (unsigned n = 0; n < N; n++) {
			size_t now = choose(&s, 0, n);

			assert_int_not_equal(now, 2);
			if (before[n] != 2)
				assert_int_equal(now, before[n]);
		}
		/* It comes back to the same clients. */
		server_set_down(s.targets[2].server, false);
		for (unsigned n = 0; n < N; n++)
			assert_int_equal(choose(&s, 0, n), before[n]);
		tear_down(&s);
	}
}

static void test_addresses(void **state)
{
	struct inet_address v4 = client(5), mapped = {.in6 = {.sin6_family = AF_INET6}},
			    local = {.sa.sa_family = AF_UNIX}, v6 = {0};
	struct target *t;
	struct stage s;

	(void)state;
	inet_pton(AF_INET6, "::ffff:10.0.0.5", &mapped.in6.sin6_addr);
	set_up(&s, BALANCE_SOURCE, NULL, 5);
	t = balance_choose(&s.route, 0, &v4, 0, NULL);
	v4.in.sin_port = 77;
	assert_ptr_equal(balance_choose(&s.route, 0, &v4, 0, NULL), t); /* whatever the port */
	assert_ptr_equal(balance_choose(&s.route, 0, &mapped, 0, NULL), t);
	v6.in6.sin6_family = AF_INET6;
	for (unsigned n = 0; n < 1000; n++) {
		v6.in6.sin6_addr.s6_addr[15] = (unsigned char)n;
		v6.in6.sin6_addr.s6_addr[14] = (unsigned char)(n >> 8);
		s.got[balance_choose(&s.route, 0, &v6, 0, NULL) - s.targets]++;
	}
	assert_fits(&s);
	for (size_t n = 0; n < 10; n++) /* no address: in turn */
		assert_int_equal(balance_choose(&s.route, 0, &local, 0, NULL) - s.targets, n % 5);
	tear_down(&s);
}

/* Who gets nothing, in each of the four ways. */
static void test_out(void **state)
{
	(void)state;
	for (enum conf_balance b = BALANCE_ROUND_ROBIN; b <= BALANCE_SOURCE; b++) {
		struct inet_address from = client(1);
		unsigned char tried[1] = {1 << 0};
		struct stage s;

		set_up(&s, b, NULL, 5);
		server_set_down(s.targets[1].server, true);
		s.targets[2].server->mode = SERVER_DRAIN;
		s.targets[3].server->mode = SERVER_DISABLED;
		s.targets[4].backup = true;
		for (unsigned n = 0; n < 1000; n++)
			assert_int_equal(choose(&s, 0, n), 0);
		assert_true(balance_has_other(&s.route, &s.targets[0], NULL));
		/* The backup, once nobody else is left. */
		assert_ptr_equal(balance_choose(&s.route, 0, &from, 0, tried), &s.targets[4]);
		assert_false(balance_has_other(&s.route, &s.targets[4], tried));
		tried[0] |= 1 << 4;
		assert_null(balance_choose(&s.route, 0, &from, 0, tried));
		server_set_down(s.targets[0].server, true);
		assert_int_equal(choose(&s, 0, 1), 4);
		server_set_down(s.targets[4].server, true);
		assert_int_equal(choose(&s, 0, 1), SIZE_MAX);
		tear_down(&s);
	}
}

/* Half way through its slow start a server has half its share. */
static void test_slow_start(void **state)
{
	struct inet_address from = client(1);
	struct stage s;

	(void)state;
	set_up(&s, BALANCE_ROUND_ROBIN, NULL, 2);
	s.route.slow_start_ms = 10000;
	s.targets[1].server->warm_from = 5000;
	for (int64_t t = 0; t < 3; t++) {
		static const struct {
			int64_t now;
			unsigned least, most; /* of 3000 */
		} rows[] = {{5001, 10, 14}, {10000, 999, 1006}, {15000, 1499, 1501}};

		s.got[0] = s.got[1] = 0;
		for (unsigned n = 0; n < 3000; n++)
			s.got[balance_choose(&s.route, 0, &from, rows[t].now, NULL) - s.targets]++;
		assert_in_range(s.got[1], rows[t].least, rows[t].most);
	}
	/* A reload has taken it away, and the worker's clock is behind. */
	s.route.slow_start_ms = 0;
	s.targets[1].server->warm_from = 20000;
	s.got[1] = 0;
	for (unsigned n = 0; n < 100; n++)
		s.got[1] += balance_choose(&s.route, 0, &from, 19999, NULL) == &s.targets[1];
	assert_in_range(s.got[1], 49, 51);
	tear_down(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_robin),
		cmocka_unit_test(test_workers_begin_elsewhere),
		cmocka_unit_test(test_least_conn),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_out),
		cmocka_unit_test(test_slow_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
