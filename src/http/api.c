#include "http/api.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/mem.h"
#include "base/str.h"

#define TRIES      5
#define WAIT_MAX   30000 /* ms */
#define BYTES_MAX  ((size_t)1 << 20)
#define SEEN_MAX   20 /* zones that a sentence names */
#define SHOWN_SIZE 400
#define YEAR_S     31536000
#define DAY_S      86400

/* --- URLs --- */

/* What is told of a URL: its query may hold a secret. */
static char *without_query(const char *url)
{
	return mem_strndup(url, strcspn(url, "?"));
}

char *http_url(
	const struct setting_value *v, bool insecure, const char *otherwise, struct error *err)
{
	const char *given = setting_text(v), *key = v->row->key;
	size_t len;

	if (!given)
		return mem_strdup(otherwise);
	len = strlen(given);
	while (len && given[len - 1] == '/')
		len--;
	if (!str_starts(given, "https://") && !str_starts(given, "http://")) {
		error_set(err, "%s: \"%.200s\" is no URL: it begins with https://", key, given);
		return NULL;
	}
	if (!strcspn(strstr(given, "://") + 3, ":/?#")) {
		error_set(err, "%s: \"%.200s\" names no host", key, given);
		return NULL;
	}
	if (strpbrk(given, "?#@ \t")) {
		error_set(err, "%s: the URL may have a path, but no query and no user name", key);
		return NULL;
	}
	if (!address_is_secure_url(given) && !insecure) {
		error_set(err,
			"%s: \"%.200s\" would send the credentials in the clear: use https://, or "
			"set insecure_http",
			key, given);
		return NULL;
	}
	return mem_strndup(given, len);
}

int http_api_init(struct http_api *api, const struct setting_value *v, const char *base,
	const char *name, const char *credentials, unsigned rate, int64_t per_ms, struct error *err)
{
	char *id;

	api->base = http_url(&v[HTTP_BASE_URL], setting_is_true(&v[HTTP_INSECURE]), base, err);
	if (!api->base)
		return -1;
	api->timeout_ms = setting_ms(&v[HTTP_TIMEOUT], 0);
	id = mem_printf("%s\n%s", api->base, credentials);
	api->account = http_account_get(name, id, rate, per_ms);
	http_wipe(id);
	return 0;
}

void http_api_clear(struct http_api *api)
{
	free(api->base);
	api->base = NULL;
}

void http_json_add(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

void http_add_field(struct str *s, const char *key, const char *value)
{
	str_addf(s, "%s%s=", !s->len || s->data[s->len - 1] == '?' ? "" : "&", key);
	enc_url(s, value);
}

void http_wipe(char *secret)
{
	if (secret)
		OPENSSL_cleanse(secret, strlen(secret));
	free(secret);
}

/* --- a request --- */

void http_call_header(struct http_call *c, const char *name, const char *fmt, ...)
{
	struct fetch_header *h = &c->headers[c->n_headers];
	va_list ap;

	if (c->n_headers == HTTP_CALL_HEADERS)
		abort();
	va_start(ap, fmt);
	if (vasprintf(&h->value, fmt, ap) < 0)
		abort(); /* out of memory */
	va_end(ap);
	h->name = mem_strdup(name);
	c->n_headers++;
}

void http_call_bearer(struct http_call *c, const char *token)
{
	http_call_header(c, "Authorization", "Bearer %s", token);
}

int http_call_token(struct http_call *c, struct http_account *a, bool again,
	char *(*fetch_it)(
		const void *arg, int64_t *life_s, const struct limits *l, struct error *err),
	const void *arg, const struct limits *l, struct error *err)
{
	int64_t life_s = 0;
	char *token;

	if (http_account_enter(a, HTTP_TOKEN, l, err) < 0)
		return -1;
	token = again ? NULL : http_account_token(a);
	if (!token && (token = fetch_it(arg, &life_s, l, err)))
		http_account_set_token(a, token, life_s);
	http_account_leave(a, HTTP_TOKEN);
	if (!token)
		return -1;
	http_call_bearer(c, token);
	http_wipe(token);
	return 0;
}

void http_call_basic(struct http_call *c, const char *user, const char *password)
{
	char *plain = mem_printf("%s:%s", user, password);
	size_t len = strlen(plain);
	unsigned char *text = mem_alloc(4 * ((len + 2) / 3) + 1);

	EVP_EncodeBlock(text, (const unsigned char *)plain, (int)len);
	http_call_header(c, "Authorization", "Basic %s", (char *)text);
	http_wipe((char *)text);
	http_wipe(plain);
}

static void drop_headers(struct http_call *c, size_t keep)
{
	while (c->n_headers > keep) {
		struct fetch_header *h = &c->headers[--c->n_headers];

		http_wipe(h->value);
		free(h->name);
	}
}

/* A header whose value would end the line, or the request. */
static int check_headers(const struct http_call *c, struct error *err)
{
	for (size_t i = 0; i < c->n_headers; i++)
		if (strpbrk(c->headers[i].value, "\r\n"))
			return error_set(err,
				"a line end stands within what goes into the header %s: is a "
				"credential cut right?",
				c->headers[i].name);
	return 0;
}

const char *http_call_body(const struct http_call *c)
{
	return c->json ? json_object_to_json_string_ext(
				 c->json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
		       : c->body.data;
}

static void clear_text(struct str *s)
{
	if (s->data)
		OPENSSL_cleanse(s->data, s->len);
	str_clear(s);
}

/* The step is the reply's from now on. */
static void take_call(struct http_call *c, struct http_reply *r)
{
	char *json = c->json ? (char *)http_call_body(c) : NULL; /* json-c's own */

	if (json)
		OPENSSL_cleanse(json, strlen(json));
	json_object_put(c->json);
	c->json = NULL;
	clear_text(&c->body);
	clear_text(&c->path);
	clear_text(&c->url);
	drop_headers(c, 0);
	r->step = c->step.data;
	c->step = (struct str){0};
}

void http_reply_explain(struct http_reply *r, const char *code, const char *message)
{
	if (code)
		snprintf(r->code, sizeof(r->code), "%s", code);
	if (message)
		snprintf(r->message, sizeof(r->message), "%s", message);
}

void http_reply_clear(struct http_reply *r)
{
	if (r->http.body)
		OPENSSL_cleanse(r->http.body, r->http.len); /* tokens come so */
	fetch_response_clear(&r->http);
	json_object_put(r->json);
	free(r->step);
	*r = (struct http_reply){0};
}

void http_reply_wipe(struct http_reply *r)
{
	answer_wipe(r->json);
	r->json = NULL;
	http_reply_clear(r);
}

static bool may_come_good(long status)
{
	return status == 408 || status == 425 || status == 429 || status == 500 || status == 502 ||
	       status == 503 || status == 504;
}

/* An answer that does not look like one of the API may be another server's: `where` tells it. */
static void set_error(const struct http_reply *r, const char *where, struct error *err)
{
	char code[SHOWN_SIZE], message[HTTP_MESSAGE_SIZE + SHOWN_SIZE];

	str_escape(code, sizeof(code), r->code, strlen(r->code));
	str_escape(message, sizeof(message), r->message, strlen(r->message));
	error_set(err, "HTTP %ld%s%s%s%s", r->http.status, *code ? ": " : "", code,
		*message ? ": " : "", message);
	if (!*code && (!*message || r->http.status == 404))
		error_prefix(err, "%s", where);
}

/* One try. 0, or the verdict on its failure, never HTTP_BY_STATUS. */
static enum http_verdict try_once(const struct http_api *api, const struct http_call *c,
	const char *url, const char *where, struct http_reply *r, const struct limits *l,
	struct error *err)
{
	int64_t left = l->deadline_ms - clock_mono_ms();
	const size_t max = c->max ? c->max : BYTES_MAX;
	const struct fetch_request req = {
		.method = c->method,
		.url = url,
		.where = where,
		.body = http_call_body(c),
		.content_type = c->content_type,
		.accept = c->plain ? NULL : "application/json",
		.headers = c->headers,
		.n_headers = c->n_headers,
		.use_proxy = str_starts(url, "https://"),
		.stop = l->stop,
		.timeout_ms = left < 1                 ? 1
			      : left < api->timeout_ms ? left
						       : api->timeout_ms,
		.max_bytes = max,
	};
	struct error why = {""};
	bool bad_json, success;
	int64_t now;

	if (fetch(&req, &r->http, err) < 0)
		return HTTP_LATER;
	bad_json = !c->plain && r->http.len &&
		   answer_json(r->http.body, r->http.len, max, &r->json, &why) < 0;
	success = r->http.status >= 200 && r->http.status < 300;
	now = clock_wall_s();
	r->retry_after_s = answer_retry_after(fetch_header(&r->http, "Retry-After", 0), now);
	r->retry_after_s -= r->retry_after_s ? now : 0;
	if (success && bad_json) {
		error_set(err, "%s: HTTP %ld: %s", where, r->http.status, why.text);
		return HTTP_LATER;
	}
	if (!api->explain ? success : !api->explain(r) && success)
		return HTTP_BY_STATUS;
	if (r->retry_after_s > YEAR_S)
		r->retry_after_s = YEAR_S;
	set_error(r, where, err);
	if (r->verdict != HTTP_BY_STATUS)
		return r->verdict;
	if (r->http.status == 401 && api->has_tokens)
		return HTTP_NEW_TOKEN;
	return may_come_good(r->http.status) ? HTTP_LATER : HTTP_FINAL;
}

/* Exponential with full jitter, or what the API asks for. -1 with the sentence completed when that
 * is too late. */
static int wait_again(
	unsigned tries, const struct http_reply *r, const struct limits *l, struct error *err)
{
	int64_t wait = r->retry_after_s * 1000, most = INT64_C(1000) << (tries - 1);
	uint32_t random;

	if (most > WAIT_MAX)
		most = WAIT_MAX;
	if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1)
		abort();
	if (!wait)
		wait = random % most + 1;
	if (clock_mono_ms() + wait >= l->deadline_ms) {
		if (r->retry_after_s)
			error_append(
				err, "the API asks to wait %lld s", (long long)r->retry_after_s);
		return -1;
	}
	return stop_wait(l->stop, wait) ? error_set(err, "stopped") : 0;
}

static int authorize(const struct http_api *api, struct http_call *c, bool again,
	const struct limits *l, struct error *err)
{
	if (c->anonymous || !api->authorize)
		return 0;
	return api->authorize(api->arg, c, again, l, err);
}

int http_send(const struct http_api *api, struct http_call *c, struct http_reply *r,
	const struct limits *l, struct error *err)
{
	char *url = c->url.data ? mem_strdup(c->url.data)
				: mem_printf("%s%s", api->base, c->path.data),
	     *where = without_query(url);
	const unsigned most = api->tries ? api->tries : TRIES;
	const size_t given = c->n_headers;
	bool again = false;
	int rc = -1;

	*r = (struct http_reply){0};
	for (unsigned tries = 1;; tries++) {
		enum http_verdict verdict;

		http_reply_clear(r);
		if (http_account_ask(api->account, l, err) < 0 ||
			authorize(api, c, again, l, err) < 0 || check_headers(c, err) < 0)
			break;
		verdict = try_once(api, c, url, where, r, l, err);
		drop_headers(c, given);
		if (verdict == HTTP_BY_STATUS) {
			rc = 0;
			break;
		}
		if (verdict == HTTP_NEW_TOKEN && !again) {
			again = true;
			continue;
		}
		if (stop_is_set(l->stop) || verdict != HTTP_LATER || tries >= most)
			break;
		if (c->adds && r->http.status != 429) {
			if (!r->retry_after_s || wait_again(tries, r, l, err) == 0)
				rc = HTTP_AGAIN;
			break;
		}
		if (wait_again(tries, r, l, err) < 0)
			break;
	}
	if (rc < 0)
		error_prefix(err, "%s", c->step.data);
	take_call(c, r);
	http_wipe(url);
	free(where);
	return rc;
}

char *http_fetch_token(const struct http_api *api, struct http_call *c, const char *member,
	int64_t *life_s, const struct limits *l, struct error *err)
{
	struct json_object *life;
	struct http_reply r;
	char *token = NULL;

	if (http_send(api, c, &r, l, err) == 0) {
		token = mem_strdup(answer_text(r.json, member));
		if (!token)
			error_set(err, "%s: the answer has no %s", r.step, member);
		life = answer_member(r.json, "expires_in", json_type_int);
		if (life)
			*life_s = json_object_get_int64(life);
		if (*life_s < 1 || *life_s > DAY_S)
			*life_s = *life_s < 1 ? 1 : DAY_S;
	}
	http_reply_wipe(&r);
	return token;
}
