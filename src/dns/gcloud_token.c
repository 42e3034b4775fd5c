/* Tokens of Google: made of a service account's key or a refresh token, or given by the metadata
 * server of a machine in Google's cloud. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/mem.h"
#include "base/str.h"
#include "dns/gcloud.h"

#define SCOPE_DNS "https://www.googleapis.com/auth/ndev.clouddns.readwrite"
#define SCOPE_ALL "https://www.googleapis.com/auth/cloud-platform"
#define GRANT_JWT "urn:ietf:params:oauth:grant-type:jwt-bearer"
#define FORM      "application/x-www-form-urlencoded"
#define LIFE_S    3600

static void wipe(char *text)
{
	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}

static void add(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

/* --- what Google says --- */

/* Of Cloud DNS: {"error":{"code":403,"message":"...","status":"...","errors":[{"reason":"..."}]}};
 * of the token URL: {"error":"invalid_grant","error_description":"..."}. */
static bool explain(struct dns_reply *r)
{
	struct json_object *e = answer_member(r->json, "error", json_type_object),
			   *errors = answer_member(e, "errors", json_type_array);
	const char *reason = answer_text(r->json, "error"),
		   *message = answer_text(r->json, "error_description");

	if (e) {
		reason =
			errors ? answer_text(json_object_array_get_idx(errors, 0), "reason") : NULL;
		message = answer_text(e, "message");
	}
	dns_reply_explain(r, reason ? reason : answer_text(e, "status"), message);
	if (r->http.status == 403 && (strcmp(r->code, "rateLimitExceeded") == 0 ||
					     strcmp(r->code, "userRateLimitExceeded") == 0 ||
					     strcmp(r->code, "quotaExceeded") == 0))
		r->verdict = DNS_LATER;
	return false;
}

/* The token URL's. It takes a JWT that is not of now for a wrong one. */
static bool explain_login(struct dns_reply *r)
{
	char *what;

	explain(r);
	if (!strstr(r->message, "reasonable timeframe"))
		return false;
	what = mem_printf("is this machine's clock right? %s", r->message);
	dns_reply_explain(r, NULL, what);
	free(what);
	return false;
}

/* --- fetching a token --- */

/* Asks for one, and takes it out of the answer. A new string; NULL with a sentence. */
static char *fetch_token(const struct dns_job *j, const struct dns_api *api, struct dns_call *c,
	const char *member, int64_t *life_s, const struct limits *l, struct error *err)
{
	struct json_object *life;
	struct dns_reply r;
	char *token = NULL;

	if (dns_api_call(j, api, c, &r, l, err) == 0) {
		token = mem_strdup(answer_text(r.json, member));
		life = answer_member(r.json, "expires_in", json_type_int);
		*life_s = life ? json_object_get_int64(life) : LIFE_S;
		if (*life_s < 0 || *life_s > LIFE_S)
			*life_s = LIFE_S;
		if (!token)
			error_set(err, "%s: the answer has no %s", c->step, member);
	}
	dns_reply_clear(&r);
	return token;
}

/* RSASSA-PKCS1-v1_5 with SHA-256, as base64url. */
static char *sign(EVP_PKEY *key, const char *text, struct error *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = (size_t)EVP_PKEY_get_size(key);
	unsigned char *signature = mem_alloc(len);
	char *encoded = NULL;

	if (ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		EVP_DigestSign(ctx, signature, &len, (const unsigned char *)text, strlen(text)) ==
			1)
		encoded = enc_base64url(signature, len);
	else
		error_set(err, "cannot sign with the service account's private key");
	EVP_MD_CTX_free(ctx);
	free(signature);
	return encoded;
}

/* Takes the object. */
static char *encode(struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	char *encoded = enc_base64url(text, strlen(text));

	json_object_put(o);
	return encoded;
}

/* RFC 7523: that the service account itself asks, now, at this URL. */
static char *make_jwt(const struct gcloud *g, const char *scope, struct error *err)
{
	struct json_object *header = json_object_new_object(), *claims = json_object_new_object();
	char *head, *body, *text, *signature, *jwt = NULL;
	int64_t now = clock_wall_s();

	add(header, "alg", "RS256");
	add(header, "typ", "JWT");
	if (g->key_id)
		add(header, "kid", g->key_id);
	add(claims, "iss", g->email);
	add(claims, "scope", scope);
	add(claims, "aud", g->token_url);
	json_object_object_add(claims, "iat", json_object_new_int64(now));
	json_object_object_add(claims, "exp", json_object_new_int64(now + LIFE_S));
	head = encode(header);
	body = encode(claims);
	text = mem_printf("%s.%s", head, body);
	signature = sign(g->key, text, err);
	if (signature)
		jwt = mem_printf("%s.%s", text, signature);
	free(signature);
	free(text);
	free(body);
	free(head);
	return jwt;
}

/* The form that a service account's key, or a refresh token, is turned into a token with. */
static char *make_form(const struct gcloud *g, const char *scope, struct error *err)
{
	const char *const fields[][2] = {{"client_id", g->client_id},
		{"client_secret", g->client_secret}, {"refresh_token", g->refresh_token}};
	struct str form = {0};
	char *jwt;

	if (g->key) {
		jwt = make_jwt(g, scope, err);
		if (jwt) {
			str_addf(&form, "grant_type=");
			enc_url(&form, GRANT_JWT);
			str_addf(&form, "&assertion=%s", jwt);
		}
		wipe(jwt);
		return form.data;
	}
	str_addf(&form, "grant_type=refresh_token");
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		str_addf(&form, "&%s=", fields[i][0]);
		enc_url(&form, fields[i][1]);
	}
	return form.data;
}

static char *metadata_url(const struct dns_job *j, const char *path)
{
	const char *host = dns_value(j->provider, GCLOUD_METADATA_HOST);

	return mem_printf("http://%s/computeMetadata/v1/%s", host, path);
}

/* One of the account that the credentials are of. */
static char *fetch_own(
	const struct dns_job *j, int64_t *life_s, const struct limits *l, struct error *err)
{
	const struct gcloud *g = j->provider->own;
	const char *scope = dns_value(j->provider, GCLOUD_IMPERSONATE) ? SCOPE_ALL : SCOPE_DNS;
	char *url = NULL, *form = NULL, *token = NULL;
	struct dns_call c = {.method = "GET", .anonymous = true};

	if (g->key || g->refresh_token) {
		c.step = g->key ? "getting a token with the service account's key"
				: "getting a token with the refresh token";
		c.method = "POST";
		c.url = g->token_url;
		c.content_type = FORM;
		c.body = form = make_form(g, scope, err);
	} else {
		c.step = "getting a token of the metadata server, since there is no "
			 "service_account";
		c.url = url = metadata_url(j, "instance/service-accounts/default/token");
		dns_call_header(&c, "Metadata-Flavor", "Google");
	}
	if (form || url)
		token = fetch_token(j, &g->login, &c, "access_token", life_s, l, err);
	wipe(form);
	free(url);
	return token;
}

/* One of the account that it may stand in for. */
static char *fetch_impersonated(
	const struct dns_job *j, int64_t *life_s, const struct limits *l, struct error *err)
{
	const struct gcloud *g = j->provider->own;
	struct str path = {0};
	struct dns_call c = {
		.step = "getting a token of the account of impersonate_service_account",
		.method = "POST",
		.body = "{\"scope\":[\"" SCOPE_DNS "\"],\"lifetime\":\"3600s\"}",
	};
	char *token;

	str_addf(&path, "/v1/projects/-/serviceAccounts/");
	enc_url(&path, dns_value(j->provider, GCLOUD_IMPERSONATE));
	str_addf(&path, ":generateAccessToken");
	c.path = path.data;
	token = fetch_token(j, &g->iam, &c, "accessToken", life_s, l, err);
	str_clear(&path);
	return token;
}

static int authorize_iam(const struct dns_job *j, struct dns_call *c, bool again,
	const struct limits *l, struct error *err)
{
	const struct gcloud *g = j->provider->own;

	return dns_call_token(j, c, g->iam.account, again, fetch_own, l, err);
}

static int authorize_api(const struct dns_job *j, struct dns_call *c, bool again,
	const struct limits *l, struct error *err)
{
	const struct gcloud *g = j->provider->own;

	return dns_call_token(j, c, g->api.account, again,
		dns_value(j->provider, GCLOUD_IMPERSONATE) ? fetch_impersonated : fetch_own, l,
		err);
}

void gcloud_token_init(struct gcloud *g)
{
	g->api.authorize = authorize_api;
	g->iam.authorize = authorize_iam;
	g->api.explain = g->iam.explain = explain;
	g->login.explain = explain_login;
	g->api.has_tokens = g->iam.has_tokens = true;
}

/* --- the project --- */

char *gcloud_project(const struct dns_job *j, const struct limits *l, struct error *err)
{
	const struct gcloud *g = j->provider->own;
	struct dns_call c = {
		.step = "asking the metadata server for the project, since there is none in the "
			"options",
		.method = "GET",
		.plain = true,
		.anonymous = true,
		.max = 1024,
	};
	struct dns_reply r;
	char *url, *project;

	if (g->project)
		return mem_strdup(g->project);
	project = http_account_token(g->machine);
	if (project)
		return project;
	c.url = url = metadata_url(j, "project/project-id");
	dns_call_header(&c, "Metadata-Flavor", "Google");
	if (dns_api_call(j, &g->login, &c, &r, l, err) == 0) {
		if (r.http.len)
			project = mem_strdup(r.http.body);
		else
			error_set(err, "%s: the answer is empty", c.step);
		http_account_set_token(g->machine, project, LIFE_S); /* it is asked for often */
	}
	dns_reply_clear(&r);
	free(url);
	return project;
}
