#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "autocert/schedule.h"

#define MINUTE INT64_C(60)
#define HOUR   INT64_C(3600)
#define DAY    INT64_C(86400)

#define NEARLY_1 0.9999999

/* "2027-03-31 12:00:00" in UTC. */
static int64_t at(const char *text)
{
	struct tm tm = {0};

	assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
	return (int64_t)timegm(&tm);
}

/* How long before its end a certificate of that life is renewed, without a word from the CA. */
static int64_t left_at_renewal(const char *not_after, int64_t lifetime)
{
	int64_t end = at(not_after);
	enum schedule_why why = WHY_MISSING;
	int64_t left = end - schedule_renew_at(end - lifetime, end, 0, &why);

	assert_int_equal(why, WHY_AGE);
	return left;
}

static void a_third_a_month_or_a_half_is_left(void **state)
{
	const char *end = "2027-05-15 08:30:00"; /* the month before it has 30 days */

	assert_int_equal(left_at_renewal(end, 398 * DAY), 30 * DAY);
	assert_int_equal(left_at_renewal(end, 91 * DAY), 30 * DAY);
	assert_int_equal(left_at_renewal(end, 90 * DAY), 30 * DAY);
	assert_int_equal(left_at_renewal(end, 90 * DAY - 1), 30 * DAY - 1);
	assert_int_equal(left_at_renewal(end, 64 * DAY), 64 * DAY / 3);
	assert_int_equal(left_at_renewal(end, 45 * DAY), 15 * DAY);
	assert_int_equal(left_at_renewal(end, 10 * DAY + 3), 10 * DAY / 3 + 1);
	assert_int_equal(left_at_renewal(end, 10 * DAY), 5 * DAY);
	assert_int_equal(left_at_renewal(end, 6 * DAY), 3 * DAY);
	assert_int_equal(left_at_renewal(end, 60), 30);
	assert_int_equal(left_at_renewal(end, 1), 0);
}

static void a_calendar_month_is_as_long_as_it_is(void **state)
{
	const struct {
		const char *end, *renewed;
	} rows[] = {
		{"2027-03-31 12:00:00", "2027-02-28 12:00:00"},
		{"2027-03-29 00:00:00", "2027-02-28 00:00:00"},
		{"2027-03-28 00:00:00", "2027-02-28 00:00:00"},
		{"2028-03-31 23:59:59", "2028-02-29 23:59:59"},
		{"2028-03-30 00:00:00", "2028-02-29 00:00:00"},
		{"2028-03-29 00:00:00", "2028-02-29 00:00:00"},
		{"2027-05-31 06:00:00", "2027-04-30 06:00:00"},
		{"2027-12-31 06:00:00", "2027-11-30 06:00:00"},
		{"2027-01-31 06:00:00", "2026-12-31 06:00:00"},
		{"2027-01-01 00:00:00", "2026-12-01 00:00:00"},
		{"2100-03-30 00:00:00", "2100-02-28 00:00:00"},
		{"9999-12-31 23:59:59", "9999-11-30 23:59:59"},
	};
	enum schedule_why why;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int64_t end = at(rows[i].end);
		int64_t found = schedule_renew_at(end - 365 * DAY, end, 0, &why);

		if (found != at(rows[i].renewed))
			fail_msg("%s: %lld s too late", rows[i].end,
				(long long)(found - at(rows[i].renewed)));
		assert_int_equal(why, WHY_AGE);
	}
}

static void a_twentieth_is_never_gone_below(void **state)
{
	int64_t end = at("2027-05-15 08:30:00"), start = end - 90 * DAY;
	int64_t last = end - 90 * DAY / 20;
	enum schedule_why why;

	assert_int_equal(schedule_renew_at(start, end, last, &why), last);
	assert_int_equal(why, WHY_ARI);
	assert_int_equal(schedule_renew_at(start, end, last + 1, &why), last);
	assert_int_equal(why, WHY_END);
	assert_int_equal(schedule_renew_at(start, end, end + 1000 * DAY, &why), last);
	assert_int_equal(why, WHY_END);
	/* Where a month is less than that: ten years. */
	start = end - 3650 * DAY;
	assert_int_equal(schedule_renew_at(start, end, 0, &why), end - 3650 * DAY / 20);
	assert_int_equal(why, WHY_END);
}

static void the_ca_decides_within_that(void **state)
{
	int64_t end = at("2027-05-15 08:30:00"), start = end - 90 * DAY;
	enum schedule_why why;

	/* Of long ago, as when all certificates of a CA are to be replaced: at once. */
	assert_int_equal(schedule_renew_at(start, end, start - DAY, &why), start - DAY);
	assert_int_equal(why, WHY_ARI);
	assert_int_equal(schedule_renew_at(start, end, end - 10 * DAY, &why), end - 10 * DAY);
	assert_int_equal(why, WHY_ARI);
}

static void odd_certificates_are_survived(void **state)
{
	int64_t now = at("2027-05-15 08:30:00");
	enum schedule_why why;

	/* Not valid before next year: later than that, so it makes no loop. */
	assert_true(schedule_renew_at(now + 365 * DAY, now + 455 * DAY, 0, &why) > now + 365 * DAY);
	/* It ends before it begins: when it ends. */
	assert_int_equal(schedule_renew_at(now + DAY, now, 0, &why), now);
	assert_int_equal(schedule_renew_at(now, now, 0, &why), now);
}

static void no_loop_of_orders(void **state)
{
	int64_t now = at("2027-05-15 08:30:00");

	assert_int_equal(schedule_again_at(now, 90 * DAY), now + HOUR);
	assert_int_equal(schedule_again_at(now, 60), now + 6);
	assert_int_equal(schedule_again_at(now, 0), now);
	assert_int_equal(schedule_again_at(now, -5), now);
}

static void draws_inside_the_window(void **state)
{
	assert_int_equal(schedule_draw(1000, 2000, 0), 1000);
	assert_int_equal(schedule_draw(1000, 2000, 0.5), 1500);
	assert_int_equal(schedule_draw(1000, 2000, NEARLY_1), 1999);
	assert_int_equal(schedule_draw(1000, 1001, NEARLY_1), 1000);
}

static void asks_the_ca_when_it_wants_to_be_asked(void **state)
{
	int64_t now = at("2027-05-15 08:30:00");

	assert_int_equal(schedule_ari_check(now, 0, 90 * DAY), now + 6 * HOUR);
	assert_int_equal(schedule_ari_check(now, now + 7200, 90 * DAY), now + 7200);
	assert_int_equal(schedule_ari_check(now, now + 1, 90 * DAY), now + 60);
	assert_int_equal(schedule_ari_check(now, now - 5 * DAY, 90 * DAY), now + 60);
	assert_int_equal(schedule_ari_check(now, now + 30 * DAY, 90 * DAY), now + DAY);
	/* A tenth of a short life. */
	assert_int_equal(schedule_ari_check(now, now + 1, 60), now + 6);
	assert_int_equal(schedule_ari_check(now, now + 1, 5), now + 1);
	assert_int_equal(schedule_ari_check(now, now, 0), now + 1);
}

static void asks_again_after_a_failure(void **state)
{
	int64_t now = at("2027-05-15 08:30:00");

	assert_int_equal(schedule_ari_retry(now, true, 1, 0), now + 60);
	assert_int_equal(schedule_ari_retry(now, true, 2, 0), now + 120);
	assert_int_equal(schedule_ari_retry(now, true, 9, 0), now + 256 * 60);
	assert_int_equal(schedule_ari_retry(now, true, 10, 0), now + 6 * HOUR);
	assert_int_equal(schedule_ari_retry(now, true, UINT32_MAX, 0), now + 6 * HOUR);
	assert_int_equal(schedule_ari_retry(now, false, 1, 0), now + 6 * HOUR);
	assert_int_equal(schedule_ari_retry(now, true, 1, now + HOUR), now + HOUR);
	assert_int_equal(schedule_ari_retry(now, false, 1, now + HOUR), now + 6 * HOUR);
	assert_int_equal(schedule_ari_retry(now, true, 1, now + 9 * DAY), now + DAY);
}

static void early_failures_wait_15_s_to_5_min(void **state)
{
	static const int64_t want[] = {15, 15, 30, 60, 120, 240, 300, 300};

	for (unsigned n = 0; n < sizeof(want) / sizeof(*want); n++) {
		assert_int_equal(
			schedule_retry_at(FAILURE_EARLY, n, true, 1000, 0, 0), 1000 + want[n]);
		assert_int_equal(
			schedule_retry_at(FAILURE_EARLY, n, false, 1000, 0, 0), 1000 + want[n]);
	}
	assert_int_equal(schedule_retry_at(FAILURE_EARLY, UINT32_MAX, true, 1000, 0, 0), 1300);
	/* The CA says 503 with a Retry-After. */
	assert_int_equal(schedule_retry_at(FAILURE_EARLY, 1, true, 1000, 1900, 0), 1900);
}

static void failed_orders_wait_an_hour_wrong_ones_a_day(void **state)
{
	for (unsigned n = 1; n < 5; n++) {
		assert_int_equal(
			schedule_retry_at(FAILURE_ORDER, n, true, 1000, 0, 0), 1000 + HOUR);
		assert_int_equal(schedule_retry_at(FAILURE_INPUT, n, true, 1000, 0, 0), 1000 + DAY);
	}
}

static void who_serves_nothing_waits_1_and_10_minutes_first(void **state)
{
	static const enum schedule_failure kinds[] = {FAILURE_ORDER, FAILURE_INPUT};

	for (int k = 0; k < 2; k++) {
		int64_t full = k ? DAY : HOUR;

		assert_int_equal(schedule_retry_at(kinds[k], 1, false, 1000, 0, 0), 1000 + MINUTE);
		assert_int_equal(
			schedule_retry_at(kinds[k], 2, false, 1000, 0, 0), 1000 + 10 * MINUTE);
		assert_int_equal(schedule_retry_at(kinds[k], 3, false, 1000, 0, 0), 1000 + full);
	}
	/* But a limit of the CA's is a limit. */
	assert_int_equal(
		schedule_retry_at(FAILURE_ORDER, 1, false, 1000, 1000 + DAY, 0), 1000 + DAY);
}

static void the_ca_may_ask_for_longer_up_to_a_week(void **state)
{
	assert_int_equal(
		schedule_retry_at(FAILURE_ORDER, 1, true, 1000, 1000 + 60, 0), 1000 + HOUR);
	assert_int_equal(
		schedule_retry_at(FAILURE_ORDER, 1, true, 1000, 1000 + DAY, 0), 1000 + DAY);
	assert_int_equal(schedule_retry_at(FAILURE_ORDER, 1, true, 1000, 1000 + 800 * DAY, 0),
		1000 + 7 * DAY);
	assert_int_equal(
		schedule_retry_at(FAILURE_INPUT, 1, true, 1000, 1000 + HOUR, 0), 1000 + DAY);
}

static void jitter_adds_up_to_a_quarter(void **state)
{
	assert_int_equal(schedule_retry_at(FAILURE_ORDER, 1, true, 0, 0, 0.5), HOUR + HOUR / 8);
	assert_in_range(schedule_retry_at(FAILURE_ORDER, 1, true, 0, 0, NEARLY_1),
		HOUR + HOUR / 4 - 1, HOUR + HOUR / 4);
	assert_in_range(schedule_retry_at(FAILURE_EARLY, 1, true, 0, 0, NEARLY_1), 18, 18);
	assert_int_equal(schedule_retry_at(FAILURE_ORDER, 1, true, 0, DAY, 0.5), DAY + DAY / 8);
}

static void waits_are_bounded_when_the_clock_jumps(void **state)
{
	assert_false(schedule_is_waiting(0, 0, 1000));
	assert_true(schedule_is_waiting(1000, 4600, 1000));
	assert_true(schedule_is_waiting(1000, 4600, 4599));
	assert_false(schedule_is_waiting(1000, 4600, 4600));
	assert_false(schedule_is_waiting(1000, 4600, 1000000)); /* forward: over */
	/* A second back, as time servers do: no order before its time. */
	assert_true(schedule_is_waiting(1000000, 1003600, 999999));
	assert_true(schedule_is_waiting(1000000, 1003600, 996400));
	/* Years back: not till those have passed again. */
	assert_false(schedule_is_waiting(1000000, 1003600, 996399));
	assert_false(schedule_is_waiting(1000000, 1003600, 0));
}

static void looks_at_least_hourly(void **state)
{
	assert_int_equal(schedule_look_at(1000, 1001), 1001);
	assert_int_equal(schedule_look_at(1000, 1000 + HOUR), 1000 + HOUR);
	assert_int_equal(schedule_look_at(1000, 1000 + HOUR + 1), 1000 + HOUR);
	assert_int_equal(schedule_look_at(1000, INT64_MAX), 1000 + HOUR);
	assert_true(schedule_look_at(1000, 500) <= 1000);
}

static void every_reason_has_words(void **state)
{
	for (int w = WHY_MISSING; w <= WHY_END; w++)
		assert_true(strlen(schedule_why_text((enum schedule_why)w)) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_third_a_month_or_a_half_is_left),
		cmocka_unit_test(a_calendar_month_is_as_long_as_it_is),
		cmocka_unit_test(a_twentieth_is_never_gone_below),
		cmocka_unit_test(the_ca_decides_within_that),
		cmocka_unit_test(odd_certificates_are_survived),
		cmocka_unit_test(no_loop_of_orders),
		cmocka_unit_test(draws_inside_the_window),
		cmocka_unit_test(asks_the_ca_when_it_wants_to_be_asked),
		cmocka_unit_test(asks_again_after_a_failure),
		cmocka_unit_test(early_failures_wait_15_s_to_5_min),
		cmocka_unit_test(failed_orders_wait_an_hour_wrong_ones_a_day),
		cmocka_unit_test(who_serves_nothing_waits_1_and_10_minutes_first),
		cmocka_unit_test(the_ca_may_ask_for_longer_up_to_a_week),
		cmocka_unit_test(jitter_adds_up_to_a_quarter),
		cmocka_unit_test(waits_are_bounded_when_the_clock_jumps),
		cmocka_unit_test(looks_at_least_hourly),
		cmocka_unit_test(every_reason_has_words),
	};

	return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
