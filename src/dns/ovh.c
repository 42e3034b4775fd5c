/* The provider `ovh`: OVHcloud's API, version 1.0. Records are added and removed one by one, and
 * served after the zone is refreshed.
 *
 * Credentials that were made for other clients may often not read (they have POST and DELETE only):
 * then the zone is public DNS's to say, and a record is removed by the number that present() has
 * put into its handle. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "cloud/ovh.h"
#include "dns/api.h"

/* Beside 0, -1 and DNS_AGAIN. */
enum { FOUND = 1, UNREADABLE = 2 };

static const struct setting options[] = {
	DNS_API_OPTIONS("OVH_", "OVH_", {NULL}),
	OVH_SETTINGS(DNS_BASE_URL),
};

static void clear(struct dns_provider *p)
{
	ovh_clear(p->own);
	free(p->own);
}

static int init(struct dns_provider *p, struct error *err)
{
	p->own = mem_zalloc(sizeof(struct ovh));
	return ovh_init(p->own, &p->values[DNS_BASE_URL], p->name, err);
}

/* --- zones --- */

static int look(
	const struct dns_job *j, const char *candidate, struct dns_zone *z, struct error *err)
{
	struct http_call c = {.method = "GET"};
	struct http_reply r;
	int rc;

	str_addf(&c.step, "looking for the zone %s", candidate);
	str_addf(&c.path, "/domain/zone/%s", candidate);
	rc = dns_send(j, &c, &r, err);
	if (rc == 0) {
		dns_zone_consider(z, NULL, candidate, candidate, NULL);
		rc = FOUND;
	} else if (r.http.status == 404) {
		rc = 0;
	} else if (ovh_is_ungranted(&r)) {
		rc = UNREADABLE;
	}
	http_reply_clear(&r);
	return rc;
}

/* The sentence for a name that lies in no zone of the account. */
static int say_missing(const struct dns_job *j, const char *name, struct error *err)
{
	struct http_call c = {.method = "GET"};

	str_addf(&c.step, "listing the zones");
	str_addf(&c.path, "/domain/zone");
	return dns_zone_not_listed(j, &c, NULL, NULL, name, err);
}

static int find_zone(
	const struct dns_job *j, const char *name, struct dns_zone *z, struct error *err)
{
	int rc = dns_api_walk(j, name, z, look, err);

	if (rc == UNREADABLE)
		return 0;
	return rc ? rc : say_missing(j, name, err);
}

/* --- records --- */

/* Whether the record of this number has the name and the value. The list's filter is a pattern,
 * in which _ stands for any character. */
static int read_record(
	const struct dns_job *j, const struct dns_txt *t, const char *id, struct error *err)
{
	struct http_call c = {.method = "GET"};
	char relative[DNS_NAME_SIZE];
	const char *name, *value;
	struct http_reply r;
	int rc;

	str_addf(&c.step, "reading the TXT record %s of %s", id, t->name);
	str_addf(&c.path, "/domain/zone/%s/record/%s", t->zone, id);
	rc = dns_send(j, &c, &r, err);
	name = answer_text(r.json, "subDomain");
	value = answer_text(r.json, "target");
	dns_relative(t->name, t->zone, relative);
	if (rc == 0 && value && dns_is_value(value, t->value) &&
		strcasecmp(name ? name : "", relative) == 0)
		rc = FOUND;
	else if (r.http.status == 404) /* gone meanwhile */
		rc = 0;
	else if (ovh_is_ungranted(&r))
		rc = UNREADABLE;
	http_reply_clear(&r);
	return rc;
}

/* The number of the record, as a new string. */
static int find_record(
	const struct dns_job *j, const struct dns_txt *t, char **id, struct error *err)
{
	struct http_call c = {.method = "GET"};
	char relative[DNS_NAME_SIZE];
	struct json_object *numbers;
	struct http_reply r;
	int rc;

	str_addf(&c.step, "reading the TXT records of %s", t->name);
	str_addf(&c.path, "/domain/zone/%s/record?fieldType=TXT&subDomain=%s", t->zone,
		dns_relative(t->name, t->zone, relative));
	rc = dns_read_list(j, &c, NULL, &r, &numbers, err);
	*id = NULL;
	if (rc < 0 && ovh_is_ungranted(&r))
		rc = UNREADABLE;
	for (size_t i = 0; rc == 0 && i < json_object_array_length(numbers); i++) {
		free(*id);
		*id = mem_printf(
			"%" PRId64, json_object_get_int64(json_object_array_get_idx(numbers, i)));
		rc = read_record(j, t, *id, err);
	}
	http_reply_clear(&r);
	return rc;
}

static int add_record(const struct dns_job *j, struct dns_txt *t, struct error *err)
{
	struct http_call c = {.method = "POST", .json = json_object_new_object(), .adds = true};
	char relative[DNS_NAME_SIZE];
	struct json_object *id;
	struct http_reply r;
	int rc;

	str_addf(&c.step, "adding the TXT record of %s", t->name);
	str_addf(&c.path, "/domain/zone/%s/record", t->zone);
	dns_relative(t->name, t->zone, relative);
	http_json_add(c.json, "fieldType", "TXT");
	http_json_add(c.json, "subDomain", relative);
	http_json_add(c.json, "target", t->value);
	json_object_object_add(c.json, "ttl", json_object_new_int64(j->provider->ttl));
	rc = dns_send(j, &c, &r, err);
	id = answer_member(r.json, "id", json_type_int);
	if (rc == 0 && id)
		t->handle = mem_printf("%" PRId64, json_object_get_int64(id));
	http_reply_clear(&r);
	return rc;
}

static int delete_record(
	const struct dns_job *j, const struct dns_txt *t, const char *id, struct error *err)
{
	struct http_call c = {.method = "DELETE"};

	str_addf(&c.step, "removing the TXT record of %s", t->name);
	str_addf(&c.path, "/domain/zone/%s/record/%s", t->zone, id);
	return dns_command(j, &c, err);
}

/* Always, since an earlier change may have been cut off before it. */
static int refresh(const struct dns_job *j, const char *zone, struct error *err)
{
	struct http_call c = {.method = "POST"};

	str_addf(&c.step, "refreshing the zone");
	str_addf(&c.path, "/domain/zone/%s/refresh", zone);
	str_add(&c.body, "", 0);
	return dns_command(j, &c, err);
}

/* What the journal may have kept from another provider is no number. */
static bool has_number(const struct dns_txt *t)
{
	return t->handle && *t->handle && !t->handle[strspn(t->handle, "0123456789")];
}

static int present_one(const struct dns_job *j, struct dns_txt *t, struct error *err)
{
	char *id;
	int rc = find_record(j, t, &id, err);

	/* One that was added before and cannot be read is taken to be there still. */
	if (rc == 0 || (rc == UNREADABLE && !has_number(t))) {
		free(t->handle);
		t->handle = NULL;
		rc = add_record(j, t, err);
	} else if (rc == FOUND) {
		free(t->handle);
		t->handle = id;
		id = NULL;
	}
	free(id);
	return rc < 0 ? rc : 0;
}

static int cleanup_one(const struct dns_job *j, const struct dns_txt *t, struct error *err)
{
	char *id;
	int rc = find_record(j, t, &id, err);

	if (rc == FOUND)
		rc = delete_record(j, t, id, err);
	else if (rc == UNREADABLE && has_number(t))
		rc = delete_record(j, t, t->handle, err);
	else if (rc == UNREADABLE)
		rc = error_prefix(err,
			"its number is not known, and has to be read: remove it by hand, or give "
			"the credentials the right GET on /domain/zone/*");
	free(id);
	return rc;
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = present_one(j, v[i], err);
	return rc == 0 ? refresh(j, v[0]->zone, err) : rc;
}

/* One that cannot be removed does not keep the others, which are done with once the zone is
 * refreshed. */
static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	struct error why;
	int rc = 0, one;

	for (size_t i = 0; i < n; i++) {
		one = cleanup_one(j, v[i], rc == 0 ? err : &why);
		v[i]->present = one != 0;
		rc = rc == 0 ? one : rc;
	}
	one = refresh(j, v[0]->zone, rc == 0 ? err : &why);
	for (size_t i = 0; one < 0 && i < n; i++)
		v[i]->present = true;
	return rc == 0 ? one : rc;
}

const struct dns_ops dns_ovh = {
	.help = "OVHcloud, Kimsufi, So you Start",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.ttl = 120,
	.ttl_min = 60,
	.patience = {.timeout_ms = 60000, .interval_ms = 2000},
	.init = init,
	.clear = clear,
	.batch = DNS_PER_ZONE,
	.present = present,
	.cleanup = cleanup,
	.find_zone = find_zone,
};
