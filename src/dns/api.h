/* The HTTP APIs of DNS providers: one request with all that holds for each of them. Rate limits of
 * the account, the proof of who asks, retries, one more try with a new token, limits of size, and
 * the sentence when it fails:
 *
 *     adding the TXT record of _acme-challenge.example.org: HTTP 403: 9109: Unauthorized to ...
 *
 * For the files of this folder. Blocking: a job. */
#ifndef LINTEL_DNS_API_H
#define LINTEL_DNS_API_H

#include "base/str.h"
#include "dns/ops.h"
#include "http/account.h"
#include "http/answer.h"
#include "http/fetch.h"

enum { DNS_CALL_HEADERS = 8, DNS_CODE_SIZE = 64, DNS_MESSAGE_SIZE = 513 };

/* The rows of a provider with an API, after the common ones: see DNS_API_OPTIONS. */
enum {
	DNS_BASE_URL = DNS_OWN_OPTIONS,
	DNS_HTTP_TIMEOUT,
	DNS_INSECURE_HTTP,
	DNS_API_OWN_OPTIONS,
};
/* `A` and `B` as for DNS_COMMON_OPTIONS; then the variables of the base URL: {"X"} or {NULL}. */
#define DNS_API_OPTIONS(A, B, ...)                                                                 \
	DNS_COMMON_OPTIONS(A, B),                                                                  \
		[DNS_BASE_URL] = {.key = "base_url",                                               \
			.env = __VA_ARGS__,                                                        \
			.type = SETTING_URL,                                                       \
			.help = "where the API is, with a path in front of all of its own"},       \
		DNS_HTTP_OPTIONS(A, B)
/* For those that call the base URL by another word, and have DNS_COMMON_OPTIONS and a row
 * [DNS_BASE_URL] of their own. */
#define DNS_HTTP_OPTIONS(A, B)                                                                     \
	[DNS_HTTP_TIMEOUT] = {.key = "http_timeout",                                               \
		.env = DNS_ENV(A, B, "HTTP_TIMEOUT"),                                              \
		.type = SETTING_DURATION,                                                          \
		.fallback = "30s",                                                                 \
		.help = "for one request of the API"},                                             \
	[DNS_INSECURE_HTTP] = {.key = "insecure_http",                                             \
		.type = SETTING_BOOL,                                                              \
		.fallback = "false",                                                               \
		.help = "lets URLs begin with http:// for other hosts than this one"}

struct dns_call {
	const char *step;         /* what is being done: "listing the zones" */
	const char *method;       /* "GET", ... */
	const char *path;         /* behind the base URL, with its query, encoded */
	const char *url;          /* instead of base URL and path: another place; NULL = no */
	const char *body;         /* NULL = none */
	const char *content_type; /* of the body; NULL = application/json */
	/* Adds something, so that after a lost answer it must be seen first whether it is there:
	 * the call returns DNS_AGAIN then, and present() is begun anew. */
	bool adds;
	bool plain;     /* the answer is no JSON, but text or XML */
	bool anonymous; /* goes without authorize() */
	size_t max;     /* bytes of the answer; 0 = 1 MiB */
	/* What authorize() and the caller add. Values are wiped and freed after the call. */
	struct fetch_header headers[DNS_CALL_HEADERS];
	size_t n_headers;
};

/* How an answer that is no success is taken. */
enum dns_verdict {
	DNS_BY_STATUS, /* 408, 425, 429, 500, 502, 503, 504 may be tried again; 401 with a new
			* token, where there are tokens; all others are final */
	DNS_FINAL,
	DNS_LATER,     /* may be tried again */
	DNS_NEW_TOKEN, /* once, with a new token */
};

struct dns_reply {
	struct fetch_response http;
	struct json_object *json; /* NULL: null, nothing, or no JSON */
	/* By explain(), for sentences; escaped where they are shown. "" = unknown. */
	char code[DNS_CODE_SIZE], message[DNS_MESSAGE_SIZE];
	enum dns_verdict verdict;
	int64_t retry_after_s; /* from now; 0 = not said */
};

struct dns_api {    /* part of a provider's `own` */
	char *base; /* URL without a slash at the end */
	int64_t timeout_ms;
	struct http_account *account;
	bool has_tokens; /* authorize() fetches them */
	/* Adds the headers that prove who asks, before each try; `again`: what it added last was
	 * refused, and a cached token is of no use any more. NULL = nothing to prove. */
	int (*authorize)(const struct dns_job *j, struct dns_call *c, bool again,
		const struct limits *l, struct error *err);
	/* Sets code, message, and what status and headers do not say, from an answer that is no
	 * 2xx, or a 2xx that may be none (success: false): true = it is an error. */
	bool (*explain)(struct dns_reply *r);
};

/* Takes in base_url (or `base`, its default), http_timeout and insecure_http. `credentials`: all
 * that an account is told apart by. `rate` requests in `per_ms`; 0 = no limit is known. */
int dns_api_init(struct dns_provider *p, struct dns_api *api, const char *base,
	const char *credentials, unsigned rate, int64_t per_ms, struct error *err);
void dns_api_clear(struct dns_api *api);
/* The clear() of a provider whose `own` has nothing to free but a struct dns_api, its first member.
 */
void dns_api_free(struct dns_provider *p);
/* Another URL of the options, which is checked in the same way; `otherwise` where it is not given.
 * Returns new, without a slash at the end; NULL with a sentence. */
char *dns_api_url(
	const struct dns_provider *p, size_t row, const char *otherwise, struct error *err);

/* 0 with a 2xx; else -1 or DNS_AGAIN with a sentence that begins with c->step. `r` is to be cleared
 * in any case; its http.status is 0 when there was no answer. */
int dns_api_call(const struct dns_job *j, const struct dns_api *api, struct dns_call *c,
	struct dns_reply *r, const struct limits *l, struct error *err);
void dns_reply_clear(struct dns_reply *r);
/* Adds a header, formatted. */
void dns_call_header(struct dns_call *c, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* "Authorization: Basic ...", "Authorization: Bearer ...". */
void dns_call_basic(struct dns_call *c, const char *user, const char *password);
void dns_call_bearer(struct dns_call *c, const char *token);
/* The same with the account's token; where it has none that is good, or was `again` refused, with
 * one that `fetch_it` gets: a new string, and its life in seconds; NULL with a sentence. Others of
 * the account wait for it meanwhile. */
int dns_call_token(const struct dns_job *j, struct dns_call *c, struct http_account *a, bool again,
	char *(*fetch_it)(const struct dns_job *j, int64_t *life_s, const struct limits *l,
		struct error *err),
	const struct limits *l, struct error *err);
/* Sets code and message from members of an object, in `explain`. NULLs are left alone. */
void dns_reply_explain(struct dns_reply *r, const char *code, const char *message);

/* --- zones --- */

/* Asks `look` for the zones above `name` from the longest to those of two labels. `look` returns 1
 * when there is one, and has filled in the zone, 0 when there is none, else what a call returns. So
 * does this. */
int dns_api_walk(const struct dns_job *j, const char *name, struct dns_zone *z,
	int (*look)(const struct dns_job *j, const char *candidate, struct dns_zone *z,
		const struct limits *l, struct error *err),
	const struct limits *l, struct error *err);
/* Takes the zone for the longest so far where `name` lies in it, and notes its name for the
 * sentence. `zone` may have a dot at the end. */
struct dns_zones_seen {
	struct str names;
	size_t n;
};
void dns_zone_consider(struct dns_zone *z, struct dns_zones_seen *seen, const char *name,
	const char *zone, const char *id);
/* -1 with "no zone of this account covers NAME: it has a, b, c"; clears `seen`. */
int dns_zone_missing(struct dns_zones_seen *seen, const char *name, struct error *err);
/* What `name` is called within its zone: "" = the zone itself. In `name`'s own bytes where it can
 * be; `out` is as large as a name. */
const char *dns_relative(const char *name, const char *zone, char out[DNS_NAME_SIZE]);

/* --- sets of values --- */

/* Whether a value as an API shows it is ours: with or without quotes. */
bool dns_is_value(const char *shown, const char *value);
/* The records' values are put into the set of what is there, or taken out. Whether that changed it.
 * Added ones are written with quotes where `quoted`. */
bool dns_set_merge(
	struct conf_strings *set, struct dns_txt *const *v, size_t n, bool add, bool quoted);
void dns_set_add(struct conf_strings *set, const char *value);
void dns_set_clear(struct conf_strings *set);

#endif
