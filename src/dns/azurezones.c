/* Zones of Azure DNS: found in the lists of a resource group, of a subscription, or of all. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/enc.h"
#include "base/mem.h"
#include "dns/azure.h"

#define LIST_MAX  ((size_t)4 << 20)
#define PAGES_MAX 100

bool azure_is_private(const struct dns_job *j)
{
	return dns_is_true(j->provider, AZURE_PRIVATE_ZONE);
}

const char *azure_kind(const struct dns_job *j)
{
	return azure_is_private(j) ? "privateDnsZones" : "dnsZones";
}

const char *azure_version(const struct dns_job *j)
{
	return azure_is_private(j) ? "2020-06-01" : "2018-05-01";
}

struct json_object *azure_member(struct json_object *o, const char *key, enum json_type type)
{
	if (!json_object_is_type(o, json_type_object))
		return NULL;
	json_object_object_foreach(o, name, value)
	{
		if (strcasecmp(name, key) == 0 && json_object_is_type(value, type))
			return value;
	}
	return NULL;
}

struct search {
	const char *name;
	struct dns_zone *zone;
	struct dns_zones_seen seen;
	struct conf_strings subscriptions;
	char *twin; /* the id of another zone that is called as the one that was found */
	unsigned pages;
};

static void on_zone(const struct dns_job *j, struct json_object *o, struct search *s)
{
	const char *only = dns_value(j->provider, AZURE_ZONE_NAME), *id = answer_text(o, "id"),
		   *zone = answer_text(o, "name"),
		   *type = answer_text(azure_member(o, "properties", json_type_object), "zoneType");
	size_t before = strlen(s->zone->name);

	/* Before private zones had a kind of their own they were listed with the others. */
	if (!id || *id != '/' || !zone || (type && strcasecmp(type, "Private") == 0))
		return;
	if (only && strcasecmp(only, zone) != 0)
		return;
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
}

static void on_subscription(const struct dns_job *j, struct json_object *o, struct search *s)
{
	const char *id = answer_text(o, "subscriptionId");

	(void)j;
	if (id)
		dns_set_add(&s->subscriptions, id);
}

/* The path of the next page, which is told with the host that the API believes to have. */
static char *next_path(const struct dns_api *api, struct json_object *o)
{
	const char *next = answer_text(o, "nextLink"), *host;
	size_t len = strlen(api->base);

	if (!next || !*next)
		return NULL;
	if (str_starts(next, api->base) && next[len] == '/')
		return mem_strdup(next + len);
	host = strstr(next, "://");
	next = strchr(host ? host + 3 : next, '/');
	return mem_strdup(next);
}

/* Each entry of a list of many pages. `*status` is that of the last answer. Takes `path`. */
static int list(const struct dns_job *j, char *path, struct search *s,
	void (*on_entry)(const struct dns_job *j, struct json_object *o, struct search *s),
	long *status, const struct limits *l, struct error *err)
{
	char *step = mem_printf("looking for the zone of %s", s->name);
	int rc = 0;

	while (rc == 0 && path) {
		struct dns_call c = {.step = step, .method = "GET", .path = path, .max = LIST_MAX};
		struct json_object *values;
		struct dns_reply r;

		rc = dns_api_call(j, j->provider->own, &c, &r, l, err);
		*status = r.http.status;
		values = answer_member(r.json, "value", json_type_array);
		if (rc == 0 && !values)
			rc = error_set(err, "%s: the answer has no list", step);
		if (rc == 0 && ++s->pages > PAGES_MAX)
			rc = error_set(err,
				"%s: the list has no end: set zone_name, resource_group "
				"and subscription_id",
				step);
		for (size_t i = 0; rc == 0 && i < json_object_array_length(values); i++)
			on_entry(j, json_object_array_get_idx(values, i), s);
		free(path);
		path = next_path(j->provider->own, r.json);
		dns_reply_clear(&r);
	}
	free(path);
	free(step);
	return rc;
}

/* The zones of a subscription, or of a group of it. */
static int list_zones(const struct dns_job *j, const char *subscription, struct search *s,
	long *status, const struct limits *l, struct error *err)
{
	const char *group = dns_value(j->provider, AZURE_RESOURCE_GROUP);
	struct str path = {0};

	str_addf(&path, "/subscriptions/");
	enc_url(&path, subscription);
	if (group) {
		str_addf(&path, "/resourceGroups/");
		enc_url(&path, group);
	}
	str_addf(&path, "/providers/Microsoft.Network/%s?api-version=%s", azure_kind(j),
		azure_version(j));
	return list(j, path.data, s, on_zone, status, l, err);
}

/* All subscriptions; one whose zones these credentials may not list is left out, but the last such
 * refusal is told where nothing is found. */
static int list_all(
	const struct dns_job *j, struct search *s, const struct limits *l, struct error *err)
{
	long status = 0;
	bool refused = false;
	int rc = list(j, mem_strdup("/subscriptions?api-version=2020-01-01"), s, on_subscription,
		&status, l, err);

	for (size_t i = 0; rc == 0 && i < s->subscriptions.n; i++) {
		rc = list_zones(j, s->subscriptions.v[i], s, &status, l, err);
		if (rc < 0 && status == 403) {
			refused = true;
			rc = 0;
		}
	}
	return rc == 0 && refused && !s->zone->id && !s->seen.n ? -1 : rc;
}

static int decide(const struct dns_job *j, struct search *s, struct error *err)
{
	const char *only = dns_value(j->provider, AZURE_ZONE_NAME);

	if (s->twin)
		return error_set(err,
			"the zone %s is there twice, as %.300s and %.300s: set subscription_id and "
			"resource_group",
			s->zone->name, s->zone->id, s->twin);
	if (s->zone->id)
		return 1;
	if (only && !s->seen.n)
		return error_set(err,
			"zone_name: there is no zone %s%s that these credentials "
			"may see",
			only, azure_is_private(j) ? " among the private ones" : "");
	return dns_zone_missing(&s->seen, s->name, err);
}

int azure_find_zone(const struct dns_job *j, const char *name, struct dns_zone *z,
	const struct limits *l, struct error *err)
{
	const struct dns_provider *p = j->provider;
	const char *only = dns_value(p, AZURE_ZONE_NAME),
		   *subscription = dns_value(p, AZURE_SUBSCRIPTION_ID),
		   *group = dns_value(p, AZURE_RESOURCE_GROUP);
	struct search s = {.name = name, .zone = z};
	long status = 0;
	int rc;

	if (only && !dns_is_above(only, name))
		return error_set(err, "zone_name: %s does not lie in the zone %s", name, only);
	if (only && group) { /* nothing to look for */
		snprintf(z->name, sizeof(z->name), "%s", only);
		return 1;
	}
	rc = subscription ? list_zones(j, subscription, &s, &status, l, err)
			  : list_all(j, &s, l, err);
	if (rc == 0)
		rc = decide(j, &s, err);
	else if (group && status == 403) /* rights on the zone alone: public DNS says which */
		rc = 0;
	str_clear(&s.seen.names);
	dns_set_clear(&s.subscriptions);
	free(s.twin);
	return rc;
}
