/* The provider `clouddns_cz`: CloudDNS of vshosting. Records are added and removed one by one; what
 * was changed is served once the zone is published. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "dns/api.h"

#define BASE_URL  "https://admin.vshosting.cloud/clouddns"
#define LOGIN_URL "https://admin.vshosting.cloud/api/public/auth/login"
#define LIFE_S    3600 /* of a token; a refused one is replaced at once */

enum {
	CLIENT_ID = DNS_API_OWN_OPTIONS,
	EMAIL,
	PASSWORD,
	LOGIN,
	N_OPTIONS,
};

static const struct setting options[N_OPTIONS] = {
	DNS_API_OPTIONS("CLOUDDNS_", "CLOUDDNS_", {NULL}),
	[CLIENT_ID] = {.key = "client_id",
		.env = {"CLOUDDNS_CLIENT_ID"},
		.type = SETTING_SECRET,
		.required = true,
		.help = "the client's id, as the administration shows it"},
	[EMAIL] = {.key = "email",
		.env = {"CLOUDDNS_EMAIL"},
		.type = SETTING_SECRET,
		.required = true,
		.help = "the address that one logs in with"},
	[PASSWORD] = {.key = "password",
		.env = {"CLOUDDNS_PASSWORD"},
		.type = SETTING_SECRET,
		.required = true,
		.help = "the password that one logs in with"},
	[LOGIN] = {.key = "login_url",
		.type = SETTING_URL,
		.help = "where one logs in, which is another API than base_url's"},
};

struct clouddns {
	struct http_api api;
	struct http_api login; /* where tokens come from */
	char *login_url;
};

/* --- who asks --- */

/* {"error":{"code":...,"message":"..."}} */
static bool explain(struct http_reply *r)
{
	struct json_object *e = answer_member(r->json, "error", json_type_object),
			   *code = answer_member(e, "code", json_type_int);

	http_reply_explain(r, code ? json_object_get_string(code) : answer_text(e, "code"),
		answer_text(e, "message"));
	return false;
}

/* Logs in. A new string; NULL with a sentence. */
static char *log_in(const void *arg, int64_t *life_s, const struct limits *l, struct error *err)
{
	const struct dns_provider *p = arg;
	const struct clouddns *own = p->own;
	struct json_object *form = json_object_new_object();
	struct http_call c = {.method = "POST", .json = json_object_get(form), .anonymous = true};
	struct http_reply r;
	char *token = NULL;

	str_addf(&c.step, "logging in");
	str_addf(&c.url, "%s", own->login_url);
	http_json_add(form, "email", dns_value(p, EMAIL));
	http_json_add(form, "password", dns_value(p, PASSWORD));
	if (http_send(&own->login, &c, &r, l, err) == 0) {
		token = mem_strdup(answer_text(
			answer_member(r.json, "auth", json_type_object), "accessToken"));
		if (!token)
			error_set(err, "%s: the answer has no accessToken", r.step);
	}
	*life_s = LIFE_S;
	http_reply_wipe(&r);
	answer_wipe(form);
	return token;
}

static int authorize(
	const void *arg, struct http_call *c, bool again, const struct limits *l, struct error *err)
{
	const struct clouddns *own = ((const struct dns_provider *)arg)->own;

	return http_call_token(c, own->api.account, again, log_in, arg, l, err);
}

static void clear(struct dns_provider *p)
{
	struct clouddns *own = p->own;

	http_api_clear(&own->api);
	free(own->login_url);
	free(own);
}

static int init(struct dns_provider *p, struct error *err)
{
	struct clouddns *own = p->own = mem_zalloc(sizeof(*own));
	char *who;
	int rc;

	own->login_url =
		http_url(&p->values[LOGIN], dns_is_true(p, DNS_INSECURE_HTTP), LOGIN_URL, err);
	if (!own->login_url)
		return -1;
	own->api.authorize = authorize;
	own->api.has_tokens = true;
	own->api.explain = own->login.explain = explain;
	who = mem_printf("%s\n%s\n%s\n%s", own->login_url, dns_value(p, CLIENT_ID),
		dns_value(p, EMAIL), dns_value(p, PASSWORD));
	rc = dns_api_init(p, &own->api, BASE_URL, who, 0, 0, err);
	own->login.account = own->api.account;
	own->login.timeout_ms = own->api.timeout_ms;
	http_wipe(who);
	return rc;
}

/* --- zones --- */

static void add_criterion(struct json_object *search, const char *name, const char *value)
{
	struct json_object *o = json_object_new_object();

	http_json_add(o, "name", name);
	http_json_add(o, "operator", "eq");
	http_json_add(o, "value", value);
	json_object_array_add(search, o);
}

/* The request for the client's zones, those called `zone` or all: NULL. */
static struct http_call search(const struct dns_job *j, const char *zone)
{
	struct http_call c = {.method = "POST", .json = json_object_new_object()};
	struct json_object *criteria = json_object_new_array();
	char *full = mem_printf("%s.", zone ? zone : "");

	str_addf(&c.step, zone ? "looking for the zone %s" : "listing the zones", zone);
	str_addf(&c.path, "/domain/search");
	add_criterion(criteria, "clientId", dns_value(j->provider, CLIENT_ID));
	if (zone)
		add_criterion(criteria, "domainName", full);
	json_object_object_add(c.json, "search", criteria);
	free(full);
	return c;
}

static int look_for(
	const struct dns_job *j, const char *candidate, struct dns_zone *z, struct error *err)
{
	struct http_call c = search(j, candidate);
	struct json_object *items;
	struct http_reply r;
	int rc = dns_read_list(j, &c, "items", &r, &items, err);

	for (size_t i = 0; rc == 0 && i < json_object_array_length(items); i++) {
		struct json_object *o = json_object_array_get_idx(items, i);
		const char *zone = answer_text(o, "domainName"), *id = answer_text(o, "id");

		if (zone && id)
			dns_zone_consider(z, NULL, candidate, zone, id);
	}
	http_reply_clear(&r);
	return rc < 0 ? -1 : z->id != NULL;
}

static int find_zone(
	const struct dns_job *j, const char *name, struct dns_zone *z, struct error *err)
{
	int rc = dns_api_walk(j, name, z, look_for, err);
	struct http_call c;

	if (rc)
		return rc;
	c = search(j, NULL);
	return dns_zone_not_listed(j, &c, "items", "domainName", name, err);
}

/* --- records --- */

static bool is_name(const char *shown, const char *name)
{
	size_t len = strlen(name);

	return strncmp(shown, name, len) == 0 && (!shown[len] || strcmp(shown + len, ".") == 0);
}

/* Its id among a zone's records; NULL = it is not there. */
static const char *find_record(struct json_object *records, const struct dns_txt *t)
{
	for (size_t i = 0; i < json_object_array_length(records); i++) {
		struct json_object *o = json_object_array_get_idx(records, i);
		const char *type = answer_text(o, "type"), *name = answer_text(o, "name"),
			   *value = answer_text(o, "value");

		if (type && name && value && strcmp(type, "TXT") == 0 && is_name(name, t->name) &&
			dns_is_value(value, t->value))
			return answer_text(o, "id");
	}
	return NULL;
}

static int add_record(const struct dns_job *j, const struct dns_txt *t, struct error *err)
{
	struct http_call c = {.method = "POST", .json = json_object_new_object(), .adds = true};
	char *full = mem_printf("%s.", t->name);
	int rc;

	str_addf(&c.step, "adding the TXT record of %s", t->name);
	str_addf(&c.path, "/record-txt");
	http_json_add(c.json, "type", "TXT");
	http_json_add(c.json, "domainId", t->zone_id);
	http_json_add(c.json, "name", full);
	http_json_add(c.json, "value", t->value);
	rc = dns_command(j, &c, err);
	free(full);
	return rc;
}

static int delete_record(
	const struct dns_job *j, const struct dns_txt *t, const char *id, struct error *err)
{
	struct http_call c = {.method = "DELETE"};

	str_addf(&c.step, "removing the TXT record of %s", t->name);
	str_addf(&c.path, "/record/%s", id);
	return dns_command(j, &c, err);
}

static int publish(const struct dns_job *j, const struct dns_txt *t, struct error *err)
{
	struct http_call c = {.method = "PUT", .json = json_object_new_object()};

	str_addf(&c.step, "publishing the zone %s", t->zone);
	str_addf(&c.path, "/domain/%s/publish", t->zone_id);
	json_object_object_add(c.json, "soaTtl", json_object_new_int64(j->provider->ttl));
	return dns_command(j, &c, err);
}

/* The zone has all its records, be they published or not. It is published even when nothing had to
 * be changed: an earlier try may have come no further than this. */
static int change(
	const struct dns_job *j, struct dns_txt *const *v, size_t n, bool add, struct error *err)
{
	struct http_call c = {.method = "GET"};
	struct json_object *records;
	struct http_reply r;
	int rc;

	str_addf(&c.step, "reading the records of the zone %s", v[0]->zone);
	str_addf(&c.path, "/domain/%s", v[0]->zone_id);
	rc = dns_read_list(j, &c, "lastDomainRecordList", &r, &records, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const char *id = find_record(records, v[i]);

		if (add && !id)
			rc = add_record(j, v[i], err);
		else if (!add && id)
			rc = delete_record(j, v[i], id, err);
	}
	http_reply_clear(&r);
	return rc == 0 ? publish(j, v[0], err) : rc;
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	return change(j, v, n, true, err);
}

static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	return change(j, v, n, false, err);
}

const struct dns_ops dns_clouddns_cz = {
	.help = "CloudDNS of vshosting (CloudDNS.cz)",
	.options = options,
	.n_options = N_OPTIONS,
	.ttl = 300,
	.patience = {.timeout_ms = 120000, .interval_ms = 5000},
	.init = init,
	.clear = clear,
	.batch = DNS_PER_ZONE,
	.present = present,
	.cleanup = cleanup,
	.find_zone = find_zone,
};
