#include "cloud/google.h"

#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/mem.h"
#include "base/str.h"

#define TOKEN_URL     "https://oauth2.googleapis.com/token"
#define IAM_URL       "https://iamcredentials.googleapis.com"
#define METADATA_HOST "metadata.google.internal"
#define SCOPE_ALL     "https://www.googleapis.com/auth/cloud-platform"
#define GRANT_JWT     "urn:ietf:params:oauth:grant-type:jwt-bearer"
#define LIFE_S        3600

const char *google_text(const struct google *g, size_t setting)
{
	return setting_text(&g->v[setting]);
}

/* --- what Google says --- */

/* Of Cloud DNS: {"error":{"code":403,"message":"...","status":"...","errors":[{"reason":"..."}]}};
 * of the token URL: {"error":"invalid_grant","error_description":"..."}. */
static bool explain(struct http_reply *r)
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
	http_reply_explain(r, reason ? reason : answer_text(e, "status"), message);
	if (r->http.status == 403 && (strcmp(r->code, "rateLimitExceeded") == 0 ||
					     strcmp(r->code, "userRateLimitExceeded") == 0 ||
					     strcmp(r->code, "quotaExceeded") == 0))
		r->verdict = HTTP_LATER;
	return false;
}

/* The token URL's. It takes a JWT that is not of now for a wrong one. */
static bool explain_login(struct http_reply *r)
{
	char *what;

	explain(r);
	if (!strstr(r->message, "reasonable timeframe"))
		return false;
	what = mem_printf("is this machine's clock right? %s", r->message);
	http_reply_explain(r, NULL, what);
	free(what);
	return false;
}

/* --- fetching a token --- */

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
static char *make_jwt(const struct google *g, const char *scope, struct error *err)
{
	struct json_object *header = json_object_new_object(), *claims = json_object_new_object();
	char *head, *body, *text, *signature, *jwt = NULL;
	int64_t now = clock_wall_s();

	http_json_add(header, "alg", "RS256");
	http_json_add(header, "typ", "JWT");
	if (g->key_id)
		http_json_add(header, "kid", g->key_id);
	http_json_add(claims, "iss", g->email);
	http_json_add(claims, "scope", scope);
	http_json_add(claims, "aud", g->token_url);
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
static int add_form(struct str *form, const struct google *g, const char *scope, struct error *err)
{
	const char *const fields[][2] = {{"client_id", g->client_id},
		{"client_secret", g->client_secret}, {"refresh_token", g->refresh_token}};
	char *jwt;

	if (g->key) {
		jwt = make_jwt(g, scope, err);
		if (!jwt)
			return -1;
		http_add_field(form, "grant_type", GRANT_JWT);
		http_add_field(form, "assertion", jwt);
		http_wipe(jwt);
		return 0;
	}
	http_add_field(form, "grant_type", "refresh_token");
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		http_add_field(form, fields[i][0], fields[i][1]);
	return 0;
}

static void ask_metadata(struct http_call *c, const struct google *g, const char *path)
{
	str_addf(&c->url, "http://%s/computeMetadata/v1/%s", google_text(g, GOOGLE_METADATA_HOST),
		path);
	http_call_header(c, "Metadata-Flavor", "Google");
}

/* One of the account that the credentials are of. */
static char *fetch_own(const void *arg, int64_t *life_s, const struct limits *l, struct error *err)
{
	const struct google *g = arg;
	const char *scope = google_text(g, GOOGLE_IMPERSONATE) ? SCOPE_ALL : g->scope;
	struct http_call c = {.method = "GET", .anonymous = true};

	if (g->key || g->refresh_token) {
		if (add_form(&c.body, g, scope, err) < 0)
			return NULL;
		c.method = "POST";
		c.content_type = HTTP_FORM;
		str_addf(&c.url, "%s", g->token_url);
		str_addf(&c.step, "getting a token with the %s",
			g->key ? "service account's key" : "refresh token");
	} else {
		str_addf(&c.step, "getting a token of the metadata server, since there is no "
				  "service_account");
		ask_metadata(&c, g, "instance/service-accounts/default/token");
	}
	*life_s = LIFE_S;
	return http_fetch_token(&g->login, &c, "access_token", life_s, l, err);
}

/* One of the account that it may stand in for. */
static char *fetch_impersonated(
	const void *arg, int64_t *life_s, const struct limits *l, struct error *err)
{
	const struct google *g = arg;
	struct http_call c = {.method = "POST"};

	str_addf(&c.step, "getting a token of the account of impersonate_service_account");
	str_addf(&c.path, "/v1/projects/-/serviceAccounts/");
	enc_url(&c.path, google_text(g, GOOGLE_IMPERSONATE));
	str_addf(&c.path, ":generateAccessToken");
	str_addf(&c.body, "{\"scope\":[\"%s\"],\"lifetime\":\"%ds\"}", g->scope, LIFE_S);
	*life_s = LIFE_S;
	return http_fetch_token(&g->iam, &c, "accessToken", life_s, l, err);
}

static int authorize_iam(
	const void *arg, struct http_call *c, bool again, const struct limits *l, struct error *err)
{
	const struct google *g = arg;

	return http_call_token(c, g->iam.account, again, fetch_own, g, l, err);
}

static int authorize_api(
	const void *arg, struct http_call *c, bool again, const struct limits *l, struct error *err)
{
	const struct google *g = arg;

	return http_call_token(c, g->api.account, again,
		google_text(g, GOOGLE_IMPERSONATE) ? fetch_impersonated : fetch_own, g, l, err);
}

int google_ask(const struct google *g, struct http_call *c, struct http_reply *r,
	const struct limits *l, struct error *err)
{
	int rc = http_send(&g->api, c, r, l, err);

	if (rc < 0 || json_object_is_type(r->json, json_type_object))
		return rc;
	error_set(err, "%s: HTTP %ld: the answer is no JSON object", r->step, r->http.status);
	return HTTP_AGAIN;
}

/* --- the project --- */

char *google_project(const struct google *g, const struct limits *l, struct error *err)
{
	struct http_call c = {.method = "GET", .plain = true, .anonymous = true, .max = 1024};
	struct http_reply r;
	char *project;

	if (g->project)
		return mem_strdup(g->project);
	project = http_account_token(g->machine);
	if (project)
		return project;
	str_addf(&c.step, "asking the metadata server for the project, since there is none in the "
			  "options");
	ask_metadata(&c, g, "project/project-id");
	if (http_send(&g->login, &c, &r, l, err) == 0) {
		if (r.http.len)
			project = mem_strdup(r.http.body);
		else
			error_set(err, "%s: the answer is empty", r.step);
		http_account_set_token(g->machine, project, LIFE_S); /* it is asked for often */
	}
	http_reply_clear(&r);
	return project;
}

/* --- the settings --- */

/* The token goes over plain HTTP there: only where nobody else can be. */
static int check_metadata_host(const struct google *g, struct error *err)
{
	const char *host = google_text(g, GOOGLE_METADATA_HOST);
	char *url = mem_printf("http://%s/", host);
	size_t len = strcspn(host, ":");
	bool good = strcmp(host, METADATA_HOST) == 0 || address_is_secure_url(url) ||
		    (len == 15 && strncmp(host, "169.254.169.254", len) == 0) ||
		    setting_is_true(&g->v[HTTP_INSECURE]);

	free(url);
	if (strpbrk(host, "/?#@ \t"))
		return error_set(err,
			"metadata_host: \"%.200s\" is no HOST or HOST:PORT: nothing stands before "
			"and behind it",
			host);
	return good ? 0
		    : error_set(err,
			      "metadata_host: \"%.200s\" would send a token in the clear: it is %s "
			      "or 169.254.169.254, else set insecure_http",
			      host, METADATA_HOST);
}

static int take_urls(struct google *g, struct error *err)
{
	bool given = google_text(g, GOOGLE_TOKEN_URL),
	     insecure = setting_is_true(&g->v[HTTP_INSECURE]);
	char *url = http_url(
		&g->v[GOOGLE_TOKEN_URL], insecure, g->token_url ? g->token_url : TOKEN_URL, err);

	free(g->token_url);
	g->token_url = url;
	if (!url)
		return -1;
	if (!given && !address_is_secure_url(url) && !insecure)
		return error_set(err,
			"service_account: its token_uri \"%.200s\" is no https:// URL: set "
			"token_url",
			url);
	g->iam.base = http_url(&g->v[GOOGLE_IAM_URL], insecure, IAM_URL, err);
	return g->iam.base ? check_metadata_host(g, err) : -1;
}

/* Accounts are told apart by all that a token depends on. */
static int take_accounts(struct google *g, const char *name, const char *base, struct error *err)
{
	const char *host = google_text(g, GOOGLE_METADATA_HOST),
		   *json = google_text(g, GOOGLE_SERVICE_ACCOUNT),
		   *other = google_text(g, GOOGLE_IMPERSONATE);
	char *who = mem_printf("%s\n%s\n%s\n%s\n%s", json ? json : "", g->token_url,
		     g->refresh_token ? g->refresh_token : "", g->email ? g->email : "", host),
	     *for_whom = mem_printf("%s\n%s", who, other ? other : "");
	int rc = http_api_init(&g->api, g->v, base, name, for_whom, 0, 0, err);

	g->login.timeout_ms = g->iam.timeout_ms = g->api.timeout_ms;
	g->login.account = g->iam.account = http_account_get("google: own", who, 0, 0);
	g->machine = http_account_get("google: project", host, 0, 0);
	http_wipe(for_whom);
	http_wipe(who);
	return rc;
}

int google_init(struct google *g, const struct setting_value *v, const char *name, const char *base,
	const char *scope, struct error *err)
{
	g->v = v;
	g->scope = scope;
	g->api.authorize = authorize_api;
	g->iam.authorize = authorize_iam;
	g->api.arg = g->iam.arg = g;
	g->api.explain = g->iam.explain = explain;
	g->login.explain = explain_login;
	g->api.has_tokens = g->iam.has_tokens = true;
	if (google_account_read(g, err) < 0 || take_urls(g, err) < 0 ||
		take_accounts(g, name, base, err) < 0)
		return -1;
	if (google_text(g, GOOGLE_PROJECT)) {
		free(g->project);
		g->project = mem_strdup(google_text(g, GOOGLE_PROJECT));
	}
	if (!g->project && (g->key || g->refresh_token))
		return error_set(err, "project is missing: the id of the project whose zones these "
				      "are, which the credentials do not tell");
	return 0;
}

void google_clear(struct google *g)
{
	http_api_clear(&g->api);
	http_api_clear(&g->iam);
	EVP_PKEY_free(g->key);
	free(g->project);
	free(g->token_url);
	free(g->key_id);
	free(g->email);
	free(g->client_id);
	http_wipe(g->client_secret);
	http_wipe(g->refresh_token);
}
