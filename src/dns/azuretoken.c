/* Tokens for Azure's API, by OAuth 2.0: for a client's secret, for the token of another issuer that
 * Azure trusts (workload identity, OIDC), or from the machine that this runs on. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/mem.h"
#include "dns/azure.h"

#define IMDS            "http://169.254.169.254"
#define ASSERTION_TYPE  "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define AUDIENCE        "api://AzureADTokenExchange"
#define ASSERTION_MAX   ((size_t)64 << 10)
#define DESCRIPTION_MAX 150
#define LIFE_MAX        (INT64_C(86400) * 7)
#define LIFE_UNKNOWN    300

static void wipe(char *secret)
{
	if (secret)
		OPENSSL_cleanse(secret, strlen(secret));
	free(secret);
}

/* --- options --- */

static int missing(const struct dns_provider *p, size_t row, const char *method, struct error *err)
{
	const struct setting *o = &p->ops->options[row];

	return error_set(err,
		"%s is missing: auth_method %s needs it, here or in the environment as %s", o->key,
		method, o->env[0]);
}

/* What the options that are there add up to. NULL with a sentence. */
static const char *find_method(const struct dns_provider *p, struct error *err)
{
	const char *method = dns_value(p, AZURE_AUTH_METHOD);
	bool secret = dns_value(p, AZURE_CLIENT_SECRET),
	     oidc_token = dns_value(p, AZURE_OIDC_TOKEN),
	     oidc = oidc_token || dns_value(p, AZURE_OIDC_REQUEST_URL);

	if (method)
		return method;
	if (secret && oidc) {
		error_set(err,
			"auth_method is missing: client_secret and %s are both given, and env or "
			"oidc says which one counts",
			oidc_token ? "oidc_token" : "oidc_request_url");
		return NULL;
	}
	if (secret || oidc)
		return secret ? "env" : "oidc";
	if (dns_value(p, AZURE_OIDC_TOKEN_FILE_PATH))
		return "wli";
	if (dns_value(p, AZURE_TENANT_ID)) {
		missing(p, AZURE_CLIENT_SECRET, "env", err);
		return NULL;
	}
	return "msi";
}

/* The machine's host answers at a link-local address, which nobody else can read. */
static bool is_link_local(const char *url)
{
	size_t scheme = strlen("http://"), digits;

	if (!str_starts(url, "http://169.254.") || strchr(url, '@'))
		return false;
	digits = strspn(url + scheme, "0123456789.");
	return !url[scheme + digits] || strchr(":/", url[scheme + digits]);
}

static int init_identity(struct dns_provider *p, struct azure *a, struct error *err)
{
	bool app_service = dns_value(p, AZURE_IDENTITY_ENDPOINT);
	size_t row = app_service ? AZURE_IDENTITY_ENDPOINT : AZURE_IMDS_ENDPOINT;
	const char *given = dns_value(p, row);

	a->auth = AZURE_BY_IDENTITY;
	if (app_service && !dns_value(p, AZURE_IDENTITY_HEADER))
		return error_set(err, "identity_header is missing: it goes with identity_endpoint, "
				      "both from the environment of the App Service");
	a->identity =
		given && is_link_local(given) ? mem_strdup(given) : dns_api_url(p, row, IMDS, err);
	return a->identity ? 0 : -1;
}

/* Its query is the issuer's, so that dns_api_url() would not have it. */
static int check_request_url(const struct dns_provider *p, struct error *err)
{
	const char *url = dns_value(p, AZURE_OIDC_REQUEST_URL);

	if (!dns_value(p, AZURE_OIDC_REQUEST_TOKEN))
		return missing(p, AZURE_OIDC_REQUEST_TOKEN, "oidc", err);
	if (!address_is_secure_url(url) &&
		!(str_starts(url, "http://") && dns_is_true(p, DNS_INSECURE_HTTP)))
		return error_set(err,
			"oidc_request_url: a URL that begins with https:// is wanted, "
			"for a token goes there");
	return 0;
}

static int init_assertion(
	struct dns_provider *p, struct azure *a, const char *method, struct error *err)
{
	bool path = dns_value(p, AZURE_OIDC_TOKEN_FILE_PATH);

	a->auth = AZURE_BY_ASSERTION;
	if (path || (strcasecmp(method, "oidc") == 0 && dns_value(p, AZURE_OIDC_TOKEN)))
		return 0;
	if (strcasecmp(method, "wli") == 0)
		return missing(p, AZURE_OIDC_TOKEN_FILE_PATH, method, err);
	if (!dns_value(p, AZURE_OIDC_REQUEST_URL))
		return error_set(err, "oidc_token is missing: auth_method oidc needs it, or "
				      "oidc_token_file_path, or oidc_request_url");
	return check_request_url(p, err);
}

int azure_token_init(struct dns_provider *p, struct azure *a, struct error *err)
{
	const char *method = find_method(p, err);

	if (!method)
		return -1;
	a->authority = dns_api_url(p, AZURE_AUTHORITY_HOST, a->cloud->authority, err);
	if (!a->authority)
		return -1;
	if (strcasecmp(method, "msi") == 0)
		return init_identity(p, a, err);
	if (strcasecmp(method, "cli") == 0 || strcasecmp(method, "pipeline") == 0)
		return error_set(err,
			"auth_method: %s needs programs of Azure's, which are not started "
			"here: use env, msi, wli or oidc",
			method);
	if (strcasecmp(method, "env") != 0 && strcasecmp(method, "wli") != 0 &&
		strcasecmp(method, "oidc") != 0)
		return error_set(
			err, "auth_method: \"%.40s\" is none of env, msi, wli, oidc", method);
	for (size_t row = AZURE_TENANT_ID; row <= AZURE_CLIENT_ID; row++)
		if (!dns_value(p, row))
			return missing(p, row, method, err);
	if (strcasecmp(method, "env") != 0)
		return init_assertion(p, a, method, err);
	a->auth = AZURE_BY_SECRET;
	return dns_value(p, AZURE_CLIENT_SECRET) ? 0 : missing(p, AZURE_CLIENT_SECRET, method, err);
}

void azure_token_clear(struct azure *a)
{
	free(a->authority);
	free(a->identity);
}

/* --- answers --- */

/* What to do about errors that Azure's own words leave open. */
static const struct {
	const char *code, *hint;
} hints[] = {
	{"AADSTS7000215", "client_secret is the secret's value, not its ID"},
	{"AADSTS7000222", "the secret has expired: make a new one in the app registration"},
	{"AADSTS700016", "check client_id, and whether the app is in this tenant"},
	{"AADSTS7000112", "the app is switched off"},
	{"AADSTS90002", "check tenant_id, and environment"},
	{"AADSTS900023", "check tenant_id"},
	{"AADSTS700024", "the token that is exchanged has expired"},
	{"AADSTS70021", "no federated credential of the app has this issuer, subject and audience"},
	{"AADSTS700211", "no federated credential of the app has this issuer"},
	{"AADSTS700212", "no federated credential of the app has this audience"},
	{"AADSTS700213", "no federated credential of the app has this subject"},
};

/* {"error":"invalid_client","error_description":"AADSTS7000215: Invalid ...\r\nTrace ID: ..."} */
static void explain_oauth(struct dns_reply *r, const char *code, const char *description)
{
	size_t len = description ? strcspn(description, "\r\n") : 0, of_code;
	const char *trace = description ? strstr(description, " Trace ID:") : NULL, *hint = NULL;
	char *message;

	if (trace && (size_t)(trace - description) < len)
		len = (size_t)(trace - description);
	of_code = len ? strcspn(description, ": ") : 0;
	for (size_t i = 0; of_code && i < sizeof(hints) / sizeof(*hints); i++)
		if (strlen(hints[i].code) == of_code &&
			strncmp(hints[i].code, description, of_code) == 0)
			hint = hints[i].hint;
	message = mem_printf("%.*s%s%s", (int)(len > DESCRIPTION_MAX ? DESCRIPTION_MAX : len),
		len ? description : "", hint ? ": " : "", hint ? hint : "");
	dns_reply_explain(r, code, message);
	free(message);
}

/* {"error":{"code":"AuthorizationFailed","message":"..."}}, or the two without the outer object. */
bool azure_explain(struct dns_reply *r)
{
	struct json_object *error = answer_member(r->json, "error", json_type_object);

	if (answer_text(r->json, "error"))
		explain_oauth(r, answer_text(r->json, "error"),
			answer_text(r->json, "error_description"));
	else
		dns_reply_explain(r, answer_text(error ? error : r->json, "code"),
			answer_text(error ? error : r->json, "message"));
	if (r->http.status == 409) /* another change of the zone is under way */
		r->verdict = DNS_LATER;
	return false;
}

/* The machine's issuer is sometimes being replaced. */
static bool explain_identity(struct dns_reply *r)
{
	azure_explain(r);
	if (r->http.status == 404 || r->http.status == 410)
		r->verdict = DNS_LATER;
	return false;
}

/* --- requests --- */

/* Not of the API: nothing to prove, but what the request itself holds. */
static int ask(const struct dns_job *j, struct dns_call *c, struct dns_reply *r,
	const struct limits *l, struct error *err)
{
	const struct azure *a = j->provider->own;
	struct dns_api api = a->api;

	api.authorize = NULL;
	api.has_tokens = false;
	if (a->auth == AZURE_BY_IDENTITY) {
		api.explain = explain_identity;
		api.timeout_ms = dns_value_ms(j->provider, AZURE_AUTH_MSI_TIMEOUT, 0);
	}
	return dns_api_call(j, &api, c, r, l, err);
}

static int ask_identity(
	const struct dns_job *j, struct dns_reply *r, const struct limits *l, struct error *err)
{
	const struct dns_provider *p = j->provider;
	const struct azure *a = p->own;
	bool app_service = dns_value(p, AZURE_IDENTITY_ENDPOINT);
	struct dns_call c = {
		.step = dns_value(p, AZURE_AUTH_METHOD)
				? "asking this machine's managed identity for a token"
				: "asking this machine's managed identity for a token, "
				  "since there is no client_secret",
		.method = "GET"};
	struct str url = {0};
	int rc;

	str_addf(&url, "%s%s?api-version=%s&resource=", a->identity,
		app_service ? "" : "/metadata/identity/oauth2/token",
		app_service ? "2019-08-01" : "2018-02-01");
	enc_url(&url, a->cloud->management);
	str_addf(&url, "%%2F");
	if (dns_value(p, AZURE_CLIENT_ID)) {
		str_addf(&url, "&client_id=");
		enc_url(&url, dns_value(p, AZURE_CLIENT_ID));
	}
	if (app_service)
		dns_call_header(&c, "X-IDENTITY-HEADER", "%s", dns_value(p, AZURE_IDENTITY_HEADER));
	else
		dns_call_header(&c, "Metadata", "true");
	c.url = url.data;
	rc = ask(j, &c, r, l, err);
	if (rc < 0 && !r->http.status) {
		char why[ERROR_MAX];

		snprintf(why, sizeof(why), "%s", err->text);
		error_set(err,
			"%.1000s; where there is none, give tenant_id, client_id and "
			"client_secret",
			why);
	}
	str_clear(&url);
	return rc;
}

/* GitHub's and Azure DevOps's way: a request brings the token. NULL with a sentence. */
static char *request_assertion(const struct dns_job *j, const struct limits *l, struct error *err)
{
	const char *given = dns_value(j->provider, AZURE_OIDC_REQUEST_URL);
	struct dns_call c = {.step = "asking oidc_request_url for a token", .method = "GET"};
	struct str url = {0};
	struct dns_reply r;
	char *token = NULL;

	str_addf(&url, "%s", given);
	if (!strstr(given, "?audience=") && !strstr(given, "&audience=")) {
		str_addf(&url, "%caudience=", strchr(given, '?') ? '&' : '?');
		enc_url(&url, AUDIENCE);
	}
	c.url = url.data;
	dns_call_bearer(&c, dns_value(j->provider, AZURE_OIDC_REQUEST_TOKEN));
	if (ask(j, &c, &r, l, err) == 0) {
		token = mem_strdup(answer_text(r.json, "value"));
		if (!token)
			error_set(err, "%s: the answer has no \"value\"", c.step);
	}
	dns_reply_clear(&r);
	str_clear(&url);
	return token;
}

/* A file is read anew each time: who writes it replaces it before it expires. */
static char *get_assertion(const struct dns_job *j, const struct limits *l, struct error *err)
{
	const struct dns_provider *p = j->provider;
	const char *path = dns_value(p, AZURE_OIDC_TOKEN_FILE_PATH),
		   *method = dns_value(p, AZURE_AUTH_METHOD);
	size_t len;
	char *token;

	if (dns_value(p, AZURE_OIDC_TOKEN) && !(method && strcasecmp(method, "wli") == 0))
		return mem_strdup(dns_value(p, AZURE_OIDC_TOKEN));
	if (!path)
		return request_assertion(j, l, err);
	token = file_read(path, ASSERTION_MAX, &len, err);
	if (token)
		token[strcspn(token, "\r\n")] = '\0';
	else
		error_prefix(err, "oidc_token_file_path");
	return token;
}

static void add_field(struct str *form, const char *key, const char *value)
{
	str_addf(form, "%s%s=", form->len ? "&" : "", key);
	enc_url(form, value);
}

static int ask_authority(
	const struct dns_job *j, struct dns_reply *r, const struct limits *l, struct error *err)
{
	const struct dns_provider *p = j->provider;
	const struct azure *a = p->own;
	char *scope = mem_printf("%s/.default", a->cloud->management), *assertion = NULL,
	     *step = mem_printf("fetching a token for client_id %s", dns_value(p, AZURE_CLIENT_ID));
	struct dns_call c = {.step = step,
		.method = "POST",
		.content_type = "application/x-www-form-urlencoded"};
	struct str url = {0}, form = {0};
	int rc = -1;

	*r = (struct dns_reply){0};
	str_addf(&url, "%s/", a->authority);
	enc_url(&url, dns_value(p, AZURE_TENANT_ID));
	str_addf(&url, "/oauth2/v2.0/token");
	add_field(&form, "grant_type", "client_credentials");
	add_field(&form, "client_id", dns_value(p, AZURE_CLIENT_ID));
	add_field(&form, "scope", scope);
	if (a->auth == AZURE_BY_SECRET) {
		add_field(&form, "client_secret", dns_value(p, AZURE_CLIENT_SECRET));
	} else if ((assertion = get_assertion(j, l, err))) {
		add_field(&form, "client_assertion_type", ASSERTION_TYPE);
		add_field(&form, "client_assertion", assertion);
	}
	c.url = url.data;
	c.body = form.data;
	if (a->auth == AZURE_BY_SECRET || assertion)
		rc = ask(j, &c, r, l, err);
	wipe(assertion);
	OPENSSL_cleanse(form.data, form.len);
	str_clear(&form);
	str_clear(&url);
	free(step);
	free(scope);
	return rc;
}

/* Seconds: `expires_in`, or the App Service's `expires_on`; numbers, or texts that hold one. */
static int64_t life_of(struct json_object *o)
{
	struct json_object *in = NULL, *on = NULL;
	int64_t life = 0, now = clock_wall_s();

	if (json_object_object_get_ex(o, "expires_in", &in))
		life = json_object_get_int64(in);
	else if (json_object_object_get_ex(o, "expires_on", &on))
		life = json_object_get_int64(on) > now ? json_object_get_int64(on) - now : 0;
	return life < 1 ? LIFE_UNKNOWN : life > LIFE_MAX ? LIFE_MAX : life;
}

static char *fetch_token(
	const struct dns_job *j, int64_t *life_s, const struct limits *l, struct error *err)
{
	const struct azure *a = j->provider->own;
	struct dns_reply r;
	int rc = a->auth == AZURE_BY_IDENTITY ? ask_identity(j, &r, l, err)
					      : ask_authority(j, &r, l, err);
	char *token = rc == 0 ? mem_strdup(answer_text(r.json, "access_token")) : NULL;

	if (token)
		*life_s = life_of(r.json);
	else if (rc == 0)
		error_set(err, "fetching a token: the answer has no access_token");
	dns_reply_clear(&r);
	return token;
}

int azure_authorize(const struct dns_job *j, struct dns_call *c, bool again, const struct limits *l,
	struct error *err)
{
	const struct azure *a = j->provider->own;

	return dns_call_token(j, c, a->api.account, again, fetch_token, l, err);
}
