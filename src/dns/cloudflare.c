/* The provider `cloudflare`: its API, version 4. Records are added and removed one by one. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "dns/api.h"

#define BASE_URL "https://api.cloudflare.com/client/v4"

enum {
	AUTH_TOKEN = DNS_API_OWN_OPTIONS,
	ZONE_TOKEN,
	AUTH_EMAIL,
	AUTH_KEY,
	ZONE_ID,
	N_OPTIONS,
};

static const struct setting options[N_OPTIONS] = {
	DNS_API_OPTIONS("CLOUDFLARE_", "CF_", {"CLOUDFLARE_BASE_URL"}),
	[AUTH_TOKEN] = {.key = "auth_token",
		.env = {"CF_DNS_API_TOKEN", "CLOUDFLARE_DNS_API_TOKEN", "CF_API_TOKEN"},
		.type = SETTING_SECRET,
		.help = "an API token with the rights Zone:Read and DNS:Edit"},
	[ZONE_TOKEN] = {.key = "zone_token",
		.env = {"CF_ZONE_API_TOKEN", "CLOUDFLARE_ZONE_API_TOKEN"},
		.type = SETTING_SECRET,
		.help = "an API token with Zone:Read, where auth_token has DNS:Edit only"},
	[AUTH_EMAIL] = {.key = "auth_email",
		.env = {"CF_API_EMAIL", "CLOUDFLARE_EMAIL"},
		.help = "the account's address, with auth_key, instead of a token"},
	[AUTH_KEY] = {.key = "auth_key",
		.env = {"CF_API_KEY", "CLOUDFLARE_API_KEY"},
		.type = SETTING_SECRET,
		.help = "the account's global API key"},
	[ZONE_ID] = {.key = "zone_id",
		.help = "the zone's 32 hexadecimal digits, where one name is in two accounts"},
};

/* NULL: the key pair counts. Options win over a token of the environment. */
static const char *token_of(const struct dns_provider *p)
{
	bool pair = (dns_value(p, AUTH_EMAIL) && !p->values[AUTH_EMAIL].from_environment) ||
		    (dns_value(p, AUTH_KEY) && !p->values[AUTH_KEY].from_environment);

	return pair && p->values[AUTH_TOKEN].from_environment ? NULL : dns_value(p, AUTH_TOKEN);
}

static int authorize(
	const void *arg, struct http_call *c, bool again, const struct limits *l, struct error *err)
{
	const struct dns_provider *p = arg;
	const char *token = token_of(p);

	(void)again;
	(void)l;
	(void)err;
	if (token && dns_value(p, ZONE_TOKEN) && !strstr(c->path.data, "/dns_records"))
		token = dns_value(p, ZONE_TOKEN);
	if (token) {
		http_call_bearer(c, token);
	} else {
		http_call_header(c, "X-Auth-Email", "%s", dns_value(p, AUTH_EMAIL));
		http_call_header(c, "X-Auth-Key", "%s", dns_value(p, AUTH_KEY));
	}
	return 0;
}

static const char *code_of(struct json_object *e)
{
	return json_object_get_string(answer_member(e, "code", json_type_int));
}

/* {"success":false,"errors":[{"code":6003,"message":"Invalid request headers","error_chain":[
 * {"code":6111,"message":"Invalid format for Authorization header"}]}]}; the answer to a DELETE has
 * no `success`. */
static bool explain(struct http_reply *r)
{
	struct json_object *errors = answer_member(r->json, "errors", json_type_array),
			   *success = answer_member(r->json, "success", json_type_boolean), *e,
			   *chain;
	const char *message;
	struct str text = {0};

	e = errors ? json_object_array_get_idx(errors, 0) : NULL;
	chain = answer_member(e, "error_chain", json_type_array);
	message = answer_text(e, "message");
	str_addf(&text, "%s", message ? message : "");
	for (size_t i = 0; chain && i < json_object_array_length(chain); i++) {
		struct json_object *one = json_object_array_get_idx(chain, i);
		const char *code = code_of(one);

		message = answer_text(one, "message");
		if (message)
			str_addf(&text, "%s%s%s%s", text.len ? "; " : "", code ? code : "",
				code ? ": " : "", message);
	}
	http_reply_explain(r, code_of(e), text.data);
	str_clear(&text);
	return success && !json_object_get_boolean(success);
}

static int init(struct dns_provider *p, struct error *err)
{
	struct http_api *api = p->own = mem_zalloc(sizeof(*api));
	const char *token = token_of(p), *email = dns_value(p, AUTH_EMAIL),
		   *key = dns_value(p, AUTH_KEY), *zone = dns_value(p, ZONE_ID);

	if (token && (email || key) &&
		p->values[AUTH_TOKEN].from_environment ==
			p->values[key ? AUTH_KEY : AUTH_EMAIL].from_environment)
		log_warn("cloudflare: %s stands beside auth_token, and is not used: keep one of "
			 "them",
			key ? "auth_key" : "auth_email");
	if (!token && !email != !key)
		return error_set(err, "%s is missing: auth_email and auth_key go together",
			email ? "auth_key" : "auth_email");
	if (!token && !key)
		return error_set(err, "auth_token is missing: an API token with the rights "
				      "Zone:Read and DNS:Edit, here (or as auth_token_file) "
				      "or in the environment as CF_DNS_API_TOKEN");
	if (zone && (strlen(zone) != 32 || strspn(zone, "0123456789abcdefABCDEF") != 32))
		return error_set(err,
			"zone_id: \"%.60s\" is no id: it has 32 hexadecimal digits, "
			"as the zone's overview in the dashboard shows them",
			zone);
	api->authorize = authorize;
	api->explain = explain;
	/* 1200 requests in five minutes for a user, whatever he does beside this. */
	return dns_api_init(p, api, BASE_URL, token ? token : key, 1200, 300000, err);
}

/* --- zones --- */

static int look(
	const struct dns_job *j, const char *candidate, struct dns_zone *z, struct error *err)
{
	struct http_call c = {.method = "GET"};
	struct json_object *zones;
	struct http_reply r;
	size_t n;
	int rc;

	str_addf(&c.step, "looking for the zone %s", candidate);
	str_addf(&c.path, "/zones?name=%s&per_page=50", candidate);
	rc = dns_read_list(j, &c, "result", &r, &zones, err);
	n = rc == 0 ? json_object_array_length(zones) : 0;
	if (n > 1)
		rc = error_set(err,
			"the zone %s is there %zu times, in several accounts: set zone_id",
			candidate, n);
	else if (n)
		dns_zone_consider(z, NULL, candidate, candidate,
			answer_text(json_object_array_get_idx(zones, 0), "id"));
	http_reply_clear(&r);
	return rc < 0 ? -1 : z->id != NULL;
}

/* The sentence for a name that lies in no zone of the account. */
static int say_missing(const struct dns_job *j, const char *name, struct error *err)
{
	struct http_call c = {.method = "GET"};

	str_addf(&c.step, "listing the zones");
	str_addf(&c.path, "/zones?per_page=50");
	return dns_zone_not_listed(j, &c, "result", "name", name, err);
}

static int find_zone(
	const struct dns_job *j, const char *name, struct dns_zone *z, struct error *err)
{
	int rc;

	if (dns_value(j->provider, ZONE_ID)) /* its name is public DNS's to say */
		return 0;
	rc = dns_api_walk(j, name, z, look, err);
	return rc ? rc : say_missing(j, name, err);
}

static const char *zone_id(const struct dns_job *j, const struct dns_txt *t)
{
	return t->zone_id ? t->zone_id : dns_value(j->provider, ZONE_ID);
}

/* --- records --- */

/* A name's TXT records: a new array. */
static int read_records(const struct dns_job *j, const struct dns_txt *t,
	struct json_object **records, struct error *err)
{
	char *step = mem_printf("reading the TXT records of %s", t->name),
	     *path = mem_printf("/zones/%s/dns_records?type=TXT&name=%s", zone_id(j, t), t->name);
	int rc = dns_read_pages(j, step, path, "result", records, err);

	free(step);
	free(path);
	return rc;
}

static const char *find_record(struct json_object *records, const char *value)
{
	for (size_t i = 0; i < json_object_array_length(records); i++) {
		struct json_object *o = json_object_array_get_idx(records, i);
		const char *content = answer_text(o, "content");

		if (content && dns_is_value(content, value))
			return answer_text(o, "id");
	}
	return NULL;
}

static int add_record(const struct dns_job *j, const struct dns_txt *t, struct error *err)
{
	struct http_call c = {.method = "POST", .adds = true};
	char *content = mem_printf("\"%s\"", t->value);
	struct http_reply r;
	int rc;

	str_addf(&c.step, "adding the TXT record of %s", t->name);
	str_addf(&c.path, "/zones/%s/dns_records", zone_id(j, t));
	c.json = dns_json_record(t->name, "content", content, j->provider->ttl);
	rc = dns_send(j, &c, &r, err);
	/* "An identical record already exists." */
	if (rc < 0 && (strcmp(r.code, "81058") == 0 || strcmp(r.code, "81057") == 0))
		rc = 0;
	http_reply_clear(&r);
	free(content);
	return rc;
}

static int delete_record(
	const struct dns_job *j, const struct dns_txt *t, const char *id, struct error *err)
{
	struct http_call c = {.method = "DELETE"};
	struct http_reply r;
	int rc;

	str_addf(&c.step, "removing the TXT record of %s", t->name);
	str_addf(&c.path, "/zones/%s/dns_records/%s", zone_id(j, t), id);
	rc = dns_send(j, &c, &r, err);
	if (rc < 0 && (r.http.status == 404 || strcmp(r.code, "81044") == 0)) /* gone already */
		rc = 0;
	http_reply_clear(&r);
	return rc;
}

static int change(
	const struct dns_job *j, struct dns_txt *const *v, size_t n, bool add, struct error *err)
{
	struct json_object *records;
	int rc = read_records(j, v[0], &records, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const char *id = find_record(records, v[i]->value);

		if (add && !id)
			rc = add_record(j, v[i], err);
		else if (!add && id)
			rc = delete_record(j, v[i], id, err);
	}
	json_object_put(records);
	return rc;
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	return change(j, v, n, true, err);
}

static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	return change(j, v, n, false, err);
}

const struct dns_ops dns_cloudflare = {
	.help = "Cloudflare",
	.options = options,
	.n_options = N_OPTIONS,
	.ttl = 120,
	.ttl_min = 60,
	.ttl_auto = 1,
	.patience = {.timeout_ms = 120000, .interval_ms = 2000},
	.init = init,
	.clear = dns_api_free,
	.batch = DNS_PER_NAME,
	.present = present,
	.cleanup = cleanup,
	.find_zone = find_zone,
};
