/* The provider `route53`: Amazon's Route 53, with its API of 2013-04-01. Sets are written as a
 * whole: read, merged and written again, all of a zone in one change, and nobody else of this
 * process in between. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "base/mem.h"
#include "cloud/aws.h"
#include "dns/sets.h"

#define VERSION "/2013-04-01"
#define XMLNS   "https://route53.amazonaws.com/doc/2013-04-01/"

enum {
	HOSTED_ZONE_ID = DNS_BASE_URL + AWS_N_SETTINGS,
	PRIVATE_ZONE,
	WAIT_FOR_SYNC,
	N_OPTIONS,
};

static const struct setting options[N_OPTIONS] = {
	DNS_API_OPTIONS("AWS_", "ROUTE53_", {"AWS_ENDPOINT_URL_ROUTE_53", "AWS_ENDPOINT_URL"}),
	AWS_SETTINGS(DNS_BASE_URL),
	[HOSTED_ZONE_ID] = {.key = "hosted_zone_id",
		.env = {"AWS_HOSTED_ZONE_ID"},
		.help = "the zone, where one name is there twice, or zones may not be listed"},
	[PRIVATE_ZONE] = {.key = "private_zone",
		.env = {"AWS_PRIVATE_ZONE"},
		.type = SETTING_BOOL,
		.fallback = "false",
		.help = "looks for private zones instead of public ones"},
	[WAIT_FOR_SYNC] = {.key = "wait_for_record_sets_changed",
		.env = {"AWS_WAIT_FOR_RECORD_SETS_CHANGED"},
		.type = SETTING_BOOL,
		.fallback = "true",
		.help = "waits until Route 53 says that its servers have the record"},
};

static void clear(struct dns_provider *p)
{
	aws_clear(p->own);
	free(p->own);
}

/* The id alone, which has a path in front in lists of zones. */
static const char *bare_id(const char *id)
{
	return str_starts(id, "/hostedzone/") ? id + strlen("/hostedzone/") : id;
}

static int init(struct dns_provider *p, struct error *err)
{
	const char *zone = dns_value(p, HOSTED_ZONE_ID);
	struct aws *a = p->own = mem_zalloc(sizeof(*a));

	for (const char *c = zone ? bare_id(zone) : ""; *c; c++)
		if (!isalnum((unsigned char)*c))
			return error_set(err,
				"hosted_zone_id: \"%.60s\" is no id: it has letters and digits, "
				"like Z0123456789ABCDEFGHIJ",
				zone);
	/* Five requests a second for an account, whatever it does beside this. */
	if (aws_init(a, &p->values[DNS_BASE_URL], p->name, 5, 1000, err) < 0)
		return -1;
	p->tries = a->api.tries;
	return 0;
}

static int ask(const struct dns_job *j, struct http_call *c, const char *root, struct xml **out,
	struct error *err)
{
	return aws_ask(j->provider->own, c, root, out, &j->limits, err);
}

/* Whether a name of an answer is `name`: with a dot at its end, and \052 for "*" and the like. */
static bool is_name(const char *shown, const char *name)
{
	for (; shown && *shown; name++) {
		int c = *shown++;

		if (c == '\\' && strspn(shown, "01234567") >= 3) {
			c = (shown[0] - '0') << 6 | (shown[1] - '0') << 3 | (shown[2] - '0');
			shown += 3;
		}
		if (!*name)
			return c == '.' && !*shown;
		if (tolower((unsigned char)c) != tolower((unsigned char)*name))
			return false;
	}
	return shown && !*name;
}

/* --- zones --- */

/* A page of the zones from a name on, in the order of their labels from the right. NULL: all;
 * `id`: the one to begin with of those of the same name. */
static int list_zones(const struct dns_job *j, const char *name, const char *id, struct xml **out,
	struct error *err)
{
	struct http_call c = {.method = "GET"};

	str_addf(&c.step, name ? "looking for the zone %s" : "listing the zones", name);
	str_addf(&c.path, VERSION "/hostedzonesbyname?");
	if (name)
		http_add_field(&c.path, "dnsname", name);
	if (id)
		http_add_field(&c.path, "hostedzoneid", id);
	http_add_field(&c.path, "maxitems", "100");
	return ask(j, &c, "ListHostedZonesByNameResponse", out, err);
}

static bool is_wanted(const struct dns_job *j, const struct xml *zone)
{
	const char *is_private = xml_text(zone, "Config/PrivateZone");

	return (is_private && strcmp(is_private, "true") == 0) ==
	       dns_is_true(j->provider, PRIVATE_ZONE);
}

static int look(
	const struct dns_job *j, const char *candidate, struct dns_zone *z, struct error *err)
{
	char *next = NULL;
	size_t found = 0;

	do { /* all pages of those that have the name */
		struct xml *page;
		int rc = list_zones(j, candidate, next, &page, err);

		free(next);
		next = NULL;
		if (rc < 0)
			return -1;
		for (const struct xml *zone = xml_find(page, "HostedZones/HostedZone"); zone;
			zone = xml_next(zone)) {
			const char *id = xml_text(zone, "Id");

			if (!id || !is_name(xml_text(zone, "Name"), candidate) ||
				!is_wanted(j, zone))
				continue;
			dns_zone_consider(z, NULL, candidate, candidate, bare_id(id));
			found++;
		}
		if (is_name(xml_text(page, "NextDNSName"), candidate))
			next = mem_strdup(xml_text(page, "NextHostedZoneId"));
		xml_free(page);
	} while (next);
	if (found > 1)
		return error_set(err,
			"the zone %s is there %zu times in this account: set hosted_zone_id",
			candidate, found);
	return found == 1;
}

/* The sentence for a name that lies in no zone of the account. */
static int say_missing(const struct dns_job *j, const char *name, struct error *err)
{
	bool wants_private = dns_is_true(j->provider, PRIVATE_ZONE);
	struct dns_zones_seen seen = {0};
	struct dns_zone none = {0}, twin = {0};
	struct xml *page;

	if (list_zones(j, NULL, NULL, &page, err) < 0)
		return -1;
	for (const struct xml *zone = xml_find(page, "HostedZones/HostedZone"); zone;
		zone = xml_next(zone)) {
		const char *shown = xml_text(zone, "Name");

		if (shown && is_wanted(j, zone))
			dns_zone_consider(&none, &seen, "", shown, NULL);
		else if (shown)
			dns_zone_consider(&twin, NULL, name, shown, "");
	}
	xml_free(page);
	dns_zone_missing(&seen, name, err);
	if (twin.id)
		error_append(err, "%s is a %s zone: set private_zone to %s", twin.name,
			wants_private ? "public" : "private", wants_private ? "false" : "true");
	free(twin.id);
	return -1;
}

static int find_zone(
	const struct dns_job *j, const char *name, struct dns_zone *z, struct error *err)
{
	const char *id = dns_value(j->provider, HOSTED_ZONE_ID);
	int rc;

	if (id) { /* its name is public DNS's to say */
		z->id = mem_strdup(bare_id(id));
		return 0;
	}
	rc = dns_api_walk(j, name, z, look, err);
	return rc ? rc : say_missing(j, name, err);
}

/* --- sets --- */

/* The list begins at the name, be there a set of it or not. */
static int read_set(const struct dns_job *j, struct dns_set *s, struct error *err)
{
	struct http_call c = {.method = "GET"};
	const struct xml *x, *record;
	const char *type, *ttl;
	struct xml *answer;
	int rc;

	str_addf(&c.step, "reading the TXT set of %s", s->t->name);
	str_addf(&c.path, VERSION "/hostedzone/%s/rrset?maxitems=1&name=", s->t->zone_id);
	enc_url(&c.path, s->t->name);
	str_addf(&c.path, ".&type=TXT");
	rc = ask(j, &c, "ListResourceRecordSetsResponse", &answer, err);
	x = xml_find(answer, "ResourceRecordSets/ResourceRecordSet");
	type = xml_text(x, "Type");
	if (!type || strcmp(type, "TXT") != 0 || !is_name(xml_text(x, "Name"), s->t->name))
		goto out;
	record = xml_find(x, "ResourceRecords/ResourceRecord");
	ttl = xml_text(x, "TTL");
	if (xml_find(x, "SetIdentifier") || !record || !ttl) {
		rc = error_set(err,
			"the TXT set of %s has a routing policy or is an alias, and is not to be "
			"written over: remove it, or let a CNAME lead the challenge elsewhere",
			s->t->name);
		goto out;
	}
	s->ttl = (uint32_t)strtoul(ttl, NULL, 10);
	for (; record; record = xml_next(record))
		if (xml_text(record, "Value"))
			dns_set_add(&s->old, xml_text(record, "Value"));
out:
	xml_free(answer);
	return rc;
}

/* What is deleted has to be told as it is. */
static void add_set(struct str *body, const struct dns_set *s)
{
	const struct conf_strings *values = s->wanted.n ? &s->wanted : &s->old;

	str_addf(body, "<Change><Action>%s</Action><ResourceRecordSet><Name>",
		s->wanted.n ? "UPSERT" : "DELETE");
	xml_encode(body, s->t->name);
	str_addf(body, ".</Name><Type>TXT</Type><TTL>%u</TTL><ResourceRecords>", s->ttl);
	for (size_t i = 0; i < values->n; i++) {
		str_addf(body, "<ResourceRecord><Value>");
		xml_encode(body, values->v[i]);
		str_addf(body, "</Value></ResourceRecord>");
	}
	str_addf(body, "</ResourceRecords></ResourceRecordSet></Change>");
}

static int write_sets(const struct dns_job *j, struct dns_change *change, struct error *err)
{
	struct http_call c = {.method = "POST", .content_type = "application/xml", .adds = true};
	const struct dns_txt *t = change->sets[0].t;
	struct xml *answer;
	int rc;

	str_addf(&c.step, "changing the TXT sets of %s", t->zone);
	str_addf(&c.path, VERSION "/hostedzone/%s/rrset/", t->zone_id);
	str_addf(&c.body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
			  "<ChangeResourceRecordSetsRequest xmlns=\"" XMLNS "\"><ChangeBatch>"
			  "<Changes>");
	for (size_t i = 0; i < change->n; i++)
		add_set(&c.body, &change->sets[i]);
	str_addf(&c.body, "</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>");
	rc = ask(j, &c, "ChangeResourceRecordSetsResponse", &answer, err);
	if (change->add && dns_is_true(j->provider, WAIT_FOR_SYNC))
		change->id = mem_strdup(xml_text(answer, "ChangeInfo/Id"));
	xml_free(answer);
	return rc;
}

static int is_everywhere(
	const struct dns_job *j, const struct dns_change *change, struct error *err)
{
	const char *id = change->id, *status;
	struct http_call c = {.method = "GET"};
	struct xml *answer;
	int rc;

	str_addf(&c.step, "asking whether the change is everywhere");
	str_addf(&c.path, VERSION "/change/");
	enc_url(&c.path, str_starts(id, "/change/") ? id + strlen("/change/") : id);
	if (ask(j, &c, "GetChangeResponse", &answer, err) < 0)
		return -1;
	status = xml_text(answer, "ChangeInfo/Status");
	rc = status && strcmp(status, "INSYNC") == 0;
	xml_free(answer);
	return rc;
}

static const struct dns_sets_ops sets = {
	.read = read_set,
	.write = write_sets,
	.is_done = is_everywhere,
	.late = "Route 53 has not brought the change to all of its servers yet: let it have more "
		"time with propagation_timeout, or set wait_for_record_sets_changed to false",
	/* A change has at most 1000 values and 32000 characters in them, and replacing counts
	 * twice. */
	.room = 12000,
};

const struct dns_ops dns_route53 = {
	.help = "Amazon Route 53",
	.options = options,
	.n_options = N_OPTIONS,
	.ttl = 10,
	.patience = {.timeout_ms = 120000, .interval_ms = 4000},
	.init = init,
	.clear = clear,
	.batch = DNS_PER_ZONE,
	.sets = &sets,
	.present = dns_sets_present,
	.cleanup = dns_sets_cleanup,
	.find_zone = find_zone,
};
