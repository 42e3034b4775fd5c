#include "dns/ovh_auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define TIME_MAX   INT64_C(253402300799) /* the end of the year 9999 */
#define LIFE_S     600                   /* of a token that does not say */
#define LIFE_MAX_S 86400

static const struct endpoint_row {
	const char *name, *base, *token_url; /* NULL = no OAuth2 there */
} endpoints[] = {
	{"ovh-eu", "https://eu.api.ovh.com/1.0", "https://www.ovh.com/auth/oauth2/token"},
	{"ovh-ca", "https://ca.api.ovh.com/1.0", "https://ca.ovh.com/auth/oauth2/token"},
	{"ovh-us", "https://api.us.ovhcloud.com/1.0", "https://us.ovhcloud.com/auth/oauth2/token"},
	{"kimsufi-eu", "https://eu.api.kimsufi.com/1.0", NULL},
	{"kimsufi-ca", "https://ca.api.kimsufi.com/1.0", NULL},
	{"soyoustart-eu", "https://eu.api.soyoustart.com/1.0", NULL},
	{"soyoustart-ca", "https://ca.api.soyoustart.com/1.0", NULL},
};
#define N_ENDPOINTS (sizeof(endpoints) / sizeof(endpoints[0]))

/* The keys that are no secrets are SETTING_SECRET for their KEY_file: lego knows
 * OVH_APPLICATION_KEY_FILE and OVH_CLIENT_ID_FILE. */
const struct setting ovh_options[OVH_N_OPTIONS] = {
	DNS_API_OPTIONS("OVH_", "OVH_", {NULL}),
	[OVH_ENDPOINT] = {.key = "api_endpoint",
		.env = {"OVH_ENDPOINT", "endpoint"},
		.fallback = "ovh-eu",
		.help = "which API: ovh-eu, ovh-ca, ovh-us, kimsufi-eu, kimsufi-ca, soyoustart-eu, "
			"soyoustart-ca, or a URL"},
	[OVH_APPLICATION_KEY] = {.key = "application_key",
		.env = {"OVH_APPLICATION_KEY", "OVH_APP_KEY"},
		.type = SETTING_SECRET,
		.help = "of the application, with application_secret and consumer_key"},
	[OVH_APPLICATION_SECRET] = {.key = "application_secret",
		.env = {"OVH_APPLICATION_SECRET", "OVH_APP_SECRET"},
		.type = SETTING_SECRET,
		.help = "signs the requests"},
	[OVH_CONSUMER_KEY] = {.key = "consumer_key",
		.env = {"OVH_CONSUMER_KEY"},
		.type = SETTING_SECRET,
		.help = "with the rights GET, POST and DELETE on /domain/zone/*"},
	[OVH_CLIENT_ID] = {.key = "client_id",
		.env = {"OVH_CLIENT_ID", "oauth2_config.client_id"},
		.type = SETTING_SECRET,
		.help = "of a service account, with client_secret: OAuth2"},
	[OVH_CLIENT_SECRET] = {.key = "client_secret",
		.env = {"OVH_CLIENT_SECRET", "oauth2_config.client_secret"},
		.type = SETTING_SECRET,
		.help = "of the service account"},
	[OVH_TOKEN_URL] = {.key = "token_url",
		.env = {"OVH_TOKEN_URL", "oauth2_config.token_url"},
		.type = SETTING_URL,
		.help = "where OAuth2 gives tokens, unless api_endpoint says"},
	[OVH_ACCESS_TOKEN] = {.key = "access_token",
		.env = {"OVH_ACCESS_TOKEN"},
		.type = SETTING_SECRET,
		.help = "a token that somebody else keeps fresh"},
};

struct own {
	struct dns_api api;
	char *token_url; /* OAuth2; NULL = not used */
};

const struct dns_api *ovh_api(const struct dns_job *j)
{
	const struct own *own = j->provider->own;

	return &own->api;
}

/* --- requests that are signed --- */

/* A signature holds half a minute by the API's clock, and ours may be far from it. */
static int ask_clock(const struct dns_job *j, const struct limits *l, struct error *err)
{
	const struct dns_api *api = ovh_api(j);
	struct dns_call c = {.step = "asking for the API's time",
		.method = "GET",
		.path = "/auth/time",
		.anonymous = true};
	struct dns_reply r;
	int64_t now = 0;
	int rc = dns_api_call(j, api, &c, &r, l, err);

	if (json_object_is_type(r.json, json_type_int))
		now = json_object_get_int64(r.json);
	if (rc == 0 && now > 0 && now <= TIME_MAX)
		http_account_set_clock(api->account, now - clock_wall_s());
	else if (rc == 0)
		rc = error_set(err, "%s: the answer is no Unix time", c.step);
	dns_reply_clear(&r);
	return rc < 0 ? -1 : 0;
}

static int sign(const struct dns_job *j, struct dns_call *c, bool again, const struct limits *l,
	struct error *err)
{
	const struct dns_provider *p = j->provider;
	const struct dns_api *api = ovh_api(j);
	unsigned char digest[SHA_DIGEST_LENGTH];
	char hex[2 * SHA_DIGEST_LENGTH + 1], *text;
	int64_t delta;
	long long now;

	if (again) /* "query out of time" */
		http_account_forget_clock(api->account);
	if (!http_account_clock(api->account, &delta) && ask_clock(j, l, err) < 0)
		return -1;
	http_account_clock(api->account, &delta);
	now = clock_wall_s() + delta;
	text = mem_printf("%s+%s+%s+%s%s+%s+%lld", dns_value(p, OVH_APPLICATION_SECRET),
		dns_value(p, OVH_CONSUMER_KEY), c->method, api->base, c->path,
		c->body ? c->body : "", now);
	SHA1((const unsigned char *)text, strlen(text), digest);
	OPENSSL_cleanse(text, strlen(text));
	free(text);
	str_hex(hex, digest, sizeof(digest));
	dns_call_header(c, "X-Ovh-Application", "%s", dns_value(p, OVH_APPLICATION_KEY));
	dns_call_header(c, "X-Ovh-Consumer", "%s", dns_value(p, OVH_CONSUMER_KEY));
	dns_call_header(c, "X-Ovh-Timestamp", "%lld", now);
	dns_call_header(c, "X-Ovh-Signature", "$1$%s", hex);
	return 0;
}

/* --- tokens --- */

/* A new one. NULL with a sentence. */
static char *fetch_token(
	const struct dns_job *j, int64_t *life_s, const struct limits *l, struct error *err)
{
	const struct own *own = j->provider->own;
	struct dns_call c = {.step = "asking for an OAuth2 token",
		.method = "POST",
		.url = own->token_url,
		.body = "grant_type=client_credentials&scope=all",
		.content_type = "application/x-www-form-urlencoded",
		.anonymous = true};
	struct json_object *life;
	struct dns_reply r;
	char *token = NULL;

	dns_call_basic(&c, dns_value(j->provider, OVH_CLIENT_ID),
		dns_value(j->provider, OVH_CLIENT_SECRET));
	if (dns_api_call(j, &own->api, &c, &r, l, err) == 0) {
		token = mem_strdup(answer_text(r.json, "access_token"));
		if (!token)
			error_set(err, "%s: the answer has no access_token", c.step);
		life = answer_member(r.json, "expires_in", json_type_int);
		*life_s = life ? json_object_get_int64(life) : LIFE_S;
		if (*life_s < 1 || *life_s > LIFE_MAX_S)
			*life_s = *life_s < 1 ? 1 : LIFE_MAX_S;
	}
	dns_reply_clear(&r);
	return token;
}

static int authorize(const struct dns_job *j, struct dns_call *c, bool again,
	const struct limits *l, struct error *err)
{
	const char *token = dns_value(j->provider, OVH_ACCESS_TOKEN);

	if (dns_value(j->provider, OVH_APPLICATION_KEY))
		return sign(j, c, again, l, err);
	if (!token)
		return dns_call_token(j, c, ovh_api(j)->account, again, fetch_token, l, err);
	dns_call_bearer(c, token);
	return 0;
}

/* --- what it answers --- */

/* {"errorCode":"INVALID_KEY","httpCode":"403 Forbidden","message":"..."}, or "class" instead of
 * "errorCode", with "details" where a policy lacks a right; {"error":...,"error_description":...}
 * of OAuth2. */
static bool explain(struct dns_reply *r)
{
	const char *code = answer_text(r->json, "errorCode"),
		   *message = answer_text(r->json, "message"),
		   *oauth2 = answer_text(r->json, "error"),
		   *id = fetch_header(&r->http, "X-Ovh-QueryID", 0),
		   *right = answer_text(answer_member(r->json, "details", json_type_object),
			   "unauthorizedActionsByIAM");
	char text[DNS_MESSAGE_SIZE];

	if (!code)
		code = answer_text(r->json, "class");
	if (!message)
		message = answer_text(r->json, "error_description");
	snprintf(text, sizeof(text), "%.130s%s%.60s%s%s%.64s", message ? message : "",
		right && *right ? ", missing is the right " : "", right ? right : "",
		message && id ? ", " : "", id ? "X-Ovh-QueryID " : "", id ? id : "");
	dns_reply_explain(r, code ? code : oauth2, text);
	if (strcmp(r->code, "QUERY_TIME_OUT") == 0) /* with the clock asked for again */
		r->verdict = DNS_NEW_TOKEN;
	else if (oauth2 && r->http.status == 401) /* it is the token that is asked for */
		r->verdict = DNS_FINAL;
	return false;
}

bool ovh_is_ungranted(const struct dns_reply *r)
{
	return r->http.status == 403 && (strcmp(r->code, "NOT_GRANTED_CALL") == 0 ||
						strcmp(r->code, "Client::Forbidden") == 0);
}

/* --- options --- */

/* The first row of `from` up to `to` that is given, or is not. `to` = none. */
static size_t find_row(const struct dns_provider *p, size_t from, size_t to, bool given)
{
	while (from < to && !dns_value(p, from) == given)
		from++;
	return from;
}

/* One of the three kinds is there, and whole. */
static int check_credentials(const struct dns_provider *p, struct error *err)
{
	const size_t none = OVH_CONSUMER_KEY + 1,
		     key = find_row(p, OVH_APPLICATION_KEY, none, true),
		     lacking = find_row(p, OVH_APPLICATION_KEY, none, false);
	const char *id = dns_value(p, OVH_CLIENT_ID), *secret = dns_value(p, OVH_CLIENT_SECRET),
		   *token = dns_value(p, OVH_ACCESS_TOKEN),
		   *first = key < none ? ovh_options[key].key : "oauth2_config";

	if ((key < none) + (id || secret) + (token != NULL) > 1)
		return error_set(err,
			"%s and %s are two kinds of credentials, here or in the environment: "
			"keep one of them",
			first, token ? "access_token" : "oauth2_config");
	if (key < none && lacking < none)
		return error_set(err,
			"%s is missing: application_key, application_secret and consumer_key go "
			"together",
			ovh_options[lacking].key);
	if (!id != !secret)
		return error_set(err,
			"oauth2_config.%s is missing: client_id and client_secret go together",
			id ? "client_secret" : "client_id");
	if (key == none && !id && !token)
		return error_set(err,
			"application_key is missing: the provider ovh needs application_key, "
			"application_secret and consumer_key, or oauth2_config with client_id and "
			"client_secret, or access_token, here or in the environment as "
			"OVH_APPLICATION_KEY and so on");
	return 0;
}

/* Whether a URL is on the same host as this endpoint. */
static bool is_at(const struct endpoint_row *e, const char *url)
{
	size_t len = strlen(e->base) - strlen("/1.0");

	return strncmp(url, e->base, len) == 0 && (!url[len] || url[len] == '/');
}

/* The URL of api_endpoint, and where its tokens come from: NULL = nobody knows. */
static char *find_endpoint(const struct dns_provider *p, const char **token_url, struct error *err)
{
	const char *given = dns_value(p, OVH_ENDPOINT), *names[N_ENDPOINTS], *near;
	char shown[100], *url, *whole;

	for (size_t i = 0; i < N_ENDPOINTS; i++) {
		names[i] = endpoints[i].name;
		if (strcmp(given, names[i]) == 0 || is_at(&endpoints[i], given))
			*token_url = endpoints[i].token_url;
		if (strcmp(given, names[i]) == 0)
			return mem_strdup(endpoints[i].base);
	}
	if (!strstr(given, "://")) {
		near = str_nearest(given, names, N_ENDPOINTS);
		str_escape(shown, sizeof(shown), given, strlen(given));
		error_set(err, "api_endpoint: \"%s\" is neither an endpoint nor a URL%s%s%s", shown,
			near ? ": did you mean \"" : ": it is ovh-eu or the like, or https://...",
			near ? near : "", near ? "\"?" : "");
		return NULL;
	}
	url = dns_api_url(p, OVH_ENDPOINT, NULL, err);
	if (!url || strchr(strstr(url, "://") + 3, '/'))
		return url;
	whole = mem_printf("%s/1.0", url);
	free(url);
	return whole;
}

int ovh_init(struct dns_provider *p, struct error *err)
{
	struct own *own = p->own = mem_zalloc(sizeof(*own));
	const char *id = dns_value(p, OVH_CLIENT_ID), *token = dns_value(p, OVH_ACCESS_TOKEN),
		   *known = NULL;
	char *base, *all = NULL;
	int rc = -1;

	if (check_credentials(p, err) < 0)
		return -1;
	base = find_endpoint(p, &known, err);
	if (!base)
		return -1;
	if (id && !known && !dns_value(p, OVH_TOKEN_URL)) {
		error_set(err,
			"token_url is missing: for api_endpoint %.100s it is not known where "
			"OAuth2 gives tokens",
			dns_value(p, OVH_ENDPOINT));
		goto out;
	}
	if (id && !(own->token_url = dns_api_url(p, OVH_TOKEN_URL, known, err)))
		goto out;
	own->api.authorize = authorize;
	own->api.explain = explain;
	own->api.has_tokens = id != NULL;
	if (id)
		all = mem_printf("%s\n%s\n%s", own->token_url, id, dns_value(p, OVH_CLIENT_SECRET));
	else if (token)
		all = mem_strdup(token);
	else
		all = mem_printf("%s\n%s\n%s", dns_value(p, OVH_APPLICATION_KEY),
			dns_value(p, OVH_APPLICATION_SECRET), dns_value(p, OVH_CONSUMER_KEY));
	rc = dns_api_init(p, &own->api, base, all, 0, 0, err);
out:
	if (all)
		OPENSSL_cleanse(all, strlen(all));
	free(all);
	free(base);
	return rc;
}

void ovh_clear(struct dns_provider *p)
{
	struct own *own = p->own;

	dns_api_clear(&own->api);
	free(own->token_url);
	free(own);
}
