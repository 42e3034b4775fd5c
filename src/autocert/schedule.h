/* When what is due: pure functions of time (contract, section 4; RFC 9773). Times are Unix seconds
 * on the wall clock, which may jump; `random` lies in [0, 1). Any thread. */
#ifndef LINTEL_AUTOCERT_SCHEDULE_H
#define LINTEL_AUTOCERT_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

enum schedule_why {
	WHY_MISSING, /* there is no usable pair of files */
	WHY_NAMES,   /* the certificate lacks a configured domain */
	WHY_ISSUER,  /* it is of the pseudo CA, or of another one where that is wanted */
	WHY_FORCED,  /* somebody asked for it */
	WHY_ARI,     /* the CA suggests it */
	WHY_AGE,     /* less than a month, or a third of its life (a half, when short), is left */
	WHY_END,     /* less than a twentieth of its life is left, whatever the CA suggests */
};

/* "the CA suggests it", ... */
const char *schedule_why_text(enum schedule_why why);

/* When a certificate is to be renewed, and why then. `ari_drawn` is the time that was drawn from
 * the window that the CA suggests, 0 = it suggests none. */
int64_t schedule_renew_at(
	int64_t not_before, int64_t not_after, int64_t ari_drawn, enum schedule_why *why);

/* Before that none is ordered after one that was obtained at `obtained_at`, whatever else says so:
 * a clock that is ahead, or a CA whose windows always lie in the past, must not make an endless
 * loop of orders. A tenth of its life, an hour at most. */
int64_t schedule_again_at(int64_t obtained_at, int64_t lifetime);

/* One time inside the CA's window, which begins before it ends. */
int64_t schedule_draw(int64_t start, int64_t end, double random);

/* When to ask the CA for its window again, after an answer: `retry_at` is what its Retry-After
 * says, 0 = nothing. Within a minute (a tenth of the life, if less) and a day. */
int64_t schedule_ari_check(int64_t now, int64_t retry_at, int64_t lifetime);
/* After the `failures`-th time in a row that there was none: shortly where it was out of reach,
 * else in six hours; `retry_at` as above. */
int64_t schedule_ari_retry(int64_t now, bool unreachable, unsigned failures, int64_t retry_at);

enum schedule_failure {
	FAILURE_EARLY, /* before an order was accepted, or with one that can be gone on with */
	FAILURE_ORDER,
	FAILURE_INPUT, /* the same again will fail again: somebody must change something */
};

/* When to try again after the `n`-th failure in a row of this kind (FAILURE_ORDER and FAILURE_INPUT
 * are counted as one). `serves`: the old certificate still does. `retry_at` is what the CA asks
 * for, 0 = nothing; more than a week is not heeded. */
int64_t schedule_retry_at(enum schedule_failure kind, unsigned n, bool serves, int64_t now,
	int64_t retry_at, double random);

/* Whether a wait that began at `since` and was to last until `until` (both may be of long ago, and
 * from a file) goes on. A clock that was set back makes it at most twice as long. */
bool schedule_is_waiting(int64_t since, int64_t until, int64_t now);

/* When to look again: when something is due, but at least hourly, as files and clocks change. */
int64_t schedule_look_at(int64_t now, int64_t due);

#endif
