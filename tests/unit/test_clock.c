#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"

static void test_rfc3339(void **state)
{
	char text[CLOCK_RFC3339_SIZE];

	assert_string_equal(clock_rfc3339(text, 0, -1), "1970-01-01T00:00:00Z");
	assert_string_equal(clock_rfc3339(text, 1795644279, -1), "2026-11-25T22:04:39Z");
	assert_string_equal(clock_rfc3339(text, 1795644279, 7), "2026-11-25T22:04:39.007Z");
	assert_string_equal(clock_rfc3339(text, 951782400, 0), "2000-02-29T00:00:00.000Z");
	assert_string_equal(clock_rfc3339(text, -1, -1), "1969-12-31T23:59:59Z");
	assert_string_equal(clock_rfc3339(text, 253402300800, 999), "10000-01-01T00:00:00.999Z");
}

static void test_impossible_date_ends_in_text(void **state)
{
	char text[CLOCK_RFC3339_SIZE];

	assert_string_equal(clock_rfc3339(text, INT64_MAX, -1), "invalidZ");
}

static void test_clocks_agree(void **state)
{
	int64_t us = clock_mono_us(), ms = clock_mono_ms(), wall = clock_wall_s();

	/* The coarse clock lags by a tick at most; this is about the unit. */
	assert_in_range(ms + 100, us / 1000, us / 1000 + 60000);
	assert_true(clock_mono_us() >= us);
	assert_true(clock_mono_ms() >= ms);
	assert_in_range(wall, time(NULL) - 60, time(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc3339),
		cmocka_unit_test(test_impossible_date_ends_in_text),
		cmocka_unit_test(test_clocks_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
