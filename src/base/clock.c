#include "base/clock.h"

#include <ctype.h>
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

int64_t clock_from_rfc3339(const char *text)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t t, offset = 0;
	int hours, minutes;
	char sign;

	if (!rest)
		return 0;
	t = (int64_t)timegm(&tm);
	if (*rest == '.')
		for (rest++; isdigit((unsigned char)*rest); rest++)
			;
	if (sscanf(rest, "%c%2d:%2d", &sign, &hours, &minutes) == 3 && (sign == '+' || sign == '-'))
		offset = (hours * 60 + minutes) * (sign == '+' ? 60 : -60);
	else if (*rest != 'Z' && *rest != 'z')
		return 0;
	return t > offset ? t - offset : 0;
}
