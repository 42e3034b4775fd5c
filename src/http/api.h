/* Somebody's HTTP API: one request with all that holds for each of them. Rate limits of the
 * account, the proof of who asks, retries, one more try with a new token, limits of size, and the
 * sentence when it fails:
 *
 *     adding the TXT record of _acme-challenge.example.org: HTTP 403: 9109: Unauthorized to ...
 *
 * Blocking: a job. */
#ifndef LINTEL_HTTP_API_H
#define LINTEL_HTTP_API_H

#include "base/str.h"
#include "conf/setting.h"
#include "http/account.h"
#include "http/answer.h"
#include "http/fetch.h"

enum { HTTP_CALL_HEADERS = 8, HTTP_CODE_SIZE = 64, HTTP_MESSAGE_SIZE = 513 };

#define HTTP_FORM "application/x-www-form-urlencoded"

/* What http_send() returns beside 0 and -1: it has failed, and beginning anew may do. */
enum { HTTP_AGAIN = -2 };

/* The first settings of every API; those of its own come after them. */
enum { HTTP_BASE_URL, HTTP_TIMEOUT, HTTP_INSECURE, HTTP_OWN_SETTINGS };

/* A request. Begun as {.method = "GET"}; step and path are added to with str_addf() and enc_url().
 * http_send() takes what it owns, be it sent or not. */
struct http_call {
	const char *method;
	struct str step; /* what is being done: "listing the zones" */
	struct str path; /* behind the base URL, with its query, encoded */
	struct str url;  /* instead of base URL and path: another place; empty = no */
	/* What is sent: one of them, or none. */
	struct json_object *json;
	struct str body;
	const char *content_type; /* of `body`; NULL = application/json */
	/* Adds something, so that after a lost answer it must be seen first whether it is there:
	 * the call returns HTTP_AGAIN then, and what it belongs to is begun anew. */
	bool adds;
	bool plain;     /* the answer is no JSON, but text or XML */
	bool anonymous; /* goes without authorize() */
	size_t max;     /* bytes of the answer; 0 = 1 MiB */
	/* What authorize() and the caller add. */
	struct fetch_header headers[HTTP_CALL_HEADERS];
	size_t n_headers;
};

/* How an answer that is no success is taken. */
enum http_verdict {
	HTTP_BY_STATUS, /* 408, 425, 429, 500, 502, 503, 504 may be tried again; 401 with a new
			 * token, where there are tokens; all others are final */
	HTTP_FINAL,
	HTTP_LATER,     /* may be tried again */
	HTTP_NEW_TOKEN, /* once, with a new token */
};

struct http_reply {
	struct fetch_response http;
	struct json_object *json; /* NULL: null, nothing, or no JSON */
	char *step;               /* of the call, for sentences about what is in the answer */
	/* By explain(), for sentences; escaped where they are shown. "" = unknown. */
	char code[HTTP_CODE_SIZE], message[HTTP_MESSAGE_SIZE];
	enum http_verdict verdict;
	int64_t retry_after_s; /* from now; 0 = not said */
};

struct http_api {
	char *base; /* URL without a slash at the end */
	int64_t timeout_ms;
	struct http_account *account;
	unsigned tries;  /* of a request; 0 = as usual */
	bool has_tokens; /* authorize() fetches them */
	/* Adds the headers that prove who asks, before each try; `again`: what it added last was
	 * refused, and a cached token is of no use any more. NULL = nothing to prove. */
	int (*authorize)(const void *arg, struct http_call *c, bool again, const struct limits *l,
		struct error *err);
	const void *arg;
	/* Sets code, message, and what status and headers do not say, from an answer that is no
	 * 2xx, or a 2xx that may be none (success: false): true = it is an error. */
	bool (*explain)(struct http_reply *r);
};

/* Takes in the first settings `v`: base_url (or `base`, its default), http_timeout. `name` and
 * `credentials`: all that an account is told apart by. `rate` requests in `per_ms`; 0 = no limit is
 * known. */
int http_api_init(struct http_api *api, const struct setting_value *v, const char *base,
	const char *name, const char *credentials, unsigned rate, int64_t per_ms,
	struct error *err);
void http_api_clear(struct http_api *api);
/* A setting that is a URL, checked: with `insecure` it may begin with http:// for any host.
 * `otherwise` where it is not given. Returns new, without a slash at the end; NULL with a sentence
 * that begins with the setting's key. */
char *http_url(
	const struct setting_value *v, bool insecure, const char *otherwise, struct error *err);

/* 0 with a 2xx; else -1 or HTTP_AGAIN with a sentence that begins with the step. `r` is to be
 * cleared in any case; its http.status is 0 when there was no answer. */
int http_send(const struct http_api *api, struct http_call *c, struct http_reply *r,
	const struct limits *l, struct error *err);
void http_reply_clear(struct http_reply *r); /* wipes the body */
void http_reply_wipe(struct http_reply *r);  /* and what was made of it: for one with secrets */
/* What is sent as its body; NULL = nothing. Borrowed from the call. */
const char *http_call_body(const struct http_call *c);
/* Adds a header, formatted. */
void http_call_header(struct http_call *c, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* "Authorization: Basic ...", "Authorization: Bearer ...". */
void http_call_basic(struct http_call *c, const char *user, const char *password);
void http_call_bearer(struct http_call *c, const char *token);
/* The same with the account's token; where it has none that is good, or was `again` refused, with
 * one that `fetch_it` gets: a new string, and its life in seconds; NULL with a sentence. Others of
 * the account wait for it meanwhile. */
int http_call_token(struct http_call *c, struct http_account *a, bool again,
	char *(*fetch_it)(
		const void *arg, int64_t *life_s, const struct limits *l, struct error *err),
	const void *arg, const struct limits *l, struct error *err);
/* Asks for a token: the text that the answer has as `member`, a new string; NULL with a sentence.
 * `life_s` is what it lives unless `expires_in` says: from a second to a day. */
char *http_fetch_token(const struct http_api *api, struct http_call *c, const char *member,
	int64_t *life_s, const struct limits *l, struct error *err);
/* Sets code and message from members of an object, in `explain`. NULLs are left alone. */
void http_reply_explain(struct http_reply *r, const char *code, const char *message);

/* {KEY:TEXT} of an object. */
void http_json_add(struct json_object *o, const char *key, const char *text);
/* Appends KEY=VALUE of a query or a form, encoded, with an & between two of them. */
void http_add_field(struct str *s, const char *key, const char *value);

/* Texts that are secret: wiped, and freed. NULL is fine. */
void http_wipe(char *secret);

#endif
