#include "cloud/ovh.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define TIME_MAX INT64_C(253402300799) /* the end of the year 9999 */
#define LIFE_S   600                   /* of a token that does not say */

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

const char *ovh_text(const struct ovh *o, size_t setting)
{
	return setting_text(&o->v[setting]);
}

/* --- requests that are signed --- */

/* A signature holds half a minute by the API's clock, and ours may be far from it. */
static int ask_clock(const struct ovh *o, const struct limits *l, struct error *err)
{
	struct http_call c = {.method = "GET", .anonymous = true};
	struct http_reply r;
	int64_t now = 0;
	int rc;

	str_addf(&c.step, "asking for the API's time");
	str_addf(&c.path, "/auth/time");
	rc = http_send(&o->api, &c, &r, l, err);
	if (json_object_is_type(r.json, json_type_int))
		now = json_object_get_int64(r.json);
	if (rc == 0 && now > 0 && now <= TIME_MAX)
		http_account_set_clock(o->api.account, now - clock_wall_s());
	else if (rc == 0)
		rc = error_set(err, "%s: the answer is no Unix time", r.step);
	http_reply_clear(&r);
	return rc < 0 ? -1 : 0;
}

static int sign(const struct ovh *o, struct http_call *c, bool again, const struct limits *l,
	struct error *err)
{
	const char *body = http_call_body(c);
	unsigned char digest[SHA_DIGEST_LENGTH];
	char hex[2 * SHA_DIGEST_LENGTH + 1], *text;
	int64_t delta;
	long long now;

	if (again) /* "query out of time" */
		http_account_forget_clock(o->api.account);
	if (!http_account_clock(o->api.account, &delta) && ask_clock(o, l, err) < 0)
		return -1;
	http_account_clock(o->api.account, &delta);
	now = clock_wall_s() + delta;
	text = mem_printf("%s+%s+%s+%s%s+%s+%lld", ovh_text(o, OVH_APPLICATION_SECRET),
		ovh_text(o, OVH_CONSUMER_KEY), c->method, o->api.base, c->path.data,
		body ? body : "", now);
	SHA1((const unsigned char *)text, strlen(text), digest);
	http_wipe(text);
	str_hex(hex, digest, sizeof(digest));
	http_call_header(c, "X-Ovh-Application", "%s", ovh_text(o, OVH_APPLICATION_KEY));
	http_call_header(c, "X-Ovh-Consumer", "%s", ovh_text(o, OVH_CONSUMER_KEY));
	http_call_header(c, "X-Ovh-Timestamp", "%lld", now);
	http_call_header(c, "X-Ovh-Signature", "$1$%s", hex);
	return 0;
}

/* --- tokens --- */

/* A new one. NULL with a sentence. */
static char *fetch_token(
	const void *arg, int64_t *life_s, const struct limits *l, struct error *err)
{
	const struct ovh *o = arg;
	struct http_call c = {.method = "POST", .content_type = HTTP_FORM, .anonymous = true};

	str_addf(&c.step, "asking for an OAuth2 token");
	str_addf(&c.url, "%s", o->token_url);
	str_addf(&c.body, "grant_type=client_credentials&scope=all");
	http_call_basic(&c, ovh_text(o, OVH_CLIENT_ID), ovh_text(o, OVH_CLIENT_SECRET));
	*life_s = LIFE_S;
	return http_fetch_token(&o->api, &c, "access_token", life_s, l, err);
}

static int authorize(
	const void *arg, struct http_call *c, bool again, const struct limits *l, struct error *err)
{
	const struct ovh *o = arg;
	const char *token = ovh_text(o, OVH_ACCESS_TOKEN);

	if (ovh_text(o, OVH_APPLICATION_KEY))
		return sign(o, c, again, l, err);
	if (!token)
		return http_call_token(c, o->api.account, again, fetch_token, o, l, err);
	http_call_bearer(c, token);
	return 0;
}

/* --- what it answers --- */

/* {"errorCode":"INVALID_KEY","httpCode":"403 Forbidden","message":"..."}, or "class" instead of
 * "errorCode", with "details" where a policy lacks a right; {"error":...,"error_description":...}
 * of OAuth2. */
static bool explain(struct http_reply *r)
{
	const char *code = answer_text(r->json, "errorCode"),
		   *message = answer_text(r->json, "message"),
		   *oauth2 = answer_text(r->json, "error"),
		   *id = fetch_header(&r->http, "X-Ovh-QueryID", 0),
		   *right = answer_text(answer_member(r->json, "details", json_type_object),
			   "unauthorizedActionsByIAM");
	char text[HTTP_MESSAGE_SIZE];

	if (!code)
		code = answer_text(r->json, "class");
	if (!message)
		message = answer_text(r->json, "error_description");
	snprintf(text, sizeof(text), "%.130s%s%.60s%s%s%.64s", message ? message : "",
		right && *right ? ", missing is the right " : "", right ? right : "",
		message && id ? ", " : "", id ? "X-Ovh-QueryID " : "", id ? id : "");
	http_reply_explain(r, code ? code : oauth2, text);
	if (strcmp(r->code, "QUERY_TIME_OUT") == 0) /* with the clock asked for again */
		r->verdict = HTTP_NEW_TOKEN;
	else if (oauth2 && r->http.status == 401) /* it is the token that is asked for */
		r->verdict = HTTP_FINAL;
	return false;
}

bool ovh_is_ungranted(const struct http_reply *r)
{
	return r->http.status == 403 && (strcmp(r->code, "NOT_GRANTED_CALL") == 0 ||
						strcmp(r->code, "Client::Forbidden") == 0);
}

/* --- settings --- */

/* The first row of `from` up to `to` that is given, or is not. `to` = none. */
static size_t find_row(const struct ovh *o, size_t from, size_t to, bool given)
{
	while (from < to && !ovh_text(o, from) == given)
		from++;
	return from;
}

/* One of the three kinds is there, and whole. */
static int check_credentials(const struct ovh *o, struct error *err)
{
	const size_t none = OVH_CONSUMER_KEY + 1,
		     key = find_row(o, OVH_APPLICATION_KEY, none, true),
		     lacking = find_row(o, OVH_APPLICATION_KEY, none, false);
	const char *id = ovh_text(o, OVH_CLIENT_ID), *secret = ovh_text(o, OVH_CLIENT_SECRET),
		   *token = ovh_text(o, OVH_ACCESS_TOKEN),
		   *first = key < none ? o->v[key].row->key : "oauth2_config";

	if ((key < none) + (id || secret) + (token != NULL) > 1)
		return error_set(err,
			"%s and %s are two kinds of credentials, here or in the environment: "
			"keep one of them",
			first, token ? "access_token" : "oauth2_config");
	if (key < none && lacking < none)
		return error_set(err,
			"%s is missing: application_key, application_secret and consumer_key go "
			"together",
			o->v[lacking].row->key);
	if (!id != !secret)
		return error_set(err,
			"oauth2_config.%s is missing: client_id and client_secret go together",
			id ? "client_secret" : "client_id");
	if (key == none && !id && !token)
		return error_set(err,
			"application_key is missing: the provider ovh needs application_key, "
			"application_secret and consumer_key, or oauth2_config with client_id and "
			"client_secret, or access_token, here (or as application_key_file and so "
			"on) or in the environment as OVH_APPLICATION_KEY and so on");
	return 0;
}

/* Whether a URL is on the same host as this endpoint. */
static bool is_at(const struct endpoint_row *e, const char *url)
{
	size_t len = strlen(e->base) - strlen("/1.0");

	return strncmp(url, e->base, len) == 0 && (!url[len] || url[len] == '/');
}

/* The URL of api_endpoint, and where its tokens come from: NULL = nobody knows. */
static char *find_endpoint(const struct ovh *o, const char **token_url, struct error *err)
{
	const char *given = ovh_text(o, OVH_ENDPOINT), *names[N_ENDPOINTS], *near;
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
	url = http_url(&o->v[OVH_ENDPOINT], setting_is_true(&o->v[HTTP_INSECURE]), NULL, err);
	if (!url || strchr(strstr(url, "://") + 3, '/'))
		return url;
	whole = mem_printf("%s/1.0", url);
	free(url);
	return whole;
}

int ovh_init(struct ovh *o, const struct setting_value *v, const char *name, struct error *err)
{
	const char *id, *token, *known = NULL;
	char *base, *all = NULL;
	int rc = -1;

	o->v = v;
	id = ovh_text(o, OVH_CLIENT_ID);
	token = ovh_text(o, OVH_ACCESS_TOKEN);
	if (check_credentials(o, err) < 0)
		return -1;
	if (ovh_text(o, HTTP_BASE_URL) && strstr(ovh_text(o, OVH_ENDPOINT), "://") &&
		!v[OVH_ENDPOINT].from_environment)
		return error_set(err, "base_url stands beside api_endpoint, which is a URL too: "
				      "keep one of them");
	base = find_endpoint(o, &known, err);
	if (!base)
		return -1;
	if (id && !known && !ovh_text(o, OVH_TOKEN_URL)) {
		error_set(err,
			"token_url is missing: for api_endpoint %.100s it is not known where "
			"OAuth2 gives tokens",
			ovh_text(o, OVH_ENDPOINT));
		goto out;
	}
	if (id && !(o->token_url = http_url(
			    &v[OVH_TOKEN_URL], setting_is_true(&v[HTTP_INSECURE]), known, err)))
		goto out;
	o->api.authorize = authorize;
	o->api.arg = o;
	o->api.explain = explain;
	o->api.has_tokens = id != NULL;
	if (id)
		all = mem_printf("%s\n%s\n%s", o->token_url, id, ovh_text(o, OVH_CLIENT_SECRET));
	else if (token)
		all = mem_strdup(token);
	else
		all = mem_printf("%s\n%s\n%s", ovh_text(o, OVH_APPLICATION_KEY),
			ovh_text(o, OVH_APPLICATION_SECRET), ovh_text(o, OVH_CONSUMER_KEY));
	rc = http_api_init(&o->api, v, base, name, all, 0, 0, err);
out:
	http_wipe(all);
	free(base);
	return rc;
}

void ovh_clear(struct ovh *o)
{
	http_api_clear(&o->api);
	free(o->token_url);
}
