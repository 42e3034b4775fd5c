#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t us_of(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_mono_ms(void)
{
	return us_of(CLOCK_MONOTONIC_COARSE) / 1000;
}

int64_t clock_mono_us(void)
{
	return us_of(CLOCK_MONOTONIC);
}

int64_t clock_wall_s(void)
{
	return (int64_t)time(NULL);
}

const char *clock_rfc3339(char out[CLOCK_RFC3339_SIZE], int64_t unix_s, int ms)
{
	time_t t = (time_t)unix_s;
	struct tm tm;
	size_t n;

	if (!gmtime_r(&t, &tm) ||
		!(n = strftime(out, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm)))
		n = (size_t)snprintf(out, CLOCK_RFC3339_SIZE, "invalid");
	if (ms >= 0)
		snprintf(out + n, CLOCK_RFC3339_SIZE - n, ".%03dZ", ms);
	else
		snprintf(out + n, CLOCK_RFC3339_SIZE - n, "Z");
	return out;
}
