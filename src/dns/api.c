#include "dns/api.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define TRIES      5
#define WAIT_MAX   30000 /* ms */
#define BYTES_MAX  ((size_t)1 << 20)
#define SEEN_MAX   20 /* zones that a sentence names */
#define SHOWN_SIZE 400

/* --- URLs --- */

/* What is told of a URL: its query may hold a secret. */
static char *without_query(const char *url)
{
	return mem_strndup(url, strcspn(url, "?"));
}

char *dns_api_url(
	const struct dns_provider *p, size_t row, const char *otherwise, struct error *err)
{
	const char *given = dns_value(p, row), *key = p->ops->options[row].key;
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
	if (!address_is_secure_url(given) && !dns_is_true(p, DNS_INSECURE_HTTP)) {
		error_set(err,
			"%s: \"%.200s\" would send the credentials in the clear: use https://, or "
			"set insecure_http",
			key, given);
		return NULL;
	}
	return mem_strndup(given, len);
}

int dns_api_init(struct dns_provider *p, struct dns_api *api, const char *base,
	const char *credentials, unsigned rate, int64_t per_ms, struct error *err)
{
	char *id;

	api->base = dns_api_url(p, DNS_BASE_URL, base, err);
	if (!api->base)
		return -1;
	api->timeout_ms = dns_value_ms(p, DNS_HTTP_TIMEOUT, 0);
	id = mem_printf("%s\n%s", api->base, credentials);
	api->account = http_account_get(p->name, id, rate, per_ms);
	OPENSSL_cleanse(id, strlen(id));
	free(id);
	return 0;
}

void dns_api_clear(struct dns_api *api)
{
	free(api->base);
	api->base = NULL;
}

void dns_api_free(struct dns_provider *p)
{
	dns_api_clear(p->own);
	free(p->own);
}

/* --- a request --- */

void dns_call_header(struct dns_call *c, const char *name, const char *fmt, ...)
{
	struct fetch_header *h = &c->headers[c->n_headers];
	va_list ap;

	if (c->n_headers == DNS_CALL_HEADERS)
		abort();
	va_start(ap, fmt);
	if (vasprintf(&h->value, fmt, ap) < 0)
		abort(); /* out of memory */
	va_end(ap);
	h->name = mem_strdup(name);
	c->n_headers++;
}

void dns_call_bearer(struct dns_call *c, const char *token)
{
	dns_call_header(c, "Authorization", "Bearer %s", token);
}

int dns_call_token(const struct dns_job *j, struct dns_call *c, struct http_account *a, bool again,
	char *(*fetch_it)(const struct dns_job *j, int64_t *life_s, const struct limits *l,
		struct error *err),
	const struct limits *l, struct error *err)
{
	int64_t life_s = 0;
	char *token;

	if (http_account_enter(a, HTTP_TOKEN, l, err) < 0)
		return -1;
	token = again ? NULL : http_account_token(a);
	if (!token && (token = fetch_it(j, &life_s, l, err)))
		http_account_set_token(a, token, life_s);
	http_account_leave(a, HTTP_TOKEN);
	if (!token)
		return -1;
	dns_call_bearer(c, token);
	OPENSSL_cleanse(token, strlen(token));
	free(token);
	return 0;
}

void dns_call_basic(struct dns_call *c, const char *user, const char *password)
{
	char *plain = mem_printf("%s:%s", user, password);
	size_t len = strlen(plain);
	unsigned char *text = mem_alloc(4 * ((len + 2) / 3) + 1);

	EVP_EncodeBlock(text, (const unsigned char *)plain, (int)len);
	dns_call_header(c, "Authorization", "Basic %s", (char *)text);
	OPENSSL_cleanse(text, strlen((char *)text));
	OPENSSL_cleanse(plain, len);
	free(text);
	free(plain);
}

static void drop_headers(struct dns_call *c, size_t keep)
{
	while (c->n_headers > keep) {
		struct fetch_header *h = &c->headers[--c->n_headers];

		OPENSSL_cleanse(h->value, strlen(h->value));
		free(h->value);
		free(h->name);
	}
}

/* A header whose value would end the line, or the request. */
static int check_headers(const struct dns_call *c, struct error *err)
{
	for (size_t i = 0; i < c->n_headers; i++)
		if (strpbrk(c->headers[i].value, "\r\n"))
			return error_set(err,
				"a line end stands within what goes into the header %s: is a "
				"credential cut right?",
				c->headers[i].name);
	return 0;
}

void dns_reply_explain(struct dns_reply *r, const char *code, const char *message)
{
	if (code)
		snprintf(r->code, sizeof(r->code), "%s", code);
	if (message)
		snprintf(r->message, sizeof(r->message), "%s", message);
}

void dns_reply_clear(struct dns_reply *r)
{
	if (r->http.body)
		OPENSSL_cleanse(r->http.body, r->http.len); /* tokens come so */
	fetch_response_clear(&r->http);
	json_object_put(r->json);
	*r = (struct dns_reply){0};
}

static bool may_come_good(long status)
{
	return status == 408 || status == 425 || status == 429 || status == 500 || status == 502 ||
	       status == 503 || status == 504;
}

/* An answer that does not look like one of the API may be another server's: `where` tells it. */
static void set_error(const struct dns_reply *r, const char *where, struct error *err)
{
	char code[SHOWN_SIZE], message[DNS_MESSAGE_SIZE + SHOWN_SIZE];

	str_escape(code, sizeof(code), r->code, strlen(r->code));
	str_escape(message, sizeof(message), r->message, strlen(r->message));
	error_set(err, "HTTP %ld%s%s%s%s", r->http.status, *code ? ": " : "", code,
		*message ? ": " : "", message);
	if (!*code && (!*message || r->http.status == 404))
		error_prefix(err, "%s", where);
}

/* One try. 0, or the verdict on its failure, never DNS_BY_STATUS. */
static enum dns_verdict try_once(const struct dns_api *api, const struct dns_call *c,
	const char *url, const char *where, struct dns_reply *r, const struct limits *l,
	struct error *err)
{
	int64_t left = l->deadline_ms - clock_mono_ms();
	const size_t max = c->max ? c->max : BYTES_MAX;
	const struct fetch_request req = {
		.method = c->method,
		.url = url,
		.where = where,
		.body = c->body,
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
		return DNS_LATER;
	bad_json = !c->plain && r->http.len &&
		   answer_json(r->http.body, r->http.len, max, &r->json, &why) < 0;
	success = r->http.status >= 200 && r->http.status < 300;
	now = clock_wall_s();
	r->retry_after_s = answer_retry_after(fetch_header(&r->http, "Retry-After", 0), now);
	r->retry_after_s -= r->retry_after_s ? now : 0;
	if (success && bad_json) {
		error_set(err, "%s: HTTP %ld: %s", where, r->http.status, why.text);
		return DNS_LATER;
	}
	if (!api->explain ? success : !api->explain(r) && success)
		return DNS_BY_STATUS;
	set_error(r, where, err);
	if (r->verdict != DNS_BY_STATUS)
		return r->verdict;
	if (r->http.status == 401 && api->has_tokens)
		return DNS_NEW_TOKEN;
	return may_come_good(r->http.status) ? DNS_LATER : DNS_FINAL;
}

/* Exponential with full jitter, or what the API asks for. -1 with the sentence completed when that
 * is too late. */
static int wait_again(
	unsigned tries, const struct dns_reply *r, const struct limits *l, struct error *err)
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
		char what[ERROR_MAX];

		snprintf(what, sizeof(what), "%s", err ? err->text : "");
		if (r->retry_after_s)
			error_set(err, "%.1500s; the API asks to wait %lld s", what,
				(long long)r->retry_after_s);
		return -1;
	}
	return stop_wait(l->stop, wait) ? error_set(err, "stopped") : 0;
}

static int authorize(const struct dns_job *j, const struct dns_api *api, struct dns_call *c,
	bool again, const struct limits *l, struct error *err)
{
	if (c->anonymous || !api->authorize)
		return 0;
	return api->authorize(j, c, again, l, err);
}

int dns_api_call(const struct dns_job *j, const struct dns_api *api, struct dns_call *c,
	struct dns_reply *r, const struct limits *l, struct error *err)
{
	char *url = c->url ? mem_strdup(c->url) : mem_printf("%s%s", api->base, c->path),
	     *where = without_query(url);
	const unsigned most = j->provider->tries ? j->provider->tries : TRIES;
	const size_t given = c->n_headers;
	bool again = false;
	int rc = -1;

	*r = (struct dns_reply){0};
	for (unsigned tries = 1;; tries++) {
		enum dns_verdict verdict;

		dns_reply_clear(r);
		if (http_account_ask(api->account, l, err) < 0 ||
			authorize(j, api, c, again, l, err) < 0 || check_headers(c, err) < 0)
			break;
		verdict = try_once(api, c, url, where, r, l, err);
		drop_headers(c, given);
		if (verdict == DNS_BY_STATUS) {
			rc = 0;
			break;
		}
		if (verdict == DNS_NEW_TOKEN && !again) {
			again = true;
			continue;
		}
		if (stop_is_set(l->stop) || verdict != DNS_LATER || tries >= most)
			break;
		if (c->adds && r->http.status != 429) {
			if (!r->retry_after_s || wait_again(tries, r, l, err) == 0)
				rc = DNS_AGAIN;
			break;
		}
		if (wait_again(tries, r, l, err) < 0)
			break;
	}
	drop_headers(c, 0);
	if (rc < 0)
		error_prefix(err, "%s", c->step);
	free(where);
	free(url);
	return rc;
}

/* --- zones --- */

int dns_api_walk(const struct dns_job *j, const char *name, struct dns_zone *z,
	int (*look)(const struct dns_job *j, const char *candidate, struct dns_zone *z,
		const struct limits *l, struct error *err),
	const struct limits *l, struct error *err)
{
	for (const char *candidate = name; strchr(candidate, '.');
		candidate = strchr(candidate, '.') + 1) {
		int rc;

		if (*candidate == '_') /* no zone is called so */
			continue;
		rc = look(j, candidate, z, l, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

void dns_zone_consider(struct dns_zone *z, struct dns_zones_seen *seen, const char *name,
	const char *zone, const char *id)
{
	char plain[DNS_NAME_SIZE], shown[DNS_NAME_SIZE];
	size_t len = strlen(zone);

	if (len && zone[len - 1] == '.')
		len--;
	if (!len || len >= sizeof(plain))
		return;
	memcpy(plain, zone, len);
	plain[len] = '\0';
	str_lower(plain);
	if (seen && seen->n++ < SEEN_MAX)
		str_addf(&seen->names, "%s%s", seen->n > 1 ? ", " : "",
			str_escape(shown, sizeof(shown), plain, len));
	if (!dns_is_above(plain, name) || (z->id && strlen(z->name) >= len))
		return;
	memcpy(z->name, plain, len + 1);
	free(z->id);
	z->id = mem_strdup(id);
}

int dns_zone_missing(struct dns_zones_seen *seen, const char *name, struct error *err)
{
	if (!seen->n)
		error_set(err,
			"no zone of this account covers %s: it has none at all, as far as "
			"these credentials may see",
			name);
	else
		error_set(err, "no zone of this account covers %s: it has %s%s", name,
			seen->names.data, seen->n > SEEN_MAX ? " and more" : "");
	str_clear(&seen->names);
	seen->n = 0;
	return -1;
}

const char *dns_relative(const char *name, const char *zone, char out[DNS_NAME_SIZE])
{
	size_t len = strlen(name), of_zone = strlen(zone);

	len = len > of_zone ? len - of_zone - 1 : 0;
	memcpy(out, name, len);
	out[len] = '\0';
	return out;
}

/* --- sets of values --- */

bool dns_is_value(const char *shown, const char *value)
{
	size_t len = strlen(value);

	if (strcmp(shown, value) == 0)
		return true;
	return *shown == '"' && strlen(shown) == len + 2 && shown[len + 1] == '"' &&
	       strncmp(shown + 1, value, len) == 0;
}

void dns_set_add(struct conf_strings *set, const char *value)
{
	*(char **)mem_grow(&set->v, set->n++, sizeof(*set->v)) = mem_strdup(value);
}

void dns_set_clear(struct conf_strings *set)
{
	for (size_t i = 0; i < set->n; i++)
		free(set->v[i]);
	free(set->v);
	*set = (struct conf_strings){0};
}

/* Where it is; set->n = it is not there. */
static size_t find_value(const struct conf_strings *set, const char *value)
{
	size_t i = 0;

	while (i < set->n && !dns_is_value(set->v[i], value))
		i++;
	return i;
}

bool dns_set_merge(
	struct conf_strings *set, struct dns_txt *const *v, size_t n, bool add, bool quoted)
{
	bool changed = false;

	for (size_t i = 0; i < n; i++) {
		size_t at = find_value(set, v[i]->value);
		char *shown;

		if (add == (at < set->n))
			continue;
		changed = true;
		if (!add) {
			free(set->v[at]);
			memmove(&set->v[at], &set->v[at + 1], (--set->n - at) * sizeof(*set->v));
			continue;
		}
		shown = mem_printf("%s%s%s", quoted ? "\"" : "", v[i]->value, quoted ? "\"" : "");
		dns_set_add(set, shown);
		free(shown);
	}
	return changed;
}
