#include "cloud/azure.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/mem.h"

#define IMDS            "http://169.254.169.254"
#define ASSERTION_TYPE  "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define AUDIENCE        "api://AzureADTokenExchange"
#define ASSERTION_MAX   ((size_t)64 << 10)
#define DESCRIPTION_MAX 150
#define LIFE_MAX        (INT64_C(86400) * 7)
#define LIFE_UNKNOWN    300

struct azure_cloud {
	const char *name;
	const char *management; /* the API, which tokens are for whatever base_url says */
	const char *authority;  /* who issues them */
};

static const struct azure_cloud clouds[] = {
	{"public", "https://management.azure.com", "https://login.microsoftonline.com"},
	{"china", "https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn"},
	{"usgovernment", "https://management.usgovcloudapi.net",
		"https://login.microsoftonline.us"},
};

const char *azure_text(const struct azure *a, size_t setting)
{
	return setting_text(&a->v[setting]);
}

static bool is_insecure(const struct azure *a)
{
	return setting_is_true(&a->v[HTTP_INSECURE]);
}

/* --- how tokens are had --- */

static int missing(const struct azure *a, size_t row, const char *method, struct error *err)
{
	return setting_missing(a->v[row].row, "auth_method", method, err);
}

/* What the options that are there add up to. NULL with a sentence. */
static const char *find_method(const struct azure *a, struct error *err)
{
	const char *method = azure_text(a, AZURE_AUTH_METHOD);
	bool secret = azure_text(a, AZURE_CLIENT_SECRET),
	     oidc_token = azure_text(a, AZURE_OIDC_TOKEN),
	     oidc = oidc_token || azure_text(a, AZURE_OIDC_REQUEST_URL);

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
	if (azure_text(a, AZURE_OIDC_TOKEN_FILE_PATH))
		return "wli";
	if (azure_text(a, AZURE_TENANT_ID)) {
		missing(a, AZURE_CLIENT_SECRET, "env", err);
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

static int init_identity(struct azure *a, struct error *err)
{
	bool app_service = azure_text(a, AZURE_IDENTITY_ENDPOINT);
	size_t row = app_service ? AZURE_IDENTITY_ENDPOINT : AZURE_IMDS_ENDPOINT;
	const char *given = azure_text(a, row);

	a->auth = AZURE_BY_IDENTITY;
	if (app_service && !azure_text(a, AZURE_IDENTITY_HEADER))
		return error_set(err, "identity_header is missing: it goes with identity_endpoint, "
				      "both from the environment of the App Service");
	a->identity = given && is_link_local(given)
			      ? mem_strdup(given)
			      : http_url(&a->v[row], is_insecure(a), IMDS, err);
	return a->identity ? 0 : -1;
}

/* Its query is the issuer's, so that http_url() would not have it. */
static int check_request_url(const struct azure *a, struct error *err)
{
	const char *url = azure_text(a, AZURE_OIDC_REQUEST_URL);

	if (!azure_text(a, AZURE_OIDC_REQUEST_TOKEN))
		return missing(a, AZURE_OIDC_REQUEST_TOKEN, "oidc", err);
	if (!address_is_secure_url(url) && !(str_starts(url, "http://") && is_insecure(a)))
		return error_set(err,
			"oidc_request_url: a URL that begins with https:// is wanted, "
			"for a token goes there");
	return 0;
}

static int init_assertion(struct azure *a, const char *method, struct error *err)
{
	bool path = azure_text(a, AZURE_OIDC_TOKEN_FILE_PATH);

	a->auth = AZURE_BY_ASSERTION;
	if (path || (strcasecmp(method, "oidc") == 0 && azure_text(a, AZURE_OIDC_TOKEN)))
		return 0;
	if (strcasecmp(method, "wli") == 0)
		return missing(a, AZURE_OIDC_TOKEN_FILE_PATH, method, err);
	if (!azure_text(a, AZURE_OIDC_REQUEST_URL))
		return error_set(err, "oidc_token is missing: auth_method oidc needs it, or "
				      "oidc_token_file_path, or oidc_request_url");
	return check_request_url(a, err);
}

static int init_tokens(struct azure *a, struct error *err)
{
	const char *method = find_method(a, err);

	if (!method)
		return -1;
	a->authority =
		http_url(&a->v[AZURE_AUTHORITY_HOST], is_insecure(a), a->cloud->authority, err);
	if (!a->authority)
		return -1;
	if (strcasecmp(method, "msi") == 0)
		return init_identity(a, err);
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
		if (!azure_text(a, row))
			return missing(a, row, method, err);
	if (strcasecmp(method, "env") != 0)
		return init_assertion(a, method, err);
	a->auth = AZURE_BY_SECRET;
	return azure_text(a, AZURE_CLIENT_SECRET) ? 0
						  : missing(a, AZURE_CLIENT_SECRET, method, err);
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
static void explain_oauth(struct http_reply *r, const char *code, const char *description)
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
	http_reply_explain(r, code, message);
	free(message);
}

/* {"error":{"code":"AuthorizationFailed","message":"..."}}, or the two without the outer object. */
static bool explain(struct http_reply *r)
{
	struct json_object *error = answer_member(r->json, "error", json_type_object);

	if (answer_text(r->json, "error"))
		explain_oauth(r, answer_text(r->json, "error"),
			answer_text(r->json, "error_description"));
	else
		http_reply_explain(r, answer_text(error ? error : r->json, "code"),
			answer_text(error ? error : r->json, "message"));
	if (r->http.status == 409) /* another change of the zone is under way */
		r->verdict = HTTP_LATER;
	return false;
}

/* The machine's issuer is sometimes being replaced. */
static bool explain_identity(struct http_reply *r)
{
	explain(r);
	if (r->http.status == 404 || r->http.status == 410)
		r->verdict = HTTP_LATER;
	return false;
}

/* --- tokens --- */

/* Not of the API: nothing to prove, but what the request itself holds. */
static int ask(const struct azure *a, struct http_call *c, struct http_reply *r,
	const struct limits *l, struct error *err)
{
	struct http_api api = a->api;

	api.authorize = NULL;
	api.has_tokens = false;
	if (a->auth == AZURE_BY_IDENTITY) {
		api.explain = explain_identity;
		api.timeout_ms = setting_ms(&a->v[AZURE_AUTH_MSI_TIMEOUT], 0);
	}
	return http_send(&api, c, r, l, err);
}

static int ask_identity(
	const struct azure *a, struct http_reply *r, const struct limits *l, struct error *err)
{
	bool app_service = azure_text(a, AZURE_IDENTITY_ENDPOINT);
	struct http_call c = {.method = "GET"};
	int rc;

	str_addf(&c.step, "asking this machine's managed identity for a token%s",
		azure_text(a, AZURE_AUTH_METHOD) ? "" : ", since there is no client_secret");
	str_addf(&c.url, "%s%s?api-version=%s&resource=", a->identity,
		app_service ? "" : "/metadata/identity/oauth2/token",
		app_service ? "2019-08-01" : "2018-02-01");
	enc_url(&c.url, a->cloud->management);
	str_addf(&c.url, "%%2F");
	if (azure_text(a, AZURE_CLIENT_ID))
		http_add_field(&c.url, "client_id", azure_text(a, AZURE_CLIENT_ID));
	if (app_service)
		http_call_header(
			&c, "X-IDENTITY-HEADER", "%s", azure_text(a, AZURE_IDENTITY_HEADER));
	else
		http_call_header(&c, "Metadata", "true");
	rc = ask(a, &c, r, l, err);
	if (rc < 0 && !r->http.status)
		error_append(
			err, "where there is none, give tenant_id, client_id and client_secret");
	return rc;
}

/* GitHub's and Azure DevOps's way: a request brings the token. NULL with a sentence. */
static char *request_assertion(const struct azure *a, const struct limits *l, struct error *err)
{
	const char *given = azure_text(a, AZURE_OIDC_REQUEST_URL);
	struct http_call c = {.method = "GET"};
	struct http_reply r;
	char *token = NULL;

	str_addf(&c.step, "asking oidc_request_url for a token");
	str_addf(&c.url, "%s", given);
	if (!strstr(given, "?audience=") && !strstr(given, "&audience=")) {
		str_addf(&c.url, "%caudience=", strchr(given, '?') ? '&' : '?');
		enc_url(&c.url, AUDIENCE);
	}
	http_call_bearer(&c, azure_text(a, AZURE_OIDC_REQUEST_TOKEN));
	if (ask(a, &c, &r, l, err) == 0) {
		token = mem_strdup(answer_text(r.json, "value"));
		if (!token)
			error_set(err, "%s: the answer has no \"value\"", r.step);
	}
	http_reply_wipe(&r);
	return token;
}

/* A file is read anew each time: who writes it replaces it before it expires. */
static char *get_assertion(const struct azure *a, const struct limits *l, struct error *err)
{
	const char *path = azure_text(a, AZURE_OIDC_TOKEN_FILE_PATH),
		   *method = azure_text(a, AZURE_AUTH_METHOD);
	size_t len;
	char *token;

	if (azure_text(a, AZURE_OIDC_TOKEN) && !(method && strcasecmp(method, "wli") == 0))
		return mem_strdup(azure_text(a, AZURE_OIDC_TOKEN));
	if (!path)
		return request_assertion(a, l, err);
	token = file_read(path, ASSERTION_MAX, &len, err);
	if (token)
		token[strcspn(token, "\r\n")] = '\0';
	else
		error_prefix(err, "oidc_token_file_path");
	return token;
}

static int ask_authority(
	const struct azure *a, struct http_reply *r, const struct limits *l, struct error *err)
{
	struct http_call c = {.method = "POST", .content_type = HTTP_FORM};
	char *scope, *assertion = NULL;

	*r = (struct http_reply){0};
	if (a->auth != AZURE_BY_SECRET && !(assertion = get_assertion(a, l, err)))
		return -1;
	scope = mem_printf("%s/.default", a->cloud->management);
	str_addf(&c.step, "fetching a token for client_id %s", azure_text(a, AZURE_CLIENT_ID));
	str_addf(&c.url, "%s/", a->authority);
	enc_url(&c.url, azure_text(a, AZURE_TENANT_ID));
	str_addf(&c.url, "/oauth2/v2.0/token");
	http_add_field(&c.body, "grant_type", "client_credentials");
	http_add_field(&c.body, "client_id", azure_text(a, AZURE_CLIENT_ID));
	http_add_field(&c.body, "scope", scope);
	if (assertion) {
		http_add_field(&c.body, "client_assertion_type", ASSERTION_TYPE);
		http_add_field(&c.body, "client_assertion", assertion);
	} else {
		http_add_field(&c.body, "client_secret", azure_text(a, AZURE_CLIENT_SECRET));
	}
	http_wipe(assertion);
	free(scope);
	return ask(a, &c, r, l, err);
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
	const void *arg, int64_t *life_s, const struct limits *l, struct error *err)
{
	const struct azure *a = arg;
	struct http_reply r;
	int rc = a->auth == AZURE_BY_IDENTITY ? ask_identity(a, &r, l, err)
					      : ask_authority(a, &r, l, err);
	char *token = rc == 0 ? mem_strdup(answer_text(r.json, "access_token")) : NULL;

	if (token)
		*life_s = life_of(r.json);
	else if (rc == 0)
		error_set(err, "fetching a token: the answer has no access_token");
	http_reply_wipe(&r);
	return token;
}

static int authorize(
	const void *arg, struct http_call *c, bool again, const struct limits *l, struct error *err)
{
	const struct azure *a = arg;

	return http_call_token(c, a->api.account, again, fetch_token, a, l, err);
}

/* --- the API --- */

int azure_init(struct azure *a, const struct setting_value *v, const char *name, struct error *err)
{
	struct str credentials = {0};
	int rc;

	a->v = v;
	for (size_t i = 0; i < sizeof(clouds) / sizeof(*clouds); i++)
		if (strcasecmp(azure_text(a, AZURE_ENVIRONMENT), clouds[i].name) == 0)
			a->cloud = &clouds[i];
	if (!a->cloud)
		return error_set(err,
			"environment: \"%.40s\" is none of public, china, usgovernment",
			azure_text(a, AZURE_ENVIRONMENT));
	if (azure_text(a, AZURE_RESOURCE_GROUP) && !azure_text(a, AZURE_SUBSCRIPTION_ID))
		return error_set(err, "subscription_id is missing: resource_group is in one, which "
				      "is to be given with it");
	if (init_tokens(a, err) < 0)
		return -1;
	a->api.has_tokens = true;
	a->api.authorize = authorize;
	a->api.arg = a;
	a->api.explain = explain;
	/* All that decides whose token it is. */
	str_addf(&credentials, "%d", a->auth);
	for (size_t row = AZURE_TENANT_ID; row < AZURE_SUBSCRIPTION_ID; row++)
		str_addf(&credentials, "\n%s", azure_text(a, row) ? azure_text(a, row) : "");
	/* 200 writes at once for a principal, and 10 more each second. */
	rc = http_api_init(
		&a->api, v, a->cloud->management, name, credentials.data, 200, 20000, err);
	http_wipe(credentials.data);
	return rc;
}

void azure_clear(struct azure *a)
{
	http_api_clear(&a->api);
	free(a->authority);
	free(a->identity);
}
