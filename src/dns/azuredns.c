/* The provider `azuredns`: Azure DNS by the Resource Manager's API. Whole sets are written, each
 * with the etag that was read, so that what others do meanwhile is not lost. A zone's id is its
 * path in the API. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/enc.h"
#include "base/mem.h"
#include "cloud/azure.h"
#include "dns/sets.h"

enum {
	ZONE_NAME = DNS_BASE_URL + AZURE_N_SETTINGS,
	PRIVATE_ZONE,
	N_OPTIONS,
};

static const struct setting options[N_OPTIONS] = {
	DNS_API_OPTIONS("AZURE_", "AZUREDNS_", {NULL}),
	AZURE_SETTINGS(DNS_BASE_URL),
	[ZONE_NAME] = {.key = "zone_name",
		.env = {"AZURE_ZONE_NAME"},
		.help = "the zone, instead of the longest one that covers the name"},
	[PRIVATE_ZONE] = {.key = "private_zone",
		.env = {"AZURE_PRIVATE_ZONE"},
		.type = SETTING_BOOL,
		.fallback = "false",
		.help = "the zones are private ones"},
};

static void clear(struct dns_provider *p)
{
	azure_clear(p->own);
	free(p->own);
}

static int init(struct dns_provider *p, struct error *err)
{
	const struct conf_strings *zone_name = &p->values[ZONE_NAME].list;
	char *zone = zone_name->n ? zone_name->v[0] : NULL;

	p->own = mem_zalloc(sizeof(struct azure));
	if (zone && zone[strlen(zone) - 1] == '.')
		zone[strlen(zone) - 1] = '\0';
	if (zone)
		str_lower(zone);
	return azure_init(p->own, &p->values[DNS_BASE_URL], p->name, err);
}

/* Public and private zones are two kinds of resources, which have versions of their own. */
static bool is_private(const struct dns_job *j)
{
	return dns_is_true(j->provider, PRIVATE_ZONE);
}

static const char *kind(const struct dns_job *j)
{
	return is_private(j) ? "Microsoft.Network/privateDnsZones" : "Microsoft.Network/dnsZones";
}

static const char *version(const struct dns_job *j)
{
	return is_private(j) ? "2020-06-01" : "2018-05-01";
}

/* --- zones --- */

struct search {
	const char *name, *only; /* `only`: the zone as the options say; NULL = any */
	struct dns_zone *zone;
	struct dns_zones_seen seen;
	char *twin; /* the id of another zone that is called as the one that was found */
};

static bool take_zone(void *arg, struct json_object *o)
{
	struct search *s = arg;
	const char *id = answer_text(o, "id"), *zone = answer_text(o, "name"),
		   *type = answer_text(
			   answer_member_any_case(o, "properties", json_type_object), "zoneType");
	size_t before = strlen(s->zone->name);

	/* Before private zones had a kind of their own they were listed with the others. */
	if (!id || *id != '/' || !zone || (type && strcasecmp(type, "Private") == 0))
		return false;
	if (s->only && strcasecmp(s->only, zone) != 0)
		return false;
	if (s->zone->id && strcasecmp(zone, s->zone->name) == 0 &&
		strcasecmp(id, s->zone->id) != 0) {
		free(s->twin);
		s->twin = mem_strdup(id);
	}
	dns_zone_consider(s->zone, &s->seen, s->name, zone, id);
	if (strlen(s->zone->name) != before) {
		free(s->twin);
		s->twin = NULL;
	}
	return true;
}

static int decide(const struct dns_job *j, struct search *s, struct error *err)
{
	if (s->twin)
		return error_set(err,
			"the zone %s is there twice, as %.300s and %.300s: set subscription_id and "
			"resource_group",
			s->zone->name, s->zone->id, s->twin);
	if (s->zone->id)
		return 1;
	if (s->only && !s->seen.n)
		return error_set(err,
			"zone_name: there is no zone %s%s that these credentials may see", s->only,
			is_private(j) ? " among the private ones" : "");
	return dns_zone_missing(&s->seen, s->name, err);
}

static int find_zone(
	const struct dns_job *j, const char *name, struct dns_zone *z, struct error *err)
{
	const struct azure *a = j->provider->own;
	/* Of which the zone is known, or public DNS can tell it, where it may not be looked for. */
	bool has_group =
		azure_text(a, AZURE_RESOURCE_GROUP) && !azure_text(a, AZURE_DISCOVERY_FILTER);
	struct search s = {.name = name, .only = dns_value(j->provider, ZONE_NAME), .zone = z};
	struct azure_query q = {
		.kind = kind(j), .version = version(j), .take = take_zone, .arg = &s};
	char *step;
	long status;
	int rc;

	if (s.only && !dns_is_above(s.only, name))
		return error_set(err, "zone_name: %s does not lie in the zone %s", name, s.only);
	if (s.only && has_group) { /* nothing to look for */
		snprintf(z->name, sizeof(z->name), "%s", s.only);
		return 1;
	}
	q.step = step = mem_printf("looking for the zone of %s", name);
	rc = azure_find(a, &q, &status, &j->limits, err);
	if (rc == 0)
		rc = decide(j, &s, err);
	else if (has_group && status == 403) /* rights on the zone alone */
		rc = 0;
	str_clear(&s.seen.names);
	free(s.twin);
	free(step);
	return rc;
}

/* --- records --- */

/* The set of a name's TXT records. */
static void add_path(struct str *path, const struct dns_job *j, const struct dns_txt *t)
{
	const struct azure *a = j->provider->own;
	char relative[DNS_NAME_SIZE];

	if (t->zone_id) {
		enc_url_path(path, t->zone_id, strlen(t->zone_id)); /* groups have odd names */
	} else {
		str_addf(path, "/subscriptions/");
		enc_url(path, azure_text(a, AZURE_SUBSCRIPTION_ID));
		str_addf(path, "/resourceGroups/");
		enc_url(path, azure_text(a, AZURE_RESOURCE_GROUP));
		str_addf(path, "/providers/%s/", kind(j));
		enc_url(path, t->zone);
	}
	str_addf(path, "/TXT/");
	enc_url(path, dns_relative_or_at(t, relative));
	str_addf(path, "?api-version=%s", version(j));
}

static struct json_object *records_of(struct json_object *shown)
{
	return answer_member_any_case(answer_member_any_case(shown, "properties", json_type_object),
		"TXTRecords", json_type_array);
}

/* Long texts come in parts. New; NULL = it is none. */
static char *text_of(struct json_object *record)
{
	struct json_object *parts = answer_member_any_case(record, "value", json_type_array);
	struct str text = {0};

	for (size_t i = 0; parts && i < json_object_array_length(parts); i++) {
		const char *part = json_object_get_string(json_object_array_get_idx(parts, i));

		str_addf(&text, "%s", part ? part : "");
	}
	return text.data;
}

static int read_set(const struct dns_job *j, struct dns_set *s, struct error *err)
{
	struct http_call c = {.method = "GET"};
	struct json_object *records;
	struct http_reply r;
	int rc;

	str_addf(&c.step, "reading the TXT records of %s", s->t->name);
	add_path(&c.path, j, s->t);
	rc = dns_send(j, &c, &r, err);
	records = records_of(r.json);
	if (rc < 0 && r.http.status == 404) {
		rc = 0;
	} else if (rc == 0 && (!records || !answer_text(r.json, "etag"))) {
		error_set(err, "%s: the answer has no records, or no etag", r.step);
		rc = DNS_AGAIN;
	} else if (rc == 0) {
		s->shown = json_object_get(r.json);
		for (size_t i = 0; i < json_object_array_length(records); i++) {
			char *text = text_of(json_object_array_get_idx(records, i));

			if (text)
				dns_set_add(&s->old, text);
			free(text);
		}
	}
	http_reply_clear(&r);
	return rc;
}

/* Others' records stay as they are, part for part. */
static struct json_object *new_records(const struct dns_set *s)
{
	struct json_object *there = records_of(s->shown), *out = json_object_new_array();

	for (size_t i = 0; there && i < json_object_array_length(there); i++) {
		struct json_object *record = json_object_array_get_idx(there, i);
		char *text = text_of(record);

		if (!text || dns_set_has(&s->wanted, text))
			json_object_array_add(out, json_object_get(record));
		free(text);
	}
	for (size_t i = 0; i < s->wanted.n; i++) {
		struct json_object *o, *parts;

		if (dns_set_has(&s->old, s->wanted.v[i]))
			continue;
		o = json_object_new_object();
		parts = json_object_new_array();
		json_object_array_add(parts, json_object_new_string(s->wanted.v[i]));
		json_object_object_add(o, "value", parts);
		json_object_array_add(out, o);
	}
	return out;
}

/* What the set becomes; TTL and metadata are its owner's. Takes `records`. */
static struct json_object *new_set(
	const struct dns_job *j, const struct dns_set *s, struct json_object *records)
{
	struct json_object *o = json_object_new_object(), *properties = json_object_new_object(),
			   *old = answer_member_any_case(s->shown, "properties", json_type_object),
			   *ttl = answer_member_any_case(old, "TTL", json_type_int),
			   *metadata = answer_member_any_case(old, "metadata", json_type_object);

	json_object_object_add(properties, is_private(j) ? "ttl" : "TTL",
		ttl ? json_object_get(ttl) : json_object_new_int64(s->ttl));
	if (metadata)
		json_object_object_add(properties, "metadata", json_object_get(metadata));
	json_object_object_add(properties, is_private(j) ? "txtRecords" : "TXTRecords", records);
	json_object_object_add(o, "properties", properties);
	return o;
}

static int write_set(const struct dns_job *j, struct dns_change *change, struct error *err)
{
	struct http_call c = {.method = "PUT", .adds = true};
	const struct dns_set *s = &change->sets[0]; /* DNS_PER_NAME: one */
	struct json_object *records = new_records(s);
	struct http_reply r;
	int rc;

	str_addf(&c.step, "%s the TXT record of %s", change->add ? "adding" : "removing",
		s->t->name);
	add_path(&c.path, j, s->t);
	if (json_object_array_length(records)) {
		c.json = new_set(j, s, records);
	} else {
		c.method = "DELETE";
		json_object_put(records);
	}
	if (s->shown)
		http_call_header(&c, "If-Match", "%s", answer_text(s->shown, "etag"));
	else
		http_call_header(&c, "If-None-Match", "*");
	rc = dns_send(j, &c, &r, err);
	if (rc == -1 && r.http.status == 412)
		rc = DNS_CONFLICT;
	http_reply_clear(&r);
	return rc;
}

static const struct dns_sets_ops sets = {.read = read_set, .write = write_set, .bare = true};

const struct dns_ops dns_azuredns = {
	.help = "Azure DNS",
	.options = options,
	.n_options = N_OPTIONS,
	.ttl = 60,
	.ttl_min = 1,
	.patience = {.timeout_ms = 120000, .interval_ms = 2000},
	.init = init,
	.clear = clear,
	.batch = DNS_PER_NAME,
	.sets = &sets,
	.present = dns_sets_present,
	.cleanup = dns_sets_cleanup,
	.find_zone = find_zone,
};
