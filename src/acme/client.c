#include "acme/client.h"

#include <stdlib.h>
#include <string.h>

#include "acme/jws.h"
#include "base/address.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/answer.h"

#define ANSWER_MAX  (1 << 20) /* bytes */
#define REQUEST_MS  30000
#define NONCE_TRIES 20 /* of one request; at half of all nonces rejected one in a million fails */
#define FIRST_MS    250
#define LAST_MS     10000
#define CLOCK_MAX_S 60 /* that the CA's clock may be away from ours */

struct acme {
	struct acme_options options;
	struct fetch *fetch;
	char *roots; /* PEM; NULL = none beside the system's */
	struct json_object *directory;
	EVP_PKEY *key;
	char *account_url, *nonce;
	enum acme_fault fault;
	char fault_type[ACME_TYPE_SIZE];
	int64_t retry_at;
	int64_t clock_offset; /* seconds that the CA's clock is ahead */
	long status;          /* of the last answer; 0 = there was none */
};

struct acme *acme_new(const struct acme_options *o)
{
	struct acme *a = mem_zalloc(sizeof(*a));

	a->options = *o;
	a->fetch = fetch_new();
	return a;
}

void acme_free(struct acme *a)
{
	if (!a)
		return;
	fetch_free(a->fetch);
	json_object_put(a->directory);
	free(a->roots);
	free(a->account_url);
	free(a->nonce);
	free(a);
}

void acme_use_key(struct acme *a, EVP_PKEY *key)
{
	a->key = key;
}

EVP_PKEY *acme_key(const struct acme *a)
{
	return a->key;
}

enum acme_fault acme_fault(const struct acme *a)
{
	return a->fault;
}

const char *acme_fault_type(const struct acme *a)
{
	return a->fault_type;
}

int64_t acme_retry_at(const struct acme *a)
{
	return a->retry_at;
}

int acme_check_clock(const struct acme *a, struct error *err)
{
	if (llabs(a->clock_offset) <= CLOCK_MAX_S)
		return 0;
	return error_set(err, "the clock of this machine is %lld s %s that of the CA: set it right",
		llabs(a->clock_offset), a->clock_offset > 0 ? "behind" : "ahead of");
}

const char *acme_account_url(const struct acme *a)
{
	return a->account_url;
}

void acme_set_account_url(struct acme *a, const char *url)
{
	free(a->account_url);
	a->account_url = mem_strdup(url);
}

void acme_answer_clear(struct acme_answer *ans)
{
	json_object_put(ans->json);
	fetch_response_clear(&ans->http);
	*ans = (struct acme_answer){0};
}

/* ---- failures ---- */

static int set_fault(struct acme *a, enum acme_fault fault)
{
	a->fault = stop_is_set(a->options.stop) ? ACME_STOPPED : fault;
	return -1;
}

int acme_nonsense(struct acme *a, const char *url, struct error *err)
{
	error_prefix(err, "the CA's answer makes no sense: %s", url);
	return set_fault(a, ACME_NONSENSE);
}

int acme_refused(struct acme *a, struct json_object *problem, struct error *err)
{
	acme_problem_set(err, problem);
	acme_type_of(problem, a->fault_type);
	return set_fault(a, strcmp(a->fault_type, "rateLimited") == 0 ? ACME_RATE_LIMITED
			    : acme_is_input(a->fault_type)            ? ACME_INPUT
								      : ACME_REFUSED);
}

/* What a person can do about a problem; goes behind its sentence. */
static void add_advice(const struct acme *a, struct json_object *problem, struct error *why)
{
	const char *page = answer_text(problem, "instance"); /* 7.3.3 */
	char text[ERROR_MAX];

	if (strcmp(a->fault_type, "externalAccountRequired") == 0)
		snprintf(text, sizeof(text),
			"%.500s; set eab_kid and eab_hmac, which this CA gives out", why->text);
	else if (strcmp(a->fault_type, "userActionRequired") == 0)
		snprintf(text, sizeof(text), "%.500s; visit %.200s, and agree to what it asks",
			why->text, page && acme_is_url(page) ? page : "the CA's page");
	else
		return;
	error_set(why, "%s", text);
}

/* A status that is no success. */
static int refuse(struct acme *a, const char *url, struct acme_answer *ans, struct error *err)
{
	struct json_object *o =
		ans->http.body ? acme_json_parse(ans->http.body, ans->http.len, NULL) : NULL;
	long status = ans->status;
	struct error why = {""};

	a->retry_at = ans->retry_at;
	acme_answer_clear(ans);
	if (answer_text(o, "type") || answer_text(o, "detail")) {
		acme_refused(a, o, &why);
		add_advice(a, o, &why);
		error_set(err, "the CA refuses %.200s (status %ld): %.700s", url, status, why.text);
	} else {
		error_set(err, "the CA answers %.200s with status %ld and gives no reason", url,
			status);
		set_fault(a, ACME_REFUSED);
	}
	json_object_put(o);
	if (status == 429)
		return set_fault(a, ACME_RATE_LIMITED);
	return status >= 500 ? set_fault(a, ACME_UNREACHABLE) : -1;
}

/* ---- requests ---- */

static void note_headers(struct acme *a, const struct acme_answer *ans)
{
	const char *nonce = fetch_header(&ans->http, "Replay-Nonce", 0);
	const char *date = fetch_header(&ans->http, "Date", 0);
	int64_t then = date ? answer_date(date) : 0;

	if (nonce) {
		free(a->nonce);
		a->nonce = mem_strdup(nonce);
	}
	if (then)
		a->clock_offset = then - clock_wall_s();
}

static int request(struct acme *a, const struct fetch_request *wanted, struct acme_answer *ans,
	struct error *err)
{
	struct fetch_request req = *wanted;
	char shown[200];

	*ans = (struct acme_answer){0};
	a->retry_at = 0;
	a->status = 0;
	*a->fault_type = '\0';
	if (!acme_is_url(req.url) || !address_is_secure_url(req.url)) {
		error_set(err, "a CA is asked by https only, and this is no such URL: %s",
			str_escape(shown, sizeof(shown), req.url, strlen(req.url)));
		return set_fault(
			a, req.url == a->options.directory_url ? ACME_INPUT : ACME_NONSENSE);
	}
	req.ca_pem = a->roots;
	req.use_proxy = str_starts(req.url, "https://"); /* http is for this machine only */
	req.stop = a->options.stop;
	req.timeout_ms = REQUEST_MS;
	req.max_bytes = ANSWER_MAX;
	if (fetch_run(a->fetch, &req, &ans->http, err) < 0) {
		error_prefix(err, "%s",
			fetch_is_untrusted(a->fetch)
				? "the CA cannot be asked (does ca_certs lack its root?)"
				: "the CA cannot be asked");
		return set_fault(a, ACME_UNREACHABLE);
	}
	ans->status = a->status = ans->http.status;
	ans->retry_at =
		answer_retry_after(fetch_header(&ans->http, "Retry-After", 0), clock_wall_s());
	note_headers(a, ans);
	return 0;
}

static int read_json(struct acme *a, const char *url, struct acme_answer *ans, struct error *err)
{
	if (!ans->http.len) /* a revocation's answer has none */
		return 0;
	ans->json = acme_json_parse(ans->http.body, ans->http.len, err);
	if (ans->json)
		return 0;
	acme_answer_clear(ans);
	return acme_nonsense(a, url, err);
}

static bool is_success(const struct acme_answer *ans)
{
	return ans->status >= 200 && ans->status < 300;
}

int acme_get(struct acme *a, const char *url, struct acme_answer *ans, struct error *err)
{
	const struct fetch_request req = {.method = "GET", .url = url};

	if (request(a, &req, ans, err) < 0)
		return -1;
	if (!is_success(ans))
		return refuse(a, url, ans, err);
	return read_json(a, url, ans, err);
}

/* RFC 8555, 7.2 */
static int get_nonce(struct acme *a, struct error *err)
{
	struct fetch_request req = {.method = "HEAD"};
	struct acme_answer ans;

	req.url = acme_resource(a, "newNonce", err);
	if (!req.url || request(a, &req, &ans, err) < 0)
		return -1;
	if (!is_success(&ans))
		return refuse(a, req.url, &ans, err);
	acme_answer_clear(&ans);
	if (a->nonce)
		return 0;
	error_set(err, "it has no Replay-Nonce");
	return acme_nonsense(a, req.url, err);
}

static bool is_bad_nonce(const struct acme_answer *ans)
{
	struct json_object *o;
	char type[ACME_TYPE_SIZE];

	if (ans->status != 400 || !ans->http.len)
		return false;
	o = acme_json_parse(ans->http.body, ans->http.len, NULL);
	acme_type_of(o, type);
	json_object_put(o);
	return strcmp(type, "badNonce") == 0;
}

static int sign_and_send(struct acme *a, const char *url, const char *kid, const char *payload,
	const char *accept, struct acme_answer *ans, struct error *err)
{
	struct fetch_request req = {
		.method = "POST",
		.url = url,
		.content_type = "application/jose+json",
		.accept = accept,
	};
	char *nonce, *jws;
	int rc;

	if (!a->nonce && get_nonce(a, err) < 0)
		return -1;
	nonce = a->nonce;
	a->nonce = NULL;
	jws = jws_sign(a->key, kid, nonce, url, payload, err);
	free(nonce);
	if (!jws)
		return -1;
	req.body = jws;
	rc = request(a, &req, ans, err);
	free(jws);
	return rc;
}

/* With the nonce of the answer that has rejected the one before (RFC 8555, 6.5). */
static int post(struct acme *a, const char *url, const char *kid, struct json_object *payload,
	const char *accept, struct acme_answer *ans, struct error *err)
{
	const char *text =
		payload ? json_object_to_json_string_ext(
				  payload, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
			: "";

	for (int i = 0; i < NONCE_TRIES; i++) {
		if (sign_and_send(a, url, kid, text, accept, ans, err) < 0)
			return -1;
		if (is_success(ans))
			return 0;
		if (!is_bad_nonce(ans) || i == NONCE_TRIES - 1)
			break;
		acme_answer_clear(ans);
	}
	return refuse(a, url, ans, err);
}

int acme_post(struct acme *a, const char *url, struct json_object *payload, struct acme_answer *ans,
	struct error *err)
{
	if (post(a, url, a->account_url, payload, NULL, ans, err) < 0)
		return -1;
	return read_json(a, url, ans, err);
}

int acme_post_by_key(struct acme *a, const char *url, struct json_object *payload,
	struct acme_answer *ans, struct error *err)
{
	if (post(a, url, NULL, payload, NULL, ans, err) < 0)
		return -1;
	return read_json(a, url, ans, err);
}

int acme_post_for(struct acme *a, const char *url, const char *accept, struct acme_answer *ans,
	struct error *err)
{
	return post(a, url, a->account_url, NULL, accept, ans, err);
}

/* ---- the directory ---- */

static int read_roots(struct acme *a, struct error *err)
{
	struct str all = {0};

	for (size_t i = 0; i < a->options.ca_certs->n; i++) {
		size_t len;
		char *pem = file_read(a->options.ca_certs->v[i], ACME_ROOTS_MAX, &len, err);

		if (!pem) {
			str_clear(&all);
			return error_prefix(err, "ca_certs");
		}
		str_addf(&all, "%s\n", pem);
		free(pem);
	}
	a->roots = all.data;
	return 0;
}

int acme_open(struct acme *a, struct error *err)
{
	struct acme_answer ans;

	if (!a->roots && read_roots(a, err) < 0) {
		a->fault = ACME_INPUT;
		return -1;
	}
	if (acme_get(a, a->options.directory_url, &ans, err) < 0) {
		/* Somebody is there, but answers as no directory does. */
		if (a->fault == ACME_REFUSED || a->fault == ACME_NONSENSE)
			error_append(err, "is ca_dir_url the URL of an ACME directory?");
		return -1;
	}
	json_object_put(a->directory);
	a->directory = json_object_get(ans.json);
	acme_answer_clear(&ans);
	if (acme_resource(a, "newNonce", err) && acme_resource(a, "newAccount", err) &&
		acme_resource(a, "newOrder", err))
		return 0;
	return error_append(err, "is ca_dir_url the URL of an ACME directory?");
}

const char *acme_resource(struct acme *a, const char *name, struct error *err)
{
	const char *url = answer_text(a->directory, name);

	if (url && acme_is_url(url))
		return url;
	error_set(err, "%s: the CA's directory has no URL for %s", a->options.directory_url, name);
	set_fault(a, ACME_NONSENSE);
	return NULL;
}

static struct json_object *meta(const struct acme *a, const char *key)
{
	struct json_object *m = NULL, *value = NULL;

	if (json_object_object_get_ex(a->directory, "meta", &m) &&
		json_object_is_type(m, json_type_object))
		json_object_object_get_ex(m, key, &value);
	return value;
}

bool acme_wants_eab(const struct acme *a)
{
	return json_object_get_boolean(meta(a, "externalAccountRequired"));
}

bool acme_has_ari(const struct acme *a)
{
	return answer_text(a->directory, "renewalInfo");
}

bool acme_knows_profile(const struct acme *a, const char *profile)
{
	struct json_object *profiles = meta(a, "profiles");

	return json_object_is_type(profiles, json_type_object) &&
	       json_object_object_get_ex(profiles, profile, NULL);
}

/* ---- waiting ---- */

bool acme_is_busy(const struct acme *a, int64_t deadline_ms)
{
	int64_t left_ms = deadline_ms - clock_mono_ms();

	return (a->status == 429 || a->status == 503) &&
	       (a->retry_at - clock_wall_s()) * 1000 < left_ms;
}

int acme_wait(struct acme *a, unsigned n, int64_t retry_at, int64_t deadline_ms, struct error *err)
{
	int64_t ms = FIRST_MS, left = deadline_ms - clock_mono_ms();

	for (; n && ms < LAST_MS; n--)
		ms *= 2;
	if (ms > LAST_MS)
		ms = LAST_MS;
	if (retry_at)
		ms = (retry_at - clock_wall_s()) * 1000;
	if (ms < FIRST_MS)
		ms = FIRST_MS;
	if (left <= 0) {
		error_set(err, "the CA has not come to an end in time");
		return set_fault(a, ACME_UNREACHABLE);
	}
	if (!stop_wait(a->options.stop, ms < left ? ms : left))
		return 0;
	error_set(err, "stopped");
	return set_fault(a, ACME_STOPPED);
}
