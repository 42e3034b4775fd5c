/* Which resources there are, as Azure's Resource Manager lists them, or its Resource Graph finds
 * them. */
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "base/mem.h"
#include "cloud/azure.h"

#define LIST_MAX  ((size_t)4 << 20)
#define PAGES_MAX 100
#define PAGE_ROWS 1000 /* the most that Resource Graph gives at once */

struct search {
	const struct azure *a;
	const struct azure_query *q;
	const struct limits *l;
	unsigned pages;
	size_t taken;
	struct conf_strings subscriptions;
};

static void on_resource(struct search *s, struct json_object *o)
{
	s->taken += s->q->take(s->q->arg, o);
}

static void on_subscription(struct search *s, struct json_object *o)
{
	const char *id = answer_text(o, "subscriptionId");

	if (id)
		*(char **)mem_grow(&s->subscriptions.v, s->subscriptions.n++, sizeof(char *)) =
			mem_strdup(id);
}

/* The entries of an answer's member, within what one search may read. */
static int take_page(struct search *s, const struct http_reply *r, const char *member,
	void (*on_entry)(struct search *s, struct json_object *o), struct error *err)
{
	struct json_object *values = answer_member(r->json, member, json_type_array);

	if (!values)
		return error_set(err, "%s: the answer has no list", r->step);
	if (++s->pages > PAGES_MAX)
		return error_set(err,
			"%s: the list has no end: set zone_name, resource_group and "
			"subscription_id",
			r->step);
	for (size_t i = 0; i < json_object_array_length(values); i++)
		on_entry(s, json_object_array_get_idx(values, i));
	return 0;
}

/* --- lists --- */

/* The path of the next page, which is told with the host that the API believes to have. */
static char *next_path(const struct http_api *api, struct json_object *o)
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

/* All pages of a list. Takes `path`. */
static int list(struct search *s, char *path,
	void (*on_entry)(struct search *s, struct json_object *o), long *status, struct error *err)
{
	int rc = 0;

	while (rc == 0 && path) {
		struct http_call c = {.method = "GET", .max = LIST_MAX};
		struct http_reply r;

		str_addf(&c.step, "%s", s->q->step);
		str_addf(&c.path, "%s", path);
		rc = http_send(&s->a->api, &c, &r, s->l, err);
		*status = r.http.status;
		if (rc == 0)
			rc = take_page(s, &r, "value", on_entry, err);
		free(path);
		path = next_path(&s->a->api, r.json);
		http_reply_clear(&r);
	}
	free(path);
	return rc;
}

/* Those of a subscription, or of a group of it. */
static int list_of(struct search *s, const char *subscription, long *status, struct error *err)
{
	const char *group = azure_text(s->a, AZURE_RESOURCE_GROUP);
	struct str path = {0};

	str_addf(&path, "/subscriptions/");
	enc_url(&path, subscription);
	if (group) {
		str_addf(&path, "/resourceGroups/");
		enc_url(&path, group);
	}
	str_addf(&path, "/providers/%s?api-version=%s", s->q->kind, s->q->version);
	return list(s, path.data, on_resource, status, err);
}

/* Of all subscriptions; one whose resources these credentials may not list is left out, but the
 * last such refusal is told where nothing is found. */
static int list_all(struct search *s, long *status, struct error *err)
{
	bool refused = false;
	int rc = list(s, mem_strdup("/subscriptions?api-version=2020-01-01"), on_subscription,
		status, err);

	for (size_t i = 0; rc == 0 && i < s->subscriptions.n; i++) {
		rc = list_of(s, s->subscriptions.v[i], status, err);
		if (rc < 0 && *status == 403) {
			refused = true;
			rc = 0;
		}
	}
	for (size_t i = 0; i < s->subscriptions.n; i++)
		free(s->subscriptions.v[i]);
	free(s->subscriptions.v);
	return rc == 0 && refused && !s->taken ? -1 : rc;
}

/* --- Resource Graph --- */

/* A text of its query language. */
static void add_condition(struct str *query, const char *column, const char *text)
{
	if (!text)
		return;
	str_addf(query, "\n| where %s =~ \"", column);
	for (; *text; text++)
		str_addf(query, "%s%c", strchr("\"\\", *text) ? "\\" : "", *text);
	str_addf(query, "\"");
}

static struct json_object *make_query(const struct search *s, int64_t skip)
{
	struct json_object *o = json_object_new_object(), *options = json_object_new_object();
	struct str query = {0};

	str_addf(&query, "resources");
	add_condition(&query, "type", s->q->kind);
	add_condition(&query, "subscriptionId", azure_text(s->a, AZURE_SUBSCRIPTION_ID));
	add_condition(&query, "resourceGroup", azure_text(s->a, AZURE_RESOURCE_GROUP));
	str_addf(&query, "\n| %s\n| project id, name, properties",
		azure_text(s->a, AZURE_DISCOVERY_FILTER));
	http_json_add(o, "query", query.data);
	http_json_add(options, "resultFormat", "objectArray");
	json_object_object_add(options, "$top", json_object_new_int64(PAGE_ROWS));
	json_object_object_add(options, "$skip", json_object_new_int64(skip));
	json_object_object_add(o, "options", options);
	str_clear(&query);
	return o;
}

static int ask_graph(struct search *s, long *status, struct error *err)
{
	int64_t seen = 0, total;
	int rc;

	do {
		struct http_call c = {
			.method = "POST", .json = make_query(s, seen), .max = LIST_MAX};
		struct json_object *rows, *records;
		struct http_reply r;

		str_addf(&c.step, "%s", s->q->step);
		str_addf(&c.path,
			"/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01");
		rc = http_send(&s->a->api, &c, &r, s->l, err);
		*status = r.http.status;
		if (rc == 0)
			rc = take_page(s, &r, "data", on_resource, err);
		rows = answer_member(r.json, "data", json_type_array);
		records = answer_member(r.json, "totalRecords", json_type_int);
		total = records ? json_object_get_int64(records) : 0;
		if (rows && json_object_array_length(rows))
			seen += (int64_t)json_object_array_length(rows);
		else
			total = 0;
		http_reply_clear(&r);
	} while (rc == 0 && seen < total);
	return rc;
}

int azure_find(const struct azure *a, const struct azure_query *q, long *status,
	const struct limits *l, struct error *err)
{
	struct search s = {.a = a, .q = q, .l = l};
	const char *subscription = azure_text(a, AZURE_SUBSCRIPTION_ID);

	*status = 0;
	if (azure_text(a, AZURE_DISCOVERY_FILTER))
		return ask_graph(&s, status, err);
	return subscription ? list_of(&s, subscription, status, err) : list_all(&s, status, err);
}
