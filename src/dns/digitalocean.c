/* The provider `digitalocean`: its API, version 2. Records are added and removed one by one; a
 * second one with the same value is taken without a word. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "dns/api.h"

#define BASE_URL "https://api.digitalocean.com"
#define HOUR_S   3600

enum {
	AUTH_TOKEN = DNS_API_OWN_OPTIONS,
	N_OPTIONS,
};

static const struct setting options[N_OPTIONS] = {
	DNS_API_OPTIONS("DO_", "DIGITALOCEAN_", {"DO_API_URL"}),
	[AUTH_TOKEN] = {.key = "auth_token",
		.env = {"DO_AUTH_TOKEN", "DO_API_TOKEN", "DIGITALOCEAN_TOKEN"},
		.type = SETTING_SECRET,
		.required = true,
		.help = "a personal access token that may read, create and delete domain records"},
};

static int authorize(const struct dns_job *j, struct dns_call *c, bool again,
	const struct limits *l, struct error *err)
{
	(void)again;
	(void)l;
	(void)err;
	dns_call_bearer(c, dns_value(j->provider, AUTH_TOKEN));
	return 0;
}

/* 0 when that is over; an hour at most. */
static int64_t seconds_until(const char *unix_s)
{
	int64_t at = strtoll(unix_s, NULL, 10), now = clock_wall_s();

	return at <= now ? 0 : at - now > HOUR_S ? HOUR_S : at - now;
}

/* {"id":"unauthorized","message":"...","request_id":"..."} */
static bool explain(struct dns_reply *r)
{
	const char *reset = fetch_header(&r->http, "ratelimit-reset", 0);

	dns_reply_explain(r, answer_text(r->json, "id"), answer_text(r->json, "message"));
	/* The limit of an hour says by this alone, in Unix seconds, when it ends. */
	if (r->http.status == 429 && reset && !r->retry_after_s)
		r->retry_after_s = seconds_until(reset);
	return false;
}

static int init(struct dns_provider *p, struct error *err)
{
	struct dns_api *api = p->own = mem_zalloc(sizeof(*api));

	api->authorize = authorize;
	api->explain = explain;
	/* 250 requests in a minute with a token (and 5000 in an hour). */
	return dns_api_init(p, api, BASE_URL, dns_value(p, AUTH_TOKEN), 250, 60000, err);
}

/* --- zones --- */

static int look(const struct dns_job *j, const char *candidate, struct dns_zone *z,
	const struct limits *l, struct error *err)
{
	char *path = mem_printf("/v2/domains/%s", candidate),
	     *step = mem_printf("looking for the domain %s", candidate);
	struct dns_call c = {.step = step, .method = "GET", .path = path};
	struct dns_reply r;
	int rc = dns_api_call(j, j->provider->own, &c, &r, l, err);

	if (rc == 0) {
		dns_zone_consider(z, NULL, candidate, candidate, candidate);
		rc = 1;
	} else if (r.http.status == 404) {
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
	struct dns_call c = {
		.step = "listing the domains", .method = "GET", .path = "/v2/domains?per_page=200"};
	struct dns_zones_seen seen = {0};
	struct dns_zone none = {0};
	struct json_object *domains;
	struct dns_reply r;

	if (dns_api_call(j, j->provider->own, &c, &r, l, err) == 0) {
		domains = answer_member(r.json, "domains", json_type_array);
		for (size_t i = 0; domains && i < json_object_array_length(domains); i++) {
			const char *zone =
				answer_text(json_object_array_get_idx(domains, i), "name");

			if (zone)
				dns_zone_consider(&none, &seen, "", zone, NULL);
		}
		dns_zone_missing(&seen, name, err);
	}
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

/* The name's TXT records: *out, borrowed from `r`. The filter wants the whole name, though the
 * answer has what it is called within the zone. */
static int read_records(const struct dns_job *j, const struct dns_txt *t, struct dns_reply *r,
	struct json_object **out, const struct limits *l, struct error *err)
{
	char *path = mem_printf(
		     "/v2/domains/%s/records?type=TXT&per_page=200&name=%s", t->zone, t->name),
	     *step = mem_printf("reading the TXT records of %s", t->name);
	struct dns_call c = {.step = step, .method = "GET", .path = path};
	int rc = dns_api_call(j, j->provider->own, &c, r, l, err);

	*out = answer_member(r->json, "domain_records", json_type_array);
	if (rc == 0 && !*out) {
		error_set(err, "%s: the answer has no list of records", step);
		rc = DNS_AGAIN;
	}
	free(step);
	free(path);
	return rc;
}

static bool is_record_of(struct json_object *record, const char *value)
{
	const char *data = answer_text(record, "data");

	return data && dns_is_value(data, value);
}

static int add_record(
	const struct dns_job *j, const struct dns_txt *t, const struct limits *l, struct error *err)
{
	struct json_object *o = json_object_new_object();
	/* With a dot at its end: else the zone is put behind it. */
	char *name = mem_printf("%s.", t->name),
	     *path = mem_printf("/v2/domains/%s/records", t->zone),
	     *step = mem_printf("adding the TXT record of %s", t->name);
	struct dns_call c = {.step = step, .method = "POST", .path = path, .adds = true};
	struct dns_reply r;
	int rc;

	json_object_object_add(o, "type", json_object_new_string("TXT"));
	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "data", json_object_new_string(t->value));
	json_object_object_add(o, "ttl", json_object_new_int64(j->provider->ttl));
	c.body = json_object_to_json_string(o);
	rc = dns_api_call(j, j->provider->own, &c, &r, l, err);
	dns_reply_clear(&r);
	json_object_put(o);
	free(step);
	free(path);
	free(name);
	return rc;
}

static int delete_record(const struct dns_job *j, const struct dns_txt *t, int64_t id,
	const struct limits *l, struct error *err)
{
	char *path = mem_printf("/v2/domains/%s/records/%" PRId64, t->zone, id),
	     *step = mem_printf("removing the TXT record of %s", t->name);
	struct dns_call c = {.step = step, .method = "DELETE", .path = path};
	struct dns_reply r;
	int rc = dns_api_call(j, j->provider->own, &c, &r, l, err);

	if (rc < 0 && r.http.status == 404) /* gone already */
		rc = 0;
	dns_reply_clear(&r);
	free(step);
	free(path);
	return rc;
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n,
	const struct limits *l, struct error *err)
{
	struct json_object *records;
	struct dns_reply r;
	int rc = read_records(j, v[0], &r, &records, l, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		bool there = false;

		for (size_t k = 0; !there && k < json_object_array_length(records); k++)
			there = is_record_of(json_object_array_get_idx(records, k), v[i]->value);
		if (!there)
			rc = add_record(j, v[i], l, err);
	}
	dns_reply_clear(&r);
	return rc;
}

/* All records with the value: others that asked for the same may have added a second one. */
static int cleanup_one(const struct dns_job *j, const struct dns_txt *t,
	struct json_object *records, const struct limits *l, struct error *err)
{
	int rc = 0;

	for (size_t k = 0; rc == 0 && k < json_object_array_length(records); k++) {
		struct json_object *o = json_object_array_get_idx(records, k),
				   *id = answer_member(o, "id", json_type_int);

		if (id && is_record_of(o, t->value))
			rc = delete_record(j, t, json_object_get_int64(id), l, err);
	}
	return rc;
}

static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n,
	const struct limits *l, struct error *err)
{
	struct json_object *records;
	struct dns_reply r;
	int rc = read_records(j, v[0], &r, &records, l, err);

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = cleanup_one(j, v[i], records, l, err);
	dns_reply_clear(&r);
	return rc;
}

const struct dns_ops dns_digitalocean = {
	.help = "DigitalOcean",
	.options = options,
	.n_options = N_OPTIONS,
	.ttl = 30,
	.ttl_min = 30,
	.patience = {.timeout_ms = 60000, .interval_ms = 5000},
	.init = init,
	.clear = dns_api_free,
	.batch = DNS_PER_NAME,
	.present = present,
	.cleanup = cleanup,
	.find_zone = find_zone,
};
