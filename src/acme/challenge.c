#include "acme/challenge.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "acme/key.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/answer.h"

#define WAIT_MS (5 * 60 * 1000)

static void challenge_clear(struct acme_challenge *c)
{
	free(c->domain);
	free(c->fqdn);
	free(c->value);
	free(c->token);
	free(c->key_authorization);
	free(c->url);
	free(c->authorization);
}

void acme_challenges_free(struct acme_challenge *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		challenge_clear(&v[i]);
	free(v);
}

/* Without "*.": a wildcard is proved at its base. */
static const char *base_of(const char *domain)
{
	return str_starts(domain, "*.") ? domain + 2 : domain;
}

char *acme_challenge_name(const char *domain)
{
	return mem_printf("_acme-challenge.%s", base_of(domain));
}

/* 8.4: the digest of the key authorization (8.1). */
static void set_value(struct acme *a, struct acme_challenge *c)
{
	char *thumbprint = acme_key_thumbprint(acme_key(a));
	unsigned char hash[SHA256_DIGEST_LENGTH];

	c->key_authorization = mem_printf("%s.%s", c->token, thumbprint);
	SHA256((const unsigned char *)c->key_authorization, strlen(c->key_authorization), hash);
	c->value = enc_base64url(hash, sizeof(hash));
	free(thumbprint);
}

static struct json_object *find_dns01(struct json_object *authz)
{
	struct json_object *list = acme_json_array(authz, "challenges", NULL);
	size_t n = list ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *c = json_object_array_get_idx(list, i);
		const char *type = answer_text(c, "type");

		if (type && strcmp(type, "dns-01") == 0)
			return c;
	}
	return NULL;
}

/* That of the names asked for which an authorization is about (a wildcard's has no "*."), without
 * its "*."; NULL = none of them. Nothing that the CA makes up gets a record. */
static const char *find_domain(struct json_object *authz, const struct conf_strings *domains)
{
	struct json_object *id = NULL;
	const char *value;

	json_object_object_get_ex(authz, "identifier", &id);
	value = answer_text(id, "value");
	for (size_t i = 0; value && i < domains->n; i++) {
		const char *base = base_of(domains->v[i]);

		if (strcasecmp(base, base_of(value)) == 0)
			return base;
	}
	return NULL;
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

static int read_challenge(struct acme *a, struct json_object *authz, const char *domain,
	struct acme_challenge *c, struct error *err)
{
	struct json_object *dns01 = find_dns01(authz);
	const char *token, *url, *status = answer_text(dns01, "status");

	if (!dns01)
		return error_set(err, "%s: the CA offers no dns-01 challenge", domain);
	token = acme_json_string(dns01, "token", err);
	url = token ? acme_json_url(dns01, "url", err) : NULL;
	if (!url)
		return -1;
	c->domain = mem_strdup(domain);
	c->fqdn = acme_challenge_name(domain);
	c->token = mem_strdup(token);
	set_value(a, c);
	c->url = mem_strdup(url);
	c->answered = status && strcmp(status, "pending") != 0;
	return 0;
}

/* An authorization: 1 with its challenge when it is still pending, 0 when it is valid. */
static int read_authorization(struct acme *a, const char *url, const struct conf_strings *domains,
	struct acme_challenge *c, struct error *err)
{
	enum acme_status status;
	struct acme_answer ans;
	const char *domain;
	int rc;

	if (acme_post(a, url, NULL, &ans, err) < 0)
		return -1;
	domain = find_domain(ans.json, domains);
	rc = acme_read_status(ans.json, &status, err);
	if (rc == 0 && !domain)
		rc = error_set(err, "it is for none of the names in the order");
	if (rc == 0 && status == ACME_PENDING)
		rc = read_challenge(a, ans.json, domain, c, err);
	if (rc < 0)
		acme_nonsense(a, url, err);
	else if (status == ACME_PENDING)
		rc = 1;
	else if (status != ACME_VALID)
		rc = explain_invalid(a, ans.json, domain, status, err);
	acme_answer_clear(&ans);
	return rc;
}

int acme_order_challenges(struct acme *a, const struct acme_order *o,
	const struct conf_strings *domains, struct acme_challenge **v, size_t *n, struct error *err)
{
	*v = mem_zalloc(o->authorizations.n * sizeof(**v));
	*n = 0;
	for (size_t i = 0; i < o->authorizations.n; i++) {
		struct acme_challenge *c = &(*v)[*n];
		int rc = read_authorization(a, o->authorizations.v[i], domains, c, err);

		if (rc < 0)
			return -1;
		if (rc == 0)
			continue;
		c->authorization = mem_strdup(o->authorizations.v[i]);
		++*n;
	}
	return 0;
}

static int look(struct acme *a, struct acme_challenge *c, int64_t deadline_ms, struct error *err)
{
	enum acme_status status;
	struct acme_answer ans;
	int rc;

	if (acme_post(a, c->authorization, NULL, &ans, err) < 0) {
		c->retry_at = acme_retry_at(a);
		return acme_is_busy(a, deadline_ms) ? 0 : -1;
	}
	c->retry_at = ans.retry_at;
	rc = acme_read_status(ans.json, &status, err);
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
		if (v[i].answered)
			continue;
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
			rc = look(a, &v[i], deadline, err);
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
