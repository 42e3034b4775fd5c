#include "acme/order.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

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

int acme_read_status(struct json_object *o, enum acme_status *status, struct error *err)
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
	const char *finalize = acme_json_url(o, "finalize", err), *certificate;
	struct json_object *list = finalize ? acme_json_array(o, "authorizations", err) : NULL;
	size_t n = list ? json_object_array_length(list) : 0;

	if (!list || acme_read_status(o, &out->status, err) < 0)
		return -1;
	if (!n || n > AUTHZ_MAX)
		return error_set(err, "it has %zu authorizations", n);
	out->finalize = mem_strdup(finalize);
	if (out->status == ACME_VALID) {
		certificate = acme_json_url(o, "certificate", err);
		if (!certificate)
			return -1;
		out->certificate = mem_strdup(certificate);
	}
	for (size_t i = 0; i < n; i++) {
		struct json_object *url = json_object_array_get_idx(list, i);

		if (!json_object_is_type(url, json_type_string) ||
			!acme_is_url(json_object_get_string(url)))
			return error_set(err, "an authorization is no URL");
		*(char **)mem_grow(&out->authorizations.v, out->authorizations.n++,
			sizeof(char *)) = mem_strdup(json_object_get_string(url));
	}
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
	if (!location || !acme_is_url(location)) {
		acme_answer_clear(&ans);
		error_set(err, "it has no Location, or one that is no URL");
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
	if (profile && strcmp(acme_fault_type(a), "invalidProfile") == 0) {
		log_warn("%s; trying again without the profile \"%s\"", why.text, profile);
		profile = NULL;
		if (place(a, domains, profile, replaces, o, &why) == 0)
			return 0;
	}
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
		/* When all names are just proved it is ready, as a rule. */
		if ((round || sent) && acme_wait(a, round, o->retry_at, deadline, err) < 0)
			return -1;
		round++;
		if (acme_order_get(a, o->url, o, err) == 0)
			continue;
		if (!acme_is_busy(a, deadline))
			return -1;
		o->retry_at = acme_retry_at(a);
	}
	return 0;
}

/* How many certificates; the CN of the last one's issuer in `top`. 0 = it is no chain. */
static size_t read_chain(const char *pem, size_t len, char *top, size_t size)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)len);
	size_t n = 0;
	X509 *x;
	bool whole;

	ERR_clear_error();
	while (bio && (x = PEM_read_bio_X509(bio, NULL, NULL, (void *)""))) {
		*top = '\0';
		X509_NAME_get_text_by_NID(X509_get_issuer_name(x), NID_commonName, top, (int)size);
		X509_free(x);
		n++;
	}
	whole = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	BIO_free(bio);
	ERR_clear_error();
	return whole ? n : 0;
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

/* Replaces *chain by the alternate one at this URL where that is the preferred one. */
static bool take_alternate(struct acme *a, const char *url, const char *preferred, char **chain)
{
	struct acme_answer ans;
	bool fits = false;
	char *other = get_chain(a, url, preferred, &fits, &ans, NULL);

	if (!other)
		return false; /* there is one already */
	acme_answer_clear(&ans);
	free(fits ? *chain : other);
	if (fits)
		*chain = other;
	return fits;
}

char *acme_order_download(
	struct acme *a, const struct acme_order *o, const char *preferred, struct error *err)
{
	struct acme_answer first = {0};
	bool fits = false;
	char *chain = get_chain(a, o->certificate, preferred, &fits, &first, err), *url;
	const char *link;
	size_t n = 0;

	if (!chain)
		return NULL;
	for (size_t i = 0; preferred && !fits; i++) {
		link = fetch_header(&first.http, "Link", i);
		if (!link)
			break;
		while (!fits && n < CHAINS_MAX && (url = acme_next_alternate(&link))) {
			fits = take_alternate(a, url, preferred, &chain);
			free(url);
			n++;
		}
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
