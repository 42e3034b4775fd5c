/* The provider `clouddns_cz`: CloudDNS of vshosting. Records are added and removed one by one; what
 * was changed is served once the zone is published. */
#include <openssl/crypto.h>
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
	struct dns_api api;
	struct dns_api login; /* where tokens come from */
	char *login_url;
};

static const struct dns_api *api_of(const struct dns_job *j)
{
	const struct clouddns *own = j->provider->own;

	return &own->api;
}

static void put(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

/* --- who asks --- */

/* {"error":{"code":...,"message":"..."}} */
static bool explain(struct dns_reply *r)
{
	struct json_object *e = answer_member(r->json, "error", json_type_object),
			   *code = answer_member(e, "code", json_type_int);
	char number[24] = "";

	if (code)
		snprintf(number, sizeof(number), "%d", json_object_get_int(code));
	dns_reply_explain(r, code ? number : answer_text(e, "code"), answer_text(e, "message"));
	return false;
}

/* Logs in. A new string; NULL with a sentence. */
static char *log_in(
	const struct dns_job *j, int64_t *life_s, const struct limits *l, struct error *err)
{
	const struct clouddns *own = j->provider->own;
	struct json_object *o = json_object_new_object(), *auth;
	struct dns_call c = {
		.step = "logging in", .method = "POST", .url = own->login_url, .anonymous = true};
	struct dns_reply r;
	const char *body;
	char *token = NULL;

	put(o, "email", dns_value(j->provider, EMAIL));
	put(o, "password", dns_value(j->provider, PASSWORD));
	c.body = body = json_object_to_json_string(o);
	if (dns_api_call(j, &own->login, &c, &r, l, err) == 0) {
		auth = answer_member(r.json, "auth", json_type_object);
		token = mem_strdup(answer_text(auth, "accessToken"));
		if (!token)
			error_set(err, "logging in: the answer has no accessToken");
	}
	*life_s = LIFE_S;
	dns_reply_clear(&r);
	OPENSSL_cleanse((char *)body, strlen(body));
	json_object_put(o);
	return token;
}

static int authorize(const struct dns_job *j, struct dns_call *c, bool again,
	const struct limits *l, struct error *err)
{
	return dns_call_token(j, c, api_of(j)->account, again, log_in, l, err);
}

static void clear(struct dns_provider *p)
{
	struct clouddns *own = p->own;

	dns_api_clear(&own->api);
	free(own->login_url);
	free(own);
}

static int init(struct dns_provider *p, struct error *err)
{
	struct clouddns *own = p->own = mem_zalloc(sizeof(*own));
	char *who;
	int rc;

	own->login_url = dns_api_url(p, LOGIN, LOGIN_URL, err);
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
	OPENSSL_cleanse(who, strlen(who));
	free(who);
	return rc;
}

/* --- zones --- */

static void add_criterion(struct json_object *search, const char *name, const char *value)
{
	struct json_object *o = json_object_new_object();

	put(o, "name", name);
	put(o, "operator", "eq");
	put(o, "value", value);
	json_object_array_add(search, o);
}

/* The client's zones, those called `zone` or all: NULL. */
static int search(const struct dns_job *j, const char *zone, struct dns_reply *r,
	const struct limits *l, struct error *err)
{
	struct json_object *o = json_object_new_object(), *criteria = json_object_new_array();
	char *step = zone ? mem_printf("looking for the zone %s", zone)
			  : mem_strdup("listing the zones"),
	     *full = mem_printf("%s.", zone ? zone : "");
	struct dns_call c = {.step = step, .method = "POST", .path = "/domain/search"};
	int rc;

	add_criterion(criteria, "clientId", dns_value(j->provider, CLIENT_ID));
	if (zone)
		add_criterion(criteria, "domainName", full);
	json_object_object_add(o, "search", criteria);
	c.body = json_object_to_json_string(o);
	rc = dns_api_call(j, api_of(j), &c, r, l, err);
	json_object_put(o);
	free(full);
	free(step);
	return rc;
}

static void consider(const struct dns_reply *r, struct dns_zone *z, struct dns_zones_seen *seen,
	const char *name)
{
	struct json_object *items = answer_member(r->json, "items", json_type_array);

	for (size_t i = 0; items && i < json_object_array_length(items); i++) {
		struct json_object *o = json_object_array_get_idx(items, i);
		const char *zone = answer_text(o, "domainName"), *id = answer_text(o, "id");

		if (zone && id)
			dns_zone_consider(z, seen, name, zone, id);
	}
}

static int look_for(const struct dns_job *j, const char *candidate, struct dns_zone *z,
	const struct limits *l, struct error *err)
{
	struct dns_reply r;
	int rc = search(j, candidate, &r, l, err);

	if (rc == 0)
		consider(&r, z, NULL, candidate);
	dns_reply_clear(&r);
	return rc < 0 ? -1 : z->id != NULL;
}

static int find_zone(const struct dns_job *j, const char *name, struct dns_zone *z,
	const struct limits *l, struct error *err)
{
	struct dns_zones_seen seen = {0};
	struct dns_zone none = {0};
	struct dns_reply r;
	int rc = dns_api_walk(j, name, z, look_for, l, err);

	if (rc)
		return rc;
	if (search(j, NULL, &r, l, err) == 0) {
		consider(&r, &none, &seen, "");
		dns_zone_missing(&seen, name, err);
	}
	dns_reply_clear(&r);
	return -1;
}

/* --- records --- */

/* The zone with all its records, be they published or not. */
static int read_zone(const struct dns_job *j, const struct dns_txt *t, struct dns_reply *r,
	const struct limits *l, struct error *err)
{
	char *path = mem_printf("/domain/%s", t->zone_id),
	     *step = mem_printf("reading the records of the zone %s", t->zone);
	struct dns_call c = {.step = step, .method = "GET", .path = path, .max = (size_t)4 << 20};
	int rc = dns_api_call(j, api_of(j), &c, r, l, err);

	if (rc == 0 && !answer_member(r->json, "lastDomainRecordList", json_type_array)) {
		error_set(err, "%s: the answer has no lastDomainRecordList", step);
		rc = DNS_AGAIN;
	}
	free(step);
	free(path);
	return rc;
}

static bool is_name(const char *shown, const char *name)
{
	size_t len = strlen(name);

	return strncmp(shown, name, len) == 0 && (!shown[len] || strcmp(shown + len, ".") == 0);
}

/* Its id; NULL = it is not there. */
static const char *find_record(const struct dns_reply *r, const struct dns_txt *t)
{
	struct json_object *list = answer_member(r->json, "lastDomainRecordList", json_type_array);

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		const char *type = answer_text(o, "type"), *name = answer_text(o, "name"),
			   *value = answer_text(o, "value");

		if (type && name && value && strcmp(type, "TXT") == 0 && is_name(name, t->name) &&
			dns_is_value(value, t->value))
			return answer_text(o, "id");
	}
	return NULL;
}

/* Sends a request whose answer tells nothing. `o` is taken, its body; NULL = none. */
static int command(const struct dns_job *j, struct dns_call *c, const char *doing, const char *name,
	struct json_object *o, const struct limits *l, struct error *err)
{
	char *step = mem_printf("%s %s", doing, name);
	struct dns_reply r;
	int rc;

	c->step = step;
	c->body = o ? json_object_to_json_string(o) : NULL;
	rc = dns_api_call(j, api_of(j), c, &r, l, err);
	if (rc < 0 && r.http.status == 404 && strcmp(c->method, "DELETE") == 0)
		rc = 0; /* gone already */
	dns_reply_clear(&r);
	json_object_put(o);
	free(step);
	return rc;
}

static int add_record(
	const struct dns_job *j, const struct dns_txt *t, const struct limits *l, struct error *err)
{
	struct dns_call c = {.method = "POST", .path = "/record-txt", .adds = true};
	struct json_object *o = json_object_new_object();
	char *full = mem_printf("%s.", t->name);

	put(o, "type", "TXT");
	put(o, "domainId", t->zone_id);
	put(o, "name", full);
	put(o, "value", t->value);
	free(full);
	return command(j, &c, "adding the TXT record of", t->name, o, l, err);
}

static int delete_record(const struct dns_job *j, const struct dns_txt *t, const char *id,
	const struct limits *l, struct error *err)
{
	char *path = mem_printf("/record/%s", id);
	struct dns_call c = {.method = "DELETE", .path = path};
	int rc = command(j, &c, "removing the TXT record of", t->name, NULL, l, err);

	free(path);
	return rc;
}

static int publish(
	const struct dns_job *j, const struct dns_txt *t, const struct limits *l, struct error *err)
{
	char *path = mem_printf("/domain/%s/publish", t->zone_id);
	struct dns_call c = {.method = "PUT", .path = path};
	struct json_object *o = json_object_new_object();
	int rc;

	json_object_object_add(o, "soaTtl", json_object_new_int64(j->provider->ttl));
	rc = command(j, &c, "publishing the zone", t->zone, o, l, err);
	free(path);
	return rc;
}

/* The zone is published even when nothing had to be changed: an earlier try may have come no
 * further than this. */
static int change(const struct dns_job *j, struct dns_txt *const *v, size_t n, bool add,
	const struct limits *l, struct error *err)
{
	struct dns_reply r;
	int rc = read_zone(j, v[0], &r, l, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const char *id = find_record(&r, v[i]);

		if (add && !id)
			rc = add_record(j, v[i], l, err);
		else if (!add && id)
			rc = delete_record(j, v[i], id, l, err);
	}
	dns_reply_clear(&r);
	return rc == 0 ? publish(j, v[0], l, err) : rc;
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n,
	const struct limits *l, struct error *err)
{
	return change(j, v, n, true, l, err);
}

static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n,
	const struct limits *l, struct error *err)
{
	return change(j, v, n, false, l, err);
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
