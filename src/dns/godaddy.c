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

static int authorize(
	const void *arg, struct http_call *c, bool again, const struct limits *l, struct error *err)
{
	const struct dns_provider *p = arg;

	(void)again;
	(void)l;
	(void)err;
	http_call_header(c, "Authorization", "sso-key %s:%s", dns_value(p, API_KEY),
		dns_value(p, API_SECRET));
	return 0;
}

/* {"code":"INVALID_BODY","message":"...","fields":[{"code","message","path"}],"retryAfterSec":30}
 */
static bool explain(struct http_reply *r)
{
	struct json_object *fields = answer_member(r->json, "fields", json_type_array), *field,
			   *wait = answer_member(r->json, "retryAfterSec", json_type_int);
	const char *code = answer_text(r->json, "code"), *said = answer_text(r->json, "message"),
		   *path, *detail;
	char message[HTTP_MESSAGE_SIZE];

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
	http_reply_explain(r, code, message);
	if (wait && json_object_get_int64(wait) > r->retry_after_s)
		r->retry_after_s = json_object_get_int64(wait);
	return false;
}

static int init(struct dns_provider *p, struct error *err)
{
	struct http_api *api = p->own = mem_zalloc(sizeof(*api));

	api->authorize = authorize;
	api->explain = explain;
	/* Of each endpoint; all of them together here. */
	return dns_api_init(p, api, BASE_URL, dns_value(p, API_KEY), 60, 60000, err);
}

/* --- zones --- */

/* A domain of ours is one whose records can be read: /v1/domains/NAME itself is refused to accounts
 * that have few of them. */
static int look(
	const struct dns_job *j, const char *candidate, struct dns_zone *z, struct error *err)
{
	struct http_call c = {.method = "GET"};
	struct json_object *records;
	struct http_reply r;
	int rc;

	str_addf(&c.step, "looking for the domain %s", candidate);
	str_addf(&c.path, "/v1/domains/%s/records/TXT/_acme-challenge", candidate);
	rc = dns_read_list(j, &c, NULL, &r, &records, err);
	if (rc == 0) {
		dns_zone_consider(z, NULL, candidate, candidate, candidate);
		rc = 1;
	} else if (r.http.status == 404 || r.http.status == 422) {
		rc = 0;
	}
	http_reply_clear(&r);
	return rc;
}

/* The sentence for a name that lies in no zone of the account. */
static int say_missing(const struct dns_job *j, const char *name, struct error *err)
{
	struct http_call c = {.method = "GET"};

	str_addf(&c.step, "listing the domains");
	str_addf(&c.path, "/v1/domains?limit=1000");
	return dns_zone_not_listed(j, &c, NULL, "domain", name, err);
}

static int find_zone(
	const struct dns_job *j, const char *name, struct dns_zone *z, struct error *err)
{
	int rc = dns_api_walk(j, name, z, look, err);

	return rc ? rc : say_missing(j, name, err);
}

/* --- records --- */

/* Never without a name: that would be all TXT records of the zone. */
static void add_path(struct str *path, const struct dns_txt *t)
{
	char name[DNS_NAME_SIZE];

	str_addf(path, "/v1/domains/%s/records/TXT/%s", t->zone, dns_relative_or_at(t, name));
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
		char name[DNS_NAME_SIZE];
		bool found = false;

		for (size_t k = 0; !found && k < json_object_array_length(there); k++)
			found = has_value(json_object_array_get_idx(there, k), v[i]->value);
		if (found)
			continue;
		json_object_array_add(out, dns_json_record(dns_relative_or_at(v[i], name), "data",
						   v[i]->value, j->provider->ttl));
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
static int write_records(const struct dns_job *j, const char *doing, const char *method,
	const struct dns_txt *t, struct json_object *records, long *status, struct error *err)
{
	struct http_call c = {.method = method, .adds = strcmp(method, "PATCH") == 0};
	struct http_reply r;
	int rc;

	str_addf(&c.step, "%s the TXT record of %s", doing, t->name);
	if (c.adds)
		str_addf(&c.path, "/v1/domains/%s/records", t->zone);
	else
		add_path(&c.path, t);
	if (json_object_array_length(records))
		c.json = json_object_get(records);
	rc = dns_send(j, &c, &r, err);
	*status = r.http.status;
	if (rc < 0 && strcmp(r.code, "DUPLICATE_RECORD") == 0) /* since we have read */
		rc = DNS_AGAIN;
	http_reply_clear(&r);
	return rc;
}

/* Others' records are not written again, unless the account may do nothing else. */
static int add(const struct dns_job *j, struct json_object *there, struct dns_txt *const *v,
	size_t n, struct error *err)
{
	struct json_object *records = missing(j, there, v, n);
	long status = 0;
	int rc = 0;

	if (json_object_array_length(records))
		rc = write_records(j, "adding", "PATCH", v[0], records, &status, err);
	if (status == 403) {
		add_others(records, there, v, 0);
		rc = write_records(j, "adding", "PUT", v[0], records, &status, err);
	}
	json_object_put(records);
	return rc;
}

static int take_out(const struct dns_job *j, struct json_object *there, struct dns_txt *const *v,
	size_t n, struct error *err)
{
	struct json_object *records = json_object_new_array();
	bool found = add_others(records, there, v, n), rest = json_object_array_length(records);
	long status = 0;
	int rc = 0;

	if (found)
		rc = write_records(
			j, "removing", rest ? "PUT" : "DELETE", v[0], records, &status, err);
	if (rc < 0 && !rest && status == 404) /* gone already */
		rc = 0;
	json_object_put(records);
	return rc;
}

/* One order after the other, from reading to writing. */
static int change(
	const struct dns_job *j, struct dns_txt *const *v, size_t n, bool adds, struct error *err)
{
	const struct http_api *api = j->provider->own;
	struct http_call c = {.method = "GET"};
	struct json_object *there;
	struct http_reply r;
	int rc;

	if (http_account_enter(api->account, HTTP_CHANGE, &j->limits, err) < 0)
		return -1;
	str_addf(&c.step, "reading the TXT records of %s", v[0]->name);
	add_path(&c.path, v[0]);
	rc = dns_read_list(j, &c, NULL, &r, &there, err);
	if (rc == 0)
		rc = (adds ? add : take_out)(j, there, v, n, err);
	http_reply_clear(&r);
	http_account_leave(api->account, HTTP_CHANGE);
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
