/* What all jobs of the process share of one account at somebody's API: how fast it may be asked,
 * the token that proves who asks, how far its clock is from ours, and who is changing records.
 * Accounts are found by provider and credentials (a hash of them is kept), and stay for good: there
 * are as many as configurations had. Any job thread. */
#ifndef LINTEL_HTTP_ACCOUNT_H
#define LINTEL_HTTP_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/stop.h"

struct http_account;

/* `rate`: requests in `per_ms`, all of which may come at once; 0 = any number. Never NULL. */
struct http_account *http_account_get(
	const char *provider, const char *credentials, unsigned rate, int64_t per_ms);

/* Waits until one more request may be sent. -1 with a sentence when told to stop, or when that is
 * not before the deadline. */
int http_account_ask(struct http_account *a, const struct limits *l, struct error *err);

/* One job at a time, within enter and leave: changing records of which only whole sets are written,
 * and fetching a token. The one may be held while the other is entered, in this order. */
enum http_turn { HTTP_CHANGE, HTTP_TOKEN };
int http_account_enter(
	struct http_account *a, enum http_turn turn, const struct limits *l, struct error *err);
void http_account_leave(struct http_account *a, enum http_turn turn);

/* The one place for a value that such an account has (that of dns-01 at some providers), from
 * present() to cleanup(), so that orders come one after the other. take() waits until it is free,
 * and has been so for `gap_ms`; it is `value`'s then, but not for good, lest one that is never
 * given back hold up all others: after ten minutes it counts as given back. `l` bounds the time
 * beyond these two. */
int http_account_take(struct http_account *a, const char *value, int64_t gap_ms,
	const struct limits *l, struct error *err);
/* Takes it at once, to clean up. False: it is another value's. */
bool http_account_retake(struct http_account *a, const char *value);
void http_account_give(struct http_account *a);

/* The token, while it is good for another minute (or half of its life): a new string; NULL = there
 * is none. */
char *http_account_token(struct http_account *a);
/* NULL: there is none any more. */
void http_account_set_token(struct http_account *a, const char *token, int64_t life_s);

/* The account's clock minus ours, in seconds; false = it was not asked for yet. */
bool http_account_clock(struct http_account *a, int64_t *delta_s);
void http_account_set_clock(struct http_account *a, int64_t delta_s);
void http_account_forget_clock(struct http_account *a);

#endif
