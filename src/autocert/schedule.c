#include "autocert/schedule.h"

#include <time.h>

#define MINUTE INT64_C(60)
#define HOUR   INT64_C(3600)
#define DAY    INT64_C(86400)

#define SHORT_LIFE  (10 * DAY) /* contract, section 4: up to here half of the life is kept */
#define EARLY_FIRST 15         /* seconds, doubling ... */
#define EARLY_MAX   (5 * MINUTE)
#define ASKED_MAX   (7 * DAY)  /* no CA's limits count by more than a week */
#define ARI_WAIT    (6 * HOUR) /* RFC 9773, 4.3.3: where the CA names no time */
#define ARI_MAX     DAY

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

static int64_t max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* `first`, doubled with each failure after the first, `most` at most. */
static int64_t doubled(int64_t first, unsigned failures, int64_t most)
{
	for (unsigned i = 1; i < failures && first < most; i++)
		first *= 2;
	return min(first, most);
}

/* The same day of the month before, or that month's last: 31 March -> 28 or 29 February. */
static int64_t month_before(int64_t t)
{
	time_t unix_s = (time_t)t;
	struct tm tm;
	int day;

	if (!gmtime_r(&unix_s, &tm))
		return t - 31 * DAY;
	day = tm.tm_mday;
	tm.tm_mon--;
	unix_s = timegm(&tm);
	/* What that month lacks spills over into the next one's first days. */
	return (int64_t)unix_s - (tm.tm_mday == day ? 0 : tm.tm_mday * DAY);
}

int64_t schedule_renew_at(
	int64_t not_before, int64_t not_after, int64_t ari_drawn, enum schedule_why *why)
{
	int64_t lifetime = max(not_after - not_before, 0);
	int64_t last = not_after - lifetime / 20, at;

	if (ari_drawn)
		at = ari_drawn;
	else if (lifetime <= SHORT_LIFE)
		at = not_after - lifetime / 2;
	else
		at = max(month_before(not_after), not_after - lifetime / 3);
	*why = ari_drawn ? WHY_ARI : WHY_AGE;
	if (at <= last)
		return at;
	*why = WHY_END;
	return last;
}

int64_t schedule_again_at(int64_t obtained_at, int64_t lifetime)
{
	return obtained_at + min(HOUR, max(lifetime, 0) / 10);
}

int64_t schedule_draw(int64_t start, int64_t end, double random)
{
	return start + (int64_t)((double)(end - start) * random);
}

int64_t schedule_ari_check(int64_t now, int64_t retry_at, int64_t lifetime)
{
	int64_t least = max(min(MINUTE, lifetime / 10), 1);
	int64_t wait = retry_at ? retry_at - now : ARI_WAIT;

	return now + min(max(wait, least), ARI_MAX);
}

int64_t schedule_ari_retry(int64_t now, bool unreachable, unsigned failures, int64_t retry_at)
{
	int64_t wait = unreachable ? doubled(MINUTE, failures, ARI_WAIT) : ARI_WAIT;

	return now + min(max(wait, retry_at - now), ARI_MAX);
}

int64_t schedule_retry_at(enum schedule_failure kind, unsigned n, bool serves, int64_t now,
	int64_t retry_at, double random)
{
	int64_t wait = 0;

	switch (kind) {
	case FAILURE_EARLY: wait = doubled(EARLY_FIRST, n, EARLY_MAX); break;
	case FAILURE_ORDER: wait = HOUR; break;
	case FAILURE_INPUT: wait = DAY; break;
	}
	/* Who has nothing to serve cannot wait that long at first. */
	if (kind != FAILURE_EARLY && !serves && n <= 2)
		wait = n <= 1 ? MINUTE : 10 * MINUTE;
	wait = max(wait, min(retry_at - now, ASKED_MAX));
	return now + wait + (int64_t)((double)wait * random / 4);
}

bool schedule_is_waiting(int64_t since, int64_t until, int64_t now)
{
	return now < until && now >= since - (until - since);
}

int64_t schedule_look_at(int64_t now, int64_t due)
{
	return min(due, now + HOUR);
}
