#include "dns/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define SEEN_MAX  20                /* zones that a sentence names */
#define LIST_MAX  ((size_t)4 << 20) /* bytes of a list, or of a page of it */
#define PER_PAGE  100
#define PAGES_MAX 20

_Static_assert((int)DNS_API_OWN_OPTIONS - (int)DNS_BASE_URL == (int)HTTP_OWN_SETTINGS,
	"the rows of every API are not those of http/api.h");

int dns_api_init(struct dns_provider *p, struct http_api *api, const char *base,
	const char *credentials, unsigned rate, int64_t per_ms, struct error *err)
{
	api->arg = p;
	return http_api_init(
		api, &p->values[DNS_BASE_URL], base, p->name, credentials, rate, per_ms, err);
}

void dns_api_free(struct dns_provider *p)
{
	http_api_clear(p->own);
	free(p->own);
}

int dns_send(const struct dns_job *j, struct http_call *c, struct http_reply *r, struct error *err)
{
	return http_send(j->provider->own, c, r, &j->limits, err);
}

int dns_command(const struct dns_job *j, struct http_call *c, struct error *err)
{
	bool deletes = strcmp(c->method, "DELETE") == 0;
	struct http_reply r;
	int rc = dns_send(j, c, &r, err);

	if (rc < 0 && deletes && r.http.status == 404)
		rc = 0;
	http_reply_clear(&r);
	return rc;
}

int dns_read_list(const struct dns_job *j, struct http_call *c, const char *key,
	struct http_reply *r, struct json_object **list, struct error *err)
{
	int rc;

	c->max = LIST_MAX;
	rc = dns_send(j, c, r, err);
	*list = key ? answer_member(r->json, key, json_type_array) : r->json;
	if (rc == 0 && !json_object_is_type(*list, json_type_array)) {
		error_set(err, "%s: the answer has no list", r->step);
		rc = DNS_AGAIN;
	}
	return rc;
}

int dns_read_pages(const struct dns_job *j, const char *step, const char *path, const char *key,
	struct json_object **list, struct error *err)
{
	size_t n = PER_PAGE; /* fewer are on the last page, or none */
	int rc = 0;

	*list = json_object_new_array();
	for (unsigned page = 1; rc == 0 && n == PER_PAGE; page++) {
		struct http_call c = {.method = "GET"};
		struct json_object *some;
		struct http_reply r;

		if (page > PAGES_MAX)
			return error_set(err, "%s: the list has no end", step);
		str_addf(&c.step, "%s", step);
		str_addf(&c.path, "%s&per_page=%d&page=%u", path, PER_PAGE, page);
		rc = dns_read_list(j, &c, key, &r, &some, err);
		n = rc == 0 ? json_object_array_length(some) : 0;
		for (size_t i = 0; i < n; i++)
			json_object_array_add(
				*list, json_object_get(json_object_array_get_idx(some, i)));
		http_reply_clear(&r);
	}
	return rc;
}

/* --- zones --- */

int dns_api_walk(const struct dns_job *j, const char *name, struct dns_zone *z,
	int (*look)(const struct dns_job *j, const char *candidate, struct dns_zone *z,
		struct error *err),
	struct error *err)
{
	for (const char *candidate = name; strchr(candidate, '.');
		candidate = strchr(candidate, '.') + 1) {
		int rc;

		if (*candidate == '_') /* no zone is called so */
			continue;
		rc = look(j, candidate, z, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

void dns_zone_consider(struct dns_zone *z, struct dns_zones_seen *seen, const char *name,
	const char *zone, const char *id)
{
	char plain[DNS_NAME_SIZE], shown[DNS_NAME_SIZE];
	size_t len = strlen(zone);

	if (len && zone[len - 1] == '.')
		len--;
	if (!len || len >= sizeof(plain))
		return;
	memcpy(plain, zone, len);
	plain[len] = '\0';
	str_lower(plain);
	if (seen && seen->n++ < SEEN_MAX)
		str_addf(&seen->names, "%s%s", seen->n > 1 ? ", " : "",
			str_escape(shown, sizeof(shown), plain, len));
	if (!dns_is_above(plain, name) || (z->id && strlen(z->name) >= len))
		return;
	memcpy(z->name, plain, len + 1);
	free(z->id);
	z->id = mem_strdup(id);
}

int dns_zone_missing(struct dns_zones_seen *seen, const char *name, struct error *err)
{
	if (!seen->n)
		error_set(err,
			"no zone of this account covers %s: it has none at all, as far as "
			"these credentials may see",
			name);
	else
		error_set(err, "no zone of this account covers %s: it has %s%s", name,
			seen->names.data, seen->n > SEEN_MAX ? " and more" : "");
	str_clear(&seen->names);
	seen->n = 0;
	return -1;
}

int dns_zone_not_listed(const struct dns_job *j, struct http_call *c, const char *list,
	const char *key, const char *name, struct error *err)
{
	struct dns_zones_seen seen = {0};
	struct dns_zone none = {0};
	struct json_object *zones;
	struct http_reply r;
	int rc = dns_read_list(j, c, list, &r, &zones, err);

	for (size_t i = 0; rc == 0 && i < json_object_array_length(zones); i++) {
		struct json_object *o = json_object_array_get_idx(zones, i);
		const char *zone = key ? answer_text(o, key) : json_object_get_string(o);

		if (zone)
			dns_zone_consider(&none, &seen, "", zone, NULL);
	}
	http_reply_clear(&r);
	return rc == 0 ? dns_zone_missing(&seen, name, err)
		       : error_prefix(err, "no zone of this account covers %s", name);
}

const char *dns_relative(const char *name, const char *zone, char out[DNS_NAME_SIZE])
{
	size_t len = strlen(name), of_zone = strlen(zone);

	len = len > of_zone ? len - of_zone - 1 : 0;
	memcpy(out, name, len);
	out[len] = '\0';
	return out;
}

const char *dns_relative_or_at(const struct dns_txt *t, char out[DNS_NAME_SIZE])
{
	return *dns_relative(t->name, t->zone, out) ? out : "@";
}

/* --- records --- */

struct json_object *dns_json_record(
	const char *name, const char *key, const char *value, uint32_t ttl)
{
	struct json_object *o = json_object_new_object();

	http_json_add(o, "type", "TXT");
	http_json_add(o, "name", name);
	http_json_add(o, key, value);
	json_object_object_add(o, "ttl", json_object_new_int64(ttl));
	return o;
}

bool dns_is_value(const char *shown, const char *value)
{
	size_t len = strlen(value);

	if (strcmp(shown, value) == 0)
		return true;
	return *shown == '"' && strlen(shown) == len + 2 && shown[len + 1] == '"' &&
	       strncmp(shown + 1, value, len) == 0;
}

size_t dns_same_name(struct dns_txt *const *v, size_t n, size_t at, struct dns_txt **out)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(v[i]->name, v[at]->name) != 0)
			continue;
		if (i < at)
			return 0;
		out[count++] = v[i];
	}
	return count;
}
