/* Changes of Google Cloud DNS. Whole sets are replaced, all those of a zone in one change, which
 * fails when a set is another by then than the one that was read. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/mem.h"
#include "base/str.h"
#include "dns/gcloud.h"

#define TRIES 5 /* of a change, when others change the same sets meanwhile */

enum { CONFLICT = 1 };

int gcloud_ask(const struct dns_job *j, struct dns_call *c, struct dns_reply *r,
	const struct limits *l, struct error *err)
{
	const struct gcloud *g = j->provider->own;
	int rc = dns_api_call(j, &g->api, c, r, l, err);

	if (rc < 0 || json_object_is_type(r->json, json_type_object))
		return rc;
	error_set(err, "%s: HTTP %ld: the answer is no JSON object", c->step, r->http.status);
	return DNS_AGAIN;
}

/* Where the zone is, and its sets and changes. A new string; NULL with a sentence. */
static char *zone_path(
	const struct dns_job *j, const struct dns_txt *t, const struct limits *l, struct error *err)
{
	const char *id = t->zone_id ? t->zone_id : dns_value(j->provider, GCLOUD_ZONE_ID);
	char *project = id ? gcloud_project(j, l, err) : NULL;
	struct str path = {0};

	if (!id)
		error_set(err, "zone_id is missing: the record was made while it was set");
	if (!project)
		return NULL;
	str_addf(&path, "/dns/v1/projects/");
	enc_url(&path, project);
	str_addf(&path, "/managedZones/");
	enc_url(&path, id);
	free(project);
	return path.data;
}

/* --- sets --- */

/* Whether a set can be written again with other values: all of it is text, and nothing else is. */
static int check_set(struct json_object *set, const char *name, struct error *err)
{
	struct json_object *values = answer_member(set, "rrdatas", json_type_array);

	if (answer_member(set, "routingPolicy", json_type_object))
		return error_set(err,
			"the TXT records of %s have a routing policy, which is not lintel's to "
			"change",
			name);
	if (!values || !answer_member(set, "ttl", json_type_int))
		return error_set(err, "the TXT records of %s have no ttl, or no rrdatas", name);
	for (size_t i = 0; i < json_object_array_length(values); i++)
		if (!json_object_is_type(json_object_array_get_idx(values, i), json_type_string))
			return error_set(err, "a TXT record of %s is no text", name);
	return 0;
}

/* The TXT records of a name, as they are; *set is NULL when there are none, else new. */
static int read_set(const struct dns_job *j, const char *zone, const char *name,
	struct json_object **set, const struct limits *l, struct error *err)
{
	char *step = mem_printf("reading the TXT records of %s", name);
	struct dns_call c = {.step = step, .method = "GET"};
	struct json_object *sets;
	struct str path = {0};
	struct dns_reply r;
	int rc;

	str_addf(&path, "%s/rrsets?type=TXT&name=", zone);
	enc_url(&path, name);
	str_addf(&path, ".");
	c.path = path.data;
	rc = gcloud_ask(j, &c, &r, l, err);
	sets = answer_member(r.json, "rrsets", json_type_array);
	*set = rc == 0 && sets ? json_object_get(json_object_array_get_idx(sets, 0)) : NULL;
	if (*set && check_set(*set, name, err) < 0) {
		json_object_put(*set);
		*set = NULL;
		rc = -1;
	}
	dns_reply_clear(&r);
	str_clear(&path);
	free(step);
	return rc;
}

/* What the set is to be: with the name, type and TTL of the old one, where there is one. */
static struct json_object *make_set(const struct dns_provider *p, const char *name,
	struct json_object *old, const struct conf_strings *values)
{
	struct json_object *o = json_object_new_object(), *v = json_object_new_array(),
			   *ttl = answer_member(old, "ttl", json_type_int);
	char *full = mem_printf("%s.", name);

	for (size_t i = 0; i < values->n; i++)
		json_object_array_add(v, json_object_new_string(values->v[i]));
	json_object_object_add(o, "name", json_object_new_string(full));
	json_object_object_add(o, "type", json_object_new_string("TXT"));
	json_object_object_add(
		o, "ttl", ttl ? json_object_get(ttl) : json_object_new_int64(p->ttl));
	json_object_object_add(o, "rrdatas", v);
	free(full);
	return o;
}

struct change {
	struct json_object *deletions, *additions;
};

/* Adds what becomes of a name's set to the change: the old one goes, the new one comes. */
static int plan_set(const struct dns_job *j, const char *zone, struct dns_txt *const *v, size_t n,
	bool add, struct change *change, const struct limits *l, struct error *err)
{
	struct json_object *old, *shown;
	struct conf_strings values = {0};
	int rc = read_set(j, zone, v[0]->name, &old, l, err);

	shown = answer_member(old, "rrdatas", json_type_array);
	for (size_t i = 0; shown && i < json_object_array_length(shown); i++)
		dns_set_add(&values, json_object_get_string(json_object_array_get_idx(shown, i)));
	if (rc == 0 && dns_set_merge(&values, v, n, add, true)) {
		if (old)
			json_object_array_add(change->deletions, json_object_get(old));
		if (values.n)
			json_object_array_add(
				change->additions, make_set(j->provider, v[0]->name, old, &values));
	}
	dns_set_clear(&values);
	json_object_put(old);
	return rc;
}

/* Name by name. */
static int plan(const struct dns_job *j, const char *zone, struct dns_txt *const *v, size_t n,
	bool add, struct change *change, const struct limits *l, struct error *err)
{
	struct dns_txt **some = mem_zalloc(n * sizeof(struct dns_txt *));
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		size_t count = 0, first = 0;

		while (strcmp(v[first]->name, v[i]->name) != 0)
			first++;
		if (first < i)
			continue;
		for (size_t k = i; k < n; k++)
			if (strcmp(v[k]->name, v[i]->name) == 0)
				some[count++] = v[k];
		rc = plan_set(j, zone, some, count, add, change, l, err);
	}
	free(some);
	return rc;
}

/* --- changes --- */

/* Sends it; *id is what it is called, new, while it is not done. CONFLICT, with a sentence, when a
 * set was changed, made or removed since it was read. */
static int post_change(const struct dns_job *j, const char *zone, const char *step,
	struct change *change, char **id, const struct limits *l, struct error *err)
{
	struct json_object *o = json_object_new_object();
	char *path = mem_printf("%s/changes", zone);
	struct dns_call c = {.step = step, .method = "POST", .path = path, .adds = true};
	const char *status;
	struct dns_reply r;
	int rc;

	json_object_object_add(o, "deletions", json_object_get(change->deletions));
	json_object_object_add(o, "additions", json_object_get(change->additions));
	c.body = json_object_to_json_string(o);
	rc = gcloud_ask(j, &c, &r, l, err);
	status = answer_text(r.json, "status");
	if (rc == 0 && status && strcmp(status, "pending") == 0)
		*id = mem_strdup(answer_text(r.json, "id"));
	if (rc == -1 && (r.http.status == 404 || r.http.status == 409 || r.http.status == 412))
		rc = CONFLICT;
	dns_reply_clear(&r);
	json_object_put(o);
	free(path);
	return rc;
}

/* Reads, and changes what is not as it shall be, within the account's turn. */
static int read_and_send(const struct dns_job *j, const char *zone, const char *step,
	struct dns_txt *const *v, size_t n, bool add, char **id, const struct limits *l,
	struct error *err)
{
	struct http_account *account = ((const struct gcloud *)j->provider->own)->api.account;
	struct change change;
	int rc;

	if (http_account_enter(account, HTTP_CHANGE, l, err) < 0)
		return -1;
	change.deletions = json_object_new_array();
	change.additions = json_object_new_array();
	rc = plan(j, zone, v, n, add, &change, l, err);
	if (rc == 0 && (json_object_array_length(change.deletions) ||
			       json_object_array_length(change.additions)))
		rc = post_change(j, zone, step, &change, id, l, err);
	http_account_leave(account, HTTP_CHANGE);
	json_object_put(change.deletions);
	json_object_put(change.additions);
	return rc;
}

/* Until the change is done at all of Google's name servers. */
static int wait_done(const struct dns_job *j, const char *zone, const char *id,
	const struct limits *l, struct error *err)
{
	struct dns_call c = {
		.step = "asking whether Google's name servers have the change", .method = "GET"};
	struct str path = {0};
	bool done = false;
	int rc = 0;

	str_addf(&path, "%s/changes/", zone);
	enc_url(&path, id);
	c.path = path.data;
	while (rc == 0 && !done) {
		const char *status;
		struct dns_reply r;

		rc = gcloud_ask(j, &c, &r, l, err);
		status = answer_text(r.json, "status");
		done = status && strcmp(status, "pending") != 0;
		dns_reply_clear(&r);
		if (rc < 0 || done)
			break;
		if (clock_mono_ms() + j->provider->patience.interval_ms > l->deadline_ms)
			rc = error_set(err, "Google's name servers still do not have the change: "
					    "propagation_timeout may be too short");
		else if (stop_wait(l->stop, j->provider->patience.interval_ms))
			rc = error_set(err, "stopped");
	}
	str_clear(&path);
	return rc;
}

int gcloud_change(const struct dns_job *j, struct dns_txt *const *v, size_t n, bool add,
	const struct limits *l, struct error *err)
{
	char *zone = zone_path(j, v[0], l, err), *id = NULL, *step;
	int rc = CONFLICT;

	if (!zone)
		return -1;
	step = mem_printf("%s the TXT records of %s%s", add ? "adding" : "removing", v[0]->name,
		n > 1 ? " and others" : "");
	for (unsigned tries = 0; rc == CONFLICT && tries < TRIES; tries++)
		rc = read_and_send(j, zone, step, v, n, add, &id, l, err);
	if (rc == CONFLICT)
		rc = error_prefix(err, "somebody else changes them all the time");
	if (rc == 0 && id)
		rc = wait_done(j, zone, id, l, err);
	free(step);
	free(id);
	free(zone);
	return rc;
}
