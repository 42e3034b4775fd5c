#include "http/account.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/mem.h"

#define LOOK_MS  20 /* between two looks at whether it is our turn */
#define MARGIN_S 60
#define PLACE_MS 600000 /* longer than an order waits for propagation and validation */

struct http_account {
	SLIST_ENTRY(http_account) next;
	unsigned char id[SHA256_DIGEST_LENGTH];
	pthread_mutex_t turns[2];
	pthread_mutex_t lock; /* of what follows */
	unsigned rate;
	int64_t per_ms;
	int64_t full_at;  /* ms: when nothing of the rate is used up any more */
	char *value;      /* whose the place is; NULL = it is free */
	int64_t place_at; /* ms: when it counts as given back; when it was; 0 = never taken */
	char *token;
	int64_t token_until; /* ms, monotonic */
	bool has_clock;
	int64_t clock_delta;
};

static SLIST_HEAD(, http_account) accounts = SLIST_HEAD_INITIALIZER(accounts);
static pthread_mutex_t accounts_lock = PTHREAD_MUTEX_INITIALIZER;

static struct http_account *find(const unsigned char *id)
{
	struct http_account *a;

	SLIST_FOREACH (a, &accounts, next)
		if (memcmp(a->id, id, sizeof(a->id)) == 0)
			return a;
	return NULL;
}

struct http_account *http_account_get(
	const char *provider, const char *credentials, unsigned rate, int64_t per_ms)
{
	unsigned char id[SHA256_DIGEST_LENGTH];
	char *text = mem_printf("%s\n%s", provider, credentials);
	struct http_account *a;

	SHA256((const unsigned char *)text, strlen(text), id);
	OPENSSL_cleanse(text, strlen(text));
	free(text);
	pthread_mutex_lock(&accounts_lock);
	a = find(id);
	if (!a) {
		a = mem_zalloc(sizeof(*a));
		memcpy(a->id, id, sizeof(id));
		pthread_mutex_init(&a->turns[HTTP_CHANGE], NULL);
		pthread_mutex_init(&a->turns[HTTP_TOKEN], NULL);
		pthread_mutex_init(&a->lock, NULL);
		a->rate = rate;
		a->per_ms = per_ms;
		SLIST_INSERT_HEAD(&accounts, a, next);
	}
	pthread_mutex_unlock(&accounts_lock);
	return a;
}

/* A bucket: each request takes per_ms / rate of it, and time gives it back. How long to wait until
 * one more fits; 0 = it was taken. */
static int64_t take(struct http_account *a)
{
	int64_t now = clock_mono_ms(), each = a->rate ? a->per_ms / a->rate : 0, wait = 0;

	pthread_mutex_lock(&a->lock);
	if (a->full_at < now)
		a->full_at = now;
	if (a->full_at + each - now > a->per_ms)
		wait = a->full_at + each - now - a->per_ms;
	else
		a->full_at += each;
	pthread_mutex_unlock(&a->lock);
	return wait;
}

int http_account_ask(struct http_account *a, const struct limits *l, struct error *err)
{
	int64_t wait;

	while ((wait = take(a)) > 0) {
		if (clock_mono_ms() + wait > l->deadline_ms)
			return error_set(err,
				"the provider's limit of %u requests in %lld s is used up, and the "
				"next one would be too late",
				a->rate, (long long)a->per_ms / 1000);
		if (stop_wait(l->stop, wait))
			return error_set(err, "stopped");
	}
	return 0;
}

int http_account_enter(
	struct http_account *a, enum http_turn turn, const struct limits *l, struct error *err)
{
	while (pthread_mutex_trylock(&a->turns[turn]) != 0) {
		if (clock_mono_ms() > l->deadline_ms)
			return error_set(err, "another order with the same account takes too long");
		if (stop_wait(l->stop, LOOK_MS))
			return error_set(err, "stopped");
	}
	return 0;
}

void http_account_leave(struct http_account *a, enum http_turn turn)
{
	pthread_mutex_unlock(&a->turns[turn]);
}

/* --- the place --- */

/* How long to wait until it may be had; 0 = it was taken. */
static int64_t take_place(struct http_account *a, const char *value, int64_t gap_ms)
{
	int64_t now = clock_mono_ms(), wait = 0;

	pthread_mutex_lock(&a->lock);
	if (a->value && a->place_at > now && strcmp(a->value, value) != 0)
		wait = LOOK_MS;
	else if (!a->value && a->place_at && a->place_at + gap_ms > now)
		wait = a->place_at + gap_ms - now;
	if (!wait) {
		free(a->value);
		a->value = mem_strdup(value);
		a->place_at = now + PLACE_MS;
	}
	pthread_mutex_unlock(&a->lock);
	return wait;
}

int http_account_take(struct http_account *a, const char *value, int64_t gap_ms,
	const struct limits *l, struct error *err)
{
	int64_t deadline = l->deadline_ms + PLACE_MS + gap_ms, wait;

	while ((wait = take_place(a, value, gap_ms)) > 0) {
		if (clock_mono_ms() + wait > deadline)
			return error_set(err, "other orders with the same account take too long");
		if (stop_wait(l->stop, wait))
			return error_set(err, "stopped");
	}
	return 0;
}

bool http_account_retake(struct http_account *a, const char *value)
{
	return take_place(a, value, 0) == 0;
}

void http_account_give(struct http_account *a)
{
	pthread_mutex_lock(&a->lock);
	free(a->value);
	a->value = NULL;
	a->place_at = clock_mono_ms();
	pthread_mutex_unlock(&a->lock);
}

/* --- the token --- */

char *http_account_token(struct http_account *a)
{
	char *token = NULL;

	pthread_mutex_lock(&a->lock);
	if (a->token && clock_mono_ms() < a->token_until)
		token = mem_strdup(a->token);
	pthread_mutex_unlock(&a->lock);
	return token;
}

void http_account_set_token(struct http_account *a, const char *token, int64_t life_s)
{
	int64_t margin = life_s > 2 * MARGIN_S ? MARGIN_S : life_s / 2;

	pthread_mutex_lock(&a->lock);
	if (a->token) {
		OPENSSL_cleanse(a->token, strlen(a->token));
		free(a->token);
	}
	a->token = mem_strdup(token);
	a->token_until = clock_mono_ms() + (life_s - margin) * 1000;
	pthread_mutex_unlock(&a->lock);
}

/* --- the clock --- */

bool http_account_clock(struct http_account *a, int64_t *delta_s)
{
	bool has;

	pthread_mutex_lock(&a->lock);
	has = a->has_clock;
	*delta_s = a->clock_delta;
	pthread_mutex_unlock(&a->lock);
	return has;
}

void http_account_set_clock(struct http_account *a, int64_t delta_s)
{
	pthread_mutex_lock(&a->lock);
	a->has_clock = true;
	a->clock_delta = delta_s;
	pthread_mutex_unlock(&a->lock);
}

void http_account_forget_clock(struct http_account *a)
{
	pthread_mutex_lock(&a->lock);
	a->has_clock = false;
	pthread_mutex_unlock(&a->lock);
}
