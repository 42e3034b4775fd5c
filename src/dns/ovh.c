/* The provider `ovh`: OVHcloud's API, version 1.0. Records are added and removed one by one, and
 * served after the zone is refreshed. Who asks is in ovh_auth.c.
 *
 * Credentials that were made for other clients may often not read (they have POST and DELETE only):
 * then the zone is public DNS's to say, and a record is removed by the number that present() has
 * put into its handle. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "dns/ovh_auth.h"

/* Beside 0, -1 and DNS_AGAIN. */
enum { FOUND = 1, UNREADABLE = 2 };

/* --- zones --- */

static int look(const struct dns_job *j, const char *candidate, struct dns_zone *z,
	const struct limits *l, struct error *err)
{
	char *path = mem_printf("/domain/zone/%s", candidate),
	     *step = mem_printf("looking for the zone %s", candidate);
	struct dns_call c = {.step = step, .method = "GET", .path = path};
	struct dns_reply r;
	int rc = dns_api_call(j, ovh_api(j), &c, &r, l, err);

	if (rc == 0) {
		dns_zone_consider(z, NULL, candidate, candidate, NULL);
		rc = FOUND;
	} else if (r.http.status == 404) {
		rc = 0;
	} else if (ovh_is_ungranted(&r)) {
		rc = UNREADABLE;
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
	struct dns_call c = {.step = "listing the zones", .method = "GET", .path = "/domain/zone"};
	struct dns_zones_seen seen = {0};
	struct dns_zone none = {0};
	struct dns_reply r;

	if (dns_api_call(j, ovh_api(j), &c, &r, l, err) < 0) {
		error_prefix(err, "no zone of this account covers %s", name);
		dns_reply_clear(&r);
		return -1;
	}
	for (size_t i = 0; json_object_is_type(r.json, json_type_array) &&
			   i < json_object_array_length(r.json);
		i++) {
		const char *zone = json_object_get_string(json_object_array_get_idx(r.json, i));

		if (zone)
			dns_zone_consider(&none, &seen, "", zone, NULL);
	}
	dns_reply_clear(&r);
	return dns_zone_missing(&seen, name, err);
}

static int find_zone(const struct dns_job *j, const char *name, struct dns_zone *z,
	const struct limits *l, struct error *err)
{
	int rc = dns_api_walk(j, name, z, look, l, err);

	if (rc == UNREADABLE)
		return 0;
	return rc ? rc : say_missing(j, name, l, err);
}

/* --- records --- */

/* Whether the record of this number has the name and the value. The list's filter is a pattern,
 * in which _ stands for any character. */
static int read_record(const struct dns_job *j, const struct dns_txt *t, const char *id,
	const struct limits *l, struct error *err)
{
	char *path = mem_printf("/domain/zone/%s/record/%s", t->zone, id),
	     *step = mem_printf("reading the TXT record %s of %s", id, t->name),
	     relative[DNS_NAME_SIZE];
	struct dns_call c = {.step = step, .method = "GET", .path = path};
	struct dns_reply r;
	int rc = dns_api_call(j, ovh_api(j), &c, &r, l, err);
	const char *name = answer_text(r.json, "subDomain"), *value = answer_text(r.json, "target");

	dns_relative(t->name, t->zone, relative);
	if (rc == 0 && value && dns_is_value(value, t->value) &&
		strcasecmp(name ? name : "", relative) == 0)
		rc = FOUND;
	else if (r.http.status == 404) /* gone meanwhile */
		rc = 0;
	else if (ovh_is_ungranted(&r))
		rc = UNREADABLE;
	dns_reply_clear(&r);
	free(step);
	free(path);
	return rc;
}

/* The number of the record, as a new string. */
static int find_record(const struct dns_job *j, const struct dns_txt *t, char **id,
	const struct limits *l, struct error *err)
{
	char relative[DNS_NAME_SIZE],
		*path = mem_printf("/domain/zone/%s/record?fieldType=TXT&subDomain=%s", t->zone,
			dns_relative(t->name, t->zone, relative)),
		*step = mem_printf("reading the TXT records of %s", t->name);
	struct dns_call c = {.step = step, .method = "GET", .path = path};
	struct dns_reply r;
	int rc = dns_api_call(j, ovh_api(j), &c, &r, l, err);

	*id = NULL;
	if (rc < 0 && ovh_is_ungranted(&r))
		rc = UNREADABLE;
	else if (rc == 0 && !json_object_is_type(r.json, json_type_array))
		rc = error_set(err, "%s: the answer is no list", step);
	for (size_t i = 0; rc == 0 && i < json_object_array_length(r.json); i++) {
		free(*id);
		*id = mem_printf(
			"%" PRId64, json_object_get_int64(json_object_array_get_idx(r.json, i)));
		rc = read_record(j, t, *id, l, err);
	}
	dns_reply_clear(&r);
	free(step);
	free(path);
	return rc;
}

static int add_record(
	const struct dns_job *j, struct dns_txt *t, const struct limits *l, struct error *err)
{
	struct json_object *o = json_object_new_object(), *id;
	char relative[DNS_NAME_SIZE], *path = mem_printf("/domain/zone/%s/record", t->zone),
				      *step = mem_printf("adding the TXT record of %s", t->name);
	struct dns_call c = {.step = step, .method = "POST", .path = path, .adds = true};
	struct dns_reply r;
	int rc;

	dns_relative(t->name, t->zone, relative);
	json_object_object_add(o, "fieldType", json_object_new_string("TXT"));
	json_object_object_add(o, "subDomain", json_object_new_string(relative));
	json_object_object_add(o, "target", json_object_new_string(t->value));
	json_object_object_add(o, "ttl", json_object_new_int64(j->provider->ttl));
	c.body = json_object_to_json_string(o);
	rc = dns_api_call(j, ovh_api(j), &c, &r, l, err);
	id = answer_member(r.json, "id", json_type_int);
	if (rc == 0 && id)
		t->handle = mem_printf("%" PRId64, json_object_get_int64(id));
	dns_reply_clear(&r);
	json_object_put(o);
	free(step);
	free(path);
	return rc;
}

static int delete_record(const struct dns_job *j, const struct dns_txt *t, const char *id,
	const struct limits *l, struct error *err)
{
	char *path = mem_printf("/domain/zone/%s/record/%s", t->zone, id),
	     *step = mem_printf("removing the TXT record of %s", t->name);
	struct dns_call c = {.step = step, .method = "DELETE", .path = path};
	struct dns_reply r;
	int rc = dns_api_call(j, ovh_api(j), &c, &r, l, err);

	if (rc < 0 && r.http.status == 404) /* gone already */
		rc = 0;
	dns_reply_clear(&r);
	free(step);
	free(path);
	return rc;
}

/* Always, since an earlier change may have been cut off before it. */
static int refresh(
	const struct dns_job *j, const char *zone, const struct limits *l, struct error *err)
{
	char *path = mem_printf("/domain/zone/%s/refresh", zone);
	struct dns_call c = {
		.step = "refreshing the zone", .method = "POST", .path = path, .body = ""};
	struct dns_reply r;
	int rc = dns_api_call(j, ovh_api(j), &c, &r, l, err);

	dns_reply_clear(&r);
	free(path);
	return rc;
}

/* What the journal may have kept from another provider is no number. */
static bool has_number(const struct dns_txt *t)
{
	return t->handle && *t->handle && !t->handle[strspn(t->handle, "0123456789")];
}

static int present_one(
	const struct dns_job *j, struct dns_txt *t, const struct limits *l, struct error *err)
{
	char *id;
	int rc = find_record(j, t, &id, l, err);

	/* One that was added before and cannot be read is taken to be there still. */
	if (rc == 0 || (rc == UNREADABLE && !has_number(t))) {
		free(t->handle);
		t->handle = NULL;
		rc = add_record(j, t, l, err);
	} else if (rc == FOUND) {
		free(t->handle);
		t->handle = id;
		id = NULL;
	}
	free(id);
	return rc < 0 ? rc : 0;
}

static int cleanup_one(
	const struct dns_job *j, const struct dns_txt *t, const struct limits *l, struct error *err)
{
	char *id;
	int rc = find_record(j, t, &id, l, err);

	if (rc == FOUND)
		rc = delete_record(j, t, id, l, err);
	else if (rc == UNREADABLE && has_number(t))
		rc = delete_record(j, t, t->handle, l, err);
	else if (rc == UNREADABLE)
		rc = error_prefix(err,
			"its number is not known, and has to be read: remove it by hand, or give "
			"the credentials the right GET on /domain/zone/*");
	free(id);
	return rc;
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n,
	const struct limits *l, struct error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = present_one(j, v[i], l, err);
	return rc == 0 ? refresh(j, v[0]->zone, l, err) : rc;
}

/* One that cannot be removed does not keep the others, which are done with once the zone is
 * refreshed. */
static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n,
	const struct limits *l, struct error *err)
{
	struct error why;
	int rc = 0, one;

	for (size_t i = 0; i < n; i++) {
		one = cleanup_one(j, v[i], l, rc == 0 ? err : &why);
		v[i]->present = one != 0;
		rc = rc == 0 ? one : rc;
	}
	one = refresh(j, v[0]->zone, l, rc == 0 ? err : &why);
	for (size_t i = 0; one < 0 && i < n; i++)
		v[i]->present = true;
	return rc == 0 ? one : rc;
}

const struct dns_ops dns_ovh = {
	.help = "OVHcloud, Kimsufi, So you Start",
	.options = ovh_options,
	.n_options = OVH_N_OPTIONS,
	.ttl = 120,
	.ttl_min = 60,
	.patience = {.timeout_ms = 60000, .interval_ms = 2000},
	.init = ovh_init,
	.clear = ovh_clear,
	.batch = DNS_PER_ZONE,
	.present = present,
	.cleanup = cleanup,
	.find_zone = find_zone,
};
