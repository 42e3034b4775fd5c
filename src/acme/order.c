#include "acme/order.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "acme/key.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define WAIT_MS    (5 * 60 * 1000)
#define CHAINS_MAX 20
#define PEM_TYPE   "application/pem-certificate-chain"
#define AUTHZ_MAX  1000

/* ---- reading ---- */

static int read_status(struct json_object *o, enum acme_status *status, struct error *err)
{
	static const char *const names[] = {
		[ACME_PENDING] = "pending",
		[ACME_READY] = "ready",
		[ACME_PROCESSING] = "processing",
		[ACME_VALID] = "valid",
		[ACME_INVALID] = "invalid",
		[ACME_DEACTIVATED] = "deactivated",
		[ACME_EXPIRED] = "expired",
		[ACME_REVOKED] = "revoked",
	};
	const char *text = acme_json_string(o, "status", err);
	char shown[40];

	if (!text)
		return -1;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			*status = (enum acme_status)i;
			return 0;
		}
	}
	return error_set(err, "the status \"%s\" is unknown",
		str_escape(shown, sizeof(shown), text, strlen(text)));
}

static int read_order(struct json_object *o, struct acme_order *out, struct error *err)
{
	const char *finalize = acme_json_string(o, "finalize", err), *certificate;
	struct json_object *list = finalize ? acme_json_array(o, "authorizations", err) : NULL;
	size_t n = list ? json_object_array_length(list) : 0;

	if (!list || read_status(o, &out->status, err) < 0)
		return -1;
	if (!n || n > AUTHZ_MAX)
		return error_set(err, "it has %zu authorizations", n);
	out->finalize = mem_strdup(finalize);
	certificate = acme_json_optional(o, "certificate");
	out->certificate = mem_strdup(certificate);
	for (size_t i = 0; i < n; i++) {
		struct json_object *url = json_object_array_get_idx(list, i);

		if (!json_object_is_type(url, json_type_string))
			return error_set(err, "an authorization is no URL");
		*(char **)mem_grow(&out->authorizations.v, out->authorizations.n++,
			sizeof(char *)) = mem_strdup(json_object_get_string(url));
	}
	if (out->status == ACME_VALID && !out->certificate)
		return error_set(err, "it is valid and has no \"certificate\"");
	return 0;
}

/* From an answer, which is cleared. A failed order's sentence is that of its problem. */
static int take_order(struct acme *a, const char *url, struct acme_answer *ans,
	struct acme_order *o, struct error *err)
{
	struct json_object *problem = NULL;
	char *its_url = mem_strdup(url);
	int rc;

	acme_order_clear(o);
	o->url = its_url;
	o->retry_at = ans->retry_at;
	rc = read_order(ans->json, o, err);
	if (rc < 0)
		acme_nonsense(a, url, err);
	if (rc == 0 && o->status == ACME_INVALID) {
		json_object_object_get_ex(ans->json, "error", &problem);
		rc = acme_refused(a, problem, err);
		error_prefix(err, "the CA has declared the order invalid");
	}
	acme_answer_clear(ans);
	if (rc < 0)
		acme_order_clear(o);
	return rc;
}

void acme_order_clear(struct acme_order *o)
{
	free(o->url);
	free(o->finalize);
	free(o->certificate);
	for (size_t i = 0; i < o->authorizations.n; i++)
		free(o->authorizations.v[i]);
	free(o->authorizations.v);
	*o = (struct acme_order){0};
}

/* ---- placing ---- */

static struct json_object *order_payload(
	const struct conf_strings *domains, const char *profile, const char *replaces)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	for (size_t i = 0; i < domains->n; i++) {
		struct json_object *id = json_object_new_object();

		json_object_object_add(id, "type", json_object_new_string("dns"));
		json_object_object_add(id, "value", json_object_new_string(domains->v[i]));
		json_object_array_add(list, id);
	}
	json_object_object_add(o, "identifiers", list);
	if (profile)
		json_object_object_add(o, "profile", json_object_new_string(profile));
	if (replaces)
		json_object_object_add(o, "replaces", json_object_new_string(replaces));
	return o;
}

static int place(struct acme *a, const struct conf_strings *domains, const char *profile,
	const char *replaces, struct acme_order *o, struct error *err)
{
	const char *url = acme_resource(a, "newOrder", err), *location;
	struct json_object *payload = order_payload(domains, profile, replaces);
	struct acme_answer ans;
	char *its_url;
	int rc = url ? acme_post(a, url, payload, &ans, err) : -1;

	json_object_put(payload);
	if (rc < 0)
		return -1;
	location = fetch_header(&ans.http, "Location", 0);
	if (!location) {
		acme_answer_clear(&ans);
		error_set(err, "it has no Location");
		return acme_nonsense(a, url, err);
	}
	its_url = mem_strdup(location);
	rc = take_order(a, its_url, &ans, o, err);
	free(its_url);
	return rc;
}

/* Errors that could be about what is optional (RFC 9773, 5; the profiles draft). */
static bool may_be_about(struct acme *a, const char *own_type)
{
	const char *type = acme_fault_type(a);

	return strcmp(type, own_type) == 0 || strcmp(type, "malformed") == 0 ||
	       strcmp(type, "conflict") == 0 ||
	       (acme_fault(a) == ACME_REFUSED && strcmp(type, "rateLimited") != 0);
}

int acme_order_new(struct acme *a, const struct conf_strings *domains, const char *profile,
	const char *replaces, struct acme_order *o, struct error *err)
{
	struct error why = {""};

	*o = (struct acme_order){0};
	if (!acme_has_ari(a))
		replaces = NULL;
	if (profile && !acme_knows_profile(a, profile))
		profile = NULL;
	if (place(a, domains, profile, replaces, o, &why) == 0)
		return 0;
	if (replaces && may_be_about(a, "alreadyReplaced")) {
		log_info("%s; trying again without naming the certificate that is replaced",
			why.text);
		if (place(a, domains, profile, NULL, o, &why) == 0)
			return 0;
	}
	error_set(err, "%s", why.text);
	return -1;
}

int acme_order_get(struct acme *a, const char *url, struct acme_order *o, struct error *err)
{
	struct acme_answer ans;
	char *its_url = mem_strdup(url); /* it may be o's own */
	int rc = acme_post(a, its_url, NULL, &ans, err);

	if (rc == 0)
		rc = take_order(a, its_url, &ans, o, err);
	free(its_url);
	return rc;
}

/* ---- authorizations ---- */

static void challenge_clear(struct acme_challenge *c)
{
	free(c->domain);
	free(c->fqdn);
	free(c->value);
	free(c->url);
	free(c->authorization);
}

void acme_challenges_free(struct acme_challenge *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		challenge_clear(&v[i]);
	free(v);
}

/* 8.4: the digest of the key authorization (8.1). */
static char *txt_value(struct acme *a, const char *token)
{
	char *thumbprint = acme_key_thumbprint(acme_key(a));
	char *authorization = mem_printf("%s.%s", token, thumbprint), *value;
	unsigned char hash[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)authorization, strlen(authorization), hash);
	value = enc_base64url(hash, sizeof(hash));
	free(authorization);
	free(thumbprint);
	return value;
}

static struct json_object *find_dns01(struct json_object *authz)
{
	struct json_object *list = acme_json_array(authz, "challenges", NULL);
	size_t n = list ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *c = json_object_array_get_idx(list, i);
		const char *type = acme_json_optional(c, "type");

		if (type && strcmp(type, "dns-01") == 0)
			return c;
	}
	return NULL;
}

static const char *identifier(struct json_object *authz)
{
	struct json_object *id = NULL;

	json_object_object_get_ex(authz, "identifier", &id);
	return acme_json_optional(id, "value");
}

/* Why the CA has not accepted an authorization, with its own words. */
static int explain_invalid(struct acme *a, struct json_object *authz, const char *domain,
	enum acme_status status, struct error *err)
{
	struct json_object *list = acme_json_array(authz, "challenges", NULL), *problem = NULL;
	size_t n = list ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n && !problem; i++)
		json_object_object_get_ex(json_object_array_get_idx(list, i), "error", &problem);
	acme_refused(a, problem, err);
	return error_prefix(err, "%s: the CA has %s the authorization", domain,
		status == ACME_INVALID ? "declared invalid" : "ended");
}

/* The token goes into a hash and URLs into requests, but names are shown and asked for. */
static int read_challenge(struct acme *a, struct json_object *authz, const char *url,
	struct acme_challenge *c, struct error *err)
{
	const char *domain = identifier(authz), *token, *its_url;
	struct json_object *dns01 = find_dns01(authz);

	if (!domain || strlen(domain) > 253 ||
		strspn(domain, "abcdefghijklmnopqrstuvwxyz"
			       "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "0123456789-_.*") != strlen(domain))
		return error_set(err, "the authorization names no domain");
	if (!dns01)
		return error_set(err, "%s: the CA offers no dns-01 challenge", domain);
	token = acme_json_string(dns01, "token", err);
	its_url = token ? acme_json_string(dns01, "url", err) : NULL;
	if (!its_url)
		return -1;
	*c = (struct acme_challenge){
		.domain = mem_strdup(domain),
		.fqdn = mem_printf(
			"_acme-challenge.%s", str_starts(domain, "*.") ? domain + 2 : domain),
		.value = txt_value(a, token),
		.url = mem_strdup(its_url),
		.authorization = mem_strdup(url),
	};
	return 0;
}

int acme_order_challenges(struct acme *a, const struct acme_order *o, struct acme_challenge **v,
	size_t *n, struct error *err)
{
	*v = mem_zalloc(o->authorizations.n * sizeof(**v));
	*n = 0;
	for (size_t i = 0; i < o->authorizations.n; i++) {
		const char *url = o->authorizations.v[i], *domain;
		enum acme_status status;
		struct acme_answer ans;
		int rc;

		if (acme_post(a, url, NULL, &ans, err) < 0)
			return -1;
		rc = read_status(ans.json, &status, err);
		domain = identifier(ans.json);
		if (rc == 0 && status == ACME_PENDING)
			rc = read_challenge(a, ans.json, url, &(*v)[*n], err);
		if (rc < 0)
			acme_nonsense(a, url, err);
		else if (status == ACME_PENDING)
			++*n;
		else if (status != ACME_VALID)
			rc = explain_invalid(a, ans.json, domain ? domain : url, status, err);
		acme_answer_clear(&ans);
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int look(struct acme *a, struct acme_challenge *c, struct error *err)
{
	enum acme_status status;
	struct acme_answer ans;
	int rc;

	if (acme_post(a, c->authorization, NULL, &ans, err) < 0)
		return -1;
	c->retry_at = ans.retry_at;
	rc = read_status(ans.json, &status, err);
	if (rc < 0)
		acme_nonsense(a, c->authorization, err);
	else if (status == ACME_VALID)
		c->valid = true;
	else if (status != ACME_PENDING)
		rc = explain_invalid(a, ans.json, c->domain, status, err);
	acme_answer_clear(&ans);
	return rc;
}

int acme_challenges_meet(struct acme *a, struct acme_challenge *v, size_t n, struct error *err)
{
	int64_t deadline = clock_mono_ms() + WAIT_MS, retry_at = 0;
	struct json_object *nothing = json_object_new_object();
	struct acme_answer ans;
	size_t left = n;
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) { /* 7.5.1 */
		rc = acme_post(a, v[i].url, nothing, &ans, err);
		if (rc == 0)
			acme_answer_clear(&ans);
		else
			error_prefix(err, "%s", v[i].domain);
	}
	json_object_put(nothing);
	for (unsigned round = 0; rc == 0 && left; round++) { /* all in one sweep */
		rc = acme_wait(a, round, retry_at, deadline, err);
		retry_at = 0;
		for (size_t i = 0; i < n && rc == 0; i++) {
			if (v[i].valid)
				continue;
			rc = look(a, &v[i], err);
			if (v[i].valid)
				left--;
			else if (v[i].retry_at > retry_at)
				retry_at = v[i].retry_at;
		}
	}
	return rc;
}

void acme_challenges_give_up(struct acme *a, const struct acme_challenge *v, size_t n)
{
	struct json_object *payload = json_object_new_object();

	json_object_object_add(payload, "status", json_object_new_string("deactivated"));
	for (size_t i = 0; i < n; i++) {
		struct acme_answer ans;

		if (v[i].valid)
			continue;
		if (acme_post(a, v[i].authorization, payload, &ans, NULL) == 0)
			acme_answer_clear(&ans);
		else if (acme_fault(a) == ACME_UNREACHABLE || acme_fault(a) == ACME_STOPPED)
			break;
	}
	json_object_put(payload);
}

/* ---- the certificate ---- */

static int send_csr(
	struct acme *a, struct acme_order *o, const uint8_t *csr, size_t len, struct error *err)
{
	struct json_object *payload = json_object_new_object();
	char *encoded = enc_base64url(csr, len), *url = mem_strdup(o->url);
	struct acme_answer ans;
	int rc;

	json_object_object_add(payload, "csr", json_object_new_string(encoded));
	rc = acme_post(a, o->finalize, payload, &ans, err);
	/* It may come back without a Location: the order's URL is known. */
	if (rc == 0)
		rc = take_order(a, url, &ans, o, err);
	json_object_put(payload);
	free(encoded);
	free(url);
	return rc;
}

int acme_order_finalize(
	struct acme *a, struct acme_order *o, const uint8_t *csr, size_t len, struct error *err)
{
	int64_t deadline = clock_mono_ms() + WAIT_MS;
	unsigned round = 0;
	bool sent = false;

	while (o->status != ACME_VALID) {
		if (o->status == ACME_READY && !sent) {
			sent = true;
			if (send_csr(a, o, csr, len, err) < 0)
				return -1;
			continue;
		}
		if (acme_wait(a, round++, o->retry_at, deadline, err) < 0 ||
			acme_order_get(a, o->url, o, err) < 0)
			return -1;
	}
	return 0;
}

/* How many certificates; the CN of the last one's issuer in `top`. 0 = it is no chain. */
static size_t read_chain(const char *pem, size_t len, char *top, size_t size)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)len);
	size_t n = 0;
	X509 *x;

	*top = '\0';
	while (bio && (x = PEM_read_bio_X509(bio, NULL, NULL, (void *)""))) {
		X509_NAME_get_text_by_NID(X509_get_issuer_name(x), NID_commonName, top, (int)size);
		X509_free(x);
		n++;
	}
	BIO_free(bio);
	ERR_clear_error();
	return n;
}

/* One chain; *fits says whether it is the preferred one. A new string. */
static char *get_chain(struct acme *a, const char *url, const char *preferred, bool *fits,
	struct acme_answer *ans, struct error *err)
{
	char top[200];

	if (acme_post_for(a, url, PEM_TYPE, ans, err) < 0)
		return NULL;
	if (!read_chain(ans->http.body, ans->http.len, top, sizeof(top))) {
		error_set(err, "it is no PEM chain of certificates");
		acme_nonsense(a, url, err);
		acme_answer_clear(ans);
		return NULL;
	}
	*fits = preferred && strcmp(top, preferred) == 0;
	return mem_strdup(ans->http.body);
}

/* The URL of a Link header of the relation "alternate" (RFC 8288). A new string or NULL. */
static char *alternate(const char *link)
{
	const char *open = strchr(link, '<'), *close = open ? strchr(open, '>') : NULL;

	if (!close || (!strstr(close, "rel=\"alternate\"") && !strstr(close, "rel=alternate")))
		return NULL;
	return mem_strndup(open + 1, (size_t)(close - open - 1));
}

char *acme_order_download(
	struct acme *a, const struct acme_order *o, const char *preferred, struct error *err)
{
	struct acme_answer first = {0}, other;
	bool fits = false;
	char *chain = get_chain(a, o->certificate, preferred, &fits, &first, err), *url, *next;
	const char *link;

	if (!chain)
		return NULL;
	for (size_t i = 0; preferred && !fits && i < CHAINS_MAX; i++) {
		link = fetch_header(&first.http, "Link", i);
		if (!link)
			break;
		url = alternate(link);
		next = url ? get_chain(a, url, preferred, &fits, &other, NULL) : NULL;
		if (next)
			acme_answer_clear(&other);
		if (next && fits) {
			free(chain);
			chain = next;
		} else {
			free(next);
		}
		free(url);
	}
	if (preferred && !fits)
		log_info("no chain of the CA ends at \"%s\" (preferred_chain): its own choice is "
			 "taken",
			preferred);
	acme_answer_clear(&first);
	return chain;
}

int acme_revoke(struct acme *a, const uint8_t *leaf, size_t len, int reason, struct error *err)
{
	const char *url = acme_resource(a, "revokeCert", err);
	struct json_object *payload = json_object_new_object();
	char *encoded = enc_base64url(leaf, len);
	struct acme_answer ans;
	int rc;

	json_object_object_add(payload, "certificate", json_object_new_string(encoded));
	json_object_object_add(payload, "reason", json_object_new_int(reason));
	rc = url ? acme_post(a, url, payload, &ans, err) : -1;
	if (rc == 0)
		acme_answer_clear(&ans);
	json_object_put(payload);
	free(encoded);
	return rc;
}
