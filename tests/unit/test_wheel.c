#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proxy/wheel.h"

#define N 500

struct met {
	struct wheel_entry *entries;
	int64_t when[N]; /* 0 = not met */
	int64_t now;
};

static void note(struct wheel_entry *e, void *arg)
{
	struct met *m = arg;

	assert_int_equal(m->when[e - m->entries], 0);
	m->when[e - m->entries] = m->now;
}

/* Every deadline is met once, never early and at most a tick and a turn late, over several rounds
 * of the wheel, whatever the order they were set in. */
static void test_every_deadline_is_met(void **state)
{
	struct wheel *w = mem_zalloc(sizeof(*w));
	struct wheel_entry entries[N] = {0};
	struct met m = {.entries = entries};
	int64_t start = 123456789, end = start + 400000;

	(void)state;
	wheel_init(w, start);
	for (int i = 0; i < N; i++)
		wheel_set(w, &entries[i], start + 1 + (int64_t)i * 7919 % 350000);
	for (m.now = start; m.now < end; m.now += 37)
		wheel_turn(w, m.now, note, &m);
	for (int i = 0; i < N; i++) {
		assert_true(m.when[i] >= entries[i].deadline);
		assert_true(m.when[i] <= entries[i].deadline + WHEEL_TICK_MS + 37);
	}
	free(w);
}

static void test_deadline_moves(void **state)
{
	struct wheel *w = mem_zalloc(sizeof(*w));
	struct wheel_entry entries[3] = {0};
	struct met m = {.entries = entries};

	(void)state;
	wheel_init(w, 1000000);
	wheel_set(w, &entries[0], 1001000);
	wheel_set(w, &entries[0], 1300000); /* later than a round: nothing but a store */
	wheel_set(w, &entries[1], 1300000);
	wheel_set(w, &entries[1], 1000500); /* earlier: must move */
	wheel_set(w, &entries[2], 1000500);
	wheel_remove(w, &entries[2]);
	wheel_remove(w, &entries[2]); /* twice is fine */
	for (m.now = 1000000; m.now < 1400000; m.now += WHEEL_TICK_MS)
		wheel_turn(w, m.now, note, &m);
	assert_true(m.when[0] >= 1300000 && m.when[0] <= 1300000 + 2 * WHEEL_TICK_MS);
	assert_true(m.when[1] >= 1000500 && m.when[1] <= 1000500 + 2 * WHEEL_TICK_MS);
	assert_int_equal(m.when[2], 0);
	free(w);
}

/* What was due before it was set is met in the next turn, not a round of the wheel later. */
static void test_deadline_of_the_past(void **state)
{
	struct wheel *w = mem_zalloc(sizeof(*w));
	struct wheel_entry entries[1] = {0};
	struct met m = {.entries = entries, .now = 1000000 + WHEEL_TICK_MS};

	(void)state;
	wheel_init(w, 1000000);
	wheel_set(w, &entries[0], 999000);
	wheel_turn(w, m.now, note, &m);
	assert_int_equal(m.when[0], m.now);
	free(w);
}

/* The loop was stopped (a suspended machine): what became due is met in one turn. */
static void test_long_sleep(void **state)
{
	struct wheel *w = mem_zalloc(sizeof(*w));
	struct wheel_entry entries[2] = {0};
	struct met m = {.entries = entries, .now = 100000000};

	(void)state;
	wheel_init(w, 5000);
	wheel_set(w, &entries[0], 6000);
	wheel_set(w, &entries[1], m.now + 5000);
	wheel_turn(w, m.now, note, &m);
	assert_int_equal(m.when[0], m.now);
	assert_int_equal(m.when[1], 0);
	for (; m.now < 100010000; m.now += WHEEL_TICK_MS)
		wheel_turn(w, m.now, note, &m);
	assert_true(m.when[1] >= 100005000);
	free(w);
}

/* Turned only when it says so, it meets the same deadlines as late at most, and is turned no more
 * often than there are slots with something in them. */
static void test_turned_when_needed(void **state)
{
	struct wheel *w = mem_zalloc(sizeof(*w));
	struct wheel_entry entries[4] = {0};
	struct met m = {.entries = entries, .now = 1000000};
	unsigned turns = 0;

	(void)state;
	wheel_init(w, m.now);
	assert_int_equal(w->next, WHEEL_NEVER);
	wheel_set(w, &entries[0], 1030000);
	assert_int_equal(w->next, 1030000);
	wheel_set(w, &entries[1], 1300010); /* further than a round */
	wheel_set(w, &entries[2], 1000020); /* sooner than all */
	assert_int_equal(w->next, 1000100);
	wheel_set(w, &entries[3], 1005000);
	wheel_set(w, &entries[3], 1060000); /* stays where it is, until it is met too early */
	for (; w->next != WHEEL_NEVER && turns < 100; turns++) {
		assert_true(w->next > m.now);
		m.now = w->next;
		wheel_turn(w, m.now, note, &m);
	}
	assert_int_equal(m.when[0], 1030000);
	assert_int_equal(m.when[1], 1300100);
	assert_int_equal(m.when[2], 1000100);
	assert_int_equal(m.when[3], 1060000);
	assert_true(turns <= 8); /* four deadlines, one moved, two rounds to the far one */
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_deadline_is_met),
		cmocka_unit_test(test_deadline_moves),
		cmocka_unit_test(test_deadline_of_the_past),
		cmocka_unit_test(test_long_sleep),
		cmocka_unit_test(test_turned_when_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
