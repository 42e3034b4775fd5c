/* The provider `gcloud`: Google Cloud DNS, version 1. Whole sets are replaced, all those of a zone
 * in one change, which fails when a set is another by then than the one that was read. */
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "base/mem.h"
#include "cloud/google.h"
#include "dns/sets.h"

#define BASE_URL  "https://dns.googleapis.com"
#define SCOPE     "https://www.googleapis.com/auth/ndev.clouddns.readwrite"
#define LIST_MAX  ((size_t)4 << 20)
#define PAGES_MAX 100

enum {
	ZONE_ID = DNS_BASE_URL + GOOGLE_N_SETTINGS,
	ALLOW_PRIVATE_ZONE,
	N_OPTIONS,
};

static const struct setting options[N_OPTIONS] = {
	DNS_API_OPTIONS("GCE_", "GCE_", {NULL}),
	GOOGLE_SETTINGS(DNS_BASE_URL),
	[ZONE_ID] = {.key = "zone_id",
		.env = {"GCE_ZONE_ID"},
		.help = "the managed zone's name or number, so that none needs to be listed"},
	[ALLOW_PRIVATE_ZONE] = {.key = "allow_private_zone",
		.env = {"GCE_ALLOW_PRIVATE_ZONE"},
		.type = SETTING_BOOL,
		.fallback = "false",
		.help = "takes a private zone where there is no public one"},
};

static void clear(struct dns_provider *p)
{
	google_clear(p->own);
	free(p->own);
}

static int init(struct dns_provider *p, struct error *err)
{
	p->own = mem_zalloc(sizeof(struct google));
	return google_init(p->own, &p->values[DNS_BASE_URL], p->name, BASE_URL, SCOPE, err);
}

static int ask(
	const struct dns_job *j, struct http_call *c, struct http_reply *r, struct error *err)
{
	return google_ask(j->provider->own, c, r, &j->limits, err);
}

/* --- zones --- */

struct look {
	const char *name; /* "" = all zones */
	size_t n[2];      /* how often it is there: as a public zone, as a private one */
	char *id[2];      /* what the last of them is called */
	struct dns_zones_seen seen;
};

static void on_zone(struct look *look, struct json_object *o)
{
	const char *name = answer_text(o, "dnsName"), *id = answer_text(o, "name"),
		   *visibility = answer_text(o, "visibility");
	bool is_private = visibility && strcmp(visibility, "private") == 0;
	struct dns_zone z = {0};

	if (!name || !id)
		return;
	dns_zone_consider(&z, is_private ? NULL : &look->seen, look->name, name, id);
	if (z.id && strcmp(z.name, look->name) == 0) {
		look->n[is_private]++;
		free(look->id[is_private]);
		look->id[is_private] = mem_strdup(z.id);
	}
	free(z.id);
}

/* All pages; one may be empty, and not be the last. */
static int list_zones(const struct dns_job *j, struct look *look, struct error *err)
{
	char *project = google_project(j->provider->own, &j->limits, err), *page = NULL;
	int rc = project ? 0 : -1;

	for (unsigned n = 0; rc == 0 && n < PAGES_MAX && (n == 0 || page); n++) {
		struct http_call c = {.method = "GET", .max = LIST_MAX};
		struct json_object *zones;
		struct http_reply r;

		str_addf(&c.path, "/dns/v1/projects/");
		enc_url(&c.path, project);
		str_addf(&c.path, "/managedZones?maxResults=100");
		if (*look->name) {
			str_addf(&c.step, "looking for the zone %s in the project %s", look->name,
				project);
			http_add_field(&c.path, "dnsName", look->name);
			str_addf(&c.path, ".");
		} else {
			str_addf(&c.step, "listing the zones of the project %s", project);
		}
		if (page)
			http_add_field(&c.path, "pageToken", page);
		rc = ask(j, &c, &r, err);
		zones = answer_member(r.json, "managedZones", json_type_array);
		for (size_t i = 0; rc == 0 && zones && i < json_object_array_length(zones); i++)
			on_zone(look, json_object_array_get_idx(zones, i));
		free(page);
		page = mem_strdup(answer_text(r.json, "nextPageToken"));
		http_reply_clear(&r);
	}
	free(page);
	free(project);
	return rc;
}

static int look_for(
	const struct dns_job *j, const char *candidate, struct dns_zone *z, struct error *err)
{
	struct look look = {.name = candidate};
	int rc = list_zones(j, &look, err);
	bool is_private = !look.n[0] && dns_is_true(j->provider, ALLOW_PRIVATE_ZONE);

	if (rc == 0 && look.n[is_private] > 1)
		rc = error_set(err, "the zone %s is there %zu times in the project: set zone_id",
			candidate, look.n[is_private]);
	else if (rc == 0 && look.n[is_private])
		dns_zone_consider(z, NULL, candidate, candidate, look.id[is_private]);
	free(look.id[0]);
	free(look.id[1]);
	str_clear(&look.seen.names);
	return rc < 0 ? -1 : z->id != NULL;
}

static int find_zone(
	const struct dns_job *j, const char *name, struct dns_zone *z, struct error *err)
{
	struct look all = {.name = ""};
	int rc;

	if (dns_value(j->provider, ZONE_ID)) /* its name is public DNS's to say */
		return 0;
	rc = dns_api_walk(j, name, z, look_for, err);
	if (rc)
		return rc;
	if (list_zones(j, &all, err) == 0)
		dns_zone_missing(&all.seen, name, err);
	str_clear(&all.seen.names);
	return -1;
}

/* Where the record's zone is, with its sets and changes. -1 with a sentence. */
static int add_path(
	struct str *path, const struct dns_job *j, const struct dns_txt *t, struct error *err)
{
	const char *id = t->zone_id ? t->zone_id : dns_value(j->provider, ZONE_ID);
	char *project = id ? google_project(j->provider->own, &j->limits, err) : NULL;

	if (!id)
		error_set(err, "zone_id is missing: the record was made while it was set");
	if (!project)
		return -1;
	str_addf(path, "/dns/v1/projects/");
	enc_url(path, project);
	str_addf(path, "/managedZones/");
	enc_url(path, id);
	free(project);
	return 0;
}

/* --- sets --- */

/* Takes in a set, when it can be written again with other values: all of it is text, and nothing
 * else is. */
static int take_set(struct json_object *shown, struct dns_set *s, struct error *err)
{
	struct json_object *values = answer_member(shown, "rrdatas", json_type_array),
			   *ttl = answer_member(shown, "ttl", json_type_int);

	if (answer_member(shown, "routingPolicy", json_type_object))
		return error_set(err,
			"the TXT records of %s have a routing policy, which is not lintel's to "
			"change",
			s->t->name);
	if (!values || !ttl)
		return error_set(
			err, "the TXT records of %s have no ttl, or no rrdatas", s->t->name);
	for (size_t i = 0; i < json_object_array_length(values); i++) {
		struct json_object *value = json_object_array_get_idx(values, i);

		if (!json_object_is_type(value, json_type_string))
			return error_set(err, "a TXT record of %s is no text", s->t->name);
		dns_set_add(&s->old, json_object_get_string(value));
	}
	s->ttl = (uint32_t)json_object_get_int64(ttl);
	s->shown = json_object_get(shown);
	return 0;
}

static int read_set(const struct dns_job *j, struct dns_set *s, struct error *err)
{
	struct http_call c = {.method = "GET"};
	struct json_object *shown;
	struct http_reply r;
	int rc;

	if (add_path(&c.path, j, s->t, err) < 0)
		return -1;
	str_addf(&c.step, "reading the TXT records of %s", s->t->name);
	str_addf(&c.path, "/rrsets?type=TXT&name=");
	enc_url(&c.path, s->t->name);
	str_addf(&c.path, ".");
	rc = ask(j, &c, &r, err);
	shown = answer_member(r.json, "rrsets", json_type_array);
	shown = rc == 0 && shown ? json_object_array_get_idx(shown, 0) : NULL;
	if (shown)
		rc = take_set(shown, s, err);
	http_reply_clear(&r);
	return rc;
}

/* What the set is to be: with the TTL of the old one, where there is one. */
static struct json_object *make_set(const struct dns_set *s)
{
	struct json_object *o = json_object_new_object(), *v = json_object_new_array();
	char *full = mem_printf("%s.", s->t->name);

	for (size_t i = 0; i < s->wanted.n; i++)
		json_object_array_add(v, json_object_new_string(s->wanted.v[i]));
	http_json_add(o, "name", full);
	http_json_add(o, "type", "TXT");
	json_object_object_add(o, "ttl", json_object_new_int64(s->ttl));
	json_object_object_add(o, "rrdatas", v);
	free(full);
	return o;
}

/* The old ones go, as they were shown, and the new ones come. */
static int write_sets(const struct dns_job *j, struct dns_change *change, struct error *err)
{
	struct http_call c = {.method = "POST", .adds = true};
	struct json_object *gone, *come;
	const char *status;
	struct http_reply r;
	int rc;

	if (add_path(&c.path, j, change->v[0], err) < 0)
		return -1;
	str_addf(&c.path, "/changes");
	str_addf(&c.step, "%s the TXT records of %s%s", change->add ? "adding" : "removing",
		change->v[0]->name, change->n_v > 1 ? " and others" : "");
	c.json = json_object_new_object();
	json_object_object_add(c.json, "deletions", gone = json_object_new_array());
	json_object_object_add(c.json, "additions", come = json_object_new_array());
	for (size_t i = 0; i < change->n; i++) {
		const struct dns_set *s = &change->sets[i];

		if (s->shown)
			json_object_array_add(gone, json_object_get(s->shown));
		if (s->wanted.n)
			json_object_array_add(come, make_set(s));
	}
	rc = ask(j, &c, &r, err);
	status = answer_text(r.json, "status");
	if (rc == 0 && status && strcmp(status, "pending") == 0)
		change->id = mem_strdup(answer_text(r.json, "id"));
	if (rc == -1 && (r.http.status == 404 || r.http.status == 409 || r.http.status == 412))
		rc = DNS_CONFLICT;
	http_reply_clear(&r);
	return rc;
}

static int is_everywhere(
	const struct dns_job *j, const struct dns_change *change, struct error *err)
{
	struct http_call c = {.method = "GET"};
	const char *status;
	struct http_reply r;
	int rc;

	if (add_path(&c.path, j, change->v[0], err) < 0)
		return -1;
	str_addf(&c.step, "asking whether Google's name servers have the change");
	str_addf(&c.path, "/changes/");
	enc_url(&c.path, change->id);
	rc = ask(j, &c, &r, err);
	status = answer_text(r.json, "status");
	if (rc == 0)
		rc = status && strcmp(status, "pending") != 0;
	http_reply_clear(&r);
	return rc;
}

static const struct dns_sets_ops sets = {
	.read = read_set,
	.write = write_sets,
	.is_done = is_everywhere,
	.late = "Google's name servers still do not have the change: propagation_timeout may be "
		"too short",
};

const struct dns_ops dns_gcloud = {
	.help = "Google Cloud DNS",
	.options = options,
	.n_options = N_OPTIONS,
	.ttl = 120,
	.patience = {.timeout_ms = 180000, .interval_ms = 5000},
	.init = init,
	.clear = clear,
	.batch = DNS_PER_ZONE,
	.sets = &sets,
	.present = dns_sets_present,
	.cleanup = dns_sets_cleanup,
	.find_zone = find_zone,
};
