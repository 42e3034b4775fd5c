#include "autocert/schedule.h"

#include <time.h>

#define MINUTE INT64_C(60)
#define HOUR   INT64_C(3600)
#define DAY    INT64_C(86400)

#define SHORT_LIFE (10 * DAY) /* contract, section 4: up to here half of the life is kept */

const char *schedule_why_text(enum schedule_why why)
{
	switch (why) {
	case WHY_MISSING: return "there is no usable certificate";
	case WHY_NAMES: return "the certificate lacks a configured name";
	case WHY_ISSUER: return "the certificate is of another CA";
	case WHY_FORCED: return "somebody asked for it";
	case WHY_ARI: return "the CA suggests it";
	case WHY_AGE: return "its age";
	case WHY_END: return "it ends soon";
	}
	return "";
}

static int64_t min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The same day of the month before, or that month's last. */
static int64_t month_before(int64_t t)
{
	time_t unix_s = (time_t)t;
	struct tm tm, moved;
	int day;

	if (!gmtime_r(&unix_s, &tm))
		return t - 31 * DAY;
	day = tm.tm_mday;
	tm.tm_mon--;
	for (int d = day; d > day - 4; d--) {
		moved = tm;
		moved.tm_mday = d;
		unix_s = timegm(&moved);
		if (moved.tm_mday == d) /* else there is no such day in that month */
			return (int64_t)unix_s;
	}
	return t - 31 * DAY;
}

int64_t schedule_renew_at(
	int64_t not_before, int64_t not_after, int64_t ari_drawn, enum schedule_why *why)
{
	int64_t lifetime = not_after > not_before ? not_after - not_before : 0;
	int64_t last = not_after - lifetime / 20;
	int64_t left = lifetime <= SHORT_LIFE
			       ? lifetime / 2
			       : min(not_after - month_before(not_after), lifetime / 3);

	*why = ari_drawn ? WHY_ARI : WHY_AGE;
	if (!ari_drawn)
		return not_after - left;
	if (ari_drawn <= last)
		return ari_drawn;
	*why = WHY_END;
	return last;
}

int64_t schedule_draw(int64_t start, int64_t end, double random)
{
	return start + (int64_t)((double)(end - start) * random);
}

int64_t schedule_ari_check(int64_t now, int64_t retry_at, int64_t lifetime)
{
	int64_t least = min(MINUTE, lifetime / 10), wait = retry_at ? retry_at - now : 6 * HOUR;

	if (least < 1)
		least = 1;
	if (wait < least)
		wait = least;
	return now + min(wait, DAY);
}

int64_t schedule_ari_retry(int64_t now, bool unreachable, unsigned failures)
{
	int64_t wait = MINUTE;

	for (unsigned i = 1; i < failures && wait < 6 * HOUR; i++)
		wait *= 2;
	return now + (unreachable ? min(wait, 6 * HOUR) : 6 * HOUR);
}

int64_t schedule_retry_at(enum schedule_failure kind, unsigned n, bool serves, int64_t now,
	int64_t retry_at, double random)
{
	int64_t wait = 15;

	switch (kind) {
	case FAILURE_EARLY:
		for (unsigned i = 1; i < n && wait < 5 * MINUTE; i++)
			wait *= 2;
		wait = min(wait, 5 * MINUTE);
		break;
	case FAILURE_ORDER: wait = HOUR; break;
	case FAILURE_INPUT: wait = DAY; break;
	}
	/* Who has nothing to serve cannot wait that long at first. */
	if (kind != FAILURE_EARLY && !serves && n <= 2)
		wait = n <= 1 ? MINUTE : 10 * MINUTE;
	wait += (int64_t)((double)wait * random / 4);
	return retry_at > now + wait ? retry_at : now + wait;
}

int64_t schedule_look_at(int64_t now, int64_t due)
{
	return min(due, now + HOUR);
}
