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

static int authorize(
	const void *arg, struct http_call *c, bool again, const struct limits *l, struct error *err)
{
	(void)again;
	(void)l;
	(void)err;
	http_call_bearer(c, dns_value(arg, AUTH_TOKEN));
	return 0;
}

/* 0 when that is over; an hour at most. */
static int64_t seconds_until(const char *unix_s)
{
	int64_t at = strtoll(unix_s, NULL, 10), now = clock_wall_s();

	return at <= now ? 0 : at - now > HOUR_S ? HOUR_S : at - now;
}

/* {"id":"unauthorized","message":"...","request_id":"..."} */
static bool explain(struct http_reply *r)
{
	const char *reset = fetch_header(&r->http, "ratelimit-reset", 0);

	http_reply_explain(r, answer_text(r->json, "id"), answer_text(r->json, "message"));
	/* The limit of an hour says by this alone, in Unix seconds, when it ends. */
	if (r->http.status == 429 && reset && !r->retry_after_s)
		r->retry_after_s = seconds_until(reset);
	return false;
}

static int init(struct dns_provider *p, struct error *err)
{
	struct http_api *api = p->own = mem_zalloc(sizeof(*api));

	api->authorize = authorize;
	api->explain = explain;
	/* 250 requests in a minute with a token (and 5000 in an hour). */
	return dns_api_init(p, api, BASE_URL, dns_value(p, AUTH_TOKEN), 250, 60000, err);
}

/* --- zones --- */

static int look(
	const struct dns_job *j, const char *candidate, struct dns_zone *z, struct error *err)
{
	struct http_call c = {.method = "GET"};
	struct http_reply r;
	int rc;

	str_addf(&c.step, "looking for the domain %s", candidate);
	str_addf(&c.path, "/v2/domains/%s", candidate);
	rc = dns_send(j, &c, &r, err);
	if (rc == 0) {
		dns_zone_consider(z, NULL, candidate, candidate, candidate);
		rc = 1;
	} else if (r.http.status == 404) {
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
	str_addf(&c.path, "/v2/domains?per_page=200");
	return dns_zone_not_listed(j, &c, "domains", "name", name, err);
}

static int find_zone(
	const struct dns_job *j, const char *name, struct dns_zone *z, struct error *err)
{
	int rc = dns_api_walk(j, name, z, look, err);

	return rc ? rc : say_missing(j, name, err);
}

/* --- records --- */

/* The name's TXT records: a new array. The filter wants the whole name, though the answer has what
 * it is called within the zone. */
static int read_records(const struct dns_job *j, const struct dns_txt *t,
	struct json_object **records, struct error *err)
{
	char *step = mem_printf("reading the TXT records of %s", t->name),
	     *path = mem_printf("/v2/domains/%s/records?type=TXT&name=%s", t->zone, t->name);
	int rc = dns_read_pages(j, step, path, "domain_records", records, err);

	free(step);
	free(path);
	return rc;
}

static bool is_record_of(struct json_object *record, const char *value)
{
	const char *data = answer_text(record, "data");

	return data && dns_is_value(data, value);
}

static int add_record(const struct dns_job *j, const struct dns_txt *t, struct error *err)
{
	struct http_call c = {.method = "POST", .adds = true};
	/* With a dot at its end: else the zone is put behind it. */
	char *name = mem_printf("%s.", t->name);
	int rc;

	str_addf(&c.step, "adding the TXT record of %s", t->name);
	str_addf(&c.path, "/v2/domains/%s/records", t->zone);
	c.json = dns_json_record(name, "data", t->value, j->provider->ttl);
	rc = dns_command(j, &c, err);
	free(name);
	return rc;
}

static int delete_record(
	const struct dns_job *j, const struct dns_txt *t, int64_t id, struct error *err)
{
	struct http_call c = {.method = "DELETE"};

	str_addf(&c.step, "removing the TXT record of %s", t->name);
	str_addf(&c.path, "/v2/domains/%s/records/%" PRId64, t->zone, id);
	return dns_command(j, &c, err);
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	struct json_object *records;
	int rc = read_records(j, v[0], &records, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		bool there = false;

		for (size_t k = 0; !there && k < json_object_array_length(records); k++)
			there = is_record_of(json_object_array_get_idx(records, k), v[i]->value);
		if (!there)
			rc = add_record(j, v[i], err);
	}
	json_object_put(records);
	return rc;
}

/* All records with the value: others that asked for the same may have added a second one. */
static int cleanup_one(const struct dns_job *j, const struct dns_txt *t,
	struct json_object *records, struct error *err)
{
	int rc = 0;

	for (size_t k = 0; rc == 0 && k < json_object_array_length(records); k++) {
		struct json_object *o = json_object_array_get_idx(records, k),
				   *id = answer_member(o, "id", json_type_int);

		if (id && is_record_of(o, t->value))
			rc = delete_record(j, t, json_object_get_int64(id), err);
	}
	return rc;
}

static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	struct json_object *records;
	int rc = read_records(j, v[0], &records, err);

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = cleanup_one(j, v[i], records, err);
	json_object_put(records);
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
