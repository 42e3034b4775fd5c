/* One conversation with one CA (RFC 8555), over connections that are kept between requests: one job
 * thread. Order of calls: acme_new, acme_open, acme_use_key, acme_account_*, then the rest. */
#ifndef LINTEL_ACME_CLIENT_H
#define LINTEL_ACME_CLIENT_H

#include <json-c/json.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "acme/problem.h"
#include "base/error.h"
#include "base/stop.h"
#include "conf/conf.h"
#include "http/fetch.h"

/* Of what kind the last failure was. */
enum acme_fault {
	ACME_NONE,
	ACME_UNREACHABLE,  /* no answer, or 5xx: the network, a name, TLS, a CA that is down */
	ACME_NONSENSE,     /* an answer that is not as the RFC has it */
	ACME_REFUSED,      /* a problem document */
	ACME_RATE_LIMITED, /* the problem rateLimited, or status 429 */
	ACME_INPUT,        /* a problem that stays until somebody changes something */
	ACME_STOPPED,      /* told to stop */
};

#define ACME_ROOTS_MAX (1 << 20) /* bytes of a file of ca_certs */

struct acme_options { /* borrowed until acme_free() */
	const char *directory_url;
	const struct conf_strings *ca_certs; /* PEM files of roots beside the system's */
	const struct stop *stop;
};

struct acme;
struct acme *acme_new(const struct acme_options *o);
void acme_free(struct acme *a); /* NULL is fine */
/* Gets the directory. */
int acme_open(struct acme *a, struct error *err);
void acme_use_key(struct acme *a, EVP_PKEY *key); /* borrowed until acme_free() */
EVP_PKEY *acme_key(const struct acme *a);

enum acme_fault acme_fault(const struct acme *a);
const char *acme_fault_type(
	const struct acme *a);               /* "rejectedIdentifier"; "" when it was no problem */
int64_t acme_retry_at(const struct acme *a); /* that the failure named; Unix seconds, 0 = none */
/* After acme_open(): whether this machine's clock and the CA's agree within a minute. -1 with a
 * sentence. */
int acme_check_clock(const struct acme *a, struct error *err);

/* What the directory says. */
bool acme_wants_eab(const struct acme *a);
bool acme_has_ari(const struct acme *a);
bool acme_knows_profile(const struct acme *a, const char *profile);
/* The URL of a resource ("newOrder"); NULL with a sentence where the CA has none. */
const char *acme_resource(struct acme *a, const char *name, struct error *err);

const char *acme_account_url(const struct acme *a); /* NULL before it is known */
void acme_set_account_url(struct acme *a, const char *url);

struct acme_answer {
	long status;
	struct json_object *json; /* NULL when it is none, or none was wanted */
	struct fetch_response http;
	int64_t retry_at; /* Retry-After, Unix seconds; 0 = none */
};

void acme_answer_clear(struct acme_answer *ans);

/* Posts a signed payload, as JSON; NULL is a POST-as-GET. By the account's URL, before it is known
 * by the public key. Status 2xx is 0; else -1 with a sentence. `ans` is to be cleared if it is 0.
 */
int acme_post(struct acme *a, const char *url, struct json_object *payload, struct acme_answer *ans,
	struct error *err);
/* The same for an answer that is no JSON, of this media type. */
int acme_post_for(struct acme *a, const char *url, const char *accept, struct acme_answer *ans,
	struct error *err);
/* By the public key, whether the account is known or not. */
int acme_post_by_key(struct acme *a, const char *url, struct json_object *payload,
	struct acme_answer *ans, struct error *err);
/* An unsigned GET. */
int acme_get(struct acme *a, const char *url, struct acme_answer *ans, struct error *err);

/* An answer that makes no sense: prefixes the sentence with the URL. Returns -1. */
int acme_nonsense(struct acme *a, const char *url, struct error *err);
/* A problem document within an object (of an order, a challenge) that ended badly. Returns -1. */
int acme_refused(struct acme *a, struct json_object *problem, struct error *err);

/* After a failure: whether the CA is only busy (429 or 503), and does not ask for a wait beyond
 * `deadline_ms`: a poll waits for acme_retry_at(), and goes on. */
bool acme_is_busy(const struct acme *a, int64_t deadline_ms);
/* Until `retry_at`, but 0.25 s doubling to 10 s with `n` where that is 0. -1 when told to stop, or
 * beyond `deadline_ms` (clock_mono_ms). */
int acme_wait(struct acme *a, unsigned n, int64_t retry_at, int64_t deadline_ms, struct error *err);

#endif
