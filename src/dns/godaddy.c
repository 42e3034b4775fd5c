/* The provider `godaddy`: GoDaddy's API, version 1. It can add single records, but removes only all
 * of a name: what is to stay is read, and written again.
 *
 * It serves only what concerns a single name to accounts with few domains: nothing else is asked
 * unless it must be. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dns/api.h"

#define BASE_URL "https://api.godaddy.com"
#define LIST_MAX ((size_t)4 << 20) /* bytes of the list of domains */
#define YEAR_S   31536000

enum {
	API_KEY = DNS_API_OWN_OPTIONS,
	API_SECRET,
	N_OPTIONS,
};

static const struct setting options[N_OPTIONS] = {
	DNS_API_OPTIONS("GODADDY_", "GD_", {NULL}),
	[API_KEY] = {.key = "api_key",
		.env = {"GODADDY_API_KEY", "GD_API_KEY"},
		.type = SETTING_SECRET,
		.required = true,
		.help = "the key of the pair that developer.godaddy.com/keys makes"},
	[API_SECRET] = {.key = "api_secret",
		.env = {"GODADDY_API_SECRET", "GD_API_SECRET"},
		.type = SETTING_SECRET,
		.required = true,
		.help = "the secret of the pair"},
};

static int authorize(const struct dns_job *j, struct dns_call *c, bool again,
	const struct limits *l, struct error *err)
{
	const struct dns_provider *p = j->provider;

	(void)again;
	(void)l;
	(void)err;
	dns_call_header(c, "Authorization", "sso-key %s:%s", dns_value(p, API_KEY),
		dns_value(p, API_SECRET));
	return 0;
}

/* {"code":"INVALID_BODY","message":"...","fields":[{"code","message","path"}],"retryAfterSec":30}
 */
static bool explain(struct dns_reply *r)
{
	struct json_object *fields = answer_member(r->json, "fields", json_type_array), *field,
			   *wait = answer_member(r->json, "retryAfterSec", json_type_int);
	const char *code = answer_text(r->json, "code"), *said = answer_text(r->json, "message"),
		   *path, *detail;
	char message[DNS_MESSAGE_SIZE];

	field = fields ? json_object_array_get_idx(fields, 0) : NULL;
	path = answer_text(field, "path");
	detail = answer_text(field, "message");
	said = said ? said : "";
	if (code && strcmp(code, "ACCESS_DENIED") == 0)
		snprintf(message, sizeof(message),
			"%.80s (GoDaddy closes its API to accounts with fewer than ten domains "
			"and without a Discount Domain Club plan, though the key is right)",
			said);
	else if (detail)
		snprintf(message, sizeof(message), "%.100s: %.60s: %.100s", said, path ? path : "",
			detail);
	else
		snprintf(message, sizeof(message), "%s", said);
	dns_reply_explain(r, code, message);
	if (wait && json_object_get_int64(wait) > r->retry_after_s)
		r->retry_after_s = json_object_get_int64(wait);
	if (r->retry_after_s > YEAR_S)
		r->retry_after_s = YEAR_S;
	return false;
}

static int init(struct dns_provider *p, struct error *err)
{
	struct dns_api *api = p->own = mem_zalloc(sizeof(*api));

	api->authorize = authorize;
	api->explain = explain;
	/* Of each endpoint; all of them together here. */
	return dns_api_init(p, api, BASE_URL, dns_value(p, API_KEY), 60, 60000, err);
}

/* An array of {"type","name","data","ttl"} in r->json. */
static int read_records(const struct dns_job *j, const char *step, const char *path,
	struct dns_reply *r, const struct limits *l, struct error *err)
{
	struct dns_call c = {.step = step, .method = "GET", .path = path};
	int rc = dns_api_call(j, j->provider->own, &c, r, l, err);

	if (rc == 0 && !json_object_is_type(r->json, json_type_array)) {
		error_set(err, "%s: the answer is no list of records", step);
		rc = DNS_AGAIN;
	}
	return rc;
}

/* --- zones --- */

/* A domain of ours is one whose records can be read: /v1/domains/NAME itself is refused to accounts
 * that have few of them. */
static int look(const struct dns_job *j, const char *candidate, struct dns_zone *z,
	const struct limits *l, struct error *err)
{
	char *path = mem_printf("/v1/domains/%s/records/TXT/_acme-challenge", candidate),
	     *step = mem_printf("looking for the domain %s", candidate);
	struct dns_reply r;
	int rc = read_records(j, step, path, &r, l, err);

	if (rc == 0) {
		dns_zone_consider(z, NULL, candidate, candidate, candidate);
		rc = 1;
	} else if (r.http.status == 404 || r.http.status == 422) {
		rc = 0;
	}
	dns_reply_clear(&r);
	free(step);
	free(path);
	return rc;
}

/* The sentence for a name that lies in no zone of the account. */
static int say_missing(
	const struct dns_job *j, const char *name, const struct limits *l, struct error *err)
{
	struct dns_call c = {.step = "listing the domains",
		.method = "GET",
		.path = "/v1/domains?limit=1000",
		.max = LIST_MAX};
	struct dns_zones_seen seen = {0};
	struct dns_zone none = {0};
	struct dns_reply r;
	int rc = dns_api_call(j, j->provider->own, &c, &r, l, err);
	size_t n = rc == 0 && json_object_is_type(r.json, json_type_array)
			   ? json_object_array_length(r.json)
			   : 0;

	for (size_t i = 0; i < n; i++) {
		const char *zone = answer_text(json_object_array_get_idx(r.json, i), "domain");

		if (zone)
			dns_zone_consider(&none, &seen, "", zone, NULL);
	}
	if (rc == 0)
		dns_zone_missing(&seen, name, err);
	else if (r.http.status == 403)
		error_set(err,
			"no zone of this account covers %s (which ones it has GoDaddy does not "
			"tell to accounts with few domains)",
			name);
	dns_reply_clear(&r);
	return -1;
}

static int find_zone(const struct dns_job *j, const char *name, struct dns_zone *z,
	const struct limits *l, struct error *err)
{
	int rc = dns_api_walk(j, name, z, look, l, err);

	return rc ? rc : say_missing(j, name, l, err);
}

/* --- records --- */

/* The name within its zone; "@" = the zone itself. */
static const char *within(const struct dns_txt *t, char out[DNS_NAME_SIZE])
{
	return *dns_relative(t->name, t->zone, out) ? out : "@";
}

/* Never without a name: that would be all TXT records of the zone. */
static char *path_of(const struct dns_txt *t)
{
	char name[DNS_NAME_SIZE];

	return mem_printf("/v1/domains/%s/records/TXT/%s", t->zone, within(t, name));
}

static bool has_value(struct json_object *record, const char *value)
{
	const char *data = answer_text(record, "data");

	return data && dns_is_value(data, value);
}

/* A new array of our records that are not among `there`. */
static struct json_object *missing(
	const struct dns_job *j, struct json_object *there, struct dns_txt *const *v, size_t n)
{
	struct json_object *out = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		struct json_object *o;
		char name[DNS_NAME_SIZE];
		bool found = false;

		for (size_t k = 0; !found && k < json_object_array_length(there); k++)
			found = has_value(json_object_array_get_idx(there, k), v[i]->value);
		if (found)
			continue;
		o = json_object_new_object();
		json_object_object_add(o, "type", json_object_new_string("TXT"));
		json_object_object_add(o, "name", json_object_new_string(within(v[i], name)));
		json_object_object_add(o, "data", json_object_new_string(v[i]->value));
		json_object_object_add(o, "ttl", json_object_new_int64(j->provider->ttl));
		json_object_array_add(out, o);
	}
	return out;
}

/* Appends those of `there` that are not ours, as they are; returns how many are. An empty value is
 * what other programs leave behind where they cannot remove. */
static size_t add_others(
	struct json_object *to, struct json_object *there, struct dns_txt *const *v, size_t n)
{
	size_t n_ours = 0;

	for (size_t k = 0; k < json_object_array_length(there); k++) {
		struct json_object *o = json_object_array_get_idx(there, k);
		const char *data = answer_text(o, "data");
		bool ours = false;

		for (size_t i = 0; !ours && i < n; i++)
			ours = has_value(o, v[i]->value);
		n_ours += ours;
		if (!ours && data && *data)
			json_object_array_add(to, json_object_get(o));
	}
	return n_ours;
}

/* Puts records to those that are there (PATCH), or in the place of all at the name (PUT, DELETE).
 * The status, where there was an answer. */
static int write_records(const struct dns_job *j, struct dns_call *c, const struct dns_txt *t,
	struct json_object *records, long *status, const struct limits *l, struct error *err)
{
	bool patch = strcmp(c->method, "PATCH") == 0;
	char *path = patch ? mem_printf("/v1/domains/%s/records", t->zone) : path_of(t);
	struct dns_reply r;
	int rc;

	c->path = path;
	c->adds = patch;
	c->body = json_object_array_length(records) ? json_object_to_json_string(records) : NULL;
	rc = dns_api_call(j, j->provider->own, c, &r, l, err);
	*status = r.http.status;
	if (rc < 0 && strcmp(r.code, "DUPLICATE_RECORD") == 0) /* since we have read */
		rc = DNS_AGAIN;
	dns_reply_clear(&r);
	free(path);
	return rc;
}

/* Others' records are not written again, unless the account may do nothing else. */
static int add(const struct dns_job *j, struct json_object *there, struct dns_txt *const *v,
	size_t n, const struct limits *l, struct error *err)
{
	char *step = mem_printf("adding the TXT record of %s", v[0]->name);
	struct dns_call patch = {.step = step, .method = "PATCH"},
			put = {.step = step, .method = "PUT"};
	struct json_object *records = missing(j, there, v, n);
	long status = 0;
	int rc = 0;

	if (json_object_array_length(records))
		rc = write_records(j, &patch, v[0], records, &status, l, err);
	if (status == 403) {
		add_others(records, there, v, 0);
		rc = write_records(j, &put, v[0], records, &status, l, err);
	}
	json_object_put(records);
	free(step);
	return rc;
}

static int take_out(const struct dns_job *j, struct json_object *there, struct dns_txt *const *v,
	size_t n, const struct limits *l, struct error *err)
{
	char *step = mem_printf("removing the TXT record of %s", v[0]->name);
	struct json_object *records = json_object_new_array();
	bool found = add_others(records, there, v, n), rest = json_object_array_length(records);
	struct dns_call c = {.step = step, .method = rest ? "PUT" : "DELETE"};
	long status = 0;
	int rc = found ? write_records(j, &c, v[0], records, &status, l, err) : 0;

	if (rc < 0 && !rest && status == 404) /* gone already */
		rc = 0;
	json_object_put(records);
	free(step);
	return rc;
}

/* One order after the other, from reading to writing. */
static int change(const struct dns_job *j, struct dns_txt *const *v, size_t n, bool adds,
	const struct limits *l, struct error *err)
{
	const struct dns_api *api = j->provider->own;
	char *path = path_of(v[0]), *step = mem_printf("reading the TXT records of %s", v[0]->name);
	struct dns_reply r = {0};
	int rc = http_account_enter(api->account, HTTP_CHANGE, l, err);

	if (rc == 0) {
		rc = read_records(j, step, path, &r, l, err);
		if (rc == 0)
			rc = (adds ? add : take_out)(j, r.json, v, n, l, err);
		http_account_leave(api->account, HTTP_CHANGE);
	}
	dns_reply_clear(&r);
	free(step);
	free(path);
	return rc;
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

const struct dns_ops dns_godaddy = {
	.help = "GoDaddy",
	.options = options,
	.n_options = N_OPTIONS,
	.ttl = 600,
	.ttl_min = 600,
	.patience = {.timeout_ms = 120000, .interval_ms = 2000},
	.init = init,
	.clear = dns_api_free,
	.batch = DNS_PER_NAME,
	.present = present,
	.cleanup = cleanup,
	.find_zone = find_zone,
};
