/* Route 53's sets of TXT records. They are written as a whole: read, merged and written again, all
 * of a zone in one change, and nobody else of this process in between. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/mem.h"
#include "dns/route53.h"

#define XMLNS "https://route53.amazonaws.com/doc/2013-04-01/"
/* A change has at most 1000 values and 32000 characters in them, and replacing counts twice. What
 * is written around a value makes this many bytes stay below both. */
#define BODY_BYTES 12000

/* Where the sets of a record's zone are; new. */
static char *sets_path(const struct dns_txt *t)
{
	return mem_printf(R53_VERSION "/hostedzone/%s/rrset", t->zone_id);
}

/* --- sets --- */

struct set {
	struct conf_strings values; /* as they were shown; none = it is not there */
	uint32_t ttl;
};

static int take_set(const struct xml *x, const char *name, struct set *s, struct error *err)
{
	const struct xml *record = xml_find(x, "ResourceRecords/ResourceRecord");
	const char *ttl = xml_text(x, "TTL");

	if (xml_find(x, "SetIdentifier") || !record || !ttl)
		return error_set(err,
			"the TXT set of %s has a routing policy or is an alias, and is not to be "
			"written over: remove it, or let a CNAME lead the challenge elsewhere",
			name);
	s->ttl = (uint32_t)strtoul(ttl, NULL, 10);
	for (; record; record = xml_next(record))
		if (xml_text(record, "Value"))
			dns_set_add(&s->values, xml_text(record, "Value"));
	return 0;
}

/* The list begins at the name, be there a set of it or not. */
static int read_set(const struct dns_job *j, const struct dns_txt *t, struct set *s,
	const struct limits *l, struct error *err)
{
	char *sets = sets_path(t), *step = mem_printf("reading the TXT set of %s", t->name);
	struct dns_call c = {.step = step, .method = "GET"};
	struct str path = {0};
	const struct xml *x;
	struct xml *answer;
	int rc;

	str_addf(&path, "%s?maxitems=1&name=", sets);
	enc_url(&path, t->name);
	str_addf(&path, ".&type=TXT");
	c.path = path.data;
	rc = route53_ask(j, &c, "ListResourceRecordSetsResponse", &answer, l, err);
	if (rc == 0) {
		const char *type;

		x = xml_find(answer, "ResourceRecordSets/ResourceRecordSet");
		type = xml_text(x, "Type");
		if (type && strcmp(type, "TXT") == 0 &&
			route53_is_name(xml_text(x, "Name"), t->name))
			rc = take_set(x, t->name, s, err);
		xml_free(answer);
	}
	str_clear(&path);
	free(step);
	free(sets);
	return rc;
}

static void add_change(struct str *s, const char *action, const char *name,
	const struct conf_strings *values, uint32_t ttl)
{
	str_addf(s, "<Change><Action>%s</Action><ResourceRecordSet><Name>", action);
	xml_encode(s, name);
	str_addf(s, ".</Name><Type>TXT</Type><TTL>%u</TTL><ResourceRecords>", ttl);
	for (size_t i = 0; i < values->n; i++) {
		str_addf(s, "<ResourceRecord><Value>");
		xml_encode(s, values->v[i]);
		str_addf(s, "</Value></ResourceRecord>");
	}
	str_addf(s, "</ResourceRecords></ResourceRecordSet></Change>");
}

/* Adds what is to be changed of a name's set, if anything is. */
static int plan_name(const struct dns_job *j, struct dns_txt *const *v, size_t n, bool add,
	struct str *changes, const struct limits *l, struct error *err)
{
	struct set old = {.ttl = j->provider->ttl};
	struct conf_strings wanted = {0};
	int rc = read_set(j, v[0], &old, l, err);

	for (size_t i = 0; i < old.values.n; i++)
		dns_set_add(&wanted, old.values.v[i]);
	if (rc == 0 && dns_set_merge(&wanted, v, n, add, true)) {
		if (wanted.n)
			add_change(changes, "UPSERT", v[0]->name, &wanted, old.ttl);
		else /* which has to say all that is there */
			add_change(changes, "DELETE", v[0]->name, &old.values, old.ttl);
	}
	dns_set_clear(&wanted);
	dns_set_clear(&old.values);
	return rc;
}

/* *id is new: what the change is called. */
static int send_changes(const struct dns_job *j, const struct dns_txt *t, const char *changes,
	char **id, const struct limits *l, struct error *err)
{
	char *sets = sets_path(t), *path = mem_printf("%s/", sets),
	     *step = mem_printf("changing the TXT sets of %s", t->zone),
	     *body = mem_printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
				"<ChangeResourceRecordSetsRequest xmlns=\"" XMLNS "\"><ChangeBatch>"
				"<Changes>%s</Changes></ChangeBatch>"
				"</ChangeResourceRecordSetsRequest>",
		     changes);
	struct dns_call c = {.step = step,
		.method = "POST",
		.path = path,
		.body = body,
		.content_type = "application/xml",
		.adds = true};
	struct xml *answer;
	int rc = route53_ask(j, &c, "ChangeResourceRecordSetsResponse", &answer, l, err);

	if (rc == 0)
		*id = mem_strdup(xml_text(answer, "ChangeInfo/Id"));
	xml_free(answer);
	free(body);
	free(step);
	free(path);
	free(sets);
	return rc;
}

/* Until all of Route 53's servers have the change. */
static int wait_for_sync(
	const struct dns_job *j, const char *id, const struct limits *l, struct error *err)
{
	const int64_t interval = j->provider->patience.interval_ms;
	const struct limits patient = limits_within(l, j->provider->patience.timeout_ms);
	const char *bare = str_starts(id, "/change/") ? id + strlen("/change/") : id;
	struct str path = {0};
	struct dns_call c = {.step = "asking whether the change is everywhere", .method = "GET"};
	bool done = false;
	int rc = 0;

	str_addf(&path, R53_VERSION "/change/");
	enc_url(&path, bare);
	c.path = path.data;
	while (rc == 0 && !done) {
		struct xml *answer;
		const char *status;

		rc = route53_ask(j, &c, "GetChangeResponse", &answer, &patient, err);
		status = xml_text(answer, "ChangeInfo/Status");
		done = status && strcmp(status, "INSYNC") == 0;
		xml_free(answer);
		if (rc < 0 || done)
			break;
		if (clock_mono_ms() + interval >= patient.deadline_ms)
			rc = error_set(err,
				"Route 53 has not brought the change to all of its servers yet: "
				"let it have more time with propagation_timeout, or set "
				"wait_for_record_sets_changed to false");
		else if (stop_wait(l->stop, interval))
			rc = error_set(err, "stopped");
	}
	str_clear(&path);
	return rc < 0 ? -1 : 0;
}

/* --- all of a zone --- */

/* Those of v from `at` on that have the name of v[at]; none when an earlier one has it. */
static size_t same_name(struct dns_txt *const *v, size_t n, size_t at, struct dns_txt **out)
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

/* One change, from *at on, of as much as goes into it. *id: NULL where there was none to make. */
static int change_some(const struct dns_job *j, struct dns_txt *const *v, size_t n, size_t *at,
	bool add, char **id, const struct limits *l, struct error *err)
{
	struct dns_txt **same = mem_zalloc(n * sizeof(struct dns_txt *));
	const struct aws *a = j->provider->own;
	struct str changes = {0};
	bool full = false;
	int rc = http_account_enter(a->api.account, HTTP_CHANGE, l, err);

	if (rc == 0) {
		for (; rc == 0 && *at < n && !full; *at += !full) {
			size_t count = same_name(v, n, *at, same);
			struct str one = {0};

			if (count)
				rc = plan_name(j, same, count, add, &one, l, err);
			/* What is too much in itself is for the API to refuse. */
			full = changes.len && changes.len + one.len > BODY_BYTES;
			if (!full && one.len)
				str_add(&changes, one.data, one.len);
			str_clear(&one);
		}
		if (rc == 0 && changes.len)
			rc = send_changes(j, v[0], changes.data, id, l, err);
		http_account_leave(a->api.account, HTTP_CHANGE);
	}
	str_clear(&changes);
	free(same);
	return rc;
}

int route53_change(const struct dns_job *j, struct dns_txt *const *v, size_t n, bool add,
	const struct limits *l, struct error *err)
{
	size_t at = 0;
	int rc = 0;

	while (rc == 0 && at < n) {
		char *id = NULL;

		rc = change_some(j, v, n, &at, add, &id, l, err);
		if (rc == 0 && id && add && dns_is_true(j->provider, R53_WAIT_FOR_SYNC))
			rc = wait_for_sync(j, id, l, err);
		free(id);
	}
	return rc;
}
