/* The provider `route53`: its options, its requests, and its zones. */
#include "dns/route53.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "base/mem.h"

#define TRIES_MAX 20 /* of struct dns_provider */

static const struct setting options[R53_N_OPTIONS] = {
	DNS_API_OPTIONS("AWS_", "ROUTE53_", {"AWS_ENDPOINT_URL_ROUTE_53", "AWS_ENDPOINT_URL"}),
	AWS_OPTIONS,
	[R53_HOSTED_ZONE_ID] = {.key = "hosted_zone_id",
		.env = {"AWS_HOSTED_ZONE_ID"},
		.help = "the zone, where one name is there twice, or zones may not be listed"},
	[R53_PRIVATE_ZONE] = {.key = "private_zone",
		.env = {"AWS_PRIVATE_ZONE"},
		.type = SETTING_BOOL,
		.fallback = "false",
		.help = "looks for private zones instead of public ones"},
	[R53_WAIT_FOR_SYNC] = {.key = "wait_for_record_sets_changed",
		.env = {"AWS_WAIT_FOR_RECORD_SETS_CHANGED"},
		.type = SETTING_BOOL,
		.fallback = "true",
		.help = "waits until Route 53 says that its servers have the record"},
	[R53_MAX_RETRIES] = {.key = "max_retries",
		.env = {"AWS_MAX_RETRIES"},
		.type = SETTING_SECONDS,
		.fallback = "5",
		.help = "how often a request is tried again, 1 to 19 times"},
};

static void clear(struct dns_provider *p)
{
	aws_clear(p->own);
	free(p->own);
}

const char *route53_zone_id(const char *id)
{
	return str_starts(id, "/hostedzone/") ? id + strlen("/hostedzone/") : id;
}

static int init(struct dns_provider *p, struct error *err)
{
	const char *zone = dns_value(p, R53_HOSTED_ZONE_ID);
	struct aws *a = p->own = mem_zalloc(sizeof(*a));

	p->tries = 1 + (unsigned)strtoul(dns_value(p, R53_MAX_RETRIES), NULL, 10);
	if (p->tries > TRIES_MAX)
		return error_set(err, "max_retries: %s are too many, 1 to %d are possible",
			dns_value(p, R53_MAX_RETRIES), TRIES_MAX - 1);
	for (const char *c = zone ? route53_zone_id(zone) : ""; *c; c++)
		if (!isalnum((unsigned char)*c))
			return error_set(err,
				"hosted_zone_id: \"%.60s\" is no id: it has letters and digits, "
				"like Z0123456789ABCDEFGHIJ",
				zone);
	/* Five requests a second for an account, whatever it does beside this. */
	return aws_init(p, a, 5, 1000, err);
}

int route53_ask(const struct dns_job *j, struct dns_call *c, const char *root, struct xml **out,
	const struct limits *l, struct error *err)
{
	const struct aws *a = j->provider->own;
	struct dns_reply r;
	int rc;

	c->plain = true;
	rc = dns_api_call(j, &a->api, c, &r, l, err);
	*out = rc == 0 ? xml_parse(r.http.body, r.http.len, err) : NULL;
	dns_reply_clear(&r);
	if (rc == 0 && !*out)
		return error_prefix(err, "%s", c->step);
	if (rc == 0 && strcmp((*out)->name, root) != 0) {
		rc = error_set(err, "%s: the answer is no %s: is base_url right?", c->step, root);
		xml_free(*out);
		*out = NULL;
	}
	return rc;
}

bool route53_is_name(const char *shown, const char *name)
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
static int list_zones(const struct dns_job *j, const char *step, const char *name, const char *id,
	struct xml **out, const struct limits *l, struct error *err)
{
	struct str path = {0};
	struct dns_call c = {.step = step, .method = "GET"};
	int rc;

	str_addf(&path, R53_VERSION "/hostedzonesbyname?");
	if (name)
		str_addf(&path, "dnsname=");
	enc_url(&path, name ? name : "");
	if (id)
		str_addf(&path, "&hostedzoneid=");
	enc_url(&path, id ? id : "");
	str_addf(&path, "%smaxitems=100", name ? "&" : "");
	c.path = path.data;
	rc = route53_ask(j, &c, "ListHostedZonesByNameResponse", out, l, err);
	str_clear(&path);
	return rc;
}

static bool is_wanted(const struct dns_job *j, const struct xml *zone)
{
	const char *is_private = xml_text(zone, "Config/PrivateZone");

	return (is_private && strcmp(is_private, "true") == 0) ==
	       dns_is_true(j->provider, R53_PRIVATE_ZONE);
}

/* Takes those that have the name; how many they are. */
static size_t take_zones(
	const struct dns_job *j, const struct xml *page, const char *candidate, struct dns_zone *z)
{
	const struct xml *zone = xml_find(page, "HostedZones/HostedZone");
	size_t found = 0;

	for (; zone; zone = xml_next(zone)) {
		const char *id = xml_text(zone, "Id");

		if (!id || !route53_is_name(xml_text(zone, "Name"), candidate) ||
			!is_wanted(j, zone))
			continue;
		dns_zone_consider(z, NULL, candidate, candidate, route53_zone_id(id));
		found++;
	}
	return found;
}

static int look(const struct dns_job *j, const char *candidate, struct dns_zone *z,
	const struct limits *l, struct error *err)
{
	char *step = mem_printf("looking for the zone %s", candidate), *next = NULL;
	size_t found = 0;
	int rc;

	do {
		struct xml *page;

		rc = list_zones(j, step, candidate, next, &page, l, err);
		free(next);
		next = NULL;
		if (rc < 0)
			break;
		found += take_zones(j, page, candidate, z);
		if (route53_is_name(xml_text(page, "NextDNSName"), candidate))
			next = mem_strdup(xml_text(page, "NextHostedZoneId"));
		xml_free(page);
	} while (next);
	if (rc == 0 && found > 1)
		rc = error_set(err,
			"the zone %s is there %zu times in this account: set hosted_zone_id",
			candidate, found);
	free(step);
	return rc < 0 ? -1 : found == 1;
}

/* The sentence for a name that lies in no zone of the account. */
static int say_missing(
	const struct dns_job *j, const char *name, const struct limits *l, struct error *err)
{
	bool wants_private = dns_is_true(j->provider, R53_PRIVATE_ZONE);
	struct dns_zones_seen seen = {0};
	struct dns_zone none = {0}, twin = {0};
	struct xml *page;
	char what[ERROR_MAX];

	if (list_zones(j, "listing the zones", NULL, NULL, &page, l, err) < 0)
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
	if (twin.id) {
		snprintf(what, sizeof(what), "%s", err ? err->text : "");
		error_set(err, "%.700s; %s is a %s zone: set private_zone to %s", what, twin.name,
			wants_private ? "public" : "private", wants_private ? "false" : "true");
	}
	free(twin.id);
	return -1;
}

static int find_zone(const struct dns_job *j, const char *name, struct dns_zone *z,
	const struct limits *l, struct error *err)
{
	const char *id = dns_value(j->provider, R53_HOSTED_ZONE_ID);
	int rc;

	if (id) { /* its name is public DNS's to say */
		z->id = mem_strdup(route53_zone_id(id));
		return 0;
	}
	rc = dns_api_walk(j, name, z, look, l, err);
	return rc ? rc : say_missing(j, name, l, err);
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n,
	const struct limits *l, struct error *err)
{
	return route53_change(j, v, n, true, l, err);
}

static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n,
	const struct limits *l, struct error *err)
{
	return route53_change(j, v, n, false, l, err);
}

const struct dns_ops dns_route53 = {
	.help = "Amazon Route 53",
	.options = options,
	.n_options = R53_N_OPTIONS,
	.ttl = 10,
	.patience = {.timeout_ms = 120000, .interval_ms = 4000},
	.init = init,
	.clear = clear,
	.batch = DNS_PER_ZONE,
	.present = present,
	.cleanup = cleanup,
	.find_zone = find_zone,
};
